use std::path::PathBuf;

use super::exit::Exit;
use super::launch::{self, Task};
use super::places::Places;
use super::screen::{Format, Screen};
use super::{AgentArg, script};
use crate::config::Config;
use crate::message::RunId;
use crate::session::Decisions;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    agent: AgentArg,
    /// What to ask, instead of the prompt in agent.toml.
    prompt: Option<String>,
    /// Write what the model replied into a script, from which `provider = "scripted"` replies the same.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Print every event as a line of JSON on stdout.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let screen = Screen::new(Format::of(args.json));
    let config = Config::load(&args.agent.agent)?;
    let Some(prompt) = args.prompt.or_else(|| config.agent.prompt.clone()) else {
        anyhow::bail!(
            "nothing to ask: give a prompt as an argument, or set `prompt` under [agent] in {}",
            config.path.display()
        );
    };
    let id = RunId::new();
    let prepared = launch::prepare(&config, Task::new(prompt, id.seed()), places, &screen).await?;
    let runs = places.runs()?;
    let run = runs.create(id)?;
    let exit = launch::carry_out(run, Vec::new(), prepared, Decisions::default(), &screen).await?;
    if let Some(file) = &args.record {
        script::write(&runs, id, file, &screen)?;
    }
    Ok(exit)
}
