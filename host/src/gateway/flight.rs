//! A request that is under way: it goes on whoever waits for it, and may be waited for by several connections.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::message::{Dialect, ToolResult, Wire};
use crate::model::Heard;

/// A request for a reply that is under way.
#[derive(Debug)]
pub(super) struct Flight {
    dialect: Dialect,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    head: Option<(u16, Vec<(String, String)>)>,
    pieces: Vec<String>,
    /// The end of a stream, which nobody hears before it is recorded.
    held: String,
    end: Option<End>,
    starts: HashSet<Option<u32>>,
}

/// How a request ended.
#[derive(Clone, Debug)]
pub enum End {
    /// With a reply, which is recorded.
    Replied(Arc<Wire>),
    /// The provider refused it, and this is what it said.
    Refused(Arc<Wire>),
    /// The run is over, and this was not answered in it.
    Over,
    /// It failed here or on the way.
    Failed(Failed),
}

/// Why something failed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// What happened.
    pub why: String,
    /// Whether asking again may help.
    pub may_pass: bool,
}

/// What a connection is told next of a request.
#[derive(Debug)]
pub enum Next {
    /// It is a stream that begins like this.
    Head(u16, Vec<(String, String)>),
    /// The next events of the stream.
    Piece(String),
    /// It has ended like this.
    End(End),
}

impl Flight {
    pub(super) fn new(dialect: Dialect) -> Arc<Self> {
        Arc::new(Self { dialect, state: Mutex::default(), changed: watch::channel(()).0 })
    }

    /// Takes in that a start of the program waits for it.
    pub(super) fn join(&self, start: Option<u32>) {
        self.state.lock().starts.insert(start);
    }

    /// The starts that wait for it.
    pub(super) fn starts(&self) -> Vec<Option<u32>> {
        self.state.lock().starts.iter().copied().collect()
    }

    /// Takes in what the provider says.
    pub(super) fn hear(&self, heard: Heard<'_>) {
        let mut state = self.state.lock();
        match heard {
            Heard::Stream(status, headers) => state.head = Some((status, headers)),
            Heard::Events(events) => {
                for event in split(events) {
                    if !state.held.is_empty() || is_last(self.dialect, event) {
                        state.held.push_str(event);
                    } else {
                        state.pieces.push(event.to_owned());
                    }
                }
            }
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// Ends it. What came first counts.
    pub(super) fn end(&self, end: End) {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return;
        }
        let held = std::mem::take(&mut state.held);
        if matches!(end, End::Replied(_)) && !held.is_empty() {
            state.pieces.push(held);
        }
        state.end = Some(end);
        drop(state);
        self.changed.send_replace(());
    }

    /// What comes next, for a connection that has heard so many pieces, and the head if `headed`.
    pub(super) async fn next(&self, headed: bool, heard: usize) -> Next {
        loop {
            let mut changed = self.changed.subscribe();
            {
                let state = self.state.lock();
                match (&state.head, &state.end) {
                    (Some((status, headers)), end)
                        if !headed && !matches!(end, Some(End::Refused(_) | End::Failed(_) | End::Over)) =>
                    {
                        return Next::Head(*status, headers.clone());
                    }
                    _ => {}
                }
                if let Some(piece) = state.pieces.get(heard).filter(|_| headed) {
                    return Next::Piece(piece.clone());
                }
                if let Some(end) = &state.end {
                    return Next::End(end.clone());
                }
            }
            // The sender lives as long as this.
            let _ = changed.changed().await;
        }
    }
}

/// The events of a stream, one by one.
fn split(mut events: &str) -> Vec<&str> {
    let mut all = Vec::new();
    while !events.is_empty() {
        let ends = ["\n\n", "\r\n\r\n", "\r\r"];
        let end = ends.iter().filter_map(|end| Some(events.find(end)? + end.len())).min();
        let (event, rest) = events.split_at(end.unwrap_or(events.len()));
        all.push(event);
        events = rest;
    }
    all
}

/// Whether an event says that the reply is whole: from there on nothing is told before the reply is recorded, or the program
/// could go on from a reply that a crash takes back.
fn is_last(dialect: Dialect, event: &str) -> bool {
    match dialect {
        Dialect::ChatCompletions => {
            let reason = event.split("\"finish_reason\"").skip(1);
            let mut reason = reason.map(|rest| rest.trim_start_matches([' ', ':']));
            event.contains("[DONE]") || reason.any(|rest| !rest.starts_with("null"))
        }
        Dialect::Responses => ["\"response.completed\"", "\"response.incomplete\"", "\"response.failed\""]
            .iter()
            .any(|name| event.contains(name)),
        Dialect::Messages => event.contains("\"message_delta\"") || event.contains("\"message_stop\""),
        Dialect::GenerateContent => event.contains("\"finishReason\""),
    }
}

/// A call of a tool that is under way.
pub(super) type CallFlight = watch::Sender<Option<Result<ToolResult, Failed>>>;

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn events(flight: &Flight, text: &str) {
        flight.hear(Heard::Events(text));
    }

    #[tokio::test]
    async fn the_end_of_a_stream_is_told_when_it_is_recorded() {
        let flight = Flight::new(Dialect::ChatCompletions);
        flight.hear(Heard::Stream(200, Vec::new()));
        events(
            &flight,
            "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"finish_reason\\\":1\"},\"finish_reason\":null}]}\n\n",
        );
        events(&flight, "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
        assert!(matches!(flight.next(false, 0).await, Next::Head(200, _)));
        assert!(matches!(flight.next(true, 0).await, Next::Piece(piece) if piece.contains("delta")));
        assert!(flight.next(true, 1).now_or_never().is_none(), "it is not recorded yet");
        let wire = Wire { status: 200, headers: Vec::new(), body: String::new() };
        flight.end(End::Replied(Arc::new(wire)));
        assert!(matches!(flight.next(true, 1).await, Next::Piece(piece) if piece.ends_with("[DONE]\n\n")));
        assert!(matches!(flight.next(true, 2).await, Next::End(End::Replied(_))));
    }

    #[tokio::test]
    async fn the_end_of_a_stream_that_is_not_recorded_is_told_to_nobody() {
        let flight = Flight::new(Dialect::Messages);
        flight.hear(Heard::Stream(200, Vec::new()));
        events(&flight, "event: message_delta\ndata: {\"type\":\"message_delta\"}\n\n");
        flight.end(End::Failed(Failed { why: "x".to_owned(), may_pass: true }));
        assert!(matches!(flight.next(true, 0).await, Next::End(End::Failed(_))));
    }
}
