use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Json, Reply};

/// What recorded replies came from before they said so.
const PROVIDER_BEFORE_ORIGINS: &str = "openai";

/// Which model answers, without any secret. By default none that there is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelIdentity {
    /// The provider, as in agent.toml.
    pub provider: String,
    /// The model's name at the provider; for a script, the file's name.
    pub name: String,
    /// The endpoint, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Sampling temperature, if set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Upper bound of a reply in tokens, if set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Whether the provider is asked to hold the answer to its form.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub structured_output: bool,
    /// What is sent with every request besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Json>,
    /// What is left out of every request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omit: Vec<String>,
}

impl ModelIdentity {
    /// What a script is called where a provider has its name.
    pub const SCRIPTED: &str = "scripted";

    /// Whether a reply came from this model.
    #[must_use]
    pub fn gave(&self, origin: &Origin) -> bool {
        (&self.provider, &self.name, self.base_url.as_deref())
            == (&origin.provider, &origin.name, Some(&*origin.base_url))
    }

    /// The same of a reply that may be a script's, which does not say where it came from.
    #[must_use]
    pub fn gave_reply(&self, reply: &Reply) -> bool {
        match &reply.origin {
            Some(origin) => self.gave(origin),
            None => self.provider == Self::SCRIPTED,
        }
    }
}

/// Where a reply came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The provider, as in agent.toml.
    pub provider: String,
    /// The model's name there.
    pub name: String,
    /// The endpoint.
    pub base_url: String,
    /// Whether it was read as it came.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub streamed: bool,
}

impl Origin {
    /// Whether this model takes back what came, in a provider's own form, from another one: what is encrypted, signed
    /// or special to one model may be refused by the next. Names are compared as they were asked for, so that a model
    /// under a name that moves on still gets back what it said.
    #[must_use]
    pub fn takes(&self, other: Option<&Self>) -> bool {
        match other {
            Some(other) => {
                (&self.provider, &self.name, &self.base_url)
                    == (&other.provider, &other.name, &other.base_url)
            }
            None => self.provider == PROVIDER_BEFORE_ORIGINS,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.name)
    }
}
