//! The terminal as a front end of the engine: what the engine tells is shown, and a run is followed to its end.

use std::sync::Arc;

use super::exit::Exit;
use super::person::Terminal;
use super::screen::Screen;
use super::signals::Signals;
use super::works::Works;
use crate::engine::{Changed, Engine, Front, Outcome, RunHandle, Told, Watcher};
use crate::journal::Change;

/// Shows on a screen what the engine tells.
pub(super) struct Shown {
    screen: Screen,
    works: Works,
}

impl Shown {
    /// `verbose` shows a compiler's own words, too.
    pub(super) fn on(screen: &Screen, verbose: bool) -> Self {
        Self { screen: screen.clone(), works: Works::new(screen, verbose) }
    }
}

impl Watcher for Shown {
    fn tell(&self, told: Told<'_>) {
        match told {
            Told::Loading(progress) => self.works.tell(progress),
            Told::Queued(key) => {
                self.screen.say(&format!("waiting for another run of the session {key} to end"));
            }
            Told::Changed(changed) if self.screen.is_talk() && changed.change == Change::Refused => {
                self.screen.changed(&changed.changes, "undo that, or go on with it as things are now");
            }
            Told::Changed(changed) => self.screen.changed(&changed.changes, &what_next(changed)),
            Told::Began { run, manifest } => self.screen.run_started(run, manifest),
            Told::Effect(notice) => self.screen.notice(notice),
            Told::Trouble(line) => self.screen.say(line),
        }
    }
}

/// What becomes of a run in which something changed.
fn what_next(Changed { run, change, has_replied, .. }: &Changed) -> String {
    match change {
        Change::Accepted if *has_replied => {
            "accepted: recorded results are kept, the rest is carried out as things are now".to_owned()
        }
        Change::Accepted => "the model has not replied yet, so the run goes on as things are now".to_owned(),
        Change::Refused => format!(
            "undo that, or go on with it, keeping what is recorded: host resume {run} --accept-changes"
        ),
    }
}

/// The front end that a screen is: it looks on, and whoever sits before it is asked.
pub(super) fn front(screen: &Screen, verbose: bool, engine: &Engine) -> Front {
    Front {
        watcher: Arc::new(Shown::on(screen, verbose)),
        people: Arc::new(Terminal::new(screen, engine.approvals())),
    }
}

/// Waits for a run to stop, and says how it did. A signal to end interrupts the run.
pub(super) async fn follow(
    mut handle: RunHandle,
    screen: &Screen,
    signals: &Signals,
) -> anyhow::Result<Exit> {
    signals.attend();
    let run = handle.id();
    let stopped = tokio::select! {
        outcome = handle.outcome() => Some(outcome),
        () = signals.asked() => None,
    };
    let outcome = if let Some(outcome) = stopped {
        outcome
    } else {
        handle.interrupt();
        handle.outcome().await
    };
    let exit = match outcome {
        Outcome::Ended { ending, used } => screen.run_ended(run, &ending, used.as_ref()),
        Outcome::Suspended(waiting) => {
            screen.suspended(run, &waiting);
            Ok(Exit::Suspended)
        }
        Outcome::Interrupted => {
            screen.interrupted(run);
            Ok(Exit::Interrupted)
        }
        Outcome::Failed(error) => {
            let error = anyhow::Error::from(error);
            screen.failed(run, &error);
            Err(error)
        }
    };
    handle.close().await;
    exit
}
