use crate::message::{Ending, ErrorKind, Outcome, Reply, ToolOutcome, Trace, Usage};

/// What carrying out an effect gave.
#[derive(Debug)]
pub struct Done<T> {
    /// The result.
    pub value: T,
    /// What it consumed; the session fills in the wall time.
    pub usage: Usage,
    /// What was noted for the person meanwhile.
    pub trace: Trace,
}

impl<T> From<T> for Done<T> {
    fn from(value: T) -> Self {
        Self { value, usage: Usage::default(), trace: Trace::default() }
    }
}

/// A result that can be recorded and read back.
pub trait Recorded: Sized {
    /// The form it is recorded in.
    fn into_outcome(self) -> Outcome;
    /// Reads it back; none if another kind of result is recorded.
    fn from_outcome(outcome: Outcome) -> Option<Self>;
    /// Whether it is a failure that may pass, so that another attempt may mend it.
    fn may_pass(&self) -> bool {
        false
    }
}

impl Recorded for Reply {
    fn into_outcome(self) -> Outcome {
        Outcome::Model(self)
    }

    fn from_outcome(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Model(reply) => Some(reply),
            Outcome::Run(_) | Outcome::Tool(_) => None,
        }
    }
}

impl Recorded for ToolOutcome {
    fn into_outcome(self) -> Outcome {
        Outcome::Tool(self)
    }

    fn from_outcome(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Tool(outcome) => Some(outcome),
            Outcome::Run(_) | Outcome::Model(_) => None,
        }
    }

    fn may_pass(&self) -> bool {
        match self {
            Self::Output(_) => false,
            Self::Error(error) => matches!(error.kind, ErrorKind::Transient | ErrorKind::Timeout),
        }
    }
}

impl Recorded for Ending {
    fn into_outcome(self) -> Outcome {
        Outcome::Run(self)
    }

    fn from_outcome(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Run(ending) => Some(ending),
            Outcome::Model(_) | Outcome::Tool(_) => None,
        }
    }
}
