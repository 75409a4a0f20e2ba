//! The recorded calls of a tool, made again with the inputs, the clock and the seed of then. Nothing is recorded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Engine;
use super::catalog::LoadError;
use super::records::recorded_manifest;
use super::watch::Watcher;
use crate::config::{Config, ConfigError, Source};
use crate::dispatch::{Dispatcher, ToolRunner as _};
use crate::journal::{Entry, Finished, JournalError, Started, Status, statuses};
use crate::message::{
    ErrorKind, Manifest, Outcome, Request, RunId, Slot, ToolAsk, ToolCall, ToolEntry, ToolOutcome,
};
use crate::session::{Attempt, Decisions, Execution, Mode, Notice, Reach, Session, SessionError};
use crate::toolbox::Toolbox;

/// Which calls are made again, and how.
#[derive(Clone, Debug, Default)]
pub struct Rerun {
    /// The tool, by the name that the model called, or by that of its table in agent.toml.
    pub tool: String,
    /// Another version of its component.
    pub component: Option<PathBuf>,
    /// Another agent.toml than the recorded one.
    pub config: Option<PathBuf>,
    /// Whether tools that can change something outside may be called.
    pub allow_effects: bool,
}

/// What became of the calls of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Reran {
    /// The agent's name.
    pub agent: String,
    /// How many calls came out as recorded.
    pub same: usize,
    /// The others.
    pub different: Vec<Difference>,
}

/// A call that came out differently.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Difference {
    /// Where.
    pub slot: Slot,
    /// The call.
    pub request: Request,
    /// What is recorded.
    pub recorded: ToolOutcome,
    /// What came out now.
    pub now: ToolOutcome,
}

/// Why calls are not made again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RerunError {
    /// What was called is an agent.
    #[error("it is an agent: only calls of components can be made again")]
    IsAgent,
    /// Its agent.toml is wrong.
    #[error("{}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<ConfigError>,
    },
    /// There is no such tool any more.
    #[error("{} has no [tools.{table}]", path.display())]
    NoTable {
        /// The agent.toml.
        path: PathBuf,
        /// The table.
        table: String,
    },
    /// The calls would take effect again.
    #[error("[tools.{table}] is granted more than looking: its recorded calls would take effect again")]
    Effects {
        /// The table.
        table: String,
    },
    /// The path of the other component cannot be made absolute.
    #[error("cannot find {}: {reason}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The tool cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// What is recorded cannot be read.
    #[error(transparent)]
    Recorded(#[from] SessionError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Makes the calls of several runs again, with tools that are loaded once.
pub struct Reruns<'a> {
    engine: &'a Engine,
    rerun: Rerun,
    watcher: &'a dyn Watcher,
    /// What is loaded, by agent.toml and table.
    toolboxes: BTreeMap<(PathBuf, String), Arc<Toolbox>>,
}

impl Engine {
    /// Makes ready to make recorded calls of a tool again.
    pub fn reruns<'a>(&'a self, rerun: Rerun, watcher: &'a dyn Watcher) -> Reruns<'a> {
        Reruns { engine: self, rerun, watcher, toolboxes: BTreeMap::new() }
    }
}

impl Reruns<'_> {
    /// Makes the calls of one run again; `None` if it did not call the tool.
    pub async fn again(&mut self, run: RunId, entries: Vec<Entry>) -> Result<Option<Reran>, RerunError> {
        let manifest = recorded_manifest(run, &entries)?.clone();
        let calls = calls(&self.rerun.tool, run, &manifest, entries.clone())?;
        if calls.is_empty() {
            return Ok(None);
        }
        if manifest.tools.iter().any(|tool| is_meant(&self.rerun.tool, tool) && tool.agent.is_some()) {
            return Err(RerunError::IsAgent);
        }
        let toolbox = self.toolbox(&manifest).await?;
        let unwatched = Box::new(|_: &Notice<'_>| {});
        let session =
            Session::open(run, Mode::Replay, entries, &manifest, Decisions::default(), unwatched).await?;
        let session: Arc<dyn Execution> = Arc::new(session);
        let tools = manifest.tools.iter().map(|tool| renewed(tool, toolbox.entries())).collect();
        let manifest = Manifest { tools, ..manifest };
        let dispatcher = Arc::new(Dispatcher::new(&manifest, toolbox, 1));
        let (mut same, mut different) = (0, Vec::new());
        for call in calls {
            match call.again(&dispatcher, &session).await? {
                None => same += 1,
                Some(difference) => different.push(difference),
            }
        }
        Ok(Some(Reran { agent: manifest.agent, same, different }))
    }

    /// The tool alone, loaded once for each agent.toml.
    async fn toolbox(&mut self, manifest: &Manifest) -> Result<Arc<Toolbox>, RerunError> {
        let Rerun { tool: name, component, config, allow_effects } = &self.rerun;
        let path = config.as_deref().unwrap_or(Path::new(&manifest.config)).to_owned();
        let table = manifest.tools.iter().find(|it| is_meant(name, it));
        let key = (path, table.map_or_else(String::new, |tool| tool.source.clone()));
        if let Some(toolbox) = self.toolboxes.get(&key) {
            return Ok(Arc::clone(toolbox));
        }
        let (path, table) = key.clone();
        let config = Config::load(&path)
            .map_err(|source| RerunError::Config { path: path.clone(), source: Box::new(source) })?;
        let config = alone(config, &table, component.as_deref())?;
        let config = config.ok_or_else(|| RerunError::NoTable { path, table: table.clone() })?;
        let toolbox = self.engine.load_tools(&config, self.watcher).await?;
        let outside = toolbox.entries().iter().any(|tool| toolbox.conduct(tool).reach == Reach::Outside);
        if outside && !allow_effects {
            return Err(RerunError::Effects { table });
        }
        self.toolboxes.insert(key, Arc::clone(&toolbox));
        Ok(toolbox)
    }
}

/// A configuration that has one tool alone, with another component if there is one; `None` if it has no such tool.
fn alone(mut config: Config, table: &str, component: Option<&Path>) -> Result<Option<Config>, RerunError> {
    config.tools.retain(|tool| tool.name == table);
    config.agent.builtins.clear();
    config.agents.clear();
    let Some(tool) = config.tools.first_mut() else { return Ok(None) };
    if let Some(component) = component {
        let component = std::path::absolute(component)
            .map_err(|error| RerunError::Path { path: component.to_owned(), reason: error.to_string() })?;
        tool.source = Source::Local(component);
        // What is pinned is the version that is being replaced.
        tool.sha256 = None;
    }
    Ok(Some(config))
}

/// A call that the tool itself answered.
struct Recorded {
    attempt: Attempt,
    ask: ToolAsk,
    outcome: ToolOutcome,
}

/// The recorded calls of a tool, by the name the model called or by that of its table in agent.toml.
fn calls(
    tool: &str,
    run: RunId,
    manifest: &Manifest,
    entries: Vec<Entry>,
) -> Result<Vec<Recorded>, SessionError> {
    let names: Vec<&str> =
        manifest.tools.iter().filter(|it| is_meant(tool, it)).map(|it| it.spec.name.as_str()).collect();
    let slots = statuses(entries).map_err(|(slot, error)| SessionError::Order { slot, error })?;
    let call = |(slot, status): (Slot, Status)| {
        let Status::Finished { started, finished, .. } = status else { return None };
        let (Started { request: Request::Tool(ask), attempt, at_ms, .. }, false) =
            (started, finished.settled)
        else {
            return None;
        };
        let Finished { outcome: Outcome::Tool(outcome), .. } = finished else { return None };
        // An agent that was called has tools of its own, whatever they are called.
        let is_own = slot.run() == Slot::RUN;
        let made = is_own && names.contains(&ask.name.as_str()) && was_made(&outcome);
        let attempt = Attempt::new(run, manifest.seed, &slot, attempt, at_ms);
        made.then_some(Recorded { attempt, ask, outcome })
    };
    Ok(slots.into_iter().filter_map(call).collect())
}

/// A recorded tool as it is now, if it is one of those that are called again. Its calls are still known by the
/// component and the grants of then.
fn renewed(tool: &ToolEntry, now: &[ToolEntry]) -> ToolEntry {
    let now = now.iter().find(|now| now.spec.name == tool.spec.name).unwrap_or(tool);
    ToolEntry { component: tool.component, grants: tool.grants, ..now.clone() }
}

fn is_meant(tool: &str, entry: &ToolEntry) -> bool {
    entry.spec.name == tool || entry.source == tool
}

/// Whether the tool was called at all.
fn was_made(outcome: &ToolOutcome) -> bool {
    match outcome {
        ToolOutcome::Output(_) => true,
        ToolOutcome::Error(error) => !matches!(
            error.kind,
            ErrorKind::UnknownTool | ErrorKind::NotCalled | ErrorKind::TooManyCalls | ErrorKind::InDoubt
        ),
    }
}

impl Recorded {
    /// Makes the call again; what differs, if anything does. What the tool itself calls is not called again: it gets
    /// what is recorded.
    async fn again(
        self,
        dispatcher: &Arc<Dispatcher>,
        session: &Arc<dyn Execution>,
    ) -> Result<Option<Difference>, SessionError> {
        let Self { attempt, ask, outcome: recorded } = self;
        let slot = attempt.slot.clone();
        let ToolAsk { name, arguments, .. } = ask.clone();
        let call = ToolCall { id: slot.to_string(), name, arguments };
        let now = Dispatcher::call_once(dispatcher, session, &call, attempt).await?;
        // As JSON, so that white space and the order of keys say nothing.
        let same = serde_json::to_value(&recorded).ok() == serde_json::to_value(&now).ok();
        Ok((!same).then_some(Difference { slot, request: Request::Tool(ask), recorded, now }))
    }
}
