//! `host ui`: the pages of a server, or pages to look at the runs of this machine with.

use std::path::Path;

use anyhow::Context as _;

use super::exit::Exit;
use super::person::at_terminal;
use super::places::{Places, compiler};
use super::recorded::is_file;
use super::remote::{At, Remote};
use super::{print, say};
use crate::engine::Engine;
use crate::journal::RunFile;
use crate::message::RunId;
use crate::server::{Pages, entrance};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run to show: its id, the beginning of it, `last`, or a file that it was sealed or exported to.
    #[arg(value_name = "RUN|FILE")]
    run: Option<String>,
    /// Open no browser; only print the address.
    #[arg(long)]
    no_open: bool,
    #[command(flatten)]
    at: At,
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let Args { run, no_open, at } = args;
    let file = run.as_deref().filter(|run| is_file(run));
    if let Some(remote) = if file.is_some() { None } else { at.found(places)? } {
        let run = of_server(&remote, run.as_deref()).await?;
        let address = entrance(remote.url(), &remote.page_key().await?, run);
        show(&address, no_open)?;
        return Ok(Exit::Ok);
    }
    let kept = tempfile::tempdir().context("cannot make a directory")?;
    let (engine, run) = match (file, run.as_deref()) {
        (Some(file), _) => {
            let read = RunFile::read(Path::new(file))?;
            let engine = Engine::in_memory(kept.path(), compiler()?).build();
            engine.runs().import(&read).await?;
            (engine, Some(read.summary.run))
        }
        (None, name) => {
            let engine = places.engine(None)?;
            let run = name.map(|name| engine.runs().find(name)).transpose()?;
            (engine, run)
        }
    };
    let mut pages = Pages::begin(&engine, &at_terminal().name)?;
    show(&pages.address(run)?, no_open)?;
    say("the pages can be looked at until this command ends; end it with Ctrl-C");
    Err(anyhow::anyhow!(pages.failed().await)).context("the pages failed")
}

/// The run of a name among those of a server.
async fn of_server(remote: &Remote, name: Option<&str>) -> anyhow::Result<Option<RunId>> {
    let Some(name) = name else { return Ok(None) };
    Ok(Some(super::remote::file(remote, name).await?.summary.run))
}

fn show(address: &str, no_open: bool) -> anyhow::Result<()> {
    print(address)?;
    if !no_open && let Err(error) = open::that_detached(address) {
        say(format_args!("no browser could be opened ({error}); open the address in one within a minute"));
    }
    Ok(())
}
