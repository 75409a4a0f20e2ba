//! Whether a provider takes a schema, by its rules and nothing else: what rewrites schemas has no part in it.

use serde_json::{Map, Value};

use super::root::NOT_AT_ROOT;
use super::subset::{Keys, Subset};
use super::walk::{MAY_BE_BOOLEAN, below, speaks_of, target};

/// How deep a schema may be nested: no provider takes more, and most take less.
const DEPTH_MAX: usize = 100;

/// A rule of a provider that a schema breaks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// The rule.
    pub(super) rule: String,
    /// The way to the place from the root of the schema; empty if it is the root.
    pub(super) at: String,
}

/// Checks the schema of a tool's input as it is to be sent.
pub(super) fn input(schema: &Value, subset: &Subset) -> Result<(), Broken> {
    let at_root = |rule: &str| Broken { rule: rule.to_owned(), at: String::new() };
    let Value::Object(root) = schema else { return Err(at_root("it has to be an object")) };
    if root.get("type").and_then(Value::as_str) != Some("object") {
        return Err(at_root("its type has to be \"object\""));
    }
    if !root.get("properties").is_some_and(Value::is_object) {
        return Err(at_root("it has to have properties"));
    }
    if let Some(keyword) = NOT_AT_ROOT.iter().find(|keyword| root.contains_key(**keyword)) {
        return Err(at_root(&format!("it may not have `{keyword}`")));
    }
    node(schema, subset, schema, &mut Vec::new())
}

/// Checks the schema of an answer as it is to be sent.
pub(super) fn answer(schema: &Value, subset: &Subset) -> Result<(), Broken> {
    node(schema, subset, schema, &mut Vec::new())
}

fn node(schema: &Value, subset: &Subset, root: &Value, at: &mut Vec<String>) -> Result<(), Broken> {
    let broken = |rule: String| Err(Broken { rule, at: at.join("/") });
    let Value::Object(map) = schema else {
        let boolean =
            schema.is_boolean() && at.last().is_some_and(|it| MAY_BE_BOOLEAN.contains(&it.as_str()));
        return if boolean { Ok(()) } else { broken("a schema has to be an object".to_owned()) };
    };
    if at.len() > DEPTH_MAX {
        return broken(format!("it is nested more than {DEPTH_MAX} deep"));
    }
    if let Some(rule) = rule_of_keywords(map, subset).or_else(|| rule_of_references(map, subset, root)) {
        return broken(rule);
    }
    let mut found = Ok(());
    below(map, |step, it| {
        if found.is_ok() {
            at.push(step.to_owned());
            found = node(it, subset, root, at);
            at.pop();
        }
    });
    found
}

/// The rule that the keywords of one schema break.
fn rule_of_keywords(schema: &Map<String, Value>, subset: &Subset) -> Option<String> {
    let known = |keyword: &&String| subset.keywords.is_none_or(|list| list.contains(&keyword.as_str()));
    if let Some(keyword) = schema.keys().find(|keyword| !known(keyword)) {
        return Some(format!("it may not have `{keyword}`"));
    }
    if schema.contains_key("$schema") {
        return Some("it may not name another version of JSON Schema".to_owned());
    }
    if speaks_of(schema, "array") && !schema.get("items").is_some_and(Value::is_object) {
        return Some("an array has to say what its items are".to_owned());
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
        && !subset.patterns.take(pattern)
    {
        return Some(format!("it may not have the pattern `{pattern}`"));
    }
    if let Some(values) = schema.get("enum") {
        let values = values.as_array().map(Vec::as_slice).unwrap_or_default();
        if values.is_empty() {
            return Some("`enum` may not be empty".to_owned());
        }
        if let Some(value) = values.iter().find(|value| !subset.values.take(value)) {
            return Some(format!("`enum` may not have {value}"));
        }
    }
    if schema.get("minItems").and_then(Value::as_u64).is_some_and(|it| it > subset.min_items_max) {
        return Some(format!("`minItems` may be at most {}", subset.min_items_max));
    }
    if let (Some(format), Some(formats)) = (schema.get("format").and_then(Value::as_str), subset.formats)
        && !formats.contains(&format)
    {
        return Some(format!("it may not have the format {format:?}"));
    }
    let is_object = speaks_of(schema, "object") || schema.contains_key("properties");
    if subset.closed && is_object && schema.get("additionalProperties") != Some(&Value::Bool(false)) {
        return Some("an object has to have `additionalProperties` = false".to_owned());
    }
    let keys = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let odd = keys.map(|(key, _)| key).find(|key| !subset.keys.take(key))?;
    match subset.keys {
        Keys::All => None,
        Keys::Plain => Some(format!("the property {odd:?} has to match ^[a-zA-Z0-9_.-]{{1,64}}$")),
    }
}

/// The rule that a reference breaks.
fn rule_of_references(schema: &Map<String, Value>, subset: &Subset, root: &Value) -> Option<String> {
    let reference = schema.get("$ref")?.as_str().unwrap_or_default();
    let beside = |key: &&String| !matches!(key.as_str(), "$ref" | "$defs" | "description" | "default");
    if subset.lone_references
        && let Some(keyword) = schema.keys().find(beside)
    {
        return Some(format!("beside a reference there may be no `{keyword}`"));
    }
    if target(root, reference).is_none() {
        return Some(format!("the reference {reference:?} leads to nothing that is sent"));
    }
    None
}
