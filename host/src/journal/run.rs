use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::keeper::Keeper;
use super::note::Note;
use super::tail::are_numbered;
use super::{
    Ack, Durability, Entry, Event, Finished, JournalError, JournalStore, RunFile, RunState, RunSummary, Seq,
    Tail, number,
};
use crate::blocking::blocking;
use crate::message::{Outcome, RunId};

/// So much of a prompt is kept for a listing: it is read for every run in it.
pub(super) const PROMPT_CHARS_MAX: usize = 200;

/// A run that is open, so that nobody else works on it.
#[derive(Debug)]
pub struct OpenRun {
    /// The run.
    pub id: RunId,
    /// Its part of the journal.
    pub store: Arc<RunStore>,
    left: Option<RunState>,
    given_back: oneshot::Receiver<()>,
}

/// One run's part of the journal: as long as there is one, nobody else works on the run.
#[derive(Debug)]
pub struct RunStore {
    run: RunId,
    keeper: Arc<dyn Keeper>,
    /// How the run stood when that was last said.
    summary: Mutex<Option<RunSummary>>,
    has_ended: AtomicBool,
    /// The number of the last event that was handed over; `None` as long as that is not known: of a run that was recorded
    /// before, until it is read. Held while an event is handed over: the order of the numbers is the order in which the
    /// events become durable.
    last: Mutex<Option<Seq>>,
    /// Its receiver learns that this is dropped.
    _given_back: oneshot::Sender<()>,
}

impl RunStore {
    /// What is on disk of the run that was not read yet with this tail, in no particular order.
    pub fn read_on(&self, tail: &mut Tail) -> Result<Vec<Entry>, JournalError> {
        let entries = self.keeper.read_on(self.run, tail)?;
        if are_numbered(&entries) { Ok(entries) } else { self.numbered() }
    }

    fn numbered(&self) -> Result<Vec<Entry>, JournalError> {
        let mut entries = self.keeper.read(self.run)?;
        number(&mut entries);
        Ok(entries)
    }

    /// The number of the last event that was handed over; `None` if none was since the run was opened.
    pub(crate) fn last(&self) -> Option<Seq> {
        *self.last.lock()
    }

    /// How the run stands when its end is recorded, to be recorded with it.
    fn at_the_end(&self, entry: &Entry) -> Option<Note> {
        let Event::Finished(Finished { outcome: Outcome::Run(ending), .. }) = &entry.event else {
            return None;
        };
        let summary = self.summary.lock().clone()?;
        Some(Note::Summary(RunSummary { state: ending.into(), ..summary }))
    }

    /// How the run stands, to be recorded.
    pub(super) fn summarised(&self, summary: &RunSummary) -> Note {
        let prompt = summary.prompt.chars().take(PROMPT_CHARS_MAX).collect();
        let summary = RunSummary { prompt, ..summary.clone() };
        *self.summary.lock() = Some(summary.clone());
        Note::Summary(summary)
    }
}

impl JournalStore for RunStore {
    fn append(&self, entry: &Entry, when: Durability) -> Ack {
        if entry.run != self.run {
            let reason = format!("an event of run {} was recorded as one of run {}", entry.run, self.run);
            return Ack::ready(Err(JournalError::Stopped { reason }));
        }
        let note = self.at_the_end(entry);
        let mut last = self.last.lock();
        let before = match *last {
            Some(before) => before,
            // Whoever goes on with a run has read it, and this does not happen.
            None => match self.keeper.read(self.run) {
                Ok(recorded) => Seq(recorded.len() as u64),
                Err(error) => return Ack::ready(Err(error)),
            },
        };
        let seq = before.next();
        let entry = Entry { seq: Some(seq), ..entry.clone() };
        let ack = self.keeper.append_all(self.run, &[entry], note.as_slice(), when);
        // What was not even handed over has no number.
        *last = Some(if ack.is_refused() { before } else { seq });
        ack
    }

    fn read(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
        if run != self.run {
            return Ok(Vec::new());
        }
        let mut last = self.last.lock();
        if last.is_some() {
            // Nobody who records waits for who reads.
            drop(last);
            return self.numbered();
        }
        let entries = self.numbered()?;
        *last = Some(Seq(entries.len() as u64));
        Ok(entries)
    }

    fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        Ok(vec![self.run])
    }
}

impl Drop for RunStore {
    fn drop(&mut self) {
        self.keeper.give_back(self.run, self.has_ended.load(Ordering::Relaxed));
    }
}

impl OpenRun {
    /// For a run that was claimed.
    pub(super) fn new(run: RunId, keeper: Arc<dyn Keeper>, left: Option<RunState>) -> Self {
        let (sender, given_back) = oneshot::channel();
        let store = RunStore {
            run,
            keeper,
            summary: Mutex::default(),
            has_ended: AtomicBool::new(false),
            last: Mutex::default(),
            _given_back: sender,
        };
        Self { id: run, store: Arc::new(store), left, given_back }
    }

    /// Gives the run back, and waits until others see how it stands. A call that was cancelled may hold the run for a
    /// moment longer.
    pub async fn leave(self) {
        let Self { store, given_back, .. } = self;
        let keeper = Arc::clone(&store.keeper);
        drop(store);
        // The sender is never used: it is dropped with the last part of the run.
        let _ = given_back.await;
        keeper.left().await;
    }

    /// Keeps a run that has ended as one whole: in a state directory it is one file then, and the journal needs it no
    /// more.
    pub fn seal(&self, summary: &RunSummary) -> Result<(), JournalError> {
        let entries = self.store.read(self.id)?;
        self.store.keeper.seal(&RunFile::new(summary, entries))?;
        self.store.has_ended.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Lets the run go on that was reopened: it counts as ended no more. If this is never done, the run stays ended. Does
    /// nothing for a run that was not reopened.
    pub async fn unseal(&self) -> Result<(), JournalError> {
        if self.store.has_ended.load(Ordering::Relaxed) {
            let (run, store) = (self.id, Arc::clone(&self.store));
            blocking(move || {
                store.keeper.unseal(run)?;
                store.has_ended.store(false, Ordering::Relaxed);
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// The same run as one that has ended, until it is unsealed.
    pub(super) fn ended(self) -> Self {
        self.store.has_ended.store(true, Ordering::Relaxed);
        self
    }

    /// How the process that worked on the run before left it, as far as it said: one that was killed left it running.
    #[must_use]
    pub fn left(&self) -> Option<RunState> {
        self.left
    }

    /// Notes how the run stands, to be recorded with what comes next, or when the run is given back.
    pub fn write_summary(&self, summary: &RunSummary) -> Result<(), JournalError> {
        self.store.keeper.note(self.id, self.store.summarised(summary))
    }

    /// Records what a run begins with, all of it or nothing, and leaves it for a resume.
    pub async fn begin_with(&self, run: &RunFile) -> Result<(), JournalError> {
        let run = run.alone();
        let note = self.store.summarised(&run.summary);
        let mut entries = run.entries.clone();
        number(&mut entries);
        self.store.keeper.append_all(self.id, &entries, &[note], Durability::Now).durable().await?;
        *self.store.last.lock() = Some(Seq(entries.len() as u64));
        Ok(())
    }

    /// The same run, of which so many events are recorded.
    pub(super) fn with_events(self, events: usize) -> Self {
        *self.store.last.lock() = Some(Seq(events as u64));
        self
    }

    /// The same run, of which this was said last.
    pub(super) fn was_left(self, left: Option<RunState>) -> Self {
        Self { left, ..self }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use std::sync::atomic::AtomicUsize;

    use futures::future::BoxFuture;

    use super::*;
    use crate::journal::{MemoryStore, Started};
    use crate::message::{Digest, MessageRef, ModelAsk, Request, Slot};

    /// Counts how often it is read.
    #[derive(Debug, Default)]
    struct Counting {
        events: MemoryStore,
        reads: AtomicUsize,
    }

    impl Keeper for Counting {
        fn append_all(&self, _run: RunId, entries: &[Entry], _notes: &[Note], when: Durability) -> Ack {
            entries.iter().map(|entry| self.events.append(entry, when)).last().unwrap()
        }

        fn read(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.events.read(run)
        }

        fn read_on(&self, run: RunId, _tail: &mut Tail) -> Result<Vec<Entry>, JournalError> {
            self.read(run)
        }

        fn note(&self, _run: RunId, _note: Note) -> Result<(), JournalError> {
            Ok(())
        }

        fn seal(&self, _run: &RunFile) -> Result<(), JournalError> {
            Ok(())
        }

        fn unseal(&self, _run: RunId) -> Result<(), JournalError> {
            Ok(())
        }

        fn give_back(&self, _run: RunId, _has_ended: bool) {}

        fn left(&self) -> BoxFuture<'_, ()> {
            Box::pin(std::future::ready(()))
        }
    }

    fn event(run: RunId, turn: u32) -> Entry {
        let ask = ModelAsk { messages: 1, conversation: Digest::of(b""), appended: vec![MessageRef::Prompt] };
        let request = Request::Model(ask);
        let started =
            Started { attempt: 1, at_ms: 1, digest: request.digest(), request, kept: None, by: None };
        Entry::new(run, Slot::model(turn), Event::Started(started))
    }

    /// What is recorded is read by who goes on with the run, on a thread that may block, and not when more is recorded.
    #[tokio::test]
    async fn an_event_is_recorded_without_reading_those_before_it() {
        let (run, keeper) = (RunId::new(), Arc::new(Counting::default()));
        let numbers = |store: &RunStore| {
            let entries = store.read(run).unwrap();
            entries.iter().map(|entry| entry.seq.unwrap().0).collect::<Vec<_>>()
        };
        let begun = OpenRun::new(run, Arc::clone(&keeper) as _, None).with_events(0);
        for turn in 0..3 {
            begun.store.append(&event(run, turn), Durability::Now).durable().await.unwrap();
        }
        assert_eq!(keeper.reads.load(Ordering::Relaxed), 0);
        drop(begun);
        let goes_on = OpenRun::new(run, Arc::clone(&keeper) as _, None);
        assert_eq!(numbers(&goes_on.store), [1, 2, 3]);
        for turn in 3..6 {
            goes_on.store.append(&event(run, turn), Durability::Now).durable().await.unwrap();
        }
        assert_eq!(keeper.reads.load(Ordering::Relaxed), 1);
        drop(goes_on);
        // Who reads nothing before is not wrong, either.
        let unread = OpenRun::new(run, Arc::clone(&keeper) as _, None);
        unread.store.append(&event(run, 6), Durability::Now).durable().await.unwrap();
        assert_eq!(numbers(&unread.store), [1, 2, 3, 4, 5, 6, 7]);
    }
}
