#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::StreamExt as _;
use futures::future::BoxFuture;

use super::*;
use crate::engine::events::EventKind;
use crate::engine::store::Store;
use crate::engine::{Builder, PastApprovals};
use crate::journal::{
    Durability, Event, Finished, Listing, MemoryRuns, MemorySessions, OpenRun, RunFile, RunSummary, Runs,
    RunsDir, Started,
};
use crate::message::{
    Arguments, Digest, Ending, Json, MessageRef, ModelAsk, Outcome, Request, Slot, ToolAsk, ToolOutcome,
    Trace, Usage,
};
use crate::toolbox::Compiler;

/// Longer than this nothing takes, but for what never comes.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs of which is counted how many events are read, and that can hide the last event from who reads on.
#[derive(Debug)]
struct Counted {
    runs: Arc<dyn Runs>,
    read: Arc<AtomicUsize>,
    hides: Arc<AtomicBool>,
}

impl Counted {
    fn count(&self, entries: Vec<Entry>) -> Vec<Entry> {
        self.read.fetch_add(entries.len(), Ordering::Relaxed);
        entries
    }
}

impl Runs for Counted {
    fn create(&self, id: RunId) -> Result<OpenRun, JournalError> {
        self.runs.create(id)
    }

    fn open(&self, id: RunId) -> Result<OpenRun, JournalError> {
        self.runs.open(id)
    }

    fn read(&self, id: RunId) -> Result<Vec<Entry>, JournalError> {
        Ok(self.count(self.runs.read(id)?))
    }

    fn read_on(&self, id: RunId, tail: &mut Tail) -> Result<Vec<Entry>, JournalError> {
        if self.hides.swap(false, Ordering::Relaxed) {
            // As if the end were recorded after this.
            let mut entries = self.runs.read_on(id, &mut Tail::default())?;
            entries.retain(|entry| !matches!(entry.event, Event::Finished(_)) || entry.slot != Slot::RUN);
            return Ok(self.count(entries));
        }
        Ok(self.count(self.runs.read_on(id, tail)?))
    }

    fn ids(&self) -> Result<Vec<RunId>, JournalError> {
        self.runs.ids()
    }

    fn list(&self) -> Result<Listing, JournalError> {
        self.runs.list()
    }

    fn summary(&self, id: RunId) -> Result<Option<RunSummary>, JournalError> {
        self.runs.summary(id)
    }

    fn is_sealed(&self, id: RunId) -> bool {
        self.runs.is_sealed(id)
    }

    fn import<'a>(&'a self, run: &'a RunFile) -> BoxFuture<'a, Result<(), JournalError>> {
        self.runs.import(run)
    }

    fn remove(&self, id: RunId) -> Result<(), JournalError> {
        self.runs.remove(id)
    }

    fn reopen(&self, id: RunId) -> BoxFuture<'_, Result<OpenRun, JournalError>> {
        self.runs.reopen(id)
    }

    fn news(&self, id: RunId) -> News {
        self.runs.news(id)
    }

    fn trail(&self, id: RunId) -> Result<Option<Trail>, JournalError> {
        self.runs.trail(id)
    }

    fn place(&self) -> PathBuf {
        self.runs.place()
    }
}

fn engine(runs: Arc<dyn Runs>) -> (Engine, Arc<AtomicUsize>, Arc<AtomicBool>) {
    let (read, hides) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let counted = Counted { runs, read: Arc::clone(&read), hides: Arc::clone(&hides) };
    let (sessions, approvals) = (Box::new(MemorySessions::default()), PastApprovals::in_memory());
    let store = Store { runs: Arc::new(counted), sessions, approvals, kept_in: Vec::new() };
    let compiler = Compiler::new(Path::new("nothing is compiled here"));
    (Builder::new(store, Path::new("nor cached"), compiler).build(), read, hides)
}

fn started(run: RunId, slot: Slot, request: Request) -> Entry {
    let digest = request.digest();
    let started = Started { attempt: 1, at_ms: 1, digest, request, kept: None, by: None };
    Entry::new(run, slot, Event::Started(started))
}

fn finished(run: RunId, slot: Slot, outcome: Outcome) -> Entry {
    let (usage, trace) = (Usage::default(), Trace::default());
    let finished = Finished { attempt: 1, at_ms: 1, outcome, usage, trace, settled: false, by: None };
    Entry::new(run, slot, Event::Finished(finished))
}

/// So many calls, one after the other, and the end.
fn events(run: RunId, calls: u32) -> Vec<Entry> {
    let ask = ModelAsk { messages: 1, conversation: Digest::of(b""), appended: vec![MessageRef::Prompt] };
    let mut events = vec![started(run, Slot::model(0), Request::Model(ask))];
    for call in 0..calls {
        let arguments = Arguments::Json(Json::empty_object());
        let ask = ToolAsk { name: "echo".to_owned(), arguments, target: None, client_id: None };
        events.push(started(run, Slot::tool(0, call), Request::Tool(ask)));
        let output = Outcome::Tool(ToolOutcome::Output(Json::empty_object()));
        events.push(finished(run, Slot::tool(0, call), output));
    }
    events.push(finished(run, Slot::RUN, Outcome::Run(Ending::Answer("done".to_owned()))));
    events
}

/// Whoever follows a run that grows reads each of its events once, and whoever comes later, too.
#[tokio::test]
async fn an_event_is_read_once_however_long_the_run_is() {
    let state = tempfile::tempdir().unwrap();
    let kinds: [Arc<dyn Runs>; 2] = [Arc::new(RunsDir::new(state.path())), Arc::new(MemoryRuns::default())];
    for runs in kinds {
        let (engine, read, _) = engine(runs);
        let run = RunId::new();
        let open = engine.runs().create(run).unwrap();
        let mut told = Box::pin(engine.attach(run, Seq::default()));
        let events = events(run, 150);
        let count = events.len();
        for (entry, seq) in events.iter().zip(1..) {
            open.store.append(entry, Durability::Now).durable().await.unwrap();
            loop {
                let event = told.next().await.unwrap().unwrap();
                if event.seq.is_some() {
                    assert_eq!(event.seq, Some(Seq(seq)));
                    break;
                }
            }
        }
        assert!(told.next().await.is_none());
        assert_eq!(read.swap(0, Ordering::Relaxed), count);
        let late = engine.attach(run, Seq(200)).map(|event| event.unwrap().seq);
        let late: Vec<_> = tokio::time::timeout(PATIENCE, late.collect()).await.unwrap();
        assert_eq!(late, (201..=count as u64).map(|seq| Some(Seq(seq))).collect::<Vec<_>>());
        assert_eq!(read.load(Ordering::Relaxed), count);
    }
}

/// Between the look at what is recorded and the look at how the run stands, it may end.
#[tokio::test]
async fn a_run_that_has_ended_does_not_stand_before_its_end_is_told() {
    let (engine, _, hides) = engine(Arc::new(MemoryRuns::default()));
    let run = RunId::new();
    let mut entries = events(run, 1);
    crate::journal::number(&mut entries);
    let summary = RunSummary {
        run,
        agent: "a".to_owned(),
        prompt: "go".to_owned(),
        started_ms: 1,
        state: RunState::Answered,
        session: None,
        order: None,
        before: None,
        outside: false,
    };
    engine.runs().import(&RunFile { summary, entries: entries.clone() }).await.unwrap();
    hides.store(true, Ordering::Relaxed);
    let told = engine.attach(run, Seq::default()).map(Result::unwrap).collect();
    let told: Vec<RunEvent> = tokio::time::timeout(PATIENCE, told).await.unwrap();
    assert!(!hides.load(Ordering::Relaxed));
    assert!(!told.iter().any(|event| matches!(event.kind, EventKind::Stands(_))), "{told:?}");
    assert_eq!(told.len(), entries.len());
    assert!(matches!(told.last().unwrap().kind, EventKind::Finished(_)));
}
