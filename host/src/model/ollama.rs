//! Ollama's own chat interface.
//!
//! A reply goes back as the message that came, its thinking included; calls have ids only in newer versions. Source of
//! the wire facts: <https://docs.ollama.com/api/chat>.

use rig_core::providers::ollama::{Chat, OllamaConfig};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::remote::{Interface, OLLAMA, OLLAMA_ANSWER, Subset};
use crate::message::ToolCall;

/// The interface.
pub(super) struct Ollama;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    message: &'a RawValue,
}

impl Interface for Ollama {
    type Wire = Chat;
    const NAME: &'static str = "ollama";
    const DESCRIPTION: &'static str = "Behind Ollama's own interface.";
    const BASE_URL: &'static str = "http://localhost:11434";
    const KEY_VARIABLE: Option<&'static str> = None;
    const FORM_WITHOUT_CALLS: Option<&'static str> = Some("Ollama holds every reply to the form");
    const KEY: (&'static str, &'static str) = ("authorization", "Bearer ");
    const CONVERSATION: &'static str = "messages";

    fn subset(_: &str) -> &'static Subset {
        &OLLAMA
    }

    fn answers(_: &str) -> &'static Subset {
        &OLLAMA_ANSWER
    }

    fn wire(base_url: &str, model: &str) -> Chat {
        Chat::new(OllamaConfig::new().with_base_url(base_url), model)
    }

    fn form(schema: &Value) -> Value {
        json!({ "format": schema })
    }

    fn items(answer: &RawValue, calls: &[ToolCall]) -> Result<Option<String>, String> {
        let Answer { message } = serde_json::from_str(answer.get()).map_err(|error| error.to_string())?;
        let before: Value = serde_json::from_str(message.get()).map_err(|error| error.to_string())?;
        let mut after = before.clone();
        if let Some(sent) = after.get_mut("tool_calls").and_then(Value::as_array_mut) {
            sent.retain(|call| call["function"]["name"].as_str().is_some_and(|name| !name.is_empty()));
            for (sent, call) in sent.iter_mut().zip(calls) {
                mend_call(sent, call);
            }
        }
        Ok(Some(if after == before { message.get().to_owned() } else { after.to_string() }))
    }
}

fn mend_call(sent: &mut Value, call: &ToolCall) {
    if let Some(id) = sent.get_mut("id") {
        *id = call.id.as_str().into();
    }
    if !sent["function"]["arguments"].is_object() {
        sent["function"]["arguments"] = json!({});
    }
}
