//! The command under shells, service managers and container runtimes: streams that nobody reads, or that are full, and
//! signals to end.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::attempts::in_a_request;
use crate::support::{Agent, Ran, has_ended, outcome, tool_output, until};

const CALL: &str =
    "[[reply]]\ncalls = [{ name = \"echo\", input = { value = 1 } }]\n[[reply]]\ntext = \"the end\"";

fn agent() -> Agent {
    Agent::scripted(CALL).guest("hostile")
}

/// A stream that nobody reads any more.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A stream to a disk that is full.
fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

#[test]
fn progress_that_cannot_be_written_is_dropped_and_the_run_goes_on() {
    for stderr in [closed, full] {
        let agent = agent();
        let ran =
            Ran::from(agent.command(&["run"]).stderr(stderr()).stdout(Stdio::piped()).output().unwrap());
        assert_eq!(ran.ok().stdout, "the end\n");
        assert_eq!(tool_output(&agent.show(), "tool(0,0)"), 1);
        agent.host(&["replay", "last"]).ok();
    }
}

#[test]
fn a_first_line_of_progress_is_enough_for_its_reader() {
    let agent = agent();
    let mut child = agent.command(&["run"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("run "), "{line}");
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.ok().stdout, "the end\n");
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error_and_stays_recorded() {
    for stdout in [closed, full] {
        for args in [&["run"][..], &["run", "--json"]] {
            let agent = agent();
            let ran =
                Ran::from(agent.command(args).stdout(stdout()).stderr(Stdio::piped()).output().unwrap());
            ran.exits(1).says("cannot write the answer to stdout").says("it is recorded: host resume ");
            assert_eq!(outcome(&agent.show(), "run")["run"]["answer"], "the end");
            assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "the end\n");
        }
    }
}

#[test]
fn no_command_panics_on_what_it_cannot_write() {
    let agent = agent();
    agent.host(&["run"]).ok();
    let commands = [
        "--help",
        "--version",
        "run --help",
        "nonsense",
        "run",
        "run --json",
        "run nowhere.toml",
        "resume last",
        "resume nothing",
        "replay last",
        "replay last --json",
        "runs",
        "runs --json",
        "runs show last",
        "runs show last --log",
        "runs diff last last",
        "runs request last",
        "runs script last",
        "sessions",
        "approvals",
        "approve last",
        "journal verify",
        "journal export last",
        "journal compact",
        "journal gc --keep 30d",
        "test",
        "check",
        "build",
        "init .",
        "schema",
        "completions bash",
        "compile-component time",
    ];
    for stream in [closed, full] {
        for line in commands {
            let args: Vec<&str> = line.split(' ').collect();
            let ended = agent.command(&args).stdout(stream()).stderr(stream()).status().unwrap();
            assert!(ended.code().is_some_and(|code| code != 101), "host {line}: {ended}");
        }
    }
    let help = agent.command(&["--help"]).stdout(full()).status().unwrap();
    assert_eq!(help.code(), Some(1), "help that does not arrive is no success");
    let runs = agent.command(&["runs"]).stdout(closed()).status().unwrap();
    assert_eq!(runs.code(), Some(0), "whoever does not read on has seen enough");
}

/// What a run says that is asked to end, once it waits for a request.
fn ended_in_a_request(signal: Signal) -> Agent {
    let (agent, server) = in_a_request();
    let child = agent.command(&["run"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("a request", || (!server.requests().is_empty()).then_some(()));
    until("the end of the call beside it", || ended(&agent, "tool(0,1)").then_some(()));
    kill_process(Pid::from_child(&child), signal).unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    ran.exits(130).says("interrupted; go on with: host resume");
    let shown = agent.show();
    assert_eq!(tool_output(&shown, "tool(0,1)"), 1);
    assert!(outcome(&shown, "tool(0,0)").is_null());
    let listed = agent.host(&["runs"]);
    assert!(listed.ok().stdout.contains("interrupted"), "{}", listed.stdout);
    let resumed = agent.host(&["resume", "last", "--settle", "tool(0,0)=retry"]);
    assert_eq!(resumed.ok().stdout, "the end\n");
    agent
}

fn ended(agent: &Agent, slot: &str) -> bool {
    has_ended(&agent.shown_so_far(), slot)
}

#[test]
fn every_signal_to_end_stops_a_run_that_can_go_on() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        ended_in_a_request(signal);
    }
}

#[test]
fn what_was_settled_already_can_be_said_again() {
    let agent = ended_in_a_request(Signal::TERM);
    let again = agent.host(&["resume", "last", "--settle", "tool(0,0)=retry"]);
    assert_eq!(again.ok().stdout, "the end\n");
    agent.host(&["resume", "last", "--settle", "tool(0,0)=failed"]).exits(2).says("is not in doubt");
    agent.host(&["resume", "last", "--settle", "tool(0,1)=retry"]).exits(2).says("is not in doubt");
}

/// A run that is started by a shell so, and waits in a request.
fn started_by(agent: &Agent, shell: &str, waits: impl Fn() -> bool) -> Child {
    let run = agent.command(&["run"]);
    let mut command = Command::new("sh");
    command.args(["-c", shell, "sh", run.get_program().to_str().unwrap()]).current_dir(agent.dir.path());
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    until("a request", || waits().then_some(()));
    child
}

#[test]
fn a_run_that_is_to_outlive_its_terminal_does() {
    let (agent, server) = in_a_request();
    let child = started_by(&agent, "trap '' HUP; exec \"$1\" run", || !server.requests().is_empty());
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    assert_eq!(u64::from_str_radix(mask, 16).unwrap() & 1, 1, "SIGHUP is still ignored: {mask}");
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    Ran::from(child.wait_with_output().unwrap()).exits(130).says("host resume");
}

#[test]
fn the_first_process_of_a_container_ends_when_it_is_asked_to() {
    let unshare = ["unshare -pf --mount-proc", "unshare -Urpf --mount-proc"];
    let allowed =
        |it: &&str| Command::new("sh").args(["-c", &format!("{it} true")]).output().unwrap().status.success();
    let Some(unshare) = unshare.into_iter().find(allowed) else {
        return eprintln!("skipped: this machine lets nobody make a namespace of processes");
    };
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let (agent, server) = in_a_request();
        let child =
            started_by(&agent, &format!("exec {unshare} \"$1\" run"), || !server.requests().is_empty());
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let first = std::fs::read_to_string(children).unwrap().trim().parse().unwrap();
        kill_process(Pid::from_raw(first).unwrap(), signal).unwrap();
        let ran = Ran::from(child.wait_with_output().unwrap());
        ran.exits(130).says("interrupted; go on with: host resume");
    }
}

/// An agent with a crate whose build never ends, and says in a file `pid` who is at it.
pub fn slow_to_build() -> Agent {
    let agent = Agent::scripted(CALL).table("[tools.slow]\nsource = \"slow\"");
    let dir = agent.dir.path().join("slow");
    std::fs::create_dir_all(dir.join("src")).unwrap();
    let manifest = "[package]\nname = \"slow\"\nversion = \"0.1.0\"\nedition = \"2024\"\nbuild = \"build.rs\"\n\
                    [lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
    std::fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(dir.join("src/lib.rs"), "").unwrap();
    let script = "fn main() {\n    let id = std::process::id().to_string();\n    \
                  std::fs::write(\"part\", id).unwrap();\n    std::fs::rename(\"part\", \"pid\").unwrap();\n    \
                  loop {\n        std::thread::park();\n    }\n}\n";
    std::fs::write(dir.join("build.rs"), script).unwrap();
    agent
}

#[test]
fn a_build_ends_with_the_host_and_all_that_it_started() {
    let agent = slow_to_build();
    let dir = agent.dir.path().join("slow");
    for args in [&["run"][..], &["build"]] {
        let child = agent.unhurried(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = until("a build script", || std::fs::read_to_string(dir.join("pid")).ok());
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        Ran::from(child.wait_with_output().unwrap())
            .exits(130)
            .says("stopped building slow after ")
            .says("the next build goes on from there")
            .says("interrupted");
        until("the end of the build script", || is_gone(pid).then_some(()));
        std::fs::remove_file(dir.join("pid")).unwrap();
    }
}

/// Whether a process has ended; one that nobody has waited for yet has, too.
fn is_gone(pid: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()));
    test_kill_process(pid).is_err() || status.map_or(true, |status| status.contains("State:\tZ"))
}

#[test]
fn a_compiler_whose_host_is_gone_ends() {
    let agent = agent();
    let mut compiler = agent
        .command(&["compile-component", "time"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = compiler.stdin.take().unwrap();
    stdin.write_all(b"\0asm").unwrap();
    assert!(compiler.try_wait().unwrap().is_none(), "it waits for the rest");
    drop(compiler.stdout.take());
    assert_eq!(compiler.wait().unwrap().code(), Some(1));
    drop(stdin);
}

#[test]
fn an_empty_variable_is_not_set() {
    let agent = agent();
    let home = agent.dir.path().join("home");
    let run = |command: &mut Command| {
        let command = command.env("HOME", &home).env_remove("XDG_STATE_HOME");
        Ran::from(command.env("HOST_STATE", "").output().unwrap())
    };
    run(&mut agent.command(&["run"])).ok();
    assert!(home.join(".local/state/host/runs").is_dir());
    assert!(run(&mut agent.command(&["runs"])).ok().stdout.contains("answered"));
    run(&mut agent.command(&["runs", "--state", ""])).exits(2);
}

#[test]
fn an_agent_that_was_moved_is_named() {
    let (agent, server) = in_a_request();
    agent.run_until_killed(|| !server.requests().is_empty());
    let moved = agent.dir.path().join("elsewhere.toml");
    std::fs::rename(agent.toml(), &moved).unwrap();
    let resume = |more: &[&str]| agent.host(&[&["resume", "last"], more].concat());
    resume(&[]).exits(2).says("is not at ").says("any more").says("--config AGENT.TOML");
    resume(&["--config", "elsewhere.toml"]).exits(3);
    let resumed = resume(&["--settle", "tool(0,0)=failed"]);
    assert_eq!(resumed.ok().stdout, "the end\n", "it is known from then on");
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn headers_that_do_not_fit_are_said() {
    let agent = agent();
    let mut command = agent.command(&["run", "--otlp", "http://127.0.0.1:1"]);
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "Authorization: Bearer hush");
    let ran = Ran::from(command.output().unwrap());
    ran.ok().says("no traces are exported: OTEL_EXPORTER_OTLP_HEADERS does not hold headers");
    assert!(!ran.stderr.contains("hush"), "{}", ran.stderr);
}

#[test]
fn a_mistake_in_a_long_line_is_shown() {
    let agent = agent();
    let long = format!("a = \"{}\" b\n", " ".repeat(70_000));
    for file in ["script.toml", "agent.toml"] {
        std::fs::write(agent.dir.path().join(file), &long).unwrap();
        let ran = agent.host(&["check"]);
        ran.exits(2).says(&format!("{file}:1:70008")).says("…");
        assert!(ran.stderr.len() < 10_000, "{} bytes", ran.stderr.len());
    }
}

/// The command under a clock that stands before 1970.
fn in_1969(command: &mut Command) -> Ran {
    static BUILT: std::sync::Once = std::sync::Once::new();
    let shim = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("clock_shim.so");
    let source = crate::support::root().join("tests/clock_shim.rs");
    BUILT.call_once(|| {
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args(["--edition", "2024", "-O", "--crate-type", "cdylib", "-o"]).arg(&shim).arg(source);
        assert!(rustc.status().unwrap().success());
    });
    let ran = Ran::from(command.env("LD_PRELOAD", &shim).output().unwrap());
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    assert_ne!(ran.code, Some(101));
    ran
}

#[test]
fn a_clock_before_1970_ends_nothing_in_a_panic() {
    let script = "[[reply]]\ncalls = [{ name = \"sleep_until\", input = { seconds = 0 } }, \
                  { name = \"now\" }, { name = \"echo\", input = { value = 1 } }]\n[[reply]]\ntext = \"the end\"";
    let agent = Agent::scripted(script).builtins(&["sleep_until"]).guest("hostile");
    agent.host(&["run", "--session", "s"]).ok();
    for args in [
        &["runs"][..],
        &["runs", "show", "last"],
        &["replay", "last"],
        &["resume", "last"],
        &["replay", "last", "--rerun", "echo"],
        &["journal", "verify"],
        &["journal", "export", "last"],
        &["journal", "gc", "--keep", "30d", "--dry-run"],
        &["sessions"],
        &["check"],
        &["build"],
    ] {
        in_1969(&mut agent.command(args)).ok();
    }
    // What needs an index cannot be begun, and says so.
    for args in [&["run"][..], &["run", "--json"], &["fork", "last", "--at", "0"]] {
        in_1969(&mut agent.command(args)).exits(1).says("the clock of this machine stands before 1970");
    }
    agent.host(&["run"]).ok();
    agent.host(&["journal", "verify"]).ok();
}
