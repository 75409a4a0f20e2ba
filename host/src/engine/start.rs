//! How a run begins, and how a recorded run goes on.

use std::path::PathBuf;
use std::sync::Arc;

use super::Engine;
use super::catalog::{LoadError, LoadedAgent, Purpose};
use super::changes;
use super::conversation::{ConversationError, SaidBefore, Turn, said_after};
use super::drive::Work;
use super::handle::RunHandle;
use super::live::Stop;
use super::new_run::{NewRun, Place};
use super::people::Front;
use super::plan::{Task, manifest};
use super::reading::{entries, recorded};
use super::records::recorded_manifest;
use super::settle::{SettleError, settlements};
use super::watch::{Changed, Told, Watcher};
use crate::blocking::blocking;
use crate::config::{Config, ParameterError};
use crate::gateway::Desk;
use crate::journal::{
    Change, Entry, Event, JournalError, OpenRun, RunFile, RunState, RunSummary, Started, ending, has_replied,
    used,
};
use crate::message::{By, Caller, Ending, Manifest, Moment, Request, RunId, SessionKey, Slot};
use crate::session::{Decisions, SessionError, Settlement};

/// On what terms a recorded run goes on.
#[derive(Default)]
pub struct Terms {
    /// What a person says of calls that are in doubt.
    pub settlements: Vec<(Slot, Settlement)>,
    /// Whether the run goes on although its agent has changed since: what is recorded is kept, and the rest is carried
    /// out as things are now.
    pub accept_changes: bool,
    /// Whether the run goes on although somebody cancelled it. No other run that has ended does.
    pub again: bool,
    /// The agent.toml of the run, if it is not where it was.
    pub config: Option<PathBuf>,
    /// The agent of the run, if it is loaded. Then no agent.toml is read.
    pub agent: Option<Arc<LoadedAgent>>,
    /// Who says so.
    pub by: Option<By>,
    /// In the course of which span the run goes on.
    pub caller: Option<Caller>,
    /// Where the program arrives that carries the run out, if one does.
    pub desk: Option<Arc<Desk>>,
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
    /// The run was not cancelled, so it cannot be revived.
    #[error("run {run} was not cancelled: only a run that somebody cancelled goes on once more")]
    NotCancelled {
        /// The run.
        run: RunId,
    },
    /// A program carries it out, and none is there.
    #[error("run {run} is carried out by a program: `host exec {run} -- COMMAND` starts it")]
    Outside {
        /// The run.
        run: RunId,
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

impl Engine {
    /// Starts a run. Its manifest is on disk when this returns. A run of a session waits for its turn first.
    pub async fn start(&self, new: NewRun, front: Front) -> Result<RunHandle, StartError> {
        let NewRun { id, agent, prompt, parameters, images, session, place, order, caller, desk } = new;
        let (mut turn, mut said) = (None, SaidBefore::default());
        if let Some(key) = &session {
            let taken = self.take_turn(key, &*front.watcher).await?;
            said = self.said_before(id, &taken, key, &place, &agent.config().agent.name).await?;
            turn = Some(taken);
        }
        let task = Task::new(prompt, parameters, id.seed()).with_images(images);
        let task = task.in_session(session, said.messages).going_on_from(said.before);
        let mut task = task.ordered(order);
        if desk.is_some() {
            task = task.outside(agent.config().gateway.clone().unwrap_or_default().ignore);
        }
        let manifest = manifest(&agent, task)?;
        let _door = self.0.live.door(id).await;
        let run = self.claim_new(id).await?;
        let mut instead_of = None;
        if let Some(turn) = &mut turn {
            instead_of = place.instead_of(turn);
            turn.session.add(id).await?;
        }
        let (entries, decisions) = (Vec::new(), Decisions::default());
        let work = Work { run, entries, agent, manifest, decisions, turn, instead_of, caller, desk };
        self.carry_out(work, front).await
    }

    /// Records a run that is to begin later: it is on disk when this returns, and begins when it is resumed. What was
    /// said before in its session, it is told then.
    pub async fn accept(&self, new: NewRun) -> Result<(), StartError> {
        let NewRun { id, agent, prompt, parameters, images, session, place: _, order, caller: _, desk: _ } =
            new;
        let task =
            Task::new(prompt, parameters, id.seed()).with_images(images).in_session(session, Vec::new());
        let manifest = manifest(&agent, task.ordered(order))?;
        let summary = RunSummary::new(id, &manifest, RunState::Queued);
        let request = Request::Run(Box::new(manifest));
        let (at_ms, digest) = (Moment::now().0, request.digest());
        let started = Started { attempt: 1, at_ms, digest, request, kept: None, by: None };
        let entries = vec![Entry::new(id, Slot::RUN, Event::Started(started))];
        let _door = self.0.live.door(id).await;
        let run = self.claim_new(id).await?;
        let begun = run.begin_with(&RunFile { summary, entries }).await;
        run.leave().await;
        Ok(begun?)
    }

    /// Has a run that goes on in this engine stop where it is: what is in flight is cancelled, and the run can be
    /// resumed. Its handle says when it has stopped.
    pub fn interrupt(&self, run: RunId) {
        if let Some(live) = self.0.live.get(run) {
            live.stop(Stop::Interrupt);
        }
    }

    /// What was said before a run that stands there in its session.
    async fn said_before(
        &self,
        new: RunId,
        turn: &Turn,
        key: &SessionKey,
        place: &Place,
        agent: &str,
    ) -> Result<SaidBefore, ConversationError> {
        match place {
            Place::InsteadOf(run) if place.instead_of(turn).is_some() => {
                let entries = recorded(*run, &self.0.runs).await?;
                let Manifest { earlier, before, .. } = recorded_manifest(*run, &entries)?.clone();
                Ok(SaidBefore { messages: earlier, before })
            }
            Place::After(other, run) if turn.session.runs().is_empty() => {
                let said = said_after(*run, other, &self.0.runs, agent).await?;
                Ok(said.unwrap_or_default().held_whole())
            }
            Place::Last | Place::InsteadOf(_) | Place::After(..) => {
                Ok(turn.said_before(new, key, &self.0.runs, agent).await?.unwrap_or_default())
            }
        }
    }

    /// Goes on with a recorded run. One that has ended ends the same way at once.
    pub async fn resume(&self, id: RunId, terms: Terms, front: Front) -> Result<RunHandle, StartError> {
        let Terms { settlements: said, accept_changes, again, config, agent, by, caller, desk } = terms;
        let mut turn = self.take_turn_of(id, again, &*front.watcher).await?;
        let _door = self.0.live.door(id).await;
        self.while_it_is_left(id).await;
        let open = if again {
            Some(self.open_again(id).await?)
        } else if self.is_sealed(id).await {
            None
        } else {
            Some(self.claim(id).await)
        };
        let run = match open {
            Some(Ok(run)) => run,
            // It may have ended meanwhile.
            Some(Err(error)) if again || !self.is_sealed(id).await => return Err(error.into()),
            Some(Err(_)) | None => {
                let entries = recorded(id, &self.0.runs).await?;
                let manifest = recorded_manifest(id, &entries)?;
                settlements(&said, &entries, manifest)?;
                front.watcher.tell(Told::Began { run: id, manifest });
                let ending = ending(&entries).ok_or(JournalError::NotBegun { run: id })?.clone();
                let summary = RunSummary::new(id, manifest, (&ending).into());
                return Ok(RunHandle::ended(summary, ending, used(&entries).copied()));
            }
        };
        let entries = entries(id, &run.store).await?;
        let recorded = recorded_manifest(id, &entries)?.clone();
        if recorded.outside && desk.is_none() {
            return Err(StartError::Outside { run: id });
        }
        let settlements = settlements(&said, &entries, &recorded)?;
        // Before its first reply the model was asked for nothing that another agent.toml could contradict.
        let has_replied = has_replied(&entries);
        let change = if accept_changes || !has_replied { Change::Accepted } else { Change::Refused };
        let agent = if let Some(agent) = agent {
            agent
        } else {
            let config = recorded_config(&recorded, config).await?;
            self.load(config, Purpose::Run, &*front.watcher).await?
        };
        let mut task = Task::of(&recorded);
        // A run that was cancelled before it asked for anything is in its session only from now on.
        let begins = run.left() == Some(RunState::Queued)
            || (again && entries.iter().all(|entry| entry.slot == Slot::RUN));
        let mut begins_in = turn.as_mut().filter(|_| begins);
        if let (Some(turn), Some(key)) = (&begins_in, &recorded.session) {
            // Where nothing is said any more, what the run was told before counts.
            if let Some(said) = turn.said_before(id, key, &self.0.runs, &recorded.agent).await? {
                task = task.in_session(Some(key.clone()), said.messages).going_on_from(said.before);
            }
        }
        let manifest = manifest(&agent, task)?;
        if let Some(turn) = &mut begins_in {
            turn.session.put_last(id).await?;
        }
        let changes = changes::between(&recorded, &manifest, &entries);
        if !changes.is_empty() {
            front.watcher.tell(Told::Changed(&Changed { run: id, changes, change, has_replied }));
        }
        let decisions = Decisions { settlements, change, again, by };
        let work = Work { run, entries, agent, manifest, decisions, turn, instead_of: None, caller, desk };
        self.carry_out(work, front).await
    }

    /// Opens a run that was cancelled.
    async fn open_again(&self, id: RunId) -> Result<Result<OpenRun, JournalError>, StartError> {
        match ending(&recorded(id, &self.0.runs).await?) {
            Some(Ending::Cancelled(_)) => {}
            Some(
                Ending::Answer(_)
                | Ending::Refused(_)
                | Ending::Limit(_)
                | Ending::Unfit { .. }
                | Ending::Empty(_),
            )
            | None => return Err(StartError::NotCancelled { run: id }),
        }
        // One that was never sealed, because a crash came before, is still in the journal.
        Ok(if self.is_sealed(id).await { self.runs().reopen(id).await } else { self.claim(id).await })
    }

    /// Waits until this engine does not work on a run any more.
    pub async fn left(&self, run: RunId) {
        if let Some(live) = self.0.live.get(run) {
            live.left().await;
        }
    }

    /// Waits while this engine leaves a run: it may be sealed then, and cannot be opened.
    async fn while_it_is_left(&self, run: RunId) {
        if let Some(live) = self.0.live.get(run)
            && live.is_over().await
        {
            live.left().await;
        }
    }

    /// Waits until a run may be added to a session, or taken out of it.
    pub async fn take_turn(&self, key: &SessionKey, watcher: &dyn Watcher) -> Result<Turn, JournalError> {
        self.0.conversations.take_turn(key, watcher).await
    }

    /// The same for the session of a run, if it has one and the run goes on: one that has ended does so `again` alone.
    async fn take_turn_of(
        &self,
        run: RunId,
        again: bool,
        watcher: &dyn Watcher,
    ) -> Result<Option<Turn>, JournalError> {
        let is_over = !again && self.is_sealed(run).await;
        let entries = if is_over { Vec::new() } else { recorded(run, &self.0.runs).await? };
        match crate::journal::manifest(&entries).and_then(|manifest| manifest.session.as_ref()) {
            Some(key) => Ok(Some(self.take_turn(key, watcher).await?)),
            None => Ok(None),
        }
    }
}

/// The configuration that a run goes on with: the one it was begun with, or one that is given.
pub(super) async fn recorded_config(
    manifest: &Manifest,
    given: Option<PathBuf>,
) -> Result<Config, StartError> {
    let begun_with = PathBuf::from(&manifest.config);
    blocking(move || {
        if given.is_none() && !begun_with.exists() {
            return Err(StartError::ConfigGone { path: begun_with });
        }
        Ok(Config::load(&given.unwrap_or(begun_with)).map_err(LoadError::from)?)
    })
    .await
}
