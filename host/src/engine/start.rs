//! How a run begins, and how a recorded run goes on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Engine;
use super::catalog::{LoadError, LoadedAgent, Purpose};
use super::changes;
use super::conversation::{ConversationError, Turn};
use super::drive::Work;
use super::handle::RunHandle;
use super::people::Front;
use super::plan::{Task, manifest};
use super::records::recorded_manifest;
use super::settle::{SettleError, settlements};
use super::watch::{Changed, Told, Watcher};
use crate::config::{Config, ParameterError};
use crate::journal::{Change, JournalError, JournalStore as _, ending, has_replied, used};
use crate::message::{By, Caller, Image, Manifest, RunId, SessionKey, Slot};
use crate::session::{Decisions, SessionError, Settlement};

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
}

/// The configuration that a run goes on with: the one it was begun with, or one that is given.
pub(super) fn recorded_config(manifest: &Manifest, given: Option<&Path>) -> Result<Config, StartError> {
    let begun_with = Path::new(&manifest.config);
    if given.is_none() && !begun_with.exists() {
        return Err(StartError::ConfigGone { path: begun_with.to_owned() });
    }
    Ok(Config::load(given.unwrap_or(begun_with)).map_err(LoadError::from)?)
}
