//! `host runs`: the runs that there are, newest first.

use std::collections::BTreeSet;

use console::Term;

use super::errors::say_error;
use super::exit::{Exit, Misuse};
use super::layout::{LongWord, laid_out, width_of};
use super::moment::Moment;
use super::paged::page;
use super::places::Places;
use super::remote::{self, At, Remote};
use super::words::{beginning, one_line};
use super::{print, print_json, say};
use crate::engine::{Engine, Page, Query};
use crate::journal::{JournalError, RunState, RunSummary};

/// A line that goes on is set in by so much.
const HANGING: usize = 4;

/// Which runs are listed.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Which {
    /// List only the newest N runs.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// List only runs of the agent with this name.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// List only runs in this state: running, interrupted, suspended, answered, limited, or another one of the list.
    /// `--state` does the same with such a word, unless it is the name of a directory.
    #[arg(long, value_name = "STATE", value_parser = state)]
    status: Option<RunState>,
}

/// A state by the word that the list has for it.
fn state(word: &str) -> Result<RunState, String> {
    serde_json::from_value(word.into()).map_err(|error| error.to_string())
}

impl Which {
    /// The same, with what the other one says besides.
    pub(super) fn or(self, other: Self) -> Self {
        let Self { limit, agent, status } = self;
        Self { limit: limit.or(other.limit), agent: agent.or(other.agent), status: status.or(other.status) }
    }

    fn query(&self) -> Query {
        let (agent, state, limit) = (self.agent.clone(), self.status, self.limit);
        Query { agent, state, limit, ..Query::default() }
    }
}

/// What was found, and where.
struct Found {
    summaries: Vec<RunSummary>,
    /// Why runs cannot be read.
    unreadable: Vec<String>,
    place: String,
    /// The agents of which there are runs, if no run was found.
    agents: BTreeSet<String>,
}

pub(super) async fn list(places: &Places, at: &At, which: &Which, json: bool) -> anyhow::Result<Exit> {
    // The word may be meant for the list, where `--state` is the directory everywhere else.
    let (places, word) = places.or_word(|word| state(word).ok());
    let which = which.clone().or(Which { status: word, ..Which::default() });
    let found = match at.named()? {
        Some(remote) => Found::there(&remote, &which).await?,
        None => Found::here(&places, &which).await?,
    };
    let Found { summaries, unreadable, place, agents: there } = found;
    for error in &unreadable {
        say_error(error);
    }
    let exit = if unreadable.is_empty() { Exit::Ok } else { Exit::Failure };
    if let Some(name) = which.agent.as_ref().filter(|name| !there.contains(*name) && !there.is_empty()) {
        let there: Vec<String> = there.iter().map(|agent| one_line(agent)).collect();
        let message =
            format!("no run is of the agent `{}`\n  there are runs of: {}", one_line(name), there.join(", "));
        return Err(Misuse(message).into());
    }
    if json {
        print_json(&summaries)?;
        return Ok(exit);
    }
    if summaries.is_empty() && unreadable.is_empty() {
        let like_this = if which.status.is_some() && !there.is_empty() { "such " } else { "" };
        say(format_args!("no {like_this}runs {place}"));
    }
    let line = |RunSummary { run, agent, prompt, started_ms, state, .. }: RunSummary| {
        let (agent, prompt) = (one_line(&agent), beginning(&prompt));
        let (started, mark) = (Moment(started_ms).to_the_second(), state.mark());
        let line = format!("{run}  {started}  {mark} {:11}  {agent}: {prompt}", state.word());
        laid_out(&line, width_of(&Term::stdout()), HANGING, LongWord::Broken)
    };
    let lines: Vec<String> = summaries.into_iter().map(line).collect();
    match exit {
        _ if lines.is_empty() => {}
        Exit::Ok => page(&lines.join("\n"))?,
        // A pager would say that all is well.
        _ => print(&lines.join("\n"))?,
    }
    Ok(exit)
}

impl Found {
    async fn here(places: &Places, which: &Which) -> anyhow::Result<Self> {
        let engine = places.engine(None)?;
        let Page { items: summaries, unreadable, .. } = engine.list(&which.query()).await?;
        let unreadable = unreadable.iter().map(|(_, error)| error.to_string()).collect();
        let agents = if summaries.is_empty() { agents(&engine).await? } else { BTreeSet::new() };
        let place = format!("in {}", engine.runs().place().display());
        Ok(Self { summaries, unreadable, place, agents })
    }

    async fn there(remote: &Remote, which: &Which) -> anyhow::Result<Self> {
        let Which { limit, agent, status } = which.clone();
        let asked = remote::Which { agent, state: status, limit };
        let (summaries, unreadable) = remote::runs(remote, &asked).await?;
        let mut agents = BTreeSet::new();
        if summaries.is_empty() {
            let all = remote::runs(remote, &remote::Which::default()).await?.0;
            agents.extend(all.into_iter().map(|run| run.agent));
        }
        Ok(Self { summaries, unreadable, place: format!("at {}", remote.url()), agents })
    }
}

/// The agents of which there are runs.
async fn agents(engine: &Engine) -> Result<BTreeSet<String>, JournalError> {
    Ok(engine.list(&Query::default()).await?.items.into_iter().map(|run| run.agent).collect())
}
