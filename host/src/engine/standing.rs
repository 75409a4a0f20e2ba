//! How a run stands that has not ended: by its state, and by what began in it and has no end.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::events::Standing;
use super::view::open_effects;
use crate::journal::{
    self, Entry, Event, JournalError, RunState, Started, Status, broke_off, ending, statuses,
};
use crate::message::{Manifest, Outcome, Request, Slot};
use crate::session::{SessionError, Waiting, Wants};

/// How a run stands that has not ended, by its state and what is recorded of it.
pub fn standing(state: RunState, entries: Vec<Entry>) -> Result<Standing, JournalError> {
    let manifest = journal::manifest(&entries).filter(|_| ending(&entries).is_none()).cloned();
    let slots = statuses(entries).map_err(|(slot, error)| match (SessionError::Order { slot, error }) {
        SessionError::Journal(error) => error,
        other => JournalError::Corrupt { place: "the run".to_owned(), reason: other.to_string() },
    })?;
    Ok(stands(state, manifest.as_ref(), &slots))
}

fn stands(state: RunState, manifest: Option<&Manifest>, slots: &BTreeMap<Slot, Status>) -> Standing {
    let reason = match state {
        RunState::Failed => broke_off(slots).map(|(slot, failed)| match &failed.outcome {
            Outcome::NoReply(failure) => format!("{slot}: {}", failure.message),
            Outcome::Run(_) | Outcome::Model(_) | Outcome::Tool(_) | Outcome::Decision(_) => slot.to_string(),
        }),
        RunState::Queued
        | RunState::Running
        | RunState::Interrupted
        | RunState::Suspended
        | RunState::Answered
        | RunState::Refused
        | RunState::Limited
        | RunState::Unfit
        | RunState::Empty
        | RunState::Cancelled => None,
    };
    let open = manifest.map(|manifest| open_effects(manifest, slots)).unwrap_or_default();
    let mut waiting: Vec<Waiting> = open.into_iter().map(Waiting::from).collect();
    // Calls that go on are in doubt only if nobody works on the run.
    waiting.retain(|it| state != RunState::Running || it.wants != Wants::Settlement);
    Standing { state, waiting, reason }
}

/// What is open in a run, by its events one after the other. What has ended is not kept, so that this stays small however
/// long the run is.
#[derive(Debug, Default)]
pub(super) struct Open {
    manifest: Option<Box<Manifest>>,
    slots: BTreeMap<Slot, Status>,
    has_ended: bool,
}

impl Open {
    /// Takes in the next event, in the order of the numbers.
    pub(super) fn take_in(&mut self, entry: &Entry) {
        let Entry { slot, event, .. } = entry;
        if *slot == Slot::RUN {
            self.has_ended = matches!(event, Event::Finished(_));
            if let Event::Started(Started { request: Request::Run(manifest), .. }) = event {
                self.manifest = Some(manifest.clone());
            }
            return;
        }
        let before = self.slots.remove(slot);
        let (started, mut failures) = match before {
            Some(Status::Started { started, failures } | Status::Failed { started, failures }) => {
                (Some(started), failures)
            }
            Some(Status::Absent | Status::Finished { .. }) | None => (None, Vec::new()),
        };
        let status = match event {
            Event::Started(started) => Status::Started { started: started.clone(), failures },
            Event::Failed(failed) => {
                let Some(started) = started else { return };
                failures.push(failed.clone());
                Status::Failed { started, failures }
            }
            Event::Finished(_) => return self.forget_below(slot),
        };
        self.slots.insert(slot.clone(), status);
    }

    /// Nothing comes of what is below a call that has ended.
    fn forget_below(&mut self, slot: &Slot) {
        let below = self.slots.range((Bound::Excluded(slot), Bound::Unbounded)).map(|(other, _)| other);
        let below: Vec<Slot> = below.take_while(|other| other.is_below(slot)).cloned().collect();
        for slot in below {
            self.slots.remove(&slot);
        }
    }

    /// Whether the run has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// How the run stands by what was taken in.
    pub(super) fn standing(&self, state: RunState) -> Standing {
        let manifest = self.manifest.as_deref().filter(|_| !self.has_ended);
        stands(state, manifest, &self.slots)
    }
}
