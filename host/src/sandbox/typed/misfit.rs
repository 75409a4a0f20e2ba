//! Why a text is no value of a type.

use std::fmt;

/// How much of a text an error quotes, in characters.
pub(super) const QUOTED_CHARS_MAX: usize = 60;

/// Why a text is no value of a type, and where.
#[derive(Debug)]
pub(super) struct Misfit {
    /// From the inside out.
    at: Vec<String>,
    what: String,
}

impl Misfit {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { at: Vec::new(), what: what.into() }
    }

    /// The same, seen from one level above.
    pub(super) fn below(mut self, step: impl fmt::Display) -> Self {
        // As in a JSON Pointer.
        self.at.push(step.to_string().replace('~', "~0").replace('/', "~1"));
        self
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.at.is_empty() {
            f.write_str("at ")?;
            self.at.iter().rev().try_for_each(|step| write!(f, "/{step}"))?;
            f.write_str(": ")?;
        }
        f.write_str(&self.what)
    }
}

/// What was expected, and what stands there.
pub(super) fn expected(what: &str, first: Option<u8>) -> Misfit {
    let found = match first {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a text",
        Some(b't') => "true",
        Some(b'f') => "false",
        Some(b'n') => "null",
        Some(_) => "a number",
        None => "nothing",
    };
    Misfit::new(format!("expected {what}, not {found}"))
}

/// As much of a text as an error tells, in quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut chars = text.chars();
    let begins: String = chars.by_ref().take(QUOTED_CHARS_MAX).collect();
    format!("{begins:?}{}", if chars.next().is_some() { "…" } else { "" })
}
