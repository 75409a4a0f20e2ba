use std::path::PathBuf;

use super::Api;
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

/// Where the model is.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// What else goes into every request: an object.
    pub extra: Option<Json>,
}

impl RemoteConfig {
    /// What replies of this model say they come from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        let (provider, name) = (self.api.as_str().to_owned(), self.name.clone());
        Origin { provider, name, base_url: self.base_url.clone(), streamed: self.stream }
    }
}
