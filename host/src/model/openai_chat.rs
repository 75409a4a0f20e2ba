//! `OpenAI` chat completions, and every endpoint that is compatible with them.
//!
//! A reply goes back as the message that came, reasoning members and unknown ones included. Source of the wire facts:
//! <https://platform.openai.com/docs/api-reference/chat>.

mod calls;

use rig_core::providers::openai::wire::{Auth, Chat, Dialect, OPENAI};
use rig_core::providers::openai::{OpenAIConfig, Route};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::remote::{
    Body, BoxError, COMPATIBLE, End, FORM, Failure, Interface, OPENAI_CHAT, Pieces, Subset, fill_arguments,
    is_own, is_strict, mark_strict,
};
use crate::message::{JsonPath, Origin, Stop, ToolCall};

/// Some servers end a stream with `[DONE]` and give no reason. One that is cut off does not have even that.
const DIALECT: Dialect = OPENAI.with_quirks(OPENAI.quirks.done_without_finish_reason());

/// Not every compatible server knows `stream_options`.
const COMPATIBLE_DIALECT: Dialect = OPENAI.with_quirks(DIALECT.quirks.without_stream_usage());

/// The lists that the pieces of a stream are appended to.
const APPENDED: [&str; 4] = ["tool_calls", "reasoning_details", "annotations", "images"];

/// The words with which servers end an answer that they could not finish.
const FAILED: [&str; 5] = ["error", "insufficient_system_resource", "abort", "aborted", "cancelled"];

/// The interface.
pub(super) struct OpenAiChat;

#[derive(Deserialize)]
struct Completion<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    message: &'a RawValue,
}

impl Interface for OpenAiChat {
    type Wire = Chat;
    const NAME: &'static str = "openai";
    const DESCRIPTION: &'static str =
        "Behind `OpenAI` chat completions, or an endpoint compatible with them.";
    const BASE_URL: &'static str = "https://api.openai.com/v1";
    const KEY_VARIABLE: Option<&'static str> = Some("OPENAI_API_KEY");
    const KEY: (&'static str, &'static str) = ("authorization", "Bearer ");
    const DIALECT: Option<crate::message::Dialect> = Some(crate::message::Dialect::ChatCompletions);
    const CONVERSATION: &'static str = "messages";
    const ARGUMENTS: &'static [&'static JsonPath] =
        &[&["choices", "*", "message", "tool_calls", "*", "function", "arguments"]];
    /// Some servers put a whole answer into one event.
    const ARGUMENTS_STREAMED: &'static [&'static JsonPath] = &[
        &["choices", "*", "delta", "tool_calls", "*", "function", "arguments"],
        &["choices", "*", "message", "tool_calls", "*", "function", "arguments"],
    ];

    fn counts_streamed(base_url: &str) -> bool {
        is_own(base_url, Self::BASE_URL)
    }

    fn subset(base_url: &str) -> &'static Subset {
        if is_own(base_url, Self::BASE_URL) { &OPENAI_CHAT } else { &COMPATIBLE }
    }

    fn wire(base_url: &str, model: &str) -> Chat {
        let dialect = if is_own(base_url, Self::BASE_URL) { DIALECT } else { COMPATIBLE_DIALECT };
        OpenAIConfig::with_key(&dialect, "")
            .with_auth(Auth::OptionalBearer)
            .with_route(Route::Chat)
            .with_base_url(base_url)
            .chat(model)
    }

    fn finish(body: &mut Body, to: &Origin) -> Result<(), BoxError> {
        plain_instructions(body)?;
        mark_strict(body, is_own(&to.base_url, Self::BASE_URL), |tool| {
            tool.get_mut("function")?.as_object_mut()
        })
    }

    fn form(schema: &Value) -> Value {
        let schema = json!({ "name": FORM, "strict": is_strict(schema), "schema": schema });
        json!({ "response_format": { "type": "json_schema", "json_schema": schema } })
    }

    fn pieces() -> Option<Box<dyn Pieces>> {
        Some(Box::<calls::Calls>::default())
    }

    /// Some servers name another kind of answer or none, and a sole choice need not have an index.
    fn complete(answer: &mut Value) {
        for (at, key, value) in [("", "object", json!("chat.completion")), ("/choices/0", "index", json!(0))]
        {
            if let Some(object) = answer.pointer_mut(at).and_then(Value::as_object_mut) {
                object.insert(key.to_owned(), value);
            }
        }
    }

    fn items(answer: &RawValue, calls: &[ToolCall]) -> Result<Option<String>, String> {
        let Completion { choices } = serde_json::from_str(answer.get()).map_err(|error| error.to_string())?;
        let message = choices.first().ok_or("it has no choices")?.message.get();
        let before: Value = serde_json::from_str(message).map_err(|error| error.to_string())?;
        let after = mended(before.clone(), calls)?;
        Ok(Some(if after == before { message.to_owned() } else { after.to_string() }))
    }

    /// Of a list that is not known to grow, such as content in parts, and of reasoning under an uncommon name, only the
    /// last piece is there.
    fn is_faithful(answer: &Value) -> bool {
        let message = answer["choices"][0]["message"].as_object();
        message.into_iter().flatten().all(|(key, value)| match value {
            Value::Array(list) => list.is_empty() || APPENDED.contains(&key.as_str()),
            Value::Object(_) => key != "content",
            Value::String(_) => key != "reasoning_text",
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
        })
    }

    fn end(answer: &Value) -> End {
        let choice = &answer["choices"][0];
        if let Some(failure) = Failure::in_part(answer).or_else(|| Failure::in_part(choice)) {
            return End::Failed(failure);
        }
        if let Some(word) = choice["finish_reason"].as_str().filter(|word| FAILED.contains(word)) {
            return End::Failed(Failure::passing(format!("the answer ended with `{word}`")));
        }
        let refused = choice["message"]["refusal"].as_str().is_some_and(|text| !text.is_empty());
        if refused { End::Stop(Stop::Refusal) } else { End::AsRead }
    }
}

/// A plain string is what every compatible server reads; the crate may write a list of parts.
fn plain_instructions(body: &mut Body) -> Result<(), BoxError> {
    let Some(messages) = body.get_mut("messages") else { return Ok(()) };
    let mut list: Vec<Box<RawValue>> = serde_json::from_str(messages.get())?;
    let Some(first) = list.first_mut() else { return Ok(()) };
    let message: Value = serde_json::from_str(first.get())?;
    let (true, Some([part])) =
        (message["role"] == "system", message["content"].as_array().map(Vec::as_slice))
    else {
        return Ok(());
    };
    *first = to_raw_value(&json!({ "role": "system", "content": part["text"] }))?;
    *messages = to_raw_value(&list)?;
    Ok(())
}

/// The message as it can be sent back, which is as it came but for what a provider would refuse: calls without a name
/// (nothing can answer them), ids that tell no calls apart, content that is neither there nor made up for by calls,
/// and no arguments at all.
fn mended(mut message: Value, calls: &[ToolCall]) -> Result<Value, String> {
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
        if let Some(function) = sent.get_mut("function").and_then(Value::as_object_mut) {
            fill_arguments(function);
        }
    }
    // Some servers write an empty list and would refuse to read it. Only beside calls may the content be null.
    if sent.is_empty() {
        fields.shift_remove("tool_calls");
        let content = fields.entry("content").or_insert(Value::Null);
        if content.is_null() {
            *content = "".into();
        }
    }
    Ok(message)
}

fn has_name(call: &Value) -> bool {
    let kind = matches!(call["type"].as_str(), None | Some("function" | "custom"));
    let name = call["function"]["name"].as_str().or(call["custom"]["name"].as_str());
    kind && name.is_some_and(|name| !name.is_empty())
}
