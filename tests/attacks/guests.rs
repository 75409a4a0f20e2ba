//! Attacks on the machine: its time, memory, files, and the loading of components itself.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Attack, Scene, Stopped, attack, hostile};
use crate::support::{Agent, Ran};

const RO: &str = "permissions = { dirs = [{ host = \"work\", guest = \"/data\", access = \"ro\" }] }";
const RW: &str = "permissions = { dirs = [{ host = \"work\", guest = \"/data\", access = \"rw\" }] }";

pub fn attacks() -> Vec<Attack> {
    [time(), memory(), floods(), files(), listings(), components()].into_iter().flatten().collect()
}

fn time() -> Vec<Attack> {
    let of = |name, guest: &str, kind, limits: &str| {
        attack(name, hostile(guest), Stopped::Error(kind, "the call was stopped")).limits(limits)
    };
    vec![
        of("infinite loop, by wall time", "loop_forever", "timeout", "timeout = \"300ms\""),
        of("infinite loop, by processor time", "loop_forever", "cpu", "cpu = \"100ms\""),
        of("infinite loop, by instructions", "loop_forever", "fuel", "fuel = 50_000_000"),
        of("host call storm", "host_call_storm", "cpu", "cpu = \"100ms\""),
        of("sleep forever", "sleep_forever", "timeout", "timeout = \"300ms\""),
        attack("panic", hostile("panic_in_call"), Stopped::Error("trap", "on purpose")),
        attack(
            "deep recursion, in memory",
            hostile("deep_recursion"),
            Stopped::Error("trap", "out of bounds"),
        ),
    ]
}

fn memory() -> Vec<Attack> {
    let small = "memory = \"16MiB\"";
    let many = Stopped::Error("memory", "16777216 bytes");
    let grow = "(loop (drop (memory.grow (i32.const 16))) (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable";
    vec![
        attack("memory bomb, one memory", hostile("memory_bomb"), Stopped::Error("memory", "16777216 bytes"))
            .limits(small),
        attack(
            "memory bomb, many memories",
            wat("many_memories", &[("EXTRA", "(memory $b 1) (memory $c 1)"), ("CALL", "(loop $l (drop (memory.grow $b (i32.const 16))) (drop (memory.grow $c (i32.const 16))) (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable")]),
            many,
        )
        .limits(small),
        attack(
            "table bomb",
            wat("table_bomb", &[("EXTRA", "(table $t 1 funcref)"), ("CALL", "(loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) unreachable")]),
            Stopped::Error("memory", "8388608 bytes"),
        )
        .limits("memory = \"8MiB\""),
        attack(
            "deep recursion, on the stack",
            wat("recursion", &[("EXTRA", "(func $down (param i64 i64 i64 i64) (result i64) (i64.add (local.get 0) (call $down (local.get 1) (local.get 2) (local.get 3) (i64.add (local.get 0) (i64.const 1)))))"), ("CALL", "(drop (call $down (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4))) unreachable")]),
            Stopped::Error("stack", "nested deeper"),
        ),
        attack("one memory of 4 GiB at once", wat("huge_memory", &[("EXTRA", "(memory $b 65536)"), ("CALL", grow)]), Stopped::Load("limits.memory")),
        attack("one table of 100 million at once", wat("huge_table", &[("EXTRA", "(table $t 100000000 funcref)"), ("CALL", "unreachable")]), Stopped::Load("this host cannot hold it")),
    ]
}

fn floods() -> Vec<Attack> {
    vec![
        attack("output of 1 GiB", hostile("output_flood"), Stopped::Error("memory", "bytes of memory")),
        attack(
            "output over its limit",
            hostile("output_flood"),
            Stopped::Error("output_size", "limits.output"),
        )
        .input(json!({ "bytes": 1_500_000 })),
        attack(
            "output far over its limit",
            hostile("output_flood"),
            Stopped::Error("host_call", "limits.output"),
        )
        .limits("memory = \"256MiB\"")
        .input(json!({ "bytes": 20_000_000 })),
        attack("endless stdout", hostile("endless_stdout"), Stopped::Error("cpu", ""))
            .limits("cpu = \"200ms\"")
            .after(bounded_log),
        attack("endless log", hostile("endless_log"), Stopped::Error("cpu", ""))
            .limits("cpu = \"200ms\"")
            .after(bounded_log),
        attack("output that is not JSON", hostile("not_json"), Stopped::Error("invalid_output", "not JSON")),
        attack(
            "output other than promised",
            hostile("lying_schema"),
            Stopped::Error("invalid_output", "does not fit"),
        ),
        attack(
            "output whose check triples with each level",
            hostile("schema_triples"),
            Stopped::Error("invalid_output", "does not fit"),
        ),
        attack(
            "output nested too deeply to be checked",
            hostile("deep_output"),
            Stopped::Error("invalid_output", "nested more than 100 deep"),
        ),
        attack(
            "output that can be read in two ways",
            hostile("twofold_output"),
            Stopped::Error("invalid_output", "the key \"safe\" twice"),
        ),
        attack("files without end", hostile("open_files"), Stopped::Error("open_files", "limits.open_files"))
            .grants(RO),
        attack("handles without end", hostile("open_handles"), Stopped::Error("handles", "1024 handles")),
        attack(
            "headers without end",
            hostile("many_headers"),
            Stopped::Error("trap", "total size of fields"),
        ),
        attack(
            "random numbers without end",
            hostile("random_flood"),
            Stopped::Error("random_bytes", "limits.random_bytes"),
        ),
        attack(
            "random numbers all at once",
            hostile("random_huge"),
            Stopped::Error("random_bytes", "limits.random_bytes"),
        ),
        attack(
            "hidden text in description and output",
            hostile("list_hidden_text"),
            Stopped::Harmless("hidden characters are left out"),
        )
        .after(no_hidden_text),
    ]
}

/// What was written is kept up to its limit, and the rest is counted.
fn bounded_log(scene: &Scene) -> Result<(), String> {
    let report = scene.shown.iter().find(|report| report["slot"] == "tool(0,1)").unwrap();
    let log = report["finished"]["trace"]["log"].as_array().unwrap();
    let bytes: usize = log.iter().map(|line| line["text"].as_str().unwrap().len()).sum();
    let dropped = log.last().unwrap()["text"].as_str().unwrap().contains("dropped");
    if bytes < 70_000 && dropped { Ok(()) } else { Err(format!("{bytes} bytes of log are kept")) }
}

fn no_hidden_text(scene: &Scene) -> Result<(), String> {
    let checked = scene.agent.host(&["check"]);
    for text in [&scene.ran.stderr, &scene.ran.stdout, &checked.stdout] {
        if let Some(hidden) =
            text.chars().find(|c| matches!(c, '\u{1b}' | '\u{202e}' | '\u{2066}' | '\u{e0068}' | '\u{200b}'))
        {
            return Err(format!("{hidden:?} is shown in {text:?}"));
        }
    }
    Ok(())
}

fn files() -> Vec<Attack> {
    let read = |name, path: &str| {
        attack(name, hostile("read_path"), Stopped::Denied("to open"))
            .grants(RO)
            .input(json!({ "path": path }))
    };
    let beyond = |name, guest: &str, said| {
        attack(name, hostile(guest), Stopped::Denied(said)).grants(RW).after(untouched)
    };
    vec![
        read("path with ..", "/data/../outside.txt"),
        read("path with many ..", "/data/../../../../../../../../etc/passwd"),
        read("path through a link upwards", "/data/up/outside.txt"),
        read("path through a planted link", "/data/planted"),
        attack("absolute path", hostile("read_path"), Stopped::Error("failed", "No such file"))
            .grants(RO)
            .input(json!({ "path": "/etc/passwd" })),
        attack(
            "files when none are granted",
            hostile("read_path"),
            Stopped::Denied("no directory is granted; the call names \"/etc/passwd\""),
        )
        .input(json!({ "path": "/etc/passwd" })),
        attack("trailing slash", hostile("read_path"), Stopped::Error("failed", "denied"))
            .grants(RO)
            .input(json!({ "path": "/data/file.txt/" })),
        attack("path through a file", hostile("read_path"), Stopped::Error("failed", "denied"))
            .grants(RO)
            .input(json!({ "path": "/data/file.txt/../../outside.txt" })),
        beyond("symbolic link out, relative", "symlink_out", "to open")
            .input(json!({ "target": "../outside.txt" })),
        beyond("symbolic link out, absolute", "symlink_out", "to make a symbolic link")
            .input(json!({ "target": "/etc/passwd" })),
        beyond("hard link out", "hard_link_out", "to link"),
        beyond("rename out", "rename_out", "to rename"),
        attack(
            "every change to a read-only directory",
            hostile("change_read_only"),
            Stopped::Denied("to open"),
        )
        .grants(RO)
        .after(untouched),
        attack(
            "environment and arguments",
            hostile("env_and_args"),
            Stopped::Error("failed", "both are empty"),
        )
        .env("STOLEN", "yes"),
    ]
}

/// Nothing changed in the granted directory, nor beside it.
fn untouched(scene: &Scene) -> Result<(), String> {
    let dir = scene.agent.dir.path();
    let read = |path: &str| fs::read_to_string(dir.join(path)).unwrap_or_default();
    let names = fs::read_dir(dir.join("work")).unwrap().count();
    // The relative symbolic link itself may be made; it leads nowhere for the guest.
    if read("work/file.txt") == "inside" && read("outside.txt") == "outside" && names <= 4 {
        Ok(())
    } else {
        Err(format!("files were changed; {names} are there"))
    }
}

/// A component that is not loaded at all.
fn refused(name: &'static str, component: PathBuf, said: &'static str) -> Attack {
    attack(name, component, Stopped::Load(said))
}

fn listings() -> Vec<Attack> {
    let load = |name, guest: &str, said| refused(name, hostile(guest), said);
    vec![
        load("trap in list-tools", "list_trap", "listing its tools failed"),
        load("loop in list-tools", "list_loop", "limits.cpu").limits("cpu = \"200ms\""),
        load("10,000 tools", "list_many", "10000 tools"),
        load("schema with a billion ways through it", "list_forking_schema", "at most 24 are taken"),
        load("description of 1 MB", "list_long", "bytes"),
        load("name with control characters", "list_control_name", "a name has only the characters"),
        attack(
            "list-tools reaches out",
            hostile("list_reaches_out"),
            Stopped::Harmless("listing is granted nothing"),
        )
        .grants(RO)
        .after(|scene| {
            let checked = scene.agent.host(&["check"]).stdout;
            let nothing = checked.contains("file false, env 0, socket false");
            if nothing { Ok(()) } else { Err(checked) }
        }),
    ]
}

fn components() -> Vec<Attack> {
    let whole = fs::read(hostile("read_path")).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    vec![
        refused(
            "trap at start",
            wat("start_trap", &[("EXTRA", "(func $s unreachable) (start $s)"), ("CALL", "unreachable")]),
            "unreachable",
        ),
        refused("thousands of nested instances", nested(5000), "instances"),
        refused("component of 200 MB", large(), "too large"),
        refused("truncated component", file("truncated", &whole[..whole.len() / 2]), "does not compile"),
        refused("bit-flipped component, in its head", file("flipped_head", &flipped(40)), "does not compile"),
        refused(
            "bit-flipped component, in its code",
            file("flipped_code", &flipped(whole.len() / 3)),
            "compile",
        ),
        planted(),
        refused("not a component", file("text", b"#!/bin/sh\necho no"), "not a WebAssembly component"),
        attack(
            "call of an import that is not granted",
            wat(
                "import",
                &[
                    (
                        "IMPORT",
                        "(import \"evil:backdoor/shell@1.0.0\" (instance $evil (export \"run\" (func))))",
                    ),
                    ("LOWER", "(core func $run (canon lower (func $evil \"run\")))"),
                    ("WITH", "(with \"evil\" (instance (export \"run\" (func $run))))"),
                    ("CORE_IMPORT", "(import \"evil\" \"run\" (func $run))"),
                    ("CALL", "(call $run) unreachable"),
                ],
            ),
            Stopped::Error("denied", "evil:backdoor/shell@1.0.0#run"),
        ),
    ]
}

/// Puts the compiled code of another component, which this host wrote, into the place of the attack's own.
fn planted() -> Attack {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted");
    let _ = fs::remove_dir_all(&dir);
    let cache = dir.to_str().unwrap().to_owned();
    let fill = |name: &str| {
        let agent = Agent::scripted("[[reply]]\ntext = \"ok\"")
            .table(&format!("[tools.a]\nsource = \"{}\"", hostile(name).display()));
        Ran::from(agent.command(&["check"]).env("HOST_CACHE", &cache).output().unwrap()).ok();
        let code = |entry: fs::DirEntry| {
            entry.path().extension().is_some_and(|kind| kind == "cwasm").then(|| entry.path())
        };
        fs::read_dir(&dir).unwrap().flatten().filter_map(code).collect::<Vec<_>>()
    };
    let own = fill("panic_in_call").remove(0);
    let other = fill("env_and_args").into_iter().find(|path| *path != own).unwrap();
    fs::copy(other, own).unwrap();
    attack(
        "compiled code planted in the cache",
        hostile("panic_in_call"),
        Stopped::Error("trap", "on purpose"),
    )
    .env("HOST_CACHE", cache)
    .after(|scene| {
        let noticed = scene.ran.stderr.contains("was not written by this host");
        if noticed { Ok(()) } else { Err(scene.ran.stderr.clone()) }
    })
}

/// Where components are kept that the tests make.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("attacks");
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join(format!("{name}.wasm"));
    fs::write(&path, bytes).unwrap();
    path
}

/// A component written by hand, with these parts filled in.
fn wat(name: &str, parts: &[(&str, &str)]) -> PathBuf {
    let mut text = include_str!("attack.wat").to_owned();
    for (part, filling) in parts {
        text = text.replace(&format!("(;{part};)"), filling);
    }
    let bytes = wat::parse_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    file(name, &bytes)
}

fn nested(instances: usize) -> PathBuf {
    let more: String = (0..instances).map(|_| "(core instance (instantiate $tiny))\n").collect();
    wat("nested", &[("MORE", &format!("(core module $tiny (memory 1))\n{more}")), ("CALL", "unreachable")])
}

/// A valid component of 200 MB: nearly all of it is a custom section.
fn large() -> PathBuf {
    const BYTES: u32 = 200 << 20;
    let mut bytes = b"\0asm\x0d\0\x01\0\0".to_vec();
    let mut length = BYTES + 2;
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    bytes.extend([u8::try_from(length).unwrap(), 1, b'x']);
    bytes.resize(bytes.len() + BYTES as usize, 0);
    file("large", &bytes)
}
