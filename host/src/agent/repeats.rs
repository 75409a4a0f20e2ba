//! Calls that the model makes over and over.

use std::collections::{HashMap, HashSet};

use crate::message::{Digest, ErrorKind, Manifest, Reply, Rules, ToolCall, ToolOutcome, ToolResult};

/// Tells a model that goes in circles from one that gets on. All it goes by is recorded, so that a replay judges alike.
pub(super) struct Repeats {
    rules: Rules,
    /// How many turns in a row may make the same call with the same result; 0 for any number.
    max: Option<u32>,
    /// The same, of tools that have a number of their own.
    own: HashMap<String, u32>,
    /// The last reply, as far as it can be repeated.
    said: Option<Digest>,
    /// The calls of the last reply, in order.
    calls: Vec<Digest>,
    made: HashMap<Digest, Repeat>,
}

/// A call that was made in the turn before.
#[derive(Clone, Copy)]
struct Repeat {
    outcome: Digest,
    /// How many turns in a row made it, with the same outcome.
    turns: u32,
    /// Whether the model was told that it is not made any more.
    told: bool,
}

impl Repeats {
    pub(super) fn new(manifest: &Manifest, rules: Rules) -> Self {
        let own = manifest.tools.iter().filter_map(|tool| Some((tool.spec.name.clone(), tool.max_repeats?)));
        Self {
            rules,
            max: manifest.budgets.max_repeats,
            own: own.collect(),
            said: None,
            calls: Vec::new(),
            made: HashMap::new(),
        }
    }

    /// Counts a reply. One that differs from the reply before repeats nothing.
    pub(super) fn count(&mut self, reply: &Reply) {
        self.calls = reply.calls.iter().map(identity).collect();
        let said = Some(said(reply, &self.calls));
        if std::mem::replace(&mut self.said, said) != said {
            self.interrupted();
        }
    }

    /// Something came in between, so that what is done now is no repetition of what was done before.
    pub(super) fn interrupted(&mut self) {
        if self.rules.repeats_are_whole() {
            self.made.clear();
        }
    }

    /// What the model is told of calls that it makes over and over, in call order; or why the run ends, if it was told.
    pub(super) fn refuse(&self, calls: &[ToolCall]) -> Result<Vec<Option<ToolOutcome>>, String> {
        let refusal = |(call, identity): (&ToolCall, &Digest)| {
            let (Some(max), Some(repeat)) = (self.max_of(&call.name), self.made.get(identity)) else {
                return Ok(None);
            };
            if repeat.told {
                let name = &call.name;
                return Err(format!(
                    "the model made the same call of {name} again after it was told not to (max_repeats = {max})"
                ));
            }
            Ok((repeat.turns >= max).then(|| refused(max)))
        };
        calls.iter().zip(&self.calls).map(refusal).collect()
    }

    /// Notes what a turn's calls came to.
    pub(super) fn note(&mut self, refused: &[Option<ToolOutcome>], results: &[ToolResult]) {
        let mut made = HashMap::new();
        let mut seen = HashSet::new();
        for ((identity, refused), result) in self.calls.iter().zip(refused).zip(results) {
            // The same call made twice in one turn is made in one turn.
            if !seen.insert(*identity) {
                continue;
            }
            let outcome = Digest::of_json(&result.outcome);
            let repeat = match self.made.get(identity) {
                Some(before) if refused.is_some() => Repeat { told: true, ..*before },
                Some(before) if before.outcome == outcome => {
                    Repeat { turns: before.turns.saturating_add(1), ..*before }
                }
                Some(_) | None => Repeat { outcome, turns: 1, told: false },
            };
            made.insert(*identity, repeat);
        }
        self.made = made;
    }

    /// How many turns in a row may make the same call of a tool, if that is bounded.
    fn max_of(&self, name: &str) -> Option<u32> {
        self.own.get(name).copied().or(self.max).filter(|max| *max > 0)
    }
}

fn refused(max: u32) -> ToolOutcome {
    let message = format!(
        "this very call was made in each of the last {max} turns, with the same result each time, so it was not made \
         again: use that result, or do something else; the run is stopped if you repeat it"
    );
    ToolOutcome::error(ErrorKind::NotCalled, message)
}

/// What makes two calls the same.
fn identity(call: &ToolCall) -> Digest {
    Digest::of_json(&(&call.name, &call.arguments))
}

/// What makes two replies the same: the words, and the calls in whatever order and number.
fn said(reply: &Reply, calls: &[Digest]) -> Digest {
    let mut calls = calls.to_vec();
    calls.sort_unstable();
    calls.dedup();
    Digest::of_json(&(reply.text.trim(), calls))
}
