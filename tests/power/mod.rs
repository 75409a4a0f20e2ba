//! Power loss: the calls that the real binary makes of the disk are recorded, the disk is rebuilt as a crash after
//! any of them could leave it, and the run goes on from there.
//!
//! `HOST_TEST_STATES=10000 cargo test --release --test main power -- --nocapture` is the long form.

mod disk;
mod plain_sled;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use host::journal::{Entry, Event, Runs as _, RunsDir};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use serde_json::Value;

use crate::shared::work::process;
use crate::shared::{self, SMALL, finish};
use crate::support::{Agent, Ran, root};
use disk::{History, Syncs, Unsynced};

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
        "[tools.w]\nsource = \"{}\"\nprefix = \"w_\"\nretry.idempotent = [\"*\"]\n\
         [[tools.w.permissions.dirs]]\nhost = \"work\"\nguest = \"/work\"\naccess = \"rw\"",
        root().join("guest-tools/hostile").display()
    );
    agent.table(&writing)
}

/// Lets a command note what it does to the disk below a directory.
fn trace(command: &mut Command, disk: &Path, log: &Path) {
    command.env("LD_PRELOAD", shim()).env("HOST_TEST_DISK", disk).env("HOST_TEST_DISK_LOG", log);
}

/// The shim, compiled once.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let shim = Path::new(env!("CARGO_TARGET_TMPDIR")).join("power_shim.so");
        let source = root().join("tests/power/shim.rs");
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args(["--edition", "2024", "-O", "--crate-type", "cdylib", "-o"]).arg(&shim).arg(source);
        assert!(rustc.status().unwrap().success());
        shim
    })
}

/// A disk after power was lost.
fn crash(history: &History, length: usize, random: &mut ChaCha8Rng) -> (tempfile::TempDir, String) {
    let unsynced = [Unsynced::random(length, random), Unsynced::random(length, random)];
    let disk = tempfile::tempdir().unwrap();
    history.crash(length, unsynced, random, disk.path());
    (disk, format!("after call {length} of {}, bytes and names unsynced: {unsynced:?}", history.length))
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
    fn of(agent: &Agent, commands: &[(&[&str], &str)], syncs: Syncs) -> Self {
        let log = agent.dir.path().join("disk.log");
        let _ = fs::remove_dir_all(agent.state());
        let _ = fs::remove_file(&log);
        for (args, failpoints) in commands {
            let mut command = agent.command(args);
            trace(&mut command, &agent.state(), &log);
            let ran = command.env("FAILPOINTS", failpoints).output().unwrap();
            assert!(ran.status.success() == failpoints.is_empty(), "{args:?}: {}", Ran::from(ran).stderr);
        }
        let history = History::read(&log, &agent.state(), syncs);
        // What was recorded is all that happened: with nothing lost it gives the disk as it is.
        let rebuilt = tempfile::tempdir().unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(0);
        history.crash(history.length, [Unsynced::Kept; 2], &mut random, rebuilt.path());
        assert_eq!(tree(rebuilt.path()), tree(&agent.state()));
        Self::told(history)
    }

    fn told(history: History) -> Self {
        let (mut begun, mut told) = (usize::MAX, Vec::new());
        for (at, text) in &history.told {
            for line in text.lines() {
                let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
                let slot = || event["slot"].as_str().unwrap().to_owned();
                let outside = || event["request"]["tool"]["name"].as_str()?.strip_prefix("w_");
                match event["event"].as_str().unwrap_or_default() {
                    "run_started" => begun = begun.min(*at),
                    "started" if outside().is_some() => told.push((*at, Told::Began(slot()))),
                    "finished" => told.push((*at, Told::Ended(slot(), event["finished"].clone()))),
                    _ => {}
                }
            }
        }
        assert!(begun < usize::MAX && told.len() >= 11, "3 replies, 5 ends, 3 starts: {}", told.len());
        Self { history, begun, told }
    }

    /// Loses power after some call, goes on, and checks what is there before and after.
    fn check(&self, agent: &Agent, state: usize) -> Result<(), String> {
        let length = 1 + state % self.history.length;
        let (disk, crash) = crash(&self.history, length, &mut ChaCha8Rng::seed_from_u64(state as u64));
        let lost = |what: &str| format!("state {state}, {crash}: {what}");
        let runs = RunsDir::new(disk.path());
        let before = runs.find("last").and_then(|id| runs.read(id));
        if self.begun < length {
            let before = before.as_ref().map_err(|error| lost(&error.to_string()))?;
            self.holds(length, before).map_err(|what| lost(&what))?;
            let listed = runs.list().map_err(|error| lost(&error.to_string()))?;
            if listed.runs.len() != 1 {
                return Err(lost("the run is not listed"));
            }
        }
        let resumed = agent.command(&["resume", "last"]).env("HOST_STATE", disk.path()).output().unwrap();
        let resumed = Ran::from(resumed);
        match (resumed.code, resumed.stdout.as_str()) {
            (Some(0), "the end\n") => {}
            // Nobody was told that it began.
            (Some(2), _) if self.begun >= length => return Ok(()),
            (code, _) => return Err(lost(&format!("{code:?}, {}", resumed.stderr))),
        }
        let id = runs.find("last").unwrap();
        let after = runs.read(id).map_err(|error| lost(&error.to_string()))?;
        self.holds(length, &after).map_err(|what| lost(&what))?;
        let ended = |entry: &&Entry| matches!(entry.event, Event::Finished(_));
        match before.iter().flatten().filter(ended).find(|entry| !after.contains(entry)) {
            Some(Entry { slot, .. }) => Err(lost(&format!("{slot} had ended, and is not as it was"))),
            None if runs.is_sealed(id) => Ok(()),
            None => Err(lost("the run ended and is not sealed")),
        }
    }

    /// Whatever was told before the crash is recorded.
    fn holds(&self, length: usize, entries: &[Entry]) -> Result<(), String> {
        let events = |slot: &str| {
            let slot = slot.to_owned();
            entries.iter().filter(move |entry| entry.slot.to_string() == slot).map(|entry| &entry.event)
        };
        let is = |event: &Event, expected: &Value| match event {
            Event::Finished(finished) => serde_json::to_value(finished).unwrap() == *expected,
            Event::Started(_) | Event::Failed(_) => false,
        };
        for (_, told) in self.told.iter().filter(|(at, _)| *at < length) {
            match told {
                Told::Began(slot) if events(slot).next().is_none() => {
                    return Err(format!("{slot} began outside, and nothing is recorded of it"));
                }
                Told::Ended(slot, expected) if !events(slot).any(|event| is(event, expected)) => {
                    return Err(format!("the end of {slot} was acknowledged, and is lost"));
                }
                Told::Began(_) | Told::Ended(..) => {}
            }
        }
        Ok(())
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

/// Checks so many states on all processors. What was found wrong.
fn check(states: usize, check: impl Fn(usize) -> Result<(), String> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = Vec::new();
        loop {
            let state = next.fetch_add(1, Ordering::Relaxed);
            if state >= states {
                return wrong;
            }
            wrong.extend(check(state).err());
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

fn states() -> usize {
    std::env::var("HOST_TEST_STATES").map_or(600, |states| states.parse().unwrap())
}

#[test]
fn nothing_that_was_acknowledged_is_lost_with_the_power() {
    let states = states();
    let agent = agent();
    agent.host(&["check"]).ok();
    let run: &[&str] = &["run", "--json"];
    let resume: &[&str] = &["resume", "last", "--json"];
    let compact: &[&str] = &["journal", "compact"];
    let traces = [
        // A run; one that was killed in the middle of a commit, or before it told of one, and resumed; one that
        // was killed again when it was sealed.
        [(run, "")].as_slice(),
        &[(run, "journal-before-sync=4*off->1*return"), (resume, "")],
        &[(run, "journal-before-ack=5*off->1*return"), (resume, "")],
        &[
            (run, "journal-before-write=3*off->1*return"),
            (resume, "journal-before-seal=1*return"),
            (compact, ""),
        ],
    ]
    .map(|commands| Trace::of(&agent, commands, Syncs::Heeded));
    let wrong = check(states, |state| traces[state % traces.len()].check(&agent, state / traces.len()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let calls: Vec<usize> = traces.iter().map(|trace| trace.history.length).collect();
    println!(
        "power lost in {states} states of {} recorded disks of {calls:?} calls: 0 lost, 0 repeated",
        traces.len()
    );
}

#[test]
fn a_disk_that_ignores_syncs_is_noticed() {
    let agent = agent();
    agent.host(&["check"]).ok();
    let trace = Trace::of(&agent, &[(&["run", "--json"], "")], Syncs::Ignored);
    let wrong = check(200, |state| trace.check(&agent, state));
    assert!(wrong.len() > 20, "a test that notices nothing shows nothing: {}", wrong.len());
}

/// How many runs share the journal.
const RUNS: usize = 4;

#[test]
fn nothing_of_several_runs_in_one_journal_is_lost_with_the_power() {
    let directory = tempfile::tempdir().unwrap();
    let (state, log) = (directory.path().join("state"), directory.path().join("disk.log"));
    // Segments so small that they are begun, ended, carried forward and removed all the time; a process that is killed
    // between two commits, one that is killed when it takes that one for dead, and one that comes to the end.
    for (failpoint, ends) in
        [("journal-before-ack=12*off->1*return", false), ("journal-before-end=1*return", false), ("", true)]
    {
        let mut command = process(&state, RUNS, 3);
        trace(&mut command, &state, &log);
        let ran = command.env("FAILPOINTS", format!("{SMALL};{failpoint}")).output().unwrap();
        assert_eq!(ran.status.success(), ends, "{failpoint}: {}", Ran::from(ran).stderr);
    }
    let history = History::read(&log, &state, Syncs::Heeded);
    let rebuilt = tempfile::tempdir().unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(0);
    history.crash(history.length, [Unsynced::Kept; 2], &mut random, rebuilt.path());
    assert_eq!(tree(rebuilt.path()), tree(&state));
    let states = states() / 4;
    let wrong = check(states, |number| {
        let length = 1 + number * history.length / states;
        let (disk, after) = crash(&history, length, &mut ChaCha8Rng::seed_from_u64(number as u64));
        let mut told = shared::Told::default();
        for (_, text) in history.told.iter().filter(|(at, _)| *at < length) {
            told.hear(text);
        }
        told.check(disk.path(), RUNS).map_err(|what| format!("state {number}, {after}: {what}"))?;
        finish(disk.path(), RUNS, &mut told).map_err(|what| format!("state {number}, {after}: {what}"))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!(
        "power lost in {states} states of a disk of {} calls, {RUNS} runs in one journal: 0 lost",
        history.length
    );
}
