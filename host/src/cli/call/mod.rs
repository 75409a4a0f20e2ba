//! `host call`: one call of one tool, as an agent would make it, without a model and without a script.
//!
//! The call is a real one: the input is checked, the tool gets the grants and limits of agent.toml and nothing else, and
//! what it calls itself is called. A component alone is granted nothing. Nothing is recorded: there is no model to go
//! on with, so that there is nothing to resume. What the person types counts as approved; what agent.toml denies is
//! denied.

mod input;

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;

use super::elsewhere::fetched;
use super::exit::{Exit, Misuse};
use super::front::Shown;
use super::places::Places;
use super::plain::Plain;
use super::print;
use super::screen::{Format, Screen};
use super::signed::Offered;
use super::target::Target;
use super::words::one_line;
use crate::config::Config;
use crate::dispatch::{Dispatcher, Person, Spoken};
use crate::engine::{Task, manifest_of};
use crate::journal::MemoryStore;
use crate::message::{
    Arguments, Decision, ErrorKind, Json, Manifest, RunId, Slot, ToolAsk, ToolCall, ToolEntry, ToolOutcome,
    clean, visible_json,
};
use crate::session::{Decisions, Execution, Mode, Session, SessionError};
use crate::toolbox::Toolbox;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An agent.toml, a .wasm component, the directory of an agent or of a tool, or a component elsewhere: an https://
    /// URL, or `oci://REGISTRY/REPOSITORY:TAG`. A component or a crate alone is granted nothing.
    #[arg(value_name = "AGENT.TOML|WASM|DIR|REF")]
    target: PathBuf,
    /// The tool, unless there is only one; and its input: KEY=VALUE for each member, or one JSON object, or - to read it
    /// from stdin. A value is text where the tool takes text, and JSON otherwise; KEY:=JSON is always JSON.
    #[arg(value_name = "TOOL|KEY=VALUE|JSON", allow_hyphen_values = true)]
    words: Vec<String>,
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let screen = Screen::new(Format::Text);
    let config = config(&args.target, places, &screen).await?;
    let shown = Shown::on(&screen, places.verbose);
    let toolbox = places.engine(None)?.load_tools(&config, &shown).await.map_err(Plain::plain)?;
    if let Some(agent) =
        config.agents.iter().find(|it| args.words.first() == Some(&format!("{}{}", it.prefix, it.name)))
    {
        let path = agent.path.display();
        return Err(
            Misuse(format!("{} is an agent\n  ask it with: host run {path} PROMPT", agent.name)).into()
        );
    }
    let (tool, words) = choose(toolbox.entries(), &args)?;
    let input = input::of_words(words, &tool.spec.input_schema)?;
    let name = tool.spec.name.clone();
    let schema = tool.spec.input_schema.to_value();
    for key in input::unnamed(&input, &schema) {
        screen.say(&format!(
            "note: {name} does not name a member `{}`; it gets it all the same",
            one_line(&key)
        ));
    }
    let outcome = call(&config, toolbox, &name, input, &screen).await?;
    match outcome {
        ToolOutcome::Output(json) => {
            // A program, or a file, gets what the tool said; a terminal nothing that steers it.
            let shown = json.as_str();
            print(&if io::stdout().is_terminal() { visible_json(shown) } else { shown.into() })?;
            Ok(Exit::Ok)
        }
        ToolOutcome::Error(error) => {
            screen.say(&format!("error: {name}: {}", clean(&error.to_string())));
            if error.kind != ErrorKind::InvalidInput {
                return Ok(Exit::Failure);
            }
            let takes = input::described(&schema);
            let what = if takes.is_empty() { " nothing" } else { ":" };
            screen.say(&format!("{name} takes{what}"));
            for line in takes {
                screen.say(&format!("  {}", one_line(&line)));
            }
            // What was typed is wrong.
            Ok(Exit::Usage)
        }
    }
}

/// The agent, or one around a component alone.
async fn config(path: &Path, places: &Places, screen: &Screen) -> anyhow::Result<Config> {
    let mut config = match Target::of(path)? {
        Target::Agent(missing) if !missing.exists() => {
            let missing = missing.display();
            return Err(Misuse(format!(
                "there is no file or directory `{missing}`: the agent or the component comes first, and the tool after it\n  type: host call . {missing} KEY=VALUE …"
            ))
            .into());
        }
        Target::Agent(path) => Config::load(&path)?,
        Target::Tool(path) | Target::Component(path) => Config::of_component(&path)?,
        Target::Remote(remote) => {
            let (locked, _) = fetched(&remote, &places.cache()?, Offered::default(), screen).await?;
            Config::of_locked(locked)?
        }
    };
    // They are for a model.
    config.agent.instructions.clear();
    config.parameters.clear();
    Ok(config)
}

/// The tool that is meant, and the words that are its input.
fn choose<'a>(tools: &'a [ToolEntry], args: &'a Args) -> anyhow::Result<(&'a ToolEntry, &'a [String])> {
    let named = |name: &str| tools.iter().find(|tool| tool.spec.name == name);
    if let Some((first, rest)) = args.words.split_first() {
        if let Some(tool) = named(first) {
            return Ok((tool, rest));
        }
        if !input::is_input(first) {
            return Err(Misuse(format!("there is no tool `{first}`\n{}", listed(tools, args))).into());
        }
    }
    let mut own = tools.iter().filter(|tool| tool.builtin.is_none());
    match (own.next(), own.next()) {
        (Some(tool), None) => Ok((tool, &args.words)),
        (None | Some(_), _) => Err(Misuse(format!("say which tool\n{}", listed(tools, args))).into()),
    }
}

fn listed(tools: &[ToolEntry], args: &Args) -> String {
    let line = |tool: &ToolEntry| {
        let summary = tool.spec.description.lines().next().unwrap_or_default();
        format!("  {}: {}\n", tool.spec.name, one_line(summary))
    };
    let lines: String = tools.iter().map(line).collect();
    if lines.is_empty() {
        return format!("  {} has no tools of its own", args.target.display());
    }
    format!("there are:\n{lines}  type: host call {} TOOL KEY=VALUE …", args.target.display())
}

/// Makes the call as that of a run of which nothing is kept.
async fn call(
    config: &Config,
    toolbox: Arc<Toolbox>,
    tool: &str,
    input: Json,
    screen: &Screen,
) -> anyhow::Result<ToolOutcome> {
    let run = RunId::new();
    let task = Task::new(String::new(), std::collections::BTreeMap::new(), run.seed());
    // A tool that is hidden from the model is not hidden from a person.
    let tools = toolbox.entries().iter().map(|tool| ToolEntry { hidden: false, ..tool.clone() });
    let manifest: Manifest = manifest_of(config, tools.collect(), task)?;
    let mode = Mode::Live(Arc::new(MemoryStore::default()));
    let watch = screen.watch();
    let session = Session::open(run, mode, Vec::new(), &manifest, Decisions::default(), watch).await?;
    let dispatcher = Dispatcher::new(&manifest, toolbox, config.limits.max_parallel_tools);
    let dispatcher = Arc::new(dispatcher.attended_by(Arc::new(WhoTyped)));
    let call = ToolCall { id: "call".to_owned(), name: tool.to_owned(), arguments: Arguments::Json(input) };
    let session: Arc<dyn Execution> = Arc::new(session);
    let results = dispatcher.dispatch(&session, &Slot::RUN, 0, vec![(call, None)]).await;
    let results = results.map_err(|error| match error {
        SessionError::Waits(_) => anyhow::Error::from(Misuse(format!(
            "{tool} waits for a person or for a moment, and a call alone cannot: let an agent call it, with host run"
        ))),
        error => error.into(),
    })?;
    let result = results.into_iter().next();
    Ok(result
        .map_or_else(|| ToolOutcome::error(ErrorKind::NotCalled, "no call was made"), |it| it.result.outcome))
}

/// The person who typed the call, and so wants it to be made.
struct WhoTyped;

impl Person for WhoTyped {
    fn decide<'a>(&'a self, slot: &'a Slot, _ask: &'a ToolAsk) -> BoxFuture<'a, Option<Spoken<Decision>>> {
        // What the tool calls itself, nobody has typed.
        let typed = *slot == Slot::RUN.tool_of(0, 0);
        Box::pin(std::future::ready(typed.then(|| Decision::Approved { input: None }.into())))
    }

    fn answer<'a>(&'a self, _slot: &'a Slot, _question: &'a str) -> BoxFuture<'a, Option<Spoken<String>>> {
        Box::pin(std::future::ready(None))
    }
}
