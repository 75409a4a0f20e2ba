//! A script as a provider: replies from a file, in the form of each interface, so that a program runs without a key and
//! without a network.

mod chat;
mod contents;
mod messages;
mod responses;

use serde_json::Value;

use super::body::rounds;
use crate::message::{
    Arguments, Dialect, Json, Message, Reply, SHOWN_BYTES_MAX, ToolCall, ToolOutcome, ToolResult, Wire,
};
use crate::model::{Model as _, ModelError, ModelRequest, Scripted};

/// What a reply is written with.
struct Written<'a> {
    reply: &'a Reply,
    model: &'a str,
    /// What tells it from other replies.
    id: String,
}

/// The reply that a script has for a request: the turn is told by how many replies the conversation has.
pub(super) async fn reply(
    script: &Scripted,
    dialect: Dialect,
    body: &Value,
    attempt: u32,
) -> Result<Reply, ModelError> {
    let messages = messages_of(dialect, body);
    let turns = messages.iter().filter(|message| matches!(message, Message::Assistant(_))).count();
    let turn = u32::try_from(turns).unwrap_or(u32::MAX);
    let request = ModelRequest { turn, attempt, ..ModelRequest::of(&messages) };
    script.ask(&request).await
}

/// A reply as the provider of an interface would send it.
pub(super) fn written(dialect: Dialect, model: &str, stream: bool, reply: &Reply, id: &str) -> Wire {
    let written = Written { reply, model, id: id.to_owned() };
    let (kind, body) = match (dialect, stream) {
        (Dialect::ChatCompletions, false) => (JSON, written.chat().to_string()),
        (Dialect::ChatCompletions, true) => (EVENTS, written.chat_events()),
        (Dialect::Responses, false) => (JSON, written.response().to_string()),
        (Dialect::Responses, true) => (EVENTS, written.response_events()),
        (Dialect::Messages, false) => (JSON, written.message().to_string()),
        (Dialect::Messages, true) => (EVENTS, written.message_events()),
        (Dialect::GenerateContent, false) => (JSON, written.content().to_string()),
        (Dialect::GenerateContent, true) => (EVENTS, written.content_events()),
    };
    Wire { status: 200, headers: vec![("content-type".to_owned(), kind.to_owned())], body }
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// An event of a stream, with its name if it has one.
fn event(name: Option<&str>, data: &Value) -> String {
    match name {
        Some(name) => format!("event: {name}\ndata: {data}\n\n"),
        None => format!("data: {data}\n\n"),
    }
}

fn text_of(arguments: &Arguments) -> &str {
    arguments.as_written()
}

fn value_of(arguments: &Arguments) -> Value {
    match arguments {
        Arguments::Json(json) => json.to_value(),
        Arguments::Malformed(text) => Value::String(text.clone()),
    }
}

/// The conversation as a script reads it.
fn messages_of(dialect: Dialect, body: &Value) -> Vec<Message> {
    let mut messages = Vec::new();
    for round in rounds(dialect, body) {
        messages.extend(round.said.into_iter().map(Message::User));
        let Some(text) = round.reply else { continue };
        let call = |call: &super::body::Call| ToolCall {
            id: call.id.clone().unwrap_or_default(),
            name: call.name.clone(),
            arguments: Arguments::parse(&call.input),
        };
        let calls: Vec<ToolCall> = round.calls.iter().map(call).collect();
        messages.push(Message::Assistant(Reply { text, calls: calls.clone(), ..Reply::default() }));
        for result in round.results {
            let call = result.call.and_then(|index| calls.get(index));
            let json = Json::parse(result.text.clone());
            let json = json.unwrap_or_else(|_| Json::canonical(&Value::String(result.text)));
            messages.push(Message::Tool(ToolResult {
                call_id: call.map(|call| call.id.clone()).unwrap_or_default(),
                name: call.map(|call| call.name.clone()).unwrap_or_default(),
                outcome: ToolOutcome::Output(json),
                shown_bytes_max: SHOWN_BYTES_MAX,
                note: None,
                shown: None,
                is_whole: false,
            }));
        }
    }
    messages
}
