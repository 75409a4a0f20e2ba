//! The body of a request, as far as the gateway has to understand it: which calls a model made, and what came of them.

use std::borrow::Cow;

use serde_json::Value;

use crate::message::Dialect;

/// A turn of a conversation: calls that a model made, and the results that follow them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Round {
    /// What was said before, by whoever is not the model.
    pub(super) said: Vec<String>,
    /// What the model said, if it replied.
    pub(super) reply: Option<String>,
    /// The calls, in the order in which they were made.
    pub(super) calls: Vec<Call>,
    /// The results, in the order in which they are sent.
    pub(super) results: Vec<Outcome>,
}

/// A call, as the body has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    /// Its id; some interfaces go without.
    pub(super) id: Option<String>,
    /// The tool.
    pub(super) name: String,
    /// The input: JSON, or what the model wrote.
    pub(super) input: String,
}

/// A result, as the body has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    /// The call that it is of, by its place among those of the turn.
    pub(super) call: Option<usize>,
    /// Where the result stands in the body: a JSON pointer.
    pub(super) place: String,
    /// The result, as text.
    pub(super) text: String,
}

/// The member of a body that holds the conversation.
pub(super) fn conversation(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::ChatCompletions | Dialect::Messages => "messages",
        Dialect::Responses => "input",
        Dialect::GenerateContent => "contents",
    }
}

/// The turns of a conversation. The last one has no reply if the model is to give it.
pub(super) fn rounds(dialect: Dialect, body: &Value) -> Vec<Round> {
    let mut reader = Reader { rounds: vec![Round::default()] };
    match &body[conversation(dialect)] {
        Value::String(text) => reader.said(text),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let place = format!("/{}/{index}", conversation(dialect));
                match dialect {
                    Dialect::ChatCompletions => reader.chat(item, &place),
                    Dialect::Responses => reader.responses(item, &place),
                    Dialect::Messages => reader.messages(item, &place),
                    Dialect::GenerateContent => reader.contents(item, &place),
                }
            }
        }
        _ => {}
    }
    reader.rounds
}

struct Reader {
    rounds: Vec<Round>,
}

impl Reader {
    fn last(&mut self) -> &mut Round {
        if self.rounds.is_empty() {
            self.rounds.push(Round::default());
        }
        let last = self.rounds.len() - 1;
        &mut self.rounds[last]
    }

    /// The round of something that is said to the model.
    fn said(&mut self, text: &str) {
        if self.last().reply.is_some() {
            self.rounds.push(Round::default());
        }
        self.last().said.push(text.to_owned());
    }

    /// The round of something that the model says: one that has results already is over.
    fn replied(&mut self, text: &str) -> &mut Round {
        if !self.last().results.is_empty() {
            self.rounds.push(Round::default());
        }
        let round = self.last();
        let reply = round.reply.get_or_insert_default();
        reply.push_str(text);
        round
    }

    fn call(&mut self, id: &Value, name: &Value, input: &Value) {
        let input = match input {
            Value::String(text) => text.clone(),
            Value::Null => "{}".to_owned(),
            value => value.to_string(),
        };
        let (id, name) = (id.as_str().map(str::to_owned), name.as_str().unwrap_or_default().to_owned());
        self.replied("").calls.push(Call { id, name, input });
    }

    fn result(&mut self, id: Option<&str>, name: Option<&str>, place: String, text: String) {
        // Results may come after something that was said.
        let Some(round) = self.rounds.iter_mut().rev().find(|round| !round.calls.is_empty()) else { return };
        let is_free = |index: usize| round.results.iter().all(|result| result.call != Some(index));
        let of = |(index, call): (usize, &Call)| match (id, &call.id) {
            (Some(id), Some(own)) => (id == own).then_some(index),
            _ => (name.is_none_or(|name| name == call.name) && is_free(index)).then_some(index),
        };
        let call = round.calls.iter().enumerate().find_map(of);
        round.results.push(Outcome { call, place, text });
    }

    fn chat(&mut self, item: &Value, place: &str) {
        match item["role"].as_str() {
            Some("assistant") => {
                self.replied(&text_of(&item["content"]));
                for call in items_of(&item["tool_calls"]) {
                    let (function, custom) = (&call["function"], &call["custom"]);
                    if function.is_object() {
                        self.call(&call["id"], &function["name"], &function["arguments"]);
                    } else {
                        self.call(&call["id"], &custom["name"], &custom["input"]);
                    }
                }
            }
            Some("tool") => {
                let text = text_of(&item["content"]).into_owned();
                self.result(item["tool_call_id"].as_str(), None, format!("{place}/content"), text);
            }
            _ => self.said(&text_of(&item["content"])),
        }
    }

    fn responses(&mut self, item: &Value, place: &str) {
        match (item["type"].as_str(), item["role"].as_str()) {
            (Some("function_call"), _) => self.call(&item["call_id"], &item["name"], &item["arguments"]),
            (Some("custom_tool_call"), _) => self.call(&item["call_id"], &item["name"], &item["input"]),
            (Some("function_call_output" | "custom_tool_call_output"), _) => {
                let text = text_of(&item["output"]).into_owned();
                self.result(item["call_id"].as_str(), None, format!("{place}/output"), text);
            }
            (Some("message") | None, Some("assistant")) => {
                self.replied(&text_of(&item["content"]));
            }
            (Some("message") | None, Some(_)) => self.said(&text_of(&item["content"])),
            _ => {}
        }
    }

    fn messages(&mut self, item: &Value, place: &str) {
        let is_reply = item["role"] == "assistant";
        if let Value::String(text) = &item["content"] {
            if is_reply {
                self.replied(text);
            } else {
                self.said(text);
            }
        }
        for (index, block) in items_of(&item["content"]).iter().enumerate() {
            match block["type"].as_str() {
                Some("tool_use") => self.call(&block["id"], &block["name"], &block["input"]),
                Some("tool_result") => {
                    let text = text_of(&block["content"]).into_owned();
                    let place = format!("{place}/content/{index}/content");
                    self.result(block["tool_use_id"].as_str(), None, place, text);
                }
                Some("text") if is_reply => {
                    self.replied(&text_of(&block["text"]));
                }
                Some("text") => self.said(&text_of(&block["text"])),
                _ => {}
            }
        }
    }

    fn contents(&mut self, item: &Value, place: &str) {
        let is_reply = item["role"] == "model";
        for (index, part) in items_of(&item["parts"]).iter().enumerate() {
            let call = &part["functionCall"];
            let result = &part["functionResponse"];
            if call.is_object() {
                self.call(&call["id"], &call["name"], &call["args"]);
            } else if result.is_object() {
                let (place, text) = (
                    format!("{place}/parts/{index}/functionResponse/response"),
                    result["response"].to_string(),
                );
                self.result(result["id"].as_str(), result["name"].as_str(), place, text);
            } else if let Some(text) = part["text"].as_str() {
                if is_reply {
                    self.replied(text);
                } else {
                    self.said(text);
                }
            }
        }
    }
}

fn items_of(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What a text, or a list of parts, says.
fn text_of(content: &Value) -> Cow<'_, str> {
    match content {
        Value::String(text) => Cow::Borrowed(text),
        Value::Array(parts) => {
            let text = |part: &Value| match part {
                Value::String(text) => text.clone(),
                part => match part["text"].as_str() {
                    Some(text) => text.to_owned(),
                    None => part.to_string(),
                },
            };
            Cow::Owned(parts.iter().map(text).collect::<Vec<_>>().join("\n"))
        }
        Value::Null => Cow::Borrowed(""),
        other => Cow::Owned(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The same turn as each interface has it: two calls and their results.
    fn bodies() -> [(Dialect, Value); 4] {
        [
            (
                Dialect::ChatCompletions,
                json!({ "model": "m", "messages": [
                    { "role": "system", "content": "s" },
                    { "role": "user", "content": "u" },
                    { "role": "assistant", "content": null, "tool_calls": [
                        { "id": "a", "type": "function", "function": { "name": "f", "arguments": "{\"n\":1}" } },
                        { "id": "b", "type": "function", "function": { "name": "f", "arguments": "{\"n\":2}" } },
                    ] },
                    { "role": "tool", "tool_call_id": "b", "content": "two" },
                    { "role": "tool", "tool_call_id": "a", "content": [{ "type": "text", "text": "one" }] },
                ] }),
            ),
            (
                Dialect::Responses,
                json!({ "model": "m", "input": [
                    { "role": "system", "content": "s" },
                    { "role": "user", "content": [{ "type": "input_text", "text": "u" }] },
                    { "type": "reasoning", "id": "r", "summary": [] },
                    { "type": "function_call", "call_id": "a", "name": "f", "arguments": "{\"n\":1}" },
                    { "type": "function_call", "call_id": "b", "name": "f", "arguments": "{\"n\":2}" },
                    { "type": "function_call_output", "call_id": "b", "output": "two" },
                    { "type": "function_call_output", "call_id": "a", "output": "one" },
                ] }),
            ),
            (
                Dialect::Messages,
                json!({ "model": "m", "system": "s", "messages": [
                    { "role": "user", "content": "s" },
                    { "role": "user", "content": "u" },
                    { "role": "assistant", "content": [
                        { "type": "tool_use", "id": "a", "name": "f", "input": { "n": 1 } },
                        { "type": "tool_use", "id": "b", "name": "f", "input": { "n": 2 } },
                    ] },
                    { "role": "user", "content": [
                        { "type": "tool_result", "tool_use_id": "b", "content": "two" },
                        { "type": "tool_result", "tool_use_id": "a", "content": [{ "type": "text", "text": "one" }] },
                    ] },
                ] }),
            ),
            (
                Dialect::GenerateContent,
                json!({ "contents": [
                    { "role": "user", "parts": [{ "text": "s" }, { "text": "u" }] },
                    { "role": "model", "parts": [
                        { "functionCall": { "id": "a", "name": "f", "args": { "n": 1 } } },
                        { "functionCall": { "id": "b", "name": "f", "args": { "n": 2 } } },
                    ] },
                    { "role": "user", "parts": [
                        { "functionResponse": { "id": "b", "name": "f", "response": "two" } },
                        { "functionResponse": { "id": "a", "name": "f", "response": "one" } },
                    ] },
                ] }),
            ),
        ]
    }

    #[test]
    fn every_interface_tells_the_same_of_a_turn() {
        for (dialect, body) in bodies() {
            let rounds = rounds(dialect, &body);
            assert_eq!(rounds.len(), 1, "{dialect}: {rounds:?}");
            let round = &rounds[0];
            assert_eq!(round.said, ["s", "u"], "{dialect}");
            let calls: Vec<_> =
                round.calls.iter().map(|call| (call.name.as_str(), call.input.as_str())).collect();
            assert_eq!(calls, [("f", "{\"n\":1}"), ("f", "{\"n\":2}")], "{dialect}");
            let results: Vec<_> =
                round.results.iter().map(|it| (it.call, it.text.trim_matches('"'))).collect();
            assert_eq!(results, [(Some(1), "two"), (Some(0), "one")], "{dialect}");
            for result in &round.results {
                assert!(body.pointer(&result.place).is_some(), "{dialect}: {}", result.place);
            }
        }
    }

    #[test]
    fn results_without_ids_belong_to_the_calls_of_their_name_in_order() {
        let body = json!({ "contents": [
            { "role": "model", "parts": [
                { "functionCall": { "name": "f", "args": {} } },
                { "functionCall": { "name": "g", "args": {} } },
                { "functionCall": { "name": "f", "args": {} } },
            ] },
            { "role": "user", "parts": [
                { "functionResponse": { "name": "f", "response": { "n": 1 } } },
                { "functionResponse": { "name": "f", "response": { "n": 2 } } },
                { "functionResponse": { "name": "g", "response": { "n": 3 } } },
            ] },
        ] });
        let rounds = rounds(Dialect::GenerateContent, &body);
        let calls: Vec<_> = rounds[0].results.iter().map(|result| result.call).collect();
        assert_eq!(calls, [Some(0), Some(2), Some(1)]);
    }

    #[test]
    fn what_no_interface_has_is_passed_over() {
        for body in [json!(null), json!({}), json!({ "messages": 1, "input": {}, "contents": [1, null, []] })]
        {
            for dialect in
                [Dialect::ChatCompletions, Dialect::Responses, Dialect::Messages, Dialect::GenerateContent]
            {
                assert_eq!(rounds(dialect, &body), [Round::default()]);
            }
        }
    }
}
