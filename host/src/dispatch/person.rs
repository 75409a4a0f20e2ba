use futures::future::BoxFuture;

use crate::message::{Decision, Json, Slot, ToolAsk, ToolEntry, ToolOutcome};

/// Who may be there to decide while a run goes on.
pub trait Person: Send + Sync {
    /// Whether a call may be made; none if nobody is there to say.
    fn decide<'a>(&'a self, slot: &'a Slot, ask: &'a ToolAsk) -> BoxFuture<'a, Option<Decision>>;

    /// The answer to a question; none if nobody is there to give one.
    fn answer<'a>(&'a self, slot: &'a Slot, question: &'a str) -> BoxFuture<'a, Option<String>>;

    /// What a call of one of the host's own tools comes to, where nothing is to be waited for.
    fn waits_for_nothing(&self, _slot: &Slot, _tool: &ToolEntry, _input: &Json) -> Option<ToolOutcome> {
        None
    }
}

/// Nobody is there: whatever wants a person waits.
#[derive(Debug)]
pub struct Unattended;

impl Person for Unattended {
    fn decide<'a>(&'a self, _slot: &'a Slot, _ask: &'a ToolAsk) -> BoxFuture<'a, Option<Decision>> {
        Box::pin(std::future::ready(None))
    }

    fn answer<'a>(&'a self, _slot: &'a Slot, _question: &'a str) -> BoxFuture<'a, Option<String>> {
        Box::pin(std::future::ready(None))
    }
}
