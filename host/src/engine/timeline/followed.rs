//! A run as it is known at a moment: read at once, or followed event by event, to be drawn again and again.

use std::collections::BTreeMap;

use super::{Going, Recorded, Timeline};
use crate::engine::{EventKind, RunEvent, Standing, waiting};
use crate::journal::{Entry, Event, Finished, JournalError, RunState, ending};
use crate::message::{Outcome, RunId, Slot};
use crate::session::{SessionError, Waiting, Wants};

/// So much is kept of a reply that is on its way, in bytes: the whole reply comes when it is recorded.
const HEARD_BYTES_MAX: usize = 64 << 10;

/// What is known of a run.
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

    /// A run as it is recorded, and as its place says that it stands.
    ///
    /// # Errors
    /// If the record of a run that has not ended makes no sense.
    pub fn recorded(run: RunId, entries: Vec<Entry>, state: RunState) -> Result<Self, SessionError> {
        // It may have ended since it was looked at how it stands.
        let state = ending(&entries).map_or(state, RunState::from);
        let mut waiting = waiting(&entries)?;
        // What goes on in this moment is in no doubt.
        waiting.retain(|it| state != RunState::Running || it.wants != Wants::Settlement);
        Ok(Self { run, entries, state, waiting, going: BTreeMap::new() })
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
        match &event {
            // Nothing goes on any more, and nobody is asked what the run waited for.
            Event::Finished(Finished { outcome: Outcome::Run(ending), .. }) if slot == Slot::RUN => {
                self.state = RunState::from(ending);
                self.going.clear();
                self.waiting.clear();
            }
            Event::Failed(_) | Event::Finished(_) => drop(self.going.remove(&slot)),
            Event::Started(_) => {}
        }
        self.entries.push(Entry { run, slot, event, seq });
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Whether a process works on the run.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state == RunState::Running
    }

    /// How the run stands.
    #[must_use]
    pub fn state(&self) -> RunState {
        self.state
    }

    /// What is recorded of the run.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What the run waits for.
    #[must_use]
    pub fn waiting(&self) -> &[Waiting] {
        &self.waiting
    }

    /// The run as it is drawn at a moment, in milliseconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// If it has not begun.
    pub fn timeline(&self, now_ms: u64) -> Result<Timeline<'_>, JournalError> {
        let Self { run, entries, state, waiting, going } = self;
        let recorded = Recorded { run: *run, entries, state: *state, waiting, going, now_ms };
        Timeline::of(recorded).ok_or(JournalError::NotBegun { run: *run })
    }
}
