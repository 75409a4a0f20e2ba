use std::process::ExitCode;

use super::advice::worded;
use super::errors::{say_error, say_problems};
use super::remote::RemoteError;
use crate::agent::RunError;
use crate::config::{ConfigError, ParameterError};
use crate::journal::JournalError;
use crate::message::Ending;
use crate::model::{ModelError, ScriptError};
use crate::session::SessionError;
use crate::toolbox::{BuildError, ToolboxError};

/// How the command ended; the numbers are part of its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// It did what it was asked.
    Ok = 0,
    /// It failed.
    Failure = 1,
    /// The arguments or the configuration are wrong.
    Usage = 2,
    /// The run waits for a person's decision.
    Suspended = 3,
    /// The model gave no reply.
    Provider = 4,
    /// A limit stopped the run.
    Limit = 5,
    /// The run is not the recorded one.
    Divergence = 6,
    /// The process was asked to end: Ctrl-C, SIGTERM, SIGHUP.
    Interrupted = 130,
}

/// Arguments that do not fit what they are about.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Misuse(pub(super) String);

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The code for a run that ended by itself.
    pub(super) fn of_ending(ending: &Ending) -> Self {
        match ending {
            Ending::Answer(_) => Self::Ok,
            Ending::Refused(_) | Ending::Unfit { .. } | Ending::Empty(_) | Ending::Cancelled(_) => {
                Self::Failure
            }
            Ending::Limit(_) => Self::Limit,
        }
    }

    /// The code for a command that failed.
    pub(super) fn of_error(error: &anyhow::Error) -> Self {
        if let Some(error) = error.downcast_ref::<RunError>() {
            return match error {
                RunError::Model { .. } => Self::Provider,
                RunError::Session(error) => Self::of_session_error(error),
            };
        }
        if let Some(error) = error.downcast_ref::<SessionError>() {
            return Self::of_session_error(error);
        }
        if let Some(error) = error.downcast_ref::<JournalError>() {
            return Self::of_journal_error(error);
        }
        if let Some(error) = error.downcast_ref::<RemoteError>() {
            return error.exit();
        }
        match error.downcast_ref::<ModelError>() {
            // What it is set up from is configuration.
            Some(
                ModelError::Secret { .. }
                | ModelError::Setup(_)
                | ModelError::Script(ScriptError::Unreadable { .. } | ScriptError::Malformed(_)),
            ) => return Self::Usage,
            Some(_) => return Self::Provider,
            None => {}
        }
        let usage = error.is::<ConfigError>()
            || error.is::<ToolboxError>()
            || error.is::<BuildError>()
            || error.is::<ParameterError>()
            || error.is::<Misuse>();
        if usage { Self::Usage } else { Self::Failure }
    }

    fn of_session_error(error: &SessionError) -> Self {
        match error {
            SessionError::Diverged(_) => Self::Divergence,
            SessionError::Waits(_) => Self::Suspended,
            SessionError::Journal(error) => Self::of_journal_error(error),
            SessionError::Unfinished { .. }
            | SessionError::Order { .. }
            | SessionError::Stopped { .. }
            | SessionError::Taken { .. } => Self::Failure,
        }
    }

    fn of_journal_error(error: &JournalError) -> Self {
        match error {
            JournalError::UnknownRun { .. }
            | JournalError::Exists { .. }
            | JournalError::NotBegun { .. }
            | JournalError::GoneOnFrom { .. }
            | JournalError::SessionInUse { .. }
            | JournalError::AmbiguousRun { .. } => Self::Usage,
            JournalError::Locked { .. }
            | JournalError::InTheWay { .. }
            | JournalError::Unwritable { .. }
            | JournalError::Unreadable { .. }
            | JournalError::Corrupt { .. }
            | JournalError::EarlierGone { .. }
            | JournalError::EarlierDiffers { .. }
            | JournalError::EarlierCircle { .. }
            | JournalError::Version { .. }
            | JournalError::Stopped { .. }
            | JournalError::Fenced => Self::Failure,
        }
    }
}

/// Prints an error and says how to exit.
pub(super) fn report(error: &anyhow::Error) -> Exit {
    let script = match error.downcast_ref::<ModelError>() {
        Some(ModelError::Script(ScriptError::Malformed(config))) => Some(config),
        Some(_) | None => None,
    };
    match error.downcast_ref::<ConfigError>().or(script) {
        Some(config) => say_problems(config),
        None => say_error(&worded(error)),
    }
    Exit::of_error(error)
}
