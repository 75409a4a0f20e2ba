use std::collections::{HashMap, HashSet};

use super::event::{Entry, Event, Failed, Finished, Started};
use crate::message::{Digest, Request, Slot};

/// Where a slot stands. The one state machine for live runs, recovery and replay.
#[allow(clippy::large_enum_variant, reason = "nearly every status of a journal is of the largest kind")]
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Status {
    /// Nothing happened yet.
    #[default]
    Absent,
    /// The last attempt began; whether its effect took place is in doubt.
    Started {
        /// Its beginning.
        started: Started,
        /// The attempts before it that failed.
        failures: Vec<Failed>,
    },
    /// The last attempt failed, and another one is due.
    Failed {
        /// Its beginning.
        started: Started,
        /// The attempts that failed, this one last.
        failures: Vec<Failed>,
    },
    /// The effect took place, and this is what it came to.
    Finished {
        /// The beginning of the attempt that ended it.
        started: Started,
        /// The attempts before it that failed.
        failures: Vec<Failed>,
        /// Its end.
        finished: Finished,
    },
}

/// Whether a slot may be asked for something else than is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It may not: that is a divergence.
    Refused,
    /// A person accepted it.
    Accepted,
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
    /// The status after one more event. Attempts of one slot ask for the same thing, unless a person accepted a
    /// change.
    pub fn next(self, event: Event, change: Change) -> Result<Self, OrderError> {
        match (self, event) {
            (Self::Absent, Event::Started(started)) => begin(1, started, Vec::new()),
            (
                Self::Started { started: before, failures } | Self::Failed { started: before, failures },
                Event::Started(started),
            ) => {
                let accepted = change == Change::Accepted || started.kept.is_some();
                if before.digest != started.digest && !accepted {
                    return Err(OrderError::OtherRequest(started.attempt));
                }
                begin(before.attempt.saturating_add(1), started, failures)
            }
            (Self::Started { started, mut failures }, Event::Failed(failed)) => {
                running(&started, failed.attempt)?;
                failures.push(failed);
                Ok(Self::Failed { started, failures })
            }
            (Self::Started { started, failures }, Event::Finished(finished)) => {
                running(&started, finished.attempt)?;
                Ok(Self::Finished { started, failures, finished })
            }
            (
                Self::Absent | Self::Failed { .. },
                Event::Failed(Failed { attempt, .. }) | Event::Finished(Finished { attempt, .. }),
            ) => Err(OrderError::NotRunning(attempt)),
            (Self::Finished { .. }, Event::Started(_) | Event::Failed(_) | Event::Finished(_)) => {
                Err(OrderError::AfterEnd)
            }
        }
    }
}

fn begin(expected: u32, started: Started, failures: Vec<Failed>) -> Result<Status, OrderError> {
    if started.attempt == expected {
        Ok(Status::Started { started, failures })
    } else {
        Err(OrderError::Attempt { expected, found: started.attempt })
    }
}

fn running(started: &Started, attempt: u32) -> Result<(), OrderError> {
    if started.attempt == attempt { Ok(()) } else { Err(OrderError::NotRunning(attempt)) }
}

/// Where every recorded slot of a run stands, given its events in any order of slots but in order within
/// each.
pub fn statuses(
    entries: impl IntoIterator<Item = Entry>,
) -> Result<HashMap<Slot, Status>, (Slot, OrderError)> {
    let entries: Vec<Entry> = entries.into_iter().collect();
    let kept = kept(&entries);
    let mut slots: HashMap<Slot, Status> = HashMap::new();
    for Entry { slot, event, .. } in entries {
        let before = slots.remove(&slot).unwrap_or_default();
        let change = if kept.contains(&slot) { Change::Accepted } else { Change::Refused };
        match before.next(event, change) {
            Ok(status) => slots.insert(slot, status),
            Err(error) => return Err((slot, error)),
        };
    }
    Ok(slots)
}

/// The slots at which a person accepted a change.
fn kept(entries: &[Entry]) -> HashSet<Slot> {
    let kept = entries.iter().filter_map(|entry| match &entry.event {
        Event::Started(started) => started.kept.as_ref(),
        Event::Failed(_) | Event::Finished(_) => None,
    });
    kept.flatten().cloned().collect()
}

/// The recorded part of a run, and which of it has been asked for again.
#[derive(Debug, Default)]
pub struct Cursor {
    slots: HashMap<Slot, Recorded>,
    kept: HashSet<Slot>,
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
    /// It has not: this attempt is due.
    Attempt(Due),
    /// An attempt began, and whether it took place is not known; if it may be repeated, this attempt is due.
    InDoubt(Box<Started>, Due),
    /// Another request is recorded at the slot; if the effect has not ended, this attempt would be due.
    Diverged(Box<Request>, Option<Due>),
    /// The slot was asked for before in this very process: a bug of the caller.
    Taken,
}

/// An attempt that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// From 1.
    pub attempt: u32,
    /// How many attempts failed before.
    pub failures: u32,
    /// Not before this moment, in milliseconds since 1970-01-01T00:00:00Z; 0 for at once.
    pub at_ms: u64,
}

impl Due {
    /// The first attempt.
    pub const FIRST: Self = Self { attempt: 1, failures: 0, at_ms: 0 };

    fn after(started: &Started, failures: &[Failed]) -> Self {
        let failed = failures.last().filter(|failed| failed.attempt == started.attempt);
        Self {
            attempt: started.attempt.saturating_add(1),
            failures: u32::try_from(failures.len()).unwrap_or(u32::MAX),
            at_ms: failed.map_or(0, |failed| failed.at_ms.saturating_add(failed.retry_ms)),
        }
    }
}

impl Cursor {
    /// Reads the recorded events of a run, in any order of slots but in order within each.
    pub fn load(entries: impl IntoIterator<Item = Entry>) -> Result<Self, (Slot, OrderError)> {
        let unclaimed = |(slot, status)| (slot, Recorded { status, claim: Claimed::No });
        let entries: Vec<Entry> = entries.into_iter().collect();
        let kept = kept(&entries);
        Ok(Self { slots: statuses(entries)?.into_iter().map(unclaimed).collect(), kept })
    }

    /// Asks for a slot. Each is asked for once.
    pub fn claim(&mut self, slot: &Slot, digest: Digest) -> Claim {
        let Some(recorded) = self.slots.get_mut(slot) else {
            let recorded = Recorded { status: Status::Absent, claim: Claimed::Yes };
            self.slots.insert(slot.clone(), recorded);
            return Claim::Attempt(Due::FIRST);
        };
        if recorded.claim == Claimed::Yes {
            return Claim::Taken;
        }
        recorded.claim = Claimed::Yes;
        match std::mem::take(&mut recorded.status) {
            Status::Absent => Claim::Attempt(Due::FIRST),
            Status::Started { started, failures } | Status::Failed { started, failures }
                if started.digest != digest && !self.kept.contains(slot) =>
            {
                let due = Due::after(&started, &failures);
                Claim::Diverged(Box::new(started.request), Some(due))
            }
            Status::Finished { started, .. } if started.digest != digest && !self.kept.contains(slot) => {
                Claim::Diverged(Box::new(started.request), None)
            }
            Status::Started { started, failures } => {
                let due = Due::after(&started, &failures);
                Claim::InDoubt(Box::new(started), due)
            }
            Status::Failed { started, failures } => Claim::Attempt(Due::after(&started, &failures)),
            Status::Finished { finished, .. } => Claim::Substitute(Box::new(finished)),
        }
    }

    /// Lets every slot that is recorded be asked for something else, and tells which those are, in order.
    pub fn accept_changes(&mut self) -> Vec<Slot> {
        let recorded = self.slots.keys().filter(|slot| **slot != Slot::RUN);
        self.kept.extend(recorded.cloned());
        let mut kept: Vec<Slot> = self.kept.iter().cloned().collect();
        kept.sort();
        kept
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
