//! Two runs, place by place: what each asked of its tools, and what came of everything.

use std::collections::BTreeSet;

use super::changes::between;
use super::timeline::{Span, Timeline};
use crate::journal::Entry;
use crate::message::{Request, RunId, Slot};
use crate::session::diff;

/// In what two runs differ.
#[derive(Debug)]
pub struct Comparison<'a> {
    /// What differs of the agents, the prompts and the settings, a line for each thing.
    pub changes: Vec<String>,
    /// The lines in which the ends differ, in unified form; empty if they do not.
    pub ending: String,
    /// The places at which the runs differ, in the order in which a run goes.
    pub places: Vec<Difference<'a>>,
    /// How many places are the same, the run itself among them.
    pub same: usize,
}

/// A place at which two runs differ.
#[derive(Debug)]
pub struct Difference<'a> {
    /// Where.
    pub slot: &'a Slot,
    /// What was asked for there, in the one run if it was asked for in both.
    pub request: &'a Request,
    /// How they differ.
    pub found: Found,
}

/// How two runs differ at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Only this run came there.
    OnlyIn(RunId),
    /// The lines that differ of what was asked for, and of what came of it, each in unified form.
    Lines(Vec<String>),
}

impl<'a> Comparison<'a> {
    /// Compares two runs. What is recorded of the one says which of its calls a change touches.
    #[must_use]
    pub fn of(one: &'a Timeline<'a>, other: &'a Timeline<'a>, entries: &[Entry]) -> Self {
        let names = [one.run.to_string(), other.run.to_string()];
        let names = [names[0].as_str(), names[1].as_str()];
        let changes = between(one.manifest, other.manifest, entries);
        let outcome = |timeline: &Timeline<'a>| timeline.finished.map(|finished| &finished.outcome);
        let ending = diff(names, &outcome(one), &outcome(other));
        let came = |timeline: &'a Timeline<'a>| timeline.spans.iter().filter_map(asked);
        let slots: BTreeSet<&Slot> = came(one).chain(came(other)).map(|(slot, ..)| slot).collect();
        let (mut places, mut same) = (Vec::new(), usize::from(ending.is_empty()));
        for slot in slots {
            let at = |timeline: &'a Timeline<'a>| timeline.at(slot).and_then(asked);
            let (request, found) = match (at(one), at(other)) {
                (Some((_, request, here)), Some((_, _, there))) => {
                    let lines = lines(names, here, there);
                    (request, Some(Found::Lines(lines)).filter(|it| *it != Found::Lines(Vec::new())))
                }
                (Some((_, request, _)), None) => (request, Some(Found::OnlyIn(one.run))),
                (None, Some((_, request, _))) => (request, Some(Found::OnlyIn(other.run))),
                (None, None) => continue,
            };
            match found {
                Some(found) => places.push(Difference { slot, request, found }),
                None => same += 1,
            }
        }
        Self { changes, ending, places, same }
    }

    /// Whether the runs are the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.ending.is_empty() && self.places.is_empty()
    }
}

/// A span with the place at which something was asked for, and what that was.
fn asked<'a>(span: &'a Span<'a>) -> Option<(&'a Slot, &'a Request, &'a Span<'a>)> {
    Some((span.slot()?, span.request()?, span))
}

/// The lines that differ at one place.
fn lines(names: [&str; 2], one: &Span<'_>, other: &Span<'_>) -> Vec<String> {
    let mut found = Vec::new();
    // What a model is asked follows from what came before it.
    if let (Some(one @ Request::Tool(_)), Some(other @ Request::Tool(_))) = (one.request(), other.request()) {
        found.push(diff(names, one, other));
    }
    found.push(diff(names, &one.outcome(), &other.outcome()));
    found.retain(|diff| !diff.is_empty());
    found
}
