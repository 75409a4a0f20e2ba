use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

use super::event::{Entry, Event, Failed, Finished, Started, given_up};
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
                let accepted =
                    change == Change::Accepted || started.kept.is_some() || asks_anew(&before, &started);
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
            (Self::Finished { started: before, .. }, Event::Started(started))
                if asks_anew(&before, &started) =>
            {
                begin(before.attempt.saturating_add(1), started, Vec::new())
            }
            (Self::Finished { .. }, Event::Started(_) | Event::Failed(_) | Event::Finished(_)) => {
                Err(OrderError::AfterEnd)
            }
        }
    }
}

/// Whether a person is asked about something else than before: what was said of the one thing does not count for the
/// other.
fn asks_anew(before: &Started, started: &Started) -> bool {
    matches!(before.request, Request::Approval(_)) && before.digest != started.digest
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
) -> Result<BTreeMap<Slot, Status>, (Slot, OrderError)> {
    let entries: Vec<Entry> = entries.into_iter().collect();
    let kept = kept(&entries);
    let mut slots: BTreeMap<Slot, Status> = BTreeMap::new();
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

/// Whether nothing will come of a slot any more, because a call that it is below has ended.
#[must_use]
pub fn is_over(slot: &Slot, slots: &BTreeMap<Slot, Status>) -> bool {
    slot.callers().any(|caller| matches!(slots.get(&caller), Some(Status::Finished { .. })))
}

/// The slots at which a person accepted a change.
#[must_use]
pub fn kept(entries: &[Entry]) -> HashSet<Slot> {
    let kept = entries.iter().filter_map(|entry| match &entry.event {
        Event::Started(started) => started.kept.as_ref(),
        Event::Failed(_) | Event::Finished(_) => None,
    });
    kept.flatten().cloned().collect()
}

/// The recorded part of a run, and which of it has been asked for again.
///
/// What the model asks for is asked for once. What a tool asks for may be asked for again, when the tool is tried again:
/// so the cursor follows what is recorded below a call for as long as the call goes on, and only who asked last may
/// record there.
#[derive(Debug, Default)]
pub struct Cursor {
    slots: BTreeMap<Slot, Recorded>,
    kept: HashSet<Slot>,
    /// Whether a person accepted a change since the entries were recorded.
    changed: bool,
    tickets: u64,
}

#[derive(Debug, Default)]
struct Recorded {
    status: Status,
    claimed: Option<Ticket>,
}

/// The right to record at a slot. Whoever asks for the slot later takes it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

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
    /// How many attempts failed before, since the run broke off because of them or another model stood in.
    pub failures: u32,
    /// How many models were given up before, since the run broke off.
    pub fallbacks: u32,
    /// Whether an attempt before it found the request too long, since the run broke off.
    pub too_long: bool,
    /// Not before this moment, in milliseconds since 1970-01-01T00:00:00Z; 0 for at once.
    pub at_ms: u64,
    /// Who may make it.
    pub ticket: Ticket,
}

impl Due {
    fn first(ticket: Ticket) -> Self {
        Self { attempt: 1, failures: 0, fallbacks: 0, too_long: false, at_ms: 0, ticket }
    }

    fn after(started: &Started, failures: &[Failed], ticket: Ticket) -> Self {
        // Who gave up and was resumed has the whole budget again.
        let since_resumed = || failures.iter().rev().take_while(|failed| !failed.gave_up);
        let since_fallback = since_resumed().take_while(|failed| !failed.fell_back());
        let failed = failures.last().filter(|failed| failed.attempt == started.attempt);
        Self {
            attempt: started.attempt.saturating_add(1),
            failures: u32::try_from(since_fallback.count()).unwrap_or(u32::MAX),
            fallbacks: u32::try_from(given_up(failures.iter())).unwrap_or(u32::MAX),
            too_long: since_resumed().any(Failed::was_too_long),
            at_ms: failed.map_or(0, |failed| failed.at_ms.saturating_add(failed.retry_ms)),
            ticket,
        }
    }

    /// The same where somebody else is asked, or by other settings: what the attempts before came to says nothing about
    /// that.
    fn anew(self) -> Self {
        Self { failures: 0, fallbacks: 0, too_long: false, at_ms: 0, ..self }
    }
}

impl Cursor {
    /// Reads the recorded events of a run, in any order of slots but in order within each.
    pub fn load(entries: impl IntoIterator<Item = Entry>) -> Result<Self, (Slot, OrderError)> {
        let unclaimed = |(slot, status)| (slot, Recorded { status, claimed: None });
        let entries: Vec<Entry> = entries.into_iter().collect();
        let kept = kept(&entries);
        let slots = statuses(entries)?.into_iter().map(unclaimed).collect();
        Ok(Self { slots, kept, changed: false, tickets: 0 })
    }

    /// Asks for a slot. Each is asked for once, or once for every attempt of the call it is below.
    pub fn claim(&mut self, slot: &Slot, digest: Digest) -> Claim {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let Some(recorded) = self.slots.get_mut(slot) else {
            self.slots.insert(slot.clone(), Recorded { status: Status::Absent, claimed: Some(ticket) });
            return Claim::Attempt(Due::first(ticket));
        };
        if recorded.claimed.is_some() {
            return Claim::Taken;
        }
        recorded.claimed = Some(ticket);
        // What will never be asked for again need not be kept twice.
        let status =
            if slot.is_nested() { recorded.status.clone() } else { std::mem::take(&mut recorded.status) };
        let changed = self.changed && self.kept.contains(slot);
        let due = |started: &Started, failures: &[Failed]| {
            let due = Due::after(started, failures, ticket);
            // Another model is asked, or the same one by other settings.
            if changed && matches!(started.request, Request::Model(_)) { due.anew() } else { due }
        };
        match status {
            Status::Absent => Claim::Attempt(Due::first(ticket)),
            Status::Started { started, .. } | Status::Finished { started, .. }
                if started.digest != digest && matches!(started.request, Request::Approval(_)) =>
            {
                Claim::Attempt(Due::after(&started, &[], ticket))
            }
            Status::Started { started, failures } | Status::Failed { started, failures }
                if started.digest != digest && !self.kept.contains(slot) =>
            {
                let due = Due::after(&started, &failures, ticket);
                Claim::Diverged(Box::new(started.request), Some(due))
            }
            Status::Finished { started, .. } if started.digest != digest && !self.kept.contains(slot) => {
                Claim::Diverged(Box::new(started.request), None)
            }
            Status::Started { started, failures } => {
                let due = due(&started, &failures);
                Claim::InDoubt(Box::new(started), due)
            }
            Status::Failed { started, failures } => Claim::Attempt(due(&started, &failures)),
            Status::Finished { finished, .. } => Claim::Substitute(Box::new(finished)),
        }
    }

    /// Follows an event that is about to be recorded below a call; false if another one has the slot by now, so
    /// that nothing may be recorded.
    #[must_use]
    pub fn follow(&mut self, slot: &Slot, ticket: Ticket, event: &Event) -> bool {
        let Some(recorded) = self.slots.get_mut(slot).filter(|it| it.claimed == Some(ticket)) else {
            return false;
        };
        // Whether the request may be another one was decided when the slot was asked for.
        match std::mem::take(&mut recorded.status).next(event.clone(), Change::Accepted) {
            Ok(status) => recorded.status = status,
            Err(_) => return false,
        }
        true
    }

    /// An attempt of the call at a slot is over: nobody records below it any more, and the next attempt may ask
    /// for what is there.
    pub fn release_below(&mut self, slot: &Slot) {
        let below = self.slots.range_mut((Bound::Excluded(slot), Bound::Unbounded));
        for (_, recorded) in below.take_while(|(other, _)| other.is_below(slot)) {
            recorded.claimed = None;
        }
    }

    /// The call at a slot has ended: nobody will ask for what is below it.
    pub fn forget_below(&mut self, slot: &Slot) {
        let below = self.slots.range((Bound::Excluded(slot), Bound::Unbounded));
        let below: Vec<Slot> =
            below.map(|(other, _)| other).take_while(|other| other.is_below(slot)).cloned().collect();
        for slot in below {
            self.slots.remove(&slot);
        }
    }

    /// What was asked for at a slot, as long as nobody has asked for it again.
    #[must_use]
    pub fn asked(&self, slot: &Slot) -> Option<&Request> {
        match &self.slots.get(slot)?.status {
            Status::Started { started, .. }
            | Status::Failed { started, .. }
            | Status::Finished { started, .. } => Some(&started.request),
            Status::Absent => None,
        }
    }

    /// What is recorded as the end of the effect at a slot.
    #[must_use]
    pub fn ended(&self, slot: &Slot) -> Option<&Finished> {
        match &self.slots.get(slot)?.status {
            Status::Finished { finished, .. } => Some(finished),
            Status::Absent | Status::Started { .. } | Status::Failed { .. } => None,
        }
    }

    /// Lets every slot that is recorded be asked for something else, and tells which those are, in order.
    pub fn accept_changes(&mut self) -> Vec<Slot> {
        self.changed = true;
        let recorded = self.slots.keys().filter(|slot| **slot != Slot::RUN);
        self.kept.extend(recorded.cloned());
        let mut kept: Vec<Slot> = self.kept.iter().cloned().collect();
        kept.sort();
        kept
    }

    /// Whether a person accepted that the slot may be asked for something else than is recorded, or not at all.
    #[must_use]
    pub fn is_kept(&self, slot: &Slot) -> bool {
        self.kept.contains(slot)
    }

    /// The slots of the run at a slot that are recorded and were never asked for, in order. Those at which
    /// a person accepted a change are not among them: the run may have become one that never comes there.
    #[must_use]
    pub fn left_over(&self, run: &Slot) -> Vec<Slot> {
        let unclaimed = |recorded: &Recorded| recorded.claimed.is_none() && recorded.status != Status::Absent;
        let below = self.slots.range((Bound::Excluded(run), Bound::Unbounded));
        let below = below.take_while(|(slot, _)| slot.is_below(run));
        // What was decided on the call of an agent is no part of what the agent did.
        let approval = run.approval();
        let below = below.filter(|(slot, _)| **slot != approval && !self.is_kept(slot));
        below.filter(|(_, recorded)| unclaimed(recorded)).map(|(slot, _)| slot.clone()).collect()
    }
}
