use futures::future::BoxFuture;

use crate::message::{By, Decision, Json, Slot, ToolAsk, ToolEntry, ToolOutcome};

/// What somebody said.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken<T> {
    /// The word itself.
    pub word: T,
    /// Who said it, if that is known.
    pub by: Option<By>,
}

impl<T> From<T> for Spoken<T> {
    fn from(word: T) -> Self {
        Self { word, by: None }
    }
}

/// Who may be there to decide while a run goes on.
pub trait Person: Send + Sync {
    /// Whether a call may be made; `None` if nobody is there to say.
    fn decide<'a>(&'a self, slot: &'a Slot, ask: &'a ToolAsk) -> BoxFuture<'a, Option<Spoken<Decision>>>;

    /// The answer to a question; `None` if nobody is there to give one.
    fn answer<'a>(&'a self, slot: &'a Slot, question: &'a str) -> BoxFuture<'a, Option<Spoken<String>>>;

    /// What a call of one of the host's own tools comes to, where nothing is to be waited for.
    fn waits_for_nothing(&self, _slot: &Slot, _tool: &ToolEntry, _input: &Json) -> Option<ToolOutcome> {
        None
    }
}

/// Nobody is there: whatever wants a person waits.
#[derive(Debug)]
pub struct Unattended;

impl Person for Unattended {
    fn decide<'a>(&'a self, _slot: &'a Slot, _ask: &'a ToolAsk) -> BoxFuture<'a, Option<Spoken<Decision>>> {
        Box::pin(std::future::ready(None))
    }

    fn answer<'a>(&'a self, _slot: &'a Slot, _question: &'a str) -> BoxFuture<'a, Option<Spoken<String>>> {
        Box::pin(std::future::ready(None))
    }
}
