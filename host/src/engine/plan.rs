//! From an agent and a prompt to the manifest: what a run is going to be, as it is recorded.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::catalog::LoadedAgent;
use crate::config::{Config, ModelConfig, ParameterError, Provider, render, values};
use crate::message::{
    Before, Image, Manifest, Message, ModelIdentity, Order, Origin, PricedModel, Rules, SessionKey, Tools,
    Words,
};

/// What a run is to do: everything about it that does not come from agent.toml.
#[derive(Clone, Debug)]
pub struct Task {
    /// What comes from agent.toml stands here for nothing, but for what the model was told of the tools when the run began.
    own: Manifest,
}

impl Task {
    /// To answer a prompt, that was made with these values.
    #[must_use]
    pub fn new(prompt: String, parameters: BTreeMap<String, String>, seed: u64) -> Self {
        let (rules, words) = (Rules::NOW, Some(Arc::new(Words::now())));
        Self { own: Manifest { prompt, parameters, seed, rules, words, ..Manifest::default() } }
    }

    /// What a recorded run has to do.
    #[must_use]
    pub fn of(recorded: &Manifest) -> Self {
        Self { own: recorded.clone() }
    }

    /// With pictures.
    #[must_use]
    pub fn with_images(self, images: Vec<Image>) -> Self {
        Self { own: Manifest { images, ..self.own } }
    }

    /// In a conversation, in which this was said before.
    #[must_use]
    pub fn in_session(self, session: Option<SessionKey>, earlier: Vec<Message>) -> Self {
        Self { own: Manifest { session, earlier, ..self.own } }
    }

    /// As a program outside carries it out, whose requests are compared without what these patterns fit.
    #[must_use]
    pub fn outside(self, ignored: Vec<String>) -> Self {
        Self { own: Manifest { outside: true, ignored, ..self.own } }
    }

    /// As it was ordered.
    #[must_use]
    pub fn ordered(self, order: Option<Order>) -> Self {
        Self { own: Manifest { order, ..self.own } }
    }

    /// With the run whose record holds the beginning of what was said before.
    #[must_use]
    pub fn going_on_from(self, before: Option<Before>) -> Self {
        Self { own: Manifest { before, ..self.own } }
    }
}

/// What the run is going to be, as it is recorded.
pub fn manifest(agent: &LoadedAgent, task: Task) -> Result<Manifest, ParameterError> {
    manifest_of(agent.config(), agent.tools_under(task.own.rules, &task.own.tools), task)
}

/// The same of a configuration and these tools.
pub(crate) fn manifest_of(
    config: &Config,
    tools: Tools,
    Task { mut own }: Task,
) -> Result<Manifest, ParameterError> {
    // What a run was begun with goes for all of it; what came to agent.toml since has its default.
    own.parameters.retain(|name, _| config.parameters.contains_key(name));
    let parameters = values(&config.parameters, &own.parameters)?;
    Ok(Manifest {
        agent: config.agent.name.clone(),
        config: config.path.to_string_lossy().into_owned(),
        instructions: render("the instructions", &config.agent.instructions, &parameters)?,
        model: identity(&config.model),
        fallbacks: config.fallbacks.iter().map(priced).collect(),
        summary: config.summary.as_ref().map(priced),
        max_turns: config.limits.max_turns,
        max_calls_per_turn: config.limits.max_calls_per_turn,
        budgets: config.limits.budgets.clone(),
        compact_at_tokens: config.limits.compact_at_tokens,
        output_schema: config.agent.output_schema.clone(),
        approvals: config.approvals.clone(),
        parameters,
        tools,
        ..own
    })
}

fn priced(config: &ModelConfig) -> PricedModel {
    PricedModel { model: identity(config), prices: config.prices }
}

fn identity(config: &ModelConfig) -> ModelIdentity {
    let ModelConfig { temperature, max_tokens, .. } = *config;
    match &config.provider {
        Provider::Scripted { script } => ModelIdentity {
            provider: ModelIdentity::SCRIPTED.to_owned(),
            name: file_name(script),
            base_url: None,
            temperature,
            max_tokens,
            structured_output: false,
            extra: None,
            omit: Vec::new(),
        },
        Provider::Remote(remote) => {
            let Origin { provider, name, base_url, .. } = remote.origin();
            let (base_url, extra) = (Some(base_url), remote.extra.clone());
            let (structured_output, omit) = (remote.structured_output, remote.omit.clone());
            ModelIdentity {
                provider,
                name,
                base_url,
                temperature,
                max_tokens,
                structured_output,
                extra,
                omit,
            }
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
