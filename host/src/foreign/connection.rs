//! A connection to a server: begun in whichever way the server speaks, listened to, and ended.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rmcp::model::{ClientCapabilities, ClientConfig, Implementation, ProtocolVersion};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, ClientServiceExt as _, NotificationContext, RunningService,
};
use rmcp::{ClientHandler, Peer, RoleClient};

use super::command::Running;
use super::{START_TIME, ServerError, Words, http, listing};
use crate::config::ServerAt;
use crate::grants::Secrets;
use crate::message::clean;
use crate::registry::LockedTool;

/// So much of what a server says is repeated in an error.
const SAID_BYTES_MAX: usize = 1024;

/// A connection to a server.
pub(super) struct Connection {
    service: RunningService<RoleClient, Listener>,
    /// Whether the tools may be others than when they were last asked for.
    stale: Arc<AtomicBool>,
    /// The program, if it is one.
    running: Option<Running>,
}

/// Hears what a server says without being asked. Whatever a server asks for is refused: this host has no model, no files and
/// no person for it.
struct Listener {
    stale: Arc<AtomicBool>,
}

impl ClientHandler for Listener {
    fn get_info(&self) -> ClientConfig {
        let info = Implementation::new("host", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), info)
            .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.stale.store(true, Ordering::SeqCst);
    }
}

impl Connection {
    /// Begins a connection. Most servers want to be greeted; those of newer revisions want to be asked what they are.
    pub(super) async fn begin(
        at: &ServerAt,
        directory: &Path,
        secrets: &Secrets,
    ) -> Result<Self, ServerError> {
        let greeted = Self::begun(at, directory, secrets, ClientLifecycleMode::Initialize).await;
        let error = match greeted {
            Err(Refused::Greeting(error)) => error,
            Err(Refused::Otherwise(error)) => return Err(error),
            Ok(connection) => return Ok(connection),
        };
        let discover = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::LATEST] };
        match Self::begun(at, directory, secrets, discover).await {
            Ok(connection) => Ok(connection),
            Err(Refused::Greeting(_) | Refused::Otherwise(_)) => Err(error),
        }
    }

    async fn begun(
        at: &ServerAt,
        directory: &Path,
        secrets: &Secrets,
        lifecycle: ClientLifecycleMode,
    ) -> Result<Self, Refused> {
        let stale = Arc::new(AtomicBool::new(true));
        let listener = Listener { stale: Arc::clone(&stale) };
        let (begun, running) = match at {
            ServerAt::Url { url, bearer, headers } => {
                let transport = http::transport(url, bearer.as_deref(), headers, secrets)?;
                let begun = listener.serve_with_lifecycle(transport, lifecycle);
                (tokio::time::timeout(START_TIME, begun).await, None)
            }
            ServerAt::Command(command) => {
                let (running, ends) = Running::start(command, directory, secrets).await?;
                let begun = listener.serve_with_lifecycle(ends, lifecycle);
                (tokio::time::timeout(START_TIME, begun).await, Some(running))
            }
        };
        let words = || running.as_ref().map(Running::words).unwrap_or_default();
        match begun {
            Ok(Ok(service)) => Ok(Self { service, stale, running }),
            Ok(Err(error)) => {
                let is_greeting = matches!(
                    error,
                    ClientInitializeError::JsonRpcError(_)
                        | ClientInitializeError::NoCompatibleProtocolVersion { .. }
                ) || running.is_none()
                    && matches!(error, ClientInitializeError::TransportError { .. });
                if let Some(running) = &running {
                    running.has_said_its_words().await;
                }
                let error = ServerError::Unusable { why: said(&error), words: words() };
                Err(if is_greeting { Refused::Greeting(error) } else { Refused::Otherwise(error) })
            }
            Err(_) => Err(Refused::Otherwise(ServerError::Slow(words()))),
        }
    }

    /// Where requests are sent.
    pub(super) fn peer(&self) -> &Peer<RoleClient> {
        self.service.peer()
    }

    /// Whether nothing more can be asked.
    pub(super) fn is_over(&self) -> bool {
        self.service.is_closed() || self.service.peer().is_transport_closed()
    }

    /// Lets the server say as much as a call may need.
    pub(super) fn allow(&self) {
        if let Some(running) = &self.running {
            running.allow();
        }
    }

    /// The last words of the program.
    fn words(&self) -> Words {
        self.running.as_ref().map(Running::words).unwrap_or_default()
    }

    /// The same, once a program that has ended has said them.
    pub(super) async fn last_words(&self) -> Words {
        if let Some(running) = self.running.as_ref().filter(|_| self.is_over()) {
            running.has_said_its_words().await;
        }
        self.words()
    }

    /// Its tools, if they may be others than when they were last asked for.
    pub(super) async fn news(&self) -> Result<Option<BTreeMap<String, LockedTool>>, ServerError> {
        if !self.stale.swap(false, Ordering::SeqCst) {
            return Ok(None);
        }
        self.allow();
        let listed = tokio::time::timeout(START_TIME, listing::tools(self.peer())).await;
        let listed = match listed {
            Ok(Ok(tools)) => return Ok(Some(tools)),
            Ok(Err(why)) => ServerError::Unusable { why, words: self.words() },
            Err(_) => ServerError::Slow(self.words()),
        };
        self.stale.store(true, Ordering::SeqCst);
        Err(listed)
    }
}

/// Why a connection did not begin.
enum Refused {
    /// The server may speak another revision of the protocol.
    Greeting(ServerError),
    Otherwise(ServerError),
}

impl From<ServerError> for Refused {
    fn from(error: ServerError) -> Self {
        Self::Otherwise(error)
    }
}

/// An error with its causes, as one line of bounded length: a server may have written it.
pub(super) fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    let mut text = clean(&text).into_owned();
    text.truncate(text.floor_char_boundary(SAID_BYTES_MAX));
    text
}
