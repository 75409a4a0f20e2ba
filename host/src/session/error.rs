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
    /// Effects began before the process died, and only a person can say what to do about them. Everything
    /// beside them has ended and is recorded.
    #[error("the run waits for a decision on {}", places(.0))]
    InDoubt(Vec<Doubtful>),
    /// Replay came to a request whose result was never recorded.
    #[error(
        "the recording ends at {slot}: its result was never recorded\n  `host resume` carries the run on from there"
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

/// An effect of which it is not known whether it took place.
#[derive(Debug, PartialEq)]
pub struct Doubtful {
    /// Where.
    pub slot: Slot,
    /// What was asked for.
    pub request: Request,
    /// When the attempt began, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: u64,
}

fn places(doubtful: &[Doubtful]) -> String {
    doubtful.iter().map(|it| it.slot.to_string()).collect::<Vec<_>>().join(", ")
}
