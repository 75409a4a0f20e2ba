use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

use super::event::{Entry, Event, Failed, Finished, Started, given_up};
use super::status::{Change, OrderError, Status, is_cancelled, kept, statuses};
use crate::message::{Digest, Request, Slot};

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
    /// Whether every slot may be asked for again once it is released.
    again: bool,
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
        Ok(Self { slots, kept, changed: false, again: false, tickets: 0 })
    }

    /// Lets every slot be asked for again once it is [released](Self::release): the cursor follows all that is recorded
    /// from now on.
    pub fn let_ask_again(&mut self) {
        self.again = true;
    }

    /// Whether what is recorded at a slot has to be [followed](Self::follow).
    #[must_use]
    pub fn follows(&self, slot: &Slot) -> bool {
        self.again || slot.is_nested()
    }

    /// What is recorded, by slot, of what was not asked for yet or may be asked for again.
    pub fn recorded(&self) -> impl Iterator<Item = (&Slot, &Status)> {
        self.slots.iter().map(|(slot, recorded)| (slot, &recorded.status))
    }

    /// Takes in how a slot stands of which somebody else recorded something.
    pub fn renew(&mut self, slot: &Slot, status: Status) {
        self.slots.entry(slot.clone()).or_default().status = status;
    }

    /// Lets a slot be asked for again.
    pub fn release(&mut self, slot: &Slot) {
        if let Some(recorded) = self.slots.get_mut(slot) {
            recorded.claimed = None;
        }
    }

    /// Asks for a slot. Each is asked for once, or once for every attempt of the call it is below.
    pub fn claim(&mut self, slot: &Slot, digest: Digest) -> Claim {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let keeps = self.follows(slot);
        let Some(recorded) = self.slots.get_mut(slot) else {
            self.slots.insert(slot.clone(), Recorded { status: Status::Absent, claimed: Some(ticket) });
            return Claim::Attempt(Due::first(ticket));
        };
        if recorded.claimed.is_some() {
            return Claim::Taken;
        }
        recorded.claimed = Some(ticket);
        // What will never be asked for again need not be kept twice.
        let status = if keeps { recorded.status.clone() } else { std::mem::take(&mut recorded.status) };
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

    /// Lets a run go on that was cancelled. False if it was not: nothing has changed then.
    #[must_use]
    pub fn revive(&mut self) -> bool {
        let Some(Recorded { status, .. }) = self.slots.get_mut(&Slot::RUN) else { return false };
        match std::mem::take(status) {
            Status::Finished { started, failures, finished } if is_cancelled(&finished) => {
                *status = Status::Started { started, failures };
                true
            }
            other => {
                *status = other;
                false
            }
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
