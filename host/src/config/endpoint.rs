//! How a provider is reached: the address, headers, proxy and timeouts of a `[model]` table.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde::Deserialize as _;
use toml::Spanned;
use url::Url;

use super::bounds::MODEL_TIMEOUT_LIMIT;
use super::raw;
use super::validate::Check;
use super::{Connection, Header, HeaderText, Proxy};
use crate::document::{can_name_secret, quote};
use crate::grants::SecretSource;

/// What stands for no proxy.
const NO_PROXY: &str = "none";

/// Headers that the connection itself needs as they are.
const OF_CONNECTION: [&str; 9] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What the names of headers and members have in them that carry secrets.
const SECRET_WORDS: [&str; 9] =
    ["auth", "cookie", "credential", "key", "passw", "secret", "session", "signature", "token"];

impl Check<'_> {
    pub(super) fn connection(&mut self, raw: &raw::Model) -> Connection {
        let headers = raw.headers.iter().filter_map(|(name, value)| self.header(name, value)).collect();
        let proxy = raw.proxy.as_ref().map_or(Proxy::Environment, |raw| self.proxy(raw));
        let timeout = self.timeout("timeout", raw.timeout.as_ref(), "10m", Connection::TIMEOUT);
        let idle_timeout =
            self.timeout("idle_timeout", raw.idle_timeout.as_ref(), "5m", Connection::IDLE_TIMEOUT);
        Connection { headers, proxy, timeout, idle_timeout }
    }

    fn timeout(
        &mut self,
        key: &str,
        raw: Option<&Spanned<String>>,
        example: &str,
        default: Duration,
    ) -> Duration {
        raw.map_or(default, |raw| {
            Duration::from_millis(self.duration_ms(key, raw, example, MODEL_TIMEOUT_LIMIT))
        })
    }

    fn header(&mut self, name: &Spanned<String>, value: &Spanned<toml::Value>) -> Option<Header> {
        let written = name.get_ref();
        let Ok(header) = HeaderName::from_bytes(written.as_bytes()) else {
            let message = format!("headers has \"{}\", which cannot be a header", quote(written));
            self.problem(name.span(), message, "write its name, as in \"X-Title\"");
            return None;
        };
        let header = header.as_str().to_owned();
        if OF_CONNECTION.contains(&header.as_str()) {
            let message = format!("headers has `{header}`, which the connection itself needs");
            self.problem(name.span(), message, "take it out");
            return None;
        }
        let value = match value.get_ref() {
            toml::Value::String(text) => self.plain(&header, text, value)?,
            toml::Value::Table(_) => self.secret_header(value)?,
            toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_) => {
                let message = format!("the header `{header}` is neither a text nor where its value is");
                let help = "write \"…\", or { env = \"VARIABLE\" } for a value that is secret";
                self.problem(value.span(), message, help);
                return None;
            }
        };
        Some(Header { name: header, value })
    }

    fn plain(&mut self, header: &str, text: &str, at: &Spanned<toml::Value>) -> Option<HeaderText> {
        // The messages do not repeat the value: it may be a secret.
        if SECRET_WORDS.iter().any(|word| header.contains(word)) {
            let message =
                format!("the header `{header}` holds a secret, which does not belong into this file");
            let help = "write where it is, as in { env = \"AZURE_API_KEY\" } or { env = \"TOKEN\", prefix = \"Bearer \" }";
            self.problem(at.span(), message, help);
            return None;
        }
        if HeaderValue::from_str(text).is_err() {
            let message = format!("the header `{header}` has a character that no header can carry");
            self.problem(at.span(), message, "write it on one line, without control characters");
            return None;
        }
        Some(HeaderText::Plain(text.to_owned()))
    }

    fn secret_header(&mut self, value: &Spanned<toml::Value>) -> Option<HeaderText> {
        let help = "write one of { env = \"VARIABLE\" } and { file = \"PATH\" }, with prefix = \"…\" if it needs one";
        let Ok(raw::HeaderSecret { env, file, prefix }) =
            raw::HeaderSecret::deserialize(value.get_ref().clone())
        else {
            self.problem(value.span(), "this does not say where the value of a header is", help);
            return None;
        };
        let source = match (env, file) {
            (Some(env), None) if can_name_secret(&env) => SecretSource::Env(env),
            (Some(_), None) => {
                let help = "write the variable's name, as in \"AZURE_API_KEY\", not its value";
                self.problem(value.span(), "env is not the name of a variable, in capitals", help);
                return None;
            }
            (None, Some(file)) => SecretSource::File(self.path("file", &Spanned::new(value.span(), file))?),
            (Some(_), Some(_)) | (None, None) => {
                self.problem(value.span(), "this does not say where the value of a header is", help);
                return None;
            }
        };
        let prefix = prefix.unwrap_or_default();
        if HeaderValue::from_str(&prefix).is_err() {
            self.problem(value.span(), "prefix has a character that no header can carry", help);
        }
        Some(HeaderText::Secret { prefix, source })
    }

    fn proxy(&mut self, raw: &Spanned<String>) -> Proxy {
        let text = raw.get_ref();
        if text == NO_PROXY {
            return Proxy::Direct;
        }
        let url =
            Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let Some(url) = url else {
            let message = format!("proxy = \"{}\" is not the address of a proxy", quote(text));
            self.problem(raw.span(), message, "write it as in \"http://localhost:3128\", or \"none\"");
            return Proxy::Direct;
        };
        if !url.username().is_empty() || url.password().is_some() {
            let message = "proxy holds a user name or password";
            let help = "take `proxy` out, and set HTTPS_PROXY (or HTTP_PROXY) in the environment, with the password in it";
            self.problem(raw.span(), message, help);
        }
        Proxy::At(url)
    }

    pub(super) fn base_url(&mut self, raw: &Spanned<String>) -> Option<String> {
        let help = "write it as in \"http://localhost:11434/v1\"; an API key goes into the variable that `api_key_env` names";
        self.is_address("base_url", raw, help).then(|| match raw.get_ref().split_once('?') {
            Some((base, query)) => format!("{}?{query}", base.trim_end_matches('/')),
            None => raw.get_ref().trim_end_matches('/').to_owned(),
        })
    }

    /// Whether it is the address of a server, without secrets in it. It is noted if it is not.
    pub(super) fn is_address(&mut self, key: &str, raw: &Spanned<String>, help: &str) -> bool {
        let problem = base_url_problem(raw.get_ref());
        if let Some(problem) = &problem {
            self.problem(raw.span(), format!("{key} {problem}"), help);
        }
        problem.is_none()
    }
}

/// Why a text cannot be a base URL; `None` if it can.
fn base_url_problem(text: &str) -> Option<String> {
    // The parser drops these silently, so that the text would not be the URL that was checked.
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Some("has white space in it".to_owned());
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return Some(format!("is not a URL: {error}")),
    };
    let secret = |name: &str| {
        let name = name.to_lowercase();
        name == "sig" || name == "code" || SECRET_WORDS.iter().any(|word| name.contains(word))
    };
    let problem = if !matches!(url.scheme(), "http" | "https") {
        "is neither http nor https"
    } else if url.host().is_none() {
        "has no host"
    } else if !url.username().is_empty() || url.password().is_some() {
        "holds a user name or password"
    } else if url.fragment().is_some() {
        "has a fragment"
    } else if url.query_pairs().any(|(name, _)| secret(&name)) {
        "has a secret in its query"
    } else {
        return None;
    };
    Some(problem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls() {
        for (text, expected) in [
            ("http://localhost:11434/v1", None),
            ("https://api.openai.com/v1/", None),
            ("http://[::1]:8080", None),
            ("https://x.openai.azure.com/openai/deployments/d?api-version=2024-10-21", None),
            ("localhost:11434/v1", Some("is neither http nor https")),
            ("ftp://example.com", Some("is neither http nor https")),
            ("http://", Some("is not a URL: empty host")),
            ("example.com/v1", Some("is not a URL: relative URL without a base")),
            ("https://me:secret@example.com", Some("holds a user name or password")),
            ("https://example.com/?key=1", Some("has a secret in its query")),
            ("https://example.com/?v=1&Api-Key=1", Some("has a secret in its query")),
            ("https://example.com/?sig=1", Some("has a secret in its query")),
            ("https://example.com/#a", Some("has a fragment")),
            ("https://exa\nmple.com", Some("has white space in it")),
        ] {
            assert_eq!(base_url_problem(text).as_deref(), expected, "{text:?}");
        }
    }
}
