//! Our messages to a request.

use std::collections::BTreeMap;

use rig_core::completion::{CompletionRequest, ToolDefinition};
use rig_core::message::{
    AssistantContent, AssistantMessage, CallId, EmptyToolName, ImageMediaType, Message as WireMessage, Text,
    ToolCall as WireCall, ToolFunction, ToolName, ToolResult as WireResult, ToolResultContent, UserContent,
};
use rig_core::wire::{Body as WireBody, Mode, Wire as _};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::ids::CallIds;
use super::kept::Kept;
use super::schema::{self, Calls, Offered};
use super::{Interface, omit};
use crate::message::{Arguments, Image, Json, MediaType, Message, Origin, Reply, ToolResult};
use crate::model::ModelRequest;

/// The member that carries arguments which no provider would take back.
const MALFORMED: &str = "malformed_arguments";

pub(in crate::model) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The members of a request, each as the text it is sent as: a message that was parsed and written again is not the
/// same bytes.
pub(in crate::model) type Body = BTreeMap<String, Box<RawValue>>;

/// How requests are written, whatever they ask.
pub(super) struct Settings<'a> {
    /// What is added to them, or replaces what the host writes.
    pub(super) extra: Option<&'a Json>,
    /// What is left out of them.
    pub(super) omit: &'a [String],
    pub(super) stream: bool,
}

/// Writes a request.
pub(super) fn write<A: Interface>(
    wire: &A::Wire,
    request: &ModelRequest<'_>,
    origin: &Origin,
    settings: &Settings<'_>,
) -> Result<reqwest::Request, BoxError> {
    let Settings { extra, omit, stream } = *settings;
    let subset = A::subset(&origin.base_url);
    let calls = Calls::new(request.tools, subset);
    let History { messages, echoes, kept, .. } =
        History::of(request, origin, &calls, A::ID_CHARS_MAX, A::RESULTS_ARE_SAID)?;
    let mut ask = CompletionRequest::new("");
    ask.chat_history = messages;
    ask.temperature = request.temperature;
    ask.max_tokens = request.max_tokens;
    ask.additional_params = extra.map(Json::to_value);
    for Offered { name, description, schema } in schema::offer(request.tools, subset)? {
        ask.tools.push(ToolDefinition::new(ToolName::new(name)?, description, schema));
    }
    // Encoding directly, not through the crate's driver, leaves out its rewriting of the history: calls
    // renamed, turns dropped, answers invented.
    let mode = if stream { Mode::Streaming } else { Mode::Unary };
    let (parts, body) = wire.encode(ask, mode)?.request.into_parts();
    let WireBody::Bytes(body) = body else { return Err("the request has parts".into()) };
    let mut body: Body = serde_json::from_slice(&body)?;
    put_back(body.get_mut(A::CONVERSATION).ok_or("the request has no conversation")?, echoes)?;
    if let Some(form) = request.form {
        add(&mut body, A::form(&schema::answer(form, A::answers(&origin.base_url))?))?;
    }
    A::finish(&mut body, origin)?;
    omit::leave_out(&mut body, omit)?;
    let mut url = parts.uri.to_string().parse()?;
    A::address(&mut url);
    let mut post = reqwest::Request::new(parts.method, url);
    *post.headers_mut() = parts.headers;
    *post.body_mut() = Some(kept.put_back(serde_json::to_string(&body)?).into());
    Ok(post)
}

/// A conversation as the wire takes it.
struct History<'a> {
    calls: &'a Calls,
    /// Whether results and what the person says next are one message.
    results_are_said: bool,
    messages: Vec<WireMessage>,
    /// What a provider said, in its own form, each with the text that stands in its place.
    echoes: Vec<(String, &'a Json)>,
    /// Arguments that the wire format would write as other ones.
    kept: Kept,
}

impl<'a> History<'a> {
    fn of(
        request: &ModelRequest<'a>,
        origin: &Origin,
        calls: &'a Calls,
        id_chars_max: Option<usize>,
        results_are_said: bool,
    ) -> Result<Self, EmptyToolName> {
        let mut history =
            Self { calls, results_are_said, messages: Vec::new(), echoes: Vec::new(), kept: Kept::new() };
        let mut free = free_ids(request.messages, origin, id_chars_max);
        if !request.instructions.is_empty() {
            history.messages.push(WireMessage::system(request.instructions));
        }
        let mut ids = Vec::new().into_iter();
        let (mut results, mut images) = (Vec::new(), Vec::new());
        for (place, message) in request.messages.iter().enumerate() {
            if let Message::Tool(result) = message {
                // Results come in call order, so the place tells the call even if its id does not.
                let id = ids.next().unwrap_or_else(|| CallId::from_wire(&*result.call_id));
                results.push(UserContent::ToolResult(answer(id, result)?));
                continue;
            }
            history.push_results(&mut results);
            match message {
                Message::Image(image) => images.push(picture(image)),
                Message::User(text) => {
                    let content = images.drain(..).chain([UserContent::text(text)]).collect();
                    history.push_said(content);
                }
                Message::Assistant(reply) if is_echoed(reply, origin) => {
                    ids = history.push_echo(reply).into_iter();
                }
                Message::Assistant(reply) => ids = history.push_reply(reply, place, &mut free)?.into_iter(),
                Message::Tool(_) => {}
            }
        }
        history.push_results(&mut results);
        Ok(history)
    }

    /// What the person says, in one message with what was said right before it: many servers, and the templates of many
    /// models, want roles to alternate.
    fn push_said(&mut self, content: Vec<UserContent>) {
        let results = |content: &UserContent| matches!(content, UserContent::ToolResult(_));
        let Some(WireMessage::User { content: before }) = self.messages.last_mut() else {
            return self.messages.push(WireMessage::User { content });
        };
        if before.iter().any(results) && !self.results_are_said {
            return self.messages.push(WireMessage::User { content });
        }
        let mut content = content.into_iter().peekable();
        if let (Some(UserContent::Text(last)), Some(UserContent::Text(next))) =
            (before.last_mut(), content.peek())
        {
            *last = Text::new(format!("{}\n\n{}", last.text(), next.text()));
            content.next();
        }
        before.extend(content);
    }

    /// All results of a turn are one message: some providers take no other.
    fn push_results(&mut self, results: &mut Vec<UserContent>) {
        if !results.is_empty() {
            self.messages.push(WireMessage::User { content: std::mem::take(results) });
        }
    }

    /// A reply in the provider's own form, whose ids are what it is known by there.
    fn push_echo(&mut self, reply: &'a Reply) -> Vec<CallId> {
        if let Some(items) = &reply.items {
            let mark = format!("\u{0}{}", self.echoes.len());
            self.messages.push(WireMessage::assistant(&*mark));
            self.echoes.push((mark, items));
        }
        reply.calls.iter().map(|call| CallId::from_wire(&*call.id)).collect()
    }

    fn push_reply(
        &mut self,
        reply: &Reply,
        place: usize,
        free: &mut CallIds,
    ) -> Result<Vec<CallId>, EmptyToolName> {
        let named = reply.calls.iter().enumerate();
        let ids: Vec<CallId> = named
            .map(|(index, call)| {
                CallId::from_wire(free.give(Some(&call.id), format!("call_{place}_{index}")))
            })
            .collect();
        if !reply.text.is_empty() || !reply.calls.is_empty() {
            self.messages.push(assistant(reply, &ids, self.calls, &self.kept)?);
        }
        Ok(ids)
    }
}

/// Whether a reply goes back in its provider's own form: what one provider encrypted or signed is nothing to another.
fn is_echoed(reply: &Reply, origin: &Origin) -> bool {
    reply.items.is_some() && origin.takes(reply.origin.as_ref())
}

/// The ids for calls that do not go back as they came. They are in no other place of the request: calls without an id
/// of their own are named by their turns, which begin anew with every run of a conversation.
fn free_ids(messages: &[Message], origin: &Origin, id_chars_max: Option<usize>) -> CallIds {
    let replies = messages.iter().filter_map(|message| match message {
        Message::Assistant(reply) => Some(reply),
        Message::User(_) | Message::Image(_) | Message::Tool(_) => None,
    });
    let (echoed, plain): (Vec<&Reply>, Vec<&Reply>) = replies.partition(|reply| is_echoed(reply, origin));
    CallIds::new(ids(&echoed), ids(&plain), id_chars_max)
}

fn ids<'a>(replies: &[&'a Reply]) -> impl Iterator<Item = &'a str> {
    replies.iter().flat_map(|reply| &reply.calls).map(|call| call.id.as_str())
}

/// A reply that does not come from this provider, such as a scripted one.
fn assistant(
    reply: &Reply,
    ids: &[CallId],
    calls: &Calls,
    kept: &Kept,
) -> Result<WireMessage, EmptyToolName> {
    let mut content = Vec::new();
    if !reply.text.is_empty() {
        content.push(AssistantContent::text(&*reply.text));
    }
    for (call, id) in reply.calls.iter().zip(ids) {
        let arguments = match &call.arguments {
            Arguments::Json(json) if json.is_exact() => {
                let mut arguments = as_object(json.as_str());
                calls.there(&call.name, &mut arguments);
                arguments
            }
            Arguments::Json(json) => {
                kept.mark(json.changed(|arguments| calls.there(&call.name, arguments)).as_str())
            }
            Arguments::Malformed(text) => as_object(text),
        };
        let function = ToolFunction::new(tool_name(&call.name)?, arguments);
        content.push(AssistantContent::ToolCall(WireCall::new(id.clone(), function)));
    }
    Ok(WireMessage::Assistant(AssistantMessage::new(content)))
}

fn picture(image: &Image) -> UserContent {
    let form = match image.media_type {
        MediaType::Png => ImageMediaType::PNG,
        MediaType::Jpeg => ImageMediaType::JPEG,
        MediaType::Gif => ImageMediaType::GIF,
        MediaType::Webp => ImageMediaType::WEBP,
    };
    UserContent::image_base64(&*image.data, Some(form), None)
}

fn answer(call: CallId, result: &ToolResult) -> Result<WireResult, EmptyToolName> {
    let content = vec![ToolResultContent::text(result.model_text())];
    Ok(WireResult { call, name: tool_name(&result.name)?, content, is_error: !result.outcome.is_output() })
}

fn tool_name(name: &str) -> Result<ToolName, EmptyToolName> {
    ToolName::new(if name.is_empty() { "unnamed" } else { name })
}

/// Puts what the provider said, in its own form, where its marks stand.
fn put_back(conversation: &mut Box<RawValue>, echoes: Vec<(String, &Json)>) -> Result<(), BoxError> {
    if echoes.is_empty() {
        return Ok(());
    }
    let mut echoes = echoes.into_iter().peekable();
    let mut whole: Vec<Box<RawValue>> = Vec::new();
    for item in serde_json::from_str::<Vec<Box<RawValue>>>(conversation.get())? {
        let mark = echoes.peek().map(|(mark, _)| json!(mark).to_string());
        match echoes.next_if(|_| mark.is_some_and(|mark| item.get().contains(&mark))) {
            Some((_, items)) if items.as_str().trim_start().starts_with('[') => {
                whole.extend(serde_json::from_str::<Vec<Box<RawValue>>>(items.as_str())?);
            }
            Some((_, item)) => whole.push(to_raw_value(item)?),
            None => whole.push(item),
        }
    }
    if echoes.next().is_some() {
        return Err("a message was left out of the request".into());
    }
    *conversation = to_raw_value(&whole)?;
    Ok(())
}

/// Adds members to a request, of which it has none yet.
pub(super) fn add(body: &mut Body, members: Value) -> Result<(), BoxError> {
    let Value::Object(members) = members else { return Err("not an object".into()) };
    for (name, value) in members {
        // The wire format writes some members that it has nothing for.
        let there = body.get(&name).filter(|there| there.get() != "null");
        let whole = match (there, value) {
            (None, value) => value,
            (Some(there), Value::Object(inner)) => {
                let mut whole: Map<String, Value> =
                    serde_json::from_str(there.get()).map_err(|_| doubled(&name))?;
                for (key, value) in inner {
                    if whole.insert(key.clone(), value).is_some() {
                        return Err(doubled(&format!("{name}.{key}")));
                    }
                }
                Value::Object(whole)
            }
            (Some(_), _) => return Err(doubled(&name)),
        };
        body.insert(name, to_raw_value(&whole)?);
    }
    Ok(())
}

fn doubled(member: &str) -> BoxError {
    format!("`extra` in [model] has `{member}`, which `structured_output` writes: take one of them out")
        .into()
}

/// Arguments as an object, the only form that every provider takes back.
pub(super) fn as_object(arguments: &str) -> Value {
    // As it was read: what the tool did not get is not what the model made.
    match Arguments::parse(arguments) {
        Arguments::Json(json) if json.as_str().starts_with('{') => json.to_value(),
        Arguments::Json(_) | Arguments::Malformed(_) => json!({ MALFORMED: arguments }),
    }
}
