//! The `[model]` table: which keys a provider takes, and which it needs.

use std::ops::Range;

use toml::Spanned;
use url::Url;

use super::raw::{self, ProviderName};
use super::shown::can_name_secret;
use super::validate::Check;
use super::{ModelConfig, Provider};

const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";
/// The default only where the key belongs: it must not be sent to any other endpoint unasked.
const OPENAI_KEY_ENV: &str = "OPENAI_API_KEY";

impl Check<'_> {
    /// `None` if the provider's own keys are wrong; what is wrong has been noted then.
    pub(super) fn model(&mut self, raw: raw::Model) -> Option<ModelConfig> {
        let temperature = raw.temperature.as_ref().map(|it| *it.get_ref());
        let max_tokens = raw.max_tokens.as_ref().map(|it| *it.get_ref());
        let mut raw = raw;
        let retry = self.model_retry(raw.retry.take().unwrap_or_default());
        let provider = match raw.provider.get_ref() {
            ProviderName::Scripted => self.scripted(raw),
            ProviderName::OpenAi => self.openai(raw),
        }?;
        Some(ModelConfig { provider, temperature, max_tokens, retry })
    }

    fn scripted(&mut self, raw: raw::Model) -> Option<Provider> {
        let raw::Model {
            provider,
            script,
            name,
            base_url,
            api_key_env,
            temperature,
            max_tokens,
            prices: _,
            retry: _,
        } = raw;
        self.meaningless("name", "scripted", span(name.as_ref()));
        self.meaningless("base_url", "scripted", span(base_url.as_ref()));
        self.meaningless("api_key_env", "scripted", span(api_key_env.as_ref()));
        self.meaningless("temperature", "scripted", span(temperature.as_ref()));
        self.meaningless("max_tokens", "scripted", span(max_tokens.as_ref()));
        let help = "add `script = \"script.toml\"`, a file of [[reply]] tables";
        let script = self.needed("script", "scripted", script, provider.span(), help)?;
        Some(Provider::Scripted { script: self.path("script", &script)? })
    }

    fn openai(&mut self, raw: raw::Model) -> Option<Provider> {
        let raw::Model {
            provider,
            script,
            name,
            base_url,
            api_key_env,
            temperature: _,
            max_tokens: _,
            prices: _,
            retry: _,
        } = raw;
        self.meaningless("script", "openai", span(script.as_ref()));
        let base_url = match base_url {
            Some(url) => self.base_url(&url),
            None => Some(OPENAI_BASE_URL.to_owned()),
        };
        if let Some(name) = api_key_env.as_ref().filter(|name| !can_name_secret(name.get_ref())) {
            // The message does not repeat the value: it may be the key itself.
            let help = "write the variable's name, as in \"OPENAI_API_KEY\", not the key";
            self.problem(name.span(), "api_key_env is not the name of a variable, in capitals", help);
        }
        let help = "add `name = \"…\"`, the model's name at the provider";
        let name = self.needed("name", "openai", name, provider.span(), help)?;
        if name.get_ref().trim().is_empty() {
            self.problem(name.span(), "the model's name is empty", "write the model's name at the provider");
        }
        let base_url = base_url?;
        let default_key = (base_url == OPENAI_BASE_URL).then(|| OPENAI_KEY_ENV.to_owned());
        let api_key_env = api_key_env.map(Spanned::into_inner).or(default_key);
        Some(Provider::OpenAi { name: name.into_inner(), base_url, api_key_env })
    }

    fn meaningless(&mut self, key: &str, provider: &str, span: Option<Range<usize>>) {
        if let Some(span) = span {
            let message = format!("`{key}` has no meaning for provider = \"{provider}\"");
            self.problem(span, message, "remove it, or choose the provider it is for");
        }
    }

    fn needed<T>(
        &mut self,
        key: &str,
        provider: &str,
        value: Option<Spanned<T>>,
        at: Range<usize>,
        help: &str,
    ) -> Option<Spanned<T>> {
        if value.is_none() {
            self.problem(at, format!("provider = \"{provider}\" needs `{key}`"), help);
        }
        value
    }

    fn base_url(&mut self, raw: &Spanned<String>) -> Option<String> {
        let problem = base_url_problem(raw.get_ref());
        if let Some(problem) = problem {
            let help = "write it as in \"http://localhost:11434/v1\"; an API key goes into the variable that `api_key_env` names";
            self.problem(raw.span(), format!("base_url {problem}"), help);
            return None;
        }
        Some(raw.get_ref().trim_end_matches('/').to_owned())
    }
}

fn span<T>(value: Option<&Spanned<T>>) -> Option<Range<usize>> {
    value.map(Spanned::span)
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
    let problem = if !matches!(url.scheme(), "http" | "https") {
        "is neither http nor https"
    } else if url.host().is_none() {
        "has no host"
    } else if !url.username().is_empty() || url.password().is_some() {
        "holds a user name or password"
    } else if url.query().is_some() || url.fragment().is_some() {
        "has a query or fragment"
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
            ("localhost:11434/v1", Some("is neither http nor https")),
            ("ftp://example.com", Some("is neither http nor https")),
            ("http://", Some("is not a URL: empty host")),
            ("example.com/v1", Some("is not a URL: relative URL without a base")),
            ("https://me:secret@example.com", Some("holds a user name or password")),
            ("https://example.com/?key=1", Some("has a query or fragment")),
            ("https://example.com/#a", Some("has a query or fragment")),
            ("https://exa\nmple.com", Some("has white space in it")),
        ] {
            assert_eq!(base_url_problem(text).as_deref(), expected, "{text:?}");
        }
    }
}
