//! Responses. Source: <https://platform.openai.com/docs/api-reference/responses>.

use serde_json::{Value, json};

use super::{Written, event, text_of};

impl Written<'_> {
    fn output(&self) -> Vec<Value> {
        let mut output = Vec::new();
        if !self.reply.text.is_empty() || self.reply.calls.is_empty() {
            let part =
                json!({ "type": "output_text", "text": self.reply.text, "annotations": [], "logprobs": [] });
            output.push(json!({
                "id": format!("msg_{}", self.id), "type": "message", "status": "completed",
                "role": "assistant", "content": [part],
            }));
        }
        for (index, call) in self.reply.calls.iter().enumerate() {
            output.push(json!({
                "id": format!("fc_{}_{index}", self.id), "type": "function_call", "status": "completed",
                "call_id": call.id, "name": call.name, "arguments": text_of(&call.arguments),
            }));
        }
        output
    }

    pub(super) fn response(&self) -> Value {
        self.response_as("completed", &self.output().into())
    }

    fn response_as(&self, status: &str, output: &Value) -> Value {
        let tokens = self.reply.tokens;
        let usage = json!({
            "input_tokens": tokens.input, "input_tokens_details": { "cached_tokens": 0 },
            "output_tokens": tokens.output, "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": tokens.input.saturating_add(tokens.output),
        });
        json!({
            "id": format!("resp_{}", self.id), "object": "response", "created_at": 0, "status": status,
            "error": null, "incomplete_details": null, "instructions": null, "metadata": {},
            "model": self.model, "output": output, "parallel_tool_calls": true, "temperature": 1.0,
            "tool_choice": "auto", "tools": [], "top_p": 1.0,
            "usage": if status == "completed" { usage } else { Value::Null },
        })
    }

    pub(super) fn response_events(&self) -> String {
        let mut events = Events::default();
        for name in ["response.created", "response.in_progress"] {
            events.push(name, json!({ "response": self.response_as("in_progress", &json!([])) }));
        }
        for (index, item) in self.output().into_iter().enumerate() {
            let (id, mut begun) = (item["id"].clone(), item.clone());
            begun["status"] = "in_progress".into();
            let is_message = item["type"] == "message";
            begun[if is_message { "content" } else { "arguments" }] =
                if is_message { json!([]) } else { "".into() };
            events.push("response.output_item.added", json!({ "output_index": index, "item": begun }));
            let at = json!({ "item_id": id, "output_index": index });
            if is_message {
                events.message(&at, &item["content"][0]);
            } else {
                let arguments = &item["arguments"];
                events.at(&at, "response.function_call_arguments.delta", &json!({ "delta": arguments }));
                events.at(&at, "response.function_call_arguments.done", &json!({ "arguments": arguments }));
            }
            events.push("response.output_item.done", json!({ "output_index": index, "item": item }));
        }
        events.push("response.completed", json!({ "response": self.response() }));
        events.text
    }
}

/// Events, numbered.
#[derive(Default)]
struct Events {
    text: String,
    number: u32,
}

impl Events {
    fn push(&mut self, name: &str, mut data: Value) {
        data["type"] = name.into();
        data["sequence_number"] = self.number.into();
        self.number += 1;
        self.text += &event(Some(name), &data);
    }

    fn at(&mut self, at: &Value, name: &str, data: &Value) {
        let members = [at, data].into_iter().filter_map(Value::as_object).flatten();
        self.push(name, members.map(|(name, value)| (name.clone(), value.clone())).collect());
    }

    fn message(&mut self, at: &Value, part: &Value) {
        let mut at = at.clone();
        at["content_index"] = 0.into();
        let mut begun = part.clone();
        begun["text"] = "".into();
        self.at(&at, "response.content_part.added", &json!({ "part": begun }));
        self.at(&at, "response.output_text.delta", &json!({ "delta": part["text"], "logprobs": [] }));
        self.at(&at, "response.output_text.done", &json!({ "text": part["text"], "logprobs": [] }));
        self.at(&at, "response.content_part.done", &json!({ "part": part }));
    }
}
