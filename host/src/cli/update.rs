//! `host update`: what the references of an agent mean now, shown before it is taken.

use std::path::PathBuf;

use super::elsewhere::{Looking, agreed, print_lines, read_lock, write_lock};
use super::exit::{Exit, Misuse};
use super::inspect::described;
use super::places::Places;
use super::screen::{Format, Screen};
use super::signed::BundleArg;
use super::streams::{print, say};
use super::words::one_line;
use crate::config::{Config, Source, ToolConfig};
use crate::registry::{Lock, Remote};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The tools to look at, by their tables in agent.toml; all that come from elsewhere by default.
    #[arg(value_name = "TOOL")]
    tools: Vec<String>,
    /// The agent's configuration, or the directory that it is in.
    #[arg(long, value_name = "AGENT.TOML", default_value = "agent.toml")]
    agent: PathBuf,
    #[command(flatten)]
    bundle: BundleArg,
    /// Take what is new without asking.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let screen = Screen::new(Format::Text);
    let config = Config::load(&args.agent)?;
    let path = Lock::beside(&config.path);
    let mut lock = read_lock(&path)?;
    let chosen = chosen(&config, &args.tools)?;
    args.bundle.is_of_use(chosen.len() == 1)?;
    if args.tools.is_empty() {
        let stale = |name: &String| !remote_tools(&config).any(|(tool, _)| tool.name == *name);
        let stale: Vec<String> = lock.tools.keys().filter(|name| stale(name)).cloned().collect();
        for name in &stale {
            lock.tools.remove(name);
            say(format_args!("[tools.{name}] is not in agent.toml any more; its pin is removed"));
        }
        if !stale.is_empty() {
            write_lock(&path, &lock)?;
        }
    }
    if chosen.is_empty() {
        say("no tool of this agent comes from elsewhere");
        return Ok(Exit::Ok);
    }
    let looking = Looking::new(places, &screen, &config.trust)?;
    let mut declined = false;
    for (tool, remote) in chosen {
        let name = &tool.name;
        let found = looking.now(remote, args.bundle.offered(lock.tools.get(name))).await?;
        let (inspection, new) = (found.inspection, found.locked);
        match lock.tools.get(name) {
            Some(old) if *old == new => {
                say(format_args!("[tools.{name}] is up to date"));
                continue;
            }
            Some(old) => {
                print(&format!("[tools.{name}]"))?;
                let changes = old.changes(&new);
                print_lines(&changes.iter().map(|it| format!("  {}", shown(it))).collect::<Vec<_>>())?;
            }
            None => {
                print_lines(&described(&inspection))?;
                print_lines(&found.signers.lines())?;
            }
        }
        if agreed(format!("take it for [tools.{name}]?"), args.yes).await? {
            lock.tools.insert(name.clone(), new);
            write_lock(&path, &lock)?;
            say(format_args!("[tools.{name}] is pinned in {}", path.display()));
        } else {
            declined = true;
            say(format_args!("[tools.{name}] stays as it was"));
        }
    }
    Ok(if declined { Exit::Failure } else { Exit::Ok })
}

/// A line of what changed, with its indentation: a component's own words do not steer the terminal.
fn shown(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    format!("{}{}", &line[..indent], one_line(&line[indent..]))
}

/// The tools that come from elsewhere, and from where.
pub(super) fn remote_tools(config: &Config) -> impl Iterator<Item = (&ToolConfig, &Remote)> {
    config.tools.iter().filter_map(|tool| match &tool.source {
        Source::Remote(remote) => Some((tool, remote)),
        Source::Local(_) => None,
    })
}

fn chosen<'a>(config: &'a Config, names: &[String]) -> Result<Vec<(&'a ToolConfig, &'a Remote)>, Misuse> {
    if names.is_empty() {
        return Ok(remote_tools(config).collect());
    }
    let find = |name: &String| {
        let found = remote_tools(config).find(|(tool, _)| tool.name == *name);
        found.ok_or_else(|| {
            let there: Vec<&str> = remote_tools(config).map(|(tool, _)| tool.name.as_str()).collect();
            let there = if there.is_empty() { "no tool".to_owned() } else { there.join(", ") };
            Misuse(format!(
                "no tool `{name}` comes from elsewhere\n  those of {} do: {there}",
                config.path.display()
            ))
        })
    };
    names.iter().map(find).collect()
}
