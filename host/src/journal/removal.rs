//! How a run goes: what the runs after it need of it is folded into them first.
//!
//! Each step is durable before the next one, and a run that was folded into the next one and is still there is held
//! twice, which does no harm. So a process may die between any two steps, and the removal is done once more.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;

use super::earlier::{self, Link};
use super::{
    Entry, JournalError, OpenSession, RunFile, RunState, RunSummary, RunsDir, SessionsDir, crash_point,
    io_error,
};
use crate::message::{RunId, SessionKey};

/// Removes runs, one after the other.
#[derive(Debug)]
pub struct Removal<'a> {
    runs: &'a RunsDir,
    /// The runs of which it is known for good which run they go on from.
    known: HashSet<RunId>,
    /// The others, by session: when such a run begins, or is revived, it may go on from another run than before.
    open: HashMap<SessionKey, HashSet<RunId>>,
    /// Which runs go on from a run.
    after: HashMap<RunId, HashSet<RunId>>,
}

impl Removal<'_> {
    /// Removes a run that has ended. What the runs that go on from it need of what was said, they hold from then on.
    pub fn remove(&mut self, id: RunId) -> Result<(), JournalError> {
        // As long as this is held, no run of the session begins or is revived.
        let turn = self.runs.undisturbed(id)?;
        if let Some((key, turn)) = &turn {
            let mut changed = self.open.get(key).cloned().unwrap_or_default();
            changed.extend(turn.runs().iter().filter(|run| !self.known.contains(run)));
            for run in changed {
                if let Some(summary) = self.runs.summary(run)? {
                    self.note(&summary);
                }
            }
        }
        for after in self.after.get(&id).cloned().unwrap_or_default() {
            let folded = self.runs.fold_into(after, id)?;
            if let Some(summary) = &folded {
                self.note(summary);
            }
        }
        crash_point("journal-after-fold");
        let _held = self.runs.remove_unsealed(id)?;
        match fs::remove_file(self.runs.sealed_path(id)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error(self.runs.path(), &error)),
            Ok(()) | Err(_) => {
                self.after.remove(&id);
                Ok(())
            }
        }
    }

    fn note(&mut self, summary: &RunSummary) {
        let RunSummary { run, state, before, session, .. } = summary;
        // One that was cancelled may be revived.
        let is_known = state.has_ended() && *state != RunState::Cancelled;
        if is_known {
            self.known.insert(*run);
        }
        if let Some(key) = session {
            let open = self.open.entry(key.clone()).or_default();
            if is_known {
                open.remove(run)
            } else {
                open.insert(*run)
            };
        }
        if let Some(before) = before {
            self.after.entry(*before).or_default().insert(*run);
        }
    }
}

impl RunsDir {
    /// Removes a run that has ended.
    pub fn remove(&self, id: RunId) -> Result<(), JournalError> {
        self.removal()?.remove(id)
    }

    /// To remove several runs.
    pub fn removal(&self) -> Result<Removal<'_>, JournalError> {
        let mut removal =
            Removal { runs: self, known: HashSet::new(), open: HashMap::new(), after: HashMap::new() };
        for summary in self.list()?.runs {
            removal.note(&summary);
        }
        Ok(removal)
    }

    /// The right that no run of its session begins meanwhile, if it is one of a session. The session may have forgotten
    /// the run, and others that go on from it.
    fn undisturbed(&self, id: RunId) -> Result<Option<(SessionKey, OpenSession)>, JournalError> {
        // From a run that cannot be read no run can go on.
        let Ok(Some(Link { session: Some(session), .. })) = self.link(id) else { return Ok(None) };
        let Some(state) = self.path().parent() else { return Ok(None) };
        let place = SessionsDir::new(state).queue(&session)?;
        if place.has_to_wait()? {
            return Err(JournalError::SessionInUse { run: id, session });
        }
        let turn = place.wait()?;
        Ok(Some((session, turn)))
    }

    /// Lets a run hold what it needs of one from which it goes on. Gives how it is listed from then on, if it is there
    /// and did go on from it.
    fn fold_into(&self, after: RunId, gone: RunId) -> Result<Option<RunSummary>, JournalError> {
        let Some(link) = self.link(after)? else { return Ok(None) };
        if link.before.is_none_or(|before| before.run != gone) {
            return Ok(None);
        }
        if !self.is_sealed(after) {
            return Err(JournalError::GoneOnFrom { run: gone, after });
        }
        let RunFile { summary, mut entries } = RunFile::read_kept(&self.sealed_path(after))?;
        // What is damaged is not made to look whole.
        self.resolve(after, entries.clone())?;
        let Some(link) = self.link(gone)? else { return Ok(None) };
        earlier::fold(&mut entries, &link);
        let before = Link::of(after, &entries).and_then(|link| link.before).map(|before| before.run);
        let summary = RunSummary { before, ..summary };
        let folded = RunFile { summary: summary.clone(), entries };
        self.write_sealed(&folded, &self.path().join(format!("{after}.part")))?;
        Ok(Some(summary))
    }

    /// Puts what was said before a run into its events.
    pub(super) fn resolve(&self, id: RunId, mut entries: Vec<Entry>) -> Result<Vec<Entry>, JournalError> {
        earlier::resolve(id, &mut entries, self.path(), |run| self.link(run))?;
        Ok(entries)
    }

    /// What is kept with a run of what was said before it; none if there is no such run.
    fn link(&self, id: RunId) -> Result<Option<Link>, JournalError> {
        if self.is_sealed(id) {
            return RunFile::read_link(id, &self.sealed_path(id));
        }
        match self.read_kept(id) {
            Err(JournalError::UnknownRun { .. }) => Ok(None),
            entries => Ok(Link::of(id, &entries?)),
        }
    }
}
