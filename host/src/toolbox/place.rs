//! Where in agent.toml the cause of an error stands.

use std::path::Path;

use super::{ToolboxError, ToolboxReason, real};
use crate::config::{Config, ConfigError, KeyPath};
use crate::sandbox::AdmitError;

impl ToolboxError {
    /// The error as it is shown: in agent.toml, where its cause stands.
    #[must_use]
    pub fn in_file(&self, config: &Config) -> ConfigError {
        let (at, text) = (self.at(config), self.to_string());
        let (message, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let message = message.trim_end_matches(':').to_owned();
        // What this host says takes one line, set in; what somebody else says, such as a compiler, several.
        match rest.strip_prefix("  ").filter(|rest| !rest.contains('\n')) {
            Some(help) => config.text.wrong(&at, message, help.to_owned()),
            None if rest.is_empty() => config.text.wrong(&at, message, String::new()),
            None => config.text.wrong_in_detail(
                &at,
                message,
                "mend what is said below".to_owned(),
                rest.to_owned(),
            ),
        }
    }

    fn at(&self, config: &Config) -> KeyPath {
        match self {
            Self::Tool { tool, reason } => reason.at(tool, config),
            Self::MatchesNothing { at, glob, .. } => KeyPath::new(*at).to(glob),
            Self::Secret(error) => {
                let source = config.secrets.get(&error.name);
                let is_file = source.is_some_and(|source| source.variable().is_none());
                KeyPath::new(["secrets", &error.name, if is_file { "file" } else { "env" }])
            }
        }
    }
}

impl ToolboxReason {
    fn at(&self, tool: &str, config: &Config) -> KeyPath {
        let key = |key: &str| KeyPath::new(["tools", tool, key]);
        match self {
            Self::Admit { error: AdmitError::NoProgram, .. } => key("command"),
            Self::NoSettings => key("config"),
            Self::ServerNotLocked | Self::NoMcp => key("mcp"),
            Self::Missing(_)
            | Self::Unreadable { .. }
            | Self::TooLarge { .. }
            | Self::CoreModule(_)
            | Self::NotWasm(_)
            | Self::NotLocked(_)
            | Self::LockedOther { .. }
            | Self::Fetch(_)
            | Self::Trust(_)
            | Self::Build(_)
            | Self::Cache(_)
            | Self::Compile { .. }
            | Self::Exceptions(_)
            | Self::Engine(_)
            | Self::Admit { .. }
            | Self::Wasi03 { .. }
            | Self::Listing { .. } => key("source"),
            Self::Ambiguous { .. } | Self::NoTool { .. } | Self::TooMany { .. } => key("include"),
            Self::DescribesNothing { name, .. } => KeyPath::new(["tools", tool, "describe", name]),
            Self::OtherDigest { .. } => key("sha256"),
            Self::OwnFiles { dir, .. } => {
                let dirs = KeyPath::new(["tools", tool, "permissions", "dirs"]);
                let written = written(dir, tool, config);
                written.map_or_else(|| dirs.clone(), |written| dirs.clone().to(written))
            }
            Self::Pattern { key: "idempotent", glob, .. } => {
                KeyPath::new(["tools", tool, "retry", "idempotent"]).to(glob)
            }
            Self::Pattern { key: "reads", glob, .. } => {
                KeyPath::new(["tools", tool, "mcp", "reads"]).to(glob)
            }
            Self::Pattern { key: include, glob, .. } => key(include).to(glob),
            Self::CallsNothing { glob, .. } => KeyPath::new(["tools", tool, "permissions", "calls"]).to(glob),
            Self::OutOfReach => key("hidden"),
            Self::Duplicate { .. } => key("prefix"),
        }
    }
}

/// A directory as agent.toml has it.
fn written<'a>(dir: &Path, tool: &str, config: &'a Config) -> Option<&'a str> {
    let tool = config.tools.iter().find(|it| it.name == tool)?;
    tool.grants.dirs.iter().find(|it| real(&it.path) == dir).map(|it| it.written.as_str())
}
