//! A run, from its first event to where it stops: started, resumed, interrupted.
//!
//! A run is a task of its own. Its [`RunHandle`] says how it ended; dropping the handle leaves the run to itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Engine;
use super::catalog::{LoadError, LoadedAgent, Purpose};
use super::changes;
use super::conversation::{ConversationError, Turn};
use super::live::{Asked, Live, Stop};
use super::people::Front;
use super::plan::{Task, manifest};
use super::records::recorded_manifest;
use super::settle::{SettleError, settlements};
use super::watch::{Changed, Told, Watcher};
use crate::agent::{Agent, CalledAgent, CalledAgents, Ended, RunError};
use crate::config::{Config, ParameterError};
use crate::dispatch::Dispatcher;
use crate::journal::{
    Change, Entry, JournalError, JournalStore, OpenRun, RunState, RunSummary, ending, has_replied, used,
};
use crate::message::{By, Caller, Ending, Image, Manifest, RunId, SessionKey, Slot, Used};
use crate::session::{Decisions, Mode, Notice, Session, SessionError, Settlement, Waiting, Watch};
use crate::telemetry::{Invocation, Stand, Trace};

/// A run that is to be started.
pub struct NewRun {
    agent: Arc<LoadedAgent>,
    prompt: String,
    parameters: BTreeMap<String, String>,
    images: Vec<Image>,
    session: Option<SessionKey>,
    caller: Option<Caller>,
}

/// On what terms a recorded run goes on.
#[derive(Default)]
pub struct Terms {
    /// What a person says of calls that are in doubt.
    pub settlements: Vec<(Slot, Settlement)>,
    /// Whether the run goes on although its agent has changed since: what is recorded is kept, and the rest is carried
    /// out as things are now.
    pub accept_changes: bool,
    /// The agent.toml of the run, if it is not where it was.
    pub config: Option<PathBuf>,
    /// Who says so.
    pub by: Option<By>,
    /// In the course of which span the run goes on.
    pub caller: Option<Caller>,
}

/// Why a run is not started, or does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its agent cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A parameter has no value, or there is no such parameter.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// Its agent.toml is not where it was.
    #[error("the agent of this run is not at {} any more", path.display())]
    ConfigGone {
        /// Where it was.
        path: PathBuf,
    },
    /// Its session cannot go on.
    #[error(transparent)]
    Conversation(#[from] ConversationError),
    /// What a person says of a call in doubt does not fit.
    #[error(transparent)]
    Settle(#[from] SettleError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The run cannot be opened, or it is another run than the recorded one.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Where a run stopped.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It ended.
    Ended {
        /// How.
        ending: Ending,
        /// What it used, as far as that is recorded.
        used: Option<Used>,
    },
    /// It waits for these.
    Suspended(Vec<Waiting>),
    /// It was interrupted. It can be resumed.
    Interrupted,
    /// The host, or a model's provider, failed. It can be resumed.
    Failed(RunError),
}

/// A run that was started, or goes on.
pub struct RunHandle {
    run: RunId,
    /// None if the run had ended before.
    live: Option<Arc<Live>>,
    outcome: oneshot::Receiver<Outcome>,
    work: Option<JoinHandle<()>>,
}

impl NewRun {
    /// A run of an agent that answers a prompt.
    #[must_use]
    pub fn new(agent: Arc<LoadedAgent>, prompt: impl Into<String>) -> Self {
        let (parameters, images) = (BTreeMap::new(), Vec::new());
        Self { agent, prompt: prompt.into(), parameters, images, session: None, caller: None }
    }

    /// With the values of the agent's parameters.
    #[must_use]
    pub fn parameters(self, parameters: BTreeMap<String, String>) -> Self {
        Self { parameters, ..self }
    }

    /// With pictures that belong to the prompt.
    #[must_use]
    pub fn images(self, images: Vec<Image>) -> Self {
        Self { images, ..self }
    }

    /// As the next run of a session.
    #[must_use]
    pub fn session(self, session: Option<SessionKey>) -> Self {
        Self { session, ..self }
    }

    /// In the course of a span.
    #[must_use]
    pub fn caller(self, caller: Option<Caller>) -> Self {
        Self { caller, ..self }
    }
}

/// What a run is carried out with.
pub(super) struct Work {
    pub(super) run: OpenRun,
    pub(super) entries: Vec<Entry>,
    pub(super) agent: Arc<LoadedAgent>,
    pub(super) manifest: Manifest,
    pub(super) decisions: Decisions,
    /// Held for as long as the run goes on.
    pub(super) turn: Option<Turn>,
    pub(super) caller: Option<Caller>,
}

impl Engine {
    /// Starts a run. Its manifest is on disk when this returns. A run of a session waits for its turn first.
    pub async fn start(&self, new: NewRun, front: Front) -> Result<RunHandle, StartError> {
        let NewRun { agent, prompt, parameters, images, session, caller } = new;
        let (mut turn, mut earlier) = (None, Vec::new());
        if let Some(key) = &session {
            let taken = self.take_turn(key, &*front.watcher).await?;
            earlier = taken.said(key, self.runs(), &agent.config().agent.name).await?;
            turn = Some(taken);
        }
        let id = RunId::new();
        let task = Task::new(prompt, parameters, id.seed()).with_images(images).in_session(session, earlier);
        let manifest = manifest(&agent, task)?;
        let run = self.runs().create(id)?;
        if let Some(turn) = &mut turn {
            turn.session.add(id)?;
        }
        let (entries, decisions) = (Vec::new(), Decisions::default());
        self.carry_out(Work { run, entries, agent, manifest, decisions, turn, caller }, front).await
    }

    /// Goes on with a recorded run. One that has ended ends the same way at once.
    pub async fn resume(&self, id: RunId, terms: Terms, front: Front) -> Result<RunHandle, StartError> {
        let Terms { settlements: said, accept_changes, config, by, caller } = terms;
        let turn = self.take_turn_of(id, &*front.watcher).await?;
        let runs = self.runs();
        if runs.is_sealed(id) {
            let entries = runs.read(id)?;
            let manifest = recorded_manifest(id, &entries)?;
            settlements(&said, &entries, manifest)?;
            front.watcher.tell(Told::Began { run: id, manifest });
            let ending = ending(&entries).ok_or(JournalError::NotBegun { run: id })?.clone();
            return Ok(RunHandle::ended(id, ending, used(&entries).copied()));
        }
        let run = runs.open(id)?;
        let entries = run.store.read(id)?;
        let recorded = recorded_manifest(id, &entries)?.clone();
        let settlements = settlements(&said, &entries, &recorded)?;
        // Before its first reply the model was asked for nothing that another agent.toml could contradict.
        let has_replied = has_replied(&entries);
        let change = if accept_changes || !has_replied { Change::Accepted } else { Change::Refused };
        let config = recorded_config(&recorded, config.as_deref())?;
        let agent = self.load(config, Purpose::Run, &*front.watcher).await?;
        let manifest = manifest(&agent, Task::of(&recorded))?;
        let changes = changes::between(&recorded, &manifest, &entries);
        if !changes.is_empty() {
            front.watcher.tell(Told::Changed(&Changed { run: id, changes, change, has_replied }));
        }
        let decisions = Decisions { settlements, change, by };
        self.carry_out(Work { run, entries, agent, manifest, decisions, turn, caller }, front).await
    }

    /// Waits until a run may be added to a session, or taken out of it.
    pub async fn take_turn(&self, key: &SessionKey, watcher: &dyn Watcher) -> Result<Turn, JournalError> {
        self.0.conversations.take_turn(key, watcher).await
    }

    /// The same for the session of a run that has not ended, if it has one.
    async fn take_turn_of(&self, run: RunId, watcher: &dyn Watcher) -> Result<Option<Turn>, JournalError> {
        let entries = if self.runs().is_sealed(run) { Vec::new() } else { self.runs().read(run)? };
        match crate::journal::manifest(&entries).and_then(|manifest| manifest.session.as_ref()) {
            Some(key) => Ok(Some(self.take_turn(key, watcher).await?)),
            None => Ok(None),
        }
    }

    /// Carries a run out, or the rest of it, as a task.
    pub(super) async fn carry_out(&self, work: Work, front: Front) -> Result<RunHandle, StartError> {
        let Work { run, entries, agent, manifest, decisions, turn, caller } = work;
        let id = run.id;
        let trace = self.trace(id, caller, &*front.watcher);
        let invocation = Invocation::after(&entries, run.left() == Some(RunState::Running));
        let work = Driver::new(self, run, manifest, front, trace)?;
        let session = work.open_first(entries, decisions).await?;
        work.front.watcher.tell(Told::Began { run: id, manifest: &work.manifest });
        if let Some(ending) = session.recorded_ending().cloned() {
            let used = session.recorded_used();
            drop(session);
            return Ok(work.ended_before(ending, used));
        }
        if let Some(trace) = &work.trace {
            trace.begin(&work.manifest, invocation);
        }
        let live = Arc::clone(&work.live);
        let (done, outcome) = oneshot::channel();
        let task = tokio::spawn(async move {
            let (outcome, trace, watcher) = work.until_it_stops(&agent, session).await;
            drop(turn);
            // Who waits for the run need not wait for a collector.
            let _ = done.send(outcome);
            let Some(trace) = trace else { return };
            if let Some(lost) = trace.flush().await {
                watcher.tell(Told::Trouble(&lost));
            }
        });
        Ok(RunHandle { run: id, live: Some(live), outcome, work: Some(task) })
    }

    /// What is exported of a run. An exporter that cannot be set up stops no run.
    fn trace(&self, run: RunId, caller: Option<Caller>, watcher: &dyn Watcher) -> Option<Trace> {
        let trace = Trace::new(self.0.exporter.clone()?, run, caller);
        trace.map_err(|error| watcher.tell(Told::Trouble(&format!("no traces are exported: {error}")))).ok()
    }
}

/// The configuration that a run goes on with: the one it was begun with, or one that is given.
pub(super) fn recorded_config(manifest: &Manifest, given: Option<&Path>) -> Result<Config, StartError> {
    let begun_with = Path::new(&manifest.config);
    if given.is_none() && !begun_with.exists() {
        return Err(StartError::ConfigGone { path: begun_with.to_owned() });
    }
    Ok(Config::load(given.unwrap_or(begun_with)).map_err(LoadError::from)?)
}

/// A run on which this process works.
struct Driver {
    engine: Engine,
    run: OpenRun,
    manifest: Arc<Manifest>,
    summary: RunSummary,
    /// How the process before left the run.
    left: Option<RunState>,
    front: Front,
    trace: Option<Trace>,
    live: Arc<Live>,
}

impl Driver {
    /// Notes that this process works on a run from now on.
    fn new(
        engine: &Engine,
        run: OpenRun,
        manifest: Manifest,
        front: Front,
        trace: Option<Trace>,
    ) -> Result<Self, JournalError> {
        let summary = RunSummary {
            run: run.id,
            agent: manifest.agent.clone(),
            prompt: manifest.prompt.clone(),
            started_ms: run.id.started_ms(),
            state: RunState::Running,
        };
        let left = run.left();
        run.write_summary(&summary)?;
        let live = engine.0.live.add(run.id, Arc::clone(&run.store));
        let (engine, manifest) = (engine.clone(), Arc::new(manifest));
        Ok(Self { engine, run, manifest, summary, left, front, trace, live })
    }

    /// Opens the run as this process found it.
    async fn open_first(&self, entries: Vec<Entry>, decisions: Decisions) -> Result<Session, SessionError> {
        let opened = self.open(entries, decisions).await;
        if let (Err(_), Some(state)) = (&opened, self.left) {
            // A run that may not go on stands as it stood; the error matters more than that this is written.
            let _ = self.run.write_summary(&RunSummary { state, ..self.summary.clone() });
        }
        opened
    }

    async fn open(&self, entries: Vec<Entry>, decisions: Decisions) -> Result<Session, SessionError> {
        let store: Arc<dyn JournalStore> = Arc::clone(&self.run.store) as _;
        let watcher = Arc::clone(&self.front.watcher);
        let watch: Watch = Box::new(move |notice: &Notice<'_>| watcher.tell(Told::Effect(notice)));
        let (id, mode, manifest) = (self.run.id, Mode::Live(store), &self.manifest);
        match &self.trace {
            Some(trace) => {
                let watch = trace.beside(watch);
                let session = Session::open(id, mode, entries, manifest, decisions, watch).await?;
                Ok(session.traced_by(trace.spans_by_slot()))
            }
            None => Session::open(id, mode, entries, manifest, decisions, watch).await,
        }
    }

    /// Carries the run out until it stops, and leaves it. A run that waits goes on if a word came in meanwhile.
    async fn until_it_stops(
        self,
        agent: &LoadedAgent,
        first: Session,
    ) -> (Outcome, Option<Trace>, Arc<dyn Watcher>) {
        let dispatcher = Arc::new(self.dispatcher(agent, &self.manifest));
        let mut session = Ok(first);
        let outcome = loop {
            let outcome = match session {
                Ok(session) => self.once(agent, &dispatcher, session).await,
                Err(error) => Outcome::of(Err(RunError::Session(error))),
            };
            let mut words = self.live.words.lock().await;
            if !(matches!(outcome, Outcome::Suspended(_)) && std::mem::take(&mut words.came_in)) {
                // From here on a word goes to whoever opens the run.
                words.is_over = true;
                break outcome;
            }
            session = match self.run.store.read(self.run.id) {
                Ok(entries) => self.open(entries, Decisions::default()).await,
                Err(error) => Err(error.into()),
            };
        };
        if let Some(trace) = &self.trace {
            trace.stop(outcome.stand());
        }
        self.leave(outcome)
    }

    /// Carries the run out as far as it gets.
    async fn once(&self, agent: &LoadedAgent, dispatcher: &Arc<Dispatcher>, session: Session) -> Outcome {
        let wall_time = agent.config().limits.wall_time_ms.map(Duration::from_millis);
        let agent = Agent {
            dispatcher: Arc::clone(dispatcher),
            manifest: Arc::clone(&self.manifest),
            session: Arc::new(session),
            models: agent.models().clone(),
            slot: Slot::RUN,
        };
        tokio::select! {
            ended = agent.run_until(wall_time, self.live.cancelled()) => Outcome::of(ended),
            () = self.live.interrupted() => Outcome::Interrupted,
        }
    }

    /// Who calls the tools of an agent, and the agents among them, each attended by whoever attends the run.
    fn dispatcher(&self, agent: &LoadedAgent, manifest: &Manifest) -> Dispatcher {
        let rules = self.manifest.rules;
        let called = agent.members().iter().map(|member| {
            let (agent, manifest) = (member.agent(), member.manifest(rules));
            let called = CalledAgent {
                models: agent.models().clone(),
                dispatcher: Arc::new(self.dispatcher(agent, &manifest)),
                wall_time: agent.config().limits.wall_time_ms.map(Duration::from_millis),
                manifest,
            };
            (member.name(), called)
        });
        let called = Arc::new(CalledAgents::new(called));
        let asked = Asked {
            person: self.front.people.attend(agent, manifest),
            live: Arc::clone(&self.live),
            approvals: self.engine.approvals().clone(),
            config: manifest.config.clone(),
        };
        let runner = Arc::clone(agent.toolbox());
        Dispatcher::new(manifest, runner, agent.config().limits.max_parallel_tools)
            .calling(called)
            .attended_by(Arc::new(asked))
    }

    /// Leaves a run on which nothing more is carried out.
    fn leave(self, outcome: Outcome) -> (Outcome, Option<Trace>, Arc<dyn Watcher>) {
        let Self { engine, run, summary, front, trace, live, .. } = self;
        let state = match &outcome {
            Outcome::Ended { ending, .. } => ending.into(),
            Outcome::Suspended(_) => RunState::Suspended,
            Outcome::Interrupted => RunState::Interrupted,
            Outcome::Failed(_) => RunState::Failed,
        };
        let summary = RunSummary { state, ..summary };
        engine.0.live.close(run.id);
        if state.has_ended() {
            conclude(run, &summary, &*front.watcher);
        } else {
            // How the run stopped matters more than its summary, which is made anew from the journal if it is missing.
            let _ = run.write_summary(&summary);
        }
        live.leave();
        (outcome, trace, front.watcher)
    }

    /// Seals a run that had ended, and was not sealed.
    fn ended_before(self, ending: Ending, used: Option<Used>) -> RunHandle {
        let id = self.run.id;
        let _ = self.leave(Outcome::Ended { ending: ending.clone(), used });
        RunHandle::ended(id, ending, used)
    }
}

/// Makes one file of a run that has ended.
fn conclude(run: OpenRun, summary: &RunSummary, watcher: &dyn Watcher) {
    let sealed = run.write_summary(summary).and_then(|()| run.seal(summary));
    if let Err(error) = sealed {
        // Its end is recorded all the same.
        watcher.tell(Told::Trouble(&format!(
            "{error}\n  the run has ended and is recorded, and is sealed later"
        )));
    }
}

impl Outcome {
    fn of(ended: Result<Ended, RunError>) -> Self {
        match ended {
            Ok(Ended { ending, used }) => Self::Ended { ending, used: Some(used) },
            Err(RunError::Session(SessionError::Waits(waiting))) => Self::Suspended(waiting),
            Err(error) => Self::Failed(error),
        }
    }

    fn stand(&self) -> Stand<'_> {
        match self {
            Self::Ended { ending, .. } => Stand::Ended(ending),
            Self::Suspended(_) => Stand::Suspended,
            Self::Interrupted => Stand::Interrupted,
            Self::Failed(RunError::Model { error, .. }) => Stand::Failed(Some(error)),
            Self::Failed(RunError::Session(_)) => Stand::Failed(None),
        }
    }
}

impl RunHandle {
    /// The handle of a run that had ended before.
    fn ended(run: RunId, ending: Ending, used: Option<Used>) -> Self {
        let (done, outcome) = oneshot::channel();
        // The receiver is there.
        let _ = done.send(Outcome::Ended { ending, used });
        Self { run, live: None, outcome, work: None }
    }

    /// The run.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.run
    }

    /// Stops the run: what is in flight is cancelled, and the run can be resumed.
    pub fn interrupt(&self) {
        if let Some(live) = &self.live {
            live.stop(Stop::Interrupt);
        }
    }

    /// Waits until the run stops, and says where.
    ///
    /// # Panics
    ///
    /// If the run panicked, with the same panic.
    pub async fn outcome(&mut self) -> Outcome {
        match (&mut self.outcome).await {
            Ok(outcome) => outcome,
            Err(_) => match self.work.take() {
                Some(work) => match work.await {
                    Err(panicked) if panicked.is_panic() => std::panic::resume_unwind(panicked.into_panic()),
                    // The runtime ends, and the run with it.
                    Err(_) | Ok(()) => Outcome::Interrupted,
                },
                None => Outcome::Interrupted,
            },
        }
    }

    /// Waits until nothing more is done for the run: its traces are exported, or lost.
    pub async fn close(self) {
        if let Some(work) = self.work {
            // It has said how it ended.
            let _ = work.await;
        }
    }
}
