use std::borrow::Cow;
use std::fmt::Write as _;

/// Text from a tool, a model or a file as it may be shown to a terminal, and that of a tool's description as it may be
/// told to a model: without control characters other than line breaks and tabs, and without the invisible ones that
/// reorder or hide text. What a tool gives as its result is data, and told to the model whole.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.contains(is_hidden) { Cow::Owned(text.replace(is_hidden, "")) } else { Cow::Borrowed(text) }
}

/// Text in one line that a person is to decide on: what would hide something, or reorder it, is written out instead.
#[must_use]
pub fn spelled_out(text: &str) -> String {
    let mut spelled = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unseen(c) || c == '\n' || c == '\t' {
            spelled.extend(c.escape_default());
        } else {
            spelled.push(c);
        }
    }
    spelled
}

/// Whether a character may stand unseen in a text, other than a line break or a tab: what [`clean`] takes out, and what
/// belongs into some texts.
#[must_use]
pub fn is_unseen(c: char) -> bool {
    // A joiner belongs between emoji and in some scripts, and may stand unseen between any two letters.
    let joins =
        matches!(c, '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}');
    let blank = matches!(c, '\u{115f}' | '\u{1160}' | '\u{2028}' | '\u{2029}' | '\u{3164}' | '\u{ffa0}');
    is_hidden(c) || joins || blank
}

/// Whether a character shows nothing itself and changes how other text is shown or read.
fn is_hidden(c: char) -> bool {
    // Marks, embeddings, overrides and isolates that change the direction of text (Unicode TR9).
    let reorders =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}');
    // Zero-width space, word joiner and their like, byte order mark, annotations; and tag characters, which
    // spell ASCII that nobody sees and a model reads.
    let invisible = matches!(
        c,
        '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    );
    reorders || invisible || (c.is_control() && !matches!(c, '\n' | '\t'))
}

/// A word as a shell takes it.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./+@:,=%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { shell_quoted(word) }
}

/// Text in the quotes in which a shell takes everything as it is.
pub(crate) fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Text as a string of a TOML file, in which everything can be seen.
#[must_use]
pub fn toml_string(text: &str) -> String {
    let mut string = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => string.extend(['\\', c]),
            c if c == '\n' || c == '\t' || is_unseen(c) => {
                // Writing to a string cannot fail.
                let _ = write!(string, "\\U{:08X}", u32::from(c));
            }
            c => string.push(c),
        }
    }
    string.push('"');
    string
}

/// The number that hexadecimal digits say. Nothing else than digits says a number: the standard library takes a sign, too.
#[must_use]
pub(crate) fn hexadecimal(digits: &str) -> Option<u32> {
    let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    are_digits.then(|| u32::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_sign_is_no_hexadecimal_digit() {
        for (digits, number) in
            [("2a", Some(42)), ("FFFF", Some(65535)), ("+a", None), ("-1", None), ("", None), ("g0", None)]
        {
            assert_eq!(hexadecimal(digits), number, "{digits}");
        }
    }

    #[test]
    fn what_hides_or_reorders_is_left_out() {
        let text = "a\u{1b}[31mb\u{202e}c\u{2066}d\u{e0041}e\u{9b}f\r\ng\th";
        assert_eq!(clean(text), "a[31mbcdef\ng\th");
        assert!(matches!(clean("ü € 👩\u{200d}🚀"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_hides_or_reorders_is_spelled_out_for_who_decides() {
        let text = "boz\u{200b}\u{200d}\u{202e}\u{9b}\u{1b}[1m\n\r\tü";
        assert_eq!(spelled_out(text), "boz\\u{200b}\\u{200d}\\u{202e}\\u{9b}\\u{1b}[1m\\n\\r\\tü");
    }

    #[test]
    fn every_text_is_the_same_again_from_a_toml_file() {
        let text: String =
            ('\0'..=char::MAX).step_by(7).chain(['"', '\\', '\u{7f}', '\u{202e}', '\n']).collect();
        let string = toml_string(&text);
        let table: toml::Table = toml::from_str(&format!("a = {string}")).unwrap();
        assert_eq!(table["a"].as_str(), Some(text.as_str()));
        assert!(!string.contains(is_unseen));
    }
}
