//! A recorded run gone through again, to verify it: no tool is called and no model is asked.

use super::Engine;
use super::reading::recorded;
use super::records::recorded_manifest;
use crate::agent::{Agent, Ended, RunError};
use crate::message::RunId;
use crate::session::{Decisions, Mode, Notice, Session, SessionError};

impl Engine {
    /// Goes through a recorded run again, and says how it ended. The error is the first place at which the run is not the
    /// one that is recorded, or why it cannot be gone through.
    pub async fn replay(&self, run: RunId) -> Result<Ended, RunError> {
        let entries = recorded(run, &self.0.runs).await.map_err(SessionError::from)?;
        let manifest = recorded_manifest(run, &entries).map_err(SessionError::from)?.clone();
        let unwatched = Box::new(|_: &Notice<'_>| {});
        let decisions = Decisions::default();
        let session = Session::open(run, Mode::Replay, entries, &manifest, decisions, unwatched).await?;
        let (ended, _) = Agent::recorded(manifest, session).again().await?;
        Ok(ended)
    }
}
