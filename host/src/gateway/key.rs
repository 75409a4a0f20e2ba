//! What a request is known by when it comes again.
//!
//! Two starts of one program send the same requests, but for what a program or a provider draws at random: the ids of
//! calls, which say nothing but which call they mean, and the order in which the results of calls come that are the same
//! call. Whatever else differs is another request. Measured with six SDKs: docs/GATEWAY.md.

use std::collections::HashMap;

use regex::Regex;
use serde_json::Value;

use super::body::{Call, Round, rounds};
use crate::message::{Dialect, Digest, Json};

/// The members of a body that hold the id of a call.
const IDS: [&str; 4] = ["id", "call_id", "tool_call_id", "tool_use_id"];

/// The digest of a request in its canonical form. What the patterns fit in any text of it says nothing.
pub(super) fn key(dialect: Dialect, model: &str, stream: bool, body: &Value, ignored: &[Regex]) -> Digest {
    let mut body = body.clone();
    let rounds = rounds(dialect, &body);
    for round in &rounds {
        in_order(round, &mut body);
    }
    let calls = rounds.iter().flat_map(|round| &round.calls);
    let mut names = HashMap::new();
    for id in calls.filter_map(|call| call.id.as_ref()) {
        let number = names.len();
        names.entry(id.clone()).or_insert_with(|| format!("call {number}"));
    }
    rename(&mut body, &names);
    if !ignored.is_empty() {
        forget(&mut body, ignored);
    }
    Digest::of_json(&(dialect, model, stream, Json::canonical(&body)))
}

/// Puts the results of calls that are the same call in an order of their own: which of them came first says nothing.
fn in_order(round: &Round, body: &mut Value) {
    let mut alike: HashMap<(&str, &str), Vec<(usize, &str)>> = HashMap::new();
    for result in &round.results {
        let Some((index, Call { name, input, .. })) =
            result.call.and_then(|index| Some((index, round.calls.get(index)?)))
        else {
            continue;
        };
        alike.entry((name, input)).or_default().push((index, &result.place));
    }
    for mut places in alike.into_values().filter(|places| places.len() > 1) {
        places.sort_unstable();
        let taken = |(_, place): &(usize, &str)| body.pointer(place).cloned().unwrap_or_default();
        let mut results: Vec<Value> = places.iter().map(taken).collect();
        results.sort_by_cached_key(|result| Json::canonical(result).as_str().to_owned());
        for ((_, place), result) in places.into_iter().zip(results) {
            if let Some(at) = body.pointer_mut(place) {
                *at = result;
            }
        }
    }
}

/// Gives ids the names that they have here.
fn rename(value: &mut Value, names: &HashMap<String, String>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                match value {
                    Value::String(id) if IDS.contains(&member.as_str()) => {
                        if let Some(name) = names.get(id) {
                            id.clone_from(name);
                        }
                    }
                    value => rename(value, names),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Takes what the patterns fit out of every text.
fn forget(value: &mut Value, patterns: &[Regex]) {
    match value {
        Value::Object(members) => members.values_mut().for_each(|value| forget(value, patterns)),
        Value::Array(items) => items.iter_mut().for_each(|item| forget(item, patterns)),
        Value::String(text) => {
            for pattern in patterns {
                if pattern.is_match(text) {
                    *text = pattern.replace_all(text, "").into_owned();
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use serde_json::json;

    use super::*;

    fn chat(ids: [&str; 2], results: [(&str, &str); 2]) -> Value {
        let call =
            |id| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } });
        let result = |(id, text)| json!({ "role": "tool", "tool_call_id": id, "content": text });
        json!({ "model": "m", "messages": [
            { "role": "user", "content": "u" },
            { "role": "assistant", "tool_calls": ids.map(call) },
            result(results[0]),
            result(results[1]),
        ] })
    }

    fn of(body: &Value) -> Digest {
        key(Dialect::ChatCompletions, "m", false, body, &[])
    }

    #[test]
    fn ids_say_nothing_but_which_call_they_mean() {
        let one = chat(["a", "b"], [("a", "1"), ("b", "2")]);
        assert_eq!(of(&one), of(&chat(["x", "y"], [("x", "1"), ("y", "2")])));
        assert_ne!(of(&one), of(&chat(["x", "y"], [("x", "1"), ("y", "3")])));
        assert_ne!(of(&one), of(&chat(["x", "y"], [("x", "1"), ("x", "2")])));
    }

    #[test]
    fn results_of_the_same_call_may_come_in_any_order() {
        let one = chat(["a", "b"], [("a", "1"), ("b", "2")]);
        assert_eq!(of(&one), of(&chat(["a", "b"], [("a", "2"), ("b", "1")])));
        assert_ne!(of(&one), of(&chat(["a", "b"], [("a", "2"), ("b", "2")])));
    }

    #[test]
    fn results_of_other_calls_may_not() {
        let mut one = chat(["a", "b"], [("a", "1"), ("b", "2")]);
        let mut other = chat(["a", "b"], [("a", "2"), ("b", "1")]);
        for body in [&mut one, &mut other] {
            body["messages"][1]["tool_calls"][1]["function"]["arguments"] = "{\"n\":1}".into();
        }
        assert_ne!(of(&one), of(&other));
    }

    #[test]
    fn members_may_come_in_any_order_and_texts_may_not_differ() {
        let (one, other) = (r#"{"a":1,"messages":[],"b":"x"}"#, r#"{"b":"x","messages":[],"a":1}"#);
        let read = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
        assert_eq!(of(&read(one)), of(&read(other)));
        assert_ne!(of(&read(one)), of(&read(&other.replace('x', "y"))));
        let (same, ignored) = (read(one), [Regex::new("[xy]").unwrap()]);
        let forgotten = |body| key(Dialect::ChatCompletions, "m", false, body, &ignored);
        assert_eq!(forgotten(&same), forgotten(&read(&other.replace('x', "y"))));
        assert_ne!(key(Dialect::ChatCompletions, "m", true, &same, &[]), of(&same));
    }
}
