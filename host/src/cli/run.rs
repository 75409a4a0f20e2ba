use std::path::{Path, PathBuf};

use super::exit::{Exit, Misuse};
use super::front::{follow, front};
use super::output::Output;
use super::places::Places;
use super::plain::Plain;
use super::prompt::Prompt;
use super::remote::{self, Asked, At, Remote};
use super::screen::{Format, Screen};
use super::signals::Signals;
use super::traces::{Traces, caller};
use super::words::beginning;
use super::{AgentArg, script};
use crate::config::Config;
use crate::engine::{NewRun, Purpose};
use crate::message::SessionKey;

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
    #[command(flatten)]
    at: At,
}

pub(super) async fn run(args: Args, places: &Places, signals: &Signals) -> anyhow::Result<Exit> {
    let screen = Screen::answering_to(Format::of(args.json), args.output.checked()?);
    if let Some(remote) = args.at.named()? {
        return run_there(&remote, args, &screen, signals).await;
    }
    no_prompt(&args.agent.agent)?;
    let config = Config::load(&args.agent.agent)?;
    let parameters = args.prompt.parameters(&config)?;
    let prompt = args.prompt.text(&config, &parameters)?;
    let images = args.prompt.images()?;
    let engine = places.engine(args.traces.exporter(&screen))?;
    let front = front(&screen, places.verbose, &engine);
    let agent = engine.load(config, Purpose::Run, &*front.watcher).await.map_err(Plain::plain)?;
    let new = NewRun::new(agent, prompt).parameters(parameters).images(images).session(args.session);
    let new = new.caller(caller(&screen));
    let handle = engine.start(new, front).await.map_err(Plain::plain)?;
    let id = handle.id();
    let exit = follow(handle, &screen, signals).await?;
    if let Some(file) = &args.record {
        script::write(engine.runs(), id, file, &screen)?;
    }
    Ok(exit)
}

/// Runs an agent of a server, by its name there.
async fn run_there(remote: &Remote, args: Args, screen: &Screen, signals: &Signals) -> anyhow::Result<Exit> {
    if args.record.is_some() {
        args.at.nowhere("--record")?;
    }
    let agent = args.agent.agent.to_string_lossy();
    let given = args.prompt.given()?;
    let prompt = args.prompt.text_for(&given, || remote.defaults(&agent)).await?;
    let (images, session) = (args.prompt.images()?, args.session);
    let asked = Asked { prompt, parameters: given, images, session };
    remote::begin(remote, &agent, asked, screen, signals).await
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
        for path in ["no/such/agent", "agents/a.toml", "x.wasm", "oci://registry.example/x", "src"] {
            assert!(no_prompt(Path::new(path)).is_ok(), "{path}");
        }
    }
}
