//! A recorded run gone through again, to verify it: no tool is called and no model is asked.

use super::Engine;
use super::reading::recorded;
use super::records::recorded_manifest;
use std::sync::Arc;

use crate::agent::{Agent, Ended, RunError};
use crate::dispatch::{Dispatcher, NoRunner};
use crate::gateway::{Desk, Stage};
use crate::message::RunId;
use crate::session::{Decisions, Mode, Notice, Session, SessionError};

impl Engine {
    /// Lets a program that arrives at a desk go through a run again that has ended: it gets what is recorded, and nothing
    /// more. This goes on until the program asks for nothing any more.
    pub async fn show_at(&self, run: RunId, desk: Arc<Desk>) -> Result<(), RunError> {
        let entries = recorded(run, &self.0.runs).await.map_err(SessionError::from)?;
        let manifest = recorded_manifest(run, &entries).map_err(SessionError::from)?.clone();
        let (unwatched, decisions) = (Box::new(|_: &Notice<'_>| {}), Decisions::default());
        let session = Session::open(run, Mode::Replay, entries, &manifest, decisions, unwatched).await?;
        let dispatcher = Dispatcher::new(&manifest, Arc::new(NoRunner), manifest.max_calls_per_turn);
        let stage = Stage {
            session: Arc::new(session.asked_again()),
            dispatcher: Arc::new(dispatcher),
            manifest: Arc::new(manifest),
            reread: Box::new(|| Box::pin(std::future::ready(Ok(Vec::new())))),
        };
        desk.conduct(stage).await.map(drop)
    }

    /// Goes through a recorded run again, and says how it ended. The error is the first place at which the run is not the
    /// one that is recorded, or why it cannot be gone through.
    pub async fn replay(&self, run: RunId) -> Result<Ended, RunError> {
        let entries = recorded(run, &self.0.runs).await.map_err(SessionError::from)?;
        let manifest = recorded_manifest(run, &entries).map_err(SessionError::from)?.clone();
        if manifest.outside {
            return crate::gateway::verify(run, entries, &manifest).await;
        }
        let unwatched = Box::new(|_: &Notice<'_>| {});
        let decisions = Decisions::default();
        let session = Session::open(run, Mode::Replay, entries, &manifest, decisions, unwatched).await?;
        let (ended, _) = Agent::recorded(manifest, session).again().await?;
        Ok(ended)
    }
}
