//! A run as it is drawn: a tree of spans over time.
//!
//! Owns how attempts, waits and ends become spans, which of them the run waited for (`critical`), and when nothing was
//! done (`axis`). Every front end draws it and derives nothing: the terminal, the pages of a server, and the file that is
//! shared. It borrows what is recorded, does no I/O, and cannot fail: what makes no sense in a record is drawn as it
//! stands there. Times are in microseconds since the first thing that is recorded happened; a record has milliseconds and
//! how long an attempt took.

mod axis;
mod critical;
mod followed;
mod span;
mod tree;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

pub use axis::{Axis, Fold, Tick, Why};
pub use followed::Followed;
pub use span::{Attempt, Came, Kind, Place, Span, Stand};

use crate::agent::Spending;
use crate::journal::{self, Entry, Finished, Revival, RunState, Stint, revivals, stints};
use crate::message::{Ending, Manifest, Request, RunId, Slot, Used};
use crate::model::Purpose;
use crate::session::Waiting;
use tree::Grown;

/// What goes on in a run at this moment and is not recorded yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Going {
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// When it began, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: u64,
    /// What is asked for.
    pub request: Request,
    /// What was heard of the reply so far.
    pub heard: String,
}

/// What a timeline is made of.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// The run.
    pub run: RunId,
    /// What is recorded of it.
    pub entries: &'a [Entry],
    /// How it stands.
    pub state: RunState,
    /// What it waits for, or is in doubt about: see [`waiting`](super::waiting).
    pub waiting: &'a [Waiting],
    /// What goes on and is not recorded yet.
    pub going: &'a BTreeMap<Slot, Going>,
    /// The moment that is drawn up to if the run goes on, in milliseconds since 1970-01-01T00:00:00Z.
    pub now_ms: u64,
}

/// A run as a tree of spans.
#[derive(Clone, Debug)]
pub struct Timeline<'a> {
    /// The run.
    pub run: RunId,
    /// What it was begun with, or last carried on with.
    pub manifest: &'a Manifest,
    /// How it stands.
    pub state: RunState,
    /// When the first thing happened, in milliseconds since 1970-01-01T00:00:00Z: all other times are counted from here.
    pub began_ms: u64,
    /// How long after that the last thing happened, or it is now, in microseconds.
    pub length_us: u64,
    /// How it ended, if it did.
    pub ending: Option<&'a Ending>,
    /// The end of it as it is recorded.
    pub finished: Option<&'a Finished>,
    /// What it used so far.
    pub used: Used,
    /// The processes that worked on it, the first one first.
    pub stints: Vec<Stint>,
    /// How often it was cancelled and went on all the same.
    pub revivals: Vec<Revival>,
    /// What happened, in the order in which a run goes: whoever encloses others stands before them.
    pub spans: Vec<Span<'a>>,
    /// How time is laid out.
    pub axis: Axis,
    places: HashMap<Place, usize>,
}

impl<'a> Timeline<'a> {
    /// The timeline of a run; `None` if it has not begun.
    #[must_use]
    pub fn of(recorded: Recorded<'a>) -> Option<Self> {
        let Recorded { run, entries, state, waiting: _, going, now_ms } = recorded;
        let manifest = journal::manifest(entries)?;
        let ending = journal::ending(entries);
        let state = ending.map_or(state, RunState::from);
        let moments = entries.iter().map(|entry| entry.event.at_ms());
        let moments = moments.chain(going.values().map(|going| going.at_ms));
        let began_ms = moments.clone().min()?;
        let is_live = matches!(state, RunState::Running | RunState::Suspended) || !going.is_empty();
        let last_ms = moments.chain(is_live.then_some(now_ms)).max()?;
        let clock = span::Clock { began_ms, now_us: span::us_between(began_ms, last_ms) };
        let stints = stints(entries);
        let recorded = Recorded { state, ..recorded };
        let Grown { mut spans, places, agents } = tree::spans(&recorded, manifest, clock, &stints);
        critical::mark(&mut spans);
        let ends = spans.iter().map(|span| span.until_us);
        let length_us = ends.chain([clock.now_us]).max().unwrap_or_default();
        let finished = journal::end(entries);
        let used = finished
            .and_then(|finished| finished.usage.used)
            .unwrap_or_else(|| used(&Slot::RUN, &spans, &agents));
        let axis = Axis::of(&spans, &stints, began_ms, length_us);
        let revivals = revivals(entries);
        Some(Self {
            run,
            manifest,
            state,
            began_ms,
            length_us,
            ending,
            finished,
            used,
            stints,
            revivals,
            spans,
            axis,
            places,
        })
    }

    /// The span of a slot.
    #[must_use]
    pub fn at(&self, slot: &Slot) -> Option<&Span<'a>> {
        self.spans.get(*self.places.get(&Place::At(slot.clone()))?)
    }

    /// The spans that enclose the one at this index, outermost first.
    #[must_use]
    pub fn around(&self, index: usize) -> Vec<usize> {
        let parent = |index: &usize| self.spans.get(*index)?.parent;
        let mut around: Vec<usize> = std::iter::successors(parent(&index), parent).collect();
        around.reverse();
        around
    }

    /// The moment of a time in the run, in milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn moment_ms(&self, at_us: u64) -> u64 {
        self.began_ms.saturating_add(at_us / 1000)
    }

    /// How long the run itself went on, in microseconds: without what it shares with the run that it was forked from.
    #[must_use]
    pub fn own_us(&self) -> u64 {
        self.length_us.saturating_sub(span::us_between(self.began_ms, self.run.started_ms()))
    }

    /// Why the run stands as it does, where that is not good: what its end says, or the model that was given up.
    #[must_use]
    pub fn reason(&self) -> Option<Cow<'a, str>> {
        match self.ending {
            Some(
                Ending::Refused(why) | Ending::Limit(why) | Ending::Empty(why) | Ending::Unfit { why, .. },
            ) => Some(why.into()),
            Some(Ending::Cancelled(cancelled)) => Some(cancelled.to_string().into()),
            Some(Ending::Answer(_)) => None,
            None => {
                let last = self.gave_up()?;
                last.attempts.last().and_then(Attempt::failure).map(Cow::from)
            }
        }
    }

    /// The request that the run gave up, if that is why it stands still.
    #[must_use]
    pub fn gave_up(&self) -> Option<&Span<'a>> {
        self.spans.iter().rev().find(|span| span.depth == 1 && span.stand == Stand::GivenUp)
    }
}

/// What a run used that has not ended, or an agent that was called there: counted as the run counts it.
fn used(run: &Slot, spans: &[Span<'_>], agents: &HashMap<Slot, &Manifest>) -> Used {
    let Some(manifest) = agents.get(run) else { return Used::default() };
    let mut spending = Spending::new(manifest, manifest.rules);
    let own = spans.iter().filter_map(|span| Some((span, span.slot().filter(|slot| slot.run() == *run)?)));
    for (span, slot) in own {
        match (span.kind, span.reply()) {
            (Kind::Model, Some(reply)) => {
                spending.count(reply);
                // What it says of a limit, the run says itself when it ends.
                let _ = spending.judge(reply);
            }
            (Kind::Summary, Some(reply)) => spending.count_tokens(reply, Purpose::Summary),
            (Kind::Agent, _) => {
                let told = span.attempts.last().and_then(Attempt::noted).and_then(|(usage, _)| usage.used);
                spending.count_called([told.unwrap_or_else(|| used(slot, spans, agents))]);
            }
            _ => {}
        }
    }
    spending.used()
}

#[cfg(test)]
pub(crate) mod hostile;
#[cfg(test)]
mod tests;
