//! `host lock`: what is pinned, and whether it still is what it was.

use super::elsewhere::{Looking, print_lines, read_lock};
use super::exit::Exit;
use super::places::Places;
use super::screen::{Format, Screen};
use super::streams::{print, say};
use super::update::{Elsewhere, News, asked, elsewhere, stale};
use super::words::{counted, one_line};
use super::{AgentArg, print_json};
use crate::config::{Config, Source};
use crate::registry::{Lock, Locked, LockedServer, Remote};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    agent: AgentArg,
    /// Fetch every pinned component again, by its digest, ask every MCP server what its tools are, and compare that with
    /// what host.lock says. Exits with 1 if anything differs. Offline, the components in the store are compared.
    #[arg(long)]
    verify: bool,
    /// Print the result as JSON.
    #[arg(long, conflicts_with = "verify")]
    json: bool,
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let config = Config::load(&args.agent.agent)?;
    let path = Lock::beside(&config.path);
    let lock = read_lock(&path)?;
    if args.verify {
        return verify(&config, &lock, places).await;
    }
    if args.json {
        print_json(&lock)?;
        return Ok(Exit::Ok);
    }
    for (name, locked) in &lock.tools {
        print(&format!("{name}: {}\n  sha256 {}", locked.source, locked.sha256))?;
        if let Some(manifest) = locked.manifest {
            print(&format!("  manifest sha256:{manifest}"))?;
        }
        for signature in &locked.signatures {
            print(&format!("  signed by {}", one_line(&signature.signer)))?;
        }
    }
    for (name, locked) in &lock.servers {
        let (server, tools) = (one_line(&locked.server), counted(locked.tools.len(), "tool"));
        print(&format!("{name}: the MCP server {server}\n  {tools}"))?;
    }
    Ok(Exit::Ok)
}

async fn verify(config: &Config, lock: &Lock, places: &Places) -> anyhow::Result<Exit> {
    let mut wrong = 0_usize;
    for name in stale(lock, config) {
        say(format_args!("[tools.{name}] is pinned, and no tool of {}", config.path.display()));
        wrong += 1;
    }
    let screen = Screen::new(Format::Text);
    let looking = Looking::new(places, &screen, &config.trust)?;
    for (tool, at) in elsewhere(config) {
        let name = &tool.name;
        let news = match at {
            Elsewhere::Component(remote) => news_of(&looking, remote, tool.locked.as_ref()).await,
            Elsewhere::Server(server) => match &server.locked {
                None => Ok(News::New),
                locked => {
                    let now = asked(config, tool, server, places, &screen).await;
                    now.map(|now| News::between(locked.as_ref(), &now, LockedServer::changes))
                }
            },
        };
        wrong += usize::from(!matches!(news, Ok(News::Same)));
        match news {
            Ok(News::Same) => say(format_args!("[tools.{name}] is what host.lock says")),
            Ok(News::New) => say(format_args!("[tools.{name}] is not pinned: host update {name}")),
            Ok(News::Changed(changes)) => {
                say(format_args!("[tools.{name}] is not what host.lock says:"));
                print_lines(&changes.iter().map(|it| format!("  {}", one_line(it))).collect::<Vec<_>>())?;
            }
            Err(error) => say(format_args!("[tools.{name}]: {error}")),
        }
    }
    Ok(if wrong == 0 { Exit::Ok } else { Exit::Failure })
}

/// What is different in a component that is pinned.
async fn news_of(looking: &Looking<'_>, remote: &Remote, locked: Option<&Locked>) -> anyhow::Result<News> {
    let Some(locked) = locked else { return Ok(News::New) };
    let inspection = looking.at(&Source::Remote(remote.clone()), Some(locked)).await?;
    looking.again(locked).await?;
    let is = inspection.locked(Locked { source: remote.clone(), ..locked.clone() });
    Ok(News::between(Some(locked), &is, Locked::changes))
}
