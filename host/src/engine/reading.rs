//! What waits for a disk, or for the lock of another process, as the engine does it: on threads that may block.

use std::sync::Arc;

use super::Engine;
use crate::blocking::blocking;
use crate::journal::{Entry, JournalError, JournalStore as _, OpenRun, RunStore, Runs};
use crate::message::RunId;

/// What a run recorded so far, of a run that this process has open.
pub(super) async fn entries(run: RunId, store: &Arc<RunStore>) -> Result<Vec<Entry>, JournalError> {
    let store = Arc::clone(store);
    blocking(move || store.read(run)).await
}

/// What is recorded of a run.
pub(super) async fn recorded(run: RunId, runs: &Arc<dyn Runs>) -> Result<Vec<Entry>, JournalError> {
    let runs = Arc::clone(runs);
    blocking(move || runs.read(run)).await
}

impl Engine {
    /// Does something on a thread that may block. Everything that [`Engine::runs`], [`Engine::sessions`] and
    /// [`Engine::approvals`] can do waits for a disk, and for other processes. A program that does it in async code does it
    /// through this, so that its other tasks go on meanwhile:
    ///
    /// ```no_run
    /// # use host::{engine::Engine, journal::JournalError, message::RunId};
    /// # async fn last(engine: &Engine) -> Result<RunId, JournalError> {
    /// engine.blocking(|engine| engine.runs().find("last")).await
    /// # }
    /// ```
    ///
    /// It is done to its end, even if nobody waits for it any more.
    ///
    /// # Panics
    ///
    /// If `work` panics, with the same panic.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> T + Send + 'static) -> T {
        let engine = self.clone();
        blocking(move || work(&engine)).await
    }

    /// Whether a run has ended and nobody works on it any more.
    pub(super) async fn is_sealed(&self, run: RunId) -> bool {
        self.blocking(move |engine| engine.runs().is_sealed(run)).await
    }

    /// Claims a run that is recorded.
    pub(super) async fn claim(&self, run: RunId) -> Result<OpenRun, JournalError> {
        self.blocking(move |engine| engine.runs().open(run)).await
    }

    /// Claims a run that begins.
    pub(super) async fn claim_new(&self, run: RunId) -> Result<OpenRun, JournalError> {
        self.blocking(move |engine| engine.runs().create(run)).await
    }
}
