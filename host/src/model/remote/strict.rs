//! Whether a tool's input, or an answer, can be held to its schema by the provider itself.
//!
//! `OpenAI` does that ("strict") only for schemas of a certain form, and refuses the request for any other. So it is
//! asked for where the schema has that form as it is sent, and no schema is rewritten to get it.
//! Source: <https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>.

use serde_json::value::to_raw_value;
use serde_json::{Map, Value};
use url::Url;

use super::schema::is_regular;
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

/// How many properties a strict schema may have in all.
const PROPERTIES_MAX: usize = 5000;

/// How many values its lists may have in all.
const VALUES_MAX: usize = 1000;

/// Asks for strictness in a request's tools: `place` finds the table with the `parameters` in an entry. Servers other
/// than `OpenAI`'s own refuse tools of which only some are strict (`takes_some`), so there it is all of them or none.
pub(in crate::model) fn mark_strict(
    body: &mut Body,
    takes_some: bool,
    place: impl Fn(&mut Value) -> Option<&mut Map<String, Value>>,
) -> Result<(), BoxError> {
    let Some(tools) = body.get_mut("tools") else { return Ok(()) };
    let mut list: Vec<Value> = serde_json::from_str(tools.get())?;
    let can = |tool: &Map<String, Value>| tool.get("parameters").is_some_and(is_strict);
    let some = takes_some || list.iter_mut().filter_map(&place).all(|tool| can(tool));
    for tool in list.iter_mut().filter_map(&place) {
        if some && can(tool) {
            tool.insert("strict".to_owned(), true.into());
            if let Some(Value::Object(schema)) = tool.get_mut("parameters") {
                // Where no property has to be there, it has to be said.
                schema.entry("required").or_insert_with(|| Value::Array(Vec::new()));
            }
        }
    }
    *tools = to_raw_value(&list)?;
    Ok(())
}

/// Whether an address is the maker's own, of whom this is the usual one: the same host, or one of a region below it.
pub(in crate::model) fn is_own(base_url: &str, usual: &str) -> bool {
    let host = |url: &str| Some(Url::parse(url).ok()?.host_str()?.to_owned());
    let (Some(host), Some(own)) = (host(base_url), host(usual)) else { return false };
    host == own || host.strip_suffix(&own).is_some_and(|region| region.ends_with('.'))
}

/// Whether a schema has the form of a strict one.
pub(in crate::model) fn is_strict(schema: &Value) -> bool {
    let mut counted = Counted::default();
    let root = schema["type"] == "object" && schema.get("anyOf").is_none();
    root && can_hold(schema, 0) && {
        counted.add(schema);
        counted.properties <= PROPERTIES_MAX && counted.values <= VALUES_MAX
    }
}

/// What a strict schema may have only so many of.
#[derive(Default)]
struct Counted {
    properties: usize,
    values: usize,
}

impl Counted {
    fn add(&mut self, value: &Value) {
        match value {
            Value::Array(list) => list.iter().for_each(|it| self.add(it)),
            Value::Object(map) => {
                self.properties += map.get("properties").and_then(Value::as_object).map_or(0, Map::len);
                self.values += map.get("enum").and_then(Value::as_array).map_or(0, Vec::len);
                map.values().for_each(|it| self.add(it));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
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
    let valued = schema.get("enum").is_none_or(|it| it.as_array().is_some_and(|list| !list.is_empty()));
    let pattern = schema.get("pattern").and_then(Value::as_str).is_none_or(is_regular);
    let closed = !may_be(schema, "object") || is_closed(schema);
    let listed = !may_be(schema, "array") || schema.contains_key("items");
    let mut below = ["properties", "$defs"]
        .into_iter()
        .filter_map(|key| schema.get(key)?.as_object())
        .flat_map(|map| map.values().map(|it| (it, depth + 1)))
        .chain(schema.get("items").map(|it| (it, depth + 1)))
        .chain(schema.get("anyOf").and_then(Value::as_array).into_iter().flatten().map(|it| (it, depth)));
    says_what
        && format
        && valued
        && pattern
        && closed
        && listed
        && below.all(|(schema, depth)| can_hold(schema, depth))
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
