//! Conversations that go on over several runs: which there are, what was said, and how to end one.

use clap::Subcommand;
use serde::Serialize;

use super::exit::{Exit, Misuse};
use super::front;
use super::moment::Moment;
use super::places::Places;
use super::remote::{self, At, Remote};
use super::screen::{Format, Screen};
use super::words::{beginning, one_line, set_in};
use super::{print, print_json, say};
use crate::journal::{RunFile, RunSummary, ending};
use crate::message::{Ending, RunId, SessionKey};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print the list as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the sessions, by key (this is what `host sessions` alone does).
    List {
        /// Print the list as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what was asked and answered in a session, run by run.
    Show {
        /// The key.
        key: SessionKey,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// End a session: the next run with its key begins a new one. Its runs stay recorded.
    Forget {
        /// The key.
        key: SessionKey,
        /// Only take the last run out of the session, so that it goes on from the run before.
        #[arg(long)]
        last: bool,
    },
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    match args.command {
        None => list(places, &args.at, args.json).await,
        Some(Command::List { json }) => list(places, &args.at, json || args.json).await,
        Some(Command::Show { key, json }) => show(places, &args.at, &key, json || args.json).await,
        Some(Command::Forget { key, last }) => {
            args.at.nowhere("`host sessions forget`")?;
            forget(places, &key, last).await
        }
    }
}

/// A session in the list.
#[derive(Serialize)]
struct Listed {
    session: SessionKey,
    runs: usize,
    /// The last run that began, if it is still there.
    last: Option<RunSummary>,
}

async fn list(places: &Places, at: &At, json: bool) -> anyhow::Result<Exit> {
    let (listed, place) = match at.named()? {
        Some(remote) => (listed_there(&remote).await?, format!("at {}", remote.url())),
        None => (listed_here(places)?, format!("in {}", places.sessions()?.path().display())),
    };
    if json {
        print_json(&listed)?;
        return Ok(Exit::Ok);
    }
    if listed.is_empty() {
        say(format_args!("no sessions {place}"));
    }
    let width = listed.iter().map(|it| it.session.as_str().len()).max().unwrap_or_default();
    for Listed { session, runs, last } in listed {
        let (session, times) = (session.as_str(), if runs == 1 { "run " } else { "runs" });
        let last = match last {
            Some(RunSummary { agent, prompt, started_ms, state, .. }) => {
                let (agent, prompt) = (one_line(&agent), beginning(&prompt));
                format!(
                    "{}  {} {:11}  {agent}: {prompt}",
                    Moment(started_ms).to_the_second(),
                    state.mark(),
                    state.word()
                )
            }
            None => "its last run is gone".to_owned(),
        };
        print(&format!("{session:width$}  {runs:>4} {times}  {last}"))?;
    }
    Ok(Exit::Ok)
}

fn listed_here(places: &Places) -> anyhow::Result<Vec<Listed>> {
    let (sessions, runs) = (places.sessions()?, places.runs()?);
    let mut listed = Vec::new();
    for session in sessions.keys()? {
        let ids = sessions.runs(&session)?;
        let last = ids.iter().rev().find_map(|id| runs.summary(*id).transpose()).transpose()?;
        listed.push(Listed { session, runs: ids.len(), last });
    }
    Ok(listed)
}

async fn listed_there(remote: &Remote) -> anyhow::Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for session in remote::sessions(remote).await? {
        let runs = remote::session(remote, &session).await?;
        listed.push(Listed { session, runs: runs.len(), last: runs.into_iter().next_back() });
    }
    Ok(listed)
}

/// A run of a session.
#[derive(Serialize)]
struct Shown {
    run: RunId,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<RunSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending: Option<Ending>,
}

async fn show(places: &Places, at: &At, key: &SessionKey, json: bool) -> anyhow::Result<Exit> {
    let shown = match at.named()? {
        Some(remote) => shown_there(&remote, key).await?,
        None => shown_here(places, key)?,
    };
    if json {
        print_json(&shown)?;
        return Ok(Exit::Ok);
    }
    for Shown { run, summary, ending } in shown {
        let Some(RunSummary { agent, prompt, started_ms, state, .. }) = summary else {
            print(&format!("{run}  is gone, or never began"))?;
            continue;
        };
        let (mark, word) = (state.mark(), state.word());
        print(&format!("{run}  {}  {mark} {word}", Moment(started_ms).to_the_second()))?;
        print(&format!("  you: {}", set_in(&prompt, 4)))?;
        let words = match ending {
            Some(Ending::Answer(text)) => text,
            Some(Ending::Refused(text)) => format!("(refused) {text}"),
            Some(Ending::Limit(why)) => format!("(stopped) {why}"),
            Some(Ending::Unfit { answer, why }) => format!("(unfit, {}) {answer}", one_line(&why)),
            Some(Ending::Empty(why)) => format!("(empty) {why}"),
            Some(Ending::Cancelled(cancelled)) => format!("({cancelled})"),
            None => format!("(has not ended) `host resume {run}` goes on with it"),
        };
        print(&format!("  {}: {}", one_line(&agent), set_in(&words, 4)))?;
    }
    Ok(Exit::Ok)
}

fn shown_here(places: &Places, key: &SessionKey) -> anyhow::Result<Vec<Shown>> {
    let (sessions, runs) = (places.sessions()?, places.runs()?);
    let ids = sessions.runs(key)?;
    if ids.is_empty() {
        return Err(unknown(key).into());
    }
    let mut shown = Vec::new();
    for run in ids {
        let summary = runs.summary(run)?;
        let ending = runs.outline(run)?.and_then(|outline| outline.ending);
        shown.push(Shown { run, summary, ending });
    }
    Ok(shown)
}

async fn shown_there(remote: &Remote, key: &SessionKey) -> anyhow::Result<Vec<Shown>> {
    let mut shown = Vec::new();
    for RunSummary { run, .. } in remote::session(remote, key).await? {
        let RunFile { summary, entries } = remote::file(remote, &run.to_string()).await?;
        shown.push(Shown { run, ending: ending(&entries).cloned(), summary: Some(summary) });
    }
    Ok(shown)
}

async fn forget(places: &Places, key: &SessionKey, last: bool) -> anyhow::Result<Exit> {
    let engine = places.engine(None)?;
    if engine.sessions().runs(key)?.is_empty() {
        return Err(unknown(key).into());
    }
    let screen = Screen::new(Format::Text);
    let mut open = engine.take_turn(key, &front::Shown::on(&screen, places.verbose)).await?.session;
    if last {
        let run = open.forget_last().await?.ok_or_else(|| unknown(key))?;
        screen.say(&format!("the session {key} goes on without {run}, which stays recorded"));
    } else {
        open.forget().await?;
        screen.say(&format!("the session {key} has ended; its runs stay recorded"));
    }
    Ok(Exit::Ok)
}

fn unknown(key: &SessionKey) -> Misuse {
    Misuse(format!("there is no session {key}; `host sessions` lists those that there are"))
}
