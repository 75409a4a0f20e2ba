//! Messages. Source: <https://docs.anthropic.com/en/api/messages>.

use serde_json::{Value, json};

use super::{Written, event, value_of};

impl Written<'_> {
    fn blocks(&self) -> Vec<Value> {
        let mut blocks = Vec::new();
        if !self.reply.text.is_empty() || self.reply.calls.is_empty() {
            blocks.push(json!({ "type": "text", "text": self.reply.text }));
        }
        blocks.extend(self.reply.calls.iter().map(|call| {
            json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": value_of(&call.arguments) })
        }));
        blocks
    }

    fn stop_reason(&self) -> &'static str {
        if self.reply.calls.is_empty() { "end_turn" } else { "tool_use" }
    }

    fn message_as(&self, content: &Value, stop_reason: &Value, output_tokens: u64) -> Value {
        json!({
            "id": format!("msg_{}", self.id), "type": "message", "role": "assistant", "model": self.model,
            "content": content, "stop_reason": stop_reason, "stop_sequence": null,
            "usage": { "input_tokens": self.reply.tokens.input, "output_tokens": output_tokens },
        })
    }

    pub(super) fn message(&self) -> Value {
        self.message_as(&self.blocks().into(), &self.stop_reason().into(), self.reply.tokens.output)
    }

    pub(super) fn message_events(&self) -> String {
        let mut events = String::new();
        let mut push = |name: &str, mut data: Value| {
            data["type"] = name.into();
            events += &event(Some(name), &data);
        };
        push("message_start", json!({ "message": self.message_as(&json!([]), &Value::Null, 0) }));
        for (index, block) in self.blocks().into_iter().enumerate() {
            let (begun, delta) = if block["type"] == "text" {
                let delta = json!({ "type": "text_delta", "text": block["text"] });
                (json!({ "type": "text", "text": "" }), delta)
            } else {
                let mut begun = block.clone();
                begun["input"] = json!({});
                (begun, json!({ "type": "input_json_delta", "partial_json": block["input"].to_string() }))
            };
            push("content_block_start", json!({ "index": index, "content_block": begun }));
            push("content_block_delta", json!({ "index": index, "delta": delta }));
            push("content_block_stop", json!({ "index": index }));
        }
        let usage = json!({ "output_tokens": self.reply.tokens.output });
        let delta = json!({ "stop_reason": self.stop_reason(), "stop_sequence": null });
        push("message_delta", json!({ "delta": delta, "usage": usage }));
        push("message_stop", json!({}));
        events
    }
}
