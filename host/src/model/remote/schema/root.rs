//! The input of a tool is an object with properties: no provider takes a choice in its place.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::walk::{LISTS, target};

/// What the root of a tool's schema may not have at most providers.
pub(super) const NOT_AT_ROOT: [&str; 8] = ["anyOf", "oneOf", "allOf", "not", "enum", "const", "if", "$ref"];

/// How many references lead from one to the next before they count as a circle.
const STEPS_MAX: usize = 16;

/// Opens the root of a schema: what it refers to and chooses among becomes properties that may be there. Gives the rules
/// that it cannot say any more; what fits the schema fits what is left of it.
pub(super) fn open(schema: &mut Value) -> Map<String, Value> {
    let whole = schema.clone();
    let mut said = Map::new();
    let Value::Object(root) = schema else { return said };
    for _ in 0..STEPS_MAX {
        let Some(Value::String(reference)) = root.shift_remove("$ref") else { break };
        match target(&whole, &reference) {
            Some(Value::Object(other)) => adopt(root, other.clone(), &mut said),
            Some(_) | None => {
                said.insert("$ref".to_owned(), reference.into());
            }
        }
    }
    root.insert("type".to_owned(), "object".into());
    if !root.get("properties").is_some_and(Value::is_object) {
        root.insert("properties".to_owned(), json!({}));
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let Some(list) = root.shift_remove(keyword) else { continue };
        let branches: Vec<&Value> = list.as_array().into_iter().flatten().collect();
        let branches = branches.into_iter().map(|it| resolved(&whole, it)).collect::<Option<Vec<_>>>();
        if let Some(branches) = branches.filter(|_| root.get("additionalProperties") != Some(&json!(false))) {
            merge(root, &branches, keyword == "allOf");
        }
        said.insert(keyword.to_owned(), list);
    }
    for keyword in ["not", "enum", "const", "if", "then", "else", "$ref"] {
        if let Some(rule) = root.shift_remove(keyword) {
            said.insert(keyword.to_owned(), rule);
        }
    }
    if !said.is_empty()
        && let Some(rule) = root.shift_remove("unevaluatedProperties")
    {
        // It would rule out what only the others speak of.
        said.insert("unevaluatedProperties".to_owned(), rule);
    }
    said
}

/// Takes over what another schema says that holds as well. What both speak of holds as it is here, and is told in words as
/// it is there.
fn adopt(root: &mut Map<String, Value>, mut other: Map<String, Value>, said: &mut Map<String, Value>) {
    // Which members these are about depends on what else is taken over.
    let rest = other.shift_remove("additionalProperties");
    said.extend(other.shift_remove_entry("unevaluatedProperties"));
    if let Some(Value::Object(properties)) = other.shift_remove("properties") {
        adopt_properties(root, properties, said);
    }
    if let Some(Value::Array(names)) = other.shift_remove("required") {
        let list = root.entry("required").or_insert_with(|| json!([]));
        for name in names {
            if let Value::Array(list) = list
                && !list.contains(&name)
            {
                list.push(name);
            }
        }
    }
    for (keyword, value) in other {
        match root.get(&keyword) {
            None => drop(root.insert(keyword, value)),
            Some(here) if *here == value || matches!(&*keyword, "description" | "title" | "$defs") => {}
            Some(_) => drop(said.insert(keyword, value)),
        }
    }
    if let Some(rest) = rest {
        let apart = root.contains_key("additionalProperties") || said.contains_key("patternProperties");
        let place = if apart { said } else { root };
        place.insert("additionalProperties".to_owned(), rest);
    }
}

fn adopt_properties(
    root: &mut Map<String, Value>,
    properties: Map<String, Value>,
    said: &mut Map<String, Value>,
) {
    let own = root.entry("properties").or_insert_with(|| json!({}));
    let mut other = Map::new();
    for (name, schema) in properties {
        match own.get(&name) {
            None => own[name.as_str()] = schema,
            Some(here) if *here == schema => {}
            Some(_) => drop(other.insert(name, schema)),
        }
    }
    if !other.is_empty() {
        said.insert("properties".to_owned(), other.into());
    }
}

/// The object that a branch of a choice is, with what it refers to; none if it is something else, or chooses itself.
fn resolved<'a>(whole: &'a Value, branch: &'a Value) -> Option<&'a Map<String, Value>> {
    let mut branch = branch.as_object()?;
    for _ in 0..STEPS_MAX {
        match branch.get("$ref") {
            None => return (!LISTS.iter().any(|keyword| branch.contains_key(*keyword))).then_some(branch),
            Some(reference) if branch.len() == 1 => {
                branch = target(whole, reference.as_str()?)?.as_object()?;
            }
            Some(_) => return None,
        }
    }
    None
}

/// Adds the properties of branches, each of which may be there; `all` of the branches hold, or at least one.
fn merge(root: &mut Map<String, Value>, branches: &[&Map<String, Value>], all: bool) {
    let Some(Value::Object(own)) = root.get_mut("properties") else { return };
    let mut found: Map<String, Value> = Map::new();
    let mut said_by: HashMap<&str, usize> = HashMap::new();
    for branch in branches {
        let properties = branch.get("properties").and_then(Value::as_object).into_iter().flatten();
        for (name, version) in properties.filter(|(name, _)| !own.contains_key(*name)) {
            let versions = found.entry(name.as_str()).or_insert_with(|| json!([]));
            if let Value::Array(versions) = versions
                && !versions.contains(version)
            {
                versions.push(version.clone());
            }
            *said_by.entry(name).or_default() += usize::from(!is_closed(branch));
        }
    }
    let open = branches.iter().filter(|branch| !is_closed(branch)).count();
    for (name, versions) in found {
        let versions = if let Value::Array(versions) = versions { versions } else { Vec::new() };
        let silent = !all && said_by.get(name.as_str()).is_none_or(|number| *number < open);
        own.insert(name, merged(versions, all, silent));
    }
    let required = |branch: &&Map<String, Value>| {
        branch.get("required").and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let lists: Vec<Vec<Value>> = branches.iter().map(required).collect();
    let candidates = lists.iter().flatten().cloned().collect::<Vec<_>>();
    let mut list = root.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    for name in candidates {
        if !list.contains(&name) && (all || lists.iter().all(|list| list.contains(&name))) {
            list.push(name);
        }
    }
    if !list.is_empty() {
        root.insert("required".to_owned(), list.into());
    }
}

/// Whether an object has no members but those that it lists.
fn is_closed(branch: &Map<String, Value>) -> bool {
    branch.get("additionalProperties") == Some(&json!(false)) && !branch.contains_key("patternProperties")
}

/// What a property of branches may be: whatever one of them says, or anything, where a branch is silent on it.
fn merged(mut versions: Vec<Value>, all: bool, silent: bool) -> Value {
    if silent && !versions.contains(&json!({})) {
        versions.push(json!({}));
    }
    // Where each of them holds, one is enough to show.
    if all || versions.len() == 1 {
        return versions.into_iter().next().unwrap_or_default();
    }
    json!({ "anyOf": versions })
}
