//! What is shown of a run to who talks with the agent: the words of its model, as they come and then drawn.
//!
//! Owns the words that are on their way. Does not know what else a run shows: calls are lines, as everywhere.

use std::collections::HashMap;
use std::sync::Arc;

use console::Style;
use parking_lot::{Mutex, MutexGuard};

use super::markdown::drawn;
use crate::cli::live::{Doing, Live};
use crate::cli::words;
use crate::message::{Outcome, Request, Slot, Step, Used};
use crate::session::{Notice, Waiting};

/// Of words that come only the end is drawn, from here on: the beginning has left the screen.
const DRAWN_LIVE_BYTES_MAX: usize = 16 * 1024;

/// What was shown, and what is.
#[derive(Default)]
pub(in crate::cli) struct Talk(Mutex<Shown>);

#[derive(Default)]
struct Shown {
    /// What the model says at a slot, as far as it has come.
    coming: HashMap<Slot, Arc<Mutex<Coming>>>,
    /// What it said last in the run.
    said: Option<String>,
    /// What the run waits for that was suspended last.
    waiting: Vec<Waiting>,
}

/// Words that are on their way.
#[derive(Default)]
struct Coming {
    text: String,
    /// What they were drawn as last, of how many bytes, and how wide.
    drawn: Vec<String>,
    drawn_of: (usize, usize),
}

impl Coming {
    /// The end of what is said so far, as many lines as there is room for.
    fn lines(&mut self, width: usize, room: usize) -> String {
        let now = (self.text.len(), width);
        if self.drawn_of != now {
            let from = self.text.ceil_char_boundary(self.text.len().saturating_sub(DRAWN_LIVE_BYTES_MAX));
            self.drawn = drawn(self.text.get(from..).unwrap_or_default(), width, &base());
            self.drawn_of = now;
        }
        let from = self.drawn.len().saturating_sub(room);
        self.drawn.get(from..).unwrap_or_default().join("\n")
    }
}

impl Talk {
    /// Shows what happens, if it is shown otherwise than everywhere else: what the run's own model says.
    pub(in crate::cli) fn shows(&self, live: &Live, notice: &Notice<'_>) -> bool {
        match notice {
            Notice::Started { slot, request: Request::Model(_), .. } if is_own(slot) => {
                self.shown().coming.insert((*slot).clone(), Arc::default());
                live.begin(slot, "…".to_owned(), Doing::Works);
                true
            }
            Notice::Heard { slot, text } => self.hears(live, slot, text),
            Notice::Finished { slot, finished, .. } if is_own(slot) => {
                self.shown().coming.remove(*slot);
                let Outcome::Model(reply) = &finished.outcome else { return false };
                live.end(slot);
                if !reply.text.trim().is_empty() {
                    draw(live, &reply.text);
                }
                self.shown().said = Some(reply.text.clone());
                true
            }
            Notice::Failed { slot, .. } => {
                self.shown().coming.remove(*slot);
                false
            }
            Notice::Started { .. } | Notice::Finished { .. } => false,
        }
    }

    fn hears(&self, live: &Live, slot: &Slot, piece: &str) -> bool {
        let Some(coming) = self.shown().coming.get(slot).cloned() else { return false };
        let is_first = {
            let mut coming = coming.lock();
            coming.text.push_str(piece);
            coming.text.len() == piece.len()
        };
        if is_first {
            live.show(slot, move |width, room| coming.lock().lines(width, room));
        }
        true
    }

    /// Draws the answer, unless it was just said.
    pub(in crate::cli) fn answered(&self, live: &Live, answer: &str) {
        let said = self.shown().said.take();
        if said.as_deref() != Some(answer) {
            draw(live, answer);
        }
    }

    pub(in crate::cli) fn waits(&self, waiting: &[Waiting]) {
        self.shown().waiting = waiting.to_vec();
    }

    /// What the run waits for that was suspended last.
    pub(in crate::cli) fn waiting(&self) -> Vec<Waiting> {
        std::mem::take(&mut self.shown().waiting)
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock()
    }
}

/// Draws what is said.
pub(in crate::cli) fn draw(live: &Live, text: &str) {
    let lines = drawn(text, live.width(), &base());
    live.say(&lines.join("\n"));
}

/// What a run used, as it stands below an answer.
pub(in crate::cli) fn below_answer(used: &Used) -> String {
    base().dim().apply_to(format!("used: {}", words::used(used))).to_string()
}

/// The style of what is said.
fn base() -> Style {
    Style::new().for_stderr()
}

/// Whether it is the run's own model that replies at a slot, and not that of an agent that it calls.
fn is_own(slot: &Slot) -> bool {
    matches!(slot.steps(), [Step::Model { .. }])
}
