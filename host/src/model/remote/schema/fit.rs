//! From any schema to one that a provider takes. What fits the first always fits the second: a rule that the provider
//! does not take is told the model in words, in the description where it stood.

use serde_json::{Map, Value, json};

use super::keys::{Renamed, say};
use super::subset::Subset;
use super::walk::below_mut;
use super::{plain, root};

/// The keywords that rule out anything. Of any other that is left out, nothing is said.
const RULES: [&str; 38] = [
    "$dynamicRef",
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "items",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "required",
    "then",
    "type",
    "uniqueItems",
];

/// Whether a keyword rules out anything.
fn is_rule(keyword: &str) -> bool {
    RULES.contains(&keyword) || keyword.starts_with("unevaluated")
}

/// What is taken of one schema.
#[derive(Clone, Copy)]
struct Taken<'a> {
    subset: &'a Subset,
    /// Whether names are what they are: rules about names say something else of properties that go by others.
    names: bool,
    /// Whether what a reference leads to may rule out less than before.
    wider_elsewhere: bool,
}

/// The schema of a tool's input as it is sent, from one that is written plainly.
pub(super) fn input(schema: &Value, renamed: &Renamed, subset: &Subset) -> Value {
    let mut wire = schema.clone();
    renamed.rewrite(&mut wire);
    let said = root::open(&mut wire);
    let wider_elsewhere = !said.is_empty();
    if let Value::Object(root) = &mut wire {
        tell(root, said);
    }
    whole(wire, Taken { subset, names: renamed.is_empty(), wider_elsewhere })
}

/// The schema of an answer as it is sent.
pub(super) fn answer(schema: &Value, subset: &Subset) -> Value {
    let mut wire = schema.clone();
    plain::rewrite(&mut wire);
    whole(wire, Taken { subset, names: true, wider_elsewhere: false })
}

/// Rewrites a whole schema: once more if it turns out that something in it rules out less, to which a reference may lead.
fn whole(schema: Value, taken: Taken<'_>) -> Value {
    let mut wire = schema.clone();
    if node(&mut wire, taken) && !taken.wider_elsewhere {
        wire = schema;
        node(&mut wire, Taken { wider_elsewhere: true, ..taken });
    }
    wire
}

/// Rewrites a schema and all in it. Whether it rules out less than before.
fn node(schema: &mut Value, taken: Taken<'_>) -> bool {
    let Value::Object(map) = schema else { return false };
    let mut said = Map::new();
    constant(map, taken);
    let keywords: Vec<String> = map.keys().cloned().collect();
    for keyword in keywords {
        let Some(value) = map.get(&keyword) else { continue };
        if !takes(&keyword, value, taken) {
            leave_out(map, &keyword, &mut said);
        }
    }
    if said.contains_key("patternProperties") {
        // What stays would rule out the properties that it spoke of.
        leave_out(map, "additionalProperties", &mut said);
        leave_out(map, "unevaluatedProperties", &mut said);
    }
    if taken.subset.lone_references && map.contains_key("$ref") {
        let others: Vec<String> = map.keys().filter(|it| !stays_beside_reference(it)).cloned().collect();
        for keyword in &others {
            leave_out(map, keyword, &mut said);
        }
    }
    let widened = below_node(map, taken, &mut said) || (taken.wider_elsewhere && map.contains_key("$ref"));
    let widened = widened || !said.is_empty();
    tell(map, said);
    widened
}

/// Rewrites the schemas below one. Where one that rules out less would make the whole rule out more, the whole is told in
/// words instead.
fn below_node(map: &mut Map<String, Value>, taken: Taken<'_>, said: &mut Map<String, Value>) -> bool {
    let before: Vec<(&str, Option<Value>)> =
        ["oneOf", "not", "if", "contains"].map(|keyword| (keyword, map.get(keyword).cloned())).into();
    let mut wider: Vec<String> = Vec::new();
    below_mut(map, |keyword, it| {
        if node(it, taken) && !wider.iter().any(|known| known == keyword) {
            wider.push(keyword.to_owned());
        }
    });
    for (keyword, own) in before.into_iter().filter(|(keyword, _)| wider.iter().any(|it| it == keyword)) {
        let Some(own) = own else { continue };
        match keyword {
            "oneOf" if !map.contains_key("anyOf") => {
                let list = map.shift_remove(keyword);
                map.extend(list.map(|list| ("anyOf".to_owned(), list)));
            }
            "contains" if !map.contains_key("maxContains") => {}
            _ => {
                map.insert(keyword.to_owned(), own);
                leave_out(map, keyword, said);
                let with_it: &[&str] = match keyword {
                    "if" => &["then", "else", "unevaluatedProperties", "unevaluatedItems"],
                    "contains" => &["minContains", "maxContains", "unevaluatedItems"],
                    _ => &[],
                };
                for keyword in with_it {
                    leave_out(map, keyword, said);
                }
            }
        }
    }
    !wider.is_empty()
}

/// Takes a keyword out of a schema, to be told in words if it rules out anything.
fn leave_out(map: &mut Map<String, Value>, keyword: &str, said: &mut Map<String, Value>) {
    if let Some(value) = map.shift_remove(keyword)
        && is_rule(keyword)
    {
        said.insert(keyword.to_owned(), value);
    }
}

fn stays_beside_reference(keyword: &str) -> bool {
    matches!(keyword, "$ref" | "$defs" | "description" | "default")
}

/// Whether a provider takes a keyword with this value.
fn takes(keyword: &str, value: &Value, taken: Taken<'_>) -> bool {
    if taken.subset.keywords.is_some_and(|keywords| !keywords.contains(&keyword)) {
        return false;
    }
    match (keyword, value) {
        ("propertyNames" | "patternProperties", _) => taken.names,
        ("pattern", Value::String(pattern)) => taken.subset.patterns.take(pattern),
        ("enum", Value::Array(values)) => {
            !values.is_empty() && values.iter().all(|value| taken.subset.values.take(value))
        }
        ("minItems", number) => number.as_u64().is_none_or(|it| it <= taken.subset.min_items_max),
        ("format", Value::String(format)) => {
            taken.subset.formats.is_none_or(|formats| formats.contains(&format.as_str()))
        }
        ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(list)) => !list.is_empty(),
        _ => true,
    }
}

/// One value, and a list of rules with one rule in it, in the words of a provider that knows others.
fn constant(schema: &mut Map<String, Value>, taken: Taken<'_>) {
    let Some(keywords) = taken.subset.keywords else { return };
    let lacks = |schema: &Map<String, Value>, from: &str, to: &str| {
        !keywords.contains(&from) && keywords.contains(&to) && !schema.contains_key(to)
    };
    if lacks(schema, "const", "enum")
        && schema.get("const").is_some_and(|it| takes("enum", &json!([it]), taken))
        && let Some(value) = schema.shift_remove("const")
    {
        schema.insert("enum".to_owned(), json!([value]));
    }
    let single = schema.get("allOf").and_then(Value::as_array).is_some_and(|list| list.len() == 1);
    if single
        && lacks(schema, "allOf", "anyOf")
        && let Some(list) = schema.shift_remove("allOf")
    {
        schema.insert("anyOf".to_owned(), list);
    }
}

/// Says in words what is not said as a rule.
fn tell(schema: &mut Map<String, Value>, said: Map<String, Value>) {
    if !said.is_empty() {
        say(schema, &format!("It has to fit the JSON Schema {}.", Value::Object(said)));
    }
}
