//! agent.toml as it is written. The comments here are the descriptions in its JSON Schema, and the ranges and
//! examples are what `form` checks and suggests.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::bounds::{
    ATTEMPTS_LIMIT, CALLS_LIMIT, FUEL_LIMIT, HTTP_REQUESTS_LIMIT, MAX_CALLS_PER_TURN_LIMIT,
    MAX_PARALLEL_TOOLS_LIMIT, MAX_TOOL_CALLS_LIMIT, MAX_TURNS_LIMIT, OPEN_FILES_LIMIT, TOKENS_LIMIT, VERSION,
};

/// An agent for `host run`. Paths are relative to this file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "agent.toml")]
pub(super) struct AgentToml {
    /// The version of this file's form: 1.
    #[schemars(range(min = VERSION, max = VERSION), example = VERSION)]
    #[allow(dead_code, reason = "form compares it before the file is read into this type")]
    pub(super) version: u32,
    /// What the agent is told.
    #[serde(default)]
    pub(super) agent: Agent,
    /// Who replies.
    pub(super) model: Model,
    /// What bounds a run.
    #[serde(default)]
    pub(super) limits: Limits,
    /// Values that each run is given, for `{{ name }}` in the prompt and in the instructions, by a name of your choice.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Parameter>")]
    pub(super) parameters: BTreeMap<Spanned<String>, Parameter>,
    /// Which calls a person has to approve before they are made.
    #[serde(default)]
    pub(super) approval: Approval,
    /// The components whose tools the model may call, by a name of your choice: up to 32 of the characters
    /// A-Z a-z 0-9 _ -.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Tool>")]
    pub(super) tools: BTreeMap<Spanned<String>, Tool>,
    /// Values that tools may send to hosts and never see, by a name of your choice: up to 64 of the
    /// characters A-Z a-z 0-9 _.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Secret>")]
    pub(super) secrets: BTreeMap<Spanned<String>, Secret>,
}

/// What the agent is told.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Agent {
    /// The agent's name; by default that of its directory.
    #[schemars(with = "Option<String>")]
    pub(super) name: Option<Spanned<String>>,
    /// The system prompt.
    #[schemars(with = "Option<String>")]
    pub(super) instructions: Option<Spanned<String>>,
    /// A file that holds the system prompt, instead of `instructions`.
    #[schemars(with = "Option<PathBuf>", example = &"instructions.md")]
    pub(super) instructions_file: Option<Spanned<PathBuf>>,
    /// What to ask if the command line does not say.
    #[schemars(with = "Option<String>")]
    pub(super) prompt: Option<Spanned<String>>,
    /// JSON Schema that the final answer has to fit, as JSON: the model is told, and asked once more if it does not.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    pub(super) output_schema: Option<Spanned<toml::Table>>,
    /// A file that holds that JSON Schema, instead of `output_schema`.
    #[schemars(with = "Option<PathBuf>", example = &"answer.schema.json")]
    pub(super) output_schema_file: Option<Spanned<PathBuf>>,
    /// Tools that the host itself gives: `ask_human` asks the person and waits for the answer, `sleep_until` waits for
    /// a moment. A run that waits is suspended.
    #[serde(default)]
    #[schemars(extend("examples" = [["ask_human"]]))]
    pub(super) builtins: Vec<BuiltinName>,
}

/// A value that each run is given.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameter {
    /// What it is for.
    pub(super) description: Option<String>,
    /// What holds if none is given; without it, one has to be.
    pub(super) default: Option<String>,
}

/// A tool that the host itself gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum BuiltinName {
    /// Asks the person something and waits for the answer.
    AskHuman,
    /// Waits for a moment.
    SleepUntil,
}

/// Which calls a person has to approve. Of the rules that are about a call, one that denies comes first, then one that
/// asks, then one that lets pass.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Approval {
    /// What holds for a call that no rule is about; `"auto"` by default.
    pub(super) default: Option<Verdict>,
    /// Calls that are made unasked.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"tool": "get_*"}]]))]
    pub(super) auto: Vec<CallRule>,
    /// Calls that a person is asked about.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"tool": "send_*"}]]))]
    pub(super) ask: Vec<CallRule>,
    /// Calls that are never made.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"tool": "delete_*"}]]))]
    pub(super) deny: Vec<CallRule>,
}

/// What becomes of a call before it is made.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// It is made.
    Auto,
    /// A person is asked.
    Ask,
    /// It is not made, and the model is told so.
    Deny,
}

/// Calls, by globs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CallRule {
    /// The tool's name, as a glob.
    #[schemars(with = "String", example = &"send_*")]
    pub(super) tool: Spanned<String>,
    /// Members of the input and globs over their texts, all of which have to fit; a member that is no text counts as
    /// its JSON.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub(super) input: BTreeMap<String, Spanned<String>>,
}

/// Who replies.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    /// Where the model is.
    #[schemars(with = "ProviderName", example = &"openai")]
    pub(super) provider: Spanned<ProviderName>,
    /// The file of replies, for the provider `scripted`.
    #[schemars(with = "Option<PathBuf>", example = &"script.toml")]
    pub(super) script: Option<Spanned<PathBuf>>,
    /// The model's name at the provider.
    #[schemars(with = "Option<String>")]
    pub(super) name: Option<Spanned<String>>,
    /// The endpoint, such as `http://localhost:8000/v1`; by default the provider's own.
    #[schemars(with = "Option<String>", example = &"http://localhost:11434/v1")]
    pub(super) base_url: Option<Spanned<String>>,
    /// The environment variable that holds the API key. By default `OPENAI_API_KEY`, `ANTHROPIC_API_KEY` or
    /// `GEMINI_API_KEY` at the default `base_url`, and none at any other.
    #[schemars(with = "Option<String>", example = &"OPENAI_API_KEY")]
    pub(super) api_key_env: Option<Spanned<String>>,
    /// The file that holds the API key, instead of `api_key_env`.
    #[schemars(with = "Option<PathBuf>", example = &"/run/secrets/openai")]
    pub(super) api_key_file: Option<Spanned<PathBuf>>,
    /// Sampling temperature, from 0 to 2; by default the provider's.
    #[schemars(with = "Option<f64>", range(min = 0, max = 2))]
    pub(super) temperature: Option<Spanned<f64>>,
    /// Upper bound of a reply, in tokens; by default the provider's.
    #[schemars(with = "Option<u64>", range(min = 1))]
    pub(super) max_tokens: Option<Spanned<u64>>,
    /// Whether replies are read as they come: their text is shown meanwhile, and a long one is waited for as long as
    /// something comes. False by default.
    #[schemars(with = "Option<bool>")]
    pub(super) stream: Option<Spanned<bool>>,
    /// What else goes into every request, in the provider's own words, such as `reasoning = { effort = "high" }`.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    pub(super) extra: Option<Spanned<toml::Table>>,
    /// What its tokens cost, for `max_cost_usd` in `[limits]`.
    pub(super) prices: Option<Prices>,
    /// When a request that failed is sent again.
    #[schemars(with = "Option<ModelRetry>")]
    pub(super) retry: Option<Spanned<ModelRetry>>,
    /// The models to ask when this one fails for good, one after the other, each with the keys of `[model]`.
    #[serde(default)]
    pub(super) fallback: Vec<Model>,
}

/// When a model request that failed is sent again: after a connection that failed, after HTTP 408, 409 and 429, and
/// after any 5xx.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelRetry {
    /// Attempts that may fail before the run breaks off; 3 by default, 1 for no retry.
    #[schemars(range(min = 1, max = ATTEMPTS_LIMIT))]
    pub(super) max_attempts: Option<u32>,
    /// The wait after the first failure, such as `"500ms"` (the default); it doubles with each further one.
    #[schemars(with = "Option<String>", example = &"500ms")]
    pub(super) initial_delay: Option<Spanned<String>>,
    /// The longest wait, such as `"8s"` (the default); 1 hour at most.
    #[schemars(with = "Option<String>", example = &"8s")]
    pub(super) max_delay: Option<Spanned<String>>,
    /// The longest wait that the provider may ask for in `retry-after`, such as `"60s"` (the default); 1 hour at most.
    #[schemars(with = "Option<String>", example = &"60s")]
    pub(super) max_retry_after: Option<Spanned<String>>,
}

/// What a model's tokens cost, in US dollars per million.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Prices {
    /// Tokens of requests.
    #[schemars(range(min = 0), example = 1.25)]
    pub(super) input: f64,
    /// Tokens of replies, reasoning included.
    #[schemars(range(min = 0), example = 10.0)]
    pub(super) output: f64,
}

/// Where the model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ProviderName {
    /// In a file of replies: no network, no key.
    Scripted,
    /// Behind `OpenAI` chat completions, or an endpoint compatible with them.
    OpenAi,
    /// Behind `OpenAI` responses.
    #[serde(rename = "openai-responses")]
    OpenAiResponses,
    /// Behind Anthropic messages.
    Anthropic,
    /// Behind Google Gemini.
    Gemini,
    /// Behind Ollama's own interface.
    Ollama,
}

/// What bounds a run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// Model requests of a run; 25 by default.
    #[schemars(range(min = 1, max = MAX_TURNS_LIMIT))]
    pub(super) max_turns: Option<u32>,
    /// Tool calls running at once; 16 by default.
    #[schemars(range(min = 1, max = MAX_PARALLEL_TOOLS_LIMIT))]
    pub(super) max_parallel_tools: Option<u32>,
    /// Tool calls the model may make in one turn; 128 by default. It is told of those that exceed it.
    #[schemars(range(min = 1, max = MAX_CALLS_PER_TURN_LIMIT))]
    pub(super) max_calls_per_turn: Option<u32>,
    /// Tool calls the model may make in the whole run; unlimited by default.
    #[schemars(range(min = 1, max = MAX_TOOL_CALLS_LIMIT))]
    pub(super) max_tool_calls: Option<u32>,
    /// Tokens of all requests and replies of a run; unlimited by default. The run stops with the reply that reaches
    /// it, before the calls of that reply are made.
    #[schemars(range(min = 1, max = TOKENS_LIMIT))]
    pub(super) max_total_tokens: Option<u64>,
    /// What a run may cost, in US dollars, by `prices` in `[model]`; unlimited by default.
    #[schemars(with = "Option<f64>", range(min = 0))]
    pub(super) max_cost_usd: Option<Spanned<f64>>,
    /// Turns in a row that may make the same call with the same result; 3 by default. The model is told then, and
    /// if it makes that call once more the run stops.
    #[schemars(range(min = 1, max = MAX_TURNS_LIMIT))]
    pub(super) max_repeats: Option<u32>,
    /// Tools after whose call the run stops, as globs over the names that the model calls them by.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["hand_over"]]))]
    pub(super) stop_on_tools: Vec<Spanned<String>>,
    /// How long a run may take, such as `"5m"`; unlimited by default.
    #[schemars(with = "Option<String>", example = &"5m")]
    pub(super) wall_time: Option<Spanned<String>>,
}

/// A component and how its tools are offered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool {
    /// A .wasm component, or a crate directory that is built into one.
    #[schemars(with = "PathBuf", example = &"tools/greet")]
    pub(super) source: Spanned<PathBuf>,
    /// The SHA-256 the component has to have: 64 hexadecimal digits.
    #[schemars(with = "Option<String>")]
    pub(super) sha256: Option<Spanned<String>>,
    /// The tools to offer, as globs over the component's tool names; all by default.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["get_*"]]))]
    pub(super) include: Vec<Spanned<String>>,
    /// Put before each tool's name, so that two components can have tools of one name: up to 32 of the
    /// characters A-Z a-z 0-9 _ -.
    #[schemars(with = "Option<String>", example = &"my_")]
    pub(super) prefix: Option<Spanned<String>>,
    /// Do not offer its tools to the model: only other tools, with `permissions.calls`, may call them.
    #[serde(default)]
    pub(super) hidden: bool,
    /// What the component may reach; nothing by default.
    #[serde(default)]
    pub(super) permissions: Permissions,
    /// What bounds one call.
    #[serde(default)]
    pub(super) limits: ToolLimits,
    /// When a call that failed is tried again.
    #[serde(default)]
    pub(super) retry: ToolRetry,
}

/// When a call that failed is tried again. That is only done where nothing speaks against doing it twice:
/// for tools that can change nothing outside, and for those that `idempotent` names.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolRetry {
    /// Attempts that may fail before the failure is the call's result; 3 by default, 1 for no retry.
    #[schemars(range(min = 1, max = ATTEMPTS_LIMIT))]
    pub(super) max_attempts: Option<u32>,
    /// The wait after the first failure, such as `"200ms"` (the default); it doubles with each further one.
    #[schemars(with = "Option<String>", example = &"200ms")]
    pub(super) initial_delay: Option<Spanned<String>>,
    /// The longest wait, such as `"10s"` (the default); 1 hour at most.
    #[schemars(with = "Option<String>", example = &"10s")]
    pub(super) max_delay: Option<Spanned<String>>,
    /// Tools of which a call made twice is as good as one made once, as globs over the component's tool
    /// names. They are called again after a transient failure, a timeout, or a crash in the middle of a call.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["search_*"]]))]
    pub(super) idempotent: Vec<Spanned<String>>,
}

/// What a component may reach. Everything that is not listed is denied.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Permissions {
    /// Directories it may use.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"host": "./work", "guest": "/data", "access": "ro"}]]))]
    pub(super) dirs: Vec<Dir>,
    /// Environment variables it may see.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["LANG"]]))]
    pub(super) env: Vec<Spanned<String>>,
    /// Where it may send requests.
    #[serde(default)]
    pub(super) network: Vec<Network>,
    /// Where its random numbers come from; `"seeded"` by default.
    pub(super) random: Option<Random>,
    /// The tools of this agent that it may call, as globs over the names that the model would call them by. Each
    /// of them runs with its own permissions, never with these.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["check_*"]]))]
    pub(super) calls: Vec<Spanned<String>>,
}

/// A directory of this machine and what a component may do with it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Dir {
    /// The directory.
    #[schemars(with = "PathBuf", example = &"./work")]
    pub(super) host: Spanned<PathBuf>,
    /// What the component calls it: an absolute path, such as `/data`.
    #[schemars(with = "String", example = &"/data")]
    pub(super) guest: Spanned<String>,
    /// What it may do there.
    #[schemars(example = &"ro")]
    pub(super) access: Access,
}

/// What may be done with a directory.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Access {
    /// Reading and listing.
    Ro,
    /// Everything, down to deleting what is in it.
    Rw,
}

/// A site a component may send requests to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Network {
    /// The site, such as `https://api.github.com`: a scheme and a host, or `*.` and a domain for any host
    /// one label below it; then, if wanted, a port and a path, with everything below that path.
    #[schemars(with = "String", example = &"https://api.github.com")]
    pub(super) host: Spanned<String>,
    /// The methods it may use.
    #[schemars(with = "Vec<String>", extend("examples" = [["GET"]]))]
    pub(super) methods: Spanned<Vec<Spanned<String>>>,
    /// The secrets it may send there, by their names in `[secrets]`. It finds a placeholder for each in the
    /// environment variable of that name.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) secrets: Vec<Spanned<String>>,
    /// Whether the host may be on this machine or in a private network; false by default.
    #[serde(default)]
    pub(super) allow_private: bool,
}

/// Where random numbers come from.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Random {
    /// From the run's recorded seed: the same again when a call is carried out again.
    Seeded,
    /// From the operating system.
    Os,
}

/// Where the value of a secret is. It is never written into this file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Secret {
    /// The environment variable that holds it.
    #[schemars(with = "Option<String>", example = &"GITHUB_TOKEN")]
    pub(super) env: Option<Spanned<String>>,
    /// The file that holds it.
    #[schemars(with = "Option<PathBuf>", example = &"/run/secrets/github")]
    pub(super) file: Option<Spanned<PathBuf>>,
}

/// What bounds one call of a tool.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolLimits {
    /// Wall-clock time, such as `"30s"` (the default); 24 hours at most.
    #[schemars(with = "Option<String>", example = &"30s")]
    pub(super) timeout: Option<Spanned<String>>,
    /// Time on a processor, such as `"10s"` (the default); 24 hours at most.
    #[schemars(with = "Option<String>", example = &"10s")]
    pub(super) cpu: Option<Spanned<String>>,
    /// All memories and tables of an instance together, such as `"64MiB"` (the default); 4 GiB at most.
    #[schemars(with = "Option<String>", example = &"64MiB")]
    pub(super) memory: Option<Spanned<String>>,
    /// WebAssembly instructions, roughly; not counted by default, because counting costs time.
    #[schemars(range(min = 1, max = FUEL_LIMIT))]
    pub(super) fuel: Option<u64>,
    /// The output, such as `"1MiB"` (the default); 256 MiB at most.
    #[schemars(with = "Option<String>", example = &"1MiB")]
    pub(super) output: Option<Spanned<String>>,
    /// How much of an output the model is shown, such as `"64KiB"` (the default): of a longer one its
    /// beginning and its end. The journal has all of it.
    #[schemars(with = "Option<String>", example = &"64KiB")]
    pub(super) shown: Option<Spanned<String>>,
    /// Log lines, stdout and stderr together, such as `"64KiB"` (the default); 256 MiB at most.
    #[schemars(with = "Option<String>", example = &"64KiB")]
    pub(super) log: Option<Spanned<String>>,
    /// The body of a request or of a response, such as `"10MiB"` (the default); 1 GiB at most.
    #[schemars(with = "Option<String>", example = &"10MiB")]
    pub(super) http_body: Option<Spanned<String>>,
    /// Requests; 100 by default.
    #[schemars(range(min = 1, max = HTTP_REQUESTS_LIMIT))]
    pub(super) http_requests: Option<u32>,
    /// Files and directories open at once; 64 by default.
    #[schemars(range(min = 1, max = OPEN_FILES_LIMIT))]
    pub(super) open_files: Option<u32>,
    /// Random bytes, such as `"1MiB"` (the default); 1 GiB at most.
    #[schemars(with = "Option<String>", example = &"1MiB")]
    pub(super) random_bytes: Option<Spanned<String>>,
    /// Calls of other tools; 1000 by default.
    #[schemars(range(min = 1, max = CALLS_LIMIT))]
    pub(super) calls: Option<u32>,
}
