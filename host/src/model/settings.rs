use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::{Api, InText};
use crate::grants::SecretSource;
use crate::message::{Json, Origin, Prices};

/// Who replies.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Where the model is.
    pub provider: Provider,
    /// Sampling temperature, if not the provider's default.
    pub temperature: Option<f64>,
    /// Upper bound of a reply in tokens, if not the provider's default.
    pub max_tokens: Option<u64>,
    /// What its tokens cost.
    pub prices: Option<Prices>,
}

impl ModelConfig {
    /// Where the secrets are that go along with its requests.
    #[must_use]
    pub fn secrets(&self) -> Vec<&SecretSource> {
        match &self.provider {
            Provider::Remote(remote) => remote.secrets().collect(),
            Provider::Scripted { .. } => Vec::new(),
        }
    }

    /// The same model without any secret: it can be set up anywhere, to see what it takes, and is asked nothing.
    #[must_use]
    pub fn without_secrets(mut self) -> Self {
        if let Provider::Remote(remote) = &mut self.provider {
            remote.key = None;
            remote.connection.headers.retain(|header| matches!(header.value, HeaderText::Plain(_)));
        }
        self
    }
}

/// Where the model is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "an agent has a few of them")]
pub enum Provider {
    /// In a file of replies.
    Scripted {
        /// The file, absolute.
        script: PathBuf,
    },
    /// At a provider.
    Remote(RemoteConfig),
}

/// A model at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteConfig {
    /// The provider's interface.
    pub api: Api,
    /// The model's name there.
    pub name: String,
    /// The endpoint, without the path of any one request.
    pub base_url: String,
    /// Where the key is, if one is needed.
    pub key: Option<SecretSource>,
    /// Whether replies are read as they come.
    pub stream: bool,
    /// Whether the provider is asked to hold the answer to its form.
    pub structured_output: bool,
    /// What else goes into every request, or replaces what the host writes there: an object.
    pub extra: Option<Json>,
    /// What is left out of every request: ways to members, such as `tools.function.strict`.
    pub omit: Vec<String>,
    /// What stands in the text of its replies, and is no part of what the model says.
    pub in_text: InText,
    /// How its provider is reached.
    pub connection: Connection,
}

/// How a provider is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// What goes along with every request, beside the key, or instead of it.
    pub headers: Vec<Header>,
    /// What stands in between.
    pub proxy: Proxy,
    /// The longest wait for an answer, or for the beginning of one that is streamed.
    pub timeout: Duration,
    /// The longest wait between two pieces of an answer that is streamed.
    pub idle_timeout: Duration,
}

impl Connection {
    /// Without streaming a reasoning model is silent for minutes before it answers, so only a wait that nobody would
    /// sit through counts as a failure.
    pub const TIMEOUT: Duration = Duration::from_mins(10);
    /// Reasoning that is not shown makes for long pauses.
    pub const IDLE_TIMEOUT: Duration = Duration::from_mins(5);
}

impl Default for Connection {
    fn default() -> Self {
        let (headers, proxy) = (Vec::new(), Proxy::Environment);
        Self { headers, proxy, timeout: Self::TIMEOUT, idle_timeout: Self::IDLE_TIMEOUT }
    }
}

/// A header of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: HeaderText,
}

/// The value of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderText {
    /// As it is written in agent.toml.
    Plain(String),
    /// A secret, that is kept elsewhere.
    Secret {
        /// What stands before it, such as `Bearer `.
        prefix: String,
        /// Where it is.
        source: SecretSource,
    },
}

/// What stands between the host and a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// What `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
    Environment,
    /// Nothing, whatever they say.
    Direct,
    /// This one.
    At(Url),
}

impl RemoteConfig {
    /// A model of this name, with the defaults of all that can be set besides, and without a key.
    #[must_use]
    pub fn new(api: Api, name: &str, base_url: &str) -> Self {
        Self {
            api,
            name: name.to_owned(),
            base_url: base_url.to_owned(),
            key: None,
            stream: false,
            structured_output: false,
            extra: None,
            omit: Vec::new(),
            in_text: InText::default(),
            connection: Connection::default(),
        }
    }

    /// Where the secrets are that go along with requests.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretSource> {
        let headers = self.connection.headers.iter().filter_map(|header| match &header.value {
            HeaderText::Secret { source, .. } => Some(source),
            HeaderText::Plain(_) => None,
        });
        self.key.iter().chain(headers)
    }

    /// What replies of this model say they come from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        let (provider, name) = (self.api.as_str().to_owned(), self.name.clone());
        Origin { provider, name, base_url: self.base_url.clone(), streamed: self.stream }
    }
}
