use std::path::PathBuf;

use super::exit::Exit;
use super::launch::{self, Task};
use super::output::Output;
use super::places::Places;
use super::screen::{Format, Screen};
use super::settle::{self, Settle};
use super::signals::Signals;
use super::traces::Traces;
use super::{changes, recorded, session};
use crate::journal::{Change, JournalError, JournalStore as _, ending, has_replied, used};
use crate::session::Decisions;

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
    /// Print every event as a line of JSON on stdout.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    traces: Traces,
}

pub(super) async fn run(args: Args, places: &Places, signals: &Signals) -> anyhow::Result<Exit> {
    let screen = Screen::answering_to(Format::of(args.json), args.output.checked()?);
    let runs = places.runs()?;
    let id = runs.find(&args.run)?;
    let _turn = session::take_turn_of(id, &runs, places, &screen).await?;
    if runs.is_sealed(id) {
        let entries = runs.read(id)?;
        let recorded = recorded::manifest(id, &entries)?;
        settle::settlements(&args.settle, &entries, recorded)?;
        screen.run_started(id, recorded);
        let ended = ending(&entries).ok_or(JournalError::NotBegun { run: id })?;
        return screen.run_ended(id, ended, used(&entries));
    }
    let run = runs.open(id)?;
    let entries = run.store.read(id)?;
    let recorded = recorded::manifest(id, &entries)?;
    let settlements = settle::settlements(&args.settle, &entries, recorded)?;
    // Before its first reply the model was asked for nothing that another agent.toml could contradict.
    let has_replied = has_replied(&entries);
    let change = if args.accept_changes || !has_replied { Change::Accepted } else { Change::Refused };
    let config = recorded::config(recorded, args.config.as_deref())?;
    let prepared = launch::prepare(&config, Task::of(recorded), places, &screen).await?;
    let changes = changes::between(recorded, &prepared.manifest, &entries);
    if !changes.is_empty() {
        screen.changed(&changes, &changes::what_next(id, change, has_replied));
    }
    let decisions = Decisions { settlements, change };
    launch::carry_out(run, entries, prepared, decisions, &screen, &args.traces, signals).await
}
