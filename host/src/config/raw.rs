//! agent.toml as it is written. The comments here are the descriptions in its JSON Schema.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// An agent for `host run`. Paths are relative to this file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "agent.toml")]
pub(super) struct AgentToml {
    /// The version of this file's form: 1.
    #[schemars(with = "u32")]
    pub(super) version: Spanned<u32>,
    #[serde(default)]
    pub(super) agent: Agent,
    pub(super) model: Model,
    #[serde(default)]
    pub(super) limits: Limits,
    /// The components whose tools the model may call, by a name of your choice.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Tool>")]
    pub(super) tools: BTreeMap<Spanned<String>, Tool>,
}

/// What the agent is told.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Agent {
    /// The agent's name; by default that of its directory.
    pub(super) name: Option<String>,
    /// The system prompt.
    pub(super) instructions: Option<String>,
    /// A file that holds the system prompt, instead of `instructions`.
    #[schemars(with = "Option<PathBuf>")]
    pub(super) instructions_file: Option<Spanned<PathBuf>>,
    /// What to ask if the command line does not say.
    pub(super) prompt: Option<String>,
}

/// Who replies.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    /// Where the model is.
    #[schemars(with = "ProviderName")]
    pub(super) provider: Spanned<ProviderName>,
    /// The file of replies, for the provider `scripted`.
    #[schemars(with = "Option<PathBuf>")]
    pub(super) script: Option<Spanned<PathBuf>>,
    /// The model's name at the provider.
    #[schemars(with = "Option<String>")]
    pub(super) name: Option<Spanned<String>>,
    /// The endpoint of an OpenAI-compatible provider, such as `http://localhost:11434/v1`.
    #[schemars(with = "Option<String>")]
    pub(super) base_url: Option<Spanned<String>>,
    /// The environment variable that holds the API key. By default `OPENAI_API_KEY` where `base_url` is
    /// left out, and none where it is given.
    #[schemars(with = "Option<String>")]
    pub(super) api_key_env: Option<Spanned<String>>,
    /// Sampling temperature, from 0 to 2.
    #[schemars(with = "Option<f64>")]
    pub(super) temperature: Option<Spanned<f64>>,
    /// Upper bound of a reply, in tokens.
    #[schemars(with = "Option<u64>")]
    pub(super) max_tokens: Option<Spanned<u64>>,
}

/// Where the model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ProviderName {
    /// In a file of replies: no network, no key.
    Scripted,
    /// Behind `OpenAI` chat completions, or an endpoint compatible with them.
    OpenAi,
}

/// What bounds a run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// Model requests of a run; 25 by default.
    #[schemars(with = "Option<u32>")]
    pub(super) max_turns: Option<Spanned<u32>>,
    /// Tool calls running at once; 16 by default.
    #[schemars(with = "Option<u32>")]
    pub(super) max_parallel_tools: Option<Spanned<u32>>,
    /// Tool calls the model may make in one turn; 128 by default. It is told of those that exceed it.
    #[schemars(with = "Option<u32>")]
    pub(super) max_calls_per_turn: Option<Spanned<u32>>,
    /// How long a run may take, such as `"5m"`; unlimited by default.
    #[schemars(with = "Option<String>")]
    pub(super) wall_time: Option<Spanned<String>>,
}

/// A component and how its tools are offered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool {
    /// A .wasm component, or a crate directory that is built into one.
    #[schemars(with = "PathBuf")]
    pub(super) source: Spanned<PathBuf>,
    /// The SHA-256 the component has to have, in hexadecimal.
    #[schemars(with = "Option<String>")]
    pub(super) sha256: Option<Spanned<String>>,
    /// The tools to offer, as globs over the component's tool names; all by default.
    #[serde(default)]
    pub(super) include: Vec<String>,
    /// Put before each tool's name, so that two components can have tools of one name.
    #[schemars(with = "Option<String>")]
    pub(super) prefix: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) limits: ToolLimits,
}

/// What bounds one call of a tool.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolLimits {
    /// Wall-clock time, such as `"30s"` (the default).
    #[schemars(with = "Option<String>")]
    pub(super) timeout: Option<Spanned<String>>,
    /// All memories and tables of an instance together, such as `"64MiB"` (the default).
    #[schemars(with = "Option<String>")]
    pub(super) memory: Option<Spanned<String>>,
    /// The output, such as `"1MiB"` (the default).
    #[schemars(with = "Option<String>")]
    pub(super) output: Option<Spanned<String>>,
    /// Log lines, stdout and stderr together, such as `"64KiB"` (the default).
    #[schemars(with = "Option<String>")]
    pub(super) log: Option<Spanned<String>>,
}
