//! Where an engine keeps what it records: in a state directory, or in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::PastApprovals;
use crate::journal::{MemoryRuns, MemorySessions, Runs, RunsDir, Sessions, SessionsDir};

/// What an engine records: runs, which of them are a session, and what was approved for good.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) runs: Arc<dyn Runs>,
    pub(super) sessions: Box<dyn Sessions>,
    pub(super) approvals: PastApprovals,
    /// The directories in which all that is.
    pub(super) kept_in: Vec<PathBuf>,
}

impl Store {
    /// Below a state directory. No file is touched before something is recorded.
    pub(super) fn directory(state: &Path) -> Self {
        let (runs, sessions) = (RunsDir::new(state), SessionsDir::new(state));
        let approvals = PastApprovals::beside(runs.path());
        let kept_in = [runs.path(), runs.journal_path(), sessions.path()].map(Path::to_owned).to_vec();
        Self { runs: Arc::new(runs), sessions: Box::new(sessions), approvals, kept_in }
    }

    /// In memory.
    pub(super) fn memory() -> Self {
        let (runs, sessions) = (MemoryRuns::default(), MemorySessions::default());
        let approvals = PastApprovals::in_memory();
        Self { runs: Arc::new(runs), sessions: Box::new(sessions), approvals, kept_in: Vec::new() }
    }
}
