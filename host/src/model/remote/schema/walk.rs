//! Where schemas stand in schemas.

use serde_json::{Map, Value};

/// Keywords with a table of schemas, by names of their author's choice.
pub(super) const TABLES: [&str; 5] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];

/// Keywords with one schema.
const SINGLE: [&str; 10] = [
    "items",
    "additionalProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
];

/// Keywords with a list of schemas.
pub(super) const LISTS: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];

/// Keywords whose schema may be `true` or `false` everywhere.
pub(super) const MAY_BE_BOOLEAN: [&str; 3] =
    ["additionalProperties", "unevaluatedProperties", "unevaluatedItems"];

/// Calls `visit` with every schema directly below one, and the way to it.
pub(super) fn below<'a>(schema: &'a Map<String, Value>, mut visit: impl FnMut(&str, &'a Value)) {
    for (keyword, value) in schema {
        match value {
            Value::Object(table) if TABLES.contains(&keyword.as_str()) => {
                for (name, it) in table {
                    visit(&format!("{keyword}/{name}"), it);
                }
            }
            Value::Array(list) if LISTS.contains(&keyword.as_str()) => {
                for (index, it) in list.iter().enumerate() {
                    visit(&format!("{keyword}/{index}"), it);
                }
            }
            single if SINGLE.contains(&keyword.as_str()) => visit(keyword, single),
            _ => {}
        }
    }
}

/// The same, to change them.
pub(super) fn below_mut(schema: &mut Map<String, Value>, mut visit: impl FnMut(&str, &mut Value)) {
    for (keyword, value) in schema {
        match value {
            Value::Object(table) if TABLES.contains(&keyword.as_str()) => {
                for it in table.values_mut() {
                    visit(keyword, it);
                }
            }
            Value::Array(list) if LISTS.contains(&keyword.as_str()) => {
                for it in list {
                    visit(keyword, it);
                }
            }
            single if SINGLE.contains(&keyword.as_str()) => visit(keyword, single),
            _ => {}
        }
    }
}

/// Whether a schema speaks of values of this type.
pub(super) fn speaks_of(schema: &Map<String, Value>, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|it| it == kind),
        Some(it) => it == kind,
        None => false,
    }
}

/// What a reference into the same document leads to.
pub(super) fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let pointer = reference.strip_prefix('#')?;
    let pointer = percent_encoding::percent_decode_str(pointer).decode_utf8().ok()?;
    root.pointer(&pointer)
}
