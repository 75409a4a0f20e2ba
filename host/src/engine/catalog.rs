//! Agents, loaded: their tools are built and admitted, their models are set up, and below each stand the agents that it
//! calls.
//!
//! What is loaded belongs to no run: any number of runs share it. A run brings its prompt, its seed and its rules. It
//! fails with a [`LoadError`], which shows the place in agent.toml.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;

use super::plan::{Task, manifest};
use crate::config::{Config, ConfigError, ModelConfig, ParameterError, SubAgent};
use crate::dispatch::{agent_entry, builtin_entry};
use crate::gateway::Provider;
use crate::message::{Manifest, Rules, ToolEntry, Tools};
use crate::model::{Clients, ModelError, Models};
use crate::sandbox::{EngineError, Sandbox};
use crate::toolbox::{CacheError, ComponentCache, Project, Tell, Toolbox, ToolboxError};

/// An agent that is ready to run.
pub struct LoadedAgent {
    config: Config,
    toolbox: Arc<Toolbox>,
    /// What it offers, which all of its runs share.
    tools: Tools,
    models: Models,
    /// What requests of programs are passed on to, if programs may use it.
    provider: Option<Arc<Provider>>,
    members: Arc<[Member]>,
}

/// An agent that another agent calls like a tool.
pub struct Member {
    /// The NAME of its `[tools.NAME]` table.
    table: String,
    prefix: String,
    max_repeats: Option<u32>,
    description: String,
    agent: LoadedAgent,
    /// What each of its runs does. The prompt comes with the call.
    manifest: Manifest,
}

/// What an agent is loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To run: its models are set up, and every secret has to be at hand.
    Run,
    /// To be looked at: its models are set up, and no secret is read.
    Inspection,
    /// To have its tools called without its models.
    Tools(Secrets),
}

/// Whether the tools of an agent have their secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// Every secret has to be at hand.
    Needed,
    /// No secret is read, so that no tool can send one.
    LeftOut,
}

impl Purpose {
    fn secrets(self) -> Secrets {
        match self {
            Self::Run => Secrets::Needed,
            Self::Inspection => Secrets::LeftOut,
            Self::Tools(secrets) => secrets,
        }
    }
}

/// Why an agent cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Its agent.toml is wrong, or something that it names.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// One of its tools is not available.
    #[error(transparent)]
    Toolbox(#[from] ToolboxError),
    /// One of its models cannot be set up, or does not take its tools.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A parameter has no value, or there is no such parameter.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// The directory of compiled components cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The machine has no room for the sandbox.
    #[error(transparent)]
    Sandbox(#[from] EngineError),
    /// One of the agents that it calls cannot be loaded.
    #[error("[tools.{table}] is the agent {}", path.display())]
    Member {
        /// The NAME of the `[tools.NAME]` table.
        table: String,
        /// The file of that agent.
        path: PathBuf,
        /// Why.
        source: Box<LoadError>,
    },
}

/// What loading needs of the engine.
pub(super) struct Loader<'a> {
    pub(super) sandbox: &'a Sandbox,
    pub(super) cache: &'a ComponentCache,
    pub(super) clients: &'a Clients,
    /// Directories that no tool may be granted.
    pub(super) own: Vec<&'a Path>,
    pub(super) purpose: Purpose,
    pub(super) tell: &'a Tell<'a>,
}

impl Loader<'_> {
    /// Loads an agent and the agents that it calls, and checks what their files say of each other.
    pub(super) async fn load(&self, mut config: Config) -> Result<LoadedAgent, LoadError> {
        let mut agents = config.sub_agents()?;
        if self.purpose.secrets() == Secrets::LeftOut {
            config.secrets.clear();
            agents.iter_mut().for_each(SubAgent::forget_secrets);
        }
        let project = Project::of(&config.path);
        self.agent(config, agents, &project).await
    }

    /// Loads an agent that belongs to a project: whether it is there by itself or called by another one of it.
    fn agent<'l>(
        &'l self,
        config: Config,
        agents: Vec<SubAgent>,
        project: &'l Project,
    ) -> BoxFuture<'l, Result<LoadedAgent, LoadError>> {
        Box::pin(async move {
            // A key that is missing is said before anything is built.
            let connected = match self.purpose {
                Purpose::Run => Some(self.models(&config)?),
                Purpose::Inspection | Purpose::Tools(_) => None,
            };
            let in_file = |error: ToolboxError| LoadError::from(error.in_file(&config));
            Toolbox::keep_apart(&config, &self.own).map_err(in_file)?;
            let toolbox = Toolbox::load_for(&config, project, self.sandbox, self.cache, self.tell).await;
            let mut toolbox = toolbox.map_err(in_file)?;
            let mut members = Vec::new();
            for agent in agents {
                let (table, path) = (agent.table.clone(), agent.config.path.clone());
                let member = self.member(agent, project).await;
                let member =
                    member.map_err(|source| LoadError::Member { table, path, source: Box::new(source) })?;
                toolbox.offer(member.entry(Rules::NOW, None)).map_err(in_file)?;
                members.push(member);
            }
            toolbox.check_names(&config).map_err(in_file)?;
            let models = connected.map_or_else(|| self.models(&config), Ok)?;
            let (toolbox, members) = (Arc::new(toolbox), members.into());
            let tools = Tools::from(toolbox.entries().to_vec());
            let provider = self.provider(&config)?;
            let agent = LoadedAgent { config, toolbox, tools, models, provider, members };
            agent.models.take(&agent.tools.offered(), agent.config.agent.output_schema.as_ref())?;
            Ok(agent)
        })
    }

    async fn member(&self, agent: SubAgent, project: &Project) -> Result<Member, LoadError> {
        let SubAgent { table, prefix, max_repeats, description, config, agents } = agent;
        let agent = self.agent(config, agents, project).await?;
        // Its prompt comes with each call, its seed is that of the run that calls it, and so are its rules and the words.
        let task = Task::new(String::new(), BTreeMap::new(), 0);
        let manifest = Manifest { rules: Rules::default(), words: None, ..manifest(&agent, task)? };
        Ok(Member { table, prefix, max_repeats, description, agent, manifest })
    }

    fn provider(&self, config: &Config) -> Result<Option<Arc<Provider>>, LoadError> {
        if config.gateway.is_none() || self.purpose != Purpose::Run {
            return Ok(None);
        }
        let provider = Provider::connect(&config.model, self.clients);
        Ok(Some(Arc::new(provider.map_err(|error| misled(config, error))?)))
    }

    fn models(&self, config: &Config) -> Result<Models, LoadError> {
        match self.purpose {
            Purpose::Tools(_) => Ok(Models::absent()),
            Purpose::Run => connected(config, self.clients),
            Purpose::Inspection => {
                let models: Vec<ModelConfig> =
                    config.models().map(|model| model.clone().without_secrets()).collect();
                let summary = config.summary.clone().map(ModelConfig::without_secrets);
                let models = Models::connect(&models, summary.as_ref(), config.model_retry, self.clients);
                models.map_err(|error| misled(config, error))
            }
        }
    }
}

/// The models of an agent.
fn connected(config: &Config, clients: &Clients) -> Result<Models, LoadError> {
    let models = Models::connect(config.models(), config.summary.as_ref(), config.model_retry, clients);
    models.map_err(|error| misled(config, error))
}

/// An error of a model, in agent.toml if its cause stands there.
fn misled(config: &Config, error: ModelError) -> LoadError {
    match config.misled(&error) {
        Some(in_file) => in_file.into(),
        None => error.into(),
    }
}

impl LoadedAgent {
    /// The same with another model in the place of its own: one that the program itself is, for instance. The record still
    /// names the model of its configuration.
    #[must_use]
    pub fn replied_by(&self, models: Models) -> Arc<Self> {
        Arc::new(self.with(models))
    }

    /// The same with models that are set up anew.
    pub(super) fn with_new_models(&self, clients: &Clients) -> Result<Self, LoadError> {
        Ok(self.with(connected(&self.config, clients)?))
    }

    fn with(&self, models: Models) -> Self {
        let Self { config, toolbox, tools, provider, members, .. } = self;
        let (config, toolbox, provider) = (config.clone(), Arc::clone(toolbox), provider.clone());
        Self { config, toolbox, tools: tools.clone(), models, provider, members: Arc::clone(members) }
    }

    /// Its configuration. Without its secrets, if they were left out.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What its model is offered, and the tools that are hidden from it, by name.
    #[must_use]
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// The same in a run that goes by these rules, and of which these tools are recorded if it has begun: the host's own
    /// tools may have been others, and what the host said of them.
    #[must_use]
    pub fn tools_under(&self, rules: Rules, recorded: &[ToolEntry]) -> Tools {
        if rules == Rules::NOW && recorded.is_empty() {
            return self.tools.clone();
        }
        let under = |tool: &ToolEntry| {
            let recorded = recorded.iter().find(|it| it.spec.name == tool.spec.name);
            match (tool.builtin, self.member(&tool.spec.name)) {
                (Some(builtin), _) => builtin_entry(builtin, rules).told_as(recorded),
                (None, Some(member)) => member.entry(rules, recorded),
                (None, None) => tool.clone(),
            }
        };
        self.tools().iter().map(under).collect()
    }

    /// Who calls its components.
    #[must_use]
    pub fn toolbox(&self) -> &Arc<Toolbox> {
        &self.toolbox
    }

    /// Who replies.
    #[must_use]
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// What requests of programs are passed on to, if programs may use it.
    #[must_use]
    pub fn provider(&self) -> Option<&Arc<Provider>> {
        self.provider.as_ref()
    }

    /// The agents that it calls.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name() == name)
    }
}

impl Member {
    /// The tool that it is to its caller, in a run that goes by these rules, and of which this is recorded if it has begun.
    #[must_use]
    pub fn entry(&self, rules: Rules, recorded: Option<&ToolEntry>) -> ToolEntry {
        let tools = recorded.and_then(|it| it.agent.as_deref()).map_or(&[][..], |agent| &agent.tools);
        // The prompt comes with the call.
        let manifest = Manifest { tools: self.agent.tools_under(rules, tools), ..self.manifest.clone() };
        let entry = agent_entry(&self.table, &self.prefix, &self.description, manifest);
        ToolEntry { max_repeats: self.max_repeats, ..entry }.told_as(recorded)
    }

    /// What its caller calls it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}{}", self.prefix, self.table)
    }

    /// The agent itself.
    #[must_use]
    pub fn agent(&self) -> &LoadedAgent {
        &self.agent
    }
}
