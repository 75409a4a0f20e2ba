use std::collections::HashMap;

use super::event::{Entry, Event, Finished, Started};
use crate::message::{Digest, Request, Slot};

/// Where a slot stands. The one state machine for live runs, recovery and replay.
#[allow(clippy::large_enum_variant, reason = "nearly every status of a journal is of the largest kind")]
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Status {
    /// Nothing happened yet.
    #[default]
    Absent,
    /// The last attempt began; whether its effect took place is in doubt.
    Started(Started),
    /// The effect took place, and this is what it came to.
    Finished(Started, Finished),
}

/// An event that cannot follow what came before it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// An attempt other than the next one began.
    #[error("attempt {found} began where attempt {expected} was due")]
    Attempt {
        /// The attempt that was due.
        expected: u32,
        /// The one that is recorded.
        found: u32,
    },
    /// An attempt ended that was not the one running.
    #[error("attempt {0} ended without having begun")]
    NotRunning(u32),
    /// Two attempts of one slot asked for different things.
    #[error("attempt {0} asks for something else than the attempt before it")]
    OtherRequest(u32),
    /// Something happened after the end.
    #[error("an event follows the end of the effect")]
    AfterEnd,
}

impl Status {
    /// The status after one more event.
    pub fn next(self, event: Event) -> Result<Self, OrderError> {
        match (self, event) {
            (Self::Absent, Event::Started(started)) => begin(1, started),
            (Self::Absent, Event::Finished(finished)) => Err(OrderError::NotRunning(finished.attempt)),
            (Self::Started(before), Event::Started(started)) if before.digest != started.digest => {
                Err(OrderError::OtherRequest(started.attempt))
            }
            (Self::Started(before), Event::Started(started)) => begin(before.attempt + 1, started),
            (Self::Started(before), Event::Finished(finished)) if before.attempt != finished.attempt => {
                Err(OrderError::NotRunning(finished.attempt))
            }
            (Self::Started(before), Event::Finished(finished)) => Ok(Self::Finished(before, finished)),
            (Self::Finished(..), Event::Started(_) | Event::Finished(_)) => Err(OrderError::AfterEnd),
        }
    }
}

fn begin(expected: u32, started: Started) -> Result<Status, OrderError> {
    if started.attempt == expected {
        Ok(Status::Started(started))
    } else {
        Err(OrderError::Attempt { expected, found: started.attempt })
    }
}

/// Where every recorded slot of a run stands, given its events in any order of slots but in order within
/// each.
pub fn statuses(
    entries: impl IntoIterator<Item = Entry>,
) -> Result<HashMap<Slot, Status>, (Slot, OrderError)> {
    let mut slots: HashMap<Slot, Status> = HashMap::new();
    for Entry { slot, event, .. } in entries {
        let before = slots.remove(&slot).unwrap_or_default();
        match before.next(event) {
            Ok(status) => slots.insert(slot, status),
            Err(error) => return Err((slot, error)),
        };
    }
    Ok(slots)
}

/// The recorded part of a run, and which of it has been asked for again.
#[derive(Debug, Default)]
pub struct Cursor {
    slots: HashMap<Slot, Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    status: Status,
    claim: Claimed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Claimed {
    #[default]
    No,
    Yes,
}

/// What the journal says to a request at a slot.
#[derive(Debug, PartialEq)]
pub enum Claim {
    /// The effect took place: here is what it came to.
    Substitute(Box<Finished>),
    /// It has not, or that is in doubt: this attempt is due.
    Attempt(u32),
    /// Another request is recorded at the slot.
    Diverged(Box<Request>),
    /// The slot was asked for before in this very process: a bug of the caller.
    Taken,
}

impl Cursor {
    /// Reads the recorded events of a run, in any order of slots but in order within each.
    pub fn load(entries: impl IntoIterator<Item = Entry>) -> Result<Self, (Slot, OrderError)> {
        let unclaimed = |(slot, status)| (slot, Recorded { status, claim: Claimed::No });
        Ok(Self { slots: statuses(entries)?.into_iter().map(unclaimed).collect() })
    }

    /// Asks for a slot. Each is asked for once.
    pub fn claim(&mut self, slot: &Slot, digest: Digest) -> Claim {
        let Some(recorded) = self.slots.get_mut(slot) else {
            let recorded = Recorded { status: Status::Absent, claim: Claimed::Yes };
            self.slots.insert(slot.clone(), recorded);
            return Claim::Attempt(1);
        };
        if recorded.claim == Claimed::Yes {
            return Claim::Taken;
        }
        recorded.claim = Claimed::Yes;
        match std::mem::take(&mut recorded.status) {
            Status::Absent => Claim::Attempt(1),
            Status::Started(started) | Status::Finished(started, _) if started.digest != digest => {
                Claim::Diverged(Box::new(started.request))
            }
            Status::Started(started) => Claim::Attempt(started.attempt + 1),
            Status::Finished(_, finished) => Claim::Substitute(Box::new(finished)),
        }
    }

    /// What is recorded at a slot that was not asked for yet.
    #[must_use]
    pub fn status(&self, slot: &Slot) -> &Status {
        self.slots.get(slot).map_or(&Status::Absent, |recorded| &recorded.status)
    }

    /// The slots that are recorded and were never asked for, in order.
    #[must_use]
    pub fn left_over(&self) -> Vec<Slot> {
        let unclaimed = |(slot, recorded): (&Slot, &Recorded)| {
            (recorded.claim == Claimed::No && recorded.status != Status::Absent).then(|| slot.clone())
        };
        let mut slots: Vec<Slot> = self.slots.iter().filter_map(unclaimed).collect();
        slots.sort();
        slots
    }
}
