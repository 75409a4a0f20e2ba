//! An MCP server as the tools of a table: what host.lock says of it is offered, and calls go to it.
//!
//! Nothing is started and nobody is asked when an agent is loaded: that happens when a call first needs the server.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{ToolboxReason, admit};
use crate::config::{McpServer, ToolConfig};
use crate::foreign::Server;
use crate::grants::Secrets;
use crate::message::{Digest, Json, Retry, ToolEntry, ToolOutcome};
use crate::registry::LockedServer;
use crate::sandbox::{Refused, ToolDefinition};
use crate::session::{Conduct, Done, Doubt, Reach};

/// An MCP server, ready to be called.
pub(super) struct LoadedServer {
    server: Server,
    retry: Retry,
    /// Tools of it that change nothing, by the names that it gives them.
    reads: HashSet<String>,
    /// Tools of it that may be called twice.
    idempotent: HashSet<String>,
    /// Tools of it that cannot be offered.
    pub(super) refused: Vec<Refused>,
}

/// The tools of a server as host.lock has them.
pub(super) fn load(
    tool: &ToolConfig,
    server: &McpServer,
    cache: &Path,
    agent_toml: &Path,
    secrets: &Arc<Secrets>,
) -> Result<(LoadedServer, Vec<ToolEntry>), ToolboxReason> {
    let locked = server.locked.as_ref().ok_or(ToolboxReason::ServerNotLocked)?;
    let written = server.at.to_string();
    if locked.server != written {
        return Err(ToolboxReason::LockedOther { written, locked: locked.server.clone() });
    }
    let (listed, refused) = admit::sorted_out(tool, definitions(locked));
    let chosen = |key, globs| -> Result<HashSet<String>, ToolboxReason> {
        let chosen = admit::Choice::new(key, globs, &listed)?;
        Ok(listed.iter().filter(|it| chosen.names(it)).map(|it| it.export.clone()).collect())
    };
    let (reads, idempotent) = (chosen("reads", &server.reads)?, chosen("idempotent", &tool.idempotent)?);
    let digest = Digest::of_json(locked);
    let entries = admit::entries(tool, digest, (listed, &refused), Path::new(&written))?;
    if !cfg!(feature = "mcp") {
        return Err(ToolboxReason::NoMcp);
    }
    let directory = directory(cache, agent_toml, &tool.name);
    let server = Server::new(server.at.clone(), directory, secrets, tool.limits.clone(), locked.clone());
    Ok((LoadedServer { server, retry: tool.retry, reads, idempotent, refused }, entries))
}

/// The directory that the program of a table has for itself.
fn directory(cache: &Path, agent_toml: &Path, table: &str) -> PathBuf {
    let agent = Digest::of(agent_toml.as_os_str().as_encoded_bytes()).to_string();
    cache.join("mcp").join(format!("{table}-{}", agent.get(..16).unwrap_or_default()))
}

/// What a server says of its tools now, to be pinned; the error is why it cannot be asked.
#[cfg(feature = "cli")]
pub(crate) async fn look(
    config: &crate::config::Config,
    table: &str,
    server: &McpServer,
    cache: &Path,
) -> Result<LockedServer, String> {
    let secrets = Secrets::load(&config.secrets).map_err(|error| error.to_string())?;
    let directory = directory(cache, &config.path, table);
    crate::foreign::look(&server.at, &directory, &secrets).await.map_err(|error| error.to_string())
}

/// The tools as a model may call them: what is in a name that no tool's name has becomes `_`.
fn definitions(locked: &LockedServer) -> Vec<ToolDefinition> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    let definition = |(export, tool): (&String, &crate::registry::LockedTool)| ToolDefinition {
        name: export.chars().map(plain).collect(),
        export: export.clone(),
        description: tool.description.clone(),
        input_schema: tool.input.clone(),
        output_schema: tool.output.clone(),
    };
    locked.tools.iter().map(definition).collect()
}

impl LoadedServer {
    pub(super) async fn call(&self, tool: &ToolEntry, input: &Json) -> Done<ToolOutcome> {
        self.server.call(&tool.export, input).await
    }

    pub(super) fn conduct(&self, tool: &ToolEntry) -> Conduct<'static> {
        let (reach, doubt) = if self.reads.contains(&tool.export) {
            (Reach::Pure, Doubt::Repeat)
        } else if self.idempotent.contains(&tool.export) {
            (Reach::Outside, Doubt::Repeat)
        } else {
            (Reach::Outside, Doubt::Ask)
        };
        Conduct { reach, doubt, retry: self.retry, room: None }
    }
}
