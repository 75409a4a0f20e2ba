use std::path::PathBuf;
use std::sync::Arc;

use super::exit::Exit;
use super::places::Places;
use super::screen::{Format, Screen};
use super::{launch, recorded};
use crate::agent::{Agent, RunError};
use crate::config::Config;
use crate::dispatch::{Dispatcher, NoRunner};
use crate::message::{Ending, Manifest};
use crate::model::Absent;
use crate::session::{Decisions, Mode, Session, SessionError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run: its id, the beginning of it, `last`, or a file that it was sealed or exported to.
    run: String,
    /// Replay against this agent.toml instead of what is recorded: differences are divergences.
    #[arg(long, value_name = "AGENT.TOML")]
    config: Option<PathBuf>,
    /// Print every event as a line of JSON on stdout.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let screen = Screen::new(Format::of(args.json));
    let (id, entries) = recorded::read(&places.runs()?, &args.run)?;
    let recorded = recorded::manifest(id, &entries)?.clone();
    let manifest = match &args.config {
        None => recorded,
        Some(path) => other_manifest(path, recorded, places, &screen).await?,
    };
    let session =
        Session::open(id, Mode::Replay, entries, &manifest, Decisions::default(), screen.watch()).await?;
    screen.run_started(id, &manifest);
    let recorded_ending = session.recorded_ending().cloned();
    let max_parallel = manifest.max_calls_per_turn;
    let agent = Agent {
        dispatcher: Arc::new(Dispatcher::new(&manifest, Arc::new(NoRunner), max_parallel)),
        manifest: Arc::new(manifest),
        session: Arc::new(session),
        model: Arc::new(Absent),
    };
    let ended = match (agent.run(None).await, recorded_ending) {
        // Wall time stopped the run in the middle of things: as far as it went, it is the recorded one.
        (Err(RunError::Session(SessionError::Unfinished { .. })), Some(ending @ Ending::Limit(_))) => {
            Ok(ending)
        }
        (ended, _) => ended,
    };
    let ending = ended?;
    screen.replayed();
    screen.run_ended(id, &ending)
}

/// What the run would be with another configuration, and the same prompt and seed.
async fn other_manifest(
    path: &std::path::Path,
    recorded: Manifest,
    places: &Places,
    screen: &Screen,
) -> anyhow::Result<Manifest> {
    let config = Config::load(path)?;
    let Manifest { prompt, seed, .. } = recorded;
    Ok(launch::prepare(&config, prompt, seed, places, screen).await?.manifest)
}
