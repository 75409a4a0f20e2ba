//! What the statuses of slots do not keep: which processes worked on a run, and the attempts that ended with them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Entry, Event, Failed, Started, Status};
use crate::message::{By, Cancelled, Ending, Outcome, Request, Slot, Step};

/// What one process did of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stint {
    /// When it began with the run, or went on with it, in milliseconds since 1970-01-01T00:00:00Z.
    pub started_ms: u64,
    /// When it recorded its last event.
    pub until_ms: u64,
}

impl Stint {
    /// How long it worked, as far as that is recorded, in milliseconds.
    #[must_use]
    pub fn ms(self) -> u64 {
        self.until_ms.saturating_sub(self.started_ms)
    }
}

/// An attempt that ended with its process, so that nothing is recorded of what it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CutOff {
    /// From 1.
    pub attempt: u32,
    /// When it began, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: u64,
}

/// The processes that worked on a run, the first one first. What a fork shares was done by none of them.
#[must_use]
pub fn stints(entries: &[Entry]) -> Vec<Stint> {
    let starts = entries.iter().filter(|entry| entry.slot == Slot::RUN).filter_map(started);
    let mut stints: Vec<Stint> =
        starts.map(|started| Stint { started_ms: started.at_ms, until_ms: started.at_ms }).collect();
    for entry in entries {
        let at_ms = entry.event.at_ms();
        if let Some(stint) = stints.iter_mut().rev().find(|stint| stint.started_ms <= at_ms) {
            stint.until_ms = stint.until_ms.max(at_ms);
        }
    }
    // A fork may be written by one process, and begun by another one: the first one did not work on it.
    let is_fork = super::manifest(entries).is_some_and(|manifest| manifest.forked.is_some());
    if let [first, _, ..] = stints.as_slice()
        && is_fork
        && first.until_ms == first.started_ms
    {
        stints.remove(0);
    }
    stints
}

/// The attempts at each slot that ended with their processes and were followed by another one.
#[must_use]
pub fn cut_off(entries: &[Entry]) -> BTreeMap<Slot, Vec<CutOff>> {
    let mut found: BTreeMap<Slot, Vec<CutOff>> = BTreeMap::new();
    let mut open: BTreeMap<&Slot, CutOff> = BTreeMap::new();
    for entry in entries {
        match &entry.event {
            Event::Started(started) if is_effect(&started.request) => {
                let begun = CutOff { attempt: started.attempt, at_ms: started.at_ms };
                if let Some(before) = open.insert(&entry.slot, begun) {
                    found.entry(entry.slot.clone()).or_default().push(before);
                }
            }
            Event::Started(_) => {}
            Event::Failed(_) | Event::Finished(_) => {
                open.remove(&entry.slot);
            }
        }
    }
    found
}

/// That a run was cancelled, and went on all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Revival {
    /// Who cancelled it, and why.
    pub cancelled: Cancelled,
    /// When, in milliseconds since 1970-01-01T00:00:00Z.
    pub cancelled_ms: u64,
    /// Who had it go on, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// When, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: u64,
}

/// How often a run was cancelled and went on all the same, the first time first.
#[must_use]
pub fn revivals(entries: &[Entry]) -> Vec<Revival> {
    let mut cancelled = None;
    let mut revivals = Vec::new();
    for entry in entries.iter().filter(|entry| entry.slot == Slot::RUN) {
        match &entry.event {
            Event::Finished(finished) => {
                cancelled = match &finished.outcome {
                    Outcome::Run(Ending::Cancelled(cancelled)) => Some((cancelled.clone(), finished.at_ms)),
                    Outcome::Run(_)
                    | Outcome::Model(_)
                    | Outcome::NoReply(_)
                    | Outcome::Tool(_)
                    | Outcome::Decision(_) => None,
                };
            }
            Event::Started(started) => revivals.extend(cancelled.take().map(|(cancelled, cancelled_ms)| {
                Revival { cancelled, cancelled_ms, by: started.by.clone(), at_ms: started.at_ms }
            })),
            Event::Failed(_) => {}
        }
    }
    revivals
}

/// Why a run broke off that has not ended: the model gave no reply. A resume asks it again.
#[must_use]
pub fn broke_off(slots: &BTreeMap<Slot, Status>) -> Option<(&Slot, &Failed)> {
    slots.iter().find_map(|(slot, status)| {
        let is_own = matches!(slot.steps(), [Step::Model { .. } | Step::Summary { .. }]);
        match status {
            Status::Failed { failures, .. } if is_own => {
                failures.last().filter(|failed| failed.gave_up).map(|failed| (slot, failed))
            }
            Status::Failed { .. } | Status::Absent | Status::Started { .. } | Status::Finished { .. } => None,
        }
    })
}

fn started(entry: &Entry) -> Option<&Started> {
    match &entry.event {
        Event::Started(started) => Some(started),
        Event::Failed(_) | Event::Finished(_) => None,
    }
}

/// Whether something was done: a person who is asked about another call than before was not cut off.
fn is_effect(request: &Request) -> bool {
    match request {
        Request::Model(_) | Request::Api(_) | Request::Tool(_) => true,
        Request::Run(_) | Request::Approval(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Finished;
    use crate::message::{Digest, MessageRef, ModelAsk, ModelFailure, Reply, RunId, Trace, Usage};

    fn begun(slot: Slot, attempt: u32, at_ms: u64) -> Entry {
        let ask = ModelAsk { messages: 1, conversation: Digest::of(b""), appended: vec![MessageRef::Prompt] };
        let request = Request::Model(ask);
        let started = Started { attempt, at_ms, digest: request.digest(), request, kept: None, by: None };
        Entry::new(RunId::from_bytes([7; 16]), slot, Event::Started(started))
    }

    fn finished(slot: Slot, attempt: u32, at_ms: u64) -> Entry {
        let (usage, trace, outcome) = (Usage::default(), Trace::default(), Outcome::Model(Reply::default()));
        let event =
            Event::Finished(Finished { attempt, at_ms, outcome, usage, trace, settled: false, by: None });
        Entry::new(RunId::from_bytes([7; 16]), slot, event)
    }

    fn failed(slot: Slot, attempt: u32, gave_up: bool) -> Entry {
        let failure = ModelFailure {
            message: "no".to_owned(),
            may_pass: false,
            status: None,
            retry_after_ms: None,
            fall_back: false,
            streamed: false,
            too_long: false,
            shortens: false,
        };
        let (usage, trace, outcome) = (Usage::default(), Trace::default(), Outcome::NoReply(failure));
        let failed = Failed { attempt, at_ms: 9, retry_ms: 0, gave_up, outcome, usage, trace };
        Entry::new(RunId::from_bytes([7; 16]), slot, Event::Failed(failed))
    }

    #[test]
    fn each_process_worked_until_it_recorded_something_for_the_last_time() {
        let entries = [
            begun(Slot::RUN, 1, 100),
            begun(Slot::RUN, 2, 5000),
            begun(Slot::RUN, 3, 9000),
            begun(Slot::model(0), 1, 110),
            finished(Slot::model(0), 1, 130),
            // Shared with the run that this one was forked from.
            begun(Slot::model(1), 1, 20),
            begun(Slot::tool(0, 0), 1, 150),
            begun(Slot::tool(0, 0), 2, 5010),
            finished(Slot::tool(0, 0), 2, 5200),
        ];
        let of = |started_ms, until_ms| Stint { started_ms, until_ms };
        assert_eq!(stints(&entries), [of(100, 150), of(5000, 5200), of(9000, 9000)]);
        assert_eq!(stints(&entries).into_iter().map(Stint::ms).sum::<u64>(), 250);
        assert_eq!(stints(&[]), []);
        let cut = BTreeMap::from([(Slot::tool(0, 0), vec![CutOff { attempt: 1, at_ms: 150 }])]);
        assert_eq!(cut_off(&entries[3..]), cut);
    }

    #[test]
    fn a_run_broke_off_if_its_own_model_was_given_up_and_not_asked_since() {
        let slots = |entries: Vec<Entry>| crate::journal::statuses(entries).unwrap_or_default();
        let nested = || Slot::tool(0, 0).model_of(0);
        let broken = |entries| broke_off(&slots(entries)).is_some();
        assert!(broken(vec![begun(Slot::model(1), 1, 1), failed(Slot::model(1), 1, true)]));
        assert!(!broken(vec![begun(Slot::model(1), 1, 1), failed(Slot::model(1), 1, false)]));
        assert!(!broken(vec![begun(nested(), 1, 1), failed(nested(), 1, true)]), "its caller is told");
        let again = begun(Slot::model(1), 2, 10);
        assert!(!broken(vec![begun(Slot::model(1), 1, 1), failed(Slot::model(1), 1, true), again]));
    }
}
