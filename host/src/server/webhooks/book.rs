//! What is owed, and what is due to whom: the state of webhooks, as records change it.
//!
//! Pure: it knows no clock, no file and no network. Invariants: of a run that is owed, the next stop is told, once; a
//! delivery is due until a record says that it is settled; no endpoint has more than so many deliveries pending.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::Outcome;
use crate::journal::Seq;
use crate::message::RunId;

/// What receivers are told.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    utoipa::ToSchema,
)]
#[schema(as = WebhookEvent)]
pub(in super::super) enum Kind {
    /// A run waits for a person or for a moment.
    #[serde(rename = "run.waiting")]
    Waiting,
    /// A run has ended, with an answer or without.
    #[serde(rename = "run.ended")]
    Ended,
    /// A run broke off, and somebody has to have it go on.
    #[serde(rename = "run.failed")]
    Failed,
}

impl Kind {
    pub(in super::super) const ALL: [Self; 3] = [Self::Waiting, Self::Ended, Self::Failed];

    /// What is told of a run that came to this, if anything is.
    pub(in super::super) fn of(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Suspended(_) => Some(Self::Waiting),
            Outcome::Ended { .. } => Some(Self::Ended),
            Outcome::Failed(_) => Some(Self::Failed),
            Outcome::Interrupted => None,
        }
    }
}

/// That a run stopped, as one receiver is told. The run and the number of the last event before the stop name it for
/// good: the id of the delivery is made of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Delivery {
    pub(super) run: RunId,
    pub(super) seq: Seq,
    pub(super) kind: Kind,
}

impl Delivery {
    /// Its id: the same whenever it is sent.
    pub(super) fn id(&self) -> String {
        format!("{}_{}", self.run, self.seq)
    }
}

/// What changes the state. `to` is the name of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    /// The server works on a run, and its next stop is owed.
    Works(RunId),
    /// Nothing is owed of a run.
    Rests(RunId),
    /// A run stopped, and that is due to these.
    Stopped { stop: Delivery, at_ms: u64, to: Vec<String> },
    /// A delivery was tried, and is due again at a moment.
    Tried { to: String, stop: Delivery, attempts: u32, due_ms: u64 },
    /// A delivery arrived, or is given up.
    Settled { to: String, stop: Delivery },
    /// An endpoint wants nothing any more.
    Disabled(String),
    /// It is told again what happens from now on.
    Enabled(String),
    /// An endpoint is configured no more.
    Removed(String),
}

/// The state.
#[derive(Debug, Default)]
pub(super) struct Book {
    owed: BTreeSet<RunId>,
    lines: BTreeMap<String, Line>,
}

/// What is due to one endpoint.
#[derive(Debug, Default)]
struct Line {
    pending: BTreeMap<Delivery, Pending>,
    /// Those that are not being sent, by when they are due, in milliseconds since 1970-01-01T00:00:00Z.
    due: BTreeSet<(u64, Delivery)>,
    /// All of them, by when they stopped.
    age: BTreeSet<(u64, Delivery)>,
    disabled: bool,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    at_ms: u64,
    attempts: u32,
    due_ms: u64,
}

/// How long a delivery may be due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Horizon {
    /// The longest wait before an attempt: a moment further away is one of a clock that was set since.
    pub(super) wait_ms: u64,
    /// The age at which a delivery is given up, however few attempts were made.
    pub(super) age_ms: u64,
}

/// What is to be sent next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This, which was tried so many times. It is not given again before a record says what came of it.
    Send(Delivery, u32),
    /// This is too old, after so many attempts.
    Late(Delivery, u32),
    /// Nothing before so many milliseconds from now.
    In(u64),
    /// Nothing.
    Nothing,
}

impl Book {
    /// Takes a record in. One that changes nothing is no mistake: what was recorded twice counts once.
    pub(super) fn apply(&mut self, record: &Record) {
        match record {
            Record::Works(run) => drop(self.owed.insert(*run)),
            Record::Rests(run) => drop(self.owed.remove(run)),
            Record::Stopped { stop, at_ms, to } => {
                self.owed.remove(&stop.run);
                for to in to {
                    let line = self.line(to);
                    if !line.disabled && !line.pending.contains_key(stop) {
                        line.put(*stop, Pending { at_ms: *at_ms, attempts: 0, due_ms: *at_ms });
                    }
                }
            }
            Record::Tried { to, stop, attempts, due_ms } => {
                let line = self.line(to);
                if let Some(before) = line.pending.get(stop).copied() {
                    line.put(*stop, Pending { attempts: *attempts, due_ms: *due_ms, ..before });
                }
            }
            Record::Settled { to, stop } => drop(self.line(to).take(stop)),
            Record::Disabled(to) => *self.line(to) = Line { disabled: true, ..Line::default() },
            Record::Enabled(to) => self.line(to).disabled = false,
            Record::Removed(to) => drop(self.lines.remove(to)),
        }
    }

    fn line(&mut self, name: &str) -> &mut Line {
        self.lines.entry(name.to_owned()).or_default()
    }

    /// The endpoints of which something is known.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &str> {
        self.lines.keys().map(String::as_str)
    }

    /// What makes the same state of nothing.
    pub(super) fn records(&self) -> Vec<Record> {
        let (mut records, mut tried) = (Vec::new(), Vec::new());
        for (name, line) in &self.lines {
            records.extend(line.disabled.then(|| Record::Disabled(name.clone())));
            for (stop, Pending { at_ms, attempts, due_ms }) in &line.pending {
                let (stop, at_ms, attempts, due_ms) = (*stop, *at_ms, *attempts, *due_ms);
                records.push(Record::Stopped { stop, at_ms, to: vec![name.clone()] });
                if attempts > 0 || due_ms != at_ms {
                    tried.push(Record::Tried { to: name.clone(), stop, attempts, due_ms });
                }
            }
        }
        records.extend(tried);
        // That a run stopped is no longer owed, so that those that are owed again come last.
        records.extend(self.owed.iter().map(|run| Record::Works(*run)));
        records
    }

    pub(super) fn is_owed(&self, run: RunId) -> bool {
        self.owed.contains(&run)
    }

    /// The runs of which the next stop is owed.
    pub(super) fn owed(&self) -> Vec<RunId> {
        self.owed.iter().copied().collect()
    }

    pub(super) fn is_disabled(&self, name: &str) -> bool {
        self.lines.get(name).is_some_and(|line| line.disabled)
    }

    /// How many deliveries are pending, and since when the oldest of them is.
    pub(super) fn pending(&self, name: &str) -> (usize, Option<u64>) {
        let Some(line) = self.lines.get(name) else { return (0, None) };
        (line.pending.len(), line.age.first().map(|(at_ms, _)| *at_ms))
    }

    /// Whether something is being sent to an endpoint, or could be now.
    pub(super) fn is_busy(&self, name: &str, now_ms: u64) -> bool {
        self.lines.get(name).is_some_and(|line| {
            line.due.len() < line.pending.len()
                || line.due.first().is_some_and(|(due_ms, _)| *due_ms <= now_ms)
        })
    }

    /// The oldest delivery that waits, if there are more than so many: it has had the most attempts.
    pub(super) fn beyond(&self, name: &str, pending_max: usize) -> Option<Delivery> {
        let line = self.lines.get(name).filter(|line| line.pending.len() > pending_max)?;
        let mut waiting = line.age.iter().filter(|(_, stop)| line.waits(stop));
        waiting.next().map(|(_, stop)| *stop)
    }

    /// What is to be sent to an endpoint at this moment.
    pub(super) fn next(&mut self, name: &str, now_ms: u64, horizon: Horizon) -> Next {
        let Some(line) = self.lines.get_mut(name) else { return Next::Nothing };
        let Some((due_ms, stop)) = line.due.first().copied() else { return Next::Nothing };
        let wait_ms = due_ms.saturating_sub(now_ms);
        if wait_ms > 0 && wait_ms <= horizon.wait_ms {
            return Next::In(wait_ms);
        }
        let Some(pending) = line.pending.get(&stop).copied() else { return Next::Nothing };
        line.due.remove(&(due_ms, stop));
        if now_ms.saturating_sub(pending.at_ms) > horizon.age_ms {
            return Next::Late(stop, pending.attempts);
        }
        Next::Send(stop, pending.attempts)
    }

    /// Takes in that what is being sent to an endpoint was broken off: it is due as before.
    pub(super) fn broke_off(&mut self, name: &str) {
        if let Some(line) = self.lines.get_mut(name) {
            line.due = line.pending.iter().map(|(stop, pending)| (pending.due_ms, *stop)).collect();
        }
    }

    /// Lets everything be due at once that waits for an endpoint. What is being sent stays so.
    pub(super) fn due_now(&self, name: &str, now_ms: u64) -> Vec<Record> {
        let Some(line) = self.lines.get(name) else { return Vec::new() };
        let waiting = line.due.iter().filter(|(due_ms, _)| *due_ms > now_ms);
        let now = waiting.filter_map(|(_, stop)| {
            let attempts = line.pending.get(stop)?.attempts;
            Some(Record::Tried { to: name.to_owned(), stop: *stop, attempts, due_ms: now_ms })
        });
        now.collect()
    }
}

impl Line {
    fn put(&mut self, stop: Delivery, pending: Pending) {
        self.take(&stop);
        self.pending.insert(stop, pending);
        self.due.insert((pending.due_ms, stop));
        self.age.insert((pending.at_ms, stop));
    }

    fn take(&mut self, stop: &Delivery) -> Option<Pending> {
        let pending = self.pending.remove(stop)?;
        self.due.remove(&(pending.due_ms, *stop));
        self.age.remove(&(pending.at_ms, *stop));
        Some(pending)
    }

    /// Whether a delivery is pending and not being sent.
    fn waits(&self, stop: &Delivery) -> bool {
        self.pending.get(stop).is_some_and(|pending| self.due.contains(&(pending.due_ms, *stop)))
    }
}
