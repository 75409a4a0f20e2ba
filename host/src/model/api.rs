use std::fmt;
use std::sync::Arc;

use secrecy::SecretString;

use super::remote::{Clients, Interface, Remote, Upstream};
use super::{Model, ModelError, RemoteConfig};
use super::{anthropic, gemini, ollama, openai_chat, openai_responses};
use crate::message::Dialect;

/// The interfaces there are, in the order in which agent.toml's schema lists them: a new one is a file and a line here.
static ALL: [Api; 5] = [
    Api::of::<openai_chat::OpenAiChat>(),
    Api::of::<openai_responses::OpenAiResponses>(),
    Api::of::<anthropic::Anthropic>(),
    Api::of::<gemini::Gemini>(),
    Api::of::<ollama::Ollama>(),
];

/// A provider's interface, as agent.toml has to know it.
#[derive(Clone, Copy)]
pub struct Api {
    name: &'static str,
    traced_as: &'static str,
    description: &'static str,
    base_url: &'static str,
    key_variable: Option<&'static str>,
    form_without_calls: Option<&'static str>,
    counts_streamed: fn(&str) -> bool,
    connect: Connect,
    dialect: Option<Dialect>,
    upstream: ConnectUpstream,
}

type ConnectUpstream =
    fn(&RemoteConfig, Option<SecretString>, &Clients) -> Result<Arc<dyn Upstream>, ModelError>;
type Connect = fn(&RemoteConfig, Option<SecretString>, &Clients) -> Result<Arc<dyn Model>, ModelError>;

impl Api {
    const fn of<I: Interface>() -> Self {
        Self {
            name: I::NAME,
            traced_as: I::TRACED_AS,
            description: I::DESCRIPTION,
            base_url: I::BASE_URL,
            key_variable: I::KEY_VARIABLE,
            form_without_calls: I::FORM_WITHOUT_CALLS,
            counts_streamed: I::counts_streamed,
            connect: |config, key, clients| Ok(Arc::new(Remote::<I>::new(config, key, clients)?)),
            dialect: I::DIALECT,
            upstream: |config, key, clients| Ok(Arc::new(Remote::<I>::new(config, key, clients)?)),
        }
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().copied()
    }

    /// The interface of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|api| api.name == name)
    }

    /// Its name in agent.toml.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.name
    }

    /// The provider's name in OpenTelemetry's conventions.
    #[must_use]
    pub fn traced_as(self) -> &'static str {
        self.traced_as
    }

    /// Where a model behind it is, for whoever has to choose.
    #[must_use]
    pub fn description(self) -> &'static str {
        self.description
    }

    /// The provider's own endpoint.
    #[must_use]
    pub fn base_url(self) -> &'static str {
        self.base_url
    }

    /// The variable that by custom holds the key for it.
    #[must_use]
    pub fn key_variable(self) -> Option<&'static str> {
        self.key_variable
    }

    /// Why a model that it holds to a form calls no tools, if that is so.
    #[must_use]
    pub fn form_without_calls(self) -> Option<&'static str> {
        self.form_without_calls
    }

    /// Whether the server at an address says of a streamed answer what tokens it took, without being asked by `extra`.
    #[must_use]
    pub fn counts_streamed(self, base_url: &str) -> bool {
        (self.counts_streamed)(base_url)
    }

    /// The interfaces by which other programs can have requests passed on to a provider that is asked by this one, with the
    /// same address and key.
    pub(super) fn passing(self) -> impl Iterator<Item = (Dialect, Self)> {
        let same = Self::all().filter(move |api| api.traced_as == self.traced_as);
        same.filter_map(|api| Some((api.dialect?, api)))
    }

    /// A provider behind it that requests are passed on to.
    pub(super) fn upstream(
        self,
        config: &RemoteConfig,
        key: Option<SecretString>,
        clients: &Clients,
    ) -> Result<Arc<dyn Upstream>, ModelError> {
        (self.upstream)(config, key, clients)
    }

    /// A model behind it.
    pub(super) fn connect(
        self,
        config: &RemoteConfig,
        key: Option<SecretString>,
        clients: &Clients,
    ) -> Result<Arc<dyn Model>, ModelError> {
        (self.connect)(config, key, clients)
    }
}

impl PartialEq for Api {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Api {}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_of_its_own_and_what_goes_with_it() {
        let names: Vec<(&str, &str, Option<&str>)> =
            Api::all().map(|api| (api.as_str(), api.traced_as(), api.key_variable())).collect();
        let expected = [
            ("openai", "openai", Some("OPENAI_API_KEY")),
            ("openai-responses", "openai", Some("OPENAI_API_KEY")),
            ("anthropic", "anthropic", Some("ANTHROPIC_API_KEY")),
            ("gemini", "gcp.gemini", Some("GEMINI_API_KEY")),
            ("ollama", "ollama", None),
        ];
        assert_eq!(names, expected);
        assert!(Api::all().all(|api| Api::named(api.as_str()) == Some(api)));
        assert_eq!(Api::named("scripted"), None);
    }
}
