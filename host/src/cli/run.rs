use std::path::PathBuf;

use super::exit::Exit;
use super::launch::{self, Task};
use super::output::Output;
use super::places::Places;
use super::prompt::Prompt;
use super::screen::{Format, Screen};
use super::traces::Traces;
use super::{AgentArg, script};
use crate::config::Config;
use crate::message::RunId;
use crate::session::Decisions;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    agent: AgentArg,
    #[command(flatten)]
    prompt: Prompt,
    /// Write what the model replied into a script, from which `provider = "scripted"` replies the same.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Print every event as a line of JSON on stdout.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    traces: Traces,
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let screen = Screen::answering_to(Format::of(args.json), args.output.checked()?);
    let config = Config::load(&args.agent.agent)?;
    let parameters = args.prompt.parameters(&config)?;
    let prompt = args.prompt.text(&config, &parameters)?;
    let id = RunId::new();
    let task = Task::new(prompt, parameters, id.seed()).with_images(args.prompt.images()?);
    let prepared = launch::prepare(&config, task, places, &screen).await?;
    let runs = places.runs()?;
    let run = runs.create(id)?;
    let exit =
        launch::carry_out(run, Vec::new(), prepared, Decisions::default(), &screen, &args.traces).await?;
    if let Some(file) = &args.record {
        script::write(&runs, id, file, &screen)?;
    }
    Ok(exit)
}
