//! The agents that an agent calls, each loaded with all of its own: model, tools, grants, limits, approvals.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::future::BoxFuture;

use super::launch::{self, Task};
use super::person::AtTerminal;
use super::places::Places;
use super::screen::Screen;
use super::works::Works;
use crate::agent::{CalledAgent, CalledAgents};
use crate::config::{Config, SubAgent};
use crate::dispatch::{Dispatcher, agent_entry};
use crate::message::{Manifest, Rules, ToolEntry};
use crate::model::Models;
use crate::sandbox::Sandbox;
use crate::toolbox::{Toolbox, ToolboxError};

/// An agent that can be called.
pub(super) struct Member {
    pub(super) entry: ToolEntry,
    pub(super) config: Config,
    pub(super) loaded: Loaded,
    pub(super) manifest: Manifest,
}

/// What an agent can call: components, and other agents.
pub(super) struct Loaded {
    pub(super) toolbox: Arc<Toolbox>,
    pub(super) members: Vec<Member>,
}

impl Loaded {
    /// Loads the tools of an agent, and the agents among them, for a run of these rules, and checks what agent.toml says
    /// of them.
    pub(super) async fn load(
        config: &Config,
        rules: Rules,
        places: &Places,
        screen: &Screen,
    ) -> anyhow::Result<Self> {
        Self::of(config, config.sub_agents()?, rules, &Sandbox::new()?, places, screen).await
    }

    /// The same, without any secret: none has to be at hand, and no tool can send one.
    pub(super) async fn load_without_secrets(
        mut config: Config,
        places: &Places,
        screen: &Screen,
    ) -> anyhow::Result<Self> {
        let mut agents = config.sub_agents()?;
        config.secrets.clear();
        agents.iter_mut().for_each(SubAgent::forget_secrets);
        Self::of(&config, agents, Rules::NOW, &Sandbox::new()?, places, screen).await
    }

    fn of<'a>(
        config: &'a Config,
        agents: Vec<SubAgent>,
        rules: Rules,
        sandbox: &'a Sandbox,
        places: &'a Places,
        screen: &'a Screen,
    ) -> BoxFuture<'a, anyhow::Result<Self>> {
        Box::pin(async move {
            let works = Works::new(screen, places.verbose);
            let cache = places.cache()?;
            let (runs, sessions) = (places.runs()?, places.sessions()?);
            let in_file = |error: ToolboxError| error.in_file(config);
            let own = [cache.directory(), runs.path(), runs.journal_path(), sessions.path()];
            Toolbox::keep_apart(config, &own).map_err(in_file)?;
            let toolbox =
                Toolbox::load(config, sandbox, &cache, &|it| works.tell(it)).await.map_err(in_file)?;
            let mut toolbox = toolbox.keeping_to(rules);
            let mut members = Vec::new();
            for agent in agents {
                let SubAgent { table, prefix, max_repeats, description, config, agents } = agent;
                let of_agent = || format!("[tools.{table}] is the agent {}", config.path.display());
                let loaded =
                    Self::of(&config, agents, rules, sandbox, places, screen).await.with_context(of_agent)?;
                // Its prompt comes with each call, and its seed is that of the run that calls it.
                let task = Task::new(String::new(), BTreeMap::new(), 0);
                let manifest = launch::manifest(&config, &loaded.toolbox, task).with_context(of_agent)?;
                // It goes by the rules of whatever run it is called in.
                let manifest = Manifest { rules: Rules::default(), ..manifest };
                let entry = agent_entry(&table, &prefix, &description, manifest.clone());
                let entry = ToolEntry { max_repeats, ..entry };
                toolbox.offer(entry.clone()).map_err(in_file)?;
                members.push(Member { entry, config, loaded, manifest });
            }
            toolbox.check_names(config).map_err(in_file)?;
            Ok(Self { toolbox: Arc::new(toolbox), members })
        })
    }

    /// The agents, ready to be called, each attended by whoever attends the run.
    pub(super) fn callable(self, person: &AtTerminal) -> anyhow::Result<CalledAgents> {
        let members: anyhow::Result<Vec<_>> =
            self.members.into_iter().map(|member| member.callable(person)).collect();
        Ok(CalledAgents::new(members?))
    }
}

impl Member {
    /// Who replies when the agent is called.
    pub(super) fn models(&self) -> anyhow::Result<Models> {
        let of_agent =
            || format!("[tools.{}] is the agent {}", self.entry.source, self.config.path.display());
        let models = launch::models(&self.config).with_context(of_agent)?;
        models.take(&self.manifest.offered(), self.manifest.output_schema.as_ref()).with_context(of_agent)?;
        Ok(models)
    }

    fn callable(self, person: &AtTerminal) -> anyhow::Result<(String, CalledAgent)> {
        let models = self.models()?;
        let Self { entry, config, loaded, manifest } = self;
        let person = person.beside(&config, &manifest);
        let (toolbox, limits) = (Arc::clone(&loaded.toolbox), &config.limits);
        let dispatcher = Dispatcher::new(&manifest, toolbox, limits.max_parallel_tools);
        let dispatcher = dispatcher.calling(Arc::new(loaded.callable(&person)?));
        let dispatcher = Arc::new(dispatcher.attended_by(Arc::new(person)));
        let wall_time = limits.wall_time_ms.map(Duration::from_millis);
        Ok((entry.spec.name, CalledAgent { manifest, models, dispatcher, wall_time }))
    }
}
