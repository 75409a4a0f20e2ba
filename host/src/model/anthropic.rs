//! Anthropic messages.
//!
//! A reply goes back as the content that came: thinking with its signature, redacted thinking, text and calls. The
//! conversation up to its last message is marked for the provider's prompt cache. Source of the wire facts:
//! <https://platform.claude.com/docs/en/api/messages> and
//! <https://platform.claude.com/docs/en/build-with-claude/extended-thinking>.

use rig_core::providers::anthropic::wire::{
    ANTHROPIC as DIALECT, AnthropicConfig, Dialect, Messages, ToolInputStreaming,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::remote::{ANTHROPIC, ANTHROPIC_ANSWER, End, InPieces, Interface, Items, Subset, Whole, is_own};
use crate::message::{JsonPath, Stop, ToolCall};

/// The bound of a reply where neither agent.toml nor the wire format knows one: the interface insists on it.
const MAX_TOKENS: u64 = 32_000;

/// The interface elsewhere than at its maker's: without what the crate asks of Anthropic alone.
const COMPATIBLE_DIALECT: Dialect = Dialect { name: "compatible", ..DIALECT };

/// The interface.
pub(super) struct Anthropic;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Vec<&'a RawValue>,
}

impl Interface for Anthropic {
    type Wire = Messages;
    const NAME: &'static str = "anthropic";
    const DESCRIPTION: &'static str = "Behind Anthropic messages.";
    const BASE_URL: &'static str = "https://api.anthropic.com";
    const KEY_VARIABLE: Option<&'static str> = Some("ANTHROPIC_API_KEY");
    const KEY: (&'static str, &'static str) = ("x-api-key", "");
    const DIALECT: Option<crate::message::Dialect> = Some(crate::message::Dialect::Messages);
    const CONVERSATION: &'static str = "messages";
    const ARGUMENTS: &'static [&'static JsonPath] = &[&["content", "*", "input"]];
    const ARGUMENTS_STREAMED: &'static [&'static JsonPath] = &[];
    const ARGUMENTS_IN_PIECES: Option<InPieces> = Some(InPieces {
        piece: ("/delta/type", "input_json_delta"),
        text: "/delta/partial_json",
        index: "/index",
        end: "content_block_stop",
        whole: Whole::InAPiece,
    });
    const ID_CHARS_MAX: Option<usize> = Some(64);
    const RESULTS_ARE_SAID: bool = true;

    fn subset(_: &str) -> &'static Subset {
        &ANTHROPIC
    }

    fn answers(_: &str) -> &'static Subset {
        &ANTHROPIC_ANSWER
    }

    fn wire(base_url: &str, model: &str) -> Messages {
        let dialect = if is_own(base_url, Self::BASE_URL) { DIALECT } else { COMPATIBLE_DIALECT };
        let provider = AnthropicConfig::with_key(&dialect, "").with_base_url(base_url);
        Messages {
            default_max_tokens: provider.dialect.default_max_tokens(model).or(Some(MAX_TOKENS)),
            provider,
            model: model.to_owned(),
            prompt_caching: true,
            static_prefix_cache_ttl: None,
            strict_tools: false,
            // A call is read when all of it is there, so that nothing is won by what not every server knows.
            tool_input_streaming: ToolInputStreaming::Off,
        }
    }

    fn form(schema: &Value) -> Value {
        json!({ "output_config": { "format": { "type": "json_schema", "schema": schema } } })
    }

    fn items(answer: &RawValue, calls: &[ToolCall]) -> Result<Option<String>, String> {
        let Message { content } = serde_json::from_str(answer.get()).map_err(|error| error.to_string())?;
        let mut items = Items::new(calls);
        for block in content {
            let value: Value = serde_json::from_str(block.get()).map_err(|error| error.to_string())?;
            match value["type"].as_str() {
                Some("tool_use") if value["name"].as_str().is_some_and(|name| !name.is_empty()) => {
                    items.push_call(block, mend_call)?;
                }
                Some("tool_use") => {}
                // Models say nothing at times, and the interface takes no empty text back.
                Some("text") if value["text"].as_str().is_none_or(|text| text.trim().is_empty()) => {}
                Some(_) | None => items.push(block),
            }
        }
        Ok(items.list()?.map(|content| format!(r#"{{"role":"assistant","content":{content}}}"#)))
    }

    fn end(answer: &Value) -> End {
        match answer["stop_reason"].as_str() {
            Some("pause_turn") => End::Stop(Stop::Paused),
            Some("model_context_window_exceeded") => End::Stop(Stop::ContextWindow),
            Some(_) | None => End::AsRead,
        }
    }
}

fn mend_call(block: &mut Value, call: &ToolCall) {
    block["id"] = call.id.as_str().into();
    if !block["input"].is_object() {
        block["input"] = json!({});
    }
}
