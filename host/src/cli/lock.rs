//! `host lock`: what is pinned, and whether it still is what it was.

use super::elsewhere::{Looking, print_lines, read_lock};
use super::exit::Exit;
use super::places::Places;
use super::screen::{Format, Screen};
use super::streams::{print, say};
use super::update::remote_tools;
use super::words::one_line;
use super::{AgentArg, print_json};
use crate::config::{Config, Source};
use crate::registry::{Lock, Locked};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    agent: AgentArg,
    /// Fetch every pinned component again, by its digest, and compare what it is with what host.lock says. Exits with 1
    /// if anything differs. Offline, the components in the store are compared.
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
    Ok(Exit::Ok)
}

async fn verify(config: &Config, lock: &Lock, places: &Places) -> anyhow::Result<Exit> {
    let mut wrong = 0_usize;
    for name in lock.tools.keys() {
        if !remote_tools(config).any(|(tool, _)| tool.name == *name) {
            say(format_args!("[tools.{name}] is pinned, and no tool of {}", config.path.display()));
            wrong += 1;
        }
    }
    let looking = Looking::new(places, &Screen::new(Format::Text), &config.trust)?;
    for (tool, remote) in remote_tools(config) {
        let name = &tool.name;
        let Some(locked) = &tool.locked else {
            say(format_args!("[tools.{name}] is not pinned: host update {name}"));
            wrong += 1;
            continue;
        };
        let inspected = looking.at(&Source::Remote(remote.clone()), Some(locked)).await;
        let again = match inspected {
            Ok(inspection) => looking.again(locked).await.map(|()| inspection).map_err(anyhow::Error::from),
            Err(error) => Err(error),
        };
        match again {
            Ok(inspection) => {
                let is = inspection.locked(Locked { source: remote.clone(), ..locked.clone() });
                let changes: Vec<String> =
                    locked.changes(&is).iter().map(|it| format!("  {}", one_line(it))).collect();
                if *locked == is {
                    say(format_args!("[tools.{name}] is what host.lock says"));
                } else {
                    say(format_args!("[tools.{name}] is not what host.lock says:"));
                    print_lines(&changes)?;
                    wrong += 1;
                }
            }
            Err(error) => {
                say(format_args!("[tools.{name}]: {error}"));
                wrong += 1;
            }
        }
    }
    Ok(if wrong == 0 { Exit::Ok } else { Exit::Failure })
}
