//! What of a file may be shown beside a mistake in it.
//!
//! Owns the copy of the text that a message prints. Its invariants: it has the length of the text, so that
//! spans hold in both; nothing in it steers a terminal; and what may be a secret, pasted where only its name
//! belongs, is covered. It works on lines, not on TOML, because a file that is no TOML is shown, too.

use crate::message::is_unseen;

/// The text as it may be shown.
pub(super) fn shown(text: &str) -> String {
    let mut in_secrets = false;
    text.split_inclusive('\n')
        .map(|line| {
            if let Some(header) = line.trim_start().strip_prefix('[') {
                let name = header.trim_start_matches('[').split(']').next().unwrap_or_default().trim();
                in_secrets = name.starts_with("secrets") || name.ends_with("headers");
                return harmless(line);
            }
            match line.split_once('=') {
                Some((key, value)) if (in_secrets || may_be_secret(key, value)) && !is_plain(key, value) => {
                    format!("{}={}", harmless(key), covered(value))
                }
                // The rest of a text of several lines.
                None if in_secrets => covered(line),
                Some(_) | None => harmless(line),
            }
        })
        .collect()
}

/// Whether there may be a secret in a value: by its key or that of a member of it, or because it is an address that has
/// more than a place.
fn may_be_secret(key: &str, value: &str) -> bool {
    let member = |part: &str| part.split_once('=').is_some_and(|(key, value)| may_be_secret(key, value));
    let address = value
        .split_once("://")
        .is_some_and(|(_, rest)| rest.split(['"', '\'']).next().unwrap_or_default().contains(['@', '?']));
    names_secret(key) || address || value.split(['{', ',']).skip(1).any(member)
}

/// Whether a key is one beside which people paste secrets.
fn names_secret(key: &str) -> bool {
    let key = key.trim().trim_matches(['"', '\'']).to_lowercase();
    key.starts_with("secrets.")
        || key == "secrets"
        || ["key", "key_env", "token", "password", "secret", "authorization", "cookie", "headers"]
            .iter()
            .any(|word| key.ends_with(word))
}

/// Whether a value is surely none: where a secret's file is, or names of secrets or of variables.
fn is_plain(key: &str, value: &str) -> bool {
    let value = value.split('#').next().unwrap_or_default().trim().trim_matches(['[', ']']);
    // What stands for a secret is its name, as in `{ secret = "A_KEY" }`.
    let reference = value.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
    let reference =
        reference.and_then(|it| it.trim_start().strip_prefix("secret")?.trim_start().strip_prefix('='));
    let value = reference.unwrap_or(value);
    key.trim() == "file"
        || value.split(',').all(|part| can_name_secret(part.trim().trim_matches(['"', '\''])))
}

/// Whether a name can be that of a variable with a secret in it: capitals, digits and `_`, as POSIX has the
/// names of variables (XBD 8.1). Most keys, pasted here by mistake, have other characters.
pub(crate) fn can_name_secret(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        && name.starts_with(|c: char| !c.is_ascii_digit())
}

fn covered(text: &str) -> String {
    harmless(text)
        .chars()
        .map(|c| if c.is_ascii_whitespace() { c.to_string() } else { "*".repeat(c.len_utf8()) })
        .collect()
}

/// The text with its control characters, and with those that hide or reorder text, replaced by others of the same
/// length: a file from elsewhere must not be able to steer the terminal that shows its mistakes, or look other than it
/// is.
fn harmless(text: &str) -> String {
    let mut chars = text.chars().peekable();
    let mut shown = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        shown.push(match c {
            '\n' | '\t' => c,
            // Alone, it would let the rest of a line overwrite its beginning.
            '\r' if chars.peek() == Some(&'\n') => c,
            c if is_unseen(c) => {
                // Of as many bytes in UTF-8.
                shown.push_str(match c.len_utf8() {
                    1 => "?",
                    2 => "·",
                    3 => "\u{fffd}",
                    _ => "··",
                });
                continue;
            }
            c => c,
        });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_replaced_by_as_many_bytes() {
        let text = "a\x1b[31m\u{9b}b\rc\r\n";
        assert_eq!(shown(text), "a?[31m·b?c\r\n");
        assert_eq!(shown(text).len(), text.len());
    }

    #[test]
    fn what_hides_or_reorders_is_replaced_by_as_many_bytes() {
        let text = "\u{feff}a\u{202e}b\u{200b}c\u{e0041}d\u{ad}e\u{2028}f";
        assert_eq!(shown(text), "\u{fffd}a\u{fffd}b\u{fffd}c··d·e\u{fffd}f");
        for c in ('\0'..=char::MAX).filter(|c| is_unseen(*c) && *c != '\r') {
            let seen = shown(&format!("x{c}"));
            assert_eq!(seen.len(), 1 + c.len_utf8(), "{c:?}");
            assert!(!seen.contains(is_unseen), "{c:?}");
        }
    }

    #[test]
    fn what_may_be_a_secret_is_covered() {
        for (text, expected) in [
            ("[secrets.A]\nvalue = \"abé\"\n", "[secrets.A]\nvalue = ******\n"),
            ("[secrets.A]\nenv = \"ghp_aB1\"", "[secrets.A]\nenv = *********"),
            ("[secrets.A]\nenv = \"A_KEY\" # why", "[secrets.A]\nenv = \"A_KEY\" # why"),
            ("A_TOKEN = { secret = \"A_KEY\" }", "A_TOKEN = { secret = \"A_KEY\" }"),
            ("A_TOKEN = { secret = \"ghp_aB1\" }", "A_TOKEN = * ****** * ********* *"),
            ("[secrets.A]\nfile = \"a key\"", "[secrets.A]\nfile = \"a key\""),
            (
                "[secrets.A]\nv = '''\nabc\n'''\n[model]\nname = \"b\"",
                "[secrets.A]\nv = ***\n***\n***\n[model]\nname = \"b\"",
            ),
            ("secrets.A.value = \"abc\"", "secrets.A.value = *****"),
            ("api_key = \"sk-1\"\r\nmax_tokens = 5", "api_key = ******\r\nmax_tokens = 5"),
            ("secrets = [\"A\", \"B\"]", "secrets = [\"A\", \"B\"]"),
            ("proxy = \"http://a:b@c:1\"", "proxy = ****************"),
            ("base_url = \"https://c/v1?k=1\"", "base_url = ******************"),
            ("base_url = \"https://c/v1\" # why?", "base_url = \"https://c/v1\" # why?"),
            ("headers = { X = \"1\" }", "headers = * * * *** *"),
            (
                "[model.headers]\nCookie = \"1\"\n[model]\nname = \"b\"",
                "[model.headers]\nCookie = ***\n[model]\nname = \"b\"",
            ),
            ("extra = { a = 1, api_key = \"x\" }", "extra = * * * ** ******* * *** *"),
            ("\"x-api-key\" = \"x\"", "\"x-api-key\" = ***"),
            ("secrets = [\"A\", \"b\"]", "secrets = ***** ****"),
        ] {
            assert_eq!(shown(text), expected);
            assert_eq!(expected.len(), text.len());
        }
    }
}
