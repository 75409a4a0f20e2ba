//! Google Gemini, `generateContent`.
//!
//! A reply goes back as the parts that came, thought signatures included. Calls may have no id: then results are told
//! apart by their order, and carry none either. Source of the wire facts: <https://ai.google.dev/api/generate-content>
//! and <https://ai.google.dev/gemini-api/docs/thought-signatures>.

use rig_core::providers::gemini::GeminiConfig;
use rig_core::providers::gemini::completion::GenerateContent;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use url::Url;

use super::remote::{Body, BoxError, End, Failure, GEMINI, Interface, Items, Subset};
use crate::message::{Dialect, JsonPath, Origin, Stop, ToolCall};

/// The reasons to finish that say what may not be said.
const REFUSALS: [&str; 9] = [
    "SAFETY",
    "RECITATION",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "IMAGE_RECITATION",
    "IMAGE_PROHIBITED_CONTENT",
    "MODEL_ARMOR",
];

/// The interface.
pub(super) struct Gemini;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    candidates: Vec<Candidate<'a>>,
}

#[derive(Deserialize)]
struct Candidate<'a> {
    #[serde(borrow, default)]
    content: Option<Content<'a>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    parts: Vec<&'a RawValue>,
}

impl Interface for Gemini {
    type Wire = GenerateContent;
    const NAME: &'static str = "gemini";
    const TRACED_AS: &'static str = "gcp.gemini";
    const DESCRIPTION: &'static str = "Behind Google Gemini.";
    const BASE_URL: &'static str = "https://generativelanguage.googleapis.com";
    const KEY_VARIABLE: Option<&'static str> = Some("GEMINI_API_KEY");
    const KEY: (&'static str, &'static str) = ("x-goog-api-key", "");
    const DIALECT: Option<Dialect> = Some(Dialect::GenerateContent);
    const CONVERSATION: &'static str = "contents";
    const ARGUMENTS: &'static [&'static JsonPath] =
        &[&["candidates", "*", "content", "parts", "*", "functionCall", "args"]];
    const ARGUMENTS_STREAMED: &'static [&'static JsonPath] = Self::ARGUMENTS;

    fn subset(_: &str) -> &'static Subset {
        &GEMINI
    }

    fn wire(base_url: &str, model: &str) -> GenerateContent {
        GenerateContent::new(GeminiConfig::new("").with_base_url(base_url), model)
    }

    /// A key in an address ends up in the logs of every proxy: it goes into a header.
    fn address(url: &mut Url) {
        let others: Vec<(String, String)> =
            url.query_pairs().filter(|(name, _)| name != "key").map(|(k, v)| (k.into(), v.into())).collect();
        url.set_query(None);
        if !others.is_empty() {
            url.query_pairs_mut().extend_pairs(others);
        }
    }

    fn finish(body: &mut Body, _: &Origin) -> Result<(), BoxError> {
        body.retain(|_, value| value.get() != "null");
        let Some(contents) = body.get_mut("contents") else { return Ok(()) };
        let list: Vec<Box<RawValue>> = serde_json::from_str(contents.get())?;
        let mut calls = Vec::new();
        let answered = list.into_iter().map(|content| answered(content, &mut calls));
        *contents = to_raw_value(&answered.collect::<Result<Vec<_>, _>>()?)?;
        Ok(())
    }

    fn form(schema: &Value) -> Value {
        json!({ "generationConfig": { "responseMimeType": "application/json", "responseJsonSchema": schema } })
    }

    fn items(answer: &RawValue, calls: &[ToolCall]) -> Result<Option<String>, String> {
        let Answer { candidates } = serde_json::from_str(answer.get()).map_err(|error| error.to_string())?;
        let content = candidates.into_iter().next().and_then(|candidate| candidate.content);
        let mut items = Items::new(calls);
        for part in content.map(|content| content.parts).unwrap_or_default() {
            let value: Value = serde_json::from_str(part.get()).map_err(|error| error.to_string())?;
            let call = &value["functionCall"];
            if call.is_object() && call["name"].as_str().is_some_and(|name| !name.is_empty()) {
                items.push_call(part, mend_call)?;
            } else if !call.is_object() {
                items.push(part);
            }
        }
        Ok(items.list()?.map(|parts| format!(r#"{{"role":"model","parts":{parts}}}"#)))
    }

    fn end(answer: &Value) -> End {
        let candidate = &answer["candidates"][0];
        match candidate["finishReason"].as_str() {
            None | Some("STOP" | "MAX_TOKENS") => End::AsRead,
            Some(reason) if REFUSALS.contains(&reason) => End::Stop(Stop::Refusal),
            // Among them a call that is none, which the model need not write again.
            Some(reason) => {
                let why = candidate["finishMessage"].as_str().unwrap_or("the answer was not finished");
                End::Failed(Failure::passing(format!("{reason}: {why}")))
            }
        }
    }
}

/// An id goes back only if it came: one that had to be made up is nothing to the provider.
fn mend_call(part: &mut Value, call: &ToolCall) {
    if let Some(id) = part["functionCall"].get_mut("id") {
        *id = call.id.as_str().into();
    }
}

/// A message of the conversation, in which results have the ids that their calls have, if they have any. `calls` are
/// those of the message before, and then of this one.
fn answered(content: Box<RawValue>, calls: &mut Vec<Option<Value>>) -> Result<Box<RawValue>, BoxError> {
    let mut value: Value = serde_json::from_str(content.get())?;
    let mut open = std::mem::take(calls).into_iter();
    let mut changed = false;
    for part in value["parts"].as_array_mut().into_iter().flatten() {
        if let Some(call) = part.get("functionCall") {
            calls.push(call.get("id").cloned());
        }
        let Some(result) = part.get_mut("functionResponse").and_then(Value::as_object_mut) else { continue };
        let id = open.next().flatten();
        changed |= result.get("id") != id.as_ref();
        match id {
            Some(id) => drop(result.insert("id".to_owned(), id)),
            None => drop(result.shift_remove("id")),
        }
    }
    if changed { Ok(to_raw_value(&value)?) } else { Ok(content) }
}
