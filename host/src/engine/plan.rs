//! From an agent and a prompt to the manifest: what a run is going to be, as it is recorded.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::catalog::LoadedAgent;
use crate::config::{Config, ModelConfig, ParameterError, Provider, render, values};
use crate::message::{
    Before, Fork, Image, Manifest, Message, ModelIdentity, Order, Origin, PricedModel, Rules, Said,
    SessionKey, ToolEntry, Words,
};

/// Everything a run is that does not come from agent.toml.
#[derive(Clone, Debug)]
pub struct Task {
    prompt: String,
    images: Vec<Image>,
    session: Option<SessionKey>,
    earlier: Vec<Message>,
    before: Option<Before>,
    parameters: BTreeMap<String, String>,
    order: Option<Order>,
    said: Vec<Said>,
    forked: Option<Fork>,
    seed: u64,
    rules: Rules,
    words: Option<Arc<Words>>,
    /// What the model was told of the tools when the run began, if it has begun.
    recorded: Vec<ToolEntry>,
}

impl Task {
    /// To answer a prompt, that was made with these values.
    #[must_use]
    pub fn new(prompt: String, parameters: BTreeMap<String, String>, seed: u64) -> Self {
        let (images, earlier, said) = (Vec::new(), Vec::new(), Vec::new());
        let (rules, words, recorded) = (Rules::NOW, Some(Arc::new(Words::now())), Vec::new());
        Self {
            prompt,
            images,
            session: None,
            earlier,
            before: None,
            parameters,
            order: None,
            said,
            forked: None,
            seed,
            rules,
            words,
            recorded,
        }
    }

    /// With pictures.
    #[must_use]
    pub fn with_images(self, images: Vec<Image>) -> Self {
        Self { images, ..self }
    }

    /// In a conversation, in which this was said before.
    #[must_use]
    pub fn in_session(self, session: Option<SessionKey>, earlier: Vec<Message>) -> Self {
        Self { session, earlier, ..self }
    }

    /// As it was ordered.
    #[must_use]
    pub fn ordered(self, order: Option<Order>) -> Self {
        Self { order, ..self }
    }

    /// With the run whose record holds the beginning of what was said before.
    #[must_use]
    pub fn going_on_from(self, before: Option<Before>) -> Self {
        Self { before, ..self }
    }

    /// What a recorded run has to do.
    #[must_use]
    pub fn of(recorded: &Manifest) -> Self {
        let Manifest {
            prompt, images, session, earlier, before, parameters, order, said, forked, seed, ..
        } = recorded.clone();
        let Manifest { rules, ref words, ref tools, .. } = *recorded;
        let (words, recorded) = (words.clone(), tools.clone());
        Self {
            prompt,
            images,
            session,
            earlier,
            before,
            parameters,
            order,
            said,
            forked,
            seed,
            rules,
            words,
            recorded,
        }
    }
}

/// What the run is going to be, as it is recorded.
pub fn manifest(agent: &LoadedAgent, task: Task) -> Result<Manifest, ParameterError> {
    manifest_of(agent.config(), agent.tools_under(task.rules, &task.recorded), task)
}

/// The same of a configuration and these tools.
pub(crate) fn manifest_of(
    config: &Config,
    tools: Vec<ToolEntry>,
    task: Task,
) -> Result<Manifest, ParameterError> {
    let Task {
        prompt,
        images,
        session,
        earlier,
        before,
        parameters,
        order,
        said,
        forked,
        seed,
        rules,
        words,
        ..
    } = task;
    // What a run was begun with goes for all of it; what came to agent.toml since has its default.
    let known: BTreeMap<String, String> =
        parameters.into_iter().filter(|(name, _)| config.parameters.contains_key(name)).collect();
    let parameters = values(&config.parameters, &known)?;
    Ok(Manifest {
        agent: config.agent.name.clone(),
        config: config.path.to_string_lossy().into_owned(),
        instructions: render("the instructions", &config.agent.instructions, &parameters)?,
        session,
        earlier,
        before,
        prompt,
        images,
        model: identity(&config.model),
        fallbacks: config.fallbacks.iter().map(priced).collect(),
        summary: config.summary.as_ref().map(priced),
        max_turns: config.limits.max_turns,
        max_calls_per_turn: config.limits.max_calls_per_turn,
        budgets: config.limits.budgets.clone(),
        compact_at_tokens: config.limits.compact_at_tokens,
        output_schema: config.agent.output_schema.clone(),
        order,
        parameters,
        approvals: config.approvals.clone(),
        tools,
        seed,
        said,
        forked,
        rules,
        words,
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
