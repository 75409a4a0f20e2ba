use serde::Serialize;

use super::exit::Exit;
use super::places::Places;
use super::screen::{Format, Screen, one_line};
use super::{AgentArg, launch, print};
use crate::config::{Config, Provider};
use crate::message::ToolEntry;
use crate::model::Models;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    agent: AgentArg,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    agent: &'a str,
    tools: &'a [ToolEntry],
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let screen = Screen::new(Format::Text);
    let config = Config::load(&args.agent.agent)?;
    let toolbox = launch::load(&config, places, &screen).await?;
    Models::connect(&config)?;
    if args.json {
        let report = Report { agent: &config.agent.name, tools: toolbox.entries() };
        print(&serde_json::to_string_pretty(&report)?)?;
        return Ok(Exit::Ok);
    }
    print(&format!("{}: ok", config.path.display()))?;
    print(&format!("agent {}, model {}", config.agent.name, describe(&config.model.provider)))?;
    for fallback in &config.fallbacks {
        print(&format!("  and if it fails {}", describe(&fallback.provider)))?;
    }
    for tool in &config.tools {
        let hidden = if tool.hidden { ", hidden from the model" } else { "" };
        print(&format!("\n[tools.{}] from {}{hidden}", tool.name, tool.source.display()))?;
        for entry in toolbox.entries().iter().filter(|entry| entry.source == tool.name) {
            let summary = one_line(entry.spec.description.lines().next().unwrap_or_default());
            print(&format!("  {}: {summary}", entry.spec.name))?;
        }
        if let Some(entry) = toolbox.entries().iter().find(|entry| entry.source == tool.name) {
            print(&format!("  sha256 = \"{}\"", entry.component))?;
        }
        for line in tool.grants.in_words() {
            print(&format!("  {line}"))?;
        }
        print(&format!("  limits per call: {}", tool.limits.in_words()))?;
    }
    Ok(Exit::Ok)
}

fn describe(provider: &Provider) -> String {
    match provider {
        Provider::Scripted { script } => format!("scripted by {}", script.display()),
        Provider::Remote(remote) => format!("{} at {}", remote.origin(), remote.base_url),
    }
}
