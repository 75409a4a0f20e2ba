//! One way to write each schema, of those that mean the same: the way of JSON Schema 2020-12, with nothing left out that
//! a provider wants to see.

use serde_json::{Map, Value, json};

use super::walk::{MAY_BE_BOOLEAN, below_mut, speaks_of};

/// Drafts in which what stands beside a `$ref` has no meaning.
const REFERENCES_ALONE: [&str; 4] = ["draft-03", "draft-04", "draft-06", "draft-07"];

/// Rewrites a schema and all in it, without any change of meaning.
pub(super) fn rewrite(schema: &mut Value) {
    let Value::Object(root) = schema else { return };
    let draft = root.get("$schema").and_then(Value::as_str).unwrap_or_default();
    let alone = REFERENCES_ALONE.iter().any(|it| draft.contains(it));
    root.shift_remove("$schema");
    root.shift_remove("$id");
    root.shift_remove("id").filter(|id| !id.is_string()).map(|id| root.insert("id".to_owned(), id));
    if !root.contains_key("$defs")
        && let Some(definitions) = root.shift_remove("definitions")
    {
        root.insert("$defs".to_owned(), definitions);
        references(schema, &|reference| {
            Some(format!("#/$defs/{}", reference.strip_prefix("#/definitions/")?))
        });
    }
    node(schema, alone);
}

/// Gives references another text, where there is one.
pub(super) fn references(schema: &mut Value, other: &impl Fn(&str) -> Option<String>) {
    let Value::Object(map) = schema else { return };
    if let Some(Value::String(reference)) = map.get_mut("$ref")
        && let Some(other) = other(reference)
    {
        *reference = other;
    }
    below_mut(map, |_, it| references(it, other));
}

fn node(schema: &mut Value, alone: bool) {
    match schema {
        Value::Bool(true) => *schema = json!({}),
        Value::Bool(false) => *schema = json!({ "not": {} }),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {}
    }
    let Value::Object(map) = schema else { return };
    if alone && map.contains_key("$ref") {
        map.retain(|key, _| {
            matches!(key.as_str(), "$ref" | "$defs" | "definitions" | "description" | "title")
        });
    }
    bounds(map);
    tuple(map);
    dependencies(map, alone);
    below_mut(map, |keyword, it| {
        if !(it.is_boolean() && MAY_BE_BOOLEAN.contains(&keyword)) {
            node(it, alone);
        }
    });
    if speaks_of(map, "array") && !map.contains_key("items") {
        map.insert("items".to_owned(), json!({}));
    }
}

/// Draft 4 says of a bound by a flag whether it is one of those that are left out.
fn bounds(schema: &mut Map<String, Value>) {
    for (flag, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        let Some(Value::Bool(exclusive)) = schema.get(flag) else { continue };
        let exclusive = *exclusive;
        schema.shift_remove(flag);
        if exclusive && let Some(value) = schema.shift_remove(bound) {
            schema.insert(flag.to_owned(), value);
        }
    }
}

/// Lists of a fixed form: by `prefixItems`, and by a length instead of a rule that nothing fits.
fn tuple(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(items)) = schema.get("items") {
        let items = Value::Array(items.clone());
        schema.shift_remove("items");
        schema.insert("prefixItems".to_owned(), items);
        if let Some(rest) = schema.shift_remove("additionalItems") {
            schema.insert("items".to_owned(), rest);
        }
    }
    if schema.get("items") == Some(&Value::Bool(false)) {
        let fixed = schema.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
        let longest = schema.get("maxItems").and_then(Value::as_u64).unwrap_or(u64::MAX);
        schema.insert("maxItems".to_owned(), json!(longest.min(fixed as u64)));
        schema.insert("items".to_owned(), json!({}));
    }
}

/// Up to draft 7, lists of properties and schemas stand in one table.
fn dependencies(schema: &mut Map<String, Value>, old: bool) {
    if !old || !schema.get("dependencies").is_some_and(Value::is_object) {
        return;
    }
    let Some(Value::Object(all)) = schema.shift_remove("dependencies") else { return };
    let (lists, schemas): (Map<String, Value>, Map<String, Value>) =
        all.into_iter().partition(|(_, it)| it.is_array());
    for (keyword, table) in [("dependentRequired", lists), ("dependentSchemas", schemas)] {
        if !table.is_empty() {
            schema.insert(keyword.to_owned(), Value::Object(table));
        }
    }
}
