//! A run that is followed event by event, to be drawn again and again.

use std::collections::BTreeMap;

use super::{Going, Recorded, Timeline};
use crate::engine::{EventKind, RunEvent, Standing};
use crate::journal::{Entry, Event, RunState};
use crate::message::{RunId, Slot};
use crate::session::Waiting;

/// So much is kept of a reply that is on its way, in bytes: the whole reply comes when it is recorded.
const HEARD_BYTES_MAX: usize = 64 << 10;

/// What was told of a run so far.
#[derive(Clone, Debug)]
pub struct Followed {
    run: RunId,
    entries: Vec<Entry>,
    state: RunState,
    waiting: Vec<Waiting>,
    going: BTreeMap<Slot, Going>,
}

impl Followed {
    /// A run of which nothing was told yet.
    #[must_use]
    pub fn new(run: RunId) -> Self {
        let (entries, waiting, going) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { run, entries, state: RunState::Running, waiting, going }
    }

    /// Takes in what is told at this moment, in milliseconds since 1970-01-01T00:00:00Z.
    pub fn take_in(&mut self, event: RunEvent, now_ms: u64) {
        let RunEvent { run, seq, slot, kind } = event;
        let event = match kind {
            EventKind::Started(started) => Event::Started(started),
            EventKind::Failed(failed) => Event::Failed(failed),
            EventKind::Finished(finished) => Event::Finished(finished),
            EventKind::LiveStarted { attempt, request } => {
                let going = Going { attempt, at_ms: now_ms, request, heard: String::new() };
                self.going.insert(slot, going);
                return;
            }
            EventKind::LiveText { text } => {
                if let Some(going) = self.going.get_mut(&slot) {
                    let room = HEARD_BYTES_MAX.saturating_sub(going.heard.len());
                    going.heard.push_str(text.get(..text.floor_char_boundary(room)).unwrap_or_default());
                }
                return;
            }
            EventKind::LiveMissed { .. } => return,
            EventKind::Stands(Standing { state, waiting, .. }) => {
                (self.state, self.waiting) = (state, waiting);
                if state != RunState::Running {
                    self.going.clear();
                }
                return;
            }
        };
        match event {
            Event::Failed(_) | Event::Finished(_) => drop(self.going.remove(&slot)),
            Event::Started(_) => {}
        }
        self.entries.push(Entry { run, slot, event, seq });
    }

    /// Whether a process works on the run.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state == RunState::Running
    }

    /// What the run waits for.
    #[must_use]
    pub fn waiting(&self) -> &[Waiting] {
        &self.waiting
    }

    /// The run as it is drawn at a moment, in milliseconds since 1970-01-01T00:00:00Z; `None` if it has not begun.
    #[must_use]
    pub fn timeline(&self, now_ms: u64) -> Option<Timeline<'_>> {
        let Self { run, entries, state, waiting, going } = self;
        Timeline::of(Recorded { run: *run, entries, state: *state, waiting, going, now_ms })
    }
}
