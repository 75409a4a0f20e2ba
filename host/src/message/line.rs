//! JSON in one line, whoever reads it.
//!
//! JSON allows line breaks between its parts, characters within its strings at which many programs end a line, such as
//! U+2028, and others that nobody sees at a terminal. The former are replaced by other white space, the latter are
//! escaped, which changes no value. What is kept as the text it was written in, as [`super::Json`] is, has to be that
//! text again when it is read: where something else was written is told, too.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::{hexadecimal, is_unseen};

/// The JSON text without such characters, and the places of what stands for them.
#[must_use]
pub fn json_line(json: &str) -> (Cow<'_, str>, Vec<usize>) {
    let is_other = |c: char| matches!(c, '\n' | '\r' | '\u{7f}') || !c.is_ascii() && is_unseen(c);
    let Some(first) = json.find(is_other) else { return (Cow::Borrowed(json), Vec::new()) };
    let (before, rest) = json.split_at(first);
    let (mut line, mut places) = (String::with_capacity(json.len() + 64), Vec::new());
    line.push_str(before);
    for c in rest.chars() {
        if !is_other(c) {
            line.push(c);
            continue;
        }
        places.push(line.len());
        match c {
            '\n' => line.push(' '),
            '\r' => line.push('\t'),
            c => escape(c, &mut line),
        }
    }
    (Cow::Owned(line), places)
}

/// The JSON text with everything in it escaped that nobody sees, other than the line breaks between its parts.
#[must_use]
pub fn visible_json(json: &str) -> Cow<'_, str> {
    let is_unseen = |c: char| c == '\u{7f}' || !c.is_ascii() && is_unseen(c);
    if !json.contains(is_unseen) {
        return Cow::Borrowed(json);
    }
    let mut visible = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if is_unseen(c) { escape(c, &mut visible) } else { visible.push(c) }
    }
    Cow::Owned(visible)
}

fn escape(c: char, json: &mut String) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a string cannot fail.
        let _ = write!(json, "\\u{unit:04x}");
    }
}

/// The text again that [`json_line`] made a line of; none if nothing at these places stands for something else.
#[must_use]
pub fn from_json_line(line: &str, places: &[usize]) -> Option<String> {
    let (mut json, mut at) = (String::with_capacity(line.len()), 0);
    for place in places {
        json.push_str(line.get(at..*place)?);
        let rest = line.get(*place..)?;
        let (c, length) = match rest.chars().next()? {
            ' ' => ('\n', 1),
            '\t' => ('\r', 1),
            _ => escaped(rest)?,
        };
        json.push(c);
        at = place + length;
    }
    json.push_str(line.get(at..)?);
    Some(json)
}

/// The character that the escape at the beginning of a text stands for, and how long the escape is.
fn escaped(text: &str) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::try_from(hexadecimal(digits)?).ok()
    };
    let units = [unit(0)?, unit(6).unwrap_or_default()];
    let c = char::decode_utf16(units).next()?.ok()?;
    is_unseen(c).then_some((c, c.len_utf16() * 6))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places_that_are_no_escapes_are_refused() {
        for places in [&[0][..], &[5], &[4, 4], &[99], &[usize::MAX]] {
            assert_eq!(from_json_line("\"ab\\u2028\\u0041\"", places), None, "{places:?}");
        }
        assert_eq!(from_json_line("\"ab\\u2028\"", &[3]).as_deref(), Some("\"ab\u{2028}\""));
        assert_eq!(from_json_line("\"\\u0041\"", &[1]), None);
    }

    proptest! {
        #[test]
        fn a_line_has_the_same_value_and_becomes_the_same_text_again(
            text in "[a\\\\\"u ü\u{85}\u{2028}\u{202e}\u{7f}\u{200d}\u{e0041}🚀\n]{0,24}",
        ) {
            let json = serde_json::to_string_pretty(&[&text, "\u{2028}"]).unwrap().replace('\n', "\r\n \t");
            let (line, places) = json_line(&json);
            prop_assert!(!line.contains(['\n', '\r']) && !line.replace('\t', "").contains(is_unseen));
            let values: Vec<String> = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(&values[0], &text);
            let visible = visible_json(&json);
            prop_assert!(!visible.replace(['\n', '\r', '\t'], "").contains(is_unseen));
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&visible).unwrap(), values);
            prop_assert_eq!(from_json_line(&line, &places), Some(json));
        }
    }
}
