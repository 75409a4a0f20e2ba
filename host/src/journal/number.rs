//! The numbers of a run's events: from 1 without gaps, in the order in which the events became durable.
//!
//! A number is recorded with its event, and never changes. Older hosts recorded no numbers. Their events have those that
//! are free, in an order that follows from the events alone, so that whoever reads them finds the same numbers.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{Entry, Event};
use crate::message::Slot;

/// The number of an event among those of its run, from 1. By default 0: before every event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The number of the next event.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl std::fmt::Display for Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Numbers the events of a whole run that have no number, given by slot and then in order. They go by time, then by slot,
/// the start of an attempt before its end; within a slot an event is never before the one that it follows, and the end of
/// the run comes last. An event whose number stands twice, or is higher than there are events, has none.
pub fn number(entries: &mut [Entry]) {
    let mut taken = vec![false; entries.len()];
    for entry in &mut *entries {
        entry.seq = entry.seq.filter(|seq| take(&mut taken, *seq));
    }
    let free = taken.iter().zip(1..).filter(|(taken, _)| !**taken).map(|(_, number)| Seq(number));
    for (seq, index) in free.zip(unnumbered(entries)) {
        entries[index].seq = Some(seq);
    }
}

/// Takes a number; false if there is no such number, or it is taken.
fn take(taken: &mut [bool], seq: Seq) -> bool {
    let index = seq.0.checked_sub(1).and_then(|index| usize::try_from(index).ok());
    let place = index.and_then(|index| taken.get_mut(index)).filter(|taken| !**taken);
    place.map(|taken| *taken = true).is_some()
}

/// Where the events stand that have no number, in the order in which they are numbered.
fn unnumbered(entries: &[Entry]) -> Vec<usize> {
    let mut before: Option<(&Slot, u64)> = None;
    let mut found = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        // A clock may have been set back between two events of a slot.
        let earliest = before.filter(|(slot, _)| **slot == entry.slot).map_or(0, |(_, at_ms)| at_ms);
        let at_ms = entry.event.at_ms().max(earliest);
        before = Some((&entry.slot, at_ms));
        if entry.seq.is_none() {
            found.push((at_ms, index));
        }
    }
    let order = |(at_ms, index): &(u64, usize), (other_ms, other): &(u64, usize)| -> Ordering {
        let (entry, other) = (&entries[*index], &entries[*other]);
        is_end(entry)
            .cmp(&is_end(other))
            .then(at_ms.cmp(other_ms))
            .then_with(|| entry.slot.cmp(&other.slot))
            .then(entry.event.ordinal().cmp(&other.event.ordinal()))
    };
    found.sort_by(order);
    found.into_iter().map(|(_, index)| index).collect()
}

fn is_end(entry: &Entry) -> bool {
    match &entry.event {
        Event::Finished(_) => entry.slot == Slot::RUN,
        Event::Started(_) | Event::Failed(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Finished, Started};
    use crate::message::{
        Digest, Ending, MessageRef, ModelAsk, Outcome, Reply, Request, RunId, Trace, Usage,
    };

    fn started(slot: Slot, at_ms: u64) -> Entry {
        let ask = ModelAsk { messages: 1, conversation: Digest::of(b""), appended: vec![MessageRef::Prompt] };
        let request = Request::Model(ask);
        let started = Started { attempt: 1, at_ms, digest: request.digest(), request, kept: None, by: None };
        Entry::new(RunId::from_bytes([7; 16]), slot, Event::Started(started))
    }

    fn finished(slot: Slot, at_ms: u64) -> Entry {
        let outcome = if slot == Slot::RUN {
            Outcome::Run(Ending::Answer(String::new()))
        } else {
            Outcome::Model(Reply::default())
        };
        let (attempt, usage, trace) = (1, Usage::default(), Trace::default());
        let finished = Finished { attempt, at_ms, outcome, usage, trace, settled: false, by: None };
        Entry::new(RunId::from_bytes([7; 16]), slot, Event::Finished(finished))
    }

    fn numbers(entries: &[Entry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.seq.unwrap_or_default().0).collect()
    }

    fn run() -> Vec<Entry> {
        vec![
            started(Slot::RUN, 10),
            // The end of the run in the same millisecond as the end of its last effect.
            finished(Slot::RUN, 30),
            started(Slot::model(0), 10),
            // The clock was set back.
            finished(Slot::model(0), 5),
            started(Slot::model(1), 30),
            finished(Slot::model(1), 30),
        ]
    }

    #[test]
    fn events_without_numbers_have_those_that_follow_from_the_record() {
        let mut entries = run();
        number(&mut entries);
        assert_eq!(numbers(&entries), [1, 6, 2, 3, 4, 5]);
        let once = entries.clone();
        number(&mut entries);
        assert_eq!(entries, once);
    }

    #[test]
    fn a_recorded_number_stays_and_the_others_have_what_is_free() {
        let mut entries = run();
        entries[1].seq = Some(Seq(6));
        entries[4].seq = Some(Seq(5));
        number(&mut entries);
        assert_eq!(numbers(&entries), [1, 6, 2, 3, 5, 4]);
        // No number is that of two events, and there is none beyond the last one.
        for wrong in [0, 6, 7, u64::MAX] {
            entries[0].seq = Some(Seq(wrong));
            let mut all = entries.clone();
            number(&mut all);
            let mut all = numbers(&all);
            all.sort_unstable();
            assert_eq!(all, [1, 2, 3, 4, 5, 6], "{wrong}");
        }
    }
}
