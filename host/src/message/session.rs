use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A key is the name of a directory, and short enough for a line.
const KEY_CHARS_MAX: usize = 64;

/// The name of a conversation that goes on over several runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionKey(String);

/// Text that is not the key of a session.
#[derive(Debug, thiserror::Error)]
#[error(
    "a session's key has 1 to {KEY_CHARS_MAX} of the characters A-Z a-z 0-9 _ - . @ : and does not begin with `.`"
)]
pub struct SessionKeyError;

impl SessionKey {
    /// The key as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionKey {
    type Err = SessionKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.@:".contains(&byte);
        let fits = (1..=KEY_CHARS_MAX).contains(&text.len()) && text.bytes().all(may_stand);
        if fits && !text.starts_with('.') { Ok(Self(text.to_owned())) } else { Err(SessionKeyError) }
    }
}

impl TryFrom<String> for SessionKey {
    type Error = SessionKeyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SessionKey> for String {
    fn from(SessionKey(key): SessionKey) -> Self {
        key
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_key_is_the_name_of_a_directory_and_nothing_else() {
        for key in ["a", "ada@example.com", "slack:C024.1", "A_b-9", &"x".repeat(64)] {
            assert_eq!(key.parse::<SessionKey>().unwrap().to_string(), key);
        }
        for text in ["", ".", "..", ".a", "a/b", "a b", "ü", "a\0", "a\n", &"x".repeat(65)] {
            assert!(text.parse::<SessionKey>().is_err(), "{text:?}");
        }
    }
}
