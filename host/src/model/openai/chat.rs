//! Chat completions: our messages to a request, an answer to our [`Reply`].
//!
//! The wire format is the crate's: it writes the request and reads the answer. Two things are done here,
//! because the crate rebuilds an assistant message from what it understood of it. Such a message is kept as
//! it came and put back into the next request byte for byte. And what could not be sent back is repaired
//! once, when it arrives ([`echo`]), so that one bad call never makes the rest of a conversation fail.

use std::collections::{BTreeMap, HashSet};

use futures::stream;
use rig_core::completion::{CompletionRequest, CompletionResponse, FinishReason, ToolDefinition};
use rig_core::driver::{self, Exchange, Opened, Opening, Transport};
use rig_core::message::{
    AssistantContent, AssistantMessage, CallId, EmptyToolName, Message as WireMessage, ToolCall as WireCall,
    ToolFunction, ToolName,
};
use rig_core::providers::openai::wire::Chat;
use rig_core::wire::{Body, Encoded, Mode, Wire as _, WireFrame};
use serde::Deserialize;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use super::ModelRequest;
use crate::message::{Arguments, Json, Message, Reply, Stop, Tokens, ToolCall};

/// The member that carries arguments which no provider would take back.
const MALFORMED: &str = "malformed_arguments";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Writes a request.
pub(super) fn encode(wire: &Chat, request: &ModelRequest<'_>) -> Result<reqwest::Request, BoxError> {
    let (history, echoes) = history(request.messages)?;
    let mut ask = CompletionRequest::new("");
    ask.chat_history = history;
    ask.temperature = request.temperature;
    ask.max_tokens = request.max_tokens;
    for tool in request.tools {
        let (name, schema) = (ToolName::new(&*tool.name)?, tool.input_schema.to_value());
        ask.tools.push(ToolDefinition::new(name, &*tool.description, schema));
    }
    // Encoding directly, not through the crate's driver, leaves out its rewriting of the history: calls
    // renamed, turns dropped, answers invented.
    let (parts, body) = wire.encode(ask, Mode::Unary)?.request.into_parts();
    let Body::Bytes(body) = body else { return Err("the request has parts".into()) };
    let body = splice(&body, request.instructions, echoes)?;
    let mut post = reqwest::Request::new(parts.method, parts.uri.to_string().parse()?);
    *post.headers_mut() = parts.headers;
    *post.body_mut() = Some(body.into());
    Ok(post)
}

/// The provider's own messages to put back, each with its place among the messages of the request.
type Echoes<'a> = Vec<(usize, &'a Json)>;

/// Converts a conversation so that every message becomes exactly one message of the request.
fn history(messages: &[Message]) -> Result<(Vec<WireMessage>, Echoes<'_>), EmptyToolName> {
    let (mut history, mut echoes) = (Vec::with_capacity(messages.len()), Vec::new());
    let mut open = Vec::new().into_iter();
    for message in messages {
        history.push(match message {
            Message::User(text) => WireMessage::user(text),
            Message::Assistant(reply) => {
                let ids = call_ids(&reply.calls);
                open = ids.clone().into_iter();
                if let Some(items) = &reply.items {
                    echoes.push((history.len(), items));
                    WireMessage::assistant("(replaced by `splice`)")
                } else if reply.text.is_empty() && reply.calls.is_empty() {
                    continue;
                } else {
                    assistant(reply, ids)?
                }
            }
            Message::Tool(result) => {
                // Results come in call order, so the place tells the call even if its id does not.
                let id = open.next().unwrap_or_else(|| CallId::from_wire(&*result.call_id));
                WireMessage::tool_result(id, tool_name(&result.name)?, result.model_text())
            }
        });
    }
    Ok((history, echoes))
}

/// A reply that does not come from this wire, such as a scripted one.
fn assistant(reply: &Reply, ids: Vec<CallId>) -> Result<WireMessage, EmptyToolName> {
    let mut content = Vec::new();
    if !reply.text.is_empty() {
        content.push(AssistantContent::text(&*reply.text));
    }
    for (call, id) in reply.calls.iter().zip(ids) {
        let text = match &call.arguments {
            Arguments::Json(json) => json.as_str(),
            Arguments::Malformed(text) => text,
        };
        let function = ToolFunction::new(tool_name(&call.name)?, as_object(text));
        content.push(AssistantContent::ToolCall(WireCall::new(id, function)));
    }
    Ok(WireMessage::Assistant(AssistantMessage::new(content)))
}

/// The ids of a reply's calls. An empty or repeated one could not tell its call from the others: the crate
/// gives such a call an id that is in no other place of the request.
fn call_ids(calls: &[ToolCall]) -> Vec<CallId> {
    let mut seen = HashSet::new();
    calls.iter().map(|call| CallId::from_wire(if seen.insert(&call.id) { &*call.id } else { "" })).collect()
}

fn tool_name(name: &str) -> Result<ToolName, EmptyToolName> {
    ToolName::new(if name.is_empty() { "unnamed" } else { name })
}

/// Puts the instructions and the provider's own messages into a request. Goes by raw text, because a
/// message that was parsed and written again is not the same bytes.
fn splice(body: &[u8], instructions: &str, echoes: Echoes<'_>) -> Result<Vec<u8>, BoxError> {
    let mut body: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body)?;
    let messages = body.get_mut("messages").ok_or("the request has no messages")?;
    let mut list: Vec<Box<RawValue>> = serde_json::from_str(messages.get())?;
    for (place, items) in echoes {
        *list.get_mut(place).ok_or("a message was left out of the request")? = to_raw_value(items)?;
    }
    if !instructions.is_empty() {
        // A plain string is what every compatible server reads; the crate would write a list of parts.
        list.insert(0, to_raw_value(&json!({ "role": "system", "content": instructions }))?);
    }
    *messages = to_raw_value(&list)?;
    Ok(serde_json::to_vec(&body)?)
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Box<RawValue>,
}

/// The crate's driver, given an answer that has already arrived.
#[derive(Clone)]
struct Arrived(String);

impl Transport<Chat> for Arrived {
    fn send(&self, _: Encoded, _: Exchange) -> Opening<WireFrame> {
        Opening::ready(Opened::new(stream::iter([Ok(WireFrame::Text(self.0.clone()))])))
    }
}

/// Reads an answer; the error is the reason why it is none.
pub(super) async fn decode(wire: &Chat, turn: u32, body: &[u8]) -> Result<Reply, String> {
    let Completion { choices } = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let message = choices.into_iter().next().ok_or("it has no choices")?.message;
    // The crate takes only the exact kind for a whole answer, but some servers name another or none. It
    // also looks for index 0, which a sole choice need not have.
    let mut frame: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    for (at, key, value) in [("", "object", json!("chat.completion")), ("/choices/0", "index", json!(0))] {
        let object = frame.pointer_mut(at).and_then(Value::as_object_mut).ok_or("it is not an object")?;
        object.insert(key.to_owned(), value);
    }
    let arrived = driver::Model::new(wire.clone(), Arrived(frame.to_string()));
    let response = arrived.call(CompletionRequest::new("-")).await.map_err(|error| error.to_string())?;

    let calls = calls(&response.choice, turn);
    let before: Value = serde_json::from_str(message.get()).map_err(|error| error.to_string())?;
    let after = echo(before.clone(), &calls)?;
    let items = if after == before { message.get().to_owned() } else { after.to_string() };
    let texts: Vec<&str> = response.choice.iter().filter_map(text).collect();
    Ok(Reply {
        text: texts.join("\n"),
        calls,
        stop: stop(&response, &before),
        tokens: Tokens {
            input: response.usage.input_tokens.unwrap_or(0),
            output: response.usage.output_tokens.unwrap_or(0),
        },
        items: Some(Json::parse(items).map_err(|error| error.to_string())?),
    })
}

fn text(content: &AssistantContent) -> Option<&str> {
    if let AssistantContent::Text(text) = content { Some(text.text()) } else { None }
}

/// The calls of an answer. One whose id is missing, empty or taken gets an id made of its place in the run.
fn calls(content: &[AssistantContent], turn: u32) -> Vec<ToolCall> {
    let calls: Vec<&WireCall> = content
        .iter()
        .filter_map(|block| if let AssistantContent::ToolCall(call) = block { Some(call) } else { None })
        .collect();
    let mut taken: HashSet<String> =
        calls.iter().filter_map(|call| call.id.provider()).map(|id| id.as_str().to_owned()).collect();
    let named = calls.into_iter().enumerate().map(|(index, call)| {
        let id = call.id.provider().map_or_else(
            || {
                let mut id = format!("call_{turn}_{index}");
                while !taken.insert(id.clone()) {
                    id.push('_');
                }
                id
            },
            |id| id.as_str().to_owned(),
        );
        let arguments = match &call.function.invalid_arguments {
            Some(text) => Arguments::parse(text),
            None => Arguments::Json(Json::canonical(&call.function.arguments_value())),
        };
        ToolCall { id, name: call.function.name.as_str().to_owned(), arguments }
    });
    named.collect()
}

fn stop(response: &CompletionResponse, message: &Value) -> Stop {
    if message["refusal"].as_str().is_some_and(|text| !text.is_empty()) {
        return Stop::Refusal;
    }
    match response.finish_reason() {
        Some(FinishReason::Stop) => Stop::End,
        Some(FinishReason::ToolCalls) => Stop::ToolCalls,
        Some(FinishReason::Length) => Stop::MaxTokens,
        Some(FinishReason::ContentFilter) => Stop::Refusal,
        Some(FinishReason::Other(word)) if word == "refusal" => Stop::Refusal,
        Some(FinishReason::Other(word)) => Stop::Other(word),
        // The crate may learn new words; a server may say none.
        Some(_) | None => Stop::Other("unknown".to_owned()),
    }
}

/// The message as it can be sent back, which is as it came but for what a provider would refuse: calls
/// without a name (nothing can answer them), ids that tell no calls apart, and arguments that are not an
/// object. Such arguments become the sole member of one, so the model still sees what it wrote.
fn echo(mut message: Value, calls: &[ToolCall]) -> Result<Value, String> {
    let fields = message.as_object_mut().ok_or("its message is not an object")?;
    fields.entry("role").or_insert_with(|| "assistant".into());
    let sent = match fields.get_mut("tool_calls") {
        Some(Value::Array(sent)) => sent,
        Some(_) | None => &mut Vec::new(),
    };
    sent.retain(has_name);
    if sent.len() != calls.len() {
        return Err(format!("{} of its {} tool calls can be read", calls.len(), sent.len()));
    }
    for (sent, call) in sent.iter_mut().zip(calls) {
        sent["id"] = call.id.as_str().into();
        if let Some(Value::String(text)) = sent.pointer_mut("/function/arguments")
            && !matches!(serde_json::from_str(text), Ok(Value::Object(_)))
        {
            *text = as_object(text).to_string();
        }
    }
    // Some servers write an empty list and would refuse to read it.
    if sent.is_empty() {
        fields.shift_remove("tool_calls");
    }
    Ok(message)
}

fn has_name(call: &Value) -> bool {
    let kind = matches!(call["type"].as_str(), None | Some("function" | "custom"));
    let name = call["function"]["name"].as_str().or(call["custom"]["name"].as_str());
    kind && name.is_some_and(|name| !name.is_empty())
}

fn as_object(arguments: &str) -> Value {
    match serde_json::from_str(arguments) {
        Ok(object @ Value::Object(_)) => object,
        _ if arguments.trim().is_empty() => json!({}),
        Ok(_) | Err(_) => json!({ MALFORMED: arguments }),
    }
}
