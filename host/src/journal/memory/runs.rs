use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};

use super::MemoryStore;
use crate::journal::keeper::Keeper;
use crate::journal::news::Readers;
use crate::journal::note::Note;
use crate::journal::{
    Ack, Durability, Entry, JournalError, JournalStore as _, Listing, News, OpenRun, RunFile, RunState,
    RunSummary, Runs, Tail, Trail, ending, number,
};
use crate::message::RunId;

/// What stands for the segment of a run that is in memory.
const ALL: u32 = 0;

/// The runs of an engine that keeps them in memory.
///
/// They are as long there as the engine is, or until they are removed. One that has ended stays where it is: being
/// sealed means that nobody works on it any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryRuns {
    runs: Arc<Mutex<BTreeMap<RunId, Arc<MemoryRun>>>>,
    readers: Readers,
}

/// A run in memory.
#[derive(Debug, Default)]
struct MemoryRun {
    events: MemoryStore,
    stand: Mutex<Stand>,
    /// Who waits for more to be recorded.
    readers: Readers,
}

/// How a run in memory stands.
#[derive(Debug, Default)]
struct Stand {
    summary: Option<RunSummary>,
    work: Work,
}

/// Who may work on a run in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Work {
    /// Somebody who opens it.
    #[default]
    Left,
    /// Whoever has it open, and nobody else.
    Held,
    /// Nobody: it has ended.
    Sealed,
    /// Whoever has it open so that it goes on. Until then it has ended.
    Reopened,
}

impl MemoryRun {
    fn stand(&self) -> MutexGuard<'_, Stand> {
        self.stand.lock()
    }

    /// What a listing says of it; `None` if it never began.
    fn summary(&self, id: RunId) -> Result<Option<RunSummary>, JournalError> {
        if self.events.is_empty() {
            return Ok(None);
        }
        let (noted, work) = {
            let stand = self.stand();
            (stand.summary.clone(), stand.work)
        };
        let summary = match noted {
            Some(summary) => Some(summary),
            None => RunSummary::of(id, &self.events.read(id)?),
        };
        let stands = |summary: RunSummary| {
            if summary.state == RunState::Running && work != Work::Held {
                return RunSummary { state: RunState::Interrupted, ..summary };
            }
            summary
        };
        Ok(summary.map(stands))
    }

    /// Lets nobody else work on it.
    fn hold(&self, run: RunId) -> Result<(), JournalError> {
        let mut stand = self.stand();
        match stand.work {
            Work::Left => stand.work = Work::Held,
            Work::Held | Work::Reopened => {
                let holder = format!("process {}", std::process::id());
                return Err(JournalError::Locked { run, holder });
            }
            Work::Sealed => return Err(unknown(&run.to_string())),
        }
        Ok(())
    }
}

impl MemoryRuns {
    fn runs(&self) -> MutexGuard<'_, BTreeMap<RunId, Arc<MemoryRun>>> {
        self.runs.lock()
    }

    /// A run, which is there from now on, and which nobody else works on.
    fn begun(&self, id: RunId) -> Result<Arc<MemoryRun>, JournalError> {
        let new = || Arc::new(MemoryRun { readers: self.readers.clone(), ..MemoryRun::default() });
        // As long as the runs are locked, none of them is removed.
        let mut runs = self.runs();
        let run = runs.entry(id).or_insert_with(new);
        run.hold(id)?;
        Ok(Arc::clone(run))
    }

    /// A run that is there, and of which somebody takes hold before it can be removed.
    fn held(
        &self,
        id: RunId,
        hold: impl FnOnce(&MemoryRun) -> Result<(), JournalError>,
    ) -> Result<Arc<MemoryRun>, JournalError> {
        let runs = self.runs();
        let run = runs.get(&id).ok_or_else(|| unknown(&id.to_string()))?;
        hold(run)?;
        Ok(Arc::clone(run))
    }

    fn get(&self, id: RunId) -> Result<Arc<MemoryRun>, JournalError> {
        self.runs().get(&id).cloned().ok_or_else(|| unknown(&id.to_string()))
    }
}

impl Runs for MemoryRuns {
    fn create(&self, id: RunId) -> Result<OpenRun, JournalError> {
        let run = self.begun(id)?;
        let is_new = run.events.is_empty();
        let open = OpenRun::new(id, run, None);
        Ok(if is_new { open.with_events(0) } else { open })
    }

    fn open(&self, id: RunId) -> Result<OpenRun, JournalError> {
        let run = self.held(id, |run| run.hold(id))?;
        let left = run.stand().summary.as_ref().map(|summary| summary.state);
        Ok(OpenRun::new(id, run, left))
    }

    fn read(&self, id: RunId) -> Result<Vec<Entry>, JournalError> {
        let mut entries = self.get(id)?.events.read(id)?;
        number(&mut entries);
        Ok(entries)
    }

    fn read_on(&self, id: RunId, tail: &mut Tail) -> Result<Vec<Entry>, JournalError> {
        self.get(id)?.read_on(id, tail)
    }

    fn ids(&self) -> Result<Vec<RunId>, JournalError> {
        Ok(self.runs().keys().copied().collect())
    }

    fn list(&self) -> Result<Listing, JournalError> {
        let runs: Vec<_> = self.runs().iter().map(|(id, run)| (*id, Arc::clone(run))).collect();
        let mut listing = Listing::default();
        for (id, run) in runs {
            match run.summary(id) {
                Ok(summary) => listing.runs.extend(summary),
                Err(error) => listing.unreadable.push((Some(id), error)),
            }
        }
        Ok(listing)
    }

    fn summary(&self, id: RunId) -> Result<Option<RunSummary>, JournalError> {
        let run = self.runs().get(&id).cloned();
        run.map_or(Ok(None), |run| run.summary(id))
    }

    fn is_sealed(&self, id: RunId) -> bool {
        self.get(id).is_ok_and(|run| run.stand().has_ended())
    }

    fn import<'a>(&'a self, run: &'a RunFile) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            let id = run.summary.run;
            let there = JournalError::Exists { run: id, path: self.place() };
            // What is held, or sealed, is there, too.
            let kept = self.begun(id).map_err(|_| there.clone())?;
            let open = OpenRun::new(id, Arc::clone(&kept) as _, None);
            if !kept.events.is_empty() {
                return Err(there);
            }
            open.begin_with(run).await?;
            match ending(&run.entries) {
                Some(_) => open.seal(&run.summary),
                None => Ok(()),
            }
        })
    }

    fn remove(&self, id: RunId) -> Result<(), JournalError> {
        let mut runs = self.runs();
        let Some(run) = runs.get(&id) else { return Ok(()) };
        let work = run.stand().work;
        match work {
            Work::Held | Work::Reopened => run.hold(id),
            Work::Left | Work::Sealed => {
                runs.remove(&id);
                Ok(())
            }
        }
    }

    fn reopen(&self, id: RunId) -> BoxFuture<'_, Result<OpenRun, JournalError>> {
        let held = self.held(id, |run| {
            let mut stand = run.stand();
            if stand.work != Work::Sealed {
                return Err(unknown(&id.to_string()));
            }
            stand.work = Work::Reopened;
            Ok(())
        });
        let opened = held.map(|run| {
            let left = run.stand().summary.as_ref().map(|summary| summary.state);
            OpenRun::new(id, run, left).ended()
        });
        Box::pin(std::future::ready(opened))
    }

    fn news(&self, id: RunId) -> News {
        self.readers.news(id)
    }

    fn trail(&self, id: RunId) -> Result<Option<Trail>, JournalError> {
        let Ok(run) = self.get(id) else { return Ok(None) };
        let stand = run.stand();
        let (is_sealed, is_held) = (stand.has_ended(), stand.work == Work::Held);
        let state = stand.summary.as_ref().map(|summary| summary.state);
        Ok(Some(Trail { is_sealed, is_held, term: 0, bytes: run.events.bytes(), state }))
    }

    fn place(&self) -> PathBuf {
        place()
    }
}

impl Keeper for MemoryRun {
    fn append_all(&self, run: RunId, entries: &[Entry], notes: &[Note], _when: Durability) -> Ack {
        // Whoever sees the events sees the notes.
        let mut stand = self.stand();
        let appended = self.events.append_all(entries);
        if appended.is_ok() {
            for note in notes {
                stand.take_in(note);
            }
        }
        drop(stand);
        self.readers.wake(run);
        Ack::ready(appended)
    }

    fn read(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
        self.events.read(run)
    }

    fn read_on(&self, run: RunId, tail: &mut Tail) -> Result<Vec<Entry>, JournalError> {
        let (entries, end) = self.events.read_after(run, tail.end(ALL))?;
        tail.set_end(ALL, end);
        Ok(entries)
    }

    fn note(&self, _run: RunId, note: Note) -> Result<(), JournalError> {
        self.stand().take_in(&note);
        Ok(())
    }

    fn seal(&self, run: &RunFile) -> Result<(), JournalError> {
        let mut stand = self.stand();
        stand.summary = Some(run.summary.clone());
        stand.work = Work::Sealed;
        Ok(())
    }

    fn unseal(&self, _run: RunId) -> Result<(), JournalError> {
        self.stand().work = Work::Held;
        Ok(())
    }

    fn give_back(&self, run: RunId, _has_ended: bool) {
        let mut stand = self.stand();
        stand.work = match stand.work {
            Work::Held | Work::Left => Work::Left,
            Work::Sealed | Work::Reopened => Work::Sealed,
        };
        drop(stand);
        self.readers.wake(run);
    }

    fn left(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl Stand {
    fn has_ended(&self) -> bool {
        match self.work {
            Work::Sealed | Work::Reopened => true,
            Work::Left | Work::Held => false,
        }
    }

    fn take_in(&mut self, note: &Note) {
        match note {
            Note::Summary(summary) => self.summary = Some(summary.clone()),
            // A run in memory has no segments to be claimed in, and goes by being removed.
            Note::Claimed(_) | Note::Gone => {}
        }
    }
}

/// Where such runs are, in a sentence.
fn place() -> PathBuf {
    PathBuf::from("memory")
}

fn unknown(name: &str) -> JournalError {
    JournalError::UnknownRun { name: name.to_owned(), path: place() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use std::sync::Barrier;

    use super::*;

    /// Nobody removes a run between its being found and its being held.
    #[test]
    fn a_run_is_held_before_it_can_be_removed() {
        let runs = MemoryRuns::default();
        let id = RunId::new();
        drop(runs.create(id).unwrap());
        let held = runs.held(id, |run| {
            assert!(runs.runs.try_lock().is_none());
            run.hold(id)
        });
        drop(OpenRun::new(id, held.unwrap(), None));
        runs.remove(id).unwrap();
        assert!(runs.held(id, |_| Ok(())).is_err());
    }

    /// Whoever has a run open has one that is there.
    #[test]
    fn a_run_is_opened_or_removed_and_never_both() {
        let runs = MemoryRuns::default();
        for _ in 0..200 {
            let id = RunId::new();
            drop(runs.create(id).unwrap());
            let both = Barrier::new(2);
            std::thread::scope(|scope| {
                let removed = scope.spawn(|| {
                    both.wait();
                    runs.remove(id)
                });
                both.wait();
                let opened = runs.open(id);
                assert_eq!(opened.is_ok(), removed.join().unwrap().is_err());
                assert_eq!(opened.is_ok(), runs.ids().unwrap().contains(&id));
            });
        }
    }
}
