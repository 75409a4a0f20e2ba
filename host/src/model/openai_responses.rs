//! `OpenAI` responses.
//!
//! Nothing is kept at the provider (`store: false`): reasoning comes back encrypted and goes there again, as all items
//! of a reply do, with their phases. Source of the wire facts: <https://platform.openai.com/docs/api-reference/responses>
//! and <https://platform.openai.com/docs/guides/reasoning>.

use rig_core::providers::openai::OpenAIConfig;
use rig_core::providers::openai::responses_api::wire::Responses;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::remote::{Api, Body, BoxError, End, FORM, Failure, Items, as_object, is_strict, mark_strict};
use crate::message::{Stop, ToolCall};

/// The interface.
pub(super) struct OpenAiResponses;

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    output: Vec<&'a RawValue>,
}

impl Api for OpenAiResponses {
    type Wire = Responses;
    const KEY: (&'static str, &'static str) = ("authorization", "Bearer ");
    const CONVERSATION: &'static str = "input";
    const ID_CHARS_MAX: Option<usize> = Some(64);

    fn wire(base_url: &str, model: &str) -> Responses {
        Responses::new(OpenAIConfig::new("").with_base_url(base_url), model)
    }

    fn finish(body: &mut Body) -> Result<(), BoxError> {
        if !body.contains_key("store") {
            body.insert("store".to_owned(), to_raw_value(&false)?);
        }
        if !body.contains_key("include") {
            body.insert("include".to_owned(), to_raw_value(&["reasoning.encrypted_content"])?);
        }
        mark_strict(body, Value::as_object_mut)
    }

    fn form(schema: &Value) -> Value {
        let strict = is_strict(schema);
        json!({ "text": { "format": { "type": "json_schema", "name": FORM, "strict": strict, "schema": schema } } })
    }

    fn items(answer: &RawValue, calls: &[ToolCall]) -> Result<Option<String>, String> {
        let Response { output } = serde_json::from_str(answer.get()).map_err(|error| error.to_string())?;
        let mut items = Items::new(calls);
        for item in output {
            let value: Value = serde_json::from_str(item.get()).map_err(|error| error.to_string())?;
            let named = value["name"].as_str().is_some_and(|name| !name.is_empty());
            match value["type"].as_str() {
                Some("function_call" | "custom_tool_call") if named => items.push_call(item, mend_call)?,
                Some("function_call" | "custom_tool_call") => {}
                Some(_) | None => items.push(item),
            }
        }
        items.list()
    }

    fn end(answer: &Value) -> End {
        let unfinished = match answer["status"].as_str() {
            None | Some("completed") => None,
            Some("incomplete") => answer["incomplete_details"]["reason"]
                .as_str()
                .is_none_or(|reason| !matches!(reason, "content_filter" | "max_output_tokens"))
                .then_some("incomplete"),
            Some(status) => Some(status),
        };
        if let Some(status) = unfinished {
            return End::Failed(Failure::told(answer, &format!("the response is {status}")));
        }
        let refusal = "refusal";
        let parts = answer["output"].as_array().into_iter().flatten();
        let mut parts = parts.filter_map(|item| item["content"].as_array()).flatten();
        if parts.any(|part| part["type"] == refusal) {
            return End::Stop(Stop::Refusal);
        }
        match answer["incomplete_details"]["reason"].as_str() {
            Some("content_filter") => End::Stop(Stop::Refusal),
            Some("max_output_tokens") => End::Stop(Stop::MaxTokens),
            Some(_) | None => End::AsRead,
        }
    }
}

fn mend_call(item: &mut Value, call: &ToolCall) {
    item["call_id"] = call.id.as_str().into();
    if let Some(Value::String(text)) = item.get_mut("arguments")
        && !matches!(serde_json::from_str(text), Ok(Value::Object(_)))
    {
        *text = as_object(text).to_string();
    }
    // What was cut off counts as incomplete, and an incomplete item is not taken back.
    if item["status"] == "incomplete" {
        item["status"] = json!("completed");
    }
}
