#![allow(clippy::unwrap_used, reason = "a test may panic")]
use super::super::segment::{Reached, Segment};
use super::*;
use crate::journal::{Event, Finished};
use crate::message::{Json, Outcome, Slot, ToolOutcome, Trace, Usage};

fn event(run: RunId, index: u32) -> Entry {
    let (attempt, at_ms, usage, trace) = (1, 1, Usage::default(), Trace::default());
    let outcome = Outcome::Tool(ToolOutcome::Output(Json::empty_object()));
    let finished = Finished { attempt, at_ms, outcome, usage, trace, settled: false, by: None };
    Entry::new(run, Slot::tool(0, index), Event::Finished(finished))
}

async fn append(store: &SledStore, event: &Entry) -> Result<(), JournalError> {
    store.append(event, Durability::Now).durable().await
}

#[tokio::test]
async fn a_process_that_was_taken_for_dead_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (run, other) = (RunId::new(), RunId::new());
    let stale = SledStore::open(directory.path()).unwrap();
    stale.hold(run).unwrap();
    append(&stale, &event(run, 0)).await.unwrap();
    let store = SledStore::open(directory.path()).unwrap();
    assert!(matches!(store.hold(run), Err(JournalError::Locked { .. })));
    // Whatever made its locks get lost.
    std::fs::remove_file(places::held(directory.path(), stale.shared.holder.number)).unwrap();
    assert!(matches!(store.hold(run), Err(JournalError::Locked { .. })), "its segment is locked");
    assert!(matches!(append(&stale, &event(run, 1)).await, Err(JournalError::Fenced)));
    let [segment] = Names::read(directory.path()).unwrap().logs.into_iter().collect::<Vec<_>>()[..] else {
        unreachable!("one process wrote")
    };
    end::fence(directory.path(), segment, store.shared.holder.number).unwrap().unwrap();
    let there = store.hold(run).unwrap().unwrap();
    assert!(there.has_begun && there.needed.contains(&segment));
    append(&store, &event(run, 2)).await.unwrap();
    for index in 3..6 {
        assert!(matches!(append(&stale, &event(run, index)).await, Err(JournalError::Fenced)));
        assert!(matches!(append(&stale, &event(other, index)).await, Err(JournalError::Fenced)));
    }
    // That it was written before the process was fenced, and by whom, decides what counts.
    let read = store.read(run).unwrap();
    assert_eq!(read, [event(run, 0), event(run, 1), event(run, 2)]);
    drop((stale, store));
    let store = SledStore::open(directory.path()).unwrap();
    assert_eq!((store.read(run).unwrap(), store.runs().unwrap()), (read, vec![run]));
}

#[tokio::test]
async fn what_a_run_left_in_a_segment_that_was_carried_forward_in_part_does_not_count() {
    let directory = tempfile::tempdir().unwrap();
    let (run, other) = (RunId::new(), RunId::new());
    for index in 0..2 {
        let store = SledStore::open(directory.path()).unwrap();
        append(&store, &event(run, index)).await.unwrap();
        append(&store, &event(other, index)).await.unwrap();
    }
    // A copy without the claim that belongs behind it, as a process leaves it that dies.
    let lock = Lock::take(directory.path()).unwrap();
    let number = lock.draw(directory.path()).unwrap();
    let mut segment = Segment::begin(directory.path(), number, number).unwrap();
    segment.commit(format::encode(&event(run, 0)).unwrap().iter(), || ()).unwrap();
    drop((segment, lock));
    let store = SledStore::open(directory.path()).unwrap();
    assert_eq!(store.read(run).unwrap(), [event(run, 0), event(run, 1)]);
    store.tidy().unwrap();
    let left = Names::read(directory.path()).unwrap().logs;
    assert!(!left.contains(&number) && left.len() == 2, "{left:?}");
    assert_eq!(store.read(run).unwrap(), [event(run, 0), event(run, 1)]);
}

/// Between a write and its sync a commit stands in the file, and may be lost.
#[test]
fn nobody_is_told_of_what_is_not_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let (run, number, commits) = (RunId::new(), 1, Arc::<Commits>::default());
    commits.reached(number, Reached::START.end);
    let mut segment = Segment::begin(directory.path(), number, number).unwrap();
    let mut survey = Survey::new(directory.path(), None, Arc::clone(&commits));
    let mut seen = || {
        let pairs = survey.read(run).unwrap().unwrap_or_default();
        format::decode(pairs.into_iter().map(Ok)).unwrap().len()
    };
    for index in 0..3 {
        let claimed = Claimed { term: index + 1, from: Vec::new() };
        let pairs = encode(run, &[event(run, index)], &[Note::Claimed(claimed)]).unwrap();
        let mut before_sync = 0;
        let extent = segment.commit(pairs.iter(), || before_sync = seen()).unwrap();
        assert_eq!((before_sync, seen()), (index as usize, index as usize), "it is not known to be on disk");
        commits.reached(number, extent.end());
        assert_eq!(seen(), index as usize + 1);
    }
    // Of a segment of another process only the file says how far it goes.
    commits.left(number);
    assert_eq!(seen(), 3);
}

/// What is at hand and what is in the index is one thing to who reads.
#[tokio::test]
async fn what_is_too_much_to_be_kept_at_hand_is_in_the_index() {
    let directory = tempfile::tempdir().unwrap();
    let runs: Vec<RunId> = (0..150).map(|_| RunId::new()).collect();
    for index in 0..2 {
        let store = SledStore::open(directory.path()).unwrap();
        for run in &runs {
            append(&store, &event(*run, index)).await.unwrap();
        }
    }
    let indexed = |store: &SledStore| places::index(directory.path(), store.shared.holder.number).exists();
    let store = SledStore::open(directory.path()).unwrap();
    assert!(!indexed(&store), "all of it is at hand");
    store.shared.survey().moved.keep(100);
    for index in 2..6 {
        for run in &runs {
            append(&store, &event(*run, index)).await.unwrap();
            let read = store.read(*run).unwrap();
            assert_eq!(read, (0..=index).map(|index| event(*run, index)).collect::<Vec<_>>());
        }
    }
    assert!(indexed(&store), "some of it is in the index");
    drop(store);
    let store = SledStore::open(directory.path()).unwrap();
    assert_eq!(store.read(runs[0]).unwrap().len(), 6);
}
