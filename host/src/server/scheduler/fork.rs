//! A fork takes its place like any other run: it is recorded, and goes on when there is a place.

use std::sync::Arc;

use super::{Admission, Job, Said, Scheduler, TakeError};
use crate::engine::{ForkError, NewFork};
use crate::journal::Entry;
use crate::message::{By, RunId};

/// Why there is no fork.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum TakeForkError {
    /// No run is taken.
    #[error(transparent)]
    Take(#[from] TakeError),
    /// It cannot be made of the run.
    #[error(transparent)]
    Fork(#[from] ForkError),
}

impl Scheduler {
    /// Takes a fork of a recorded run: it is on disk when this returns.
    pub(in super::super) async fn take_fork(
        self: &Arc<Self>,
        job: Job,
        (origin, entries): (RunId, Vec<Entry>),
        fork: NewFork,
        by: By,
    ) -> Result<(), TakeForkError> {
        if self.drains() {
            return Err(TakeError::Drains.into());
        }
        let run = job.run;
        // Whatever differs from the recorded run is what the fork is for.
        let said = Said { accept_changes: true, by: Some(by), ..Said::default() };
        let admission = self.queue().admit(&job).map_err(TakeError::from)?;
        match admission {
            Admission::Begins => {
                if let Err(error) = self.engine.accept_fork(run, origin, entries, fork).await {
                    self.leave(run, true);
                    return Err(error.into());
                }
                self.said.lock().insert(run, said);
                tokio::spawn(Arc::clone(self).resume(job));
            }
            Admission::Waits => {
                if let Err(error) = self.engine.accept_fork(run, origin, entries, fork).await {
                    self.queue().give_up(run);
                    return Err(error.into());
                }
                self.said.lock().insert(run, said);
                self.queue().add(run);
                self.changed.notify_one();
            }
        }
        Ok(())
    }
}
