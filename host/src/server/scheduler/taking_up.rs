//! What an earlier process left, and how it goes on.

use super::super::log::log;
use super::super::problem::chain;
use super::super::told::Told;
use super::{Job, Scheduler};
use crate::engine::{self, Engine};
use crate::journal::{JournalError, RunState, RunSummary};
use crate::message::{Moment, OrderKey, RunId};
use crate::session::{SessionError, Waiting};

impl Scheduler {
    /// Takes up what an earlier process left: what was interrupted goes on, what was accepted begins, and what sleeps
    /// wakes at its moment, each in the order in which it was accepted. What waits for a person is left as it is.
    pub(in super::super) fn take_up(&self, mut runs: Vec<(RunSummary, Vec<Waiting>)>) {
        // A session waits for the run that has begun, though another one was accepted earlier and had to wait for its
        // moment.
        runs.sort_by_key(|(summary, _)| summary.state == RunState::Queued);
        // What a program carries out goes on when the program asks.
        for (summary, waiting) in runs.into_iter().filter(|(summary, _)| !summary.outside) {
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

/// What earlier processes left.
pub(in super::super) struct Left {
    /// The idempotency keys of the runs that there are.
    pub(in super::super) keys: Vec<(OrderKey, RunId)>,
    /// The runs that have not ended, in the order in which they began, and what those wait for that wait.
    pub(in super::super) unfinished: Vec<(RunSummary, Vec<Waiting>)>,
}

impl Left {
    /// Reads it. What cannot be read is logged.
    pub(in super::super) fn read(engine: &Engine) -> Result<Self, JournalError> {
        let unreadable = |run, error: &dyn std::error::Error| {
            log(&Told::Unreadable { run, why: &chain(error) });
        };
        let listing = engine.runs().list()?;
        for (run, error) in &listing.unreadable {
            unreadable(*run, error);
        }
        let mut left = Self { keys: Vec::new(), unfinished: Vec::new() };
        for mut summary in listing.runs {
            if let Some(key) = summary.order.as_mut().and_then(|order| order.key.take()) {
                left.keys.push((key, summary.run));
            }
            if summary.state.has_ended() {
                continue;
            }
            let mut waiting = Vec::new();
            if summary.state == RunState::Suspended {
                let read = engine.runs().read(summary.run).map_err(SessionError::from);
                match read.and_then(|entries| engine::waiting(&entries)) {
                    Ok(found) => waiting = found,
                    Err(error) => unreadable(Some(summary.run), &error),
                }
            }
            left.unfinished.push((summary, waiting));
        }
        Ok(left)
    }
}
