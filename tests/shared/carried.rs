//! How space comes back, what depends on what, and who has which run: several openings of one journal, as processes
//! have them, and the directories of older hosts.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use host::journal::{Durability, Entry, JournalError, JournalStore as _, OpenRun, RunState, RunsDir, Tail};
use host::message::RunId;

use super::work::{EVENTS, entry, id, recorded, summary};
use crate::recorded::{INTERRUPTED, fixtures};
use crate::support::{Agent, Ran, copy};

/// Records the events of a run from one place to another.
async fn record(open: &OpenRun, run: usize, events: std::ops::Range<usize>) {
    for n in events {
        open.store.append(&entry(run, n), Durability::Now).durable().await.unwrap();
    }
}

fn read(dir: &RunsDir, run: usize) -> usize {
    recorded(run, &dir.read(id(run)).unwrap())
}

/// The files of the journal with an ending, by name.
fn files(dir: &RunsDir, extension: &str) -> BTreeSet<String> {
    let names =
        fs::read_dir(dir.journal_path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(extension)).collect()
}

async fn to_its_end(dir: &RunsDir, run: usize) {
    let open = dir.open(id(run)).unwrap();
    record(&open, run, read(dir, run)..EVENTS).await;
    open.seal(&summary(run, RunState::Answered)).unwrap();
}

#[tokio::test]
async fn processes_that_leave_a_run_each_do_not_leave_a_segment_each() {
    const RUNS: usize = 60;
    let state = tempfile::tempdir().unwrap();
    for run in 0..RUNS {
        let dir = RunsDir::new(state.path());
        let open = dir.create(id(run)).unwrap();
        record(&open, run, 0..5).await;
        open.write_summary(&summary(run, RunState::Suspended)).unwrap();
    }
    let dir = RunsDir::new(state.path());
    let segments = files(&dir, ".log");
    assert!(segments.len() <= 17, "{segments:?}");
    assert_eq!(files(&dir, ".end").len(), segments.len());
    assert_eq!((files(&dir, ".held"), files(&dir, ".index")), (BTreeSet::new(), BTreeSet::new()));
    let listed = dir.list().unwrap();
    assert_eq!((listed.runs.len(), listed.unreadable.len()), (RUNS, 0));
    assert!(listed.runs.iter().all(|run| run.state == RunState::Suspended));
    assert!((0..RUNS).all(|run| read(&dir, run) == 5));
    for run in 0..RUNS {
        to_its_end(&dir, run).await;
    }
    drop(dir);
    let dir = RunsDir::new(state.path());
    assert_eq!(files(&dir, ""), BTreeSet::from(["lock".to_owned()]));
    assert!((0..RUNS).all(|run| read(&dir, run) == EVENTS));
}

#[tokio::test]
async fn a_run_goes_from_one_living_process_to_another_and_back() {
    let state = tempfile::tempdir().unwrap();
    let [one, other] = [(); 2].map(|()| RunsDir::new(state.path()));
    let [kept, passed] = [one.create(id(0)).unwrap(), one.create(id(1)).unwrap()];
    record(&kept, 0, 0..3).await;
    record(&passed, 1, 0..2).await;
    // What nobody waited for is there all the same when the run is given back.
    drop(passed.store.append(&entry(1, 2), Durability::WithNext));
    let held = other.open(id(1)).unwrap_err();
    assert!(matches!(&held, JournalError::Locked { run, .. } if *run == id(1)), "{held}");
    passed.write_summary(&summary(1, RunState::Suspended)).unwrap();
    drop(passed);
    let passed = other.open(id(1)).unwrap();
    assert_eq!(passed.left(), Some(RunState::Suspended));
    assert_eq!(recorded(1, &passed.store.read(id(1)).unwrap()), 3);
    record(&passed, 1, 3..5).await;
    record(&kept, 0, 3..6).await;
    assert!(matches!(one.open(id(1)), Err(JournalError::Locked { .. })));
    drop(passed);
    let passed = one.open(id(1)).unwrap();
    assert_eq!(recorded(1, &passed.store.read(id(1)).unwrap()), 5);
    record(&passed, 1, 5..7).await;
    drop((passed, kept, other));
    let third = RunsDir::new(state.path());
    assert_eq!((read(&third, 0), read(&third, 1)), (6, 7));
    drop(one);
    assert_eq!((read(&third, 0), read(&third, 1)), (6, 7));
    for run in [0, 1] {
        to_its_end(&third, run).await;
    }
    drop(third);
    assert_eq!(files(&RunsDir::new(state.path()), ""), BTreeSet::from(["lock".to_owned()]));
}

/// By who has the run open, and by who looks on from another process, over several processes that record it.
#[tokio::test]
async fn what_was_read_of_a_run_is_not_read_again_until_it_is_one_file() {
    let state = tempfile::tempdir().unwrap();
    let [one, other, third] = [(); 3].map(|()| RunsDir::new(state.path()));
    let numbers = |entries: Vec<Entry>| {
        let mut numbers: Vec<usize> =
            entries.iter().map(|entry| usize::try_from(entry.seq.unwrap().0).unwrap()).collect();
        numbers.sort_unstable();
        numbers
    };
    let mut tail = Tail::default();
    let mut new = || numbers(third.read_on(id(0), &mut tail).unwrap());
    let mut next = 0;
    let beside = one.create(id(1)).unwrap();
    for dir in [&one, &other, &one, &other] {
        let open = dir.open(id(0)).or_else(|_| dir.create(id(0))).unwrap();
        let mut own = Tail::default();
        assert_eq!(open.store.read_on(&mut own).unwrap().len(), next);
        for _ in 0..3 {
            record(&open, 0, next..next + 1).await;
            record(&beside, 1, next..next + 1).await;
            next += 1;
            assert_eq!(numbers(open.store.read_on(&mut own).unwrap()), [next]);
            assert_eq!(new(), [next]);
        }
        assert_eq!((open.store.read_on(&mut own).unwrap().len(), new().len()), (0, 0));
        open.leave().await;
    }
    to_its_end(&one, 0).await;
    assert_eq!(new(), (1..=EVENTS).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_ended_run_that_was_removed_does_not_come_back() {
    let state = tempfile::tempdir().unwrap();
    let [one, other] = [(); 2].map(|()| RunsDir::new(state.path()));
    let stays = one.create(id(0)).unwrap();
    record(&stays, 0, 0..3).await;
    let ends = one.create(id(1)).unwrap();
    record(&ends, 1, 0..EVENTS).await;
    ends.seal(&summary(1, RunState::Answered)).unwrap();
    ends.leave().await;
    let is_gone = || {
        let dir = RunsDir::new(state.path());
        let gone = matches!(dir.read(id(1)), Err(JournalError::UnknownRun { .. }));
        gone && dir.ids().unwrap() == [id(0)] && dir.list().unwrap().runs.len() == 1
    };
    assert!(!is_gone());
    // The segment of a process that lives still has it.
    other.remove(id(1)).unwrap();
    assert!(is_gone());
    drop(other);
    assert!(is_gone(), "what says that it is gone outlasts who said it");
    drop(stays);
    drop(one);
    assert!(is_gone());
    let dir = RunsDir::new(state.path());
    to_its_end(&dir, 0).await;
    drop(dir);
    let dir = RunsDir::new(state.path());
    assert_eq!(files(&dir, ""), BTreeSet::from(["lock".to_owned()]));
    // And may be put there again.
    dir.remove(id(0)).unwrap();
    assert!(dir.ids().unwrap().is_empty());
}

#[tokio::test]
async fn a_segment_that_is_missing_is_damage_for_the_runs_that_need_it() {
    let state = tempfile::tempdir().unwrap();
    for (run, events) in [(0, 0..3), (1, 0..3), (0, 3..5)] {
        let dir = RunsDir::new(state.path());
        let open = if events.start == 0 { dir.create(id(run)) } else { dir.open(id(run)) }.unwrap();
        record(&open, run, events).await;
    }
    let dir = RunsDir::new(state.path());
    assert_eq!((read(&dir, 0), read(&dir, 1)), (5, 3));
    let logs: Vec<String> = files(&dir, ".log").into_iter().collect();
    assert_eq!(logs.len(), 3, "{logs:?}");
    for missing in [&logs[0], &logs[2]] {
        let path = dir.journal_path().join(missing);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        // As it was known before, and as it is found.
        for dir in [&dir, &RunsDir::new(state.path())] {
            let error = dir.read(id(0)).unwrap_err().to_string();
            assert!(error.contains(missing.as_str()) && error.contains("it is missing"), "{error}");
            let error = dir.open(id(0)).and_then(|open| open.store.read(id(0))).unwrap_err().to_string();
            assert!(error.contains("it is missing"), "{error}");
            assert_eq!(read(dir, 1), 3);
        }
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!(read(&RunsDir::new(state.path()), 0), 5);
}

#[tokio::test]
async fn what_a_dead_process_left_damaged_stops_no_new_run() {
    let state = tempfile::tempdir().unwrap();
    let dir = RunsDir::new(state.path());
    let open = dir.create(id(0)).unwrap();
    record(&open, 0, 0..6).await;
    // As a process leaves it that is killed: no end, and nobody who locks it.
    let left = tempfile::tempdir().unwrap();
    copy(state.path(), left.path());
    drop((open, dir));
    let state = left;
    let dir = RunsDir::new(state.path());
    let log = dir.journal_path().join(files(&dir, ".log").first().unwrap());
    let mut bytes = fs::read(&log).unwrap();
    bytes[300] ^= 1;
    fs::write(&log, bytes).unwrap();
    let damaged = |error: JournalError| {
        assert!(
            matches!(&error, JournalError::Corrupt { place, .. } if place.contains(".log, byte ")),
            "{error}"
        );
    };
    damaged(dir.read(id(0)).unwrap_err());
    damaged(dir.open(id(0)).unwrap_err());
    for run in [1, 2] {
        let dir = RunsDir::new(state.path());
        let open = dir.create(id(run)).unwrap();
        record(&open, run, 0..EVENTS).await;
        open.seal(&summary(run, RunState::Answered)).unwrap();
        assert_eq!(read(&dir, run), EVENTS);
        let listed = dir.list().unwrap();
        assert_eq!(listed.runs.len(), run);
        for (_, error) in listed.unreadable {
            damaged(error);
        }
    }
    damaged(RunsDir::new(state.path()).read(id(0)).unwrap_err());
    let agent = Agent::raw("version = 1");
    let verified = agent.command(&["journal", "verify"]).env("HOST_STATE", state.path()).output().unwrap();
    let verified = Ran::from(verified);
    verified.exits(1).says("2 runs: 2 whole, 0 damaged");
    assert!(verified.stdout.contains("DAMAGED: the journal is damaged at "), "{}", verified.stdout);
}

#[tokio::test]
async fn a_listing_opens_no_file_twice_that_has_not_changed() {
    let state = tempfile::tempdir().unwrap();
    let dir = RunsDir::new(state.path());
    for run in 0..120 {
        let entries: Vec<Entry> = (0..EVENTS).map(|n| entry(run, n)).collect();
        let file = host::journal::RunFile::new(&summary(run, RunState::Answered), entries);
        dir.import(&file).await.unwrap();
    }
    let whole = dir.list().unwrap().runs;
    assert_eq!(whole.len(), 120);
    let catalogue = dir.path().join("catalogue");
    let kept = fs::read(&catalogue).unwrap();
    // Every file is made unreadable in place, with its size and its time: what is listed comes from the catalogue.
    for run in 0..119 {
        let path = dir.path().join(format!("{}.jsonl.gz", id(run)));
        let file = fs::File::options().write(true).open(path).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"no gzip", 0).unwrap();
        file.set_modified(modified).unwrap();
    }
    assert_eq!(dir.list().unwrap().runs, whole);
    // What is damaged in it is passed over, and what has changed since is read.
    let mut damaged = kept.clone();
    damaged[kept.len() / 2] ^= 0x40;
    fs::write(&catalogue, damaged).unwrap();
    let listed = dir.list().unwrap();
    assert!(listed.unreadable.len() <= 2 && listed.runs.len() >= 118);
    fs::write(&catalogue, kept).unwrap();
    fs::write(dir.path().join(format!("{}.jsonl.gz", id(119))), "no run").unwrap();
    assert_eq!(dir.list().unwrap().unreadable.len(), 1);
    dir.remove(id(3)).unwrap();
    assert_eq!(dir.list().unwrap().runs.len(), 118);
}

fn older(state: &Path) -> RunId {
    copy(&fixtures("v1").join("interrupted"), &state.join("runs").join(INTERRUPTED));
    INTERRUPTED.parse().unwrap()
}

#[test]
fn a_run_of_an_older_host_is_taken_over_when_it_goes_on() {
    let state = tempfile::tempdir().unwrap();
    let id = older(state.path());
    let dir = RunsDir::new(state.path());
    let (before, listed) = (dir.read(id).unwrap(), dir.list().unwrap().runs);
    assert_eq!((before.len(), listed.len(), listed[0].state), (7, 1, RunState::Interrupted));
    let open = dir.open(id).unwrap();
    assert_eq!((open.left(), open.store.read(id).unwrap()), (Some(RunState::Running), before.clone()));
    assert!(!dir.path().join(INTERRUPTED).exists());
    assert_eq!(dir.list().unwrap().runs[0].state, RunState::Running);
    drop((open, dir));
    let again = RunsDir::new(state.path());
    assert_eq!(again.list().unwrap().runs, listed);
    assert_eq!(again.read(id).unwrap(), before);
    assert!(again.open(id).is_ok());
}

#[test]
fn an_older_host_that_works_on_a_run_keeps_it() {
    let state = tempfile::tempdir().unwrap();
    let id = older(state.path());
    let dir = RunsDir::new(state.path());
    let path = dir.path().join(INTERRUPTED).join("lock");
    fs::write(&path, "4711").unwrap();
    let lock = fs::File::open(&path).unwrap();
    lock.lock().unwrap();
    let error = dir.open(id).unwrap_err().to_string();
    assert!(error.contains("is in use by process 4711"), "{error}");
    assert_eq!(dir.list().unwrap().runs[0].state, RunState::Running);
    drop(lock);
    dir.open(id).unwrap();
}

#[test]
fn a_kill_between_taking_over_and_removing_leaves_one_run() {
    let agent = Agent::raw("version = 1");
    let id = older(&agent.state());
    let before = RunsDir::new(&agent.state()).read(id).unwrap();
    for (point, is_left) in [("journal-before-write", true), ("journal-before-legacy-removal", true)] {
        let killed =
            agent.command(&["resume", INTERRUPTED]).env("FAILPOINTS", format!("{point}=1*return")).output();
        assert!(killed.unwrap().status.code().is_none(), "{point}");
        let dir = RunsDir::new(&agent.state());
        assert_eq!((dir.path().join(INTERRUPTED).exists(), dir.read(id).unwrap()), (is_left, before.clone()));
        assert_eq!((dir.list().unwrap().runs.len(), dir.ids().unwrap()), (1, vec![id]));
    }
    // It has no agent.toml here, but is taken over.
    agent.host(&["resume", INTERRUPTED]);
    let dir = RunsDir::new(&agent.state());
    assert!(!dir.path().join(INTERRUPTED).exists());
    assert_eq!(dir.read(id).unwrap(), before);
}
