//! agent.toml: read once, checked whole, and from then on a [`Config`] without surprises.
//!
//! Owns the file's form ([`schema`]), its defaults and its limits. Touches nothing but the file itself and
//! `instructions_file`; whether a tool exists is the toolbox's to say. It fails with a [`ConfigError`] that
//! shows the line and says what to do.

mod error;
mod raw;
mod validate;

pub use error::{ConfigError, Problem};

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::message::Digest;

/// A larger agent.toml is surely not one.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// An agent, as its agent.toml describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The absolute path of agent.toml.
    pub path: PathBuf,
    /// What the agent is told.
    pub agent: AgentConfig,
    /// Who replies.
    pub model: ModelConfig,
    /// What bounds a run.
    pub limits: Limits,
    /// The components whose tools are offered, sorted by name.
    pub tools: Vec<ToolConfig>,
}

/// What the agent is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    /// The agent's name; by default that of its directory.
    pub name: String,
    /// The system prompt; may be empty.
    pub instructions: String,
    /// What to ask if the command line does not say.
    pub prompt: Option<String>,
}

/// Who replies.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Where the model is.
    pub provider: Provider,
    /// Sampling temperature, if not the provider's default.
    pub temperature: Option<f64>,
    /// Upper bound of a reply in tokens, if not the provider's default.
    pub max_tokens: Option<u64>,
}

/// Where the model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provider {
    /// In a file of replies.
    Scripted {
        /// The file, absolute.
        script: PathBuf,
    },
    /// Behind an OpenAI-compatible endpoint.
    OpenAi {
        /// The model's name there.
        name: String,
        /// The endpoint, up to and without `/chat/completions`.
        base_url: String,
        /// The environment variable that holds the key, if one is needed.
        api_key_env: Option<String>,
    },
}

/// What bounds a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Model requests of a run.
    pub max_turns: u32,
    /// Tool calls running at once.
    pub max_parallel_tools: u32,
    /// Tool calls the model may make in one turn; it is told of those that exceed it.
    pub max_calls_per_turn: u32,
    /// How long a run may take, in milliseconds.
    pub wall_time_ms: Option<u64>,
}

/// A component and how its tools are offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolConfig {
    /// The NAME of `[tools.NAME]`.
    pub name: String,
    /// A .wasm file or a crate directory, absolute.
    pub source: PathBuf,
    /// The digest the component has to have.
    pub sha256: Option<Digest>,
    /// Globs over the component's tool names; empty means all.
    pub include: Vec<String>,
    /// Put before each tool's name.
    pub prefix: String,
    /// What bounds each call.
    pub limits: ToolLimits,
}

/// What bounds one call of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToolLimits {
    /// Wall-clock time, in milliseconds.
    pub timeout_ms: u64,
    /// All memories and tables of the instance together.
    pub memory_bytes_max: u64,
    /// The output, as JSON text.
    pub output_bytes_max: u64,
    /// Log lines, stdout and stderr together.
    pub log_bytes_max: u64,
}

impl Default for ToolLimits {
    fn default() -> Self {
        Self {
            timeout_ms: 30_000,
            memory_bytes_max: 64 * 1024 * 1024,
            output_bytes_max: 1024 * 1024,
            log_bytes_max: 64 * 1024,
        }
    }
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |reason: String| ConfigError::unreadable(path, &reason);
        let absolute = std::path::absolute(path).map_err(|error| unreadable(error.to_string()))?;
        let metadata = std::fs::metadata(&absolute).map_err(|error| unreadable(error.to_string()))?;
        if metadata.is_dir() {
            return Err(unreadable("it is a directory; name the agent.toml in it".to_owned()));
        }
        if metadata.len() > FILE_BYTES_MAX {
            return Err(unreadable(format!("it has more than {FILE_BYTES_MAX} bytes")));
        }
        let bytes = std::fs::read(&absolute).map_err(|error| unreadable(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            unreadable(format!("it is not UTF-8 text: {}", error.utf8_error()))
        })?;
        Self::parse(&text, &absolute)
    }

    /// Checks a text; `path` is what relative paths are relative to, and what errors name.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let source = error::Source::new(text, path);
        let raw = toml::from_str(text).map_err(|error| source.toml_error(&error))?;
        validate::config(raw, path).map_err(|problems| source.problems(problems))
    }
}

/// The JSON Schema of agent.toml, derived from the types that read it.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(raw::AgentToml).to_value()
}
