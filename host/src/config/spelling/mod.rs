//! The older spellings of agent.toml, which go on working, and the way to the new ones.
//!
//! Owns the list of them: what the schema says of each, and how a file is changed to have none. It does not read files:
//! both spellings are read into the same types, so that nothing behind them knows which one a file has. Its invariant is
//! that a changed file means what it meant before; a file for which that does not hold is refused, and not changed.

mod edits;
mod moved;
mod renamed;

use serde_json::{Value, json};

use super::{Config, ConfigError};
use crate::document::{Layout, NOW, place};
use edits::Edits;

/// A key that has another name now.
struct Key {
    /// The type of its table in the schema.
    table: &'static str,
    /// The way to it in a file.
    path: &'static [&'static str],
    /// What it is called now.
    now: &'static str,
}

/// The keys that have other names now.
const KEYS: [Key; 3] = [
    Key { table: "Dir", path: &["tools", "*", "permissions", "dirs", "*", "host"], now: "path" },
    Key { table: "Network", path: &["tools", "*", "permissions", "network", "*", "host"], now: "url" },
    Key { table: "ToolLimits", path: &["tools", "*", "limits", "calls"], now: "tool_calls" },
];

/// The type of a word in the schema, and the way to it in a file.
const ACCESS: (&str, &[&str]) = ("Access", &["tools", "*", "permissions", "dirs", "*", "access"]);

/// The words that are others now.
const WORDS: [(&str, &str); 2] = [("ro", "read"), ("rw", "write")];

/// How much of an output is shown is no limit of a call.
const SHOWN: &[&str] = &["tools", "*", "limits", "shown"];
const SHOWN_NOW: &str = "shown_output";

/// The form of the answer stands in one table.
const STRUCTURED: &[&str] = &["model", "structured_output"];
const STRUCTURED_NOW: &str = "structured_output";

/// A file with new spellings, and what is new about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respelled {
    /// The text with all of the changes.
    pub text: String,
    /// In the order of the file; empty if there is nothing to change.
    pub changes: Vec<Respelling>,
}

/// An older spelling, and what stands for it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respelling {
    /// The line of the file, from 1.
    pub line: usize,
    /// As the file has it.
    pub old: String,
    /// As it is written now.
    pub new: String,
}

impl Config {
    /// The text of the file with new spellings. Its comments, its order and its layout stay.
    pub fn respelled(&self) -> Result<Respelled, ConfigError> {
        let text = self.text.as_str();
        let layout = Layout::of(text);
        let mut edits = Edits::new(text, &layout);
        edits.rename();
        edits.move_shown();
        edits.move_structured_output();
        let respelled = edits.done();
        if respelled.changes.is_empty() {
            return Ok(respelled);
        }
        let means_the_same = Self::parse(&respelled.text, &self.path).is_ok_and(|config| {
            // The text alone may differ.
            Self { text: self.text.clone(), ..config } == *self
        });
        if means_the_same {
            return Ok(respelled);
        }
        let lines: Vec<String> = respelled.changes.iter().map(|it| it.line.to_string()).collect();
        let message = format!(
            "{} cannot be given the new spellings without changing what it means",
            self.path.display()
        );
        let help =
            format!("change lines {} by hand; docs/CONFIG.md lists the older spellings", lines.join(", "));
        Err(ConfigError::of_file(&self.path, message, &help))
    }

    /// The older spellings that the file has.
    #[must_use]
    pub fn older_spellings(&self) -> Vec<Respelling> {
        self.respelled().map(|respelled| respelled.changes).unwrap_or_default()
    }
}

/// The schema of the types that read a file, which know the new spellings, with the older ones.
pub(super) fn with_older(mut schema: Value) -> Value {
    for Key { table, path, now } in KEYS {
        let Some(old) = path.last() else { continue };
        let table = &mut schema["$defs"][table];
        let mut key = table["properties"][now].clone();
        key["description"] = format!("The older spelling of `{now}`.").into();
        key["deprecated"] = true.into();
        key[NOW] = now.into();
        table["properties"][old] = key;
        let required = table.get_mut("required").and_then(Value::as_array_mut);
        let is_required = required.is_some_and(|keys| {
            let before = keys.len();
            keys.retain(|key| key != now);
            keys.len() < before
        });
        if is_required {
            table["anyOf"] = json!([{ "required": [now] }, { "required": [old] }]);
        }
    }
    if let Some(words) = schema["$defs"][ACCESS.0]["oneOf"].as_array_mut() {
        words.extend(WORDS.map(|(old, now)| {
            let description = format!("The older spelling of `\"{now}\"`.");
            json!({ "type": "string", "const": old, "description": description, "deprecated": true })
        }));
    }
    schema
}

impl Respelling {
    fn new(text: &str, at: usize, old: impl Into<String>, new: impl Into<String>) -> Self {
        Self { line: place(text, at).0, old: old.into(), new: new.into() }
    }
}
