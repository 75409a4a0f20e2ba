//! What the engine's errors are to a client.

use super::super::problem::{Kind, Problem, chain};
use super::super::scheduler::{TakeError, TakeForkError};
use crate::agent::RunError;
use crate::engine::{
    CancelError, ConversationError, DecideError, ForkError, RerunError, SettleError, StartError,
};
use crate::journal::JournalError;
use crate::session::SessionError;

/// After how many seconds a request that found no place may be sent again.
const FULL_RETRY_S: u64 = 5;
/// After how many seconds a run may be sent again that could not be recorded.
const RECORDS_RETRY_S: u64 = 5;
/// After how many seconds a request to a server that ends may be sent again: another one may have begun by then.
const DRAINS_RETRY_S: u64 = 10;

impl From<TakeError> for Problem {
    fn from(error: TakeError) -> Self {
        match error {
            TakeError::Drains => Self::new(Kind::Unavailable, error.to_string()).retry_after(DRAINS_RETRY_S),
            TakeError::RecordsNothing(_) => {
                let help = "free space or mend the disk; the server goes on by itself then";
                Self::new(Kind::Unavailable, error.to_string()).help(help).retry_after(RECORDS_RETRY_S)
            }
            TakeError::Full(_) => {
                let help = "send it again later, or raise the bounds under [server.limits] in host.toml";
                Self::new(Kind::TooMany, error.to_string()).help(help).retry_after(FULL_RETRY_S)
            }
            TakeError::Start(error) => error.into(),
        }
    }
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Parameter(error) => Self::new(Kind::Unfit, error.to_string()).at("body: parameters"),
            StartError::Conversation(error) => error.into(),
            StartError::Settle(error) => error.into(),
            StartError::Journal(error) => error.into(),
            StartError::Session(error) => error.into(),
            StartError::NotCancelled { .. } | StartError::Outside { .. } => {
                Self::new(Kind::Conflict, error.to_string())
            }
            StartError::Load(_) | StartError::ConfigGone { .. } => Self::new(Kind::Conflict, chain(&error)),
        }
    }
}

impl From<ConversationError> for Problem {
    fn from(error: ConversationError) -> Self {
        let detail = match error {
            // Which agent has it, and where runs are kept, is not for everybody to know.
            ConversationError::OtherAgent { session, agent, .. } => {
                format!("the session {session} is not one of the agent {agent}: take another key")
            }
            ConversationError::RunGone { session, run, .. } => {
                format!("the last run of the session {session}, {run}, is gone")
            }
            ConversationError::Unfinished { .. } => error.to_string(),
            ConversationError::Journal(error) => return error.into(),
            ConversationError::Session(error) => return error.into(),
            ConversationError::Replay(error) => return error.into(),
        };
        Self::new(Kind::Conflict, detail).at("session")
    }
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        // The rest of an error of the journal is help for whoever sits before the machine.
        let said = error.to_string();
        let detail = said.lines().next().unwrap_or_default().to_owned();
        match error {
            JournalError::UnknownRun { name, .. } => {
                Self::new(Kind::Missing, format!("there is no run {name}")).at("path")
            }
            JournalError::NotBegun { .. } => Self::new(Kind::Missing, detail).at("path"),
            JournalError::AmbiguousRun { name, count, .. } => {
                Self::new(Kind::Malformed, format!("`{name}` begins {count} runs"))
                    .at("path")
                    .help("give more of the id")
            }
            JournalError::Exists { run, .. } => {
                Self::new(Kind::Conflict, format!("there is a run {run} already"))
            }
            JournalError::Locked { .. }
            | JournalError::GoneOnFrom { .. }
            | JournalError::SessionInUse { .. } => Self::new(Kind::Conflict, detail),
            // Where it cannot be written, nobody need know who may only ask.
            JournalError::Unwritable { .. } => {
                Self::new(Kind::Unavailable, "the journal cannot be written").retry_after(RECORDS_RETRY_S)
            }
            JournalError::Stopped { .. } | JournalError::Fenced => {
                Self::new(Kind::Unavailable, detail).retry_after(DRAINS_RETRY_S)
            }
            JournalError::InTheWay { .. }
            | JournalError::Unreadable { .. }
            | JournalError::Corrupt { .. }
            | JournalError::EarlierGone { .. }
            | JournalError::EarlierDiffers { .. }
            | JournalError::EarlierCircle { .. }
            | JournalError::Version { .. } => Self::failed(&said),
        }
    }
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Journal(error) => error.into(),
            SessionError::Diverged(divergence) => {
                let help = "undo the change of the agent, or resume with `accept_changes`";
                Self::new(Kind::Conflict, divergence.to_string()).help(help)
            }
            SessionError::Waits(_) | SessionError::Unfinished { .. } => {
                Self::new(Kind::Conflict, error.to_string())
            }
            SessionError::Order { .. } | SessionError::Stopped { .. } | SessionError::Taken { .. } => {
                Self::internal(&error)
            }
        }
    }
}

impl From<SettleError> for Problem {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Recorded(error) => error.into(),
            SettleError::NotInDoubt { .. } | SettleError::Twice { .. } => {
                Self::new(Kind::Conflict, error.to_string()).at("body: slot")
            }
            SettleError::Unfit { .. } => Self::new(Kind::Unfit, error.to_string()).at("body: result"),
        }
    }
}

impl From<DecideError> for Problem {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Ended { .. } | DecideError::NotWaiting { .. } | DecideError::NoLonger { .. } => {
                Self::new(Kind::Conflict, error.to_string()).help("GET the run: it says what waits")
            }
            DecideError::Unfit { .. } => Self::new(Kind::Unfit, error.to_string()).at("body: input"),
            DecideError::Journal(error) => error.into(),
            DecideError::Recorded(error) => error.into(),
            DecideError::Approvals(_) => Self::internal(&error),
        }
    }
}

impl From<CancelError> for Problem {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::Ended { .. } => Self::new(Kind::Conflict, error.to_string()),
            CancelError::Journal(error) => error.into(),
            CancelError::Session(error) => error.into(),
            CancelError::Replay(_) => Self::internal(&error),
        }
    }
}

impl From<TakeForkError> for Problem {
    fn from(error: TakeForkError) -> Self {
        match error {
            TakeForkError::Take(error) => error.into(),
            TakeForkError::Fork(error) => error.into(),
        }
    }
}

impl From<ForkError> for Problem {
    fn from(error: ForkError) -> Self {
        let said = error.to_string();
        match error {
            ForkError::Outside { .. } => Self::new(Kind::Conflict, said),
            ForkError::TooFar { .. } => Self::new(Kind::Unfit, said).at("body: turn"),
            ForkError::Unfinished { .. } => {
                let help = "fork at an earlier turn, or have the run go on first";
                Self::new(Kind::Conflict, said).at("body: turn").help(help)
            }
            ForkError::NoResult { .. } | ForkError::Nothing { .. } => {
                Self::new(Kind::Unfit, said).at("body: edit.slot")
            }
            ForkError::OtherTurn { .. } => {
                Self::new(Kind::Malformed, said).at("body: turn").help("leave `turn` out")
            }
            ForkError::Unfit { .. } => Self::new(Kind::Unfit, said).at("body: edit"),
            ForkError::Start(error) => error.into(),
            ForkError::Recorded(error) => error.into(),
            ForkError::Journal(error) => error.into(),
        }
    }
}

impl From<RerunError> for Problem {
    fn from(error: RerunError) -> Self {
        match error {
            RerunError::IsAgent => Self::new(Kind::Unfit, error.to_string()).at("body: tool"),
            RerunError::Effects { .. } => {
                let help = "if that does no harm, say so with `allow_effects`";
                Self::new(Kind::Conflict, error.to_string()).at("body: tool").help(help)
            }
            RerunError::Config { .. }
            | RerunError::NoTable { .. }
            | RerunError::Path { .. }
            | RerunError::Load(_) => Self::new(Kind::Conflict, chain(&error)),
            RerunError::Recorded(error) => error.into(),
            RerunError::Journal(error) => error.into(),
        }
    }
}

impl From<RunError> for Problem {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Model { .. } => Self::new(Kind::Conflict, error.to_string()),
            RunError::Session(error) => error.into(),
        }
    }
}
