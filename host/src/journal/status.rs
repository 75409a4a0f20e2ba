use std::collections::{BTreeMap, HashSet};

use super::event::{Entry, Event, Failed, Finished, Started};
use crate::message::{Ending, Outcome, Request, Slot};

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
            // What was said of something that is not asked about any more.
            (Self::Started { started, failures }, Event::Finished(finished))
                if finished.attempt < started.attempt && matches!(started.request, Request::Approval(_)) =>
            {
                Ok(Self::Started { started, failures })
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
            // A run goes on that was cancelled.
            (Self::Finished { started: before, failures, finished }, Event::Started(started))
                if is_cancelled(&finished) =>
            {
                Self::Started { started: before, failures }.next(Event::Started(started), change)
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

/// Whether this is the end of a run that somebody cancelled: only such a run can go on.
pub(super) fn is_cancelled(finished: &Finished) -> bool {
    matches!(finished.outcome, Outcome::Run(Ending::Cancelled(_)))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::message::{Arguments, Decision, Json, Outcome, Request, ToolAsk, Trace, Usage};

    fn asked(attempt: u32, name: &str) -> Event {
        let arguments = Arguments::Json(Json::empty_object());
        let ask = ToolAsk { name: name.to_owned(), arguments, target: None, client_id: None };
        let request = Request::Approval(ask);
        Event::Started(Started { attempt, at_ms: 1, digest: request.digest(), request, kept: None, by: None })
    }

    fn approved(attempt: u32) -> Event {
        let outcome = Outcome::Decision(Decision::Approved { input: None });
        let (usage, trace) = (Usage::default(), Trace::default());
        Event::Finished(Finished { attempt, at_ms: 2, outcome, usage, trace, settled: true, by: None })
    }

    #[test]
    fn what_is_said_of_something_that_is_not_asked_about_any_more_counts_for_nothing() {
        let next = |status: Status, event| status.next(event, Change::Refused);
        let status = next(next(Status::Absent, asked(1, "a")).unwrap(), asked(2, "b")).unwrap();
        let late = next(status.clone(), approved(1)).unwrap();
        assert_eq!(late, status);
        assert!(matches!(next(late.clone(), approved(2)).unwrap(), Status::Finished { .. }));
        assert_eq!(next(late, approved(3)), Err(OrderError::NotRunning(3)));
    }
}
