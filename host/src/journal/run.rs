use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::note::Note;
use super::{
    Ack, Durability, Entry, Event, Finished, JournalError, JournalStore, RunFile, RunState, RunSummary,
    RunsDir, SledStore, earlier,
};
use crate::message::{Outcome, RunId};

/// So much of a prompt is kept for a listing: it is read for every run in it.
pub(super) const PROMPT_CHARS_MAX: usize = 200;

/// A run that this process has open, exclusively.
#[derive(Debug)]
pub struct OpenRun {
    /// The run.
    pub id: RunId,
    /// Its part of the journal.
    pub store: Arc<RunStore>,
    runs: RunsDir,
    left: Option<RunState>,
    given_back: oneshot::Receiver<()>,
}

/// One run's part of the journal: as long as there is one, no other process works on the run.
#[derive(Debug)]
pub struct RunStore {
    run: RunId,
    journal: Arc<SledStore>,
    /// The runs that it may go on from.
    runs: RunsDir,
    /// How the run stood when that was last said.
    summary: Mutex<Option<RunSummary>>,
    has_ended: AtomicBool,
    /// Its receiver learns that this is dropped.
    _given_back: oneshot::Sender<()>,
}

impl RunStore {
    /// How the run stands when its end is recorded, to be recorded with it.
    fn at_the_end(&self, entry: &Entry) -> Option<Note> {
        let Event::Finished(Finished { outcome: Outcome::Run(ending), .. }) = &entry.event else {
            return None;
        };
        let summary = self.summary.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(Note::Summary(RunSummary { state: ending.into(), ..summary }))
    }

    /// How the run stands, to be recorded.
    fn summarised(&self, summary: &RunSummary) -> Note {
        let prompt = summary.prompt.chars().take(PROMPT_CHARS_MAX).collect();
        let summary = RunSummary { prompt, ..summary.clone() };
        *self.summary.lock().unwrap_or_else(PoisonError::into_inner) = Some(summary.clone());
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
        let kept = earlier::kept(entry);
        self.journal.append_all(self.run, std::slice::from_ref(&*kept), note.as_slice(), when)
    }

    fn read(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
        if run == self.run { self.runs.resolve(run, self.journal.read(run)?) } else { Ok(Vec::new()) }
    }

    fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        Ok(vec![self.run])
    }
}

impl Drop for RunStore {
    fn drop(&mut self) {
        self.journal.give_back(self.run, self.has_ended.load(Ordering::Relaxed));
    }
}

impl OpenRun {
    /// For a run that was claimed.
    pub(super) fn new(run: RunId, journal: Arc<SledStore>, runs: RunsDir, left: Option<RunState>) -> Self {
        let (sender, given_back) = oneshot::channel();
        let store = RunStore {
            run,
            journal,
            runs: runs.clone(),
            summary: Mutex::default(),
            has_ended: AtomicBool::new(false),
            _given_back: sender,
        };
        Self { id: run, store: Arc::new(store), runs, left, given_back }
    }

    /// Gives the run back, and waits until others see how it stands. A call that was cancelled may hold the run for a
    /// moment longer.
    pub async fn leave(self) {
        let Self { store, runs, given_back, .. } = self;
        drop(store);
        // The sender is never used: it is dropped with the last part of the run.
        let _ = given_back.await;
        runs.left().await;
    }

    /// Makes one file of a run that has ended. The journal needs it no more.
    pub fn seal(&self, summary: &RunSummary) -> Result<(), JournalError> {
        let entries = self.store.journal.read(self.id)?;
        self.runs.seal(&RunFile::new(summary, entries), self.store.journal.shared.holder.number)?;
        self.store.has_ended.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Records that nothing counts any more that the journal has of the run.
    pub(super) fn forget(&self) -> Result<(), JournalError> {
        self.store.journal.claim(self.id, &[], &[Note::Gone])
    }

    /// How the process that worked on the run before left it, as far as it said: one that was killed left it running.
    #[must_use]
    pub fn left(&self) -> Option<RunState> {
        self.left
    }

    /// Notes how the run stands, to be recorded with what comes next, or when the run is given back.
    pub fn write_summary(&self, summary: &RunSummary) -> Result<(), JournalError> {
        self.store.journal.note(self.id, self.store.summarised(summary))
    }

    /// Records what a run begins with, all of it or nothing, and leaves it for a resume.
    pub async fn begin_with(&self, run: &RunFile) -> Result<(), JournalError> {
        let run = run.alone();
        let note = self.store.summarised(&run.summary);
        self.store.journal.append_all(self.id, &run.entries, &[note], Durability::Now).durable().await
    }

    /// The same for a run that was recorded in another way, of which this was said last.
    pub(super) fn go_on_from(
        self,
        entries: &[Entry],
        summary: Option<&RunSummary>,
    ) -> Result<Self, JournalError> {
        let note = summary.map(|summary| self.store.summarised(summary));
        self.store.journal.claim(self.id, entries, note.as_slice())?;
        Ok(Self { left: summary.map(|summary| summary.state), ..self })
    }
}
