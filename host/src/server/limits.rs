//! What the server bounds beside the queue of runs: connections, requests that wait, reads of whole records, bodies.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::bound::{Bound, Taken};
use super::connections::{Door, Patience};
use super::log::log;
use super::problem::{Kind, Problem};
use super::settings::Settings;
use super::told::Told;

/// How long a request may wait for its turn to go through a whole record.
const TURN: Duration = Duration::from_secs(5);
/// After how many seconds a request that found no place may be sent again.
const RETRY_S: u64 = 5;

/// What is bounded. Each bound may change while the server serves.
#[derive(Debug)]
pub(super) struct Limits {
    connections: Arc<Bound>,
    patience: Arc<Mutex<Patience>>,
    waits: Arc<Bound>,
    reads: Arc<Bound>,
    bodies: Arc<Bound>,
    /// As many connections as there can be files for.
    connections_max: usize,
}

impl Limits {
    pub(super) fn new(settings: &Settings) -> Self {
        let connections_max = usize::try_from(files() / 2).unwrap_or(usize::MAX);
        let limits = Self {
            connections: Bound::new(0),
            patience: Arc::new(Mutex::new(settings.patience)),
            waits: Bound::new(0),
            reads: Bound::new(0),
            bodies: Bound::new(0),
            connections_max,
        };
        limits.renew(settings);
        limits
    }

    /// Goes by other settings from now on.
    pub(super) fn renew(&self, settings: &Settings) {
        let Settings { connections_max, waits_max, reads_max, bodies_bytes_max, patience, .. } = *settings;
        let most = self.connections_max;
        if most < connections_max {
            log(&Told::FewerConnections { most });
        }
        self.connections.set(connections_max.min(most));
        self.waits.set(waits_max);
        self.reads.set(reads_max);
        self.bodies.set(usize::try_from(bodies_bytes_max).unwrap_or(usize::MAX));
        *self.patience.lock() = patience;
    }

    /// Where connections come in.
    pub(super) fn door(&self) -> Door {
        Door::new(&self.connections, &self.patience)
    }

    /// How many connections there are, and how many requests wait.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.connections.taken(), self.waits.taken())
    }

    /// A place for a request that waits for a run, or follows one.
    pub(super) fn wait(&self) -> Result<Taken, Problem> {
        self.waits.take().ok_or_else(|| {
            Problem::new(Kind::TooMany, "too many requests wait for runs already")
                .help("send it again later, or raise `waits` under [server.limits] in host.toml")
                .retry_after(RETRY_S)
        })
    }

    /// A place for a request that goes through a whole record.
    pub(super) async fn read(&self) -> Result<Taken, Problem> {
        self.reads.take_within(TURN).await.ok_or_else(|| {
            Problem::new(Kind::Unavailable, "too many requests go through whole records already")
                .help("send it again later, or raise `reads` under [server.limits] in host.toml")
                .retry_after(RETRY_S)
        })
    }

    /// Room for a body, none of which is taken yet.
    pub(super) fn body(&self) -> Taken {
        self.bodies.none()
    }
}

/// That there is no room for a body now.
pub(super) fn no_room() -> Problem {
    Problem::new(Kind::Unavailable, "the bodies of other requests take all the room there is")
        .at("body")
        .help("send it again later, or raise `bodies` under [server.limits] in host.toml")
        .retry_after(RETRY_S)
}

/// How many files the process may have open: as many as the system lets it have.
fn files() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let may_have = if raised.is_ok() { maximum } else { current };
    may_have.unwrap_or(u64::MAX)
}
