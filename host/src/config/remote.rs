use crate::grants::SecretSource;
use crate::message::{Json, Origin};

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

/// The interfaces there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `OpenAI` chat completions, and what is compatible with them.
    OpenAi,
    /// `OpenAI` responses.
    OpenAiResponses,
    /// Anthropic messages.
    Anthropic,
    /// Google Gemini.
    Gemini,
    /// Ollama.
    Ollama,
}

impl Api {
    /// The interface of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        const ALL: [Api; 5] = [Api::OpenAi, Api::OpenAiResponses, Api::Anthropic, Api::Gemini, Api::Ollama];
        ALL.into_iter().find(|api| api.as_str() == name)
    }

    /// Its name in agent.toml.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::OpenAiResponses => "openai-responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
        }
    }

    /// The provider's own endpoint.
    #[must_use]
    pub fn base_url(self) -> &'static str {
        match self {
            Self::OpenAi | Self::OpenAiResponses => "https://api.openai.com/v1",
            Self::Anthropic => "https://api.anthropic.com",
            Self::Gemini => "https://generativelanguage.googleapis.com",
            Self::Ollama => "http://localhost:11434",
        }
    }

    /// The variable that by custom holds the key for it.
    #[must_use]
    pub fn key_variable(self) -> Option<&'static str> {
        match self {
            Self::OpenAi | Self::OpenAiResponses => Some("OPENAI_API_KEY"),
            Self::Anthropic => Some("ANTHROPIC_API_KEY"),
            Self::Gemini => Some("GEMINI_API_KEY"),
            Self::Ollama => None,
        }
    }
}

impl RemoteConfig {
    /// What replies of this model say they come from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        let (provider, name) = (self.api.as_str().to_owned(), self.name.clone());
        Origin { provider, name, base_url: self.base_url.clone(), streamed: self.stream }
    }
}
