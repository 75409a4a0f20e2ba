//! Runs that are kept no longer: they have ended, and began longer ago than they are to be kept.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::Server;
use super::log::log;
use super::told::Told;
use crate::journal::{JournalError, RunSummary};
use crate::message::{Moment, RunId};

/// How often is looked: what is kept an hour too long does no harm.
const EVERY: Duration = Duration::from_hours(1);

/// Removes runs for as long as the server lives, whenever they are not to be kept for ever.
pub(super) async fn remove(server: Arc<Server>) {
    loop {
        let other_settings = server.reloading.settings_changed();
        if let Some(keep) = server.settings().keep {
            let of = Arc::clone(&server);
            let removed = tokio::task::spawn_blocking(move || remove_before(&of, keep)).await;
            if let Ok(Err(error)) = removed {
                log(&Told::Unreadable { run: None, why: &error.to_string() });
            }
        }
        // How it comes to the next look says nothing.
        let _ = tokio::time::timeout(EVERY, other_settings).await;
    }
}

fn remove_before(server: &Server, keep: Duration) -> Result<(), JournalError> {
    let (runs, sessions, now) = (server.engine.runs(), server.engine.sessions(), Moment::now());
    let is_old = |run: RunId| now.since(Moment(run.started_ms())) > keep;
    let mut lasts = HashSet::new();
    for key in sessions.keys()? {
        lasts.extend(sessions.runs(&key)?.pop());
    }
    // Without its last run a session could not go on.
    let is_over = |it: &RunSummary| it.state.has_ended() && is_old(it.run) && !lasts.contains(&it.run);
    let over: Vec<RunId> = runs.list()?.runs.iter().filter(|it| is_over(it)).map(|it| it.run).collect();
    for (run, error) in runs.remove_all(&over)? {
        log(&Told::Unreadable { run: Some(run), why: &error.to_string() });
    }
    Ok(())
}
