//! The keys that a table may have, and the words that a text may be, as a schema lists them.
//!
//! Owns what older spellings are to whoever reads a file: they are taken, and neither listed nor suggested. The schema
//! marks them as `deprecated`, and names the key that stands for one of them now.

use std::ops::Range;

use serde_json::{Map, Value};
use toml::de::DeTable;

use super::error::{Problem, meant, suggest};

/// In the schema of a key of older spelling: the key that stands for it now.
pub(crate) const NOW: &str = "x-now";

/// What is wrong where one thing is said by a key and by the older spelling of it: a problem at each of them.
pub(crate) fn twice(new: (&str, Range<usize>), old: (&str, Range<usize>), place: &str) -> [Problem; 2] {
    let ((new, at_new), (old, at_old)) = (new, old);
    let message = format!("`{new}` and `{old}`{place} are both given, and say the same thing");
    let older = format!("`{old}`{place} is the older spelling of `{new}`, which is given, too");
    [Problem::new(at_new, message, "keep this one"), Problem::new(at_old, older, "take it out")]
}

/// The keys that a table may have.
pub(super) struct Keys<'a> {
    table: &'a Value,
    of: Option<&'a Map<String, Value>>,
}

impl<'a> Keys<'a> {
    pub(super) fn of(table: &'a Value) -> Self {
        Self { table, of: table.get("properties").and_then(Value::as_object) }
    }

    pub(super) fn schema(&self, key: &str) -> Option<&'a Value> {
        self.of.and_then(|keys| keys.get(key))
    }

    /// The keys of older spelling, or the others.
    fn named(&self, old: bool) -> Vec<&'a str> {
        let keys = self.of.into_iter().flatten().filter(|(_, schema)| is_old(schema) == old);
        keys.map(|(key, _)| key.as_str()).collect()
    }

    /// Which of some keys was meant, maybe by its older spelling.
    pub(super) fn meant(&self, found: &str, among: &[&'a str]) -> Option<&'a str> {
        let older = || {
            let old = meant(found, &self.named(true))?;
            let now = self.schema(old)?.get(NOW)?.as_str()?;
            among.contains(&now).then_some(now)
        };
        meant(found, among).or_else(older)
    }

    pub(super) fn suggest(&self, found: &str) -> String {
        let allowed = self.named(false);
        let list = suggest(found, &allowed);
        match self.meant(found, &allowed).filter(|_| meant(found, &allowed).is_none()) {
            Some(key) => format!("did you mean `{key}`? Allowed here: {}", allowed.join(", ")),
            None => list,
        }
    }

    /// The keys that a table lacks. Of keys that say the same, it lacks the first one if it has no other.
    pub(super) fn missing(&self, table: &DeTable<'_>) -> Vec<&'a str> {
        fn required(schema: &Value) -> impl Iterator<Item = &str> {
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        }
        let any = self.table.get("anyOf").and_then(Value::as_array);
        let has_one = any.into_iter().flatten().any(|it| required(it).all(|key| table.contains_key(key)));
        let first = any.and_then(|any| any.first()).filter(|_| !has_one);
        let missing = first.into_iter().flat_map(required).chain(required(self.table));
        missing.filter(|key| !table.contains_key(*key)).collect()
    }
}

/// The words that a text may be, and whether each is an older spelling; none if it may be any.
pub(super) fn words(schema: &Value) -> Vec<(&str, bool)> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let listed = listed.filter_map(|word| Some((word.as_str()?, false)));
    let each = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let each = each.filter_map(|one| Some((one.get("const")?.as_str()?, is_old(one))));
    listed.chain(each).collect()
}

fn is_old(schema: &Value) -> bool {
    schema.get("deprecated") == Some(&Value::Bool(true))
}
