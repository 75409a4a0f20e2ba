//! `OpenAI` responses.
//!
//! Nothing is kept at the provider (`store: false`): reasoning comes back encrypted and goes there again, as all items
//! of a reply do, with their phases. It is asked for of every model but those that are known not to reason, for which
//! the provider refuses a request that asks: `gpt-3.5*`, `gpt-4*`, `chatgpt-4o*` and `gpt-5-chat*`. For others that do
//! not reason, `extra = { include = [] }` asks for nothing.
//!
//! Source of the wire facts: <https://platform.openai.com/docs/api-reference/responses> and
//! <https://platform.openai.com/docs/guides/reasoning>.

use rig_core::providers::openai::OpenAIConfig;
use rig_core::providers::openai::responses_api::wire::Responses;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::remote::{
    Body, BoxError, COMPATIBLE, End, FORM, Failure, InPieces, Interface, Items, OPENAI_RESPONSES, Subset,
    Whole, fill_arguments, is_own, is_strict, mark_strict,
};
use crate::message::{Dialect, JsonPath, Origin, Stop, ToolCall};

/// What reasoning is asked for by.
const ENCRYPTED: &str = "reasoning.encrypted_content";

/// How the names of models begin that do not reason.
const WITHOUT_REASONING: [&str; 4] = ["gpt-3.5", "gpt-4", "chatgpt-4o", "gpt-5-chat"];

/// The interface.
pub(super) struct OpenAiResponses;

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    output: Vec<&'a RawValue>,
}

impl Interface for OpenAiResponses {
    type Wire = Responses;
    const NAME: &'static str = "openai-responses";
    const TRACED_AS: &'static str = "openai";
    const DESCRIPTION: &'static str = "Behind `OpenAI` responses.";
    const BASE_URL: &'static str = "https://api.openai.com/v1";
    const KEY_VARIABLE: Option<&'static str> = Some("OPENAI_API_KEY");
    const KEY: (&'static str, &'static str) = ("authorization", "Bearer ");
    const DIALECT: Option<Dialect> = Some(Dialect::Responses);
    const CONVERSATION: &'static str = "input";
    const ARGUMENTS: &'static [&'static JsonPath] = &[&["output", "*", "arguments"]];
    const ARGUMENTS_STREAMED: &'static [&'static JsonPath] =
        &[&["arguments"], &["item", "arguments"], &["response", "output", "*", "arguments"]];
    const ARGUMENTS_IN_PIECES: Option<InPieces> = Some(InPieces {
        piece: ("/type", "response.function_call_arguments.delta"),
        text: "/delta",
        index: "/output_index",
        end: "response.output_item.done",
        whole: Whole::AtTheEnd("/item/arguments"),
    });
    const ID_CHARS_MAX: Option<usize> = Some(64);

    fn subset(base_url: &str) -> &'static Subset {
        if is_own(base_url, Self::BASE_URL) { &OPENAI_RESPONSES } else { &COMPATIBLE }
    }

    fn wire(base_url: &str, model: &str) -> Responses {
        Responses::new(OpenAIConfig::new("").with_base_url(base_url), model)
    }

    fn finish(body: &mut Body, to: &Origin) -> Result<(), BoxError> {
        if !body.contains_key("store") {
            body.insert("store".to_owned(), to_raw_value(&false)?);
        }
        include_reasoning(body, &to.name)?;
        mark_strict(body, is_own(&to.base_url, Self::BASE_URL), Value::as_object_mut)
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

/// Has reasoning come back, beside what else is to: from a model that may reason, and from no other.
fn include_reasoning(body: &mut Body, model: &str) -> Result<(), BoxError> {
    let mut include: Vec<Value> = match body.get("include") {
        Some(list) => serde_json::from_str(list.get())?,
        None => Vec::new(),
    };
    if include.is_empty() && body.remove("include").is_some() {
        return Ok(());
    }
    if !may_reason(model) && !body.contains_key("reasoning") {
        include.retain(|it| it != ENCRYPTED);
    } else if !include.iter().any(|it| it == ENCRYPTED) {
        include.push(ENCRYPTED.into());
    }
    if include.is_empty() {
        body.remove("include");
    } else {
        body.insert("include".to_owned(), to_raw_value(&include)?);
    }
    Ok(())
}

/// Whether a model of this name may reason. A fine-tuned one is named after what it was made of.
fn may_reason(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let name = name.strip_prefix("ft:").unwrap_or(name);
    !WITHOUT_REASONING.iter().any(|family| name.starts_with(family))
}

fn mend_call(item: &mut Value, call: &ToolCall) {
    item["call_id"] = call.id.as_str().into();
    if item["type"] == "function_call"
        && let Some(item) = item.as_object_mut()
    {
        fill_arguments(item);
    }
    // What was cut off counts as incomplete, and an incomplete item is not taken back.
    if item["status"] == "incomplete" {
        item["status"] = json!("completed");
    }
}
