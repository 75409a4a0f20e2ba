use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Apart;
use crate::message::Arguments;

/// How models write calls into their text, by the names that vLLM has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextCalls {
    /// `<tool_call>{"name": "…", "arguments": {…}}</tool_call>`: Hermes 2 and 3, Qwen 2.5 and 3, and many others.
    Hermes,
    /// `{"name": "…", "parameters": {…}}` and nothing else, with `;` between calls: Llama 3.1 to 3.3.
    Llama3Json,
    /// `[TOOL_CALLS]` and then `[{"name": "…", "arguments": {…}}]`, or `name[ARGS]{…}`: Mistral.
    Mistral,
}

/// A call that stands in a text.
#[derive(Debug, PartialEq)]
pub(super) struct Written {
    pub(super) name: String,
    pub(super) arguments: Arguments,
}

/// Around a call.
pub(super) const HERMES: (&str, &str) = ("<tool_call>", "</tool_call>");
/// Before calls, in some replies.
pub(super) const PYTHON_TAG: &str = "<|python_tag|>";
/// Before calls.
pub(super) const TOOL_CALLS: &str = "[TOOL_CALLS]";
/// Between a name and its arguments.
const ARGS: &str = "[ARGS]";
/// The name of a call whose own cannot be read: that of no tool.
const UNNAMED: &str = "unnamed";

impl TextCalls {
    /// What the text says, and what it calls. Without calls it is left as it is.
    pub(super) fn apart(self, text: &str) -> Apart {
        let apart = match self {
            Self::Hermes => hermes(text),
            Self::Llama3Json => llama(text),
            Self::Mistral => mistral(text),
        };
        if apart.calls.is_empty() {
            return Apart { said: text.to_owned(), calls: Vec::new() };
        }
        Apart { said: apart.said.trim().to_owned(), ..apart }
    }
}

fn hermes(text: &str) -> Apart {
    let mut apart = Apart::default();
    let mut rest = text;
    while let Some((before, inside)) = rest.split_once(HERMES.0) {
        apart.said.push_str(before);
        let (call, behind) = up_to(inside, HERMES.1);
        apart.calls.push(Written::read(call));
        rest = behind;
    }
    apart.said.push_str(rest);
    apart
}

/// What stands before a closing tag, which a text in JSON may hold, too; and what comes behind it. The tag may be missing
/// at the end: many models stop before they write it.
fn up_to<'a>(inside: &'a str, close: &str) -> (&'a str, &'a str) {
    if let Some((value, behind)) = first_value(inside) {
        let behind = behind.trim_start();
        if behind.is_empty() {
            return (value, behind);
        }
        if let Some(behind) = behind.strip_prefix(close) {
            return (value, behind);
        }
    }
    inside.split_once(close).unwrap_or((inside, ""))
}

/// A JSON value, and what comes behind it.
fn first_value(text: &str) -> Option<(&str, &str)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let value = values.next()?.ok()?;
    Some((value.get(), text.get(values.byte_offset()..)?))
}

fn llama(text: &str) -> Apart {
    let bare = text.trim();
    let mut rest = bare.strip_prefix(PYTHON_TAG).unwrap_or(bare).trim_start();
    let mut calls = Vec::new();
    while !rest.is_empty() {
        // JSON that is no call is an answer.
        let Some((value, behind)) = first_value(rest) else { return Apart::default() };
        let parts = Parts::of(value);
        let (Some(name), Some(arguments), true) = (parts.name, parts.arguments, parts.is_all) else {
            return Apart::default();
        };
        calls.push(Written { name, arguments });
        let behind = behind.trim_start();
        rest = behind.strip_prefix(';').unwrap_or(behind).trim_start();
    }
    Apart { said: String::new(), calls }
}

fn mistral(text: &str) -> Apart {
    let Some((said, called)) = text.split_once(TOOL_CALLS) else { return Apart::default() };
    let mut calls = Vec::new();
    for part in called.split(TOOL_CALLS) {
        let part = part.trim();
        if let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(part) {
            calls.extend(list.into_iter().map(|call| Written::read(call.get())));
        } else if part.starts_with('[') {
            calls.push(Written::read(part));
        } else {
            let end = part.find(ARGS).or_else(|| part.find('{')).unwrap_or(part.len());
            let (name, arguments) = part.split_at(end);
            let arguments = arguments.strip_prefix(ARGS).unwrap_or(arguments);
            let name = Some(name.trim()).filter(|name| !name.is_empty()).unwrap_or(UNNAMED).to_owned();
            calls.push(Written { name, arguments: Arguments::parse(arguments) });
        }
    }
    Apart { said: said.to_owned(), calls }
}

impl Written {
    /// A call as the object that it should be. Where that breaks off, it is still a call of what it names.
    fn read(text: &str) -> Self {
        let Parts { name, arguments, is_all } = Parts::of(text);
        let malformed = || Arguments::Malformed(text.trim().to_owned());
        match name {
            Some(name) if is_all => {
                Self { name, arguments: arguments.unwrap_or_else(|| Arguments::parse("")) }
            }
            Some(name) => Self { name, arguments: malformed() },
            None => Self { name: UNNAMED.to_owned(), arguments: malformed() },
        }
    }
}

/// What can be read of a call.
#[derive(Default)]
struct Parts {
    name: Option<String>,
    arguments: Option<Arguments>,
    /// Whether the text is one call, and nothing else.
    is_all: bool,
}

impl Parts {
    fn of(text: &str) -> Self {
        let mut parts = Self::default();
        let mut json = serde_json::Deserializer::from_str(text);
        let whole = json.deserialize_map(Reading(&mut parts)).is_ok();
        parts.is_all = whole && json.end().is_ok();
        parts
    }
}

/// Notes what it reads until it comes to what it cannot.
struct Reading<'p>(&'p mut Parts);

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a call, with its name and arguments")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let twice = || serde::de::Error::custom("a member occurs twice");
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "name" if self.0.name.is_some() => return Err(twice()),
                "name" => self.0.name = Some(map.next_value::<String>()?).filter(|name| !name.is_empty()),
                "arguments" | "parameters" if self.0.arguments.is_some() => return Err(twice()),
                "arguments" | "parameters" => {
                    self.0.arguments = Some(arguments(map.next_value::<&RawValue>()?));
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Arguments are an object, or a text with one in it, as on the wire.
fn arguments(value: &RawValue) -> Arguments {
    match serde_json::from_str::<String>(value.get()) {
        Ok(text) => Arguments::parse(&text),
        Err(_) if value.get() == "null" => Arguments::parse(""),
        Err(_) => Arguments::parse(value.get()),
    }
}
