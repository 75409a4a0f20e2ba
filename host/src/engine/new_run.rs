//! A run that is to be started: what it is to do, where it stands in its session, and who carries it out.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalog::LoadedAgent;
use super::conversation::Turn;
use crate::gateway::Desk;
use crate::message::{Caller, Image, Order, RunId, SessionKey};

/// A run that is to be started.
pub struct NewRun {
    pub(super) id: RunId,
    pub(super) agent: Arc<LoadedAgent>,
    pub(super) prompt: String,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) images: Vec<Image>,
    pub(super) session: Option<SessionKey>,
    pub(super) place: Place,
    pub(super) order: Option<Order>,
    pub(super) caller: Option<Caller>,
    pub(super) desk: Option<Arc<Desk>>,
}

/// Where a run stands in its session.
pub(super) enum Place {
    /// After the last run.
    Last,
    /// Instead of the last run, if that is this run: it is taken out of the session, and stays recorded.
    InsteadOf(RunId),
    /// After a run of another session, if it is the first of its own.
    After(SessionKey, RunId),
}

impl NewRun {
    /// A run of an agent that answers a prompt.
    #[must_use]
    pub fn new(agent: Arc<LoadedAgent>, prompt: impl Into<String>) -> Self {
        let (parameters, images) = (BTreeMap::new(), Vec::new());
        let (prompt, session, place) = (prompt.into(), None, Place::Last);
        let (id, order, caller, desk) = (RunId::new(), None, None, None);
        Self { id, agent, prompt, parameters, images, session, place, order, caller, desk }
    }

    /// The run's id.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.id
    }

    /// The session that it is the next run of.
    #[must_use]
    pub fn session_key(&self) -> Option<&SessionKey> {
        self.session.as_ref()
    }

    /// As it was ordered.
    #[must_use]
    pub fn ordered(self, order: Order) -> Self {
        Self { order: Some(order), ..self }
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

    /// Instead of the last run of the session, if that is this run. It is taken out of the session, and stays recorded.
    #[must_use]
    pub fn instead_of(self, run: RunId) -> Self {
        Self { place: Place::InsteadOf(run), ..self }
    }

    /// As the first run of the session, which goes on from a run of another session.
    #[must_use]
    pub fn after(self, session: SessionKey, run: RunId) -> Self {
        Self { place: Place::After(session, run), ..self }
    }

    /// Under an id that was chosen before.
    #[must_use]
    pub fn named(self, id: RunId) -> Self {
        Self { id, ..self }
    }

    /// As a program carries it out that arrives at a desk.
    #[must_use]
    pub fn at(self, desk: Arc<Desk>) -> Self {
        Self { desk: Some(desk), ..self }
    }

    /// In the course of a span.
    #[must_use]
    pub fn caller(self, caller: Option<Caller>) -> Self {
        Self { caller, ..self }
    }
}

impl Place {
    /// The last run of the session, if it is to be taken out of it.
    pub(super) fn instead_of(&self, turn: &Turn) -> Option<RunId> {
        match self {
            Self::InsteadOf(run) => turn.session.runs().last().copied().filter(|last| last == run),
            Self::Last | Self::After(..) => None,
        }
    }
}
