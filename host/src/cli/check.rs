use console::Term;
use serde::Serialize;

use super::errors::say_warnings;
use super::exit::Exit;
use super::front::Shown;
use super::layout::{LongWord, laid_out, unbroken, width_of};
use super::places::Places;
use super::plain::Plain;
use super::screen::{Format, Screen};
use super::words::{counted, one_line};
use super::{AgentArg, print, print_json, say};
use crate::config::{Config, ConfigError, Provider, ServerAt, SubAgent};
use crate::engine::{LoadedAgent, Purpose};
use crate::foreign::is_walled;
use crate::message::{Approvals, CallRule, Rules, ToolEntry, Verdict};

/// A line that goes on is set in by so much.
const HANGING: usize = 2;

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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let screen = Screen::new(Format::Text);
    let config = Config::load(&args.agent.agent)?;
    // Whether agent.toml is right is to be seen where the secrets are not, too.
    let missing = missing(&config)?;
    let engine = places.engine(None)?;
    let shown = Shown::on(&screen, places.verbose);
    let agent = engine.load(config.clone(), Purpose::Inspection, &shown).await.map_err(Plain::plain)?;
    for warning in &missing {
        say_warnings(warning);
    }
    older_spellings(&config, &config.sub_agents()?);
    if args.json {
        let unsafe_tools = not_sandboxed(&config, &agent).await;
        let warnings = unsafe_tools.into_iter().chain(missing.iter().map(ToString::to_string)).collect();
        let report = Report { agent: &config.agent.name, tools: agent.tools(), warnings };
        print_json(&report)?;
        return Ok(Exit::Ok);
    }
    for line in not_sandboxed(&config, &agent).await {
        print(&line)?;
    }
    print(&format!("{}: ok", config.path.display()))?;
    let width = width_of(&Term::stdout());
    for line in described(&config, &agent).iter().flat_map(|it| it.lines()) {
        print(&laid_out(line, width, HANGING, LongWord::Whole))?;
    }
    Ok(Exit::Ok)
}

/// The secrets of an agent, and of those that it calls, that are not at hand here.
fn missing(config: &Config) -> Result<Vec<ConfigError>, ConfigError> {
    fn below(agents: &[SubAgent], missing: &mut Vec<ConfigError>) -> Result<(), ConfigError> {
        for agent in agents {
            missing.extend(agent.config.secrets_missing()?);
            below(&agent.agents, missing)?;
        }
        Ok(())
    }
    let agents = config.sub_agents()?;
    let mut missing = config.secrets_missing()?;
    below(&agents, &mut missing)?;
    Ok(missing)
}

/// Notes which files have older spellings, which work as well.
fn older_spellings(config: &Config, agents: &[SubAgent]) {
    let older = config.older_spellings();
    if !older.is_empty() {
        let (path, count) = (config.path.display(), counted(older.len(), "older spelling"));
        say(format_args!("{path} has {count}, and works as it is; `host fmt {path}` writes the new ones"));
    }
    for agent in agents {
        older_spellings(&agent.config, &agent.agents);
    }
}

/// The tools that are not sandboxed, a line each, of the agent and of those that it calls.
async fn not_sandboxed(config: &Config, agent: &LoadedAgent) -> Vec<String> {
    let mut lines = Vec::new();
    let mut agents = vec![(config, agent)];
    while let Some((config, agent)) = agents.pop() {
        agents.extend(agent.members().iter().map(|member| (member.agent().config(), member.agent())));
        for tool in &config.tools {
            let Some(server) = tool.source.server() else { continue };
            let what = match &server.at {
                ServerAt::Url { .. } => "an MCP server, which does whatever it does where it runs",
                ServerAt::Command(_) if is_walled().await => {
                    "an MCP server, which runs with your rights on the network, and in files as far as bubblewrap lets it"
                }
                ServerAt::Command(_) => {
                    "an MCP server, which runs with all your rights, because bubblewrap does not run here"
                }
            };
            lines.push(format!(
                "NOT SANDBOXED: [tools.{}] of {} is {what}",
                tool.name,
                config.path.display()
            ));
        }
    }
    lines
}

/// An agent and what it can call, in words.
fn described(config: &Config, agent: &LoadedAgent) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |line: String| lines.push(line);
    say(format!("agent {}, model {}", config.agent.name, describe(&config.model.provider)));
    for fallback in &config.fallbacks {
        say(format!("  and if it fails {}", describe(&fallback.provider)));
    }
    if let Some(summary) = &config.summary {
        say(format!("  summed up by {}", describe(&summary.provider)));
    }
    for line in besides(config) {
        say(format!("  {line}"));
    }
    for tool in &config.tools {
        let hidden = if tool.hidden { ", hidden from the model" } else { "" };
        say(format!("\n[tools.{}] from {}{hidden}", tool.name, tool.source));
        for entry in agent.tools().iter().filter(|entry| entry.source == tool.name) {
            let summary = one_line(entry.spec.description.lines().next().unwrap_or_default());
            say(format!("  {}: {summary}", entry.spec.name));
        }
        // What a server is, host.lock says.
        let component = agent.tools().iter().find(|entry| entry.source == tool.name);
        if let Some(entry) = component.filter(|_| tool.source.server().is_none()) {
            say(format!("  {}", unbroken(&format!("sha256 = \"{}\"", entry.component))));
        }
        for line in lacking(agent, &tool.name) {
            say(format!("  {line}"));
        }
        for line in tool.reach_in_words() {
            say(format!("  {line}"));
        }
        if let Some(shown) = tool.limits.shown_in_words() {
            say(format!("  {shown}"));
        }
        let limits = tool.limits.in_words();
        if !limits.is_empty() {
            say(format!("  limits per call, where they are not the defaults: {}", limits.join(", ")));
        }
    }
    for member in agent.members() {
        let (entry, config) = (member.entry(Rules::NOW, None), member.agent().config());
        let summary = one_line(entry.spec.description.lines().next().unwrap_or_default());
        say(format!("\n[tools.{}] is the agent {}", entry.source, config.path.display()));
        say(format!("  {}: {summary}", entry.spec.name));
        let below = described(config, member.agent());
        below
            .iter()
            .flat_map(|it| it.lines())
            .for_each(|line| say(format!("  {line}").trim_end().to_owned()));
    }
    lines
}

/// What the component of a table cannot do here, a line each: what it imports that is not there, and what it exports
/// that cannot be called.
fn lacking(agent: &LoadedAgent, table: &str) -> Vec<String> {
    let (missing, refused) = agent.toolbox().lacks(table);
    let missing = missing.iter().map(|import| {
        format!("imports {}, which this host does not have: a call that uses it fails", one_line(import))
    });
    let refused = refused.iter().filter(|it| !it.hidden);
    let refused =
        refused.map(|it| format!("the export {} is no tool: {}", one_line(&it.path), one_line(&it.why)));
    missing.chain(refused).collect()
}

/// What else the agent is, besides model and tools.
fn besides(config: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, parameter) in &config.parameters {
        let default = match &parameter.default {
            Some(default) => format!("by default {}", one_line(default)),
            None => "has to be given".to_owned(),
        };
        let what =
            parameter.description.as_deref().map_or_else(String::new, |it| format!(": {}", one_line(it)));
        lines.push(format!("parameter {name}, {default}{what}"));
    }
    if config.agent.output_schema.is_some() {
        lines.push("the final answer has to fit a JSON Schema".to_owned());
    }
    if let Some(tokens) = config.limits.compact_at_tokens {
        lines.push(format!("a conversation of {tokens} tokens is summed up"));
    }
    if !config.agent.builtins.is_empty() {
        let names: Vec<&str> = config.agent.builtins.iter().map(|builtin| builtin.name()).collect();
        lines.push(format!("tools of the host itself: {}", names.join(", ")));
    }
    if !config.approvals.is_none() {
        lines.push(format!(
            "a call that no rule of [approval] is about {}",
            verdict(config.approvals.default)
        ));
        let Approvals { deny, ask, auto, .. } = &config.approvals;
        for (rules, verdict) in [(deny, Verdict::Deny), (ask, Verdict::Ask), (auto, Verdict::Auto)] {
            lines.extend(
                rules.iter().map(|rule| format!("{} {}", rule_in_words(rule), self::verdict(verdict))),
            );
        }
    }
    lines
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Auto => "is made unasked",
        Verdict::Ask => "waits for a person's approval",
        Verdict::Deny => "is never made",
    }
}

fn rule_in_words(CallRule { tool, input }: &CallRule) -> String {
    let input: Vec<String> = input.iter().map(|(member, glob)| format!("{member} = {glob}")).collect();
    let with = if input.is_empty() { String::new() } else { format!(" with {}", input.join(", ")) };
    format!("a call of {}{}", one_line(tool), one_line(&with))
}

fn describe(provider: &Provider) -> String {
    match provider {
        Provider::Scripted { script } => format!("scripted by {}", script.display()),
        Provider::Remote(remote) => {
            let holds = if remote.structured_output { ", which holds the answer to its form" } else { "" };
            format!("{} at {}{holds}", remote.origin(), remote.base_url)
        }
    }
}
