//! The work of the server: which run is worked on when, and who is told that it stopped.
//!
//! Owns the one queue of the process. A run that waits for a moment, for its session, for a person or for a place costs an
//! entry here or in the journal, and no task. Invariants: a run is on disk before anybody hears of it; whatever is on
//! disk and can go on by itself goes on, after a restart too; when the server drains, no run begins.

mod fork;
mod stopping;
mod taking_up;
mod waiting;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

use super::agents::Agents;
use super::log::{log, log_of};
use super::metrics::Metrics;
use super::problem::{Problem, chain};
use super::queue::{Admission, Bounds, Full, Job, Queue};
use super::recording::{Recording, of_outcome, of_start};
use super::shown::Run;
use super::told::Told;
use super::versions::Loaded;
use super::webhooks::{self, Webhooks};
pub(super) use fork::TakeForkError;
pub(super) use taking_up::Left;
pub(super) use waiting::Stop;

use crate::engine::{self, Engine, Front, NewRun, Nobody, Outcome, RunHandle, StartError, Terms, Watcher};
use crate::journal::{RunState, Seq};
use crate::message::{By, Moment, RunId, Slot};
use crate::session::{Settlement, Waiting, Wants};

/// Works on runs.
pub(super) struct Scheduler {
    engine: Engine,
    agents: Arc<Agents>,
    queue: Mutex<Queue>,
    /// Something has changed that may let a run begin.
    changed: Notify,
    /// No run is worked on.
    idle: Notify,
    /// What is said of a run with which it goes on, until it does.
    said: Mutex<HashMap<RunId, Said>>,
    /// Why runs did not go on that were to.
    why_not: Mutex<HashMap<RunId, String>>,
    /// Who waits for a run to stop.
    waiting: Mutex<HashMap<RunId, Vec<oneshot::Sender<Arc<Run>>>>>,
    drains: AtomicBool,
    recording: Recording,
    /// Runs that stopped because nothing could be recorded of them.
    stranded: Mutex<Vec<Job>>,
    metrics: Metrics,
    webhooks: Arc<Webhooks>,
}

/// What is said of a run with which it goes on.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) settlements: Vec<(Slot, Settlement)>,
    pub(super) accept_changes: bool,
    pub(super) by: Option<By>,
}

impl Said {
    /// Adds what was said later. The last word on a call counts.
    fn add(&mut self, later: Self) {
        let Self { settlements, accept_changes, by } = later;
        self.settlements.retain(|(slot, _)| !settlements.iter().any(|(other, _)| other == slot));
        self.settlements.extend(settlements);
        self.accept_changes |= accept_changes;
        self.by = by.or(self.by.take());
    }
}

/// Why a run is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum TakeError {
    /// No run is taken any more.
    #[error("the server is asked to end, and takes no more runs")]
    Drains,
    /// It could not be recorded.
    #[error("runs cannot be recorded at present: {0}")]
    RecordsNothing(String),
    /// There is no place in the queue.
    #[error(transparent)]
    Full(#[from] Full),
    /// The run cannot be recorded, or cannot begin.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Scheduler {
    pub(super) fn new(
        engine: &Engine,
        agents: &Arc<Agents>,
        bounds: Bounds,
        metrics: Metrics,
        webhooks: Arc<Webhooks>,
    ) -> Arc<Self> {
        Arc::new(Self {
            engine: engine.clone(),
            agents: Arc::clone(agents),
            queue: Mutex::new(Queue::new(bounds)),
            changed: Notify::new(),
            idle: Notify::new(),
            said: Mutex::default(),
            why_not: Mutex::default(),
            waiting: Mutex::default(),
            drains: AtomicBool::new(false),
            recording: Recording::default(),
            stranded: Mutex::default(),
            metrics,
            webhooks,
        })
    }

    /// Goes by other bounds from now on.
    pub(super) fn set_bounds(&self, bounds: Bounds) {
        self.queue().set_bounds(bounds);
        self.changed.notify_one();
    }

    /// Takes a new run: it is on disk when this returns, and begins at its moment, when its session is free and when
    /// there is a place.
    pub(super) async fn take(
        self: &Arc<Self>,
        job: Job,
        new: NewRun,
        loaded: &Loaded,
        due_ms: Option<u64>,
    ) -> Result<(), TakeError> {
        if self.drains() {
            return Err(TakeError::Drains);
        }
        if let Some(why) = self.recording.stopped() {
            return Err(TakeError::RecordsNothing(why));
        }
        if let Some(due_ms) = due_ms.filter(|due_ms| *due_ms > Moment::now().0) {
            return self.take_later(job, new, due_ms).await;
        }
        let admission = self.queue().admit(&job)?;
        match admission {
            Admission::Begins => {
                self.webhooks.works(job.run).await;
                match self.engine.start(new, self.front(&job)).await {
                    Ok(handle) => {
                        self.agents.keep(job.run, loaded);
                        self.follow(job, handle);
                        Ok(())
                    }
                    Err(error) => {
                        self.webhooks.rests(job.run);
                        self.leave(job.run, true);
                        Err(self.not_taken(error))
                    }
                }
            }
            Admission::Waits => {
                if let Err(error) = self.engine.accept(new).await {
                    self.queue().give_up(job.run);
                    return Err(self.not_taken(error));
                }
                self.queue().add(job.run);
                self.changed.notify_one();
                Ok(())
            }
        }
    }

    async fn take_later(&self, job: Job, new: NewRun, due_ms: u64) -> Result<(), TakeError> {
        self.queue().admit_later()?;
        if let Err(error) = self.engine.accept(new).await {
            self.queue().give_up_later();
            return Err(self.not_taken(error));
        }
        self.queue().add_later(job, due_ms);
        self.changed.notify_one();
        Ok(())
    }

    fn not_taken(&self, error: StartError) -> TakeError {
        self.recording.saw(of_start(&error));
        error.into()
    }

    /// Has a recorded run go on, when there is a place.
    pub(super) fn go_on(&self, job: Job, said: Said) {
        self.said.lock().entry(job.run).or_default().add(said);
        self.why_not.lock().remove(&job.run);
        self.queue().line_up(job);
        self.changed.notify_one();
    }

    /// Works until the server drains. Each run that begins is a task of its own.
    pub(super) async fn work(self: Arc<Self>) {
        loop {
            let changed = self.changed.notified();
            while let Some(job) = self.next() {
                tokio::spawn(Arc::clone(&self).resume(job));
            }
            let due_ms = self.queue().due_ms().map(|due_ms| due_ms.saturating_sub(Moment::now().0));
            let due = async {
                match due_ms.filter(|_| self.begins_runs()) {
                    Some(due_ms) => tokio::time::sleep(Duration::from_millis(due_ms)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => {}
                () = due => {}
            }
        }
    }

    fn next(&self) -> Option<Job> {
        if self.begins_runs() { self.queue().next(Moment::now().0) } else { None }
    }

    fn begins_runs(&self) -> bool {
        !self.drains() && self.recording.stopped().is_none()
    }

    /// Goes on with a recorded run that has a place.
    async fn resume(self: Arc<Self>, job: Job) {
        let run = job.run;
        let said = self.said.lock().remove(&run).unwrap_or_default();
        let Said { settlements, accept_changes, by } = said.clone();
        // Whoever accepts changes wants the agent as it is now.
        let loaded =
            if accept_changes { self.agents.get(&job.agent) } else { self.agents.of(run, &job.agent) };
        let agent = loaded.as_ref().map(|loaded| Arc::clone(&loaded.agent));
        let terms = Terms { settlements, accept_changes, agent, by, ..Terms::default() };
        self.webhooks.works(run).await;
        match self.engine.resume(run, terms, self.front(&job)).await {
            Ok(handle) => {
                if let Some(loaded) = &loaded {
                    self.agents.keep(run, loaded);
                }
                self.follow(job, handle);
            }
            Err(error) if self.recording.saw(of_start(&error)) => {
                self.said.lock().insert(run, said);
                self.stranded.lock().push(job);
                self.leave(run, false);
            }
            Err(error) => {
                let why = chain(&error);
                log(&Told::NotResumed { run, agent: &job.agent, why: &why });
                self.webhooks.rests(run);
                // Another process may have brought it to its end; otherwise somebody has to look at it.
                let engine = self.engine.clone();
                let summary = tokio::task::spawn_blocking(move || engine.runs().summary(run)).await;
                let has_ended = matches!(summary, Ok(Ok(Some(summary))) if summary.state.has_ended());
                if has_ended {
                    self.agents.release(run);
                } else {
                    self.why_not.lock().insert(run, Problem::from(error).detail().to_owned());
                }
                self.leave(run, has_ended);
                self.waiting.lock().remove(&run);
            }
        }
    }

    /// Follows a run that goes on until it stops.
    fn follow(self: &Arc<Self>, job: Job, mut handle: RunHandle) {
        let scheduler = Arc::clone(self);
        tokio::spawn(async move {
            // A run that panics stops where it is; the place that it takes is given back like any other.
            let outcome = AssertUnwindSafe(handle.outcome()).catch_unwind().await;
            let outcome = outcome.unwrap_or(Outcome::Interrupted);
            let shown = Run::listed(handle.summary().clone()).stopped(&outcome);
            scheduler.stopped(job, shown, &outcome, handle.last_event()).await;
            handle.close().await;
        });
    }

    async fn stopped(&self, job: Job, shown: Run, outcome: &Outcome, last: Option<Seq>) {
        let (run, shown) = (job.run, Arc::new(shown));
        log(&Told::Stopped { run: &shown, outcome });
        self.metrics.stopped(&shown, outcome);
        let has_stopped = self.recording.saw(of_outcome(outcome)) || self.recording.stopped().is_some();
        match outcome {
            Outcome::Failed(_) | Outcome::Interrupted if has_stopped => self.stranded.lock().push(job),
            _ => {
                if let Some(kind) = webhooks::Kind::of(outcome) {
                    self.webhooks.stopped(run, &job.agent, kind, last).await;
                }
                if let Outcome::Suspended(waiting) = outcome {
                    self.wait(job, waiting);
                }
            }
        }
        if shown.state.has_ended() {
            self.agents.release(run);
        }
        self.leave(run, shown.state.has_ended());
        self.tell_stop(run, &shown);
    }

    /// Why nothing can be recorded; `None` if something can.
    pub(super) fn records_nothing(&self) -> Option<String> {
        self.recording.stopped()
    }

    /// Why a run did not go on when it was to, if it did not and has not since.
    pub(super) fn why_not(&self, run: RunId) -> Option<String> {
        self.why_not.lock().get(&run).cloned()
    }

    /// Takes in that a run is worked on no more.
    fn leave(&self, run: RunId, has_ended: bool) {
        let working = {
            let mut queue = self.queue();
            queue.stopped(run, has_ended);
            queue.counts().0
        };
        if working == 0 {
            self.idle.notify_waiters();
        }
        self.changed.notify_one();
    }

    /// Has a run that waits go on at the first moment that it waits for.
    fn wait(&self, job: Job, waiting: &[Waiting]) {
        self.hold(&job);
        let moments = waiting.iter().filter_map(|waiting| match waiting.wants {
            Wants::Moment(moment_ms) => Some(moment_ms),
            Wants::Settlement | Wants::Approval | Wants::Answer => None,
        });
        if let Some(due_ms) = moments.min() {
            self.queue().schedule(job, due_ms);
            self.changed.notify_one();
        }
    }

    /// Lets the session of a run wait for it.
    fn hold(&self, job: &Job) {
        if let Some(key) = &job.session {
            self.queue().hold_session(key, job.run);
        }
    }

    /// Takes in that nobody is to work on a run any more.
    pub(super) fn forget(&self, run: RunId) {
        self.queue().forget(run);
        self.said.lock().remove(&run);
        self.why_not.lock().remove(&run);
        self.agents.release(run);
        // Whoever waits for it looks how it stands.
        self.waiting.lock().remove(&run);
        self.changed.notify_one();
    }

    /// How a run stands that is worked on, or is going to be as soon as it can.
    pub(super) fn stands(&self, run: RunId) -> Option<RunState> {
        self.queue().stands(run)
    }

    /// The runs that are worked on.
    pub(super) fn working(&self) -> Vec<RunId> {
        self.queue().working().collect()
    }

    /// How many runs work, wait in the queue, and wait for a moment.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        self.queue().counts()
    }

    /// Whether no more runs are taken.
    pub(super) fn drains(&self) -> bool {
        self.drains.load(Ordering::Relaxed)
    }

    /// Who looks on while a run goes on, and who is asked: nobody, so that a run that wants a person waits.
    fn front(&self, job: &Job) -> Front {
        Front { watcher: self.onlooker(job.run, &job.agent), people: Arc::new(Nobody) }
    }

    /// Who looks on while a run goes on.
    pub(super) fn onlooker(&self, run: RunId, agent: &str) -> Arc<dyn Watcher> {
        Arc::new(Onlooker { run, agent: agent.to_owned(), metrics: self.metrics.clone() })
    }

    /// Takes in how a run stopped on which nobody else works.
    pub(super) fn note(&self, shown: &Run, outcome: &Outcome) {
        log(&Told::Stopped { run: shown, outcome });
        self.metrics.stopped(shown, outcome);
        self.recording.saw(of_outcome(outcome));
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }
}

/// Who looks on while a run goes on.
struct Onlooker {
    run: RunId,
    agent: String,
    metrics: Metrics,
}

impl Watcher for Onlooker {
    fn tell(&self, told: engine::Told<'_>) {
        self.metrics.effect(&self.agent, &told);
        log_of(self.run, &told);
    }
}
