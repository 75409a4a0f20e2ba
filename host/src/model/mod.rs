//! Where replies come from: one trait, one file per provider, and `scripted`; `api` lists the providers.
//!
//! A model turns a conversation into a [`Reply`]. It keeps nothing between requests: retry, journal and
//! replay stand around it, not in it. It fails with a [`ModelError`] that says what the provider said and
//! what to do; API keys never appear in one.

mod absent;
mod anthropic;
mod api;
mod error;
mod gemini;
mod models;
mod ollama;
mod openai_chat;
mod openai_responses;
mod remote;
mod script;
mod scripted;
mod settings;

pub use absent::Absent;
pub use api::Api;
pub use error::ModelError;
pub use models::{Models, WhoseTurn};
pub use remote::{Clients, Heard, Hears, InText, NotPassed, Passed, ReasoningTags, TextCalls, Upstream};
pub use script::{Script, ScriptError, Turn};
pub(crate) use script::{ScriptedReply, turns};
pub use scripted::Scripted;
pub use settings::{Connection, Header, HeaderText, ModelConfig, Provider, Proxy, RemoteConfig};

use std::sync::Arc;

use futures::future::BoxFuture;
use secrecy::SecretString;

use crate::grants::{SecretSource, read_secret};
use crate::message::{Caller, Dialect, Json, Message, ModelIdentity, Reply, ToolSpec};

/// The model a configuration names.
pub fn connect(config: &ModelConfig) -> Result<Arc<dyn Model>, ModelError> {
    connect_by(&Clients::default(), config)
}

/// The same, by clients that it shares with others.
fn connect_by(clients: &Clients, config: &ModelConfig) -> Result<Arc<dyn Model>, ModelError> {
    let remote = match &config.provider {
        Provider::Scripted { script } => return Ok(Arc::new(Scripted::new(Script::load(script)?))),
        Provider::Remote(remote) => remote,
    };
    let key = remote.key.as_ref().map(read_key).transpose()?;
    remote.api.connect(remote, key, clients)
}

/// A provider, by each interface that it has.
pub type Upstreams = Vec<(Dialect, Arc<dyn Upstream>)>;

/// The provider of a model as one that requests of other programs are passed on to, by each interface that it has.
pub fn upstreams(config: &RemoteConfig, clients: &Clients) -> Result<Upstreams, ModelError> {
    let key = config.key.as_ref().map(read_key).transpose()?;
    let passing = config.api.passing().map(|(dialect, api)| {
        let config = RemoteConfig { api, extra: None, structured_output: false, ..config.clone() };
        Ok((dialect, api.upstream(&config, key.clone(), clients)?))
    });
    passing.collect()
}

/// The model of a recorded run, to write requests with as they were sent, streamed or not: it has no key.
pub fn from_identity(identity: &ModelIdentity, stream: bool) -> Result<Arc<dyn Model>, ModelError> {
    let ModelIdentity { provider, name, base_url, structured_output, extra, omit, .. } = identity.clone();
    let (Some(api), Some(base_url)) = (Api::named(&provider), base_url) else { return Ok(Arc::new(Absent)) };
    let remote =
        RemoteConfig { stream, structured_output, extra, omit, ..RemoteConfig::new(api, &name, &base_url) };
    connect(&ModelConfig {
        provider: Provider::Remote(remote),
        temperature: None,
        max_tokens: None,
        prices: None,
    })
}

fn read_key(source: &SecretSource) -> Result<SecretString, ModelError> {
    let help = match source {
        SecretSource::Env(_) => {
            "set it to the API key, or let `api_key_env` in [model] name another variable"
        }
        SecretSource::File(_) => {
            "write the API key into it, or let `api_key_file` in [model] name another file"
        }
    };
    read_secret(source).map_err(|reason| ModelError::Secret {
        kept_in: source.clone(),
        reason,
        help: help.to_owned(),
    })
}

/// A source of replies.
pub trait Model: Send + Sync {
    /// Asks for the next reply. Dropping the future cancels the request.
    fn ask<'a>(&'a self, request: &'a ModelRequest<'a>) -> BoxFuture<'a, Result<Reply, ModelError>>;

    /// The request as it is sent, without the key: JSON. What a model that is sent nothing reads is what was said.
    fn written(&self, request: &ModelRequest<'_>) -> Result<String, ModelError> {
        serde_json::to_string(request.messages).map_err(|error| ModelError::Setup(error.to_string()))
    }

    /// Whether it can be offered these tools, and held to this form of an answer if it is to be; the error names what it
    /// does not take, and the rule that is broken.
    fn takes(&self, _tools: &[ToolSpec], _form: Option<&Json>) -> Result<(), ModelError> {
        Ok(())
    }

    /// Whether a request leaves this process (and may cost money): its start is then journaled durably
    /// before it is sent.
    fn reaches_outside(&self) -> bool;

    /// Whether it has the provider stream its answers.
    fn streams(&self) -> bool {
        false
    }

    /// Called once when a run ends by itself, with the number of turns it took.
    fn finish(&self, _turns: u32) -> Result<(), ModelError> {
        Ok(())
    }
}

/// What a model is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The reply of a turn.
    Reply,
    /// A summary of what was said before the turn.
    Summary,
}

/// Everything a provider needs to form one request.
#[derive(Clone, Copy)]
pub struct ModelRequest<'a> {
    /// The turn, from 0.
    pub turn: u32,
    /// What the reply is for.
    pub purpose: Purpose,
    /// The attempt at this turn, from 1.
    pub attempt: u32,
    /// The system prompt; may be empty.
    pub instructions: &'a str,
    /// The conversation so far.
    pub messages: &'a [Message],
    /// The tools the model may call, in a stable order.
    pub tools: &'a [ToolSpec],
    /// The JSON Schema of the reply that is an answer, for a provider that is to hold the model to it.
    pub form: Option<&'a Json>,
    /// Sampling temperature, if not the provider's default.
    pub temperature: Option<f64>,
    /// Upper bound for the reply, in tokens, if not the provider's default.
    pub max_tokens: Option<u64>,
    /// The span in whose course it is sent, if that is exported.
    pub span: Option<&'a Caller>,
    /// Hears the text of a reply as it comes, where the provider streams it.
    pub heard: &'a (dyn Fn(&str) + Send + Sync),
}

impl<'a> ModelRequest<'a> {
    /// A request for a reply, of which no more is known than what was said.
    #[must_use]
    pub fn of(messages: &'a [Message]) -> Self {
        Self {
            turn: 0,
            purpose: Purpose::Reply,
            attempt: 1,
            instructions: "",
            messages,
            tools: &[],
            form: None,
            temperature: None,
            max_tokens: None,
            span: None,
            heard: &|_| {},
        }
    }

    /// The request as a model's settings would have it.
    #[must_use]
    pub fn with(self, settings: &ModelIdentity) -> Self {
        let ModelIdentity { temperature, max_tokens, .. } = *settings;
        Self { temperature, max_tokens, ..self }
    }
}
