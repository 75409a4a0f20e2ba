//! `host add`: a tool from a path, a web server or a registry, looked at, agreed to, pinned, and written into agent.toml.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use toml_edit::{DocumentMut, InlineTable, Item, Table, Value, value};

use super::elsewhere::{Looking, agreed, print_lines, read_lock, write_lock};
use super::exit::{Exit, Misuse};
use super::inspect::{called, described, permissions, settings};
use super::output::OutputFile;
use super::places::Places;
use super::screen::{Format, Screen};
use super::signed::BundleArg;
use super::streams::{print, say};
use super::target::Target;
use crate::config::{Config, Source, table_name};
use crate::registry::{Lock, Locked};
use crate::toolbox::Inspection;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A .wasm component, the directory of a tool, an https:// URL, or `oci://REGISTRY/REPOSITORY:TAG`.
    #[arg(value_name = "WASM|DIR|REF")]
    target: PathBuf,
    /// The name of its table in agent.toml; by default that of the file or repository.
    #[arg(long)]
    name: Option<String>,
    /// The agent's configuration, or the directory that it is in.
    #[arg(long, value_name = "AGENT.TOML", default_value = "agent.toml")]
    agent: PathBuf,
    #[command(flatten)]
    bundle: BundleArg,
    /// Add it without asking.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let screen = Screen::new(Format::Text);
    let source = match Target::of(&args.target)? {
        Target::Component(path) | Target::Tool(path) => Source::Local(std::path::absolute(path)?),
        Target::Remote(remote) => Source::Remote(remote),
        Target::Agent(path) => {
            let path = path.display();
            let message =
                format!("{path} is no component\n  an agent is called by a table with `agent = \"{path}\"`");
            return Err(Misuse(message).into());
        }
    };
    let config = Config::load(&args.agent)?;
    let lock_path = Lock::beside(&config.path);
    let mut lock = read_lock(&lock_path)?;
    let name = args.name.unwrap_or_else(|| table_name(&source.stem()));
    let is_taken = config.tools.iter().map(|it| &it.name).chain(config.agents.iter().map(|it| &it.name));
    if is_taken.into_iter().any(|it| *it == name) {
        let path = config.path.display();
        let help = "choose another name with --name, or take a newer version of it with `host update`";
        return Err(Misuse(format!("{path} has a table [tools.{name}] already\n  {help}")).into());
    }
    let looking = Looking::new(places, &screen, &config.trust)?;
    let (inspection, elsewhere) = if let Source::Remote(remote) = &source {
        let found = looking.now(remote, args.bundle.offered(None).and_look()).await?;
        (found.inspection, Some((found.locked, found.signers)))
    } else {
        args.bundle.is_of_use(false)?;
        (looking.at(&source, None).await?, None)
    };
    let text = with_table(&config, &name, &written(&source, &config.path), pinned(&source, &inspection))?;
    // A mistake in it, such as in the name, is told before anybody is asked.
    Config::parse(&text, &config.path)?;
    print_lines(&described(&inspection))?;
    takes_all(&inspection)?;
    if let Some((locked, signers)) = &elsewhere {
        print_lines(&signers.lines())?;
        say_pin(locked);
    }
    let question =
        format!("add it to {} as [tools.{name}], which is granted nothing?", config.path.display());
    if !agreed(question, args.yes).await? {
        say("nothing was changed");
        return Ok(Exit::Failure);
    }
    if let Some((locked, _)) = elsewhere {
        lock.tools.insert(name.clone(), locked);
        write_lock(&lock_path, &lock)?;
    }
    replace(&config, &text)?;
    say(format_args!("added [tools.{name}] to {}", config.path.display()));
    let more = [called(&inspection, &name), settings(&inspection, &name), permissions(&inspection, &name)];
    for more in more.into_iter().flatten() {
        print(&format!("\n{more}"))?;
    }
    Ok(Exit::Ok)
}

/// Whether an agent can be loaded with a table that names the component and nothing else.
fn takes_all(inspection: &Inspection) -> Result<(), Misuse> {
    let why = match (inspection.tools.is_empty(), inspection.chosen()) {
        (false, None) => return Ok(()),
        (true, _) => {
            "it has no tool, so that no agent can use it\n  `host inspect` says what it exports instead"
        }
        (false, Some(_)) => {
            "several of its exports have one name\n  write the lines of `host inspect` into agent.toml, and choose with `include`"
        }
    };
    Err(Misuse(why.to_owned()))
}

fn say_pin(locked: &Locked) {
    if let Some(manifest) = locked.manifest {
        say(format_args!("host.lock pins the manifest sha256:{manifest}"));
    }
}

/// The source as it is written: a path below the directory of agent.toml is relative to it.
fn written(source: &Source, agent_toml: &Path) -> String {
    let Some(path) = source.local() else { return source.to_string() };
    let directory = agent_toml.parent().unwrap_or(Path::new("/"));
    let below = path.strip_prefix(directory).unwrap_or(path);
    let text = below.to_string_lossy();
    let here = if text.starts_with('~') { "./" } else { "" };
    // They would mean a variable.
    format!("{here}{}", text.replace('$', "$$"))
}

/// The digest that agent.toml has: that of a file, which nothing else pins. What a crate builds changes with it.
fn pinned(source: &Source, inspection: &Inspection) -> Option<String> {
    let is_file = source.local().is_some_and(|path| !path.is_dir());
    is_file.then(|| inspection.digest.to_string())
}

/// The text of agent.toml with one more table; all else stays as it is.
fn with_table(config: &Config, name: &str, source: &str, sha256: Option<String>) -> anyhow::Result<String> {
    let path = config.path.display();
    let mut document: DocumentMut =
        config.text.as_str().parse().with_context(|| format!("{path} cannot be changed"))?;
    let entries = [("source", Some(source.to_owned())), ("sha256", sha256)];
    let entries = entries.into_iter().filter_map(|(key, text)| Some((key, text?)));
    let mut empty = Table::new();
    empty.set_implicit(true);
    match document.entry("tools").or_insert(Item::Table(empty)) {
        Item::Table(tools) => {
            let mut table = Table::new();
            entries.for_each(|(key, text)| drop(table.insert(key, value(text))));
            table.decor_mut().set_prefix("\n");
            tools.insert(name, Item::Table(table));
        }
        Item::Value(Value::InlineTable(tools)) => {
            let table: InlineTable = entries.map(|(key, text)| (key, Value::from(text))).collect();
            tools.insert(name, Value::InlineTable(table));
        }
        Item::None | Item::Value(_) | Item::ArrayOfTables(_) => {
            return Err(Misuse(format!("{path}: `tools` is no table\n  write [tools.{name}] by hand")).into());
        }
    }
    Ok(document.to_string())
}

/// Puts the text in the place of agent.toml, unless somebody changed the file meanwhile.
pub(super) fn replace(config: &Config, text: &str) -> anyhow::Result<()> {
    let path = config.path.display();
    let file = OutputFile::there(&config.path)?;
    let bytes = std::fs::read(&config.path).with_context(|| format!("cannot read {path}"))?;
    // A mark at the beginning is no part of the text, and stays.
    let mark = bytes.len().saturating_sub(config.text.as_str().len());
    if bytes.get(mark..) != Some(config.text.as_str().as_bytes()) {
        return Err(Misuse(format!("{path} was changed meanwhile\n  try again")).into());
    }
    let written = [&bytes[..mark], text.as_bytes()].concat();
    file.replace(&written).with_context(|| format!("cannot write {path}"))
}
