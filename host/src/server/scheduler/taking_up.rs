//! What an earlier process left, and how it goes on.

use super::{Job, Scheduler};
use crate::engine::{self, Engine};
use crate::journal::{JournalError, RunState, RunSummary};
use crate::message::{Moment, RunId};
use crate::session::{SessionError, Waiting};

impl Scheduler {
    /// Takes up what an earlier process left: what was interrupted goes on, what was accepted begins, and what sleeps
    /// wakes at its moment, each in the order in which it was accepted. What waits for a person is left as it is.
    pub(in super::super) fn take_up(&self, runs: impl IntoIterator<Item = (RunSummary, Vec<Waiting>)>) {
        for (summary, waiting) in runs {
            let job = Job { run: summary.run, agent: summary.agent, session: summary.session };
            let due_ms = summary.order.and_then(|order| order.due_ms);
            match summary.state {
                RunState::Queued => match due_ms.filter(|due_ms| *due_ms > Moment::now().0) {
                    Some(due_ms) => self.queue().schedule(job, due_ms),
                    None => self.queue().line_up(job),
                },
                RunState::Interrupted => self.queue().line_up(job),
                RunState::Suspended => self.wait(job, &waiting),
                RunState::Failed => self.hold(&job),
                RunState::Running
                | RunState::Answered
                | RunState::Refused
                | RunState::Limited
                | RunState::Unfit
                | RunState::Empty
                | RunState::Cancelled => {}
            }
        }
        self.changed.notify_one();
    }
}

/// The runs of a state directory that have not ended, in the order in which they began, and what those wait for that
/// wait. What cannot be read is told.
pub(in super::super) fn unfinished(
    of: &Engine,
    trouble: &mut dyn FnMut(Option<RunId>, &dyn std::error::Error),
) -> Result<Vec<(RunSummary, Vec<Waiting>)>, JournalError> {
    let listing = of.runs().list()?;
    for (run, error) in &listing.unreadable {
        trouble(*run, error);
    }
    let mut unfinished = Vec::new();
    for summary in listing.runs.into_iter().filter(|summary| !summary.state.has_ended()) {
        let mut waiting = Vec::new();
        if summary.state == RunState::Suspended {
            let read = of.runs().read(summary.run).map_err(SessionError::from);
            match read.and_then(engine::waiting) {
                Ok(found) => waiting = found,
                Err(error) => trouble(Some(summary.run), &error),
            }
        }
        unfinished.push((summary, waiting));
    }
    Ok(unfinished)
}
