use serde::{Deserialize, Serialize};

use super::Divergence;
use crate::journal::{JournalError, OrderError};
use crate::message::{Request, Slot};

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The run asks for something else than what is recorded.
    #[error(transparent)]
    Diverged(Box<Divergence>),
    /// Effects that only a person, or time, can bring to their end. Everything beside them has ended and is recorded.
    #[error("the run waits for {}", places(.0))]
    Waits(Vec<Waiting>),
    /// Replay came to a request whose result was never recorded.
    #[error(
        "the recording ends at {slot}: its result was never recorded\n  who resumes the run carries it on from there"
    )]
    Unfinished {
        /// Where.
        slot: Slot,
    },
    /// Events of a slot contradict each other.
    #[error("the journal is damaged at {slot}: {error}")]
    Order {
        /// Where.
        slot: Slot,
        /// The contradiction.
        error: OrderError,
    },
    /// The call was made by a tool that has been stopped since, so nothing of it is recorded any more.
    #[error("{slot} goes on after its caller was stopped; please report this as a bug")]
    Stopped {
        /// Where.
        slot: Slot,
    },
    /// The same slot was asked for twice: a bug of this program.
    #[error("{slot} was asked for twice; please report this as a bug")]
    Taken {
        /// Where.
        slot: Slot,
    },
}

/// An effect that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// Where.
    pub slot: Slot,
    /// What was asked for.
    pub request: Request,
    /// Since when, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: u64,
    /// For what.
    pub wants: Wants,
}

/// What an effect waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wants {
    /// That a person says whether it took effect: the process died in the middle of it.
    Settlement,
    /// That a person says whether it may be made.
    Approval,
    /// What a person answers.
    Answer,
    /// A moment, in milliseconds since 1970-01-01T00:00:00Z.
    Moment(u64),
}

fn places(waiting: &[Waiting]) -> String {
    waiting.iter().map(|it| it.slot.to_string()).collect::<Vec<_>>().join(", ")
}
