//! `generateContent`. Its calls have no ids, as those of most of its models. Source:
//! <https://ai.google.dev/api/generate-content>.

use serde_json::{Value, json};

use super::{Written, event, value_of};

impl Written<'_> {
    pub(super) fn content(&self) -> Value {
        let mut parts = Vec::new();
        if !self.reply.text.is_empty() || self.reply.calls.is_empty() {
            parts.push(json!({ "text": self.reply.text }));
        }
        parts.extend(
            self.reply.calls.iter().map(
                |call| json!({ "functionCall": { "name": call.name, "args": value_of(&call.arguments) } }),
            ),
        );
        let tokens = self.reply.tokens;
        json!({
            "candidates": [{
                "content": { "role": "model", "parts": parts }, "finishReason": "STOP", "index": 0,
            }],
            "usageMetadata": {
                "promptTokenCount": tokens.input, "candidatesTokenCount": tokens.output,
                "totalTokenCount": tokens.input.saturating_add(tokens.output),
            },
            "modelVersion": self.model, "responseId": self.id,
        })
    }

    pub(super) fn content_events(&self) -> String {
        event(None, &self.content())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "a test may panic")]
    use super::super::{Reply, written};
    use crate::message::{Arguments, Dialect, Tokens, ToolCall};

    /// Every interface reads what is written for it as the same reply.
    #[tokio::test]
    async fn every_interface_reads_what_is_written_for_it() {
        use crate::model::{Api, Clients, RemoteConfig, upstreams};
        let call = |id: &str, input: &str| ToolCall {
            id: id.to_owned(),
            name: "get_weather".to_owned(),
            arguments: Arguments::parse(input),
        };
        let calls = vec![call("a", r#"{"city":"Zürich"}"#), call("b", r#"{"city":"Bern"}"#)];
        let tokens = Tokens { input: 7, output: 5 };
        let replies = [
            Reply { text: "It is sunny.".to_owned(), tokens, ..Reply::default() },
            Reply { calls: calls.clone(), tokens, ..Reply::default() },
            Reply { text: "Let me see.".to_owned(), calls, tokens, ..Reply::default() },
        ];
        for name in ["openai", "anthropic", "gemini"] {
            let Some(api) = Api::named(name) else { panic!("{name}") };
            let config = RemoteConfig::new(api, "m", "http://127.0.0.1:1");
            let Ok(upstreams) = upstreams(&config, &Clients::default()) else { panic!("{name}") };
            assert!(!upstreams.is_empty(), "{name}");
            for (dialect, upstream) in upstreams {
                for (reply, stream) in replies.iter().flat_map(|reply| [(reply, false), (reply, true)]) {
                    let wire = written(dialect, "m", stream, reply, "1");
                    let read = match upstream.read(&wire).await {
                        Ok(read) => read,
                        Err(error) => panic!("{dialect} {stream}: {error}\n{}", wire.body),
                    };
                    assert_eq!(read.text, reply.text, "{dialect} {stream}");
                    assert_eq!(read.tokens, reply.tokens, "{dialect} {stream}");
                    let plain = |reply: &Reply| -> Vec<_> {
                        let has_ids = dialect != Dialect::GenerateContent;
                        let id = |call: &ToolCall| has_ids.then(|| call.id.clone());
                        reply.calls.iter().map(|it| (id(it), it.name.clone(), it.arguments.clone())).collect()
                    };
                    assert_eq!(plain(&read), plain(reply), "{dialect} {stream}");
                }
            }
        }
    }
}
