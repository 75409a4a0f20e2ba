//! From what a server answers to what a call came to.

use rmcp::ServiceError;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, ErrorCode};
use serde_json::Value;

use super::Words;
use super::connection::said;
use crate::blocking::blocking;
use crate::grants::{Limit, ToolLimits};
use crate::message::{ErrorKind, Json, ToolOutcome, clean};

/// So much of an error is told to the model, in bytes.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// What a call came to.
pub(super) async fn outcome(response: CallToolResponse, limits: &ToolLimits) -> ToolOutcome {
    let result = match response {
        CallToolResponse::Complete(result) => result,
        // This host asks nobody for what a server wants to know, and comes back for no result.
        CallToolResponse::InputRequired(_) => {
            return ToolOutcome::error(
                ErrorKind::Failed,
                "the server wants to be told more, which is not offered",
            );
        }
        _ => {
            return ToolOutcome::error(
                ErrorKind::Failed,
                "the server gives no result, but a task to ask for",
            );
        }
    };
    let limits = limits.clone();
    blocking(move || whole(result, &limits)).await
}

fn whole(result: CallToolResult, limits: &ToolLimits) -> ToolOutcome {
    if result.is_error == Some(true) {
        let mut text = texts(&result.content).join("\n");
        if text.is_empty() {
            "the server says that it failed, and not why".clone_into(&mut text);
        }
        return ToolOutcome::error(ErrorKind::Failed, told(&text));
    }
    let json = Json::canonical(&value(result));
    if json.as_str().len() as u64 > limits.output_bytes_max {
        return ToolOutcome::error(ErrorKind::OutputSize, Limit::Output.message(limits));
    }
    ToolOutcome::Output(json)
}

/// What a server says of a failure, as it is told to a model.
fn told(text: &str) -> String {
    let mut text = clean(text).into_owned();
    text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
    text
}

/// What has a structure is that; texts alone are one text; anything else is the list of what the server gave.
fn value(result: CallToolResult) -> Value {
    if let Some(structured) = result.structured_content {
        return structured;
    }
    let texts = texts(&result.content);
    if texts.len() == result.content.len() {
        return Value::String(texts.join("\n"));
    }
    serde_json::to_value(&result.content).unwrap_or_default()
}

fn texts(content: &[ContentBlock]) -> Vec<&str> {
    content.iter().filter_map(|block| Some(block.as_text()?.text.as_str())).collect()
}

/// What a call came to that has no result.
pub(super) fn failure(error: &ServiceError, words: &Words) -> ToolOutcome {
    match error {
        ServiceError::McpError(error) => {
            let kind = if error.code == ErrorCode::INVALID_PARAMS {
                ErrorKind::InvalidInput
            } else {
                ErrorKind::Failed
            };
            ToolOutcome::error(kind, told(&error.message))
        }
        error => {
            let why = said(error);
            ToolOutcome::error(
                ErrorKind::Transient,
                format!(
                    "the connection to the server broke, and whether the call took effect is not known: {why}{words}"
                ),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use serde_json::json;

    use super::*;

    fn came_to(result: Value) -> ToolOutcome {
        whole(serde_json::from_value(result).unwrap(), &ToolLimits::default())
    }

    #[test]
    fn what_a_server_gives_is_one_value() {
        let text = |text: &str| json!({ "type": "text", "text": text });
        let image = json!({ "type": "image", "data": "AAAA", "mimeType": "image/png" });
        for (result, expected) in [
            (json!({ "content": [text("a"), text("b")] }), json!("a\nb")),
            (json!({ "content": [] }), json!("")),
            (json!({ "content": [text("{}")], "structuredContent": { "a": [1] } }), json!({ "a": [1] })),
            (json!({ "content": [text("a"), image] }), json!([text("a"), image])),
        ] {
            assert_eq!(came_to(result), ToolOutcome::Output(Json::canonical(&expected)));
        }
        let failed = came_to(json!({ "content": [text("no\u{202e}t so")], "isError": true }));
        assert_eq!(failed, ToolOutcome::error(ErrorKind::Failed, "not so"));
        let long = came_to(json!({ "content": [text(&"x".repeat(2 << 20))] }));
        assert!(matches!(long, ToolOutcome::Error(error) if error.kind == ErrorKind::OutputSize));
    }
}
