use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::network::Refusal;
use crate::message::hexadecimal;

/// What a path has as it is (RFC 3986, `pchar` and the slash), and the `%` of its escapes.
const IN_PATHS: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/')
    .remove(b'%');

/// A path in the one spelling that all of its spellings have in common: escapes in capitals, and only where a character
/// cannot stand for itself, or means something else when it does (RFC 3986, 6.2.2). A `*` means nothing else.
pub(super) fn spelled(path: &str) -> String {
    let escaped = utf8_percent_encode(path, &IN_PATHS).to_string();
    let mut parts = escaped.split('%');
    let mut spelled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..2).and_then(hexadecimal).and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~*".contains(&byte) => {
                spelled.push(char::from(byte));
                spelled.push_str(part.get(2..).unwrap_or_default());
            }
            Some(_) => {
                spelled.push('%');
                spelled.push_str(&part.get(..2).unwrap_or_default().to_ascii_uppercase());
                spelled.push_str(part.get(2..).unwrap_or_default());
            }
            None => {
                spelled.push_str("%25");
                spelled.push_str(part);
            }
        }
    }
    spelled
}

/// Whether a path is the granted one or below it, both as [`spelled`].
pub(super) fn below(path: &str, granted: &str) -> bool {
    path.strip_prefix(granted)
        .is_some_and(|rest| granted.is_empty() || rest.is_empty() || rest.starts_with('/'))
}

/// The path that a grant needs in order to reach this one: itself, or where a grant cannot have it, what it is below.
pub(super) fn grantable(path: &str) -> String {
    let spelled = spelled(path).replace('*', "%2A");
    let end = spelled.find("//").unwrap_or(spelled.len());
    spelled.get(..end).unwrap_or_default().trim_end_matches('/').to_owned()
}

/// Refuses a path that another program might read as another path: dot segments in any spelling, however
/// often encoded, and what some servers take for a separator.
pub(super) fn check_path(path: &str) -> Result<(), Refusal> {
    if !path.is_empty() && !path.starts_with('/') {
        return Err(Refusal::Malformed("the path does not begin with a slash"));
    }
    let decoded = decoded(path);
    if decoded.chars().any(char::is_control) {
        return Err(Refusal::Malformed("the path has control characters"));
    }
    let dots = |segment: &str| matches!(segment.split(';').next().unwrap_or_default().trim(), "." | "..");
    if decoded.split(['/', '\\']).any(dots) {
        return Err(Refusal::Malformed("the path has `.` or `..` as a segment"));
    }
    Ok(())
}

/// The path with its escapes undone, and those that come out of that, until there is no escape left. Each byte is looked
/// at once: what is decoded can only end an escape that began before it.
fn decoded(path: &str) -> String {
    let mut decoded: Vec<u8> = Vec::with_capacity(path.len());
    for byte in path.bytes() {
        decoded.push(byte);
        while let Some(escape) = decoded.len().checked_sub(3) {
            let [b'%', digits @ ..] = decoded.get(escape..).unwrap_or_default() else { break };
            let byte = str::from_utf8(digits).ok().and_then(hexadecimal);
            let Some(byte) = byte.and_then(|byte| u8::try_from(byte).ok()) else { break };
            decoded.truncate(escape);
            decoded.push(byte);
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_path_are_one() {
        for (path, one) in [
            ("/My%20Plan.txt", "/My%20Plan.txt"),
            ("/a%2fb", "/a%2Fb"),
            ("/%61%7E%2a", "/a~*"),
            ("/a\\b", "/a%5Cb"),
            ("/é^", "/%C3%A9%5E"),
            ("/100%/%zz", "/100%25/%25zz"),
            ("/%+a", "/%25+a"),
            ("/%-1", "/%25-1"),
            ("/a;b=c,d:@", "/a;b=c,d:@"),
        ] {
            assert_eq!(spelled(path), one);
            assert_eq!(spelled(one), one);
        }
    }

    #[test]
    fn what_grants_a_path() {
        for (path, granted) in
            [("/a/b", "/a/b"), ("/a*b", "/a%2Ab"), ("/a//b", "/a"), ("//", ""), ("/", ""), ("/a/", "/a")]
        {
            assert_eq!(grantable(path), granted);
            assert!(below(&spelled(path), &spelled(granted)));
        }
    }

    #[test]
    fn escapes_are_undone_to_the_end() {
        for (path, plain) in [
            ("/%2e", "/."),
            ("/%252e", "/."),
            ("/%25%32%65", "/."),
            ("/%%32e", "/."),
            ("/%2%35", "/%"),
            ("/%zz%", "/%zz%"),
        ] {
            assert_eq!(decoded(path), plain);
        }
        let often = format!("/%{}41", "25".repeat(200_000));
        assert!(decoded(&often) == "/A", "it is undone in one go");
    }

    proptest! {
        #[test]
        fn any_path_has_one_spelling(path in "/[ -~äé]{0,20}") {
            let one = spelled(&path);
            prop_assert_eq!(spelled(&one), one.clone());
            prop_assert!(one.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(decoded(&one), decoded(&path));
        }
    }
}
