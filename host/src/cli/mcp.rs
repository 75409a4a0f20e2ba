//! `host mcp`: an agent's tools for an MCP client, over stdin and stdout.

use anyhow::Context as _;
use rmcp::ServiceExt as _;

use super::AgentArg;
use super::exit::Exit;
use super::front::Shown;
use super::install::InstallArgs;
use super::places::Places;
use super::plain::Plain;
use super::screen::{Format, Screen};
use super::words::counted;
use crate::config::Config;
use crate::mcp::{BoundedLines, McpServer};

/// What may have happened when no session begins.
const NO_CLIENT: &str = "the client went away before it began, or sent what is no message of MCP: a message is one line of \
                         JSON, of 32 MiB at most";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    agent: AgentArg,
    #[command(flatten)]
    install: InstallArgs,
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let screen = Screen::new(Format::Text);
    let config = Config::load(&args.agent.agent)?;
    if let Some(exit) = args.install.run(&config)? {
        return Ok(exit);
    }
    let shown = Shown::on(&screen, places.verbose);
    let engine = places.engine(None)?;
    let server = McpServer::load(&engine, config, &shown).await.map_err(Plain::plain)?;
    // stdout belongs to the protocol.
    screen.say(&format!("{} for an MCP client on stdin and stdout", counted(server.tools(), "tool")));
    let (stdin, stdout) = rmcp::transport::stdio();
    let service = Box::pin(server.serve((BoundedLines::of(stdin), stdout))).await.context(NO_CLIENT)?;
    service.waiting().await.context("the connection to the client broke")?;
    Ok(Exit::Ok)
}
