//! `host tools`: what there is to give to agents.

use super::exit::Exit;
use super::shelf;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the tools that come with host, or print the lines that add one to agent.toml.
    List(shelf::Args),
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.action {
        Action::List(args) => shelf::run(args),
    }
}
