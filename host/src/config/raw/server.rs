use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use toml::Spanned;

/// A server of the Model Context Protocol: one that listens at an address, or a program that is started. It is **not**
/// sandboxed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = json!({ "url": "https://mcp.example.com/mcp", "bearer": "EXAMPLE" }))]
#[schemars(example = json!({ "command": ["npx", "-y", "some-mcp-server"], "env": ["PATH"] }))]
pub(in crate::config) struct McpServer {
    /// Its address.
    #[schemars(with = "Option<String>", example = &"https://mcp.example.com/mcp")]
    pub(in crate::config) url: Option<Spanned<String>>,
    /// The secret that is sent to the address as `Authorization: Bearer …`, by its name in `[secrets]`.
    #[schemars(with = "Option<String>", example = &"EXAMPLE")]
    pub(in crate::config) bearer: Option<Spanned<String>>,
    /// Headers that are sent to the address, each with a secret as its value, by the secret's name in `[secrets]`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>", extend("examples" = [{ "X-API-Key": "EXAMPLE" }]))]
    pub(in crate::config) headers: BTreeMap<Spanned<String>, Spanned<String>>,
    /// The program that is started, and its arguments, instead of `url`. A name without `/` is looked for in `PATH`.
    #[schemars(with = "Option<Vec<String>>", extend("examples" = [["npx", "-y", "some-mcp-server"]]))]
    pub(in crate::config) command: Option<Spanned<Vec<String>>>,
    /// Environment variables of the host that the program sees. It sees no others but `HOME` and `TMPDIR`, which are a
    /// directory of its own.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["PATH"]]))]
    pub(in crate::config) env: Vec<Spanned<String>>,
    /// Secrets that the program sees as environment variables, by their names in `[secrets]`.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["EXAMPLE"]]))]
    pub(in crate::config) secrets: Vec<Spanned<String>>,
    /// Directories that the program may use, where bubblewrap hides the others that are yours.
    #[serde(default)]
    #[schemars(with = "Vec<PathBuf>", extend("examples" = [["./work"]]))]
    pub(in crate::config) dirs: Vec<Spanned<PathBuf>>,
    /// Tools that change nothing, as globs over the server's tool names: they are called again after a failure that may
    /// pass, or after a crash. What the server says of that itself counts for nothing.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [["get_*"]]))]
    pub(in crate::config) reads: Vec<Spanned<String>>,
}
