//! What the server tells whoever looks after it: the log, the metrics, and those who are called when a run stops.

use super::shown::Run;
use crate::engine::Outcome;
use crate::message::RunId;

/// Something that happened.
#[derive(Debug)]
pub(super) enum Told<'a> {
    /// A run stopped: it ended, waits, was interrupted, or failed.
    Stopped {
        /// The run as it stands now.
        run: &'a Run,
        /// How it stopped.
        outcome: &'a Outcome,
    },
    /// A recorded run does not go on.
    NotResumed {
        /// The run.
        run: RunId,
        /// Its agent.
        agent: &'a str,
        /// Why.
        why: &'a str,
    },
    /// Runs cannot go on with the version of their agent that they began with: there are too many versions.
    VersionGone {
        /// The agent.
        agent: &'a str,
        /// How many runs.
        runs: usize,
    },
    /// Everything was read again.
    Reloaded {
        /// How many agents are served now.
        agents: usize,
        /// How much of it is as it was before, because it broke.
        troubles: usize,
    },
    /// Something that was read again is broken, and stays as it was before.
    NotReloaded {
        /// What is wrong.
        why: &'a str,
    },
    /// There can be no more connections, because the process may not have more files open.
    FewerConnections {
        /// How many.
        most: usize,
    },
    /// The server itself failed at a request.
    Failed {
        /// Why.
        why: &'a str,
    },
    /// Nothing can be recorded.
    RecordsNothing {
        /// Why.
        why: &'a str,
    },
    /// Runs can be recorded again.
    RecordsAgain {
        /// How many runs go on that had stopped because of it.
        runs: usize,
    },
    /// Something that is recorded cannot be read.
    Unreadable {
        /// The run, if it is known whose it is.
        run: Option<RunId>,
        /// Why.
        why: &'a str,
    },
}
