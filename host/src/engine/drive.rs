//! The work on a run: a task of its own, from where the run stands to where it stops.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::Engine;
use super::catalog::LoadedAgent;
use super::conversation::Turn;
use super::handle::{Outcome, RunHandle, Stopped};
use super::live::{Asked, Working};
use super::people::Front;
use super::reading::entries;
use super::start::StartError;
use super::watch::{Told, Watcher};
use crate::agent::{Agent, CalledAgent, CalledAgents, Ended, RunError};
use crate::blocking::blocking;
use crate::dispatch::Dispatcher;
use crate::gateway::{Desk, Left, STARTED, Stage};
use crate::journal::{Entry, Event, JournalError, JournalStore, OpenRun, RunState, RunSummary, Started};
use crate::message::{Caller, Ending, Manifest, RunId, Slot, Used};
use crate::session::{Decisions, Mode, Notice, Session, SessionError, Watch};
use crate::telemetry::{Invocation, Trace};

/// What a run is carried out with.
pub(super) struct Work {
    pub(super) run: OpenRun,
    pub(super) entries: Vec<Entry>,
    pub(super) agent: Arc<LoadedAgent>,
    pub(super) manifest: Manifest,
    pub(super) decisions: Decisions,
    /// Held for as long as the run goes on.
    pub(super) turn: Option<Turn>,
    /// The run of the session that this run takes the place of.
    pub(super) instead_of: Option<RunId>,
    pub(super) caller: Option<Caller>,
    /// Where the program arrives that carries it out, if one does.
    pub(super) desk: Option<Arc<Desk>>,
}

impl Engine {
    /// Carries a run out, or the rest of it, as a task.
    pub(super) async fn carry_out(&self, work: Work, front: Front) -> Result<RunHandle, StartError> {
        let Work { run, entries, agent, manifest, decisions, mut turn, instead_of, caller, desk } = work;
        let id = run.id;
        let trace = self.trace(id, caller, &*front.watcher);
        let invocation = Invocation::after(&entries, run.left() == Some(RunState::Running));
        let desk = desk.inspect(|desk| desk.began(last_start(&entries)));
        let work = Driver { desk, ..Driver::new(self, run, manifest, front, trace)? };
        let session = work.open_first(entries, decisions).await?;
        // A run that was cancelled goes on from here, and not before that is recorded.
        work.run.unseal().await?;
        // Not before this run is on disk: otherwise a crash would leave the session without either.
        if let (Some(turn), Some(other)) = (&mut turn, instead_of) {
            turn.session.forget_run(other).await?;
        }
        work.front.watcher.tell(Told::Began { run: id, manifest: &work.manifest });
        if let Some(ending) = session.recorded_ending().cloned() {
            let used = session.recorded_used();
            drop(session);
            return Ok(work.ended_before(ending, used).await);
        }
        if let Some(trace) = &work.trace {
            trace.begin(&work.manifest, invocation);
        }
        let (live, summary) = (Arc::clone(&work.working.live), work.summary.clone());
        let (done, stop) = oneshot::channel();
        let task = tokio::spawn(async move {
            let (stop, trace, watcher) = work.until_it_stops(&agent, session).await;
            drop(turn);
            // Who waits for the run need not wait for a collector.
            let _ = done.send(stop);
            let Some(trace) = trace else { return };
            if let Some(lost) = trace.flush().await {
                watcher.tell(Told::Trouble(&lost));
            }
        });
        Ok(RunHandle::new(summary, live, stop, task))
    }

    /// What is exported of a run. An exporter that cannot be set up stops no run.
    fn trace(&self, run: RunId, caller: Option<Caller>, watcher: &dyn Watcher) -> Option<Trace> {
        match self.0.exporting.exporter() {
            Ok(exporter) => Some(Trace::new(exporter?, run, caller)),
            Err(error) => {
                watcher.tell(Told::Trouble(&format!("no traces are exported: {error}")));
                None
            }
        }
    }
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
    working: Working,
    desk: Option<Arc<Desk>>,
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
        let summary = RunSummary::new(run.id, &manifest, RunState::Running);
        let left = run.left();
        run.write_summary(&summary)?;
        let working = Working::on(engine, run.id, Arc::clone(&run.store));
        let (engine, manifest) = (engine.clone(), Arc::new(manifest));
        Ok(Self { engine, run, manifest, summary, left, front, trace, working, desk: None })
    }

    /// Opens the run as this process found it.
    async fn open_first(&self, entries: Vec<Entry>, decisions: Decisions) -> Result<Session, SessionError> {
        let opened = self.open(entries, decisions).await;
        if opened.is_err() {
            // A run that may not go on stands as it stood; the error matters more than that this is written.
            let stood = self.left.map(|state| RunSummary { state, ..self.summary.clone() });
            let _ = stood.map(|summary| self.run.write_summary(&summary));
        }
        opened
    }

    async fn open(&self, entries: Vec<Entry>, decisions: Decisions) -> Result<Session, SessionError> {
        let store: Arc<dyn JournalStore> = Arc::clone(&self.run.store) as _;
        let watcher = Arc::clone(&self.front.watcher);
        let (live, run) = (Arc::clone(&self.working.live), self.run.id);
        let watch: Watch = Box::new(move |notice: &Notice<'_>| {
            live.tell(run, notice);
            watcher.tell(Told::Effect(notice));
        });
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
    ) -> (Stopped, Option<Trace>, Arc<dyn Watcher>) {
        let dispatcher = Arc::new(self.dispatcher(agent, &self.manifest));
        let mut session = Ok(first);
        let outcome = loop {
            let outcome = match session {
                Ok(session) => self.once(agent, &dispatcher, session).await,
                Err(error) => Outcome::of(Err(RunError::Session(error))),
            };
            let mut words = self.working.live.words.lock().await;
            if !(matches!(outcome, Outcome::Suspended(_)) && std::mem::take(&mut words.came_in)) {
                // From here on a word goes to whoever opens the run.
                words.is_over = true;
                break outcome;
            }
            session = match entries(self.run.id, &self.run.store).await {
                Ok(entries) => self.open(entries, Decisions::default()).await,
                Err(error) => Err(error.into()),
            };
        };
        if let Some(trace) = &self.trace {
            trace.stop(outcome.stand());
        }
        self.leave(outcome).await
    }

    /// Carries the run out as far as it gets.
    async fn once(&self, agent: &LoadedAgent, dispatcher: &Arc<Dispatcher>, session: Session) -> Outcome {
        if let Some(desk) = &self.desk {
            return self.at_the_desk(desk, dispatcher, session).await;
        }
        let wall_time = agent.config().limits.wall_time_ms.map(Duration::from_millis);
        let agent = Agent {
            dispatcher: Arc::clone(dispatcher),
            manifest: Arc::clone(&self.manifest),
            session: Arc::new(session),
            models: agent.models().clone(),
            slot: Slot::RUN,
        };
        tokio::select! {
            ended = agent.run_until(wall_time, self.working.live.cancelled()) => Outcome::of(ended),
            () = self.working.live.interrupted() => Outcome::Interrupted,
        }
    }

    /// Lets a program carry the run out.
    async fn at_the_desk(&self, desk: &Arc<Desk>, dispatcher: &Arc<Dispatcher>, session: Session) -> Outcome {
        let session = Arc::new(session.asked_again());
        let (live, store, run) = (Arc::clone(&self.working.live), Arc::clone(&self.run.store), self.run.id);
        let reread = move || -> BoxFuture<'static, _> {
            let (live, store) = (Arc::clone(&live), Arc::clone(&store));
            Box::pin(async move {
                // A word that is being recorded is waited for.
                live.words.lock().await.came_in = false;
                entries(run, &store).await
            })
        };
        let stage = Stage {
            manifest: Arc::clone(&self.manifest),
            session: Arc::clone(&session),
            dispatcher: Arc::clone(dispatcher),
            reread: Box::new(reread),
        };
        let cancelled = tokio::select! {
            left = desk.conduct(stage) => return match left {
                Ok(Left::Ended(ended)) => Outcome::of(Ok(ended)),
                Ok(Left::Idle) => Outcome::Interrupted,
                Err(error) => Outcome::of(Err(error)),
            },
            () = self.working.live.interrupted() => return Outcome::Interrupted,
            cancelled = self.working.live.cancelled() => cancelled,
        };
        let used = desk.used();
        let ended = session.stop(&Slot::RUN, Ending::Cancelled(cancelled), used).await;
        Outcome::of(ended.map(|ending| Ended { ending, used }).map_err(RunError::from))
    }

    /// Who calls the tools of an agent, and the agents among them, each attended by whoever attends the run.
    fn dispatcher(&self, agent: &LoadedAgent, manifest: &Manifest) -> Dispatcher {
        let called = agent.members().iter().filter_map(|member| {
            let manifest = manifest.tool(&member.name())?.agent.as_deref()?.clone();
            let agent = member.agent();
            let called = CalledAgent {
                models: agent.models().clone(),
                dispatcher: Arc::new(self.dispatcher(agent, &manifest)),
                wall_time: agent.config().limits.wall_time_ms.map(Duration::from_millis),
                manifest,
            };
            Some((member.name(), called))
        });
        let called = Arc::new(CalledAgents::new(called));
        let asked = Asked {
            person: self.front.people.attend(agent, manifest),
            live: Arc::clone(&self.working.live),
            approvals: self.engine.approvals().clone(),
            config: manifest.config.clone(),
        };
        let runner = Arc::clone(agent.toolbox());
        Dispatcher::new(manifest, runner, agent.config().limits.max_parallel_tools)
            .calling(called)
            .attended_by(Arc::new(asked))
    }

    /// Leaves a run on which nothing more is carried out.
    async fn leave(self, outcome: Outcome) -> (Stopped, Option<Trace>, Arc<dyn Watcher>) {
        let Self { run, summary, front, trace, working, .. } = self;
        let state = match &outcome {
            Outcome::Ended { ending, .. } => ending.into(),
            Outcome::Suspended(_) => RunState::Suspended,
            Outcome::Interrupted => RunState::Interrupted,
            Outcome::Failed(_) => RunState::Failed,
        };
        let summary = RunSummary { state, ..summary };
        let last = run.store.last();
        working.live.close();
        if state.has_ended() {
            conclude(run, summary, &*front.watcher).await;
        } else {
            // How the run stopped matters more than its summary, which is made anew from the journal if it is missing.
            let _ = run.write_summary(&summary);
            run.leave().await;
        }
        drop(working);
        (Stopped { outcome, last }, trace, front.watcher)
    }

    /// Seals a run that had ended, and was not sealed.
    async fn ended_before(self, ending: Ending, used: Option<Used>) -> RunHandle {
        let summary = self.summary.clone();
        let _ = self.leave(Outcome::Ended { ending: ending.clone(), used }).await;
        RunHandle::ended(summary, ending, used)
    }
}

/// The number of the last start of the program that carries a run out.
fn last_start(entries: &[Entry]) -> Option<u32> {
    let starts = entries.iter().filter_map(|entry| match &entry.event {
        Event::Started(Started { attempt, by: Some(by), .. }) if entry.slot == Slot::RUN => {
            (by.through == STARTED).then_some(*attempt)
        }
        Event::Started(_) | Event::Failed(_) | Event::Finished(_) => None,
    });
    starts.max()
}

/// Makes one file of a run that has ended, and leaves it.
async fn conclude(run: OpenRun, summary: RunSummary, watcher: &dyn Watcher) {
    let (run, sealed) = blocking(move || {
        let sealed = run.write_summary(&summary).and_then(|()| run.seal(&summary));
        (run, sealed)
    })
    .await;
    if let Err(error) = sealed {
        // Its end is recorded all the same.
        watcher.tell(Told::Trouble(&format!(
            "{error}\n  the run has ended and is recorded; compacting the journal makes one file of it"
        )));
    }
    run.leave().await;
}
