//! Runs that programs carry out: each has a desk, which is there as long as its program asks for something.
//!
//! A run is opened when its program asks, and left when it asks for nothing any more. Invariant: at most one desk a run.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::BoxFuture;
use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::Mutex;
use sha2::Sha256;

use super::ServeError;
use super::agents::Agents;
use super::problem::{Kind, Problem};
use super::scheduler::Scheduler;
use super::shown::Run;
use super::versions::Loaded;
use crate::dispatch::{Person, Spoken};
use crate::engine::{
    Engine, Front, LoadedAgent, NewRun, People, RunHandle, StartError, Terms, Told, Unwatched, Watcher,
};
use crate::gateway::Desk;
use crate::journal::RunSummary;
use crate::message::{Decision, Digest, Manifest, RunId, Slot, ToolAsk};
use crate::model::Provider;
use crate::session::Settlement;

/// What the tokens of programs are made with.
const KEY_FILE: &str = "programs.key";
const KEY_BYTES: usize = 32;
/// What a token of a program begins with, so that it is known for what it is.
const TOKEN_PREFIX: &str = "hostrun_";
/// So many runs of programs are open at once.
const OPEN_MAX: usize = 4096;

/// The runs of programs.
pub(super) struct Programs {
    engine: Engine,
    agents: Arc<Agents>,
    scheduler: Arc<Scheduler>,
    key: [u8; KEY_BYTES],
    open: Mutex<HashMap<RunId, Arc<Program>>>,
    ends: AtomicBool,
}

/// A run of a program.
pub(super) struct Program {
    pub(super) desk: Arc<Desk>,
    pub(super) agent: Arc<LoadedAgent>,
    /// Held by whoever opens the run.
    opening: tokio::sync::Mutex<()>,
}

/// Two who look on.
struct Both(Arc<dyn Watcher>, Arc<dyn Watcher>);

impl Watcher for Both {
    fn tell(&self, told: Told<'_>) {
        self.0.tell(told);
        self.1.tell(told);
    }
}

/// Who is asked about the calls of a program: whoever looks at what waits. The call waits with them.
struct Elsewhere;

impl People for Elsewhere {
    fn attend(&self, _agent: &LoadedAgent, _manifest: &Manifest) -> Arc<dyn Person> {
        Arc::new(Self)
    }
}

impl Person for Elsewhere {
    fn decide<'a>(&'a self, _: &'a Slot, _: &'a ToolAsk) -> BoxFuture<'a, Option<Spoken<Decision>>> {
        Box::pin(std::future::pending())
    }

    fn answer<'a>(&'a self, _: &'a Slot, _: &'a str) -> BoxFuture<'a, Option<Spoken<String>>> {
        Box::pin(std::future::pending())
    }
}

impl Programs {
    pub(super) fn begin(
        engine: &Engine,
        agents: &Arc<Agents>,
        scheduler: &Arc<Scheduler>,
        state: &Path,
    ) -> Result<Arc<Self>, ServeError> {
        let path = state.join(KEY_FILE);
        let key = key(&path).map_err(|error| ServeError::Programs { path, reason: error.to_string() })?;
        let (engine, agents, scheduler) = (engine.clone(), Arc::clone(agents), Arc::clone(scheduler));
        let (open, ends) = (Mutex::default(), AtomicBool::new(false));
        Ok(Arc::new(Self { engine, agents, scheduler, key, open, ends }))
    }

    /// The token of the program of a run. It opens nothing but that run.
    pub(super) fn token(&self, run: RunId) -> String {
        // A key of this length is taken.
        let mac = Hmac::<Sha256>::new_from_slice(&self.key).map(|mut mac| {
            mac.update(&run.to_bytes());
            mac.finalize().into_bytes()
        });
        format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(mac.unwrap_or_default()))
    }

    /// The digest of that token.
    pub(super) fn token_digest(&self, run: RunId) -> Digest {
        Digest::of(self.token(run).as_bytes())
    }

    /// Begins a run for a program. It is on disk when this returns.
    pub(super) async fn create(
        self: &Arc<Self>,
        run: RunId,
        loaded: &Loaded,
        label: String,
        watcher: Arc<dyn Watcher>,
    ) -> Result<(), Problem> {
        let program = self.place(run, loaded)?;
        let new = NewRun::new(Arc::clone(&loaded.agent), label).named(run).at(Arc::clone(&program.desk));
        match self.engine.start(new, self.front(run, loaded, watcher)).await {
            Ok(handle) => {
                self.agents.keep(run, loaded);
                let followed = self.follow(run, handle);
                let gave_up = async { drop(followed.await) };
                if program.desk.is_open(gave_up).await { Ok(()) } else { Err(unreadable(run)) }
            }
            Err(error) => {
                self.open.lock().remove(&run);
                Err(error.into())
            }
        }
    }

    /// The run of a program, open, for somebody who sees the runs of some agents.
    pub(super) async fn open(
        self: &Arc<Self>,
        run: RunId,
        sees: impl Fn(&str) -> bool,
    ) -> Result<Arc<Program>, Problem> {
        if let Some(program) = self.known(run)
            && program.desk.is_open_now()
            && sees(&program.agent.config().agent.name)
        {
            return Ok(program);
        }
        let engine = self.engine.clone();
        let summary =
            engine.blocking(move |engine| engine.runs().summary(run)).await.map_err(StartError::from)?;
        let summary = summary.filter(|summary| sees(&summary.agent)).ok_or_else(|| missing(run))?;
        if !summary.outside {
            let detail = format!("run {run} is not carried out by a program");
            return Err(Problem::new(Kind::Conflict, detail).help("POST /runs begins one that is"));
        }
        let loaded = self.agents.of(run, &summary.agent).ok_or_else(|| {
            Problem::new(Kind::Conflict, format!("the agent {} of the run is not served", summary.agent))
        })?;
        let program = self.place(run, &loaded)?;
        let opening = program.opening.lock().await;
        if !program.desk.is_open_now() {
            self.reopen(&summary, &program, &loaded).await?;
        }
        drop(opening);
        Ok(program)
    }

    async fn reopen(
        self: &Arc<Self>,
        summary: &RunSummary,
        program: &Arc<Program>,
        loaded: &Loaded,
    ) -> Result<(), Problem> {
        let (run, desk) = (summary.run, &program.desk);
        if summary.state.has_ended() {
            let (programs, shown) = (Arc::clone(self), Arc::clone(desk));
            let (gave_up, gives_up) = tokio::sync::oneshot::channel::<()>();
            tokio::spawn(async move {
                // A run that cannot be read is one whose desk does not open.
                let _ = programs.engine.show_at(run, shown).await;
                drop(gave_up);
                programs.open.lock().remove(&run);
            });
            let gave_up = async { drop(gives_up.await) };
            return if desk.is_open(gave_up).await { Ok(()) } else { Err(unreadable(run)) };
        }
        let terms = Terms {
            agent: Some(Arc::clone(&loaded.agent)),
            desk: Some(Arc::clone(desk)),
            accept_changes: false,
            ..Terms::default()
        };
        let handle = self.engine.resume(run, terms, self.front(run, loaded, Arc::new(Unwatched))).await?;
        self.agents.keep(run, loaded);
        let followed = self.follow(run, handle);
        let gave_up = async { drop(followed.await) };
        if desk.is_open(gave_up).await { Ok(()) } else { Err(unreadable(run)) }
    }

    /// Whether a run is one of a program.
    pub(super) async fn carries_out(&self, run: RunId) -> Result<bool, Problem> {
        if self.known(run).is_some() {
            return Ok(true);
        }
        let summary = self.engine.blocking(move |engine| engine.runs().summary(run)).await;
        Ok(summary.map_err(StartError::from)?.is_some_and(|summary| summary.outside))
    }

    /// Takes in what a person says of calls in doubt, and has it recorded.
    pub(super) async fn settle(
        self: &Arc<Self>,
        run: RunId,
        settlements: Vec<(Slot, Settlement)>,
    ) -> Result<(), Problem> {
        let program = self.open(run, |_| true).await?;
        for (slot, settlement) in settlements {
            let settled = program.desk.settle(slot, settlement).await;
            settled.map_err(|refused| Problem::new(Kind::Conflict, refused.to_string()))?;
        }
        Ok(())
    }

    /// The desk of a run, if it is there.
    pub(super) fn known(&self, run: RunId) -> Option<Arc<Program>> {
        self.open.lock().get(&run).cloned()
    }

    fn place(&self, run: RunId, loaded: &Loaded) -> Result<Arc<Program>, Problem> {
        if self.ends.load(Ordering::SeqCst) {
            let detail = "the server is asked to end, and takes no more runs";
            return Err(Problem::new(Kind::Unavailable, detail).retry_after(1));
        }
        let agent = &loaded.agent;
        let mut open = self.open.lock();
        if open.len() >= OPEN_MAX {
            // What is known of their starts is found again in what is recorded.
            open.retain(|_, program| program.desk.is_open_now());
        }
        if open.len() >= OPEN_MAX && !open.contains_key(&run) {
            let detail = "too many runs of programs are open";
            return Err(Problem::new(Kind::Unavailable, detail).retry_after(5));
        }
        let model = match &agent.config().model.provider {
            Provider::Scripted { .. } => None,
            Provider::Remote(remote) => Some(remote.name.clone()),
        };
        let program = open.entry(run).or_insert_with(|| {
            let rules = agent.config().gateway.clone().unwrap_or_default();
            let desk = Desk::new(run, rules, agent.provider().cloned(), model);
            Arc::new(Program { desk, agent: Arc::clone(agent), opening: tokio::sync::Mutex::default() })
        });
        Ok(Arc::clone(program))
    }

    fn front(&self, run: RunId, loaded: &Loaded, watcher: Arc<dyn Watcher>) -> Front {
        let onlooker = self.scheduler.onlooker(run, &loaded.agent.config().agent.name);
        Front { watcher: Arc::new(Both(onlooker, watcher)), people: Arc::new(Elsewhere) }
    }

    /// Follows a run until it is left.
    fn follow(self: &Arc<Self>, run: RunId, mut handle: RunHandle) -> tokio::task::JoinHandle<()> {
        let programs = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = handle.outcome().await;
            let shown = Run::listed(handle.summary().clone()).stopped(&outcome);
            programs.scheduler.note(&shown, &outcome);
            if shown.state.has_ended() {
                programs.agents.release(run);
                programs.open.lock().remove(&run);
            }
            handle.close().await;
        })
    }

    /// Waits until a run is left that is open.
    pub(super) async fn stopped(self: &Arc<Self>, run: RunId) {
        let program = self.known(run);
        if let Some(program) = program {
            program.desk.is_closed().await;
        }
        // It is left once nobody works on it any more.
        self.engine.left(run).await;
    }

    /// Leaves every run: each goes on when its program asks again.
    pub(super) fn end(&self) {
        self.ends.store(true, Ordering::SeqCst);
        for run in self.open.lock().keys() {
            self.engine.interrupt(*run);
        }
    }
}

fn missing(run: RunId) -> Problem {
    Problem::new(Kind::Missing, format!("there is no run {run}")).help("POST /runs begins one")
}

fn unreadable(run: RunId) -> Problem {
    Problem::failed(&format!("run {run} cannot be opened"))
}

/// The key, which is made when it is first needed.
fn key(path: &Path) -> std::io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    match File::open(path) {
        Ok(mut file) => {
            file.read_exact(&mut key)?;
            return Ok(key);
        }
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    getrandom::fill(&mut key).map_err(std::io::Error::other)?;
    let part = path.with_extension("part");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(&key)?;
    file.sync_all()?;
    std::fs::rename(part, path)?;
    Ok(key)
}
