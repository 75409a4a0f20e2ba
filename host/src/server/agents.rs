//! The agents that are served, by name, each loaded once for all of its runs.
//!
//! Invariant: a run goes on with the agent that it began with, and a new run takes the agent as it is now. An agent.toml
//! that breaks changes nothing: the agent that was loaded before stays, and what is wrong is told beside it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;

use super::problem::chain;
use crate::config::{Config, ConfigError};
use crate::engine::{Engine, LoadError, LoadedAgent, Purpose, Unwatched, Watcher};
use crate::model::Provider;

/// The file that makes a directory an agent.
const AGENT_TOML: &str = "agent.toml";

/// Why agents cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentsError {
    /// There is nothing to serve.
    #[error("{} is no agent.toml, and no directory with agents in it", path.display())]
    Nothing {
        /// Where one was looked for.
        path: PathBuf,
    },
    /// A directory cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Two agents have one name.
    #[error("two agents are named {name}: {} and {}; give one of them another `name` under [agent]", one.display(), other.display())]
    Twice {
        /// The name.
        name: String,
        /// The one.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// An agent.toml is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An agent cannot be loaded.
    #[error("cannot load {}", path.display())]
    Load {
        /// Its agent.toml.
        path: PathBuf,
        /// Why.
        source: Box<LoadError>,
    },
}

/// An agent that is served.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) agent: Arc<LoadedAgent>,
    /// What is wrong with its agent.toml as it is now, if it is not the one that is loaded.
    pub(super) trouble: Option<String>,
}

/// The agents that are served.
pub(super) struct Agents {
    engine: Engine,
    sources: Vec<PathBuf>,
    served: RwLock<BTreeMap<String, Served>>,
}

impl Agents {
    /// Loads every agent. One that cannot be loaded is an error: nothing is served yet that could go on without it.
    pub(super) async fn load(
        engine: &Engine,
        sources: Vec<PathBuf>,
        watcher: &dyn Watcher,
    ) -> Result<Self, AgentsError> {
        let mut served = BTreeMap::new();
        for path in files(&sources)? {
            let agent = load(engine, &path, watcher).await?;
            match served.entry(name(&agent)) {
                Entry::Occupied(other) => return Err(twice(other.get(), other.key(), path)),
                Entry::Vacant(place) => drop(place.insert(Served { agent, trouble: None })),
            }
        }
        Ok(Self { engine: engine.clone(), sources, served: RwLock::new(served) })
    }

    /// Loads every agent anew. One that breaks stays as it was. Says what went wrong, a text for each.
    pub(super) async fn reload(&self) -> Vec<String> {
        let files = match files(&self.sources) {
            Ok(files) => files,
            Err(error) => return vec![chain(&error)],
        };
        let (mut served, mut troubles) = (BTreeMap::new(), Vec::new());
        for path in files {
            let loaded = load(&self.engine, &path, &Unwatched).await;
            let now = match loaded {
                Ok(agent) => Served { agent, trouble: None },
                Err(error) => {
                    let trouble = chain(&error);
                    troubles.push(trouble.clone());
                    let before = self.all().into_iter().find(|it| it.agent.config().path == path);
                    let Some(before) = before else { continue };
                    Served { trouble: Some(trouble), ..before }
                }
            };
            match served.entry(name(&now.agent)) {
                Entry::Occupied(other) => {
                    troubles.push(chain(&twice(other.get(), other.key(), path)));
                }
                Entry::Vacant(place) => drop(place.insert(now)),
            }
        }
        *self.served.write() = served;
        troubles
    }

    /// The agent.toml files that are to be served, as far as their directories can be read.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        files(&self.sources).unwrap_or_default()
    }

    /// The files that the agents were read from: each agent.toml, scripts, texts and components. A tool that is a crate is
    /// a directory of sources, and not among them.
    pub(super) fn read(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for served in self.all() {
            read_by(&served.agent, &mut files);
        }
        files
    }

    /// An agent by its name.
    pub(super) fn get(&self, name: &str) -> Option<Arc<LoadedAgent>> {
        let served = self.served.read();
        served.get(name).map(|served| Arc::clone(&served.agent))
    }

    /// All of them, by name.
    pub(super) fn all(&self) -> Vec<Served> {
        self.served.read().values().cloned().collect()
    }
}

/// The files that an agent was read from, and those that it calls.
fn read_by(agent: &LoadedAgent, files: &mut Vec<PathBuf>) {
    let config = agent.config();
    files.push(config.path.clone());
    files.extend(config.agent.files.iter().cloned());
    files.extend(config.tools.iter().map(|tool| tool.source.clone()).filter(|source| !source.is_dir()));
    for model in std::iter::once(&config.model).chain(&config.fallbacks).chain(&config.summary) {
        match &model.provider {
            Provider::Scripted { script } => files.push(script.clone()),
            Provider::Remote(_) => {}
        }
    }
    agent.members().iter().for_each(|member| read_by(member.agent(), files));
}

fn name(agent: &LoadedAgent) -> String {
    agent.config().agent.name.clone()
}

fn twice(one: &Served, name: &str, other: PathBuf) -> AgentsError {
    AgentsError::Twice { name: name.to_owned(), one: one.agent.config().path.clone(), other }
}

async fn load(engine: &Engine, path: &Path, watcher: &dyn Watcher) -> Result<Arc<LoadedAgent>, AgentsError> {
    let config = Config::load(path)?;
    let loaded = engine.load(config, Purpose::Run, watcher).await;
    loaded.map_err(|source| AgentsError::Load { path: path.to_owned(), source: Box::new(source) })
}

/// The agent.toml files that are meant, absolute, each once.
fn files(sources: &[PathBuf]) -> Result<Vec<PathBuf>, AgentsError> {
    let mut files = Vec::new();
    for source in sources {
        let path = std::path::absolute(source).unwrap_or_else(|_| source.clone());
        if path.is_file() {
            files.push(path);
        } else if path.join(AGENT_TOML).is_file() {
            files.push(path.join(AGENT_TOML));
        } else {
            let below = below(&path)?;
            if below.is_empty() {
                return Err(AgentsError::Nothing { path });
            }
            files.extend(below);
        }
    }
    files.sort();
    files.dedup();
    Ok(files)
}

/// The agents in the directories of a directory.
fn below(path: &Path) -> Result<Vec<PathBuf>, AgentsError> {
    let unreadable =
        |error: std::io::Error| AgentsError::Unreadable { path: path.to_owned(), reason: error.to_string() };
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path().join(AGENT_TOML);
        found.extend(file.is_file().then_some(file));
    }
    Ok(found)
}
