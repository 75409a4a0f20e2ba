use std::collections::HashMap;

use serde_json::{Value, json};

use super::attributes::finish_reason;
use crate::message::{
    Arguments, Manifest, MessageRef, ModelAsk, Outcome, Reply, SHOWN_BYTES_MAX, Said, Slot, Step, ToolCall,
    ToolOutcome,
};

/// What is said in a run, in the form that the conventions have for it.
///
/// A request says only what came since the one before it, so the conversation is put together again from what was
/// asked for and what came of it, whether that was carried out now or before.
pub(super) struct Talk {
    instructions: String,
    prompt: String,
    /// The pictures of the prompt, in words.
    images: Vec<String>,
    said: Vec<Said>,
    /// How much of an outcome the model is shown, by tool.
    shown: HashMap<String, u64>,
    /// All messages of the last request, as the conventions have them.
    messages: Vec<Value>,
    /// What effects came to that no request has referred to yet.
    outcomes: HashMap<Slot, Value>,
    /// The calls that await their results.
    calls: HashMap<Slot, ToolCall>,
}

impl Talk {
    pub(super) fn new(manifest: &Manifest) -> Self {
        let shown = manifest.tools.iter().map(|tool| (tool.spec.name.clone(), tool.shown_bytes_max));
        Self {
            instructions: manifest.instructions.clone(),
            prompt: manifest.prompt.clone(),
            images: manifest.images.iter().map(|image| format!("[{}]", image.in_words())).collect(),
            said: manifest.said.clone(),
            shown: shown.collect(),
            messages: Vec::new(),
            outcomes: HashMap::new(),
            calls: HashMap::new(),
        }
    }

    /// The system prompt; none if there is none.
    pub(super) fn instructions(&self) -> Option<String> {
        (!self.instructions.is_empty()).then(|| json!([text(&self.instructions)]).to_string())
    }

    /// What the person asked at first.
    pub(super) fn prompt(&self) -> String {
        json!([user(&self.prompt)]).to_string()
    }

    /// A request is made, or was: the whole conversation that it asks to continue.
    pub(super) fn ask(&mut self, ask: &ModelAsk) {
        for at in &ask.appended {
            let message = match at {
                MessageRef::Prompt => Some(user(&self.prompt)),
                MessageRef::Image(index) => {
                    usize::try_from(*index).ok().and_then(|at| self.images.get(at)).map(|words| user(words))
                }
                MessageRef::Said(turn) => {
                    let next = self.said.iter().position(|said| said.turn == *turn);
                    next.map(|next| user(&self.said.remove(next).text))
                }
                MessageRef::At(slot) => self.outcomes.remove(slot),
                MessageRef::Note(text) => Some(response(None, &Value::from(text.as_str()))),
            };
            self.messages.extend(message);
        }
    }

    /// The conversation that the last request asked to continue.
    pub(super) fn input(&self) -> String {
        Value::from(self.messages.as_slice()).to_string()
    }

    /// An effect came to something, now or before.
    pub(super) fn outcome(&mut self, slot: &Slot, outcome: &Outcome) {
        match (slot.steps(), outcome) {
            ([.., Step::Model { turn }], Outcome::Model(reply)) => {
                let run = slot.run();
                let calls =
                    (0..).zip(&reply.calls).map(|(index, call)| (run.tool_of(*turn, index), call.clone()));
                self.calls.extend(calls);
                self.outcomes.insert(slot.clone(), said(reply));
            }
            ([.., Step::Tool { .. }], Outcome::Tool(outcome)) => {
                let call = self.calls.remove(slot);
                let shown = call.as_ref().and_then(|call| self.shown.get(&call.name));
                let shown = outcome.model_text(shown.copied().unwrap_or(SHOWN_BYTES_MAX));
                let id = call.map(|call| call.id);
                self.outcomes.insert(slot.clone(), response(id.as_deref(), &json_or_text(&shown)));
            }
            // What a tool's own calls came to is not said to the model.
            _ => {}
        }
    }
}

/// A reply as the conventions have it.
pub(super) fn output(reply: &Reply) -> String {
    json!([said(reply)]).to_string()
}

/// A run's last words as the conventions have them.
pub(super) fn answer(words: &str) -> String {
    json!([{ "role": "assistant", "parts": [text(words)], "finish_reason": "stop" }]).to_string()
}

/// A call's input, as JSON where it is some.
pub(super) fn arguments(arguments: &Arguments) -> String {
    match arguments {
        Arguments::Json(json) => json.as_str().to_owned(),
        Arguments::Malformed(text) => text.clone(),
    }
}

/// What a call came to: its output as JSON, or the words of its failure.
pub(super) fn result(outcome: &ToolOutcome) -> String {
    outcome.text()
}

fn said(reply: &Reply) -> Value {
    let mut parts = Vec::new();
    if !reply.text.is_empty() {
        parts.push(text(&reply.text));
    }
    parts.extend(reply.calls.iter().map(|call| {
        let arguments = json_or_text(&arguments(&call.arguments));
        json!({ "type": "tool_call", "id": call.id, "name": call.name, "arguments": arguments })
    }));
    json!({ "role": "assistant", "parts": parts, "finish_reason": finish_reason(&reply.stop) })
}

fn user(words: &str) -> Value {
    json!({ "role": "user", "parts": [text(words)] })
}

fn text(words: &str) -> Value {
    json!({ "type": "text", "content": words })
}

fn response(id: Option<&str>, response: &Value) -> Value {
    json!({ "role": "tool", "parts": [{ "type": "tool_call_response", "id": id, "response": response }] })
}

fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}
