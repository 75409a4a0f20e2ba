//! Several runs in one journal, in one process and in several: whatever dies, what was told to be durable is there,
//! each run goes on from where it was, and in the end the space has come back.

mod carried;
mod witness;
pub mod work;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use host::journal::{JournalError, RunsDir, SessionsDir};

use work::{EVENTS, Random, id, process, recorded, short_process};

/// Segments so small, and so few of them, that all that can happen to them happens.
pub const SMALL: &str = "journal-segment-bytes=return(6000);journal-small-segments=return(2)";

/// What was told to be durable of each run.
#[derive(Default)]
pub struct Told {
    events: BTreeMap<usize, usize>,
    sealed: Vec<usize>,
}

impl Told {
    pub fn hear(&mut self, text: &str) {
        for line in text.lines() {
            // What the test runner itself prints may stand before it.
            let words: Vec<&str> = line.split(' ').collect();
            let number = |word: &str| word.parse::<usize>().unwrap();
            match words.as_slice() {
                [.., "durable", run, events] => {
                    let told = self.events.entry(number(run)).or_default();
                    *told = number(events).max(*told);
                }
                [.., "sealed", run] => self.sealed.push(number(run)),
                _ => {}
            }
        }
    }

    /// What is not as it was told.
    pub fn check(&self, state: &Path, runs: usize) -> Result<(), String> {
        let dir = RunsDir::new(state);
        for run in 0..runs {
            let told = self.events.get(&run).copied().unwrap_or_default();
            let there = match dir.read(id(run)) {
                Err(JournalError::UnknownRun { .. }) => 0,
                entries => recorded(run, &entries.map_err(|error| format!("run {run}: {error}"))?),
            };
            if there < told {
                return Err(format!("{told} events of run {run} were told, and {there} are there"));
            }
            if self.sealed.contains(&run) && !dir.is_sealed(id(run)) {
                return Err(format!("run {run} was told to be sealed"));
            }
        }
        let listed = dir.list().map_err(|error| error.to_string())?;
        match listed.unreadable.first() {
            Some((_, error)) => Err(format!("a listing says: {error}")),
            None if listed.runs.len() < self.events.len() => Err("a run is not listed".to_owned()),
            None => Ok(()),
        }
    }
}

fn says(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Lets a process work on what is left, and checks that nothing is left of the journal then.
pub fn finish(state: &Path, runs: usize, told: &mut Told) -> Result<(), String> {
    let ended = process(state, runs, 5).env("FAILPOINTS", SMALL).output().unwrap();
    if !ended.status.success() {
        return Err(says(&ended));
    }
    told.hear(&String::from_utf8_lossy(&ended.stdout));
    told.check(state, runs)?;
    let dir = RunsDir::new(state);
    for run in 0..runs {
        let read = dir.read(id(run)).map_err(|error| error.to_string())?;
        if !dir.is_sealed(id(run)) || read.len() != EVENTS {
            return Err(format!("run {run} did not come to its end"));
        }
    }
    // Where every run was sealed before, the process had nothing to write.
    dir.compact(&SessionsDir::new(state)).map_err(|error| error.to_string())?;
    drop(dir);
    let dir = RunsDir::new(state);
    let left: Vec<_> =
        std::fs::read_dir(dir.journal_path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    if left == ["lock"] { Ok(()) } else { Err(format!("the space has not come back: {left:?}")) }
}

/// Kills a process at the n-th time that it comes by a point, and lets another one finish. Whether it was killed.
fn killed_at(point: &str, nth: usize, seed: u64) -> bool {
    let (state, mut told) = (tempfile::tempdir().unwrap(), Told::default());
    let mut command = process(state.path(), 4, seed);
    let killed = command.env("FAILPOINTS", format!("{SMALL};{point}={nth}*off->1*return")).output().unwrap();
    assert!(killed.status.success() || killed.status.signal() == Some(9), "{point} {nth}: {}", says(&killed));
    told.hear(&String::from_utf8_lossy(&killed.stdout));
    told.check(state.path(), 4).unwrap_or_else(|what| panic!("killed at {point} {nth}: {what}"));
    finish(state.path(), 4, &mut told).unwrap_or_else(|what| panic!("killed at {point} {nth}: {what}"));
    killed.status.signal() == Some(9)
}

#[test]
fn a_kill_at_any_point_loses_nothing_of_any_run() {
    for point in [
        "journal-before-index",
        "journal-after-hold",
        "journal-before-write",
        "journal-before-sync",
        "journal-before-insert",
        "journal-before-ack",
        "journal-between-removals",
        "journal-before-seal",
        "journal-before-remove",
    ] {
        // Every third time, and each time from another one on: the points come by often.
        let first = point.len() % 3;
        let kills = (first..600).step_by(3).take_while(|nth| killed_at(point, *nth, *nth as u64)).count();
        println!("{point}: {kills} kills");
        assert!(kills > 0 || point == "journal-before-index", "{point} is never passed");
    }
    assert!(killed_at("journal-before-index", 0, 1));
}

/// Lets processes work on a run each for a moment, so that many small segments are left; kills the one at a point that
/// carries them forward; and lets another one finish. Whether it was killed.
fn killed_while_carrying(point: &str, nth: usize) -> bool {
    let (state, mut told) = (tempfile::tempdir().unwrap(), Told::default());
    for seed in 0..8 {
        let mut command = short_process(state.path(), 7, seed);
        if seed == 7 {
            command.env("FAILPOINTS", format!("{SMALL};{point}={nth}*off->1*return"));
        }
        let killed = command.output().unwrap();
        told.hear(&String::from_utf8_lossy(&killed.stdout));
        told.check(state.path(), 7).unwrap_or_else(|what| panic!("killed at {point} {nth}: {what}"));
        if seed == 7 {
            finish(state.path(), 7, &mut told)
                .unwrap_or_else(|what| panic!("killed at {point} {nth}: {what}"));
            return killed.status.signal() == Some(9);
        }
        assert!(killed.status.success(), "{}", says(&killed));
    }
    false
}

#[test]
fn a_kill_while_runs_are_carried_forward_loses_nothing() {
    for point in ["journal-before-carried", "journal-before-removal", "journal-between-removals"] {
        let kills = (0..30).take_while(|nth| killed_while_carrying(point, *nth)).count();
        println!("{point}: {kills} kills");
        assert!(kills >= 4, "{point}: {kills} kills");
    }
}

#[test]
fn a_kill_while_somebody_is_taken_for_dead_loses_nothing() {
    for seed in 0..4 {
        let (state, mut told) = (tempfile::tempdir().unwrap(), Told::default());
        for point in ["journal-before-ack=12*off->1*return", "journal-before-end=1*return"] {
            let mut command = process(state.path(), 4, seed);
            let killed = command.env("FAILPOINTS", format!("{SMALL};{point}")).output().unwrap();
            assert_eq!(killed.status.signal(), Some(9), "{point}: {}", says(&killed));
            told.hear(&String::from_utf8_lossy(&killed.stdout));
            told.check(state.path(), 4).unwrap();
        }
        finish(state.path(), 4, &mut told).unwrap();
    }
}

/// How many runs there are where they are killed at random times.
const RUNS: usize = 32;

#[test]
fn processes_share_a_journal_and_kills_lose_nothing() {
    let kills: usize = std::env::var("HOST_TEST_KILLS").map_or(40, |kills| kills.parse().unwrap());
    let (mut killed, mut rounds) = (0, 0);
    let mut random = Random(11);
    while killed < kills {
        rounds += 1;
        let (state, mut told) = (tempfile::tempdir().unwrap(), Told::default());
        for _ in 0..12 {
            // Two at once on the same runs; one of them is killed, and then the other one.
            let start = |command: &mut Command| {
                command
                    .env("FAILPOINTS", SMALL)
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            };
            let both = [0, 1].map(|_| start(&mut process(state.path(), RUNS, random.next())));
            for mut child in both {
                std::thread::sleep(std::time::Duration::from_millis(random.below(60)));
                child.kill().unwrap();
                let output = child.wait_with_output().unwrap();
                killed += usize::from(output.status.signal() == Some(9));
                let ended = output.status.success() || output.status.signal() == Some(9);
                assert!(ended, "{}", says(&output));
                told.hear(&String::from_utf8_lossy(&output.stdout));
            }
            told.check(state.path(), RUNS).unwrap();
        }
        finish(state.path(), RUNS, &mut told).unwrap();
    }
    println!("{killed} kills of processes with {RUNS} runs each, over {rounds} journals: 0 lost");
}

#[test]
fn after_a_write_or_a_sync_that_failed_no_run_loses_anything() {
    for fault in ["journal-write-fails", "journal-sync-fails"] {
        for nth in (0..16).step_by(2) {
            let (state, mut told) = (tempfile::tempdir().unwrap(), Told::default());
            let mut command = process(state.path(), 4, nth);
            let failed =
                command.env("FAILPOINTS", format!("{SMALL};{fault}={nth}*off->1*return")).output().unwrap();
            assert!(!failed.status.success(), "{fault} {nth}: the run stops");
            told.hear(&String::from_utf8_lossy(&failed.stdout));
            told.check(state.path(), 4).unwrap_or_else(|what| panic!("{fault} {nth}: {what}"));
            finish(state.path(), 4, &mut told).unwrap_or_else(|what| panic!("{fault} {nth}: {what}"));
        }
    }
}
