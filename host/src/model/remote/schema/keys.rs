//! Properties whose names a provider does not take go by other names there, and back.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::plain::references;
use super::subset::{Keys, PLAIN_KEY_CHARS_MAX, is_plain};
use super::walk::{TABLES, below, below_mut};

/// The other names of a tool's properties. The same schema always gets the same ones.
#[derive(Debug, Default)]
pub(super) struct Renamed {
    there: HashMap<String, String>,
    back: HashMap<String, String>,
}

impl Renamed {
    /// Of a schema. No other name is one that a property of the tool has already.
    pub(super) fn of(schema: &Value, keys: Keys) -> Self {
        let mut names = Names::default();
        names.collect(schema);
        let mut renamed = Self::default();
        // Which number is the next to try, of those that are spelled alike.
        let mut next: HashMap<String, u32> = HashMap::new();
        for own in names.declared.iter().filter(|name| !keys.take(name)) {
            let number = next.entry(spelled(own, 1)).or_insert(1);
            let mut wire = spelled(own, *number);
            while names.all.contains(&*wire) || renamed.back.contains_key(&wire) {
                *number += 1;
                wire = spelled(own, *number);
            }
            renamed.there.insert((*own).to_owned(), wire.clone());
            renamed.back.insert(wire, (*own).to_owned());
        }
        renamed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.there.is_empty()
    }

    /// Gives properties their other names, wherever the schema speaks of them.
    pub(super) fn rewrite(&self, schema: &mut Value) {
        if !self.is_empty() {
            references(schema, &|reference| self.reference(reference));
            self.node(schema);
        }
    }

    /// An input as the provider is shown it.
    pub(super) fn there(&self, input: &mut Value) {
        rename(input, &self.there);
    }

    /// An input as the tool takes it.
    pub(super) fn back(&self, input: &mut Value) {
        rename(input, &self.back);
    }

    fn node(&self, schema: &mut Value) {
        let Value::Object(map) = schema else { return };
        for (own, property) in map.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten()
        {
            if let (true, Value::Object(property)) = (self.there.contains_key(own), property) {
                say(property, &format!("It stands for the member `{own}`."));
            }
        }
        for keyword in ["properties", "dependentSchemas", "dependentRequired"] {
            if let Some(Value::Object(table)) = map.get_mut(keyword) {
                *table = self.table(std::mem::take(table));
            }
        }
        for keyword in ["required", "propertyOrdering"] {
            map.get_mut(keyword).into_iter().for_each(|list| self.list(list));
        }
        if let Some(Value::Object(table)) = map.get_mut("dependentRequired") {
            table.values_mut().for_each(|list| self.list(list));
        }
        below_mut(map, |_, it| self.node(it));
    }

    fn table(&self, table: Map<String, Value>) -> Map<String, Value> {
        table.into_iter().map(|(key, value)| (self.there.get(&key).cloned().unwrap_or(key), value)).collect()
    }

    fn list(&self, list: &mut Value) {
        for name in list.as_array_mut().into_iter().flatten() {
            if let Some(other) = name.as_str().and_then(|name| self.there.get(name)) {
                *name = other.as_str().into();
            }
        }
    }

    /// A reference that leads through a property.
    fn reference(&self, reference: &str) -> Option<String> {
        let pointer = reference.strip_prefix("#/")?;
        let mut table: Option<String> = None;
        let steps = pointer.split('/').map(|step| {
            let decoded = percent_encoding::percent_decode_str(step).decode_utf8_lossy();
            let name = decoded.replace("~1", "/").replace("~0", "~");
            let Some(table) = table.take() else {
                table = TABLES.contains(&name.as_str()).then_some(name);
                return step.to_owned();
            };
            let renamed = matches!(table.as_str(), "properties" | "dependentSchemas");
            self.there.get(&name).filter(|_| renamed).cloned().unwrap_or_else(|| step.to_owned())
        });
        Some(format!("#/{}", steps.collect::<Vec<_>>().join("/")))
    }
}

/// Adds a sentence to a schema's description.
pub(super) fn say(schema: &mut Map<String, Value>, sentence: &str) {
    let said = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let said = if said.is_empty() { sentence.to_owned() } else { format!("{said}\n{sentence}") };
    schema.insert("description".to_owned(), said.into());
}

/// The names of a tool's properties.
#[derive(Default)]
struct Names<'a> {
    /// Of those that the schema describes: the ones that a provider looks at.
    declared: BTreeSet<&'a str>,
    /// Of all that it speaks of.
    all: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    fn collect(&mut self, schema: &'a Value) {
        let Value::Object(map) = schema else { return };
        let table = |keyword: &str| map.get(keyword).and_then(Value::as_object).into_iter().flatten();
        let list = |value: &'a Value| value.as_array().into_iter().flatten().filter_map(Value::as_str);
        for (name, _) in table("properties") {
            self.declared.insert(name);
            self.all.insert(name);
        }
        for (name, names) in table("dependentRequired").chain(table("dependentSchemas")) {
            self.all.insert(name);
            self.all.extend(list(names));
        }
        for keyword in ["required", "propertyOrdering"] {
            self.all.extend(map.get(keyword).into_iter().flat_map(list));
        }
        below(map, |_, it| self.collect(it));
    }
}

/// A plain name that is like another one; `number` tells apart those that would be the same.
fn spelled(own: &str, number: u32) -> String {
    let plain = own.chars().map(|c| if is_plain(c) { c } else { '_' });
    let end = if number == 1 { String::new() } else { format!("_{number}") };
    let mut name: String = plain.take(PLAIN_KEY_CHARS_MAX - end.len()).collect();
    if name.is_empty() {
        name.push('_');
    }
    name + &end
}

fn rename(value: &mut Value, names: &HashMap<String, String>) {
    match value {
        _ if names.is_empty() => {}
        Value::Array(list) => list.iter_mut().for_each(|it| rename(it, names)),
        Value::Object(map) => {
            let renamed = std::mem::take(map).into_iter().map(|(key, mut value)| {
                rename(&mut value, names);
                (names.get(&key).cloned().unwrap_or(key), value)
            });
            *map = renamed.collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
