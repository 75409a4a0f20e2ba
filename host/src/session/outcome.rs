use crate::message::{
    By, Decision, Ending, ErrorKind, ModelFailure, Outcome, Reply, ToolOutcome, Trace, Usage,
};

/// What carrying out an effect gave.
#[derive(Debug)]
pub struct Done<T> {
    /// The result.
    pub value: T,
    /// What it consumed; the session fills in the wall time.
    pub usage: Usage,
    /// What was noted for the person meanwhile.
    pub trace: Trace,
    /// Who said it, where it is a person's word.
    pub by: Option<By>,
}

impl<T> From<T> for Done<T> {
    fn from(value: T) -> Self {
        Self { value, usage: Usage::default(), trace: Trace::default(), by: None }
    }
}

impl<T: Recorded> Done<T> {
    /// The same in the form in which it is recorded.
    #[must_use]
    pub fn recorded(self) -> Done<Outcome> {
        let Self { value, usage, trace, by } = self;
        Done { value: value.into_outcome(), usage, trace, by }
    }
}

/// A result that can be recorded and read back.
pub trait Recorded: Sized {
    /// The form it is recorded in.
    fn into_outcome(self) -> Outcome;
    /// Reads it back; none if another kind of result is recorded.
    fn from_outcome(outcome: Outcome) -> Option<Self>;
}

/// Whether another attempt may come to something else.
impl Outcome {
    /// Whether it is a failure that may pass, so that another attempt may mend it.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::NoReply(failure) => failure.may_pass,
            Self::Tool(ToolOutcome::Error(error)) => {
                matches!(error.kind, ErrorKind::Transient | ErrorKind::Timeout)
            }
            Self::Tool(ToolOutcome::Output(_)) | Self::Model(_) | Self::Run(_) | Self::Decision(_) => false,
        }
    }

    /// How long it asks to wait before that attempt, in milliseconds.
    pub(super) fn asked_ms(&self) -> Option<u64> {
        self.failure()?.retry_after_ms
    }

    /// Whether the next attempt asks another model, and need not wait.
    pub(super) fn falls_back(&self) -> bool {
        self.failure().is_some_and(|failure| failure.fall_back)
    }

    /// Whether it ends the effect when no other attempt is made now. If not, a resume makes one.
    pub(super) fn is_end(&self) -> bool {
        self.failure().is_none_or(|failure| failure.shortens)
    }

    fn failure(&self) -> Option<&ModelFailure> {
        match self {
            Self::NoReply(failure) => Some(failure),
            Self::Model(_) | Self::Tool(_) | Self::Run(_) | Self::Decision(_) => None,
        }
    }
}

impl Recorded for Result<Reply, ModelFailure> {
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(reply) => Outcome::Model(reply),
            Err(failure) => Outcome::NoReply(failure),
        }
    }

    fn from_outcome(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Model(reply) => Some(Ok(reply)),
            Outcome::NoReply(failure) => Some(Err(failure)),
            Outcome::Run(_) | Outcome::Tool(_) | Outcome::Decision(_) => None,
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
            Outcome::Run(_) | Outcome::Model(_) | Outcome::NoReply(_) | Outcome::Decision(_) => None,
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
            Outcome::Model(_) | Outcome::NoReply(_) | Outcome::Tool(_) | Outcome::Decision(_) => None,
        }
    }
}

impl Recorded for Decision {
    fn into_outcome(self) -> Outcome {
        Outcome::Decision(self)
    }

    fn from_outcome(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Decision(decision) => Some(decision),
            Outcome::Run(_) | Outcome::Model(_) | Outcome::NoReply(_) | Outcome::Tool(_) => None,
        }
    }
}
