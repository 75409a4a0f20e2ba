//! What a tool may ask of its run while it runs.

use futures::future::BoxFuture;

use super::Clock;
use crate::message::{Moment, Rules, ToolCall, ToolOutcome};

/// How many callers may wait for one call, each for the next: tools call tools so deep, and no deeper.
pub const CALL_DEPTH_MAX: usize = 3;

/// Makes the calls of one tool while it runs.
pub trait FanOut: Send + Sync {
    /// Makes all calls in parallel and returns when each has ended. Dropping the future cancels them.
    fn call_all(&self, calls: Vec<ToolCall>) -> BoxFuture<'_, Result<CalledAll, Stopped>>;

    /// Whether there is a tool of this name that tools can be granted to call.
    fn has_tool(&self, name: &str) -> bool;

    /// The rules of the run that the calls are made in.
    fn rules(&self) -> Rules;

    /// The time that the tool has taken, but for that in which its calls waited for a person or a moment.
    fn clock(&self) -> &Clock;
}

/// What calls came to that were made together.
#[derive(Debug)]
pub struct CalledAll {
    /// One outcome a call, in order.
    pub outcomes: Vec<ToolOutcome>,
    /// When the last of them ended, as it is recorded: so that whoever makes them again sees the same moment. `None` if
    /// there was no call.
    pub ended: Option<Moment>,
}

/// The caller is to be stopped: what its calls came to is not for it to see.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the tool was stopped in the middle of its calls")]
pub struct Stopped;

/// Makes no calls: for tools that are called outside of any run.
#[derive(Debug, Default)]
pub struct NoCalls(Clock);

impl FanOut for NoCalls {
    fn call_all(&self, _calls: Vec<ToolCall>) -> BoxFuture<'_, Result<CalledAll, Stopped>> {
        Box::pin(std::future::ready(Err(Stopped)))
    }

    fn has_tool(&self, _name: &str) -> bool {
        false
    }

    fn rules(&self) -> Rules {
        Rules::NOW
    }

    fn clock(&self) -> &Clock {
        &self.0
    }
}
