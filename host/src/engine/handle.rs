//! A run that goes on, for whoever started it: how to interrupt it, and where it stops.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::live::{Live, Stop};
use crate::agent::{Ended, RunError};
use crate::journal::{RunSummary, Seq};
use crate::message::{Ending, RunId, Used};
use crate::session::{SessionError, Waiting};
use crate::telemetry::Stand;

/// Where a run stopped.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It ended.
    Ended {
        /// How.
        ending: Ending,
        /// What it used, as far as that is recorded.
        used: Option<Used>,
    },
    /// It waits for these.
    Suspended(Vec<Waiting>),
    /// It was interrupted. It can be resumed.
    Interrupted,
    /// The host, or a model's provider, failed. It can be resumed.
    Failed(RunError),
}

/// That a run stopped.
#[derive(Debug)]
pub(super) struct Stopped {
    pub(super) outcome: Outcome,
    /// The number of the last event that was recorded before.
    pub(super) last: Option<Seq>,
}

/// A run that was started, or goes on. Dropping the handle leaves the run to itself.
pub struct RunHandle {
    summary: RunSummary,
    /// `None` if the run had ended before.
    live: Option<Arc<Live>>,
    stop: oneshot::Receiver<Stopped>,
    last: Option<Seq>,
    work: Option<JoinHandle<()>>,
}

impl Outcome {
    pub(super) fn of(ended: Result<Ended, RunError>) -> Self {
        match ended {
            Ok(Ended { ending, used }) => Self::Ended { ending, used: Some(used) },
            Err(RunError::Session(SessionError::Waits(waiting))) => Self::Suspended(waiting),
            Err(error) => Self::Failed(error),
        }
    }

    pub(super) fn stand(&self) -> Stand<'_> {
        match self {
            Self::Ended { ending, .. } => Stand::Ended(ending),
            Self::Suspended(_) => Stand::Suspended,
            Self::Interrupted => Stand::Interrupted,
            Self::Failed(RunError::Model { error, .. }) => Stand::Failed(Some(error)),
            Self::Failed(RunError::Session(_)) => Stand::Failed(None),
        }
    }
}

impl RunHandle {
    /// The handle of a run on which a task works.
    pub(super) fn new(
        summary: RunSummary,
        live: Arc<Live>,
        stop: oneshot::Receiver<Stopped>,
        work: JoinHandle<()>,
    ) -> Self {
        Self { summary, live: Some(live), stop, last: None, work: Some(work) }
    }

    /// The handle of a run that had ended before.
    pub(super) fn ended(summary: RunSummary, ending: Ending, used: Option<Used>) -> Self {
        let (done, stop) = oneshot::channel();
        // The receiver is there.
        let _ = done.send(Stopped { outcome: Outcome::Ended { ending, used }, last: None });
        Self { summary, live: None, stop, last: None, work: None }
    }

    /// The run.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.summary.run
    }

    /// The run as it was when it began, or went on. Its prompt is whole.
    #[must_use]
    pub fn summary(&self) -> &RunSummary {
        &self.summary
    }

    /// Stops the run: what is in flight is cancelled, and the run can be resumed.
    pub fn interrupt(&self) {
        if let Some(live) = &self.live {
            live.stop(Stop::Interrupt);
        }
    }

    /// Waits until the run stops, and says where.
    ///
    /// # Panics
    ///
    /// If the run panicked, with the same panic; and if it has been asked before.
    pub async fn outcome(&mut self) -> Outcome {
        match (&mut self.stop).await {
            Ok(Stopped { outcome, last }) => {
                self.last = last;
                outcome
            }
            Err(_) => match self.work.take() {
                Some(work) => match work.await {
                    Err(panicked) if panicked.is_panic() => std::panic::resume_unwind(panicked.into_panic()),
                    // The runtime ends, and the run with it.
                    Err(_) | Ok(()) => Outcome::Interrupted,
                },
                None => Outcome::Interrupted,
            },
        }
    }

    /// The number of the last event that was recorded before the run stopped. `None` before that is known, and for a run
    /// of which nothing was recorded since it was opened.
    #[must_use]
    pub fn last_event(&self) -> Option<Seq> {
        self.last
    }

    /// Waits until nothing more is done for the run: its traces are exported, or lost.
    pub async fn close(self) {
        if let Some(work) = self.work {
            // It has said how it ended.
            let _ = work.await;
        }
    }
}
