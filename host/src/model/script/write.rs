//! A script as the text of a file, for a person to read and to change.

use std::fmt::Write as _;

use serde::Serialize;
use toml::ser::{Error, ValueSerializer};

use super::form::{ScriptedCall, ScriptedError, usual_stop};
use super::{Script, Turn};
use crate::document::Data;
use crate::message::{Arguments, Reply, Tokens, ToolCall};

impl Script {
    /// The text of a script file that has the same turns. Ids of calls and a provider's own form of a reply
    /// are left out: no other provider would know them.
    pub fn to_toml(&self) -> Result<String, Error> {
        let turns: Result<Vec<String>, Error> = self.turns.iter().map(turn).collect();
        Ok(turns?.join("\n"))
    }
}

/// A value as TOML writes it behind a key.
fn value(value: &impl Serialize) -> Result<String, Error> {
    let mut text = String::new();
    value.serialize(ValueSerializer::new(&mut text))?;
    Ok(text)
}

/// A list, each of its items on a line.
fn list<T: Serialize>(text: &mut String, key: &str, items: &[T]) -> Result<(), Error> {
    if items.is_empty() {
        return Ok(());
    }
    let lines: Result<String, Error> =
        items.iter().map(|item| Ok(format!("    {},\n", value(item)?))).collect();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{key} = [\n{}]", lines?);
    Ok(())
}

fn turn(turn: &Turn) -> Result<String, Error> {
    let summary = turn.summary.as_deref().map(|summary| tables(summary, true)).transpose()?;
    let reply = tables(turn, false)?;
    Ok(summary.map_or_else(|| reply.clone(), |summary| format!("{summary}\n{reply}")))
}

/// The tables of a turn, or of the summary before one.
fn tables(turn: &Turn, is_summary: bool) -> Result<String, Error> {
    let Turn { summary: _, expect, failures, reply, results } = turn;
    let mut text = String::new();
    for failure in failures {
        // Of an attempt that failed, that it was one at a summary is told by the summary that follows.
        let of_summary = if is_summary && failure.shortens { "summary = true\n" } else { "" };
        let failure = value(&ScriptedError::from(failure.clone()))?;
        let _ = writeln!(text, "[[reply]]\n{of_summary}error = {failure}\n");
    }
    if let Some(Reply { text: said, calls, stop, tokens, items: _, origin: _, wire: _ }) = reply {
        text.push_str("[[reply]]\n");
        if is_summary {
            text.push_str("summary = true\n");
        }
        list(&mut text, "expect", expect)?;
        if !said.is_empty() {
            let _ = writeln!(text, "text = {}", value(said)?);
        }
        if *results {
            text.push_str("results = true\n");
        }
        let written: Vec<ScriptedCall> = calls.iter().map(call).collect();
        list(&mut text, "calls", &written)?;
        if *stop != usual_stop(calls.is_empty()) {
            let _ = writeln!(text, "stop = {}", value(stop)?);
        }
        if *tokens != Tokens::default() {
            let _ = writeln!(text, "tokens = {}", value(tokens)?);
        }
    }
    Ok(text)
}

/// A call with its arguments as a table, or as text where TOML cannot say the same: it has no null, and no
/// number beyond 63 bits.
fn call(call: &ToolCall) -> ScriptedCall {
    let ToolCall { name, arguments, .. } = call;
    let (input, input_text) = match arguments {
        Arguments::Json(json) if json.as_str() == "{}" => (None, None),
        Arguments::Json(json) => (Some(Data(json.to_value())), None),
        Arguments::Malformed(text) => (None, Some(text.clone())),
    };
    let written = ScriptedCall { id: None, name: name.clone(), input, input_text };
    if reads_as(&written, arguments) {
        return written;
    }
    let text = match arguments {
        Arguments::Json(json) => json.as_str().to_owned(),
        Arguments::Malformed(text) => text.clone(),
    };
    ScriptedCall { input: None, input_text: Some(text), ..written }
}

/// Whether a call, once written, is read with these arguments.
fn reads_as(call: &ScriptedCall, arguments: &Arguments) -> bool {
    #[derive(serde::Deserialize)]
    struct Line {
        call: ScriptedCall,
    }
    let read = value(call).ok().and_then(|text| toml::from_str::<Line>(&format!("call = {text}")).ok());
    read.is_some_and(|line| line.call.arguments() == *arguments)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::message::{ModelFailure, Stop};

    fn called(arguments: &str) -> ToolCall {
        ToolCall {
            id: "call_0_0".to_owned(),
            name: "get \"it\"".to_owned(),
            arguments: Arguments::parse(arguments),
        }
    }

    fn again(script: &Script) -> (String, Vec<Turn>) {
        let text = script.to_toml().unwrap();
        let read = Script::parse(&text, Path::new("again.toml")).unwrap_or_else(|it| panic!("{it}\n{text}"));
        (text, read.turns)
    }

    fn one(reply: Reply) -> Script {
        Script::new(Path::new("a.toml"), vec![Turn { reply: Some(reply), ..Turn::default() }])
    }

    #[test]
    fn a_script_is_read_as_it_was_written() {
        let failure = ModelFailure {
            message: "busy".into(),
            may_pass: true,
            status: None,
            retry_after_ms: Some(7),
            fall_back: false,
            streamed: false,
            too_long: false,
            shortens: false,
        };
        let tokens = Tokens { input: 5, output: 7 };
        let calls = vec![called(r#"{"city":"New York","days":[1,2.5]}"#)];
        let asks = Reply { calls, stop: Stop::ToolCalls, tokens, ..Reply::default() };
        let says =
            Reply { text: "It's \"so\"\nand so".to_owned(), stop: Stop::MaxTokens, ..Reply::default() };
        let summary = Reply { text: "It was asked.".to_owned(), ..Reply::default() };
        let summary = Box::new(Turn { reply: Some(summary), ..Turn::default() });
        let turns = vec![
            Turn { failures: vec![failure], reply: Some(asks), ..Turn::default() },
            Turn {
                summary: Some(summary),
                expect: vec!["\"a\":1".to_owned()],
                reply: Some(says),
                results: true,
                ..Turn::default()
            },
        ];
        let (text, read) = again(&Script::new(Path::new("a.toml"), turns.clone()));
        assert_eq!(read, turns);
        assert_eq!(
            text,
            r#"[[reply]]
error = { message = "busy", may_pass = true, retry_after_ms = 7 }

[[reply]]
calls = [
    { name = 'get "it"', input = { city = "New York", days = [1, 2.5] } },
]
tokens = { input = 5, output = 7 }

[[reply]]
summary = true
text = "It was asked."

[[reply]]
expect = [
    '"a":1',
]
text = """
It's "so"
and so"""
results = true
stop = "max_tokens"
"#
        );
    }

    #[test]
    fn what_toml_cannot_say_is_written_as_text() {
        for arguments in [r#"{"a":null}"#, r#"{"a":18446744073709551615}"#, "[null]", "{not json", "{}", "7"]
        {
            let asks = Reply { calls: vec![called(arguments)], stop: Stop::ToolCalls, ..Reply::default() };
            assert_eq!(again(&one(asks.clone())).1[0].reply, Some(asks), "{arguments}");
        }
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(|it| json!(it)),
            any::<i64>().prop_map(|it| json!(it)),
            any::<u64>().prop_map(|it| json!(it)),
            proptest::num::f64::NORMAL.prop_map(|it| json!(it)),
            any::<String>().prop_map(|it| json!(it)),
            "[\"'\n\r\t\\\\ ]{0,8}".prop_map(|it| json!(it)),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|it| json!(it)),
                prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(|it| json!(it)),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_a_model_replies_is_read_as_it_was_written(
            arguments in any_json(), text in any::<String>(), lines in "[\"'\n\r\t\\\\ a]{0,12}", other in any::<String>(),
        ) {
            let calls = vec![called(&arguments.to_string()), called(&text), called(&lines)]
                .into_iter()
                .zip(0..)
                .map(|(call, index)| ToolCall { id: format!("call_0_{index}"), name: lines.clone(), ..call })
                .collect();
            let reply = Reply { text: format!("{text}{lines}"), calls, stop: Stop::Other(other), ..Reply::default() };
            prop_assert_eq!(again(&one(reply.clone())).1[0].reply.clone(), Some(reply));
        }
    }
}
