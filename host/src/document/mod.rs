//! A TOML file whose form is that of a type: agent.toml, or a case that an agent is tested by.
//!
//! Owns the way from text to the type: all that is wrong with the form is found at once, with its place. What
//! the values mean is for others to check. It fails with [`Problem`]s, which a [`ConfigError`] shows.

mod error;
mod excerpt;
mod file;
mod form;
mod keys;
mod layout;
mod shown;
mod source;
pub(crate) mod units;

pub use error::{ConfigError, Problem};
pub(crate) use error::{place, quote, suggest};
#[cfg(feature = "cli")]
pub(crate) use file::without_mark;
pub(crate) use file::{FileError, read_text};
pub(crate) use form::VERSION;
#[cfg(test)]
pub(crate) use form::problems;
pub(crate) use keys::{NOW, twice};
pub(crate) use layout::{Entry, Header, Layout};
pub(crate) use shown::can_name_secret;
pub use source::{KeyPath, SourceText};

use std::fmt;
use std::ops::Range;

use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use toml::de::DeTable;

/// Reads a text of the form that the schema describes, which is that of the type. `keys` says where to look for
/// the keys that there are.
pub(crate) fn read<T: DeserializeOwned>(text: &str, schema: &Value, keys: &str) -> Result<T, Vec<Problem>> {
    let fail = |error: toml::de::Error| vec![syntax(text, &error, keys)];
    let table = DeTable::parse(text).map_err(fail)?;
    let problems = form::problems(table.get_ref(), schema);
    if !problems.is_empty() {
        return Err(problems);
    }
    T::deserialize(toml::Deserializer::from(table)).map_err(fail)
}

/// Text that is not TOML, in the parser's words.
fn syntax(text: &str, error: &toml::de::Error, keys: &str) -> Problem {
    let help = format!("the file has to be TOML (https://toml.io); {keys} prints the keys it can have");
    if let (None, Some((line, parts))) = (error.span(), longest_key(text)) {
        let message = format!("a key of {parts} parts is nested too deep");
        return Problem::new(line, message, help);
    }
    let message = error.message().trim_end().replace('\n', "; ");
    let help = if error.span().is_some_and(|span| doubles_list(text, &span, &message)) {
        "this list stands in the file already, between brackets: write this table there, as { … }, or write all of its \
         tables below `[[…]]` headers"
            .to_owned()
    } else {
        help
    };
    Problem { message, help, span: error.span(), details: None }
}

/// Whether a header of a list of tables is about a list that is given otherwise: people put the lines there that would
/// grant something.
fn doubles_list(text: &str, span: &Range<usize>, message: &str) -> bool {
    let before = text.get(..span.start).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    message.contains("duplicate key") && line.trim_start().starts_with("[[")
}

/// The line whose key has the most parts, and how many: the parser gives up a key that is too long, and does not say
/// where it stands.
fn longest_key(text: &str) -> Option<(Range<usize>, usize)> {
    let mut start = 0;
    let lines = text.split_inclusive('\n').map(|line| {
        let key = line.split('=').next().unwrap_or(line).trim_end();
        let span = start..start + key.len();
        start += line.len();
        (span, key.matches('.').count() + 1)
    });
    // Of several, the first one.
    lines.fold(None, |longest: Option<(Range<usize>, usize)>, line| match longest {
        Some(longest) if longest.1 >= line.1 => Some(longest),
        Some(_) | None => Some(line),
    })
}

/// The JSON Schema of a type, as TOML can fill it.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    let settings = settings.with_transform(schemars::transform::RecursiveTransform(without_null));
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// TOML has no null: what is optional is left out.
fn without_null(schema: &mut schemars::Schema) {
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            let kind = kind.clone();
            schema.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if let [Value::Object(choice)] = choices.as_slice() {
            let choice = choice.clone();
            schema.remove("anyOf");
            schema.ensure_object().extend(choice);
        }
    }
}

/// A JSON value as TOML writes it. A date or time, which JSON does not have, is its text.
#[derive(Clone, PartialEq, Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Data(pub(crate) Value);

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        json(toml::Value::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

fn json(value: toml::Value) -> Result<Value, String> {
    Ok(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => serde_json::Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| format!("{number} is a number that JSON does not have"))?,
        toml::Value::Boolean(yes) => yes.into(),
        toml::Value::Datetime(moment) => moment.to_string().into(),
        toml::Value::Array(items) => Value::Array(items.into_iter().map(json).collect::<Result<_, _>>()?),
        toml::Value::Table(table) => {
            let pairs = table.into_iter().map(|(key, value)| Ok((key, json(value)?)));
            Value::Object(pairs.collect::<Result<_, String>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn toml_becomes_json() {
        let read = |text: &str| toml::from_str::<BTreeMap<String, Data>>(text).map(|mut it| it.remove("a"));
        let json = |text: &str| read(text).unwrap().unwrap().0.to_string();
        assert_eq!(json("a = { b = [1, 1.0, true, 'x'] }"), r#"{"b":[1,1.0,true,"x"]}"#);
        assert_eq!(json("a = [2024-10-01, 10:30:00]"), r#"["2024-10-01","10:30:00"]"#);
        assert!(read("a = nan").unwrap_err().to_string().contains("JSON does not have"));
    }
}
