//! agent.toml as it is written. The comments here are the descriptions in its JSON Schema, and the ranges and
//! examples are what `form` checks and suggests.

mod command;
mod form;
mod gateway;
mod model;
mod server;
mod tool;

pub(super) use command::{ArgumentForm, Command, CommandOutput, SecretSetting, Switched};
pub(super) use form::TextOr;
pub(super) use gateway::Gateway;
pub use gateway::{OnDivergence, OtherRequests, ProgramCalls, ProgramResults};
pub(super) use model::{HeaderSecret, Model, ModelRetry, ProviderName, TextCallsForm};
pub(super) use server::McpServer;
pub(super) use tool::{
    Access, Clock, Dir, Network, Permissions, Random, Secret, Tool, ToolLimits, ToolRetry,
};

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use toml::Spanned;

use super::bounds::{
    COMPACT_AT_TOKENS_MIN, MAX_CALLS_PER_TURN_LIMIT, MAX_PARALLEL_TOOLS_LIMIT, MAX_TOOL_CALLS_LIMIT,
    MAX_TURNS_LIMIT, TOKENS_LIMIT,
};
use crate::document::VERSION;
use crate::trust::RawTrust;

/// An agent for `host run`. Paths are relative to this file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "agent.toml")]
pub(in crate::config) struct AgentToml {
    /// The version of the format of this file: 1.
    #[schemars(range(min = VERSION, max = VERSION), example = VERSION)]
    #[allow(dead_code, reason = "form compares it before the file is read into this type")]
    pub(in crate::config) version: u32,
    /// What the agent is told.
    #[serde(default)]
    pub(in crate::config) agent: Agent,
    /// The model that replies.
    pub(in crate::config) model: Model,
    /// The limits of a run.
    #[serde(default)]
    pub(in crate::config) limits: Limits,
    /// The parameters of a run. A parameter's value replaces `{{ name }}` in the prompt and in the instructions. You
    /// choose the names.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Parameter>")]
    pub(in crate::config) parameters: BTreeMap<Spanned<String>, Parameter>,
    /// How `host serve` serves the agent.
    #[serde(default)]
    pub(in crate::config) serve: Serve,
    /// That programs may use the agent: an agent of any SDK has its requests passed on to `[model]`, and calls the tools
    /// here. Both are recorded, so that a program that crashed is started again and goes on where it was.
    pub(in crate::config) gateway: Option<Gateway>,
    /// Which calls a person has to approve before they are made.
    #[serde(default)]
    pub(in crate::config) approval: Approval,
    /// The components whose tools the model may call, and the agents that it may call like tools. You choose the names:
    /// up to 32 of the characters A-Z a-z 0-9 _ -.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Tool>")]
    pub(in crate::config) tools: BTreeMap<Spanned<String>, Tool>,
    /// Who has to have signed the components that come from elsewhere.
    #[serde(default)]
    pub(in crate::config) trust: RawTrust,
    /// Values that tools may send to sites and never see. You choose the names: up to 64 of the characters A-Z a-z 0-9
    /// _.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Secret>")]
    pub(in crate::config) secrets: BTreeMap<Spanned<String>, Secret>,
}

/// What the agent is told.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Agent {
    /// The agent's name; by default the name of its directory.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) name: Option<Spanned<String>>,
    /// What the agent does. An agent that calls this one needs it: its model reads it.
    #[schemars(with = "Option<String>", example = &"Looks something up on the web, and says where it found it.")]
    pub(in crate::config) description: Option<Spanned<String>>,
    /// The system prompt.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) instructions: Option<Spanned<String>>,
    /// A file that holds the system prompt, instead of `instructions`.
    #[schemars(with = "Option<PathBuf>", example = &"instructions.md")]
    pub(in crate::config) instructions_file: Option<Spanned<PathBuf>>,
    /// The prompt, if the command line gives none.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) prompt: Option<Spanned<String>>,
    /// The JSON Schema that the final answer has to fit. The model is told the schema, and is asked once more if its
    /// answer does not fit.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    pub(in crate::config) output_schema: Option<Spanned<toml::Table>>,
    /// A file that holds that JSON Schema, instead of `output_schema`.
    #[schemars(with = "Option<PathBuf>", example = &"answer.schema.json")]
    pub(in crate::config) output_schema_file: Option<Spanned<PathBuf>>,
    /// Whether the provider itself is asked to hold the answer to that JSON Schema, for the model and its fallbacks. A
    /// model that cannot do this refuses the request. False by default; the model is told the form and its answer is
    /// checked in any case.
    #[schemars(with = "Option<bool>")]
    pub(in crate::config) structured_output: Option<Spanned<bool>>,
    /// Tools that the host itself has: `ask_human` asks the person and waits for the answer, `sleep_until` waits for a
    /// moment. A run that waits is suspended.
    #[serde(default)]
    #[schemars(extend("examples" = [["ask_human"]]))]
    pub(in crate::config) builtins: Vec<BuiltinName>,
}

/// How `host serve` serves the agent.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Serve {
    /// The member of the body of `POST /NAME/run` that is the prompt; by default `message`, or else `prompt`. The other
    /// members are parameters.
    #[schemars(with = "Option<String>", example = &"question")]
    pub(in crate::config) prompt: Option<Spanned<String>>,
}

/// A parameter of a run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Parameter {
    /// What it is for.
    pub(in crate::config) description: Option<String>,
    /// The value if a run gives none. Without a default, every run has to give a value.
    pub(in crate::config) default: Option<String>,
}

/// A tool that the host itself has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum BuiltinName {
    /// Asks the person something and waits for the answer.
    AskHuman,
    /// Waits for a moment.
    SleepUntil,
}

/// Which calls a person has to approve. If several rules fit a call, a rule that denies comes first, then a rule that
/// asks, then a rule that lets the call pass.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Approval {
    /// What happens to a call that fits no rule; `"auto"` by default.
    pub(in crate::config) default: Option<Verdict>,
    /// Rules for calls that are made unasked, where `default` asks or denies.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"tool": "get_*"}]]))]
    pub(in crate::config) auto: Vec<CallRule>,
    /// Rules for calls that a person is asked about.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"tool": "send_*"}]]))]
    pub(in crate::config) ask: Vec<CallRule>,
    /// Rules for calls that are never made.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"tool": "delete_*"}]]))]
    pub(in crate::config) deny: Vec<CallRule>,
}

/// What happens before a call is made.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Verdict {
    /// It is made.
    Auto,
    /// A person is asked.
    Ask,
    /// It is not made, and the model is told so.
    Deny,
}

/// A rule, in `auto`, `ask` or `deny`: which calls it is about, by globs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = json!({ "tool": "send_*" }))]
pub(in crate::config) struct CallRule {
    /// The tool's name, as a glob.
    #[schemars(with = "String", example = &"send_*")]
    pub(in crate::config) tool: Spanned<String>,
    /// Members of the input, each with a glob. All of them have to fit. If a member is not a text, the glob is compared
    /// with the member's JSON.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub(in crate::config) input: BTreeMap<String, Spanned<String>>,
}

/// The limits of a run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Limits {
    /// Model requests of a run; 25 by default.
    #[schemars(range(min = 1, max = MAX_TURNS_LIMIT))]
    pub(in crate::config) max_turns: Option<u32>,
    /// Tool calls running at once; 16 by default.
    #[schemars(range(min = 1, max = MAX_PARALLEL_TOOLS_LIMIT))]
    pub(in crate::config) max_parallel_tools: Option<u32>,
    /// Tool calls the model may make in one turn; 128 by default. Extra calls are rejected, and the model is told.
    #[schemars(range(min = 1, max = MAX_CALLS_PER_TURN_LIMIT))]
    pub(in crate::config) max_calls_per_turn: Option<u32>,
    /// Tool calls the model may make in the whole run; unlimited by default.
    #[schemars(range(min = 1, max = MAX_TOOL_CALLS_LIMIT))]
    pub(in crate::config) max_tool_calls: Option<u32>,
    /// Tokens of all requests and replies of a run; unlimited by default. The run stops after the reply that reaches
    /// the limit, before the calls of that reply are made.
    #[schemars(range(min = 1, max = TOKENS_LIMIT))]
    pub(in crate::config) max_total_tokens: Option<u64>,
    /// If a request and its reply take this many tokens, the model writes a summary. The summary replaces the
    /// conversation, except the prompt and the last turn. By default the model writes no summary. The number has to be
    /// smaller than the model's context, by as much as one turn adds.
    #[schemars(range(min = COMPACT_AT_TOKENS_MIN, max = TOKENS_LIMIT))]
    pub(in crate::config) compact_at_tokens: Option<u64>,
    /// What a run may cost, in US dollars, by `prices` in `[model]`; unlimited by default.
    #[schemars(with = "Option<f64>", range(min = 0))]
    pub(in crate::config) max_cost_usd: Option<Spanned<f64>>,
    /// How many turns in a row the model may make the same call with the same result, while it says and calls nothing
    /// else; 3 by default, 0 for no limit. At the limit the model is told. If it then makes that call once more, the
    /// run stops.
    #[schemars(range(min = 0, max = MAX_TURNS_LIMIT))]
    pub(in crate::config) max_repeats: Option<u32>,
    /// The run stops after a call of one of these tools. Write globs over the names that the model uses.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["hand_over"]]))]
    pub(in crate::config) stop_on_tools: Vec<Spanned<String>>,
    /// How long a run may take, such as `"5m"`; unlimited by default.
    #[schemars(with = "Option<String>", example = &"5m")]
    pub(in crate::config) wall_time: Option<Spanned<String>>,
}
