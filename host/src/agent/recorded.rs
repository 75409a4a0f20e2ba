//! Going through a run that is recorded: it asks no model and calls no tool.

use std::sync::Arc;

use super::{Agent, CalledAgents, Ended, RunError, Spending, Transcript};
use crate::dispatch::{Dispatcher, NoRunner};
use crate::journal::Entry;
use crate::message::{Ending, Manifest, RunId, Slot, Used};
use crate::model::Models;
use crate::session::{Decisions, Mode, Notice, Session, SessionError};

/// A run that is recorded, to be gone through again.
pub struct Recorded {
    agent: Agent,
    session: Arc<Session>,
}

impl Agent {
    /// One that takes everything from what is recorded.
    #[must_use]
    pub fn recorded(manifest: Manifest, session: Session) -> Recorded {
        let called = Arc::new(CalledAgents::recorded(&manifest));
        let dispatcher = Dispatcher::new(&manifest, Arc::new(NoRunner), manifest.max_calls_per_turn);
        let session = Arc::new(session);
        let agent = Self {
            dispatcher: Arc::new(dispatcher.calling(called)),
            manifest: Arc::new(manifest),
            session: Arc::clone(&session) as _,
            models: Models::absent(),
            slot: Slot::RUN,
        };
        Recorded { agent, session }
    }

    /// What a run that has not ended used by then, as far as that is recorded.
    pub async fn used_so_far(run: RunId, entries: Vec<Entry>, manifest: &Manifest) -> Result<Used, RunError> {
        let unwatched = Box::new(|_: &Notice<'_>| {});
        let opened = Session::open(run, Mode::Replay, entries, manifest, Decisions::default(), unwatched);
        let Recorded { agent, .. } = Self::recorded(manifest.clone(), opened.await?);
        let mut spending = Spending::new(&agent.manifest, agent.facts().rules);
        let mut talk = Transcript::begin(&agent.manifest, &agent.slot);
        match agent.to_the_end(&mut talk, &mut spending).await {
            Ok(_) | Err(RunError::Session(SessionError::Unfinished { .. })) => Ok(spending.used()),
            Err(error) => Err(error),
        }
    }
}

impl Recorded {
    /// Goes through the run; how it ended and what it used, as far as that is recorded, and what was said in it by
    /// then.
    pub async fn again(&self) -> Result<(Ended, Transcript), RunError> {
        let Self { agent, session } = self;
        let mut spending = Spending::new(&agent.manifest, agent.facts().rules);
        let mut talk = Transcript::begin(&agent.manifest, &agent.slot);
        let ended = agent.to_the_end(&mut talk, &mut spending).await;
        let ending = match (ended, session.recorded_ending()) {
            // Wall time, or a person, stopped the run in the middle of things: as far as it went, it is the recorded one.
            (
                Err(RunError::Session(SessionError::Unfinished { .. })),
                Some(ending @ (Ending::Limit(_) | Ending::Cancelled(_))),
            ) => ending.clone(),
            (ended, _) => ended?,
        };
        let used = session.recorded_used().unwrap_or(spending.used());
        Ok((Ended { ending, used }, talk))
    }
}
