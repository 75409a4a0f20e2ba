use crate::journal::{Failed, Finished};
use crate::message::{Caller, Request, Slot};

/// Who is told of each effect as it goes on: the screen, or a test.
pub type Watch = Box<dyn Fn(&Notice<'_>) + Send + Sync>;

/// Who knows the span of an effect that goes on.
pub type SpanAt = Box<dyn Fn(&Slot) -> Option<Caller> + Send + Sync>;

/// Something a watcher may show.
#[derive(Debug)]
pub enum Notice<'a> {
    /// An attempt begins.
    Started {
        /// Where.
        slot: &'a Slot,
        /// From 1.
        attempt: u32,
        /// What is asked for.
        request: &'a Request,
    },
    /// Text of a reply that is on its way. It is not recorded: what counts is the whole reply.
    Heard {
        /// Where.
        slot: &'a Slot,
        /// The next piece.
        text: &'a str,
    },
    /// An attempt failed, and another one will follow.
    Failed {
        /// Where.
        slot: &'a Slot,
        /// What was asked for.
        request: &'a Request,
        /// What is recorded of it.
        failed: &'a Failed,
    },
    /// The result is there, and durable.
    Finished {
        /// Where.
        slot: &'a Slot,
        /// What was asked for.
        request: &'a Request,
        /// What is recorded of the end.
        finished: &'a Finished,
        /// Whether the result was recorded before, and nothing was carried out now.
        substituted: bool,
    },
}
