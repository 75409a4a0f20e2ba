//! Chat completions. Source: <https://platform.openai.com/docs/api-reference/chat>.

use serde_json::{Value, json};

use super::{Written, event, text_of};

impl Written<'_> {
    fn call(call: &crate::message::ToolCall) -> Value {
        let function = json!({ "name": call.name, "arguments": text_of(&call.arguments) });
        json!({ "id": call.id, "type": "function", "function": function })
    }

    fn finish_reason(&self) -> &'static str {
        if self.reply.calls.is_empty() { "stop" } else { "tool_calls" }
    }

    fn chat_usage(&self) -> Value {
        let tokens = self.reply.tokens;
        let total = tokens.input.saturating_add(tokens.output);
        json!({ "prompt_tokens": tokens.input, "completion_tokens": tokens.output, "total_tokens": total })
    }

    pub(super) fn chat(&self) -> Value {
        let text = (!self.reply.text.is_empty() || self.reply.calls.is_empty()).then_some(&self.reply.text);
        let mut message = json!({ "role": "assistant", "content": text, "refusal": null });
        if !self.reply.calls.is_empty() {
            message["tool_calls"] = self.reply.calls.iter().map(Self::call).collect();
        }
        let choice = json!({ "index": 0, "message": message, "logprobs": null, "finish_reason": self.finish_reason() });
        json!({
            "id": format!("chatcmpl-{}", self.id),
            "object": "chat.completion",
            "created": 0,
            "model": self.model,
            "choices": [choice],
            "usage": self.chat_usage(),
        })
    }

    pub(super) fn chat_events(&self) -> String {
        let chunk = |choices: Value, usage: Value| {
            let id = format!("chatcmpl-{}", self.id);
            event(
                None,
                &json!({
                    "id": id, "object": "chat.completion.chunk", "created": 0, "model": self.model,
                    "choices": choices, "usage": usage,
                }),
            )
        };
        let delta = |delta: Value| {
            chunk(
                json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": null }]),
                Value::Null,
            )
        };
        let mut events = delta(json!({ "role": "assistant", "content": "" }));
        if !self.reply.text.is_empty() {
            events += &delta(json!({ "content": self.reply.text }));
        }
        for (index, call) in self.reply.calls.iter().enumerate() {
            let mut call = Self::call(call);
            call["index"] = index.into();
            events += &delta(json!({ "tool_calls": [call] }));
        }
        let last =
            json!([{ "index": 0, "delta": {}, "logprobs": null, "finish_reason": self.finish_reason() }]);
        events += &chunk(last, Value::Null);
        events += &chunk(json!([]), self.chat_usage());
        events + "data: [DONE]\n\n"
    }
}
