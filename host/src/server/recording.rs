//! Whether anything can be recorded. A disk that is full, or that fails, is no reason to end: what is on disk stays, new
//! runs are refused, and everything goes on once there is room.

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::log::log;
use super::told::Told;
use crate::agent::RunError;
use crate::engine::{ConversationError, Outcome, StartError};
use crate::journal::JournalError;
use crate::session::SessionError;

/// Whether anything can be recorded, as far as the server knows.
#[derive(Debug, Default)]
pub(super) struct Recording {
    /// Why nothing can be recorded.
    stopped: Mutex<Option<String>>,
    stops: Notify,
}

impl Recording {
    /// Why nothing can be recorded; `None` if something can.
    pub(super) fn stopped(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Takes in that something could not be recorded. Says whether the journal stopped by that, or has before.
    pub(super) fn saw(&self, error: Option<&JournalError>) -> bool {
        let Some(error) = error.filter(|error| stops(error)) else { return false };
        let said = error.to_string();
        let why = said.lines().next().unwrap_or_default().to_owned();
        let was_told = self.lock().replace(why.clone()).is_some();
        if !was_told {
            log(&Told::RecordsNothing { why: &why });
            self.stops.notify_one();
        }
        true
    }

    /// Takes in that runs can be recorded again.
    pub(super) fn goes_on(&self, runs: usize) {
        *self.lock() = None;
        log(&Told::RecordsAgain { runs });
    }

    /// Waits until the journal stops.
    pub(super) async fn stop(&self) {
        self.stops.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.stopped.lock()
    }
}

/// Whether an error of the journal is one after which nothing is recorded until somebody, or time, mends the disk.
fn stops(error: &JournalError) -> bool {
    match error {
        JournalError::Stopped { .. } | JournalError::Unwritable { .. } | JournalError::Fenced => true,
        JournalError::Locked { .. }
        | JournalError::InTheWay { .. }
        | JournalError::Unreadable { .. }
        | JournalError::Corrupt { .. }
        | JournalError::Version { .. }
        | JournalError::EarlierGone { .. }
        | JournalError::EarlierDiffers { .. }
        | JournalError::EarlierCircle { .. }
        | JournalError::GoneOnFrom { .. }
        | JournalError::SessionInUse { .. }
        | JournalError::Exists { .. }
        | JournalError::UnknownRun { .. }
        | JournalError::AmbiguousRun { .. }
        | JournalError::NotBegun { .. } => false,
    }
}

/// What the journal said of a run that did not begin.
pub(super) fn of_start(error: &StartError) -> Option<&JournalError> {
    match error {
        StartError::Journal(error)
        | StartError::Session(SessionError::Journal(error))
        | StartError::Conversation(ConversationError::Journal(error)) => Some(error),
        StartError::Session(_)
        | StartError::Conversation(_)
        | StartError::Load(_)
        | StartError::Parameter(_)
        | StartError::ConfigGone { .. }
        | StartError::NotCancelled { .. }
        | StartError::Outside { .. }
        | StartError::Settle(_) => None,
    }
}

/// What the journal said of a run that stopped.
pub(super) fn of_outcome(outcome: &Outcome) -> Option<&JournalError> {
    match outcome {
        Outcome::Failed(RunError::Session(SessionError::Journal(error))) => Some(error),
        Outcome::Failed(RunError::Session(_) | RunError::Model { .. })
        | Outcome::Ended { .. }
        | Outcome::Suspended(_)
        | Outcome::Interrupted => None,
    }
}
