//! The text of a file that was read, kept to show what turns out later to be wrong with it.
//!
//! Whether a tool exists, or has the digest that is pinned, is known long after the file was read. The place is looked
//! for only then, in the text as it was read: the file may have changed since.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Problem};

/// A file and its text.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceText {
    path: PathBuf,
    text: Arc<str>,
}

/// Where something stands in a file: the keys from the top down to it (the place of an item in a list is a key, too),
/// and then a text somewhere below them, if it is about that one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPath {
    keys: Vec<String>,
    text: Option<String>,
}

impl KeyPath {
    /// The value at these keys.
    #[must_use]
    pub fn new<const N: usize>(keys: [&str; N]) -> Self {
        Self { keys: keys.map(str::to_owned).to_vec(), text: None }
    }

    /// This text below it.
    #[must_use]
    pub fn to(self, text: &str) -> Self {
        Self { text: Some(text.to_owned()), ..self }
    }
}

impl fmt::Debug for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceText").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SourceText {
    pub(crate) fn new(path: &Path, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.into() }
    }

    /// The text, as it was read.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What is wrong at a place in the file, and what to do. Where the place itself is missing, the last table on the
    /// way to it is shown.
    #[must_use]
    pub fn wrong(&self, at: &KeyPath, message: String, help: String) -> ConfigError {
        let problem = Problem { message, help, span: self.span(at), details: None };
        ConfigError::of_text(&self.path, &self.text, vec![problem])
    }

    /// The same, with what somebody else said about it, in lines.
    #[must_use]
    pub fn wrong_in_detail(
        &self,
        at: &KeyPath,
        message: String,
        help: String,
        details: String,
    ) -> ConfigError {
        let problem = Problem { message, help, span: self.span(at), details: Some(details) };
        ConfigError::of_text(&self.path, &self.text, vec![problem])
    }

    fn span(&self, KeyPath { keys, text }: &KeyPath) -> Option<Range<usize>> {
        let table = DeTable::parse(&self.text).ok()?;
        let (first, rest) = keys.split_first()?;
        let (mut span, mut value) = member(table.get_ref(), first)?;
        for key in rest {
            let below = match value.get_ref() {
                DeValue::Table(table) => member(table, key),
                DeValue::Array(items) => item(items, key),
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_) => None,
            };
            match below {
                Some(found) => (span, value) = found,
                None => return Some(span),
            }
        }
        Some(text.as_ref().and_then(|text| text_below(value, text)).unwrap_or(span))
    }
}

/// A member of a table, and what is shown of it: the value, or the key of one that is a table itself and may be long.
fn member<'a, 'i>(table: &'a DeTable<'i>, name: &str) -> Option<(Range<usize>, &'a Spanned<DeValue<'i>>)> {
    let (key, value) = table.iter().find(|(key, _)| key.get_ref().as_ref() == name)?;
    let is_long = matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_));
    Some((if is_long { key.span() } else { value.span() }, value))
}

fn item<'a, 'i>(
    items: &'a [Spanned<DeValue<'i>>],
    place: &str,
) -> Option<(Range<usize>, &'a Spanned<DeValue<'i>>)> {
    let value = items.get(place.parse::<usize>().ok()?)?;
    Some((value.span(), value))
}

/// The first text of this content in a value. The parser bounds how deep a value can be.
fn text_below(value: &Spanned<DeValue<'_>>, text: &str) -> Option<Range<usize>> {
    match value.get_ref() {
        DeValue::String(found) => (found.as_ref() == text).then(|| value.span()),
        DeValue::Array(items) => items.iter().find_map(|item| text_below(item, text)),
        DeValue::Table(table) => table.values().find_map(|member| text_below(member, text)),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    const TEXT: &str = "\
a = 1
[tools.b]
source = \"x\"
include = [\"get_*\", \"x\"]
limits.cpu = \"1s\"
[[model.fallback]]
name = \"one\"
[[model.fallback]]
name = \"two\"
[[approval.ask]]
tool = \"p*\"
input = { to = \"q*\" }
";

    #[test]
    fn a_place_is_found_or_the_table_where_it_is_missing() {
        let source = SourceText::new(Path::new("agent.toml"), TEXT);
        let shown = |at: KeyPath| source.span(&at).map(|span| &TEXT[span]);
        for (at, expected) in [
            (KeyPath::new(["a"]), Some("1")),
            (KeyPath::new(["tools", "b", "source"]), Some("\"x\"")),
            (KeyPath::new(["tools", "b", "include"]), Some("include")),
            (KeyPath::new(["tools", "b", "include"]).to("x"), Some("\"x\"")),
            (KeyPath::new(["tools", "b", "include"]).to("gone"), Some("include")),
            (KeyPath::new(["tools", "b", "sha256"]), Some("b")),
            (KeyPath::new(["tools", "b", "source", "deeper"]), Some("\"x\"")),
            (KeyPath::new(["tools", "b", "limits", "cpu"]), Some("\"1s\"")),
            (KeyPath::new(["model", "fallback", "1", "name"]), Some("\"two\"")),
            (KeyPath::new(["model", "fallback", "7", "name"]), Some("fallback")),
            (KeyPath::new(["approval", "ask"]).to("p*"), Some("\"p*\"")),
            (KeyPath::new(["gone"]), None),
        ] {
            assert_eq!(shown(at.clone()), expected, "{at:?}");
        }
    }
}
