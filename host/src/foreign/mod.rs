//! MCP servers as tools: a call of such a tool is a request to a server that somebody else wrote and that is not
//! sandboxed.
//!
//! Owns the connection to one server of one agent: it is made when a call first needs it, is shared by all runs, and is made
//! anew when it broke. Does not decide what is called: the dispatcher checks, asks, records and repeats as for any tool.
//! Invariant: no call is made unless the server says of its tools what host.lock says. What a server says is bounded, masked
//! and told as text. It fails with a [`ServerError`], which a call turns into its outcome.

mod command;
mod connection;
mod http;
mod listing;
mod told;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rmcp::model::CallToolRequestParams;

#[cfg(feature = "cli")]
pub(crate) use self::command::is_walled;
use self::connection::Connection;
use crate::blocking::blocking;
use crate::config::ServerAt;
use crate::grants::{Limit, Masker, Secrets, ToolLimits};
use crate::message::{ErrorKind, Json, ToolOutcome, Usage};
use crate::registry::LockedServer;
use crate::session::Done;

/// How long a server may take until it has said what its tools are: a package manager may fetch it first.
const START_TIME: Duration = Duration::from_mins(2);

/// A server whose tools an agent has.
pub(crate) struct Server {
    at: ServerAt,
    /// A directory of its own, if it is a program.
    directory: PathBuf,
    secrets: Arc<Secrets>,
    masker: Masker,
    limits: ToolLimits,
    locked: LockedServer,
    connection: tokio::sync::Mutex<Option<Arc<Connection>>>,
}

/// Why a server cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// The program cannot be started.
    #[error("{program} cannot be started: {reason}")]
    Start {
        /// Which one.
        program: String,
        /// Why.
        reason: String,
    },
    /// A secret that it is given is not there.
    #[error("the secret {0} is not at hand")]
    Secret(String),
    /// HTTPS cannot be set up.
    #[error("{0}")]
    Setup(String),
    /// It said nothing in time.
    #[error("the server did not say within {} s what its tools are{words}", START_TIME.as_secs(), words = .0)]
    Slow(Words),
    /// It does not speak as it should.
    #[error("the server cannot be used: {why}{words}")]
    Unusable {
        /// Why.
        why: String,
        /// What it said on stderr.
        words: Words,
    },
    /// It is not what was pinned.
    #[error(
        "the server is not what host.lock says any more, in {0}; `host update` shows what changed, and takes it"
    )]
    Changed(String),
}

/// The last words of a program on stderr.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words(pub(crate) String);

impl std::fmt::Display for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "; its last words: {}", self.0) }
    }
}

impl Server {
    pub(crate) fn new(
        at: ServerAt,
        directory: PathBuf,
        secrets: &Arc<Secrets>,
        limits: ToolLimits,
        locked: LockedServer,
    ) -> Self {
        let (secrets, masker) = (Arc::clone(secrets), secrets.masker());
        Self { at, directory, secrets, masker, limits, locked, connection: tokio::sync::Mutex::default() }
    }

    /// Calls one of its tools, by the name that the server gives it. Dropping the future takes the call back.
    pub(crate) async fn call(&self, tool: &str, input: &Json) -> Done<ToolOutcome> {
        // What begins a server may take longer than one call of it.
        let outcome = match self.connected().await {
            Ok(connection) => self.called(&connection, tool, input).await,
            // Nothing was called yet.
            Err(
                error @ (ServerError::Slow(_) | ServerError::Unusable { .. } | ServerError::Start { .. }),
            ) => ToolOutcome::error(ErrorKind::Transient, error.to_string()),
            Err(error) => ToolOutcome::error(ErrorKind::Failed, error.to_string()),
        };
        let masker = self.masker.clone();
        let outcome =
            if masker.is_idle() { outcome } else { blocking(move || masker.outcome(outcome)).await };
        let out_bytes = match &outcome {
            ToolOutcome::Output(json) => json.as_str().len() as u64,
            ToolOutcome::Error(_) => 0,
        };
        let usage = Usage { in_bytes: input.as_str().len() as u64, out_bytes, ..Usage::default() };
        Done { usage, ..Done::from(outcome) }
    }

    async fn called(&self, connection: &Connection, tool: &str, input: &Json) -> ToolOutcome {
        let params = CallToolRequestParams::new(tool.to_owned());
        let params = match input.to_value() {
            serde_json::Value::Object(arguments) => params.with_arguments(arguments),
            // Its schema has it that every input is an object.
            _ => params,
        };
        connection.allow();
        let timeout = Duration::from_millis(self.limits.timeout_ms);
        match tokio::time::timeout(timeout, connection.peer().call_tool_once(params)).await {
            Ok(Ok(response)) => told::outcome(response, &self.limits).await,
            Ok(Err(error)) => told::failure(&error, &connection.last_words().await),
            Err(_) => ToolOutcome::error(ErrorKind::Timeout, Limit::Timeout.message(&self.limits)),
        }
    }

    /// The connection, which is made if it is not there, to a server that still is what was pinned.
    async fn connected(&self) -> Result<Arc<Connection>, ServerError> {
        let mut place = self.connection.lock().await;
        drop(place.take_if(|connection| connection.is_over()));
        let connection = if let Some(connection) = &*place {
            Arc::clone(connection)
        } else {
            let connection = Connection::begin(&self.at, &self.directory, &self.secrets).await?;
            Arc::clone(place.insert(Arc::new(connection)))
        };
        if let Some(tools) = connection.news().await?
            && tools != self.locked.tools
        {
            *place = None;
            return Err(ServerError::Changed(listing::differing(&self.locked.tools, &tools)));
        }
        Ok(connection)
    }
}

/// What a server says of its tools now, to be pinned.
#[cfg(feature = "cli")]
pub(crate) async fn look(
    at: &ServerAt,
    directory: &std::path::Path,
    secrets: &Secrets,
) -> Result<LockedServer, ServerError> {
    let connection = Connection::begin(at, directory, secrets).await?;
    let tools = connection.news().await?.unwrap_or_default();
    Ok(LockedServer { server: at.to_string(), tools })
}
