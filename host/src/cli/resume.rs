use std::path::Path;

use super::exit::Exit;
use super::launch;
use super::places::Places;
use super::screen::{Format, Screen};
use crate::config::Config;
use crate::journal::{Entry, Event, JournalError, JournalStore as _};
use crate::message::{Manifest, Request, RunId, Slot};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run: its id, the beginning of it, or `last`.
    run: String,
    /// Print every event as a line of JSON on stdout.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let screen = Screen::new(Format::of(args.json));
    let runs = places.runs()?;
    let id = runs.find(&args.run)?;
    let run = runs.open(id)?;
    let entries = run.store.read(id)?;
    let recorded = recorded_manifest(id, &entries)?;
    let config = Config::load(Path::new(&recorded.config))?;
    let prepared = launch::prepare(&config, recorded.prompt.clone(), recorded.seed, places, &screen).await?;
    launch::carry_out(run, entries, prepared, &screen).await
}

/// What the run was begun with.
pub(super) fn recorded_manifest(run: RunId, entries: &[Entry]) -> Result<&Manifest, JournalError> {
    let begun = entries.iter().find_map(|entry| match &entry.event {
        Event::Started(started) if entry.slot == Slot::RUN => match &started.request {
            Request::Run(manifest) => Some(manifest),
            Request::Model(_) | Request::Tool(_) => None,
        },
        Event::Started(_) | Event::Finished(_) => None,
    });
    begun.ok_or(JournalError::NotBegun { run })
}
