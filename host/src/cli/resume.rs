use std::path::PathBuf;

use super::exit::Exit;
use super::front::{follow, front};
use super::output::Output;
use super::person::at_terminal;
use super::places::Places;
use super::remote::{self, At};
use super::screen::{Format, Screen};
use super::settle::{Settle, of_resume};
use super::signals::Signals;
use super::traces::{Traces, caller};
use crate::engine::Terms;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run: its id, the beginning of it, or `last`.
    run: String,
    /// Decide what becomes of a call that is in doubt: SLOT=retry calls it again, SLOT=failed lets it count as
    /// failed, SLOT=result:FILE takes the JSON in FILE for its output. May be given several times.
    #[arg(long = "settle", value_name = "SLOT=HOW")]
    settle: Vec<Settle>,
    /// Where the run's agent.toml is now, if it was moved.
    #[arg(long, value_name = "AGENT.TOML")]
    config: Option<PathBuf>,
    /// Go on although agent.toml or a tool has changed since: what is recorded is kept, the rest is carried out
    /// as things are now.
    #[arg(long)]
    accept_changes: bool,
    /// Revive a run that somebody cancelled: it goes on where it stood. That it was cancelled, and who has it go on,
    /// stays recorded. No other run that has ended can go on.
    #[arg(long)]
    again: bool,
    /// Print every event as a line of JSON on stdout.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    traces: Traces,
    #[command(flatten)]
    at: At,
}

pub(super) async fn run(args: Args, places: &Places, signals: &Signals) -> anyhow::Result<Exit> {
    let Args { run, settle, config, accept_changes, again, json, output, traces, at } = args;
    let screen = Screen::answering_to(Format::of(json), output.checked()?);
    let settlements = settle.iter().map(Settle::read).collect::<anyhow::Result<Vec<_>>>()?;
    // What nobody works on is for whoever has the files: its agent where it is now, and a run that was cancelled.
    if config.is_some() || again {
        at.nowhere("--config or --again")?;
    } else if let Some(remote) = at.found(places)? {
        return remote::resume(&remote, &run, settlements, accept_changes, &screen, signals).await;
    }
    let engine = places.engine(traces.exporter(&screen))?;
    let id = engine.runs().find(&run)?;
    let terms = Terms {
        settlements,
        accept_changes,
        again,
        config,
        agent: None,
        by: Some(at_terminal()),
        caller: caller(&screen),
        desk: None,
    };
    let front = front(&screen, places.verbose, &engine);
    let handle = engine.resume(id, terms, front).await.map_err(|error| of_resume(error, &settle))?;
    follow(handle, &screen, signals).await
}
