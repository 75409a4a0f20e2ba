//! The input of a call as a person reads it, and another one as a person writes it. Numbers stay as they are written: a
//! reader that rounds them would show, and give back, another input.

use crate::document::without_mark;
use crate::message::{Json, ToolEntry};
use crate::schema::{About, Schema};

/// The input that a text is, if the tool takes it; else why it does not. A tool that there is not takes anything: its call
/// fails by itself.
pub(super) fn input(text: &str, tool: Option<&ToolEntry>) -> Result<Json, String> {
    let json = Json::parse_canonical(&without_mark(text.to_owned())).map_err(|error| error.to_string())?;
    if let Some(tool) = tool {
        Schema::new(&tool.spec.input_schema).check_now(About::INPUT, &json)?;
    }
    Ok(json)
}

/// JSON in lines, set in by how deep they are. Nothing but blanks is added or taken away.
pub(super) fn indented(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    let mut chars = json.chars().filter(|c| !matches!(c, '\n' | '\r')).peekable();
    while let Some(c) = chars.next() {
        if in_string {
            text.push(c);
            (in_string, is_escaped) = (is_escaped || c != '"', !is_escaped && c == '\\');
            continue;
        }
        let next = chars.peek().copied();
        match c {
            ' ' | '\t' => {}
            '"' => {
                in_string = true;
                text.push(c);
            }
            '{' | '[' if matches!(next, Some('}' | ']')) => text.push(c),
            '{' | '[' => {
                depth += 1;
                text.push(c);
                new_line(&mut text, depth);
            }
            '}' | ']' if text.ends_with(['{', '[']) => text.push(c),
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                new_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            other => text.push(other),
        }
    }
    text
}

fn new_line(text: &mut String, depth: usize) {
    /// Deeper than this, lines are not set in any further: they would be blank as far as a terminal goes.
    const DEPTH_MAX: usize = 40;
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth.min(DEPTH_MAX)));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_is_indented_is_what_it_was_to_the_digit() {
        let json = r#"{"a":[1,{}],"b":12345678901234567890123.10,"c\"{":"x, [y]: \\","d":[]}"#;
        let lines = [
            "{",
            "  \"a\": [",
            "    1,",
            "    {}",
            "  ],",
            "  \"b\": 12345678901234567890123.10,",
            r#"  "c\"{": "x, [y]: \\","#,
            "  \"d\": []",
            "}",
        ];
        assert_eq!(indented(json), lines.join("\n"));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~äé\n\t\u{202e}]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec(("[ -~]{0,6}", inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_but_blanks_is_added(value in value()) {
            let shown = indented(&value.to_string());
            prop_assert_eq!(&serde_json::from_str::<Value>(&shown).unwrap(), &value);
            prop_assert_eq!(shown, serde_json::to_string_pretty(&value).unwrap());
        }
    }
}
