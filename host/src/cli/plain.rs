//! What the engine says is wrong, as the command line says it: the cause, and which command helps.

use std::path::Path;

use anyhow::anyhow;

use super::exit::Misuse;
use super::fork::unfit_output;
use crate::engine::{
    ConversationError, DecideError, ForkError, LoadError, RerunError, SettleError, StartError,
};

/// An error of the engine.
pub(super) trait Plain {
    /// The same for a person at a command line.
    fn plain(self) -> anyhow::Error;
}

impl Plain for LoadError {
    fn plain(self) -> anyhow::Error {
        match self {
            Self::Config(error) => error.into(),
            Self::Toolbox(error) => error.into(),
            Self::Model(error) => error.into(),
            Self::Parameter(error) => error.into(),
            Self::Cache(error) => error.into(),
            Self::Sandbox(error) => error.into(),
            Self::Member { table, path, source } => {
                source.plain().context(format!("[tools.{table}] is the agent {}", path.display()))
            }
        }
    }
}

impl Plain for ConversationError {
    fn plain(self) -> anyhow::Error {
        let text = self.to_string();
        let or_forget =
            |session| format!("or `host sessions forget {session} --last` takes that run out of the session");
        match self {
            Self::RunGone { session, .. } => {
                Misuse(format!("{text}\n  `host journal import` brings it back, {}", or_forget(session)))
                    .into()
            }
            Self::OtherAgent { session, .. } => {
                Misuse(format!("{text}\n  choose another key, {}", or_forget(session))).into()
            }
            Self::Unfinished { session, run } => {
                Misuse(format!("{text}\n  `host resume {run}` goes on with it, {}", or_forget(session)))
                    .into()
            }
            Self::Journal(error) => error.into(),
            Self::Session(error) => error.into(),
            Self::Replay(error) => error.into(),
        }
    }
}

impl Plain for SettleError {
    fn plain(self) -> anyhow::Error {
        match self {
            Self::NotInDoubt { .. } | Self::Twice { .. } | Self::Unfit { .. } => {
                Misuse(self.to_string()).into()
            }
            Self::Recorded(error) => error.into(),
        }
    }
}

impl Plain for StartError {
    fn plain(self) -> anyhow::Error {
        match self {
            Self::Load(error) => error.plain(),
            Self::Parameter(error) => error.into(),
            Self::ConfigGone { .. } => {
                Misuse(format!("{self}\n  if it was moved, say where it is now: --config AGENT.TOML")).into()
            }
            Self::NotCancelled { .. } | Self::Outside { .. } => Misuse(self.to_string()).into(),
            Self::Conversation(error) => error.plain(),
            Self::Settle(error) => error.plain(),
            Self::Journal(error) => error.into(),
            Self::Session(error) => error.into(),
        }
    }
}

impl Plain for DecideError {
    fn plain(self) -> anyhow::Error {
        match self {
            Self::Ended { .. } | Self::NotWaiting { .. } | Self::NoLonger { .. } | Self::Unfit { .. } => {
                Misuse(self.to_string()).into()
            }
            Self::Journal(error) => error.into(),
            Self::Recorded(error) => error.into(),
            Self::Approvals(error) => error.into(),
        }
    }
}

impl Plain for RerunError {
    fn plain(self) -> anyhow::Error {
        const HINT: &str = "--config AGENT.TOML names another one";
        match self {
            Self::IsAgent => Misuse(format!("{self}; `host replay RUN` goes through its run")).into(),
            Self::Config { path, source } => {
                anyhow::Error::from(*source).context(format!("{} ({HINT})", path.display()))
            }
            Self::NoTable { .. } => Misuse(format!("{self} ({HINT})")).into(),
            Self::Effects { .. } => {
                Misuse(format!("{self}\n  if that does no harm, say so with --allow-effects")).into()
            }
            Self::Path { .. } => anyhow!(self),
            Self::Load(error) => error.plain(),
            Self::Recorded(error) => error.into(),
            Self::Journal(error) => error.into(),
        }
    }
}

/// The error of a fork, whose edit may have come from a file.
pub(super) fn of_fork(error: ForkError, file: Option<&Path>) -> anyhow::Error {
    match error {
        ForkError::Unfinished { .. } => {
            Misuse(format!("{error}; fork at an earlier turn, or resume the run")).into()
        }
        ForkError::Unfit { why, .. } => {
            anyhow!(why).context(unfit_output(file.unwrap_or(Path::new("the edit"))))
        }
        ForkError::Outside { .. }
        | ForkError::TooFar { .. }
        | ForkError::NoResult { .. }
        | ForkError::OtherTurn { .. }
        | ForkError::Nothing { .. } => Misuse(error.to_string()).into(),
        ForkError::Start(error) => error.plain(),
        ForkError::Recorded(error) => error.into(),
        ForkError::Journal(error) => error.into(),
    }
}
