use std::path::{Path, PathBuf};

use super::exit::{Exit, Misuse};
use super::launch::{self, Task};
use super::output::Output;
use super::places::Places;
use super::prompt::Prompt;
use super::screen::{Format, Screen};
use super::signals::Signals;
use super::traces::Traces;
use super::words::beginning;
use super::{AgentArg, script, session};
use crate::config::Config;
use crate::message::{RunId, SessionKey};
use crate::session::Decisions;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    agent: AgentArg,
    #[command(flatten)]
    prompt: Prompt,
    /// Go on with the conversation of this key, or begin it. Its runs take turns. A key has 1 to 64 of the
    /// characters A-Z a-z 0-9 _ - . @ :
    #[arg(long, value_name = "KEY")]
    session: Option<SessionKey>,
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

pub(super) async fn run(args: Args, places: &Places, signals: &Signals) -> anyhow::Result<Exit> {
    let screen = Screen::answering_to(Format::of(args.json), args.output.checked()?);
    no_prompt(&args.agent.agent)?;
    let config = Config::load(&args.agent.agent)?;
    let parameters = args.prompt.parameters(&config)?;
    let prompt = args.prompt.text(&config, &parameters)?;
    let images = args.prompt.images()?;
    let runs = places.runs()?;
    let (mut open, mut earlier) = (None, Vec::new());
    if let Some(key) = &args.session {
        let taken = session::take_turn(key, places, &screen).await?;
        earlier = session::said(&taken, key, &runs, &config.agent.name).await?;
        open = Some(taken);
    }
    let id = RunId::new();
    let task = Task::new(prompt, parameters, id.seed()).with_images(images);
    let task = task.in_session(args.session, earlier);
    let prepared = launch::prepare(&config, task, places, &screen).await?;
    let run = runs.create(id)?;
    if let Some(open) = &mut open {
        open.add(id)?;
    }
    let exit =
        launch::carry_out(run, Vec::new(), prepared, Decisions::default(), &screen, &args.traces, signals)
            .await?;
    if let Some(file) = &args.record {
        script::write(&runs, id, file, &screen)?;
    }
    Ok(exit)
}

/// Says where a prompt belongs, if it stands where the agent does.
fn no_prompt(agent: &Path) -> Result<(), Misuse> {
    let text = agent.to_string_lossy();
    let looks_like_a_path = text.contains("://")
        || [".toml", ".wasm"].iter().any(|end| text.ends_with(end))
        || text.contains('/') && !text.contains(char::is_whitespace);
    if looks_like_a_path || agent.exists() {
        return Ok(());
    }
    let text = beginning(&text);
    let word =
        if text.contains(['"', '\\', '$', '`', '…']) { "PROMPT".to_owned() } else { format!("\"{text}\"") };
    Err(Misuse(format!(
        "there is no file or directory \"{text}\": the agent comes first, and the prompt after it\n  type: host run agent.toml {word}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_in_the_place_of_the_agent_is_told_from_a_path() {
        for (text, typed) in [
            ("hello", "agent.toml \"hello\""),
            ("What is 1/2?", "agent.toml \"What is 1/2?\""),
            ("say \"hi\"", "agent.toml PROMPT"),
            ("two\nlines", "agent.toml \"two\""),
            (&"x".repeat(5000), "agent.toml PROMPT"),
        ] {
            let told = no_prompt(Path::new(text)).map_err(|error| error.to_string());
            assert!(told.as_ref().is_err_and(|told| told.ends_with(typed)), "{told:?}");
        }
        for path in ["no/such/agent", "agents/a.toml", "x.wasm", "oci://ghcr.io/x", "src"] {
            assert!(no_prompt(Path::new(path)).is_ok(), "{path}");
        }
    }
}
