//! What goes along with every request: the key, and what agent.toml adds; and that no secret among it is shown.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};

use crate::grants::{Masker, read_secret};
use crate::model::{Header, HeaderText, ModelError};

/// The headers of every request.
#[derive(Clone, Debug)]
pub(super) struct Headers {
    /// That of the key: the wire format may have put an empty one there.
    key: HeaderName,
    all: HeaderMap,
    /// What no error may show.
    secrets: Vec<SecretString>,
}

impl Headers {
    /// Those of a key, which stands behind a prefix, and of agent.toml, which replace it where they have its name.
    pub(super) fn new(
        (name, prefix): (&'static str, &str),
        key: Option<SecretString>,
        others: &[Header],
    ) -> Result<Self, ModelError> {
        let mut headers =
            Self { key: HeaderName::from_static(name), all: HeaderMap::new(), secrets: Vec::new() };
        if let Some(key) = key.filter(|key| !key.expose_secret().is_empty()) {
            headers.all.insert(headers.key.clone(), header_value(prefix, &key, API_KEY)?);
            headers.secrets.push(key);
        }
        for other in others {
            let (name, value) = other_header(other, &mut headers.secrets)?;
            headers.all.insert(name, value);
        }
        Ok(headers)
    }

    /// Puts them among those of a request.
    pub(super) fn put_into(&self, request: &mut HeaderMap) {
        request.remove(&self.key);
        for (name, value) in &self.all {
            request.insert(name, value.clone());
        }
    }

    /// A text from outside without the secrets, which some servers repeat when they refuse them.
    pub(super) fn masked(&self, text: &str) -> String {
        let label = "[API key]";
        let mask = |text: String, secret: &SecretString| {
            let secret = secret.expose_secret();
            // A short key is only found as it is.
            Masker::labelled(label, secret).text(&text.replace(secret, label)).into_owned()
        };
        self.secrets.iter().fold(text.to_owned(), mask)
    }
}

/// Which secret a header has, and what in agent.toml says where it is.
const API_KEY: (&str, &str) = ("the API key", "`api_key_env` or `api_key_file`");

fn header_value(
    prefix: &str,
    secret: &SecretString,
    (what, key): (&str, &str),
) -> Result<HeaderValue, ModelError> {
    let mut value = HeaderValue::from_str(&format!("{prefix}{}", secret.expose_secret())).map_err(|_| {
        ModelError::Setup(format!(
            "{what} holds a line break or another character that no HTTP header may hold: check where {key} in \
             [model] points"
        ))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A header that agent.toml names, with its value; one that is secret is one of those that no error may show.
fn other_header(
    header: &Header,
    secrets: &mut Vec<SecretString>,
) -> Result<(HeaderName, HeaderValue), ModelError> {
    let Header { name, value } = header;
    let wrong =
        || ModelError::Setup(format!("`headers` in [model] has `{name}`, which no request can carry"));
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
    let value = match value {
        HeaderText::Plain(text) => HeaderValue::from_str(text).map_err(|_| wrong())?,
        HeaderText::Secret { prefix, source } => {
            let secret = read_secret(source).map_err(|reason| {
                let help = format!(
                    "it is for the header `{name}`: set it, or let `headers` in [model] name another place"
                );
                ModelError::Secret { kept_in: source.clone(), reason, help }
            })?;
            let value = header_value(prefix, &secret, (&format!("the header `{name}`"), "`headers`"))?;
            secrets.push(secret);
            value
        }
    };
    Ok((header, value))
}
