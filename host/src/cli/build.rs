use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::exit::{Exit, Misuse};
use super::output::OutputFile;
use super::places::Places;
use super::print;
use super::screen::{Format, Screen};
use super::target::Target;
use super::works::Works;
use crate::config::{Config, SubAgent};
use crate::message::Digest;
use crate::toolbox::{Owner, Project, build};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An agent.toml, or the directory of an agent or of one tool. To name a tool's directory allows its source once and for all.
    #[arg(value_name = "AGENT.TOML|DIR", default_value = "agent.toml")]
    path: PathBuf,
    /// Write the component to this file. There has to be one tool.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let screen = Screen::new(Format::Text);
    let target = Target::of(&args.path)?;
    let project = match &target {
        Target::Agent(path) => Some(Project::of(path)),
        Target::Tool(_) | Target::Component(_) | Target::Remote(_) => None,
    };
    let owner = project.as_ref().map_or(Owner::Person, Owner::Agent);
    let crates = crates(target)?;
    let output = args.output.as_deref().map(OutputFile::at).transpose()?;
    if output.is_some() && crates.len() != 1 {
        return Err(Misuse(format!(
            "--output takes one component, and here are {} sources\n  name the directory of the tool: host build DIR --output FILE",
            crates.len()
        ))
        .into());
    }
    let cache = places.cache()?;
    let works = Works::new(&screen, places.verbose);
    for path in &crates {
        let built = build(path, owner, &cache, &|it| works.tell(it)).await?;
        let bytes = std::fs::read(&built.artifact)?;
        let (size, digest) = (indicatif::BinaryBytes(bytes.len() as u64), Digest::of(&bytes));
        let path = args.output.as_ref().unwrap_or(&built.artifact).display();
        if let Some(output) = &output {
            output.replace(&bytes).with_context(|| format!("cannot write {path}"))?;
        }
        print(&format!("{path}  {size}  sha256 {digest}"))?;
    }
    if crates.is_empty() {
        screen.say("no tool of this agent is a source: there is nothing to build");
    }
    Ok(Exit::Ok)
}

/// The sources that are to be built.
fn crates(target: Target) -> anyhow::Result<Vec<PathBuf>> {
    match target {
        Target::Agent(path) => {
            let config = Config::load(&path)?;
            let agents = config.sub_agents()?;
            Ok(sources(config, agents).into_iter().filter(|source| source.is_dir()).collect())
        }
        Target::Tool(path) => Ok(vec![path.canonicalize()?]),
        Target::Remote(remote) => Err(Misuse(format!(
            "{remote} is a component, and needs no build\n  try it with: host call {remote}"
        ))
        .into()),
        Target::Component(path) => {
            let path = path.display();
            Err(Misuse(format!("{path} is a component, and needs no build\n  try it with: host call {path}"))
                .into())
        }
    }
}

/// Where the tools of an agent come from, and those of the agents that it calls.
fn sources(config: Config, agents: Vec<SubAgent>) -> BTreeSet<PathBuf> {
    let own = config.tools.into_iter().filter_map(|tool| tool.source.local().map(Path::to_owned));
    let below = agents.into_iter().flat_map(|agent| sources(agent.config, agent.agents));
    own.chain(below).collect()
}
