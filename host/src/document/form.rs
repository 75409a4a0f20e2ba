//! Whether a table has the form that the derived JSON Schema describes: its keys, their types and ranges.
//!
//! serde stops at the first mistake, says it in Rust's words and reports it as text only. This walk finds all
//! of them, with their places, before the typed reading; it takes names, types and ranges from the schema,
//! so that there is nothing to keep in step with the types. It knows the part of JSON Schema that our types
//! derive to and lets anything else pass: the typed reading, which denies unknown fields too, comes after it.

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeInteger, DeString, DeTable, DeValue};

use super::error::{Problem, quote, suggest};
use super::keys::{Keys, NOW, twice, words};
use crate::message::toml_string;

/// The only version of agent.toml's form so far.
pub(crate) const VERSION: u32 = 1;

/// All that is wrong with the form of a file; nothing if it can be read.
pub(crate) fn problems(file: &DeTable<'_>, schema: &Value) -> Vec<Problem> {
    // What a newer host would understand must not be called an unknown field.
    let versioned = schema.pointer("/properties/version").and_then(|_| file.get("version"));
    if let Some(problem) = versioned.and_then(other_version) {
        return vec![problem];
    }
    let mut walk = Walk { schema, problems: Vec::new() };
    // A key that is missing at the top is missing everywhere, so its place is the beginning.
    walk.table(&Place::default(), 0..0, file, schema);
    walk.problems
}

fn other_version(version: &Spanned<DeValue<'_>>) -> Option<Problem> {
    let number = version.get_ref().as_integer()?;
    let message = format!("version {number} of agent.toml is not known");
    let help = format!("this host reads `version = {VERSION}`; a file of a newer form needs a newer host");
    (integer(number) != Some(VERSION.into())).then(|| Problem::new(version.span(), message, help))
}

/// The names of the tables on the way to a value.
#[derive(Clone, Default)]
struct Place(Vec<String>);

impl Place {
    fn below(&self, key: &str) -> Self {
        Self(self.0.iter().cloned().chain([quote(key)]).collect())
    }

    /// ` in [a.b]`, or nothing at the top of the file.
    fn said(&self) -> String {
        if self.0.is_empty() { String::new() } else { format!(" in [{}]", self.0.join(".")) }
    }
}

struct Walk<'a> {
    schema: &'a Value,
    problems: Vec<Problem>,
}

impl<'a> Walk<'a> {
    fn problem(&mut self, span: Range<usize>, message: String, help: String) {
        self.problems.push(Problem::new(span, message, help));
    }

    /// The schema that a reference is to, or the schema itself.
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#'));
        target.and_then(|pointer| self.schema.pointer(pointer)).unwrap_or(schema)
    }

    fn table(&mut self, place: &Place, span: Range<usize>, table: &DeTable<'_>, schema: &'a Value) {
        let keys = Keys::of(schema);
        let others = schema.get("additionalProperties").filter(|others| others.is_object());
        let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
        let mut unknown = Vec::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if let Some(schema) = keys.schema(name).or(others) {
                self.value(place, name, value, schema);
                self.said_twice(place, key, table, schema);
            } else if closed {
                unknown.push(name);
                let message = format!("unknown field `{}`{}", quote(name), place.said());
                self.problem(key.span(), message, keys.suggest(name));
            }
        }
        let mut missing = keys.missing(table);
        // A key that is missing beside one that is unknown is most likely that one, misspelt.
        for name in unknown {
            let meant = keys.meant(name, &missing);
            missing.retain(|key| Some(*key) != meant);
        }
        for missing in missing {
            let help = self.how_to_add(missing, keys.schema(missing));
            self.problem(span.clone(), format!("`{missing}` is missing{}", place.said()), help);
        }
    }

    /// Notes a key of older spelling beside the one that stands for it now.
    fn said_twice(
        &mut self,
        place: &Place,
        old: &Spanned<DeString<'_>>,
        table: &DeTable<'_>,
        schema: &Value,
    ) {
        let Some(now) = schema.get(NOW).and_then(Value::as_str) else { return };
        if let Some((new, _)) = table.get_key_value(now) {
            let problems = twice((now, new.span()), (old.get_ref(), old.span()), &place.said());
            self.problems.extend(problems);
        }
    }

    fn value(&mut self, place: &Place, key: &str, value: &Spanned<DeValue<'_>>, schema: &'a Value) {
        let (span, target) = (value.span(), self.resolved(schema));
        let kinds = self.kinds(target);
        if !kinds.is_empty() {
            return self.one_of(place, key, value, &kinds);
        }
        match (value.get_ref(), Kind::of(target)) {
            (DeValue::Table(table), Some(Kind::Table)) => self.table(&place.below(key), span, table, target),
            (DeValue::Array(items), Some(Kind::Array)) => {
                let each = target.get("items");
                items
                    .iter()
                    .for_each(|item| each.into_iter().for_each(|it| self.value(place, key, item, it)));
            }
            (DeValue::String(text), Some(Kind::Text)) => self.choice(place, key, text, span, target),
            (DeValue::Integer(number), Some(Kind::Integer | Kind::Number)) => {
                let number = integer(number)
                    .map_or_else(|| (number.to_string(), None), |n| (n.to_string(), as_f64(n)));
                self.range(place, key, number, span, schema);
            }
            (DeValue::Float(number), Some(Kind::Number)) => {
                let number = (number.as_str().to_owned(), number.as_str().parse().ok());
                self.range(place, key, number, span, schema);
            }
            (_, None) | (DeValue::Boolean(_), Some(Kind::Boolean)) => {}
            (found, Some(kind)) => {
                let message = format!(
                    "`{}`{} is {}, but has to be {}",
                    quote(key),
                    place.said(),
                    said(found),
                    kind.said()
                );
                let help = match (example(schema), kind, found) {
                    (_, Kind::Table, found) if example(target).is_some() => {
                        format!("write it as in {}", as_table(target, found))
                    }
                    (Some(value), _, _) => format!("write it as in `{} = {}`", quote(key), in_toml(value)),
                    (None, _, _) => format!("write {}", kind.form()),
                };
                self.problem(span, message, help);
            }
        }
    }

    /// The schemas of which one has to fit, each of another kind of value.
    fn kinds(&self, schema: &'a Value) -> Vec<(Kind, &'a Value)> {
        let each = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
        let each = each.filter(|schema| schema.get("const").is_none());
        each.filter_map(|schema| Some((Kind::of(self.resolved(schema))?, schema))).collect()
    }

    fn one_of(
        &mut self,
        place: &Place,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        kinds: &[(Kind, &'a Value)],
    ) {
        if let Some((_, schema)) = kinds.iter().find(|(kind, _)| kind.takes(value.get_ref())) {
            return self.value(place, key, value, schema);
        }
        let (found, said) = (said(value.get_ref()), kinds.iter().map(|(kind, _)| kind.said()));
        let said = said.collect::<Vec<_>>().join(" or ");
        let message = format!("`{}`{} is {found}, but has to be {said}", quote(key), place.said());
        let examples =
            kinds.iter().filter_map(|(_, schema)| example(schema).or_else(|| example(self.resolved(schema))));
        let mut examples: Vec<String> = examples.map(in_toml).collect();
        examples.dedup();
        self.problem(value.span(), message, format!("write it as in {}", examples.join(" or ")));
    }

    /// A text that has to be one of some words, if the schema lists them.
    fn choice(&mut self, place: &Place, key: &str, text: &str, span: Range<usize>, schema: &Value) {
        let all = words(schema);
        if !all.is_empty() && !all.iter().any(|(word, _)| *word == text) {
            let current = all.iter().filter(|(_, is_old)| !is_old).map(|(word, _)| *word);
            let message = format!("unknown {key} \"{}\"{}", quote(text), place.said());
            self.problem(span, message, suggest(text, &current.collect::<Vec<_>>()));
        }
    }

    fn range(
        &mut self,
        place: &Place,
        key: &str,
        (number, value): (String, Option<f64>),
        span: Range<usize>,
        schema: &Value,
    ) {
        let bound = |name| schema.get(name).filter(|bound| bound.is_number());
        let (min, max) = (bound("minimum"), bound("maximum"));
        // A number that cannot be held is out of any range, and so is one that is none.
        let inside = value.is_some_and(|value| {
            !value.is_nan()
                && min.and_then(Value::as_f64).is_none_or(|min| value >= min)
                && max.and_then(Value::as_f64).is_none_or(|max| value <= max)
        });
        if !inside {
            let help = match (min, max) {
                (Some(min), Some(max)) => format!("it goes from {min} to {max}"),
                (Some(min), None) => format!("it has to be at least {min}"),
                (None, Some(max)) => format!("it has to be at most {max}"),
                (None, None) => "write a smaller number".to_owned(),
            };
            self.problem(span, format!("{key} = {}{} is out of range", quote(&number), place.said()), help);
        }
    }

    fn how_to_add(&self, key: &str, schema: Option<&'a Value>) -> String {
        let is_of_tables = |schema: &'a Value| {
            let items = self.resolved(schema).get("items").map(|items| Kind::of(self.resolved(items)));
            matches!(items, Some(Some(Kind::Table)))
        };
        match schema.map(|schema| (Kind::of(self.resolved(schema)), example(schema))) {
            Some((Some(Kind::Table), _)) => format!("add a table `[{key}]`"),
            Some((Some(Kind::Array), None)) if schema.is_some_and(is_of_tables) => {
                format!("add a table `[[{key}]]`, one for each")
            }
            Some((_, Some(value))) => format!("add `{key} = {}`", in_toml(value)),
            Some((_, None)) | None => format!("add `{key} = …`"),
        }
    }
}

/// What a schema says a value is.
#[derive(Clone, Copy)]
enum Kind {
    Table,
    Array,
    Text,
    Integer,
    Number,
    Boolean,
}

impl Kind {
    fn of(schema: &Value) -> Option<Self> {
        match schema.get("type").and_then(Value::as_str) {
            Some("object") => Some(Self::Table),
            Some("array") => Some(Self::Array),
            Some("string") => Some(Self::Text),
            Some("integer") => Some(Self::Integer),
            Some("number") => Some(Self::Number),
            Some("boolean") => Some(Self::Boolean),
            Some(_) => None,
            None => (!words(schema).is_empty()).then_some(Self::Text),
        }
    }

    fn takes(self, value: &DeValue<'_>) -> bool {
        match value {
            DeValue::Table(_) => matches!(self, Self::Table),
            DeValue::Array(_) => matches!(self, Self::Array),
            DeValue::String(_) => matches!(self, Self::Text),
            DeValue::Integer(_) => matches!(self, Self::Integer | Self::Number),
            DeValue::Float(_) => matches!(self, Self::Number),
            DeValue::Boolean(_) => matches!(self, Self::Boolean),
            DeValue::Datetime(_) => false,
        }
    }

    fn said(self) -> &'static str {
        match self {
            Self::Table => "a table",
            Self::Array => "a list",
            Self::Text => "text",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "true or false",
        }
    }

    fn form(self) -> &'static str {
        match self {
            Self::Table => "its keys below a `[…]` header of that name",
            Self::Array => "it between brackets, as in `[\"…\"]`",
            Self::Text => "it between quotes, as in `\"…\"`",
            Self::Integer => "it without quotes or a decimal point, as in `5`",
            Self::Number => "it without quotes, as in `0.5`",
            Self::Boolean => "it without quotes, as in `true`",
        }
    }
}

/// What a value is, in the words of [`Kind::said`].
fn said(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a decimal point",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A table as it could stand where something else stands: the example of its schema, with a text that was found there as
/// its first member, which is most likely what it was meant for.
fn as_table(schema: &Value, found: &DeValue<'_>) -> String {
    let mut table = example(schema).cloned().unwrap_or_default();
    let first = table.as_object_mut().and_then(|table| table.values_mut().next());
    if let (Some(first), DeValue::String(text)) = (first, found) {
        *first = quote(text).into();
    }
    in_toml(&table)
}

/// A value of an example as TOML has it.
fn in_toml(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<String> =
                members.iter().map(|(key, value)| format!("{key} = {}", in_toml(value))).collect();
            format!("{{ {} }}", members.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(in_toml).collect::<Vec<_>>().join(", ")),
        Value::String(text) => toml_string(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// The first example a schema gives.
fn example(schema: &Value) -> Option<&Value> {
    schema.get("examples")?.get(0)
}

fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// Bounds are small, so what a float of 53 bits loses of a larger number does not matter.
#[allow(
    clippy::cast_precision_loss,
    clippy::unnecessary_wraps,
    reason = "see above; beside floats that may fail"
)]
fn as_f64(number: i64) -> Option<f64> {
    Some(number as f64)
}
