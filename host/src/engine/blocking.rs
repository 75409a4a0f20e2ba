//! Work that waits for a disk, or for the lock of another process, away from the threads that runs share.

use std::sync::Arc;

use super::Engine;
use crate::journal::{Entry, JournalError, JournalStore as _, OpenRun, RunStore, Runs};
use crate::message::RunId;

/// Does something that blocks on a thread that may block. If nobody waits for it any more it is done all the same, and
/// what it came to is dropped: a run that was claimed is given back.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime goes down, and everything that waits in it.
            Err(_) => std::future::pending().await,
        },
    }
}

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
    /// Claims a run that is recorded.
    pub(super) async fn claim(&self, run: RunId) -> Result<OpenRun, JournalError> {
        let runs = self.shared_runs();
        blocking(move || runs.open(run)).await
    }

    /// Claims a run that begins.
    pub(super) async fn claim_new(&self, run: RunId) -> Result<OpenRun, JournalError> {
        let runs = self.shared_runs();
        blocking(move || runs.create(run)).await
    }
}
