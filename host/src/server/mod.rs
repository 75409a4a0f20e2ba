//! A server of agents over HTTP: many runs, durably, over one journal, for other programs to use.
//!
//! Thin over the engine: what a run is, how it stands and what is recorded of it, the engine says. Owns what only a server
//! has: which agents are served (`agents`), whose turn it is (`queue`, `scheduler`), who may do what (`tokens`, `guard`),
//! the paths and the JSON of the API (`api`, `shown`, `problem`), who is told when a run stops (`webhooks`), and the way by which commands on this machine find the
//! server (`address`). Invariants: whoever is told of a run finds it again, whatever happens to the process; a request
//! that is refused costs nothing that stays. It fails with a [`ServeError`] before it serves, and afterwards answers with
//! problems and goes on.

mod address;
mod agents;
mod api;
mod bound;
mod certificate;
mod connections;
mod guard;
mod keys;
mod limits;
mod log;
mod metrics;
mod pages;
mod problem;
mod programs;
mod queue;
mod recording;
mod reload;
mod retention;
mod scheduler;
mod settings;
mod shown;
mod tokens;
mod told;
mod ui;
mod versions;
mod webhooks;

#[cfg(feature = "cli")]
pub(crate) use address::new_token;
pub use address::{Address, AddressError};
pub use agents::AgentsError;
#[cfg(feature = "cli")]
pub(crate) use guard::BY_HEADER;
pub use pages::Pages;
pub use settings::{Settings, schema};
#[cfg(feature = "cli")]
pub(crate) use tokens::Scope;
#[cfg(feature = "cli")]
pub(crate) use ui::{KEY_PATH, entrance};

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use parking_lot::RwLock;
use tokio::task::JoinHandle;

use crate::engine::{Engine, Watcher};
use crate::journal::JournalError;
use agents::Agents;
use guard::Guard;
use keys::Keys;
use limits::Limits;
use metrics::Metrics;
use programs::Programs;
use reload::Reloading;
use scheduler::{Left, Scheduler};
pub use webhooks::NotesError;
use webhooks::Webhooks;

/// How long the head of a request may take to come: a client that sends it more slowly holds a connection for nothing.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// The largest head of a request: larger than any client sends, and less than what many connections could fill memory with.
const HEAD_BYTES_MAX: u32 = 64 << 10;
/// Requests that go on at once over one connection of HTTP/2.
const STREAMS_MAX: u32 = 128;
/// How often a client of HTTP/2 is asked whether it lives, and how long it may take to say so.
const ASK_EVERY: Duration = Duration::from_secs(20);
/// How long answers may take that are on their way when the server ends.
const ANSWERS_TIME: Duration = Duration::from_secs(5);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Anybody on the network could use it.
    #[error("{listen} can be reached from other machines, and there are no tokens")]
    Open {
        /// Where it was to listen.
        listen: SocketAddr,
    },
    /// The address cannot be listened at.
    #[error("cannot listen at {listen}: {reason}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// The certificate cannot be used.
    #[error("cannot use the certificate in {}: {reason}", path.display())]
    Certificate {
        /// Its file.
        path: std::path::PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another server has the state directory.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The agents cannot be served.
    #[error(transparent)]
    Agents(#[from] AgentsError),
    /// What the tokens of programs are made with cannot be read or written.
    #[error("cannot use {}: {reason}", path.display())]
    Programs {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        reason: String,
    },
    /// What webhooks are owed cannot be read.
    #[error(transparent)]
    Webhooks(#[from] NotesError),
    /// The runs that there are cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What requests ask of.
pub(crate) struct Server {
    settings: RwLock<Arc<Settings>>,
    limits: Limits,
    engine: Engine,
    agents: Arc<Agents>,
    scheduler: Arc<Scheduler>,
    keys: Arc<Keys>,
    guard: Arc<Guard>,
    /// Who may come to the pages without a token, once.
    page_keys: Arc<ui::Keys>,
    metrics: Metrics,
    reloading: Reloading,
    /// Held by whoever imports a run.
    importing: tokio::sync::Mutex<()>,
    webhooks: Arc<Webhooks>,
    programs: Arc<Programs>,
}

impl Server {
    /// What the server goes by now.
    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read())
    }
}

/// A server that serves.
pub struct Serving {
    server: Arc<Server>,
    address: Address,
    handle: Handle<SocketAddr>,
    listening: JoinHandle<std::io::Result<()>>,
    /// What goes on beside the requests.
    working: [JoinHandle<()>; 4],
}

impl Serving {
    /// Begins to serve the agents of the settings, over the runs of an engine that are below `state`. What an earlier
    /// process left unfinished goes on.
    pub async fn begin(
        engine: &Engine,
        state: &Path,
        settings: Settings,
        watcher: &dyn Watcher,
    ) -> Result<Self, ServeError> {
        if !settings.is_local() && settings.tokens.is_empty() {
            return Err(ServeError::Open { listen: settings.listen });
        }
        let listen =
            |error: std::io::Error| ServeError::Listen { listen: settings.listen, reason: error.to_string() };
        let listener = TcpListener::bind(settings.listen).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let bound = listener.local_addr().map_err(listen)?;
        let tls = settings.tls.as_ref().map(certificate::config).transpose()?;
        let (address, own) = Address::claim(state, bound, settings.tls.is_some()).await?;
        let agents = Arc::new(Agents::load(engine, settings.agents.clone(), watcher).await?);
        let metrics = Metrics::default();
        let webhooks = Webhooks::begin(engine, state, settings.webhooks.clone(), metrics.clone()).await?;
        let scheduler =
            Scheduler::new(engine, &agents, settings.bounds, metrics.clone(), Arc::clone(&webhooks));
        let keys = Keys::new(settings.keys_kept);
        let of = engine.clone();
        let left = crate::blocking::blocking(move || Left::read(&of)).await?;
        left.keys.into_iter().for_each(|(key, run)| keys.remember(key, run));
        scheduler.take_up(left.unfinished);
        let guard = Arc::new(Guard::new(&settings, own, bound));
        let programs = Programs::begin(engine, &agents, &scheduler, state)?;
        let (engine, reloading) = (engine.clone(), Reloading::new(tls.clone()));
        let (limits, settings) = (Limits::new(&settings), RwLock::new(Arc::new(settings)));
        let importing = tokio::sync::Mutex::default();
        let server = Arc::new(Server {
            settings,
            limits,
            engine,
            agents,
            scheduler,
            keys,
            guard,
            page_keys: Arc::default(),
            metrics,
            reloading,
            importing,
            webhooks,
            programs,
        });
        let working = [
            tokio::spawn(Arc::clone(&server.scheduler).work()),
            tokio::spawn(Arc::clone(&server.scheduler).mend()),
            tokio::spawn(retention::remove(Arc::clone(&server))),
            tokio::spawn(reload::watch(Arc::clone(&server))),
        ];
        let handle = Handle::new();
        let listening = tokio::spawn(serve(listener, tls, Arc::clone(&server), handle.clone()));
        Ok(Self { server, address, handle, listening, working })
    }

    /// Where it listens, as in `http://127.0.0.1:8080`.
    #[must_use]
    pub fn url(&self) -> &str {
        self.address.url()
    }

    /// The names of the agents that are served.
    #[must_use]
    pub fn agents(&self) -> Vec<String> {
        self.server.agents.all().iter().map(|served| served.name().to_owned()).collect()
    }

    /// Reads every agent again, the certificate, and host.toml. What breaks stays as it was. Says what went wrong, a text
    /// for each.
    pub async fn reload(&self) -> Vec<String> {
        self.server.reload().await
    }

    /// Waits until the server fails, which it does not do by itself.
    pub async fn failed(&mut self) -> String {
        match (&mut self.listening).await {
            Ok(Ok(())) => "the server ended".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Ends in good order: no new runs; those that work may go on for a time, and are interrupted then; answers that are
    /// on their way arrive.
    pub async fn end(self) {
        self.server.programs.end();
        self.server.scheduler.drain(self.server.settings().grace).await;
        self.working.iter().for_each(JoinHandle::abort);
        self.server.webhooks.end(ANSWERS_TIME).await;
        self.handle.graceful_shutdown(Some(ANSWERS_TIME));
        // How it ended is of no use to anybody.
        let _ = self.listening.await;
        drop(self.address);
    }
}

async fn serve(
    listener: TcpListener,
    tls: Option<RustlsConfig>,
    server: Arc<Server>,
    handle: Handle<SocketAddr>,
) -> std::io::Result<()> {
    let door = server.limits.door();
    let router = api::router(server).into_make_service();
    let mut http = axum_server::from_tcp(listener)?.handle(handle).first_request_timeout(HEAD_TIME);
    let builder = http.http_builder();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES_MAX as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .keep_alive_interval(ASK_EVERY)
        .keep_alive_timeout(ASK_EVERY);
    match tls {
        Some(tls) => http.acceptor(RustlsAcceptor::new(tls).acceptor(door)).serve(router).await,
        None => http.acceptor(door).serve(router).await,
    }
}
