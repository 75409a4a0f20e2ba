//! Agents that are tools of other agents: their files, read and held against each other.
//!
//! What one agent's tools are granted must not give away what another one keeps: whoever can change any agent.toml of
//! them decides what all of them do.

use std::path::{Path, PathBuf};

use super::{Config, ConfigError, KeyPath, ModelConfig};
use crate::grants::{Access, SecretSource};

/// So deep agents call agents, and no deeper: each level is a run of its own that somebody has to understand.
pub const AGENT_DEPTH_MAX: usize = 3;

/// An agent that another one has for a tool, and those that it has itself.
#[derive(Clone, Debug, PartialEq)]
pub struct SubAgent {
    /// The NAME of the `[tools.NAME]` table.
    pub table: String,
    /// Put before the name.
    pub prefix: String,
    /// How many turns in a row may call it alike, if it has a number of its own; 0 for any number.
    pub max_repeats: Option<u32>,
    /// What its model's caller is told of it.
    pub description: String,
    /// Its own file.
    pub config: Config,
    /// Those that it calls.
    pub agents: Vec<SubAgent>,
}

impl Config {
    /// Reads the files of the agents that this one can call, and of those that they can.
    pub fn sub_agents(&self) -> Result<Vec<SubAgent>, ConfigError> {
        let agents = below(self, &[self])?;
        let mut all = vec![self];
        for agent in &agents {
            agent.collect(&mut all);
        }
        for (at, one) in all.iter().enumerate() {
            let mut others = all.iter().enumerate().filter(|(other, _)| *other != at);
            others.try_for_each(|(_, other)| apart(one, other))?;
        }
        Ok(agents)
    }
}

impl SubAgent {
    /// Leaves out where the secrets are, its own and those of the agents that it calls.
    pub fn forget_secrets(&mut self) {
        self.config.secrets.clear();
        self.agents.iter_mut().for_each(Self::forget_secrets);
    }

    /// All files, this one's first.
    fn collect<'a>(&'a self, all: &mut Vec<&'a Config>) {
        all.push(&self.config);
        for agent in &self.agents {
            agent.collect(all);
        }
    }
}

/// The agents below the last one of those that wait for each other.
fn below(config: &Config, waiting: &[&Config]) -> Result<Vec<SubAgent>, ConfigError> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let load = |tool: &super::AgentTool| {
        let fail = |message: String, help: &str| {
            let at = KeyPath::new(["tools", &tool.name, "agent"]);
            config.text.wrong(&at, format!("[tools.{}]: {message}", tool.name), help.to_owned())
        };
        let path = super::file_of(&tool.path);
        let chain = || {
            let waiting = waiting.iter().map(|config| config.path.as_path()).chain([path.as_path()]);
            waiting.map(|path| path.display().to_string()).collect::<Vec<_>>().join(" > ")
        };
        if waiting.iter().any(|waiting| real(&waiting.path) == real(&path)) {
            let message = format!("agents cannot call each other in a cycle: {}", chain());
            return Err(fail(message, "take one of them out"));
        }
        if waiting.len() > AGENT_DEPTH_MAX {
            let message = format!("agents call each other at most {AGENT_DEPTH_MAX} deep: {}", chain());
            return Err(fail(message, "have one of them do the work of the next"));
        }
        let called = Config::load(&path)?;
        let Some(description) = called.agent.description.clone() else {
            let message = format!("{} does not say what the agent does", called.path.display());
            return Err(fail(message, "add `description = \"…\"` under its [agent]: the model reads that"));
        };
        let capped = waiting.iter().any(|caller| caller.limits.budgets.max_cost_usd.is_some());
        if capped && unpriced(&called) {
            let path = called.path.display();
            let message = format!("max_cost_usd needs to know what tokens cost, and {path} does not say it");
            let help = "add `prices = { input = …, output = … }` under its [model], each [[model.fallback]] and \
                        [model.summary]: what an agent spends counts for those that call it";
            return Err(fail(message, help));
        }
        let agents = below(&called, &[waiting, &[&called]].concat())?;
        let (table, prefix, max_repeats) = (tool.name.clone(), tool.prefix.clone(), tool.max_repeats);
        Ok(SubAgent { table, prefix, max_repeats, description, config: called, agents })
    };
    config.agents.iter().map(load).collect()
}

/// Whether a model has no prices that this agent may ask.
fn unpriced(config: &Config) -> bool {
    config.all_models().any(|model| model.prices.is_none())
}

/// Checks that no tool of one agent is granted what another agent keeps.
fn apart(one: &Config, other: &Config) -> Result<(), ConfigError> {
    let keys = other.all_models().flat_map(ModelConfig::secrets);
    let kept: Vec<&SecretSource> = other.secrets.values().chain(keys).collect();
    let deciding: Vec<&Path> = std::iter::once(other.path.as_path())
        .chain(other.tools.iter().filter_map(|tool| tool.source.local()))
        .collect();
    for tool in &one.tools {
        let fail = |key: &str, text: &str, what: String, help: &str| {
            let message = format!("[tools.{}]: {what} {}", tool.name, other.path.display());
            let at = KeyPath::new(["tools", &tool.name, "permissions", key]).to(text);
            one.text.wrong(&at, message, help.to_owned())
        };
        for dir in &tool.grants.dirs {
            let Ok(real) = dir.path.canonicalize() else { continue };
            let holds = |file: &Path| file.canonicalize().is_ok_and(|file: PathBuf| file.starts_with(&real));
            let secret = kept.iter().any(|source| matches!(source, SecretSource::File(file) if holds(file)));
            if secret {
                let what = format!("the directory \"{}\" holds a secret or key of", dir.written);
                return Err(fail(
                    "dirs",
                    &dir.written,
                    what,
                    "keep the file elsewhere, or grant another directory",
                ));
            }
            if dir.access == Access::Rw && deciding.iter().any(|file| holds(file)) {
                let what = format!("the directory \"{}\" holds what decides on", dir.written);
                let help = "a tool that can change it could grant itself anything; grant a directory of its own, or `read`";
                return Err(fail("dirs", &dir.written, what, help));
            }
        }
        let seen =
            |name: &String| kept.iter().any(|source| matches!(source, SecretSource::Env(env) if env == name));
        if let Some(name) = tool.grants.env.iter().find(|name| seen(name)) {
            return Err(fail(
                "env",
                name,
                format!("env has {name}, a secret or key of"),
                "no tool may see it; take it out of the list",
            ));
        }
    }
    Ok(())
}
