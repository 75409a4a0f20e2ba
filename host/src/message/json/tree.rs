//! A JSON value taken apart, with its numbers as they were written.
//!
//! Owns what is JSON for us: a little less than for others, so that everybody who reads a value reads the same one. It
//! is nested at most [`DEPTH_MAX`] deep, no object has a key twice, its texts are Unicode, and no parser takes one of
//! its numbers for infinite. The work is linear in
//! the length of the text, and bounded in depth.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

use super::number::{Decimal, is_exact, is_in_range, write_anew};
use super::reader::Reader;

/// How deep values may be nested. Parsers stop somewhere, most of them at more: `serde_json` at 127, and what is passed
/// on may stand a few levels deep in something else.
pub const DEPTH_MAX: usize = 100;

/// What `serde_json` has for keys between its own parts. An object with such a key is another value for its users, this
/// program among them.
pub(super) const RESERVED: &str = "$serde_json::private::";

/// The longest path that an error tells, in characters.
const PATH_CHARS_MAX: usize = 200;

/// Why a text is no JSON value, or none that is taken.
#[derive(Debug)]
pub struct JsonError {
    /// Where, as a JSON Pointer (RFC 6901), if it is known.
    at: String,
    kind: JsonErrorKind,
}

#[derive(Debug)]
enum JsonErrorKind {
    Syntax(serde_json::Error),
    Deep,
    Twice(String),
    Range(String),
    Reserved(String),
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = beginning(&self.at);
        let within = if at.is_empty() { String::new() } else { format!("at {at}: ") };
        match &self.kind {
            JsonErrorKind::Syntax(error) => write!(f, "{within}{error}"),
            JsonErrorKind::Deep => {
                write!(f, "arrays and objects are nested more than {DEPTH_MAX} deep")
            }
            JsonErrorKind::Twice(key) => {
                write!(f, "{within}an object has the key {:?} twice", beginning(key))
            }
            JsonErrorKind::Reserved(key) => write!(
                f,
                "{within}the key {:?} is reserved: some parsers take such an object for another value",
                beginning(key)
            ),
            JsonErrorKind::Range(number) => {
                write!(f, "{within}the number {} is beyond what a 64-bit float reaches", beginning(number))
            }
        }
    }
}

/// As much of a text as an error tells.
fn beginning(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(PATH_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}

impl std::error::Error for JsonError {}

impl JsonErrorKind {
    fn somewhere(self) -> JsonError {
        JsonError { at: String::new(), kind: self }
    }
}

impl JsonError {
    /// The same, one level up.
    fn below(mut self, step: &dyn fmt::Display) -> Self {
        // Beyond this nobody reads it, and a long key at each of many levels would add up.
        if self.at.len() <= 4 * PATH_CHARS_MAX {
            let step: String = step.to_string().chars().take(PATH_CHARS_MAX).collect();
            self.at.insert_str(0, &format!("/{}", step.replace('~', "~0").replace('/', "~1")));
        }
        self
    }
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        JsonErrorKind::Syntax(error).somewhere()
    }
}

/// How a zero below zero is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Zeros {
    /// With its sign.
    AsWritten,
    /// Without it.
    Plain,
}

/// A value.
#[derive(Debug)]
pub(super) enum Tree<'t> {
    /// `true`, `false` or `null`.
    Word(&'t str),
    /// As it was written.
    Number(&'t str),
    /// As it was written, in quotes.
    Text(&'t str),
    Array(Vec<Tree<'t>>),
    /// In the order of the text.
    Object(Vec<(Cow<'t, str>, Tree<'t>)>),
}

impl<'t> Tree<'t> {
    /// Takes a text apart, of which the syntax was checked: without recursion, whatever its depth.
    pub(super) fn of(raw: &'t RawValue) -> Result<Self, JsonError> {
        value(&mut Reader::of(raw), 0)
    }

    /// The text anew: sorted keys, and each text and number in the one way there is for it.
    pub(super) fn write_canonical(&self, zeros: Zeros, out: &mut String) {
        match self {
            Self::Word(word) => out.push_str(word),
            Self::Number(number) => out.push_str(&write_anew(number, |decimal| match zeros {
                Zeros::AsWritten => decimal,
                Zeros::Plain => decimal.with_plain_zero(),
            })),
            Self::Text(quoted) if quoted.contains('\\') => out.push_str(&quote(&unquoted(quoted))),
            Self::Text(quoted) => out.push_str(quoted),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { "," });
                    item.write_canonical(zeros, out);
                }
                out.push(']');
            }
            Self::Object(entries) => {
                let mut entries: Vec<&(Cow<'t, str>, Self)> = entries.iter().collect();
                entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
                out.push('{');
                for (index, (key, value)) in entries.into_iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { "," });
                    out.push_str(&quote(key));
                    out.push(':');
                    value.write_canonical(zeros, out);
                }
                out.push('}');
            }
        }
    }

    /// The text with a text in the place of each number that 64 bits do not hold: a mark, and the number. None if there
    /// is no such number.
    pub(super) fn with_numbers_as_texts(&self, mark: char) -> Option<String> {
        let mut text = String::new();
        self.write_marked(mark, &mut text).then_some(text)
    }

    fn write_marked(&self, mark: char, out: &mut String) -> bool {
        match self {
            Self::Number(number) if !is_exact(number) => {
                out.extend(['"', mark]);
                out.push_str(number);
                out.push('"');
                true
            }
            Self::Word(plain) | Self::Number(plain) | Self::Text(plain) => {
                out.push_str(plain);
                false
            }
            Self::Array(items) => {
                out.push('[');
                let marked = items.iter().enumerate().fold(false, |marked, (index, item)| {
                    out.push_str(if index == 0 { "" } else { "," });
                    item.write_marked(mark, out) || marked
                });
                out.push(']');
                marked
            }
            Self::Object(entries) => {
                out.push('{');
                let marked = entries.iter().enumerate().fold(false, |marked, (index, (key, value))| {
                    out.push_str(if index == 0 { "" } else { "," });
                    out.push_str(&quote(key));
                    out.push(':');
                    value.write_marked(mark, out) || marked
                });
                out.push('}');
                marked
            }
        }
    }

    /// Goes through all numbers.
    pub(super) fn numbers(&self, see: &mut impl FnMut(&'t str)) {
        match self {
            Self::Word(_) | Self::Text(_) => {}
            Self::Number(number) => see(number),
            Self::Array(items) => items.iter().for_each(|item| item.numbers(see)),
            Self::Object(entries) => entries.iter().for_each(|(_, value)| value.numbers(see)),
        }
    }
}

fn quote(text: &str) -> String {
    // A text can always be written.
    serde_json::to_string(text).unwrap_or_default()
}

/// What stands between quotes, which was read once.
fn unquoted(quoted: &str) -> String {
    serde_json::from_str(quoted).unwrap_or_default()
}

/// Takes the value apart that begins here.
fn value<'t>(reader: &mut Reader<'t>, depth: usize) -> Result<Tree<'t>, JsonError> {
    match reader.peek() {
        Some(b'[' | b'{') if depth >= DEPTH_MAX => Err(JsonErrorKind::Deep.somewhere()),
        Some(b'[') => array(reader, depth),
        Some(b'{') => object(reader, depth),
        Some(b'"') => {
            let quoted = reader.quoted();
            check_text(quoted)?;
            Ok(Tree::Text(quoted))
        }
        Some(b't' | b'f' | b'n') => Ok(Tree::Word(reader.plain())),
        Some(_) | None => {
            let number = reader.plain();
            if is_in_range(number) {
                Ok(Tree::Number(number))
            } else {
                Err(JsonErrorKind::Range(number.to_owned()).somewhere())
            }
        }
    }
}

fn array<'t>(reader: &mut Reader<'t>, depth: usize) -> Result<Tree<'t>, JsonError> {
    let mut items = Vec::new();
    reader.step();
    while !reader.closes() {
        items.push(value(reader, depth + 1).map_err(|error| error.below(&items.len()))?);
    }
    Ok(Tree::Array(items))
}

fn object<'t>(reader: &mut Reader<'t>, depth: usize) -> Result<Tree<'t>, JsonError> {
    let mut entries: Vec<(Cow<'t, str>, Tree<'t>)> = Vec::new();
    reader.step();
    while !reader.closes() {
        let quoted = reader.key();
        let key = match check_text(quoted)? {
            Some(key) => Cow::Owned(key),
            None => Cow::Borrowed(quoted.get(1..quoted.len() - 1).unwrap_or_default()),
        };
        if key.starts_with(RESERVED) {
            return Err(JsonErrorKind::Reserved(key.into_owned()).somewhere());
        }
        let value = value(reader, depth + 1).map_err(|error| error.below(&key))?;
        entries.push((key, value));
    }
    twice(&entries).map_or(Ok(()), |key| Err(JsonErrorKind::Twice(key.to_owned()).somewhere()))?;
    Ok(Tree::Object(entries))
}

/// What a text in quotes stands for, where that is not the text itself. Half of a surrogate pair stands for nothing.
fn check_text(quoted: &str) -> Result<Option<String>, JsonError> {
    if quoted.contains('\\') { Ok(Some(serde_json::from_str(quoted)?)) } else { Ok(None) }
}

/// A key that is there twice.
fn twice<'a>(entries: &'a [(Cow<'_, str>, Tree<'_>)]) -> Option<&'a str> {
    // Most objects are small, and a set costs more than it saves there.
    if entries.len() <= 8 {
        let is_later = |(index, (key, _)): (usize, &'a (Cow<'_, str>, Tree<'_>))| {
            entries.get(..index)?.iter().any(|(other, _)| other == key).then_some(&**key)
        };
        return entries.iter().enumerate().find_map(is_later);
    }
    let mut seen = std::collections::HashSet::with_capacity(entries.len());
    entries.iter().map(|(key, _)| &**key).find(|key| !seen.insert(*key))
}

/// The numbers of a value that are other numbers after 64 bits: which, and whether they are whole.
pub(super) fn inexact(tree: &Tree<'_>) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    tree.numbers(&mut |number| {
        if !is_exact(number) {
            found.push((number.to_owned(), Decimal::read(number).is_some_and(|it| it.is_whole())));
        }
    });
    found
}
