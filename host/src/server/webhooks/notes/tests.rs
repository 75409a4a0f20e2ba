#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::message::RunId;

fn owed(state: &Path) -> Vec<RunId> {
    read(&state.join(NAME)).unwrap().owed()
}

#[tokio::test]
async fn what_is_noted_is_read_again_and_the_file_stays_short() {
    let state = tempfile::tempdir().unwrap();
    let notes = Notes::open(state.path()).unwrap();
    assert!(!state.path().join(NAME).exists(), "nothing was noted");
    let stays = RunId::new();
    notes.note(|_| vec![Record::Works(stays)]).written().await;
    assert_eq!(owed(state.path()), [stays]);
    for _ in 0..200 {
        let run = RunId::new();
        let both = || [Record::Works(run), Record::Rests(run)];
        notes.note(|_| std::iter::repeat_with(both).take(20).flatten().collect()).written().await;
    }
    let bytes = std::fs::metadata(state.path().join(NAME)).unwrap().len();
    assert!(bytes < BYTES_MIN + LINE_BYTES_MAX, "{bytes} bytes");
    notes.close().await;
    assert_eq!(owed(state.path()), [stays]);
    assert!(!state.path().join("webhooks.part").exists());
}

#[tokio::test]
async fn nobody_waits_for_a_disk_that_fails_and_what_was_noted_is_written_once_it_can_be() {
    let directory = tempfile::tempdir().unwrap();
    let in_the_way = directory.path().join("state");
    std::fs::write(&in_the_way, "").unwrap();
    let state = in_the_way.join("below");
    let notes = Notes::open(&directory.path().join("elsewhere")).unwrap();
    notes.close().await;
    notes.note(|_| vec![Record::Works(RunId::new())]).written().await;
    let notes = Notes::beginning(state.join(NAME), Book::default()).unwrap();
    let runs = [RunId::new(), RunId::new(), RunId::new()];
    for run in runs {
        notes.note(|_| vec![Record::Works(run)]).written().await;
    }
    std::fs::remove_file(&in_the_way).unwrap();
    notes.close().await;
    assert_eq!(owed(&state), runs);
}

#[test]
fn a_file_that_is_cut_or_spoilt_says_what_it_can() {
    let state = tempfile::tempdir().unwrap();
    let (one, two) = (RunId::new(), RunId::new());
    let whole = [line(&Header { host_webhooks: 1 }), line(&Record::Works(one)), line(&Record::Works(two))];
    let whole = whole.concat();
    for length in 0..=whole.len() {
        std::fs::write(state.path().join(NAME), &whole.as_bytes()[..length]).unwrap();
        let owed = owed(state.path());
        assert!(owed.len() == 2 || length < whole.len() - 1, "{length}");
        assert!(owed.iter().all(|run| [one, two].contains(run)));
    }
    let spoilt = [b"\0\0\xff\n".to_vec(), vec![b'x'; 200_000], b"\n".to_vec(), whole.into_bytes()].concat();
    std::fs::write(state.path().join(NAME), spoilt).unwrap();
    assert_eq!(owed(state.path()).len(), 2);
    std::fs::write(state.path().join(NAME), "{\"host_webhooks\":2}\n").unwrap();
    assert!(matches!(Notes::open(state.path()).unwrap_err(), NotesError::Version { version: 2, .. }));
}
