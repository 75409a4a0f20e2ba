use crate::message::{Ending, ModelFailure};

/// How a run stands when a process has done with it.
#[derive(Clone, Copy, Debug)]
pub enum Stand<'a> {
    /// It ended.
    Ended(&'a Ending),
    /// It waits for a person's decision.
    Suspended,
    /// Ctrl-C.
    Interrupted,
    /// The host failed; or the model did, like this.
    Failed(Option<&'a ModelFailure>),
}
