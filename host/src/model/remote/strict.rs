//! Whether a tool's input, or an answer, can be held to its schema by the provider itself.
//!
//! `OpenAI` does that ("strict") only for schemas of a certain form, and refuses the request for any other. So it is
//! asked for where the schema has that form as its author wrote it, and never by rewriting the schema.
//! Source: <https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>.

use serde_json::value::to_raw_value;
use serde_json::{Map, Value};
use url::Url;

use super::{Body, BoxError};

/// The keywords that a strict schema may have.
const KEYWORDS: [&str; 21] = [
    "$defs",
    "$ref",
    "additionalProperties",
    "anyOf",
    "const",
    "description",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maximum",
    "minItems",
    "minimum",
    "multipleOf",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
];

/// The formats that a strict schema may name.
const FORMATS: [&str; 9] =
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];

/// How deep a strict schema may be nested.
const DEPTH_MAX: usize = 5;

/// Asks for strictness in a request's tools: `place` finds the table with the `parameters` in an entry. Servers other
/// than `OpenAI`'s own refuse tools of which only some are strict, so there it is all of them or none.
pub(in crate::model) fn mark_strict(
    body: &mut Body,
    base_url: &str,
    place: impl Fn(&mut Value) -> Option<&mut Map<String, Value>>,
) -> Result<(), BoxError> {
    let Some(tools) = body.get_mut("tools") else { return Ok(()) };
    let mut list: Vec<Value> = serde_json::from_str(tools.get())?;
    let can = |tool: &Map<String, Value>| tool.get("parameters").is_some_and(is_strict);
    let some = takes_some_strict(base_url) || list.iter_mut().filter_map(&place).all(|tool| can(tool));
    for tool in list.iter_mut().filter_map(&place) {
        if some && can(tool) {
            tool.insert("strict".to_owned(), true.into());
        }
    }
    *tools = to_raw_value(&list)?;
    Ok(())
}

fn takes_some_strict(base_url: &str) -> bool {
    let url = Url::parse(base_url).ok();
    let host = url.as_ref().and_then(Url::host_str);
    host.is_some_and(|host| host == "api.openai.com" || host.ends_with(".api.openai.com"))
}

/// Whether a schema has the form of a strict one.
pub(in crate::model) fn is_strict(schema: &Value) -> bool {
    schema["type"] == "object" && schema.get("anyOf").is_none() && can_hold(schema, 0)
}

fn can_hold(schema: &Value, depth: usize) -> bool {
    let Value::Object(schema) = schema else { return false };
    if depth > DEPTH_MAX || !schema.keys().all(|key| KEYWORDS.contains(&key.as_str())) {
        return false;
    }
    if schema.contains_key("$ref") {
        return schema.len() == 1;
    }
    let says_what = schema.contains_key("type") || schema.get("anyOf").is_some_and(Value::is_array);
    let format = schema.get("format").is_none_or(|it| it.as_str().is_some_and(|it| FORMATS.contains(&it)));
    let closed = !may_be(schema, "object") || is_closed(schema);
    let listed = !may_be(schema, "array") || schema.contains_key("items");
    let mut below = ["properties", "$defs"]
        .into_iter()
        .filter_map(|key| schema.get(key)?.as_object())
        .flat_map(|map| map.values().map(|it| (it, depth + 1)))
        .chain(schema.get("items").map(|it| (it, depth + 1)))
        .chain(schema.get("anyOf").and_then(Value::as_array).into_iter().flatten().map(|it| (it, depth)));
    says_what && format && closed && listed && below.all(|(schema, depth)| can_hold(schema, depth))
}

fn may_be(schema: &Map<String, Value>, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|it| it == kind),
        Some(it) => it == kind,
        None => kind == "object" && schema.contains_key("properties"),
    }
}

/// Whether an object has to have exactly the properties that are listed.
fn is_closed(schema: &Map<String, Value>) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    let required = |name: &String| required.is_some_and(|list| list.iter().any(|it| it == name.as_str()));
    let all = schema.get("properties").and_then(Value::as_object).is_none_or(|it| it.keys().all(required));
    all && schema.get("additionalProperties") == Some(&Value::Bool(false))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_the_provider_takes_is_strict() {
        let strict = |schema: Value| is_strict(&schema);
        let object = |properties: Value, required: Value| json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
        assert!(strict(object(json!({}), json!([]))));
        assert!(strict(object(json!({"a": {"type": "string"}}), json!(["a"]))));
        assert!(strict(object(json!({"a": {"type": ["string", "null"], "format": "date"}}), json!(["a"]))));
        assert!(strict(object(
            json!({"a": {"anyOf": [{"$ref": "#/$defs/x"}, {"type": "null"}]}}),
            json!(["a"])
        )));
        assert!(!strict(object(json!({"a": {"type": "string"}}), json!([]))), "an optional member");
        assert!(!strict(json!({"type": "object", "properties": {}})), "other members");
        assert!(!strict(object(json!({"a": {"type": "string", "default": "x"}}), json!(["a"]))));
        assert!(!strict(object(json!({"a": {"type": "string", "format": "uri"}}), json!(["a"]))));
        assert!(!strict(object(json!({"a": {"oneOf": []}}), json!(["a"]))));
        let inner = json!({"type": "object", "properties": {"b": {"type": "string"}}});
        assert!(!strict(object(json!({"a": inner}), json!(["a"]))), "an open object within");
        assert!(!strict(object(json!({"a": {"type": "array", "items": inner}}), json!(["a"]))));
        assert!(!strict(object(json!({"a": true}), json!(["a"]))));
        for (member, why) in [
            (json!({"description": "Anything."}), "it does not say what it is"),
            (json!({"enum": ["x", "y"]}), "nor does a list of values"),
            (json!({"const": "x"}), "nor does one value"),
            (json!({"type": "array"}), "a list of anything"),
            (json!({"type": ["array", "null"]}), "the same, or nothing"),
            (json!({"type": "array", "items": {}}), "a list of what is not said"),
            (json!({"$ref": "#/$defs/x", "description": "One of those."}), "a reference is alone"),
            (json!({"anyOf": [{"type": "string"}, {}]}), "one of which is not said"),
        ] {
            assert!(!strict(object(json!({"a": member}), json!(["a"]))), "{why}");
        }
        let mut either = object(json!({}), json!([]));
        either["anyOf"] = json!([{"type": "string"}]);
        assert!(!strict(either), "the root is one thing");
        let listed = json!({"a": {"type": "array", "items": {"type": "string", "enum": ["x"]}}});
        assert!(strict(object(listed, json!(["a"]))));
        let deep =
            (0..10).fold(json!({"type": "string"}), |below, _| object(json!({"a": below}), json!(["a"])));
        assert!(!strict(deep));
    }
}
