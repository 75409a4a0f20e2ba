use crate::message::{Dialect, Slot};

/// Why a program's request, or its call, is not taken.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The program was started again since: this is an earlier start of it.
    #[error("start {start} of the run is over: start {current} took its place")]
    Fenced {
        /// The start that asks.
        start: u32,
        /// The one that goes on.
        current: u32,
    },
    /// The program goes on otherwise than it did before.
    #[error("the program asks for something else than what is recorded at {slot}\n{diff}")]
    Diverged {
        /// The first request that it did not send again.
        slot: Slot,
        /// What differs, in unified form.
        diff: String,
    },
    /// The program tells a model of a result that it was not given.
    #[error("the program sends a result of {slot} that it was not given: {why}")]
    NotGiven {
        /// The call.
        slot: Slot,
        /// How the call stands.
        why: String,
    },
    /// The run may use no more.
    #[error("{0}")]
    Limit(String),
    /// The agent does not let programs ask for this model.
    #[error("the model {asked:?} may not be asked for: [gateway] allows {}", .allowed.join(", "))]
    Model {
        /// The model.
        asked: String,
        /// Those that may.
        allowed: Vec<String>,
    },
    /// The provider of the agent is not reached by this interface.
    #[error("the provider in [model] is not reached by {0}")]
    Dialect(Dialect),
    /// No reply asked for the call.
    #[error("no reply asked for this call of {0}, and `calls` in [gateway] allows no others")]
    Uncalled(String),
    /// The run has ended: it gives what is recorded, and nothing more.
    #[error("the run has ended, and this was not asked for in it")]
    Ended,
    /// Nobody works on the run at this moment.
    #[error("the run is not worked on at this moment")]
    Closed,
}
