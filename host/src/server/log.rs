//! What the server says of its work, as `tracing` events with the run and the slot that they are about.
//!
//! Writes nothing: whoever starts the process decides where events go, and in which form.

use tracing::{error, info, warn};

use super::problem::chain;
use super::told::Told;
use crate::engine::{self, Outcome};
use crate::message::RunId;
use crate::session::Notice;

/// Logs what the server tells.
pub(super) fn log(told: &Told<'_>) {
    match told {
        Told::Stopped { run, outcome: Outcome::Failed(error) } => {
            warn!(run = %run.run, agent = run.agent, error = chain(error), "the run failed");
        }
        Told::Stopped { run, outcome: Outcome::Suspended(_) } => {
            info!(run = %run.run, agent = run.agent, waits = run.waiting.len(), "the run waits");
        }
        Told::Stopped { run, outcome: Outcome::Interrupted } => {
            info!(run = %run.run, agent = run.agent, "the run was interrupted");
        }
        Told::Stopped { run, outcome: Outcome::Ended { .. } } => {
            info!(run = %run.run, agent = run.agent, state = ?run.state, "the run ended");
        }
        Told::NotResumed { run, agent, why } => {
            warn!(%run, agent, error = why, "the run does not go on; somebody has to look at it");
        }
        Told::Unreadable { run: Some(run), why } => warn!(%run, error = why, "the run cannot be read"),
        Told::Unreadable { run: None, why } => warn!(error = why, "something recorded cannot be read"),
        Told::RecordsNothing { why } => {
            error!(error = why, "no run is taken until the journal can be written");
        }
        Told::RecordsAgain { runs } => info!(runs, "the journal can be written again"),
        Told::FewerConnections { most } => {
            warn!(most, "no more files may be open, so there can be fewer connections than `connections`");
        }
        Told::VersionGone { agent, runs } => {
            warn!(
                agent,
                runs, "too many versions of agents are kept; these runs go on with the agent as it is"
            );
        }
        Told::Failed { why } => error!(error = why, "a request failed"),
        Told::Reloaded { agents, troubles } => info!(agents, troubles, "everything was read again"),
        Told::NotReloaded { why } => warn!(error = why, "what was read before stays"),
    }
}

/// Logs what the engine tells of a run.
pub(super) fn log_of(run: RunId, told: &engine::Told<'_>) {
    match told {
        engine::Told::Began { manifest, .. } => info!(%run, agent = manifest.agent, "the run goes on"),
        engine::Told::Effect(Notice::Failed { slot, failed, .. }) => {
            warn!(%run, %slot, attempt = failed.attempt, retry_ms = failed.retry_ms, "an attempt failed");
        }
        engine::Told::Changed(changed) => {
            warn!(%run, changes = changed.changes.join("; "), "the agent has changed");
        }
        engine::Told::Trouble(line) => warn!(%run, "{line}"),
        engine::Told::Effect(_) | engine::Told::Loading(_) | engine::Told::Queued(_) => {}
    }
}
