//! Bytes that are not as they were written, wherever they are: an error that names the place, or the right result.

use std::fs;

use host::journal::{JournalError, RunFile, Runs as _, RunsDir};

use crate::kills::SCRIPT;
use crate::recorded::{ended, ids};
use crate::shared::work::{id, process};
use crate::support::Agent;

#[test]
fn a_changed_byte_of_a_log_is_an_error_or_changes_nothing() {
    let agent = Agent::scripted(SCRIPT).guest("hostile");
    // Two processes, and so two segments, the second of which stopped in the middle, too.
    for (args, commits) in [(["run"].as_slice(), 4), (&["resume", "last"], 2)] {
        let failpoint = format!("journal-before-ack={commits}*off->1*return");
        assert!(!agent.command(args).env("FAILPOINTS", failpoint).output().unwrap().status.success());
    }
    let runs = RunsDir::new(&agent.state());
    let id = runs.find("last").unwrap();
    let whole = runs.read(id).unwrap();
    let (mut found, mut unnoticed) = (0, 0);
    let mut files: Vec<_> =
        fs::read_dir(runs.journal_path()).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|it| it == "log" || it == "end"));
    files.sort();
    // The first segment is over, and the second one is not.
    assert_eq!(files.len(), 3, "{files:?}");
    for path in files {
        let segment = path.file_name().unwrap().to_str().unwrap();
        let bytes = fs::read(&path).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 600;
        // The beginning is a header; behind it commits repeat one form, and a prime step meets each of its fields.
        for at in (0..used.min(bytes.len())).filter(|at| *at < 200 || at % 7 == 0) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x11;
            fs::write(&path, &changed).unwrap();
            match RunsDir::new(&agent.state()).read(id) {
                Ok(read) => {
                    assert_eq!(read, whole, "{segment}, byte {at}");
                    unnoticed += 1;
                }
                Err(JournalError::Corrupt { place, .. }) => {
                    assert!(place.contains(segment), "{place}");
                    found += 1;
                }
                Err(error) => panic!("{segment}, byte {at}: {error}"),
            }
        }
        fs::write(&path, &bytes).unwrap();
    }
    // What was never part of a commit may be anything.
    println!("{found} changed bytes found, {unnoticed} behind the last commit");
    assert!(found > 5 * unnoticed, "{found}, {unnoticed}");
    assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "the end\n");
}

#[test]
fn a_changed_byte_of_a_journal_of_several_runs_is_an_error_or_changes_nothing() {
    let state = tempfile::tempdir().unwrap();
    // The one process is killed among four runs, and so is the one that takes it for dead and goes on.
    for commits in [10, 6] {
        let mut command = process(state.path(), 4, 3);
        let killed =
            command.env("FAILPOINTS", format!("journal-before-ack={commits}*off->1*return")).output();
        assert!(!killed.unwrap().status.success());
    }
    let read = || {
        let dir = RunsDir::new(state.path());
        (0..4).map(|run| (id(run), dir.read(id(run)))).collect::<Vec<_>>()
    };
    let whole: Vec<_> = read().into_iter().map(|(_, entries)| entries.ok()).collect();
    assert!(whole.iter().flatten().count() > 1);
    let mut files: Vec<_> =
        fs::read_dir(state.path().join("journal")).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|it| it == "log" || it == "end"));
    assert_eq!(files.len(), 3, "{files:?}");
    let (mut found, mut unnoticed) = (0, 0);
    for path in files {
        let bytes = fs::read(&path).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 100;
        for at in (0..used.min(bytes.len())).step_by(127) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x11;
            fs::write(&path, &changed).unwrap();
            for ((run, read), whole) in read().into_iter().zip(&whole) {
                match read {
                    Ok(read) => {
                        assert_eq!(Some(read), *whole, "run {run}: {}, byte {at}", path.display());
                        unnoticed += 1;
                    }
                    Err(JournalError::UnknownRun { .. }) => assert_eq!(*whole, None),
                    Err(JournalError::Corrupt { .. } | JournalError::Version { .. }) => found += 1,
                    Err(error) => panic!("run {run}: {}, byte {at}: {error}", path.display()),
                }
            }
        }
        fs::write(&path, &bytes).unwrap();
    }
    // A byte of one run's commit in a segment that is over is no other run's damage.
    println!("{found} times a run was found damaged, {unnoticed} times it was read as it is");
    assert!(found > 100 && unnoticed > 50);
}

#[test]
fn a_changed_byte_is_an_error_or_changes_nothing() {
    let (agent, file) = ended();
    let whole = RunFile::read(&file).unwrap();
    let lines = agent.dir.path().join("run.jsonl");
    agent.host(&["journal", "export", "last", "-o", lines.to_str().unwrap()]).ok();
    for path in [&file, &lines] {
        let bytes = fs::read(path).unwrap();
        let changed_path = agent.dir.path().join("changed");
        let mut unnoticed = Vec::new();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= [0x01, 0x80][at % 2];
            fs::write(&changed_path, &changed).unwrap();
            match RunFile::read(&changed_path) {
                Ok(read) => {
                    assert_eq!(read, whole, "byte {at} of {}", path.display());
                    unnoticed.push(at);
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
        // A gzip header has a time, a system and a comment, and no checksum over them.
        // In a gzip file a bit of the header, or of a code that is not used, may say nothing; in the lines each does.
        assert!(path == &file || unnoticed.is_empty(), "{unnoticed:?}");
        for cut in (0..bytes.len()).step_by(19) {
            fs::write(&changed_path, &bytes[..cut]).unwrap();
            assert!(RunFile::read(&changed_path).is_err(), "cut at {cut} of {}", path.display());
        }
    }
}

#[test]
fn verify_finds_what_is_damaged() {
    let (agent, file) = ended();
    agent.host(&["run"]).ok();
    let verified = agent.host(&["journal", "verify"]);
    assert_eq!(verified.ok().stdout.matches("ok: 5 slots, 10 events").count(), 2, "{}", verified.stdout);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() * 3 / 4;
    bytes[middle] ^= 4;
    fs::write(&file, bytes).unwrap();
    let verified = agent.host(&["journal", "verify"]);
    verified.exits(1).says("2 runs: 1 whole, 1 damaged");
    assert!(verified.stdout.contains("DAMAGED: the journal is damaged at "), "{}", verified.stdout);
    let first = file.file_name().unwrap().to_str().unwrap().strip_suffix(".jsonl.gz").unwrap();
    agent.host(&["replay", first]).exits(1).says("the journal is damaged at ");
    assert_eq!(ids(&agent).len(), 2, "what a listing shows is whole");
    fs::write(&file, "no run").unwrap();
    let listed = agent.host(&["runs"]);
    listed.exits(1).says("the journal is damaged at ");
    assert_eq!(listed.stdout.lines().count(), 1, "the other run is listed: {}", listed.stdout);
    agent.host(&["journal", "verify", "last"]).ok();
}
