use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::attributes::finish_reason;
use crate::message::{
    Arguments, Image, Manifest, Message, MessageRef, ModelAsk, Outcome, Reply, SHOWN_BYTES_MAX, Said, Slot,
    Step, Told, ToolCall, ToolOutcome, Words,
};

/// What is said in a run, in the form that the conventions have for it.
///
/// A request says only what came since the one before it, so the conversation is put together again from what was
/// asked for and what came of it, whether that was carried out now or before.
pub(super) struct Talk {
    instructions: String,
    prompt: String,
    /// What was said in the runs before.
    earlier: Vec<Value>,
    /// The pictures of the prompt, in words.
    images: Vec<String>,
    said: Vec<Said>,
    /// How much of an outcome the model is shown, by tool.
    shown: HashMap<String, u64>,
    /// Whether that is with hidden characters and all.
    is_whole: bool,
    /// In which words the host speaks.
    words: Words,
    /// All messages of the last request, as the conventions have them.
    messages: Vec<Value>,
    /// Whether the last of them asked for a summary, and belongs to that request alone.
    last_is_aside: bool,
    /// The end of the conversation, which that request is not about.
    kept_back: Vec<Value>,
    /// Whether the model replied in this run: then the prompt is part of what a summary is of.
    has_replied: bool,
    /// What effects came to that no request has referred to yet.
    outcomes: HashMap<Slot, Value>,
    /// The calls that await their results.
    calls: BTreeMap<Slot, ToolCall>,
}

impl Talk {
    pub(super) fn new(manifest: &Manifest) -> Self {
        let shown = manifest.tools.iter().map(|tool| (tool.spec.name.clone(), tool.shown_bytes_max));
        Self {
            instructions: manifest.instructions.clone(),
            prompt: manifest.prompt.clone(),
            images: manifest.images.iter().map(in_words).collect(),
            earlier: manifest.earlier.iter().map(earlier).collect(),
            said: manifest.said.clone(),
            shown: shown.collect(),
            is_whole: manifest.rules.results_are_whole(),
            words: manifest.words().clone(),
            messages: Vec::new(),
            last_is_aside: false,
            kept_back: Vec::new(),
            has_replied: false,
            outcomes: HashMap::new(),
            calls: BTreeMap::new(),
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
    pub(super) fn ask(&mut self, slot: &Slot, ask: &ModelAsk) {
        let asks_for_summary = matches!(slot.steps(), [.., Step::Summary { .. }]);
        if std::mem::replace(&mut self.last_is_aside, asks_for_summary) {
            self.messages.pop();
            self.messages.append(&mut self.kept_back);
        }
        for at in &ask.appended {
            let message = match at {
                MessageRef::Earlier => {
                    self.messages.append(&mut self.earlier);
                    None
                }
                MessageRef::Compacted(summary) => {
                    self.compact(summary);
                    None
                }
                MessageRef::Prompt => Some(user(&self.prompt)),
                MessageRef::Image(index) => {
                    usize::try_from(*index).ok().and_then(|at| self.images.get(at)).map(|words| user(words))
                }
                MessageRef::Said(turn) => {
                    let next = self.said.iter().position(|said| said.turn == *turn);
                    next.map(|next| user(&self.said.remove(next).text))
                }
                MessageRef::At(slot) => {
                    self.has_replied |= matches!(slot.steps(), [.., Step::Model { .. }]);
                    self.outcomes.remove(slot)
                }
                MessageRef::Note(text) | MessageRef::Told(Told { text, .. }) => {
                    Some(match self.next_call() {
                        Some(call) => response(Some(&call.id), &Value::from(text.as_str())),
                        None => user(text),
                    })
                }
            };
            self.messages.extend(message);
        }
        // A conversation that was too long is summed up without its end.
        let before = usize::try_from(ask.messages).unwrap_or(usize::MAX).saturating_sub(1);
        if asks_for_summary && before + 1 < self.messages.len() {
            let word = self.messages.pop();
            self.kept_back = self.messages.split_off(before);
            self.messages.extend(word);
        }
    }

    /// The first call without a result. Those of a reply that is no part of the conversation get none.
    fn next_call(&mut self) -> Option<ToolCall> {
        let is_said = |call: &&Slot| match call.steps() {
            [.., Step::Tool { turn, .. }] => !self.outcomes.contains_key(&call.run().model_of(*turn)),
            _ => true,
        };
        let slot = self.calls.keys().find(is_said)?.clone();
        self.calls.remove(&slot)
    }

    /// Puts a summary in the place of everything before the last reply, but for the prompt, if it was said.
    fn compact(&mut self, summary: &Slot) {
        let last = self.messages.iter().rposition(|message| message["role"] == "assistant");
        let kept = self.messages.split_off(last.unwrap_or_default());
        self.messages.clear();
        if self.has_replied {
            self.messages.extend(self.images.iter().chain([&self.prompt]).map(|words| user(words)));
        }
        self.messages.extend(self.outcomes.remove(summary));
        self.messages.extend(kept);
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
            ([.., Step::Summary { .. }], Outcome::Model(reply)) => {
                self.outcomes.insert(slot.clone(), user(&self.words.summed_up(&reply.text)));
            }
            ([.., Step::Tool { .. }], Outcome::Tool(outcome)) => {
                let call = self.calls.remove(slot);
                let shown = call.as_ref().and_then(|call| self.shown.get(&call.name));
                let bytes_max = shown.copied().unwrap_or(SHOWN_BYTES_MAX);
                let shown = outcome.model_text(bytes_max, self.is_whole, &self.words);
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

/// What was said in a run before.
fn earlier(message: &Message) -> Value {
    match message {
        Message::User(words) => user(words),
        Message::Image(image) => user(&in_words(image)),
        Message::Assistant(reply) => said(reply),
        Message::Tool(result) => response(Some(&result.call_id), &json_or_text(&result.model_text())),
    }
}

fn in_words(image: &Image) -> String {
    format!("[{}]", image.in_words())
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
