//! Whether a text that a program sends to a model holds what a call came to, however the program wrote it.

use serde_json::Value;

use crate::message::ToolOutcome;

/// How often a text may be JSON that stands in a text.
const NESTED_MAX: u32 = 4;

/// So much of a result tells it from others.
const BEGINNING: usize = 256;

/// Whether a text holds what a call came to: as text, or as JSON somewhere within.
pub(super) fn holds(text: &str, outcome: &ToolOutcome) -> bool {
    let (shown, value) = match outcome {
        ToolOutcome::Output(json) => (json.as_str().to_owned(), Some(json.to_value())),
        ToolOutcome::Error(error) => (error.to_string(), None),
    };
    let wanted: Vec<&str> = match &value {
        Some(Value::String(inner)) => vec![&shown, inner],
        _ => vec![&shown],
    };
    // What is too long is shown cut.
    let wanted =
        wanted.into_iter().map(|text| &text[..text.floor_char_boundary(BEGINNING)]).collect::<Vec<_>>();
    within(text, &wanted, value.as_ref(), NESTED_MAX)
}

fn within(text: &str, wanted: &[&str], value: Option<&Value>, nested: u32) -> bool {
    if wanted.iter().any(|wanted| text.contains(wanted)) {
        return true;
    }
    if nested == 0 || !text.trim_start().starts_with(['{', '[', '"']) {
        return false;
    }
    serde_json::from_str(text).is_ok_and(|parsed: Value| found(&parsed, wanted, value, nested - 1))
}

fn found(parsed: &Value, wanted: &[&str], value: Option<&Value>, nested: u32) -> bool {
    if Some(parsed) == value {
        return true;
    }
    match parsed {
        Value::String(text) => within(text, wanted, value, nested),
        Value::Array(items) => items.iter().any(|item| found(item, wanted, value, nested)),
        Value::Object(members) => members.values().any(|member| found(member, wanted, value, nested)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::message::Json;

    #[test]
    fn a_result_is_found_however_a_program_writes_it() {
        let output = |text: &str| ToolOutcome::Output(Json::parse(text.to_owned()).unwrap());
        let sunny = output(r#"{"city":"Bern","sky":"sunny"}"#);
        for text in [
            r#"{"city":"Bern","sky":"sunny"}"#,
            r#"{ "sky": "sunny", "city": "Bern" }"#,
            r#"[{"type":"text","text":"{\"city\":\"Bern\",\"sky\":\"sunny\"}"}]"#,
            r#"{"content":[{"type":"text","text":"{\"sky\": \"sunny\", \"city\": \"Bern\"}"}],"isError":false}"#,
            r#""{\"result\":{\"city\":\"Bern\",\"sky\":\"sunny\"}}""#,
        ] {
            assert!(holds(text, &sunny), "{text}");
        }
        for text in [
            "",
            "Connection closed",
            r#"{"error":"SSE stream ended without a response"}"#,
            "{\"city\":\"Bern\"}",
        ] {
            assert!(!holds(text, &sunny), "{text}");
        }
        assert!(holds("It is sunny.", &output("\"It is sunny.\"")));
    }
}
