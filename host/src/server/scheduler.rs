//! The work of the server: which run is worked on when, and who is told that it stopped.
//!
//! Owns the one queue of the process. A run that waits for a moment, for its session, for a person or for a place costs an
//! entry here or in the journal, and no task. Invariants: a run is on disk before anybody hears of it; whatever is on
//! disk and can go on by itself goes on, after a restart too; when the server drains, no run begins.

mod fork;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

use super::agents::Agents;
use super::log::{log, log_of};
use super::metrics::Metrics;
use super::problem::chain;
use super::queue::{Admission, Bounds, Job, Queue};
use super::recording::{Recording, of_outcome, of_start};
use super::shown::Run;
use super::told::Told;
pub(super) use fork::TakeForkError;

use crate::engine::{self, Engine, Front, NewRun, Nobody, Outcome, RunHandle, StartError, Terms, Watcher};
use crate::journal::{JournalError, RunState, RunSummary};
use crate::message::{By, Moment, RunId, Slot};
use crate::session::{SessionError, Settlement, Waiting, Wants};

/// How often is looked whether runs can be recorded again. Each look writes and syncs a file.
const MEND_EVERY: Duration = Duration::from_secs(1);

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
    /// Who waits for a run to stop.
    waiting: Mutex<HashMap<RunId, Vec<oneshot::Sender<Arc<Run>>>>>,
    drains: AtomicBool,
    recording: Recording,
    /// Runs that stopped because nothing could be recorded of them.
    stranded: Mutex<Vec<Job>>,
    metrics: Metrics,
}

/// What is said of a run with which it goes on.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) settlements: Vec<(Slot, Settlement)>,
    pub(super) accept_changes: bool,
    pub(super) by: Option<By>,
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
    #[error("{0} runs wait already")]
    Full(usize),
    /// The run cannot be recorded, or cannot begin.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Scheduler {
    pub(super) fn new(engine: &Engine, agents: &Arc<Agents>, bounds: Bounds, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            engine: engine.clone(),
            agents: Arc::clone(agents),
            queue: Mutex::new(Queue::new(bounds)),
            changed: Notify::new(),
            idle: Notify::new(),
            said: Mutex::default(),
            waiting: Mutex::default(),
            drains: AtomicBool::new(false),
            recording: Recording::default(),
            stranded: Mutex::default(),
            metrics,
        })
    }

    /// Takes a new run: it is on disk when this returns, and begins at its moment, when its session is free and when
    /// there is a place.
    pub(super) async fn take(
        self: &Arc<Self>,
        job: Job,
        new: NewRun,
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
        let admission = self.queue().admit(&job);
        match admission {
            Admission::Full => Err(TakeError::Full(self.queue().counts().1)),
            Admission::Begins => match self.engine.start(new, self.front(&job)).await {
                Ok(handle) => {
                    self.follow(job, handle);
                    Ok(())
                }
                Err(error) => {
                    self.leave(job.run, true);
                    Err(self.not_taken(error))
                }
            },
            Admission::Waits => {
                if let Err(error) = self.engine.accept(new).await {
                    self.queue().give_up();
                    return Err(self.not_taken(error));
                }
                self.queue().add(job);
                self.changed.notify_one();
                Ok(())
            }
        }
    }

    async fn take_later(&self, job: Job, new: NewRun, due_ms: u64) -> Result<(), TakeError> {
        let (run, (.., scheduled)) = (job.run, self.queue().counts());
        if !self.queue().schedule(job, due_ms) {
            return Err(TakeError::Full(scheduled));
        }
        if let Err(error) = self.engine.accept(new).await {
            self.queue().forget(run);
            return Err(self.not_taken(error));
        }
        self.changed.notify_one();
        Ok(())
    }

    fn not_taken(&self, error: StartError) -> TakeError {
        self.recording.saw(of_start(&error));
        error.into()
    }

    /// Has a recorded run go on, when there is a place.
    pub(super) fn go_on(&self, job: Job, said: Said) {
        self.said.lock().insert(job.run, said);
        self.queue().line_up(job);
        self.changed.notify_one();
    }

    /// Takes up what an earlier process left: what was interrupted goes on, what was accepted begins, and what sleeps
    /// wakes at its moment, each in the order in which it was accepted. What waits for a person is left as it is.
    pub(super) fn take_up(&self, runs: impl IntoIterator<Item = (RunSummary, Vec<Waiting>)>) {
        for (summary, waiting) in runs {
            let job = Job { run: summary.run, agent: summary.agent, session: summary.session };
            let due_ms = summary.order.and_then(|order| order.due_ms);
            match summary.state {
                RunState::Queued => match due_ms.filter(|due_ms| *due_ms > Moment::now().0) {
                    Some(due_ms) => drop(self.queue().schedule(job, due_ms)),
                    None => self.queue().line_up(job),
                },
                RunState::Interrupted => self.queue().line_up(job),
                RunState::Suspended => self.wait(job, &waiting),
                RunState::Failed => self.hold(&job),
                RunState::Running
                | RunState::Answered
                | RunState::Refused
                | RunState::Limited
                | RunState::Unfit
                | RunState::Empty
                | RunState::Cancelled => {}
            }
        }
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
                match due_ms {
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
        if self.drains() || self.recording.stopped().is_some() {
            return None;
        }
        self.queue().next(Moment::now().0)
    }

    /// Goes on with a recorded run that has a place.
    async fn resume(self: Arc<Self>, job: Job) {
        let run = job.run;
        let said = self.said.lock().remove(&run).unwrap_or_default();
        let Said { settlements, accept_changes, by } = said.clone();
        let agent = self.agents.get(&job.agent);
        let terms = Terms { settlements, accept_changes, agent, by, ..Terms::default() };
        match self.engine.resume(run, terms, self.front(&job)).await {
            Ok(handle) => self.follow(job, handle),
            Err(error) if self.recording.saw(of_start(&error)) => {
                self.said.lock().insert(run, said);
                self.stranded.lock().push(job);
                self.leave(run, false);
            }
            Err(error) => {
                log(&Told::NotResumed { run, agent: &job.agent, why: &chain(&error) });
                // It stands as it stood; somebody has to look at it.
                self.leave(run, false);
                self.waiting.lock().remove(&run);
            }
        }
    }

    /// Follows a run that goes on until it stops.
    fn follow(self: &Arc<Self>, job: Job, mut handle: RunHandle) {
        let scheduler = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = handle.outcome().await;
            let shown = Run::listed(handle.summary().clone()).stopped(&outcome);
            scheduler.stopped(job, shown, &outcome);
            handle.close().await;
        });
    }

    fn stopped(&self, job: Job, shown: Run, outcome: &Outcome) {
        let (run, shown) = (job.run, Arc::new(shown));
        log(&Told::Stopped { run: &shown, outcome });
        self.metrics.stopped(&shown, outcome);
        let has_stopped = self.recording.saw(of_outcome(outcome)) || self.recording.stopped().is_some();
        match outcome {
            Outcome::Failed(_) | Outcome::Interrupted if has_stopped => self.stranded.lock().push(job),
            Outcome::Suspended(waiting) => self.wait(job, waiting),
            Outcome::Ended { .. } | Outcome::Failed(_) | Outcome::Interrupted => {}
        }
        self.leave(run, shown.state.has_ended());
        for waiting in self.waiting.lock().remove(&run).into_iter().flatten() {
            // Whoever waited may have gone away.
            let _ = waiting.send(Arc::clone(&shown));
        }
    }

    /// Waits for the journal to stop, has everything stop of which nothing can be recorded, and has it go on once there is
    /// room.
    pub(super) async fn mend(self: Arc<Self>) {
        loop {
            self.recording.stop().await;
            let working: Vec<RunId> = self.queue().working().collect();
            for run in working {
                self.engine.interrupt(run);
            }
            // A run that has the journal open holds up that it is opened anew.
            self.idle().await;
            while !self.can_record().await {
                tokio::time::sleep(MEND_EVERY).await;
            }
            let stranded = std::mem::take(&mut *self.stranded.lock());
            self.recording.goes_on(stranded.len());
            for job in stranded {
                self.queue().line_up(job);
            }
            self.changed.notify_one();
        }
    }

    async fn can_record(&self) -> bool {
        let engine = self.engine.clone();
        // The disk may be slow.
        matches!(tokio::task::spawn_blocking(move || engine.runs().try_to_write()).await, Ok(Ok(())))
    }

    /// Why nothing can be recorded; `None` if something can.
    pub(super) fn records_nothing(&self) -> Option<String> {
        self.recording.stopped()
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
            let run = job.run;
            if !self.queue().schedule(job, due_ms) {
                log(&Told::TooManyScheduled { run });
            }
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
        self.changed.notify_one();
    }

    /// Is told when a run stops.
    pub(super) fn stop_of(&self, run: RunId) -> oneshot::Receiver<Arc<Run>> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        let of_run = waiting.entry(run).or_default();
        of_run.retain(|sender| !sender.is_closed());
        of_run.push(sender);
        receiver
    }

    /// How a run stands that is worked on, or is going to be as soon as it can.
    pub(super) fn stands(&self, run: RunId) -> Option<RunState> {
        self.queue().stands(run)
    }

    /// How many runs work, wait in the queue, and wait for a moment.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        self.queue().counts()
    }

    /// Whether no more runs are taken.
    pub(super) fn drains(&self) -> bool {
        self.drains.load(Ordering::Relaxed)
    }

    /// Takes no more runs, lets those that work go on for a time, and then has them stop where they are.
    pub(super) async fn drain(&self, grace: Duration) {
        self.drains.store(true, Ordering::Relaxed);
        if tokio::time::timeout(grace, self.idle()).await.is_err() {
            let working: Vec<RunId> = self.queue().working().collect();
            for run in working {
                self.engine.interrupt(run);
            }
            self.idle().await;
        }
    }

    /// Waits until no run is worked on.
    async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.counts().0 == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Who looks on while a run goes on, and who is asked: nobody, so that a run that wants a person waits.
    fn front(&self, job: &Job) -> Front {
        let Job { run, agent, .. } = job;
        let onlooker = Onlooker { run: *run, agent: agent.clone(), metrics: self.metrics.clone() };
        Front { watcher: Arc::new(onlooker), people: Arc::new(Nobody) }
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

/// The runs of a state directory that have not ended, in the order in which they began, and what those wait for that
/// wait. What cannot be read is told.
pub(super) fn unfinished(
    engine: &Engine,
    trouble: &mut dyn FnMut(Option<RunId>, &dyn std::error::Error),
) -> Result<Vec<(RunSummary, Vec<Waiting>)>, JournalError> {
    let listing = engine.runs().list()?;
    for (run, error) in &listing.unreadable {
        trouble(*run, error);
    }
    let mut unfinished = Vec::new();
    for summary in listing.runs.into_iter().filter(|summary| !summary.state.has_ended()) {
        let mut waiting = Vec::new();
        if summary.state == RunState::Suspended {
            let read = engine.runs().read(summary.run).map_err(SessionError::from);
            match read.and_then(crate::engine::waiting) {
                Ok(found) => waiting = found,
                Err(error) => trouble(Some(summary.run), &error),
            }
        }
        unfinished.push((summary, waiting));
    }
    Ok(unfinished)
}
