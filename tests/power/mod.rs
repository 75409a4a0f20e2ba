//! Power loss: the calls that the real binary makes of the disk are recorded, the disk is rebuilt as a crash after
//! any of them could leave it, and the run goes on from there.
//!
//! `HOST_TEST_STATES=10000 cargo test --release --test main power -- --nocapture` is the long form.

mod disk;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use host::journal::{Entry, Event, RunsDir};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde_json::Value;

use crate::support::{Agent, Ran, root};
use disk::{History, Unsynced};

const SCRIPT: &str = r#"
[[reply]]
calls = [{ name = "echo", input = { value = 1 } }, { name = "w_echo", input = { value = 2 } }, { name = "w_counter" }]

[[reply]]
expect = ["echo: 2"]
calls = [{ name = "big_output", input = { bytes = 5000 } }, { name = "w_echo", input = { value = 3 } }]

[[reply]]
text = "the end"
"#;

/// An agent with a tool that nobody can notice, and the same as one that can write.
fn agent() -> Agent {
    let agent = Agent::scripted(SCRIPT).guest("hostile");
    fs::create_dir(agent.dir.path().join("work")).unwrap();
    let writing = format!(
        "[tools.w]\nsource = {:?}\nprefix = \"w_\"\nretry.idempotent = [\"*\"]\n\
         [[tools.w.permissions.dirs]]\nhost = \"work\"\nguest = \"/work\"\naccess = \"rw\"",
        root().join("guest-tools/hostile")
    );
    agent.table(&writing)
}

/// The shim, compiled where nothing else is.
fn shim() -> PathBuf {
    let shim = Path::new(env!("CARGO_TARGET_TMPDIR")).join("power_shim.so");
    let source = root().join("tests/power/shim.rs");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition", "2024", "-O", "--crate-type", "cdylib", "-o"]).arg(&shim).arg(source);
    assert!(rustc.status().unwrap().success());
    shim
}

/// What some commands, one after the other, did to the disk and told.
struct Trace {
    history: History,
    /// When the run was said to have begun.
    begun: usize,
    /// What was printed of attempts that began outside, and of effects that ended, by slot.
    told: Vec<(usize, Told)>,
}

enum Told {
    Began(String),
    Ended(String, Value),
}

impl Trace {
    fn of(agent: &Agent, shim: &Path, commands: &[(&[&str], &str)]) -> Self {
        let log = agent.dir.path().join("disk.log");
        let _ = fs::remove_dir_all(agent.state());
        let _ = fs::remove_file(&log);
        for (args, failpoints) in commands {
            let mut command = agent.command(args);
            command.env("LD_PRELOAD", shim).env("HOST_TEST_DISK", agent.state());
            let ran = command.env("HOST_TEST_DISK_LOG", &log).env("FAILPOINTS", failpoints).output().unwrap();
            assert!(ran.status.success() == failpoints.is_empty(), "{args:?}: {}", Ran::from(ran).stderr);
        }
        let history = History::read(&log, &agent.state());
        // What was recorded is all that happened: with nothing lost it gives the disk as it is.
        let rebuilt = tempfile::tempdir().unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(0);
        history.crash(history.length, Unsynced::Kept, Unsynced::Kept, &mut random, rebuilt.path());
        assert_eq!(tree(rebuilt.path()), tree(&agent.state()));
        Self::told(history)
    }

    fn told(history: History) -> Self {
        let (mut begun, mut told) = (usize::MAX, Vec::new());
        for (at, text) in &history.told {
            for line in text.lines() {
                let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
                let slot = || event["slot"].as_str().unwrap().to_owned();
                match event["event"].as_str().unwrap_or_default() {
                    "run_started" => begun = begun.min(*at),
                    "started"
                        if event["request"]["tool"]["name"]
                            .as_str()
                            .is_some_and(|it| it.starts_with("w_")) =>
                    {
                        told.push((*at, Told::Began(slot())));
                    }
                    "finished" => told.push((*at, Told::Ended(slot(), event["finished"].clone()))),
                    _ => {}
                }
            }
        }
        assert!(told.len() > 5, "{told}", told = history.told.len());
        Self { history, begun, told }
    }

    /// Loses power after some call, goes on, and checks what is there before and after.
    fn check(&self, agent: &Agent, state: usize) {
        let mut random = ChaCha8Rng::seed_from_u64(state as u64);
        let length = 1 + state % self.history.length;
        let mut unsynced = || match random.next_u32() % 4 {
            0 => Unsynced::Lost,
            1 => Unsynced::Kept,
            2 => Unsynced::InOrder(length - (random.next_u32() as usize % length.min(40))),
            _ => Unsynced::Some([8, 128, 248][random.next_u32() as usize % 3]),
        };
        let (content, names) = (unsynced(), unsynced());
        let what = format!("state {state}: call {length} of {}, {content:?}, {names:?}", self.history.length);
        let disk = tempfile::tempdir().unwrap();
        self.history.crash(length, content, names, &mut random, disk.path());
        let runs = RunsDir::new(disk.path());
        let before = runs.find("last").and_then(|id| runs.read(id));
        if self.begun < length {
            self.holds(length, before.as_ref().unwrap_or_else(|error| panic!("{what}: {error}")), &what);
            let listed = runs.list().unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(listed.len(), 1, "{what}");
        }
        let resumed = agent.command(&["resume", "last"]).env("HOST_STATE", disk.path()).output().unwrap();
        let resumed = Ran::from(resumed);
        if self.begun >= length && resumed.code == Some(2) {
            return;
        }
        assert_eq!(
            (resumed.code, resumed.stdout.as_str()),
            (Some(0), "the end\n"),
            "{what}: {}",
            resumed.stderr
        );
        let id = runs.find("last").unwrap();
        let after = runs.read(id).unwrap();
        self.holds(length, &after, &what);
        let ended = |entry: &&Entry| matches!(entry.event, Event::Finished(_));
        for entry in before.iter().flatten().filter(ended) {
            assert!(after.contains(entry), "{what}: {} had ended, and is not as it was", entry.slot);
        }
        assert!(runs.is_sealed(id), "{what}");
    }

    /// Whatever was told before the crash is recorded.
    fn holds(&self, length: usize, entries: &[Entry], what: &str) {
        let mut events: BTreeMap<String, Vec<&Event>> = BTreeMap::new();
        for entry in entries {
            events.entry(entry.slot.to_string()).or_default().push(&entry.event);
        }
        for (_, told) in self.told.iter().filter(|(at, _)| *at < length) {
            match told {
                Told::Began(slot) => assert!(events.contains_key(slot), "{what}: {slot} began unrecorded"),
                Told::Ended(slot, expected) => {
                    let ended = events.get(slot).into_iter().flatten().any(|event| {
                        matches!(event, Event::Finished(finished) if serde_json::to_value(finished).unwrap() == *expected)
                    });
                    assert!(ended, "{what}: the end of {slot} was acknowledged, and is lost");
                }
            }
        }
    }
}

/// Every file below a directory, and what is in it.
fn tree(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let name = PathBuf::from(entry.file_name());
        if entry.path().is_dir() {
            let below = tree(&entry.path()).into_iter();
            files.extend(below.map(|(path, bytes)| (name.join(path), bytes)));
            files.insert(name, b"a directory".to_vec());
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    files
}

#[test]
fn power_loss_loses_nothing_that_was_acknowledged() {
    let states: usize = std::env::var("HOST_TEST_STATES").map_or(600, |states| states.parse().unwrap());
    let (agent, shim) = (agent(), shim());
    agent.host(&["check"]).ok();
    let run: &[&str] = &["run", "--json"];
    let resume: &[&str] = &["resume", "last", "--json"];
    let traces = [
        Trace::of(&agent, &shim, &[(run, "")]),
        Trace::of(&agent, &shim, &[(run, "journal-before-sync=4*off->1*return"), (resume, "")]),
        Trace::of(&agent, &shim, &[(run, "journal-before-ack=5*off->1*return"), (resume, "")]),
        Trace::of(
            &agent,
            &shim,
            &[
                (run, "journal-before-write=3*off->1*return"),
                (resume, "journal-before-seal=1*return"),
                (&["journal", "compact"], ""),
            ],
        ),
    ];
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let state = next.fetch_add(1, Ordering::Relaxed);
            if state >= states {
                return;
            }
            traces[state % traces.len()].check(&agent, state / traces.len());
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..std::thread::available_parallelism().map_or(2, usize::from))
            .map(|_| scope.spawn(work))
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    let calls: Vec<usize> = traces.iter().map(|trace| trace.history.length).collect();
    println!(
        "power lost in {states} states of {} recorded disks, of {calls:?} calls: 0 lost, 0 repeated",
        traces.len()
    );
}
