//! What processes that died left of their runs, and how it goes: each run by itself, whatever is wrong with others.

use super::{JournalError, RunSummary, RunsDir, SessionsDir, ending};
use crate::message::RunId;

/// What [`RunsDir::compact`] did.
#[derive(Clone, Debug, Default)]
pub struct Compacted {
    /// Runs that had ended and are one file now.
    pub sealed: u32,
    /// What a process left of a run when it died.
    pub removed: u32,
    /// The runs that are as they were, because something is wrong with them or with the place for their files, and what.
    pub failed: Vec<(RunId, JournalError)>,
}

/// What was there to do for a run.
enum Cleared {
    Nothing,
    Sealed,
    Removed,
}

impl RunsDir {
    /// Seals the runs that ended without being sealed, because the process died before, and removes what else
    /// such a process left behind. Leaves alone what some process is working on, and what a conversation names: that
    /// a run is there and has no events says that it never began, and is not missing. A run for which that cannot be done
    /// stays as it is, and stops nothing.
    pub fn compact(&self, sessions: &SessionsDir) -> Result<Compacted, JournalError> {
        let mut done = Compacted::default();
        let held = self.held()?;
        for id in self.ids()? {
            if held.contains(&id) || self.legacy(id).is_some_and(|legacy| legacy.is_held()) {
                continue;
            }
            match self.clear(id, sessions) {
                // Or somebody works on it since.
                Ok(Cleared::Nothing) | Err(JournalError::Locked { .. }) => {}
                Ok(Cleared::Sealed) => done.sealed += 1,
                Ok(Cleared::Removed) => done.removed += 1,
                Err(error) => done.failed.push((id, error)),
            }
        }
        if self.journal_path().is_dir() {
            self.store()?.tidy()?;
        }
        Ok(done)
    }

    /// The same for one run.
    fn clear(&self, id: RunId, sessions: &SessionsDir) -> Result<Cleared, JournalError> {
        if self.legacy(id).is_none() && self.head(id)?.is_none() {
            return Ok(Cleared::Nothing);
        }
        if self.is_sealed(id) {
            self.remove_left_over(id)?;
            return Ok(Cleared::Removed);
        }
        let entries = self.read_kept(id)?;
        if entries.is_empty() {
            if sessions.have(id)? {
                return Ok(Cleared::Nothing);
            }
            drop(self.remove_unsealed(id)?);
            return Ok(Cleared::Removed);
        }
        let (Some(ending), Some(summary)) = (ending(&entries), self.summary(id)?) else {
            return Ok(Cleared::Nothing);
        };
        self.open(id)?.seal(&RunSummary { state: ending.into(), ..summary })?;
        Ok(Cleared::Sealed)
    }
}
