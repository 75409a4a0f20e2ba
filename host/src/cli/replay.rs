use std::path::{Path, PathBuf};

use super::exit::Exit;
use super::front::Shown;
use super::output::Output;
use super::places::Places;
use super::plain::Plain;
use super::recorded;
use super::remote::{self, At};
use super::rerun::{self, Which};
use super::screen::{Format, Screen};
use crate::agent::{Agent, Ended};
use crate::config::Config;
use crate::engine::{Engine, Purpose, Rerun, Task, Told, Watcher as _, manifest, recorded_manifest};
use crate::message::Manifest;
use crate::session::{Decisions, Mode, Notice, Session};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run: its id, the beginning of it, `last`, or a file that it was sealed or exported to.
    #[arg(required_unless_present = "all")]
    run: Option<String>,
    /// Replay against this agent.toml instead of what is recorded: differences are divergences.
    #[arg(long, value_name = "AGENT.TOML")]
    config: Option<PathBuf>,
    /// Make the recorded calls of a tool again, with the inputs, the clock and the seed of then, and show what comes
    /// out differently. TOOL=FILE calls another version of it; with --server, FILE is the name of a component in the
    /// directory `components` of the server.
    #[arg(long, value_name = "TOOL[=FILE]")]
    rerun: Option<Which>,
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
    #[command(flatten)]
    at: At,
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let Args { run, config, rerun, all, allow_effects, json, output, at } = args;
    let screen = Screen::answering_to(Format::of(json), output.checked()?);
    let engine = places.engine(None)?;
    let shown = Shown::on(&screen, places.verbose);
    let (runs, name) = (engine.runs(), run.as_deref().unwrap_or_default());
    if let Some(Which { tool, component }) = rerun {
        if let Some(remote) = at.named()? {
            if all || config.is_some() {
                at.nowhere("--rerun with --all or --config")?;
            }
            let which = Which { tool, component };
            return remote::rerun(&remote, name, which, allow_effects, json).await;
        }
        let rerun = Rerun { tool: tool.clone(), component, config, allow_effects };
        let reruns = engine.reruns(rerun, &shown);
        if !all {
            let (id, entries) = recorded::read(runs, name)?;
            return rerun::run(&tool, reruns, std::iter::once((id, Ok(entries))), json).await;
        }
        let ids = runs.ids()?.into_iter();
        return rerun::run(&tool, reruns, ids.map(|id| (id, runs.read(id))), json).await;
    }
    // What a server has of a run is verified here, so that nobody need believe the server.
    let (id, entries) = recorded::read_at(&at, places, name).await?;
    let recorded = recorded_manifest(id, &entries)?.clone();
    let manifest = match &config {
        None => recorded,
        Some(path) => other_manifest(path, &recorded, &engine, &shown).await?,
    };
    if manifest.outside {
        let Ended { ending, used } = crate::gateway::verify(id, entries, &manifest).await?;
        screen.run_started(id, &manifest);
        screen.replayed();
        return screen.run_ended(id, &ending, Some(&used));
    }
    let watch = Box::new(move |notice: &Notice<'_>| shown.tell(Told::Effect(notice)));
    let session = Session::open(id, Mode::Replay, entries, &manifest, Decisions::default(), watch).await?;
    screen.run_started(id, &manifest);
    let (Ended { ending, used }, _) = Agent::recorded(manifest, session).again().await?;
    screen.replayed();
    screen.run_ended(id, &ending, Some(&used))
}

/// What the run would be with another configuration, and the same prompt and seed.
async fn other_manifest(
    path: &Path,
    recorded: &Manifest,
    engine: &Engine,
    shown: &Shown,
) -> anyhow::Result<Manifest> {
    let agent = engine.load(Config::load(path)?, Purpose::Run, shown).await.map_err(Plain::plain)?;
    Ok(manifest(&agent, Task::of(recorded))?)
}
