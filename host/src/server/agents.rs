//! The agents that are served, by name, each loaded once for all of its runs.
//!
//! Invariant: a run goes on with the agent that it began with (see `versions`), and a new run takes the agent as it is
//! now. An agent.toml that breaks changes nothing: the agent that was loaded before stays, and what is wrong is told
//! beside it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, RwLock};

use super::problem::chain;
use super::versions::{Loaded, Versions};
use crate::config::{Config, ConfigError};
use crate::engine::{Engine, LoadError, LoadedAgent, Purpose, Unwatched, Watcher};
use crate::message::RunId;
use crate::model::Provider;

/// The file that makes a directory an agent.
const AGENT_TOML: &str = "agent.toml";
/// What stands in paths of the API where the name of an agent may stand.
const RESERVED: [&str; 11] = [
    "agents",
    "healthz",
    "metrics",
    "openapi.json",
    "readyz",
    "reload",
    "runs",
    "sessions",
    "ui",
    "waiting",
    "webhooks",
];

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
    /// Nobody could reach an agent by its name.
    #[error("{} cannot be served under the name {name:?}, which {why}; give it another `name` under [agent]", path.display())]
    Name {
        /// The name.
        name: String,
        /// Why it cannot be.
        why: &'static str,
        /// Its agent.toml.
        path: PathBuf,
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
    pub(super) loaded: Loaded,
    /// What is wrong with its agent.toml as it is now, if it is not the one that is loaded.
    pub(super) trouble: Option<String>,
}

/// The agents that are served.
pub(super) struct Agents {
    engine: Engine,
    sources: Vec<PathBuf>,
    served: RwLock<BTreeMap<String, Served>>,
    versions: Mutex<Versions>,
}

impl Served {
    /// The agent.
    pub(super) fn agent(&self) -> &LoadedAgent {
        &self.loaded.agent
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.agent().config().agent.name
    }
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
            let now = Served { loaded: load(engine, &path, watcher).await?, trouble: None };
            match served.entry(now.name().to_owned()) {
                Entry::Occupied(other) => return Err(twice(other.get(), other.key(), path)),
                Entry::Vacant(place) => drop(place.insert(now)),
            }
        }
        let (engine, versions) = (engine.clone(), Mutex::default());
        Ok(Self { engine, sources, served: RwLock::new(served), versions })
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
                Ok(loaded) => Served { loaded, trouble: None },
                Err(error) => {
                    let trouble = chain(&error);
                    troubles.push(trouble.clone());
                    let before = self.all().into_iter().find(|it| it.agent().config().path == path);
                    let Some(before) = before else { continue };
                    Served { trouble: Some(trouble), ..before }
                }
            };
            match served.entry(now.name().to_owned()) {
                Entry::Occupied(other) => {
                    troubles.push(chain(&twice(other.get(), other.key(), path)));
                }
                Entry::Vacant(place) => drop(place.insert(now)),
            }
        }
        let mut versions = self.versions.lock();
        for served in served.values() {
            versions.renew(&served.loaded);
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
            read_by(served.agent(), &mut files);
        }
        files
    }

    /// An agent by its name, as it is now.
    pub(super) fn get(&self, name: &str) -> Option<Loaded> {
        self.served.read().get(name).map(|served| served.loaded.clone())
    }

    /// The agent with which a run goes on: the version that it began with in this process, or else the agent as it is now.
    pub(super) fn of(&self, run: RunId, name: &str) -> Option<Loaded> {
        let began_with = self.versions.lock().of(run);
        began_with.or_else(|| self.get(name))
    }

    /// Takes in that a run goes on with an agent.
    pub(super) fn keep(&self, run: RunId, loaded: &Loaded) {
        self.versions.lock().keep(run, loaded);
    }

    /// Takes in that a run does not go on any more.
    pub(super) fn release(&self, run: RunId) {
        self.versions.lock().release(run);
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
    let sources = config.tools.iter().filter_map(|tool| tool.source.local());
    files.extend(sources.filter(|source| !source.is_dir()).map(Path::to_owned));
    for model in std::iter::once(&config.model).chain(&config.fallbacks).chain(&config.summary) {
        match &model.provider {
            Provider::Scripted { script } => files.push(script.clone()),
            Provider::Remote(_) => {}
        }
    }
    agent.members().iter().for_each(|member| read_by(member.agent(), files));
}

fn twice(one: &Served, name: &str, other: PathBuf) -> AgentsError {
    AgentsError::Twice { name: name.to_owned(), one: one.agent().config().path.clone(), other }
}

async fn load(engine: &Engine, path: &Path, watcher: &dyn Watcher) -> Result<Loaded, AgentsError> {
    let config = Config::load(path)?;
    if let Some(why) = unreachable(&config.agent.name) {
        return Err(AgentsError::Name { name: config.agent.name, why, path: path.to_owned() });
    }
    let failed = |source| AgentsError::Load { path: path.to_owned(), source: Box::new(source) };
    let agent = engine.load(config, Purpose::Run, watcher).await.map_err(failed)?;
    let unreadable = |reason: String| AgentsError::Unreadable { path: path.to_owned(), reason };
    // It reads files.
    let loaded = tokio::task::spawn_blocking(move || Loaded::of(agent)).await;
    loaded.map_err(|error| unreadable(error.to_string()))
}

/// Why an agent cannot be reached by its name: what is asked for at a path has to be that agent, whoever hands the path on.
fn unreachable(name: &str) -> Option<&'static str> {
    if RESERVED.contains(&name) {
        Some("stands for something else in the paths of the server")
    } else if [".", ".."].contains(&name) {
        Some("clients and proxies leave out of paths")
    } else if name.contains(['/', '\\']) {
        Some("parts a path in two")
    } else {
        None
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_api_has_in_a_place_of_a_name_is_reserved() {
        let described = super::super::api::described();
        for path in described.paths.paths.keys() {
            let parts: Vec<&str> = path.split('/').skip(1).collect();
            let names = [parts.first(), parts.get(1).filter(|_| parts[0] == "agents")];
            for name in names.into_iter().flatten().filter(|name| !name.starts_with('{')) {
                assert!(RESERVED.contains(name), "an agent could be named {name}, as in {path}");
            }
        }
        for name in RESERVED.iter().copied().chain([".", "..", "a/b", "a\\b"]) {
            assert!(unreachable(name).is_some(), "{name}");
        }
        for name in ["run", "weather", "runs2", "...", "%2f", "a b", "Zürich", "import"] {
            assert_eq!(unreachable(name), None, "{name}");
        }
    }
}
