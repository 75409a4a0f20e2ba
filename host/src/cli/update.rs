//! `host update`: what the references of an agent mean now, and what its MCP servers say, shown before it is taken.

use std::path::PathBuf;

use super::elsewhere::{Looking, agreed, print_lines, read_lock, write_lock};
use super::exit::{Exit, Misuse};
use super::inspect::described;
use super::places::Places;
use super::screen::{Format, Screen};
use super::signed::BundleArg;
use super::streams::{print, say};
use super::words::one_line;
use crate::config::{Config, McpServer, Source, ToolConfig};
use crate::registry::{Lock, Locked, LockedServer, Remote};
use crate::toolbox::look;

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
    let chosen = chosen(&config, &args.tools)?;
    args.bundle.is_of_use(matches!(chosen.as_slice(), [(_, Elsewhere::Component(_))]))?;
    let mut pins = Pins { lock: read_lock(&path)?, path, yes: args.yes, declined: false };
    if args.tools.is_empty() {
        pins.forget_stale(&config)?;
    }
    if chosen.is_empty() {
        say("no tool of this agent comes from elsewhere");
        return Ok(Exit::Ok);
    }
    let looking = Looking::new(places, &screen, &config.trust)?;
    for (tool, elsewhere) in chosen {
        let name = &tool.name;
        match elsewhere {
            Elsewhere::Component(remote) => {
                let offered = args.bundle.offered(pins.lock.tools.get(name));
                let found = looking.now(remote, offered).await?;
                let told = || [described(&found.inspection), found.signers.lines()].concat();
                let news = News::between(pins.lock.tools.get(name), &found.locked, Locked::changes);
                pins.take(name, news, told, |lock| {
                    lock.tools.insert(name.clone(), found.locked.clone());
                })
                .await?;
            }
            Elsewhere::Server(server) => {
                let new = asked(&config, tool, server, places, &screen).await?;
                let news = News::between(pins.lock.servers.get(name), &new, LockedServer::changes);
                pins.take(
                    name,
                    news,
                    || of_server(&new),
                    |lock| {
                        lock.servers.insert(name.clone(), new.clone());
                    },
                )
                .await?;
            }
        }
    }
    Ok(if pins.declined { Exit::Failure } else { Exit::Ok })
}

/// What is pinned, and what becomes of it.
struct Pins {
    lock: Lock,
    path: PathBuf,
    yes: bool,
    /// Whether something was not taken.
    declined: bool,
}

/// What is different from what is pinned.
pub(super) enum News {
    Same,
    /// These lines.
    Changed(Vec<String>),
    /// Nothing is pinned yet.
    New,
}

impl News {
    pub(super) fn between<T: PartialEq>(
        old: Option<&T>,
        new: &T,
        changes: impl Fn(&T, &T) -> Vec<String>,
    ) -> Self {
        match old {
            None => Self::New,
            Some(old) if old == new => Self::Same,
            Some(old) => Self::Changed(changes(old, new)),
        }
    }
}

impl Pins {
    /// Removes the pins of tools that are not there any more.
    fn forget_stale(&mut self, config: &Config) -> anyhow::Result<()> {
        let stale = stale(&self.lock, config);
        self.lock.tools.retain(|name, _| is_there(config, name, false));
        self.lock.servers.retain(|name, _| is_there(config, name, true));
        for name in &stale {
            say(format_args!("[tools.{name}] is not in agent.toml any more; its pin is removed"));
        }
        if stale.is_empty() { Ok(()) } else { write_lock(&self.path, &self.lock) }
    }

    /// Pins what somebody agrees to: what changed of what is pinned, or what is `told` of something that is not pinned yet.
    async fn take(
        &mut self,
        name: &str,
        news: News,
        told: impl FnOnce() -> Vec<String>,
        pin: impl FnOnce(&mut Lock),
    ) -> anyhow::Result<()> {
        match news {
            News::Same => {
                say(format_args!("[tools.{name}] is up to date"));
                return Ok(());
            }
            News::Changed(changes) => {
                print(&format!("[tools.{name}]"))?;
                print_lines(&changes.iter().map(|it| format!("  {}", shown(it))).collect::<Vec<_>>())?;
            }
            News::New => print_lines(&told())?,
        }
        if agreed(format!("take it for [tools.{name}]?"), self.yes).await? {
            pin(&mut self.lock);
            write_lock(&self.path, &self.lock)?;
            say(format_args!("[tools.{name}] is pinned in {}", self.path.display()));
        } else {
            self.declined = true;
            say(format_args!("[tools.{name}] stays as it was"));
        }
        Ok(())
    }
}

/// The tools that are pinned, and of which agent.toml has no table of their kind.
pub(super) fn stale(lock: &Lock, config: &Config) -> Vec<String> {
    let tools = lock.tools.keys().filter(|name| !is_there(config, name, false));
    tools.chain(lock.servers.keys().filter(|name| !is_there(config, name, true))).cloned().collect()
}

fn is_there(config: &Config, name: &str, is_server: bool) -> bool {
    elsewhere(config).any(|(tool, it)| tool.name == name && matches!(it, Elsewhere::Server(_)) == is_server)
}

/// What a server says of its tools now.
pub(super) async fn asked(
    config: &Config,
    tool: &ToolConfig,
    server: &McpServer,
    places: &Places,
    screen: &Screen,
) -> anyhow::Result<LockedServer> {
    screen.say(&format!("asking {}", one_line(&server.at.to_string())));
    let cache = places.cache()?;
    let looked = look(config, &tool.name, server, cache.directory()).await;
    looked.map_err(|why| Misuse(format!("[tools.{}]: {why}", tool.name)).into())
}

/// A server that is not pinned yet, a line for each of its tools.
fn of_server(server: &LockedServer) -> Vec<String> {
    let mut lines = vec![
        format!("MCP server {}", one_line(&server.server)),
        "  NOT SANDBOXED: what it does, it does with the rights that it has where it runs".to_owned(),
    ];
    for (name, tool) in &server.tools {
        let summary = tool.description.lines().next().unwrap_or_default();
        lines.push(format!("  {}: {}", one_line(name), one_line(summary)));
    }
    lines
}

/// A line of what changed, with its indentation: a component's own words do not steer the terminal.
fn shown(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    format!("{}{}", &line[..indent], one_line(&line[indent..]))
}

/// What is not on this machine, or not a component.
#[derive(Clone, Copy)]
pub(super) enum Elsewhere<'a> {
    Component(&'a Remote),
    Server(&'a McpServer),
}

/// The tools that come from elsewhere, and from where.
pub(super) fn elsewhere(config: &Config) -> impl Iterator<Item = (&ToolConfig, Elsewhere<'_>)> {
    config.tools.iter().filter_map(|tool| match &tool.source {
        Source::Remote(remote) => Some((tool, Elsewhere::Component(remote))),
        Source::Server(server) => Some((tool, Elsewhere::Server(server))),
        Source::Local(_) => None,
    })
}

fn chosen<'a>(config: &'a Config, names: &[String]) -> Result<Vec<(&'a ToolConfig, Elsewhere<'a>)>, Misuse> {
    if names.is_empty() {
        return Ok(elsewhere(config).collect());
    }
    let find = |name: &String| {
        let found = elsewhere(config).find(|(tool, _)| tool.name == *name);
        found.ok_or_else(|| {
            let there: Vec<&str> = elsewhere(config).map(|(tool, _)| tool.name.as_str()).collect();
            let there = if there.is_empty() { "no tool".to_owned() } else { there.join(", ") };
            Misuse(format!(
                "no tool `{name}` comes from elsewhere\n  those of {} do: {there}",
                config.path.display()
            ))
        })
    };
    names.iter().map(find).collect()
}
