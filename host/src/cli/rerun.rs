//! `host replay --rerun`: the recorded calls of a tool, made again with the inputs, the clock and the seed of then,
//! and what comes out differently. Nothing is recorded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use serde::Serialize;

use super::exit::{Exit, Misuse};
use super::places::Places;
use super::screen::Screen;
use super::words::headline;
use super::works::Works;
use super::{print, print_json, recorded};
use crate::config::Config;
use crate::dispatch::{Dispatcher, ToolRunner as _};
use crate::journal::{Entry, Finished, JournalError, Started, Status, statuses};
use crate::message::{
    ErrorKind, Manifest, Outcome, Request, RunId, Slot, ToolAsk, ToolCall, ToolEntry, ToolOutcome,
};
use crate::sandbox::Sandbox;
use crate::session::{Attempt, Decisions, Mode, Notice, Reach, Session, SessionError, diff};
use crate::toolbox::Toolbox;

/// Which tool, and where its new version is.
#[derive(Clone, Debug)]
pub(super) struct Rerun {
    tool: String,
    component: Option<PathBuf>,
}

impl FromStr for Rerun {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (tool, component) = match text.split_once('=') {
            None => (text, None),
            Some((tool, path)) => (tool, Some(PathBuf::from(path))),
        };
        let named = !tool.is_empty() && component.as_ref().is_none_or(|path| path != Path::new(""));
        ensure!(named, "write it as TOOL or TOOL=FILE");
        Ok(Self { tool: tool.to_owned(), component })
    }
}

/// How calls are made again.
pub(super) struct Terms<'a> {
    pub(super) rerun: Rerun,
    /// Instead of the agent.toml that is recorded.
    pub(super) config: Option<&'a Path>,
    /// Whether tools that can change something outside may be called.
    pub(super) allow_effects: bool,
    pub(super) places: &'a Places,
    pub(super) screen: &'a Screen,
}

/// What became of the calls of one run.
#[derive(Serialize)]
struct Report {
    run: RunId,
    #[serde(flatten)]
    calls: Calls,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Calls {
    /// They were made again.
    Made {
        /// The agent's name.
        agent: String,
        /// How many came out as recorded.
        same: usize,
        different: Vec<Difference>,
    },
    /// None was.
    NotMade { failed: String },
}

/// A call that came out differently.
#[derive(Serialize)]
struct Difference {
    slot: Slot,
    request: Request,
    recorded: ToolOutcome,
    now: ToolOutcome,
}

/// What is loaded, by agent.toml and table.
type Toolboxes = BTreeMap<(PathBuf, String), Arc<Toolbox>>;

/// A call that the tool itself answered.
struct Recorded {
    attempt: Attempt,
    ask: ToolAsk,
    outcome: ToolOutcome,
}

/// Makes the calls of the given runs again and prints what differs. Runs that did not call the tool do not count.
pub(super) async fn run(
    terms: &Terms<'_>,
    runs: impl Iterator<Item = (RunId, Result<Vec<Entry>, JournalError>)>,
    json: bool,
) -> anyhow::Result<Exit> {
    let mut toolboxes = BTreeMap::new();
    let mut reports = Vec::new();
    for (run, entries) in runs {
        let calls = match entries {
            Ok(entries) if entries.is_empty() => None,
            Ok(entries) => terms.again(run, entries, &mut toolboxes).await.transpose(),
            Err(error) => Some(Err(error.into())),
        };
        let failed = |error: anyhow::Error| Calls::NotMade { failed: format!("{error:#}") };
        reports.extend(calls.map(|calls| Report { run, calls: calls.unwrap_or_else(failed) }));
    }
    if reports.is_empty() {
        let tool = &terms.rerun.tool;
        return Err(
            Misuse(format!("no call of `{tool}` is recorded; `host runs show RUN` lists calls")).into()
        );
    }
    if json {
        print_json(&reports)?;
    } else {
        show(&reports)?;
    }
    let exit = |report: &Report| match &report.calls {
        Calls::NotMade { .. } => Exit::Failure,
        Calls::Made { different, .. } if different.is_empty() => Exit::Ok,
        Calls::Made { .. } => Exit::Divergence,
    };
    let exits: Vec<Exit> = reports.iter().map(exit).collect();
    let worst = [Exit::Failure, Exit::Divergence].into_iter().find(|exit| exits.contains(exit));
    Ok(worst.unwrap_or(Exit::Ok))
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
        session: &Arc<Session>,
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

impl Terms<'_> {
    /// Makes the calls of one run again; none if there are none.
    async fn again(
        &self,
        run: RunId,
        entries: Vec<Entry>,
        toolboxes: &mut Toolboxes,
    ) -> anyhow::Result<Option<Calls>> {
        let manifest = recorded::manifest(run, &entries)?.clone();
        let calls = calls(&self.rerun.tool, run, &manifest, entries.clone())?;
        if calls.is_empty() {
            return Ok(None);
        }
        if manifest.tools.iter().any(|tool| is_meant(&self.rerun.tool, tool) && tool.agent.is_some()) {
            let message = "it is an agent: only calls of components can be made again; `host replay RUN` goes through its run";
            return Err(Misuse(message.to_owned()).into());
        }
        let toolbox = self.toolbox(&manifest, toolboxes).await?;
        let unwatched = Box::new(|_: &Notice<'_>| {});
        let session =
            Session::open(run, Mode::Replay, entries, &manifest, Decisions::default(), unwatched).await?;
        let session = Arc::new(session);
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
        Ok(Some(Calls::Made { agent: manifest.agent, same, different }))
    }

    /// The tool alone, loaded once for each agent.toml.
    async fn toolbox(&self, manifest: &Manifest, loaded: &mut Toolboxes) -> anyhow::Result<Arc<Toolbox>> {
        let path = self.config.unwrap_or(Path::new(&manifest.config)).to_owned();
        let tool = manifest.tools.iter().find(|it| is_meant(&self.rerun.tool, it));
        let table = tool.map_or_else(String::new, |tool| tool.source.clone());
        let key = (path, table);
        if let Some(toolbox) = loaded.get(&key) {
            return Ok(Arc::clone(toolbox));
        }
        let (path, table) = &key;
        let hint = "--config AGENT.TOML names another one";
        let mut config = Config::load(path).with_context(|| format!("{} ({hint})", path.display()))?;
        config.tools.retain(|tool| tool.name == *table);
        config.agent.builtins.clear();
        config.agents.clear();
        let Some(tool) = config.tools.first_mut() else {
            return Err(Misuse(format!("{} has no [tools.{table}] ({hint})", path.display())).into());
        };
        if let Some(component) = &self.rerun.component {
            tool.source = std::path::absolute(component)?;
            // What is pinned is the version that is being replaced.
            tool.sha256 = None;
        }
        let works = Works::new(self.screen, self.places.verbose);
        let toolbox =
            Toolbox::load(&config, &Sandbox::new()?, &self.places.cache()?, &|it| works.tell(it)).await?;
        let outside = toolbox.entries().iter().any(|tool| toolbox.conduct(tool).reach == Reach::Outside);
        if outside && !self.allow_effects {
            return Err(Misuse(format!(
                "[tools.{table}] is granted more than looking: its recorded calls would take effect again\n  \
                 if that does no harm, say so with --allow-effects"
            ))
            .into());
        }
        let toolbox = Arc::new(toolbox);
        loaded.insert(key, Arc::clone(&toolbox));
        Ok(toolbox)
    }
}

/// The differences, and then a line for each run.
fn show(reports: &[Report]) -> anyhow::Result<()> {
    let mut lines = vec![format!("{:26}  {:>6}  {:>6}  {:>6}  agent", "run", "calls", "same", "differ")];
    let (mut all_same, mut all_differ) = (0, 0);
    for Report { run, calls } in reports {
        let (agent, same, different) = match calls {
            Calls::Made { agent, same, different } => (agent, same, different),
            Calls::NotMade { failed } => {
                lines.push(format!("{run}  not made again: {failed}"));
                continue;
            }
        };
        for Difference { slot, request, recorded, now } in different {
            print(&format!("run {run}  {}", headline(slot, request)))?;
            print(&diff(["recorded", "now"], recorded, now))?;
        }
        let (calls, differ) = (same + different.len(), different.len());
        lines.push(format!("{run}  {calls:>6}  {same:>6}  {differ:>6}  {agent}"));
        all_same += same;
        all_differ += differ;
    }
    let calls = all_same + all_differ;
    lines.push(format!("{:26}  {calls:>6}  {all_same:>6}  {all_differ:>6}", "all"));
    print(&lines.join("\n"))
}
