use std::path::PathBuf;

use super::exit::Exit;
use super::launch::{self, Task};
use super::output::Output;
use super::places::Places;
use super::recorded;
use super::rerun::{self, Rerun, Terms};
use super::screen::{Format, Screen};
use crate::agent::{Agent, Ended};
use crate::config::Config;
use crate::message::Manifest;
use crate::session::{Decisions, Mode, Session};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run: its id, the beginning of it, `last`, or a file that it was sealed or exported to.
    #[arg(required_unless_present = "all")]
    run: Option<String>,
    /// Replay against this agent.toml instead of what is recorded: differences are divergences.
    #[arg(long, value_name = "AGENT.TOML")]
    config: Option<PathBuf>,
    /// Make the recorded calls of a tool again, with the inputs, the clock and the seed of then, and show what comes
    /// out differently. TOOL=FILE calls another version of it.
    #[arg(long, value_name = "TOOL[=FILE]")]
    rerun: Option<Rerun>,
    /// Make the calls of every run again.
    #[arg(long, requires = "rerun", conflicts_with = "run")]
    all: bool,
    /// Call the tool even if its calls can change something outside: they take effect once more.
    #[arg(long, requires = "rerun")]
    allow_effects: bool,
    /// Print every event, or with --rerun the report, as JSON on stdout.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let screen = Screen::answering_to(Format::of(args.json), args.output.checked()?);
    let runs = places.runs()?;
    let name = args.run.as_deref().unwrap_or_default();
    if let Some(rerun) = args.rerun {
        let Args { config, allow_effects, all, json, .. } = args;
        let terms = Terms { rerun, config: config.as_deref(), allow_effects, places, screen: &screen };
        if !all {
            let (id, entries) = recorded::read(&runs, name)?;
            return rerun::run(&terms, std::iter::once((id, Ok(entries))), json).await;
        }
        let ids = runs.ids()?.into_iter();
        return rerun::run(&terms, ids.map(|id| (id, runs.read(id))), json).await;
    }
    let (id, entries) = recorded::read(&runs, name)?;
    let recorded = recorded::manifest(id, &entries)?.clone();
    let manifest = match &args.config {
        None => recorded,
        Some(path) => other_manifest(path, &recorded, places, &screen).await?,
    };
    let session =
        Session::open(id, Mode::Replay, entries, &manifest, Decisions::default(), screen.watch()).await?;
    screen.run_started(id, &manifest);
    let (Ended { ending, used }, _) = Agent::recorded(manifest, session).again().await?;
    screen.replayed();
    screen.run_ended(id, &ending, Some(&used))
}

/// What the run would be with another configuration, and the same prompt and seed.
async fn other_manifest(
    path: &std::path::Path,
    recorded: &Manifest,
    places: &Places,
    screen: &Screen,
) -> anyhow::Result<Manifest> {
    let config = Config::load(path)?;
    Ok(launch::prepare(&config, Task::of(recorded), places, screen).await?.manifest)
}
