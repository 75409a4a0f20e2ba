use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use toml::Spanned;

use super::command::{Command, SecretSetting};
use super::form::{OrText, TextOr};
use super::server::McpServer;
use crate::config::bounds::{
    ATTEMPTS_LIMIT, CALLS_LIMIT, FUEL_LIMIT, HTTP_REQUESTS_LIMIT, MAX_TURNS_LIMIT, OPEN_FILES_LIMIT,
};

/// A component and how its tools are offered, or another agent, or an MCP server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = json!({ "source": "tools/greet" }))]
pub(in crate::config) struct Tool {
    /// A .wasm component, or the directory of a tool that the host builds into one. The path is relative to this file;
    /// `~` and `$VARIABLE` mean what they mean in a shell. Or a component that is elsewhere: `https://HOST/PATH.wasm`, or
    /// `oci://REGISTRY/REPOSITORY:TAG`. host.lock, beside this file, says which bytes that is; `host add` writes both.
    #[schemars(with = "Option<PathBuf>", example = &"tools/greet")]
    pub(in crate::config) source: Option<Spanned<PathBuf>>,
    /// The agent.toml of another agent, instead of `source`. The table is then one tool, with the table's name. The
    /// tool takes a prompt, runs that agent with the agent's own tools and limits, and returns the answer. Only
    /// `prefix` and `max_repeats` can stand beside this key.
    #[schemars(with = "Option<PathBuf>", example = &"researcher/agent.toml")]
    pub(in crate::config) agent: Option<Spanned<PathBuf>>,
    /// An MCP server, instead of `source`. It is **not** sandboxed: it has your rights, or whatever rights it has where it
    /// runs. host.lock, beside this file, says which tools it has and what they say of themselves; `host update` writes it.
    #[schemars(with = "Option<McpServer>")]
    pub(in crate::config) mcp: Option<Spanned<McpServer>>,
    /// The SHA-256 that the component has to have: 64 hexadecimal digits.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) sha256: Option<Spanned<String>>,
    /// The tools to offer, as globs over the component's tool names; all by default.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["get_*"]]))]
    pub(in crate::config) include: Vec<Spanned<String>>,
    /// The text before each tool's name, so that two components can have tools of the same name: up to 32 of the
    /// characters A-Z a-z 0-9 _ -.
    #[schemars(with = "Option<String>", example = &"my_")]
    pub(in crate::config) prefix: Option<Spanned<String>>,
    /// Whether its tools are hidden from the model. Then only other tools may call them, by `permissions.calls`. False
    /// by default.
    #[serde(default)]
    pub(in crate::config) hidden: bool,
    /// How many turns in a row the model may make the same call with the same result, instead of `max_repeats` in
    /// `[limits]`; 0 for no limit. Use it for a tool that reports progress.
    #[schemars(with = "Option<u32>", range(min = 0, max = MAX_TURNS_LIMIT), example = 20)]
    pub(in crate::config) max_repeats: Option<Spanned<u32>>,
    /// How much of an output the model is shown, such as `"64KiB"` (the default): of a longer one its beginning and its
    /// end. The journal has all of it.
    #[schemars(with = "Option<String>", example = &"64KiB")]
    pub(in crate::config) shown_output: Option<Spanned<String>>,
    /// What the model is told of tools, by their names in the component: up to 4 KiB each, instead of what the component
    /// says. Use it for a component that says nothing, or too little.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>", extend("examples" = [{ "ops_add": "Adds two numbers." }]))]
    pub(in crate::config) describe: BTreeMap<String, String>,
    /// How the component is called, if it is a program.
    pub(in crate::config) command: Option<Command>,
    /// What the component finds in `wasi:config/store`, by name: a text, or a secret.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, TextOr<SecretSetting>>", extend("examples" = [{ "units": "metric" }]))]
    pub(in crate::config) config: BTreeMap<Spanned<String>, Spanned<TextOr<SecretSetting>>>,
    /// What the component may reach; nothing by default.
    pub(in crate::config) permissions: Option<Permissions>,
    /// The limits of one call.
    pub(in crate::config) limits: Option<ToolLimits>,
    /// When a call that failed is tried again.
    pub(in crate::config) retry: Option<ToolRetry>,
}

/// When a failed call is tried again. Only two kinds of tools are called again: tools that can change nothing
/// outside, and tools that `idempotent` names.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ToolRetry {
    /// Attempts that may fail before the failure is the call's result; 3 by default, 1 for no retry.
    #[schemars(range(min = 1, max = ATTEMPTS_LIMIT))]
    pub(in crate::config) max_attempts: Option<u32>,
    /// The wait after the first failure, such as `"200ms"` (the default). It doubles with each further failure.
    #[schemars(with = "Option<String>", example = &"200ms")]
    pub(in crate::config) initial_delay: Option<Spanned<String>>,
    /// The longest wait, such as `"10s"` (the default); 1 hour at most.
    #[schemars(with = "Option<String>", example = &"10s")]
    pub(in crate::config) max_delay: Option<Spanned<String>>,
    /// Tools that can be called a second time without a second effect, as globs over the component's tool names. They
    /// are called again after a transient failure, a timeout, or a crash in the middle of a call.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["search_*"]]))]
    pub(in crate::config) idempotent: Vec<Spanned<String>>,
}

/// What a component may reach. Everything that is not listed is denied.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Permissions {
    /// Directories it may use.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"path": "./work", "guest": "/data", "access": "read"}]]))]
    pub(in crate::config) dirs: Vec<Dir>,
    /// Environment variables it may see.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["LANG"]]))]
    pub(in crate::config) env: Vec<Spanned<String>>,
    /// Where it may send requests: a site such as `"https://api.github.com"`, for GET alone, or a table that says more.
    #[serde(default)]
    #[schemars(with = "Vec<TextOr<Network>>", extend("examples" = [["https://api.github.com"]]))]
    pub(in crate::config) network: Vec<Spanned<TextOr<Network>>>,
    /// Where its random numbers come from; `"seeded"` by default.
    pub(in crate::config) random: Option<Random>,
    /// What makes its clocks go on. They begin at the recorded moment of the call. By default `"steps"`, and `"os"` if
    /// `network` is granted.
    pub(in crate::config) clock: Option<Clock>,
    /// The tools of this agent that it may call, as globs over the names that the model would call them by. Each
    /// of them runs with its own permissions, never with these.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["check_*"]]))]
    pub(in crate::config) calls: Vec<Spanned<String>>,
}

/// A directory of this machine and what a component may do with it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = json!({ "path": "./work", "guest": "/data", "access": "read" }))]
pub(in crate::config) struct Dir {
    /// The directory, relative to this file; `~` and `$VARIABLE` stand for what they do in a shell.
    #[serde(alias = "host")]
    #[schemars(with = "PathBuf", example = &"./work")]
    pub(in crate::config) path: Spanned<PathBuf>,
    /// What the component calls it: an absolute path, such as `/data`.
    #[schemars(with = "String", example = &"/data")]
    pub(in crate::config) guest: Spanned<String>,
    /// What it may do there.
    #[schemars(example = &"read")]
    pub(in crate::config) access: Access,
}

/// What may be done with a directory.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Access {
    /// Reading and listing.
    #[serde(alias = "ro")]
    Read,
    /// Reading, and everything else, down to deleting what is in it.
    #[serde(alias = "rw")]
    Write,
}

/// A site a component may send requests to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = json!({ "url": "https://api.github.com", "methods": ["GET"] }))]
pub(in crate::config) struct Network {
    /// The site, such as `https://api.github.com`: a scheme and a host, or `*.` and a domain for any host
    /// one label below it; then, if wanted, a port and a path, with everything below that path.
    #[serde(alias = "host")]
    #[schemars(with = "String", example = &"https://api.github.com")]
    pub(in crate::config) url: Spanned<String>,
    /// The methods it may use.
    #[schemars(with = "Vec<String>", extend("examples" = [["GET"]]))]
    pub(in crate::config) methods: Spanned<Vec<Spanned<String>>>,
    /// The secrets it may send there, by their names in `[secrets]`. It finds a placeholder for each in the
    /// environment variable of that name.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(in crate::config) secrets: Vec<Spanned<String>>,
    /// Whether the host may be on this machine or in a private network; false by default.
    #[serde(default)]
    pub(in crate::config) allow_private: bool,
}

/// A site alone is granted for GET.
impl OrText for Network {
    const EXPECTED: &'static str = "a site or a table";

    fn text() -> serde_json::Value {
        let site = "The site, for GET alone.";
        json!({ "type": "string", "description": site, "examples": ["https://api.github.com"] })
    }
}

/// Where random numbers come from.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Random {
    /// From the run's recorded seed: the same again when a call is carried out again.
    Seeded,
    /// From the operating system.
    Os,
}

/// What makes clocks go on.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Clock {
    /// A microsecond whenever it looks, as long as it sleeps, and until the calls end that it makes: the same again when
    /// a call is carried out again.
    Steps,
    /// The operating system.
    Os,
}

/// Where the value of a secret is. It is never written into this file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Secret {
    /// The environment variable that holds it.
    #[schemars(with = "Option<String>", example = &"GITHUB_TOKEN")]
    pub(in crate::config) env: Option<Spanned<String>>,
    /// The file that holds it.
    #[schemars(with = "Option<PathBuf>", example = &"/run/secrets/github")]
    pub(in crate::config) file: Option<Spanned<PathBuf>>,
}

/// The limits of one call of a tool.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ToolLimits {
    /// Wall-clock time, such as `"30s"` (the default); 24 hours at most.
    #[schemars(with = "Option<String>", example = &"30s")]
    pub(in crate::config) timeout: Option<Spanned<String>>,
    /// Time on a processor, such as `"10s"` (the default); 24 hours at most.
    #[schemars(with = "Option<String>", example = &"10s")]
    pub(in crate::config) cpu: Option<Spanned<String>>,
    /// All memories and tables of an instance together, such as `"64MiB"` (the default); 4 GiB at most.
    #[schemars(with = "Option<String>", example = &"64MiB")]
    pub(in crate::config) memory: Option<Spanned<String>>,
    /// WebAssembly instructions, roughly; not counted by default, because counting costs time.
    #[schemars(range(min = 1, max = FUEL_LIMIT))]
    pub(in crate::config) fuel: Option<u64>,
    /// The output, such as `"1MiB"` (the default); 256 MiB at most.
    #[schemars(with = "Option<String>", example = &"1MiB")]
    pub(in crate::config) output: Option<Spanned<String>>,
    /// The older place of `shown_output` in `[tools.NAME]`.
    #[schemars(with = "Option<String>", example = &"64KiB", extend("deprecated" = true))]
    pub(in crate::config) shown: Option<Spanned<String>>,
    /// Log lines, stdout and stderr together, such as `"64KiB"` (the default); 256 MiB at most.
    #[schemars(with = "Option<String>", example = &"64KiB")]
    pub(in crate::config) log: Option<Spanned<String>>,
    /// The body of a request or of a response, such as `"10MiB"` (the default); 1 GiB at most.
    #[schemars(with = "Option<String>", example = &"10MiB")]
    pub(in crate::config) http_body: Option<Spanned<String>>,
    /// Requests; 100 by default.
    #[schemars(range(min = 1, max = HTTP_REQUESTS_LIMIT))]
    pub(in crate::config) http_requests: Option<u32>,
    /// Files and directories open at once; 64 by default.
    #[schemars(range(min = 1, max = OPEN_FILES_LIMIT))]
    pub(in crate::config) open_files: Option<u32>,
    /// Random bytes, such as `"1MiB"` (the default); 1 GiB at most.
    #[schemars(with = "Option<String>", example = &"1MiB")]
    pub(in crate::config) random_bytes: Option<Spanned<String>>,
    /// Calls of other tools that one call may make; 1000 by default.
    #[serde(alias = "calls")]
    #[schemars(range(min = 1, max = CALLS_LIMIT))]
    pub(in crate::config) tool_calls: Option<u32>,
}
