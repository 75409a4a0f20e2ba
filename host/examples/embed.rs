//! A program that embeds the engine: it keeps its runs in memory, has a model of its own, a tool that is a component, two
//! runs at once, and says itself whether a call may be made.
//!
//! ```sh
//! cargo run --release --example embed
//! ```

#![allow(clippy::print_stdout, reason = "it is what the example shows")]

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use futures::future::BoxFuture;
use host::config::Config;
use host::engine::{
    Engine, Front, NewRun, Nobody, Outcome, Purpose, Query, Secrets, Terms, Told, Unwatched, Watcher, Word,
};
use host::message::{Arguments, By, Ending, Message, Reply, Retry, ToolCall};
use host::model::{Model, ModelError, ModelRequest, Models};
use host::session::Notice;
use host::toolbox::{Compiler, serve_compiler_if_asked};

/// The agent. A program can read it from a file, too: `Config::load`.
const AGENT: &str = r#"
version = 1

[agent]
name = "embedded"

[model]
provider = "scripted"
script = "-"

[tools.weather]
source = "weather.wasm"

[[approval.ask]]
tool = "get_weather"
input = { city = "New*" }
"#;

/// The model: it looks the weather up in the city that it is asked about, and says what it was told.
struct Forecaster;

impl Model for Forecaster {
    fn ask<'a>(&'a self, request: &'a ModelRequest<'a>) -> BoxFuture<'a, Result<Reply, ModelError>> {
        let reply = match request.messages.last() {
            Some(Message::Tool(result)) => Reply { text: result.model_text(), ..Reply::default() },
            Some(Message::User(city)) => {
                let arguments = Arguments::parse(&serde_json::json!({ "city": city }).to_string());
                let call = ToolCall { id: "1".to_owned(), name: "get_weather".to_owned(), arguments };
                Reply { calls: vec![call], ..Reply::default() }
            }
            Some(Message::Image(_) | Message::Assistant(_)) | None => Reply::default(),
        };
        Box::pin(std::future::ready(Ok(reply)))
    }

    fn reaches_outside(&self) -> bool {
        false
    }
}

/// Prints what happens.
struct Printed;

impl Watcher for Printed {
    fn tell(&self, told: Told<'_>) {
        match told {
            Told::Began { run, manifest } => println!("{run} begins: {}", manifest.prompt),
            Told::Effect(Notice::Finished { slot, .. }) => println!("  {slot} has ended"),
            _ => {}
        }
    }
}

fn main() -> anyhow::Result<ExitCode> {
    // Components are compiled in a process of its own: this very program, which is started once more for that.
    if let Some(exit) = serve_compiler_if_asked() {
        return Ok(exit.into());
    }
    tokio::runtime::Runtime::new()?.block_on(embed())?;
    Ok(ExitCode::SUCCESS)
}

async fn embed() -> anyhow::Result<()> {
    // Runs are kept in memory. With `Engine::builder` they are kept in a directory, and outlast the program.
    let directory = tempfile::tempdir()?;
    let compiler = Compiler::new(&std::env::current_exe()?);
    let engine = Engine::in_memory(&directory.path().join("cache"), compiler).build();

    // Paths in the configuration are relative to the file that it says it is.
    let examples =
        std::path::absolute(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/weather/agent.toml"))?;
    let config = Config::parse(AGENT, &examples)?;
    let agent = engine.load(config, Purpose::Tools(Secrets::Needed), &Unwatched).await?;
    let agent = agent.replied_by(Models::only(Arc::new(Forecaster), Retry::NEVER));

    // Two runs at once. Nobody is asked while they go on, so a call that wants approval suspends its run.
    let front = Front { watcher: Arc::new(Printed), people: Arc::new(Nobody) };
    let paris = NewRun::new(Arc::clone(&agent), "Paris");
    let new_york = NewRun::new(Arc::clone(&agent), "New York");
    let (mut paris, mut new_york) =
        tokio::try_join!(engine.start(paris, front.clone()), engine.start(new_york, front.clone()))?;
    println!("Paris: {}", answer(paris.outcome().await)?);
    let Outcome::Suspended(waiting) = new_york.outcome().await else { bail!("the call was made unasked") };
    new_york.close().await;

    // Somebody decides, and the run goes on from what is recorded.
    let waiting = engine.waiting(&Query::default()).await?.items.pop().context(format!("{waiting:?}"))?;
    let run = waiting.run.run;
    let (slot, _) = engine.pending(run).await?.pop_first().context("nothing waits")?;
    let by = By { name: "ada".to_owned(), through: "embed".to_owned() };
    engine.decide(run, vec![(slot, Word::Approve { input: None, always: false })], Some(by)).await?;
    let terms = Terms { agent: Some(agent), ..Terms::default() };
    let mut new_york = engine.resume(run, terms, front).await?;
    println!("New York: {}", answer(new_york.outcome().await)?);
    Ok(())
}

fn answer(outcome: Outcome) -> anyhow::Result<String> {
    match outcome {
        Outcome::Ended { ending: Ending::Answer(answer), .. } => Ok(answer),
        other => bail!("there is no answer: {other:?}"),
    }
}
