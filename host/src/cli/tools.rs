//! `host tools`: the tools that come with the host, and room in the store of components from elsewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use indicatif::BinaryBytes;

use super::elsewhere::read_lock;
use super::exit::{Exit, Misuse};
use super::places::Places;
use super::shelf;
use super::streams::say;
use super::words::counted;
use crate::config::{Config, SubAgent};
use crate::message::Digest;
use crate::registry::{LOCK_FILE, Lock};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the tools that come with host, or print the lines that add one to agent.toml.
    List(shelf::Args),
    /// Remove components from the store that no given lock needs.
    ///
    /// Name every agent on this machine that is to work offline: the store is shared, and what only another agent needs
    /// is removed. Nothing else is lost: what is pinned is fetched again by its digest when it is needed, as long as its
    /// registry has it. Nothing is removed unless every lock that is named can be read. A program that runs keeps the
    /// components that it has loaded.
    Gc(Gc),
}

#[derive(Debug, clap::Args)]
struct Gc {
    /// An agent.toml, with the agents that it calls, or a directory that has one, or a host.lock.
    #[arg(value_name = "AGENT.TOML|HOST.LOCK", required = true)]
    keep: Vec<PathBuf>,
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, places: &Places) -> anyhow::Result<Exit> {
    match &args.action {
        Action::List(args) => shelf::run(args),
        Action::Gc(args) => collect(args, places),
    }
}

fn collect(Gc { keep, dry_run }: &Gc, places: &Places) -> anyhow::Result<Exit> {
    let mut needed = BTreeSet::new();
    for path in keep {
        if path.file_name().is_some_and(|name| name == LOCK_FILE) {
            read(path, &mut needed)?;
        } else {
            let config = Config::load(path)?;
            below(&config, &config.sub_agents()?, &mut needed)?;
        }
    }
    let removed = places.cache()?.store().retain(&needed, *dry_run)?;
    let (would, bytes) = (if *dry_run { "would be removed" } else { "removed" }, BinaryBytes(removed.bytes));
    let (gone, kept) = (counted(removed.components, "component"), counted(removed.kept, "component"));
    say(format_args!("{gone} {would} ({bytes}), {kept} kept"));
    Ok(Exit::Ok)
}

fn below(config: &Config, agents: &[SubAgent], needed: &mut BTreeSet<Digest>) -> Result<(), Misuse> {
    let path = Lock::beside(&config.path);
    if path.exists() {
        read(&path, needed)?;
    }
    agents.iter().try_for_each(|agent| below(&agent.config, &agent.agents, needed))
}

fn read(path: &Path, needed: &mut BTreeSet<Digest>) -> Result<(), Misuse> {
    if !path.exists() {
        return Err(Misuse(format!("{} does not exist\n  nothing was removed", path.display())));
    }
    let lock = read_lock(path)?;
    needed.extend(lock.tools.values().map(|it| it.sha256));
    Ok(())
}
