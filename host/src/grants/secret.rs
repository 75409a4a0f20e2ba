use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};

use super::mask::Masker;
use crate::message::Hasher;

/// A shorter value would be masked all over texts that have nothing to do with it, and can be guessed.
const SECRET_BYTES_MIN: usize = 8;

/// No header takes more.
const SECRET_BYTES_MAX: u64 = 8 * 1024;

/// What every placeholder begins with. Only characters that no encoding changes.
const PLACEHOLDER_PREFIX: &str = "hostsecret_";

/// Where the value of a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In an environment variable of the host.
    Env(String),
    /// In a file, which is absolute; a line break at its end does not belong to the value.
    File(PathBuf),
}

impl SecretSource {
    /// The variable that it is in, if it is in one.
    #[must_use]
    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::Env(variable) => Some(variable),
            Self::File(_) => None,
        }
    }

    /// Whether there is anything at all where it should be.
    #[must_use]
    pub fn is_there(&self) -> bool {
        match self {
            Self::Env(variable) => std::env::var_os(variable).is_some(),
            Self::File(path) => path.exists(),
        }
    }
}

/// A secret of the agent.
#[derive(Debug)]
pub struct Secret {
    /// Its name in `[secrets.NAME]`.
    pub name: String,
    value: SecretString,
}

/// All secrets of an agent, sorted by name.
#[derive(Debug, Default)]
pub struct Secrets(Vec<Secret>);

/// Why a secret cannot be had. Never says the value.
#[derive(Debug, thiserror::Error)]
#[error("[secrets.{name}]: {reason}")]
pub struct SecretError {
    /// Which secret.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Secret {
    /// A secret of a given value.
    pub fn new(name: &str, value: &str) -> Result<Self, SecretError> {
        let refuse = |reason: String| SecretError { name: name.to_owned(), reason };
        if value.len() < SECRET_BYTES_MIN {
            let bytes = value.len();
            return Err(refuse(format!(
                "the value has {bytes} bytes; with fewer than {SECRET_BYTES_MIN} it could not be told from other text"
            )));
        }
        if value.chars().any(char::is_control) {
            return Err(refuse(
                "the value has a line break or another control character, which no header can carry"
                    .to_owned(),
            ));
        }
        Ok(Self { name: name.to_owned(), value: value.into() })
    }

    pub(super) fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    /// Reads it from where it is.
    pub fn load(name: &str, source: &SecretSource) -> Result<Self, SecretError> {
        let value = read_secret(source).map_err(|reason| SecretError { name: name.to_owned(), reason })?;
        Self::new(name, value.expose_secret())
    }
}

impl Secrets {
    /// These secrets.
    #[must_use]
    pub fn new(secrets: Vec<Secret>) -> Self {
        Self(secrets)
    }

    /// Reads every secret from where it is.
    pub fn load(sources: &BTreeMap<String, SecretSource>) -> Result<Self, SecretError> {
        sources.iter().map(|(name, source)| Secret::load(name, source)).collect::<Result<_, _>>().map(Self)
    }

    /// What masks all of them.
    #[must_use]
    pub fn masker(&self) -> Masker {
        Masker::new(self.0.iter().map(|secret| (secret.name.as_str(), secret.expose())))
    }

    /// The value of a secret, for whoever is to be given it.
    #[cfg(feature = "mcp")]
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        Some(self.get(name)?.expose())
    }

    fn get(&self, name: &str) -> Option<&Secret> {
        self.0.iter().find(|secret| secret.name == name)
    }
}

/// Reads a secret from where it is; the error is the reason why it cannot be had.
pub fn read_secret(source: &SecretSource) -> Result<SecretString, String> {
    let (value, place): (SecretString, _) = match source {
        SecretSource::Env(variable) => match std::env::var(variable) {
            Ok(value) => (value.into(), format!("the environment variable {variable}")),
            Err(std::env::VarError::NotPresent) => {
                return Err(format!("the environment variable {variable} is not set"));
            }
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(format!("the environment variable {variable} is not UTF-8"));
            }
        },
        SecretSource::File(path) => {
            let mut text = String::new();
            let read = std::fs::File::open(path)
                .and_then(|file| file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text));
            read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            let value = text.strip_suffix('\n').unwrap_or(&text);
            (value.strip_suffix('\r').unwrap_or(value).into(), path.display().to_string())
        }
    };
    match value.expose_secret() {
        value if value.len() as u64 > SECRET_BYTES_MAX => {
            Err(format!("the value has more than {SECRET_BYTES_MAX} bytes"))
        }
        value if value.trim().is_empty() => Err(format!("{place} is empty")),
        _ => Ok(value),
    }
}

/// What one call's guest sees instead of the secrets granted to its tool.
#[derive(Clone, Debug, Default)]
pub struct Placeholders(Vec<(String, String)>);

/// What a text is, and so how a value is written in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// A header, or anything that takes the value as it is.
    Plain,
    /// A query or a form.
    Query,
    /// A JSON text, where the placeholder stands in a string.
    Json,
}

impl Placeholders {
    /// A placeholder for each of the names. They cannot be guessed without the call's seed, and are the same
    /// when the call is carried out again.
    #[must_use]
    pub fn new(seed: &[u8; 32], names: &[&str]) -> Self {
        let placeholder = |name: &&str| {
            let digest = Hasher::default().part(seed).part(b"secret").part(name.as_bytes()).finish();
            let hex = digest.to_string();
            let placeholder = format!("{PLACEHOLDER_PREFIX}{}", hex.get(..32).unwrap_or(&hex));
            ((*name).to_owned(), placeholder)
        };
        Self(names.iter().map(placeholder).collect())
    }

    /// Name and placeholder of each, as the guest finds them in its environment.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, placeholder)| (name.as_str(), placeholder.as_str()))
    }

    /// The names of those that are in a text and not among the granted.
    #[must_use]
    pub fn strayed(&self, text: &[u8], granted: &[&str]) -> Vec<&str> {
        self.iter()
            .filter(|(name, placeholder)| !granted.contains(name) && position(text, placeholder).is_some())
            .map(|(name, _)| name)
            .collect()
    }

    /// The text with each placeholder of a granted secret swapped for its value.
    #[must_use]
    pub fn swap<'t>(
        &self,
        text: &'t [u8],
        granted: &[&str],
        secrets: &Secrets,
        within: Within,
    ) -> Cow<'t, [u8]> {
        let mut swapped = Cow::Borrowed(text);
        for (name, placeholder) in self.iter().filter(|(name, _)| granted.contains(name)) {
            let Some(secret) = secrets.get(name) else { continue };
            if position(&swapped, placeholder).is_some() {
                let value = written(secret.expose(), within);
                swapped = Cow::Owned(replace(&swapped, placeholder, &value));
            }
        }
        swapped
    }

    /// A header's value with placeholders swapped, also behind the base64 of `Basic` credentials.
    #[must_use]
    pub fn swap_header<'t>(&self, value: &'t [u8], granted: &[&str], secrets: &Secrets) -> Cow<'t, [u8]> {
        let credentials =
            value.split_at_checked(6).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"basic "));
        let Some(decoded) = credentials.and_then(|(_, base64)| STANDARD.decode(base64.trim_ascii()).ok())
        else {
            return self.swap(value, granted, secrets, Within::Plain);
        };
        match self.swap(&decoded, granted, secrets, Within::Plain) {
            Cow::Borrowed(_) => Cow::Borrowed(value),
            Cow::Owned(swapped) => Cow::Owned(format!("Basic {}", STANDARD.encode(swapped)).into_bytes()),
        }
    }
}

fn written(value: &str, within: Within) -> String {
    match within {
        Within::Plain => value.to_owned(),
        Within::Query => utf8_percent_encode(value, NON_ALPHANUMERIC).to_string(),
        Within::Json => json_escaped(value),
    }
}

/// A text as it stands between the quotes of a JSON string.
pub(super) fn json_escaped(value: &str) -> String {
    value.chars().fold(String::new(), |mut escaped, c| {
        // Writing to a string cannot fail.
        let _ = match c {
            '"' | '\\' => write!(escaped, "\\{c}"),
            c if c.is_control() => write!(escaped, "\\u{:04x}", u32::from(c)),
            c => write!(escaped, "{c}"),
        };
        escaped
    })
}

fn position(text: &[u8], placeholder: &str) -> Option<usize> {
    memchr::memmem::find(text, placeholder.as_bytes())
}

fn replace(text: &[u8], placeholder: &str, value: &str) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(text.len() + value.len());
    let mut rest = text;
    while let Some(at) = position(rest, placeholder) {
        let (before, after) = rest.split_at(at);
        replaced.extend_from_slice(before);
        replaced.extend_from_slice(value.as_bytes());
        rest = after.get(placeholder.len()..).unwrap_or_default();
    }
    replaced.extend_from_slice(rest);
    replaced
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn secrets() -> Secrets {
        Secrets::new(vec![
            Secret::new("A", "value-of-\"a\" & more").unwrap(),
            Secret::new("B", "value-of-b").unwrap(),
        ])
    }

    #[test]
    fn only_granted_placeholders_are_swapped() {
        let placeholders = Placeholders::new(&[7; 32], &["A", "B"]);
        let [(_, a), (_, b)] = placeholders.iter().collect::<Vec<_>>().try_into().unwrap();
        let text = format!("x={a}&y={b}&z={a}");
        let swap = |granted: &[&str], within| {
            let swapped = placeholders.swap(text.as_bytes(), granted, &secrets(), within).into_owned();
            String::from_utf8(swapped).unwrap()
        };
        assert_eq!(swap(&["B"], Within::Plain), format!("x={a}&y=value-of-b&z={a}"));
        assert_eq!(
            swap(&["A"], Within::Query),
            format!("x=value%2Dof%2D%22a%22%20%26%20more&y={b}&z=value%2Dof%2D%22a%22%20%26%20more")
        );
        assert!(swap(&["A"], Within::Json).contains("value-of-\\\"a\\\" & more"));
        assert_eq!(swap(&[], Within::Plain), text);
        assert_eq!(placeholders.strayed(text.as_bytes(), &["A"]), ["B"]);
    }

    #[test]
    fn basic_credentials_are_looked_into() {
        let placeholders = Placeholders::new(&[7; 32], &["B"]);
        let (_, b) = placeholders.iter().next().unwrap();
        let header = format!("Basic {}", STANDARD.encode(format!("user:{b}")));
        let swapped = placeholders.swap_header(header.as_bytes(), &["B"], &secrets());
        assert_eq!(swapped, format!("Basic {}", STANDARD.encode("user:value-of-b")).as_bytes());
        assert_eq!(placeholders.swap_header(header.as_bytes(), &[], &secrets()), header.as_bytes());
        let bearer = format!("Bearer {b}");
        assert_eq!(
            placeholders.swap_header(bearer.as_bytes(), &["B"], &secrets()),
            &b"Bearer value-of-b"[..]
        );
    }

    #[test]
    fn placeholders_differ_by_call_and_name_and_are_stable() {
        let of = |seed, name: &str| Placeholders::new(&[seed; 32], &[name]).0[0].1.clone();
        assert_eq!(of(1, "A"), of(1, "A"));
        assert_ne!(of(1, "A"), of(2, "A"));
        assert_ne!(of(1, "A"), of(1, "B"));
    }

    #[test]
    fn a_secret_says_nothing_of_its_value() {
        let secret = Secret::new("A", "very-secret-value").unwrap();
        assert!(!format!("{secret:?}").contains("very-secret"));
        for bad in ["short", "with\nline break"] {
            let error = Secret::new("A", bad).unwrap_err();
            assert!(!error.to_string().contains(bad), "{error}");
        }
    }
}
