//! Where replies come from: one trait, one file per provider, and `scripted`.
//!
//! A model turns a conversation into a [`Reply`]. It keeps nothing between requests: retry, journal and
//! replay stand around it, not in it. It fails with a [`ModelError`] that says what the provider said and
//! what to do; API keys never appear in one.

mod absent;
mod openai;
mod script;
mod scripted;

pub use absent::Absent;
pub use openai::OpenAi;
pub use script::{Script, ScriptError, Turn};
pub(crate) use script::{ScriptedReply, turns};
pub use scripted::Scripted;

use std::sync::Arc;

use futures::future::BoxFuture;
use secrecy::SecretString;

use crate::config::{ModelConfig, Provider};
use crate::message::{Message, ModelFailure, Reply, ToolSpec};

/// The model a configuration names.
pub fn connect(config: &ModelConfig) -> Result<Arc<dyn Model>, ModelError> {
    match &config.provider {
        Provider::Scripted { script } => Ok(Arc::new(Scripted::new(Script::load(script)?))),
        Provider::OpenAi { name, base_url, api_key_env } => {
            let key = api_key_env.as_deref().map(read_key).transpose()?;
            Ok(Arc::new(OpenAi::new(base_url, name, key)?))
        }
    }
}

fn read_key(variable: &str) -> Result<SecretString, ModelError> {
    let missing = |what: &str| {
        ModelError::Setup(format!(
            "the environment variable {variable} {what}\n  it holds the API key: `api_key_env` in [model] names it"
        ))
    };
    match std::env::var(variable) {
        Ok(key) if key.trim().is_empty() => Err(missing("is empty")),
        Ok(key) => Ok(SecretString::from(key.trim().to_owned())),
        Err(std::env::VarError::NotPresent) => Err(missing("is not set")),
        Err(std::env::VarError::NotUnicode(_)) => Err(missing("is not text")),
    }
}

/// A source of replies.
pub trait Model: Send + Sync {
    /// Asks for the next reply. Dropping the future cancels the request.
    fn ask<'a>(&'a self, request: &'a ModelRequest<'a>) -> BoxFuture<'a, Result<Reply, ModelError>>;

    /// Whether a request leaves this process (and may cost money): its start is then journaled durably
    /// before it is sent.
    fn reaches_outside(&self) -> bool;

    /// Called once when a run ends by itself, with the number of turns it took.
    fn finish(&self, _turns: u32) -> Result<(), ModelError> {
        Ok(())
    }
}

/// Everything a provider needs to form one request.
#[derive(Clone, Copy, Debug)]
pub struct ModelRequest<'a> {
    /// The turn, from 0.
    pub turn: u32,
    /// The attempt at this turn, from 1.
    pub attempt: u32,
    /// The system prompt; may be empty.
    pub instructions: &'a str,
    /// The conversation so far.
    pub messages: &'a [Message],
    /// The tools the model may call, in a stable order.
    pub tools: &'a [ToolSpec],
    /// Sampling temperature, if not the provider's default.
    pub temperature: Option<f64>,
    /// Upper bound for the reply, in tokens, if not the provider's default.
    pub max_tokens: Option<u64>,
}

/// Why a model gave no reply.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No connection, or one that broke.
    #[error(
        "cannot reach {url}: {reason}\n  check `base_url` in [model], the network, and that the server is running"
    )]
    Unreachable {
        /// The endpoint, without query.
        url: String,
        /// What the connection said.
        reason: String,
    },
    /// The provider refused the key.
    #[error(
        "{url} refused the API key (HTTP {status}): {message}\n  check the environment variable named by `api_key_env` in [model]"
    )]
    Unauthorized {
        /// The endpoint, without query.
        url: String,
        /// 401 or 403.
        status: u16,
        /// What the provider said.
        message: String,
    },
    /// The provider answered with an error.
    #[error("{url} answered HTTP {status}: {message}")]
    Status {
        /// The endpoint, without query.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the provider said, shortened.
        message: String,
        /// How long the provider asks to wait before a retry, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// The provider's answer cannot be read.
    #[error(
        "{url} answered with something that is not a chat completion: {reason}\n  is `base_url` in [model] an OpenAI-compatible endpoint?"
    )]
    Malformed {
        /// The endpoint, without query.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The model cannot be set up from its configuration.
    #[error("{0}")]
    Setup(String),
    /// The script does not fit the run.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The failure that a script has at this place.
    #[error("{0}")]
    Given(ModelFailure),
}

impl From<ModelError> for ModelFailure {
    fn from(error: ModelError) -> Self {
        let (may_pass, retry_after_ms) = match &error {
            ModelError::Given(failure) => return failure.clone(),
            ModelError::Unreachable { .. } => (true, None),
            // Timeouts, conflicts, too many requests, and what is the server's own fault (529: overloaded).
            ModelError::Status { status: 408 | 409 | 429 | 500..=599, retry_after_ms, .. } => {
                (true, *retry_after_ms)
            }
            ModelError::Status { .. }
            | ModelError::Unauthorized { .. }
            | ModelError::Malformed { .. }
            | ModelError::Setup(_)
            | ModelError::Script(_) => (false, None),
        };
        Self { message: error.to_string(), may_pass, retry_after_ms }
    }
}
