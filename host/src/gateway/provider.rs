use std::collections::HashMap;
use std::sync::Arc;

use super::scripted;
use crate::message::{Dialect, Reply, Wire};
use crate::model::{
    Clients, Heard, Hears, ModelConfig, ModelError, NotPassed, Passed, Provider as Configured, Script,
    Scripted, Upstream, upstreams,
};

/// The provider that requests of programs are passed on to: the one of `[model]`.
pub enum Provider {
    /// One that is reached by each of these interfaces.
    Remote(HashMap<Dialect, Arc<dyn Upstream>>),
    /// A script, which is reached by all of them.
    Scripted(Scripted),
}

/// A request that is passed on.
pub(super) struct Passing<'a> {
    pub(super) dialect: Dialect,
    pub(super) model: &'a str,
    pub(super) stream: bool,
    pub(super) body: &'a serde_json::Value,
    /// The same as it is sent.
    pub(super) sent: Passed<'a>,
    pub(super) attempt: u32,
    /// What tells the reply from others.
    pub(super) id: &'a str,
}

impl Provider {
    /// The provider of a model.
    pub fn connect(config: &ModelConfig, clients: &Clients) -> Result<Self, ModelError> {
        let remote = match &config.provider {
            Configured::Scripted { script } => {
                return Ok(Self::Scripted(Scripted::new(Script::load(script)?)));
            }
            Configured::Remote(remote) => remote,
        };
        let upstreams: HashMap<_, _> = upstreams(remote, clients)?.into_iter().collect();
        if upstreams.is_empty() {
            let name = remote.api.as_str();
            return Err(ModelError::Setup(format!(
                "[gateway] passes requests on by the interfaces of OpenAI, Anthropic and Gemini, and `provider = \"{name}\"` has another one: name the same server under `provider = \"openai\"`, with the `base_url` under which it is compatible with that"
            )));
        }
        Ok(Self::Remote(upstreams))
    }

    /// Whether requests by this interface can be passed on.
    #[must_use]
    pub fn takes(&self, dialect: Dialect) -> bool {
        match self {
            Self::Remote(upstreams) => upstreams.contains_key(&dialect),
            Self::Scripted(_) => true,
        }
    }

    /// Whether a request leaves this process.
    pub(super) fn reaches_outside(&self) -> bool {
        matches!(self, Self::Remote(_))
    }

    /// Any way to the provider, for requests that are not recorded.
    #[must_use]
    pub fn any(&self) -> Option<&Arc<dyn Upstream>> {
        match self {
            Self::Remote(upstreams) => upstreams.values().next(),
            Self::Scripted(_) => None,
        }
    }

    /// Passes a request on, and reads the reply.
    pub(super) async fn pass(&self, passing: Passing<'_>, hears: Hears<'_>) -> Result<Reply, NotPassed> {
        let Passing { dialect, model, stream, body, sent, attempt, id } = passing;
        let (reply, wire) = match self {
            Self::Scripted(script) => {
                let reply = scripted::reply(script, dialect, body, attempt).await?;
                let wire = scripted::written(dialect, model, stream, &reply, id);
                if wire.is_stream() {
                    hears(Heard::Stream(wire.status, wire.headers.clone()));
                    wire.body.split_inclusive("\n\n").for_each(|event| hears(Heard::Events(event)));
                }
                (reply, wire)
            }
            Self::Remote(upstreams) => {
                let missing = || ModelError::Setup(format!("the provider is not reached by {dialect}"));
                let upstream = upstreams.get(&dialect).ok_or_else(missing)?;
                let wire = upstream.pass(sent, hears).await?;
                (upstream.read(&wire).await?, wire)
            }
        };
        let wire: Arc<Wire> = Arc::new(wire);
        // What the provider said is in there as it came.
        Ok(Reply { items: None, wire: Some(wire), ..named(reply, model) })
    }
}

/// The program may have asked for another model than the one of agent.toml.
fn named(mut reply: Reply, model: &str) -> Reply {
    if let Some(origin) = &mut reply.origin {
        model.clone_into(&mut origin.name);
    }
    reply
}
