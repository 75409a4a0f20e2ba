//! Text of somebody else's on a page: characters that hide or reorder others are written out.

use maud::{Escaper, Markup, PreEscaped};
use std::fmt::Write as _;

use crate::message::is_unseen;

/// So much of a text is shown at once, in bytes.
pub(super) const SHOWN_BYTES_MAX: usize = 64 << 10;

/// A text in one line: line breaks are written out, too.
pub(crate) fn line(text: &str) -> Markup {
    written(text, false)
}

/// A text with its line breaks.
pub(crate) fn block(text: &str) -> Markup {
    let (shown, rest) = cut(text, SHOWN_BYTES_MAX);
    let mut markup = written(shown, true);
    if rest > 0 {
        let _ = write!(markup.0, "<span class=\"more\">… and {rest} bytes more</span>");
    }
    markup
}

/// The beginning of a text, in one line of at most so many bytes.
pub(crate) fn beginning(text: &str, bytes_max: usize) -> Markup {
    let (shown, rest) = cut(text.trim_start(), bytes_max);
    let mut markup = written(&shown.replace(['\n', '\r', '\t'], " "), false);
    if rest > 0 {
        markup.0.push('…');
    }
    markup
}

/// The beginning of a text, and how many bytes are left.
pub(super) fn cut(text: &str, bytes_max: usize) -> (&str, usize) {
    let end = text.floor_char_boundary(bytes_max);
    (text.get(..end).unwrap_or_default(), text.len() - end)
}

pub(super) fn written(text: &str, has_lines: bool) -> Markup {
    let mut html = String::with_capacity(text.len());
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        let is_odd = is_unseen(c) || (!has_lines && matches!(c, '\n' | '\t'));
        if is_odd {
            escape(text.get(plain..at).unwrap_or_default(), &mut html);
            // Writing to a string cannot fail.
            let _ = write!(html, "<span class=\"odd\">{}</span>", c.escape_default());
            plain = at + c.len_utf8();
        }
    }
    escape(text.get(plain..).unwrap_or_default(), &mut html);
    PreEscaped(html)
}

pub(super) fn escape(text: &str, html: &mut String) {
    let _ = Escaper::new(html).write_str(text);
}
