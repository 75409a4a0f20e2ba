//! MCP servers as tools, in a program that was built without a client for them: an agent that has one is not loaded.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::ServerAt;
use crate::grants::{Secrets, ToolLimits};
use crate::message::{ErrorKind, Json, ToolOutcome};
use crate::registry::LockedServer;
use crate::session::Done;

/// A server that nobody can call.
pub(crate) struct Server;

impl Server {
    pub(crate) fn new(_: ServerAt, _: PathBuf, _: &Arc<Secrets>, _: ToolLimits, _: LockedServer) -> Self {
        Self
    }

    #[allow(clippy::unused_async, reason = "where there is a client, calls are waited for")]
    pub(crate) async fn call(&self, _: &str, _: &Json) -> Done<ToolOutcome> {
        ToolOutcome::error(ErrorKind::Failed, "this host was built without MCP").into()
    }
}
