//! agent.toml: read once, checked whole, and from then on a [`Config`] without surprises.
//!
//! Owns the file's form ([`schema`]), its defaults and its limits. Touches nothing but the file itself and
//! `instructions_file`; whether a tool exists is the toolbox's to say. It fails with a [`ConfigError`] that
//! shows the line and says what to do.

mod agents;
mod approval;
mod bounds;
mod command;
mod component;
mod endpoint;
mod gateway;
mod mistaken;
mod parameters;
mod paths;
mod permissions;
mod placed;
mod provider;
mod raw;
mod server;
mod source;
mod spelling;
mod template;
mod tool;

mod validate;

pub use crate::document::{ConfigError, KeyPath, Problem, SourceText};
pub use crate::model::{
    Api, Connection, Header, HeaderText, InText, ModelConfig, Provider, Proxy, ReasoningTags, RemoteConfig,
    TextCalls,
};
pub use agents::{AGENT_DEPTH_MAX, SubAgent};
pub use gateway::{Gateway, OnDivergence, OtherRequests, ProgramCalls, ProgramResults};
#[cfg(feature = "cli")]
pub(crate) use mistaken::begins_as_wasm;
pub use parameters::{Parameter, ParameterError, Parameters, render, values};
#[cfg(feature = "cli")]
pub(crate) use paths::scheme;
pub use server::{McpServer, ServerAt, ServerCommand};
pub use source::{Source, table_name};
pub use spelling::{Respelled, Respelling};
pub use template::TemplateError;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::Command;
use crate::document::{FileError, read, read_text, schema_of};
use crate::grants::{Grants, SecretSource, ToolLimits};
use crate::message::{Approvals, Budgets, Builtin, Digest, Json, Retry};
use crate::registry::Locked;
use crate::trust::Trust;

/// An agent, as its agent.toml describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The absolute path of agent.toml.
    pub path: PathBuf,
    /// The text of it, for what turns out later to be wrong with it.
    pub text: SourceText,
    /// What the agent is told.
    pub agent: AgentConfig,
    /// Who replies.
    pub model: ModelConfig,
    /// Who replies when the model fails, one after the other.
    pub fallbacks: Vec<ModelConfig>,
    /// Who sums conversations up, if it is not who replies.
    pub summary: Option<ModelConfig>,
    /// When a model request that failed is sent again.
    pub model_retry: Retry,
    /// What bounds a run.
    pub limits: Limits,
    /// What each run is given, by name.
    pub parameters: Parameters,
    /// How it is served.
    pub serve: ServeConfig,
    /// By what rules programs use it, if they may.
    pub gateway: Option<Gateway>,
    /// Which calls a person has to approve.
    pub approvals: Approvals,
    /// The components whose tools are offered, sorted by name.
    pub tools: Vec<ToolConfig>,
    /// The agents that are offered like tools, sorted by name.
    pub agents: Vec<AgentTool>,
    /// Where the secrets are that tools may send.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Who has to have signed components that come from elsewhere, beside those whom the user asks for.
    pub trust: Trust,
}

/// What the agent is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    /// The agent's name; by default that of its directory.
    pub name: String,
    /// The files beside agent.toml that it was read from: instructions, and the schema of the answer.
    pub files: Vec<PathBuf>,
    /// What it does, for agents that call it.
    pub description: Option<String>,
    /// The system prompt; may be empty.
    pub instructions: String,
    /// What to ask if the command line does not say.
    pub prompt: Option<String>,
    /// JSON Schema of the final answer, if it is to have a form.
    pub output_schema: Option<Json>,
    /// The host's own tools that are offered.
    pub builtins: Vec<Builtin>,
}

/// How the agent is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServeConfig {
    /// The member of a plain body that is the prompt, if it is another one than those that are by default.
    pub prompt: Option<String>,
}

impl ServeConfig {
    /// The members of a plain body of which the first that is there is the prompt.
    #[must_use]
    pub fn prompt_members(&self) -> Vec<&str> {
        match &self.prompt {
            Some(member) => vec![member],
            None => vec!["message", "prompt"],
        }
    }
}

/// What bounds a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Model requests of a run.
    pub max_turns: u32,
    /// Tool calls running at once.
    pub max_parallel_tools: u32,
    /// Tool calls the model may make in one turn; it is told of those that exceed it.
    pub max_calls_per_turn: u32,
    /// What else stops a run.
    pub budgets: Budgets,
    /// At how many tokens the conversation is replaced by a summary.
    pub compact_at_tokens: Option<u64>,
    /// How long a run may take, in milliseconds.
    pub wall_time_ms: Option<u64>,
}

/// An agent that is offered like a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentTool {
    /// The NAME of `[tools.NAME]`.
    pub name: String,
    /// Put before the name.
    pub prefix: String,
    /// Its agent.toml, absolute.
    pub path: PathBuf,
    /// How many turns in a row may call it alike, if it has a number of its own; 0 for any number.
    pub max_repeats: Option<u32>,
}

/// A component and how its tools are offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolConfig {
    /// The NAME of `[tools.NAME]`.
    pub name: String,
    /// Where the component is.
    pub source: Source,
    /// What host.lock says of it, if it is elsewhere and has an entry there.
    pub locked: Option<Locked>,
    /// The digest the component has to have.
    pub sha256: Option<Digest>,
    /// Globs over the component's tool names; empty means all.
    pub include: Vec<String>,
    /// Put before each tool's name.
    pub prefix: String,
    /// Whether its tools are for other tools only, and the model is not told of them.
    pub hidden: bool,
    /// How many turns in a row may make the same call, if it has a number of its own; 0 for any number.
    pub max_repeats: Option<u32>,
    /// What it may reach.
    pub grants: Grants,
    /// What bounds each call.
    pub limits: ToolLimits,
    /// When a call that failed is tried again, if it may be.
    pub retry: Retry,
    /// Globs over the component's tool names: calls of these may be repeated whatever they can reach.
    pub idempotent: Vec<String>,
    /// What the model is told of tools, by their names in the component, instead of what the component says.
    pub describe: BTreeMap<String, String>,
    /// How it is called as a program, if it is to be.
    pub command: Option<Command>,
}

impl ToolConfig {
    /// What its tools may reach, a line each.
    #[must_use]
    pub fn reach_in_words(&self) -> Vec<String> {
        match self.source.server() {
            Some(_) => vec!["anything that the MCP server can reach: it is not sandboxed".to_owned()],
            None => self.grants.in_words(),
        }
    }
}

impl Config {
    /// Who replies, the first choice first.
    pub fn models(&self) -> impl Iterator<Item = &ModelConfig> {
        std::iter::once(&self.model).chain(&self.fallbacks)
    }

    /// Everybody who replies or sums up.
    pub fn all_models(&self) -> impl Iterator<Item = &ModelConfig> {
        self.models().chain(&self.summary)
    }

    /// Reads and checks a file, or the agent.toml in a directory.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let path = &file_of(path);
        if let Some(error) = mistaken::error(path) {
            return Err(error);
        }
        let text = read_text(path, bounds::FILE_BYTES_MAX).map_err(|error| unreadable(path, &error))?;
        Self::parse(&text, path)
    }

    /// Checks a text. `path` is what errors name, and its directory what paths in the text are relative to.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        if text.len() as u64 > bounds::FILE_BYTES_MAX {
            return Err(unreadable(path, &FileError::TooLarge { bytes_max: bounds::FILE_BYTES_MAX }));
        }
        let path = &std::path::absolute(path).map_err(|error| unreadable(path, &FileError::Io(error)))?;
        let fail = |problems| ConfigError::of_text(path, text, problems);
        let raw = read::<raw::AgentToml>(text, &schema(), "`host schema`").map_err(fail)?;
        validate::config(raw, SourceText::new(path, text), path).map_err(fail)
    }
}

/// The file that a path stands for: a directory stands for the agent.toml in it.
fn file_of(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("agent.toml") } else { path.to_owned() }
}

fn unreadable(path: &Path, error: &FileError) -> ConfigError {
    let help = match error {
        FileError::Missing => "give the path of an agent.toml, or let `host init DIR` write a new one",
        FileError::Directory => "give the path of an agent.toml, or of the directory that it is in",
        FileError::TooLarge { .. } => {
            "give the path of an agent.toml; text of any length goes into `instructions_file`"
        }
        FileError::Io(_) => "give the path of an agent.toml that can be read",
        FileError::NotUtf8 { lossy, valid_bytes } => {
            let help = "save the file as UTF-8";
            let problem = Problem::new(*valid_bytes..*valid_bytes, error.to_string(), help);
            return ConfigError::of_text(path, lossy, vec![problem]);
        }
    };
    ConfigError::of_file(path, format!("cannot read {}: {error}", path.display()), help)
}

/// The JSON Schema of agent.toml, derived from the types that read it.
#[must_use]
pub fn schema() -> Value {
    spelling::with_older(schema_of::<raw::AgentToml>())
}

#[cfg(test)]
mod tests;
