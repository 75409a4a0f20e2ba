//! How what is recorded becomes spans.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::span::{Attempt, Came, Clock, Kind, Place, Span, Stand};
use super::{Going, Recorded};
use crate::journal::{Entry, Event, RunState, Stint};
use crate::message::{Builtin, Decision, Manifest, Outcome, Request, Slot, Step, ToolOutcome};
use crate::session::Wants;

/// What is recorded of a run, as spans.
pub(super) struct Grown<'a> {
    /// In the order in which a run goes.
    pub(super) spans: Vec<Span<'a>>,
    /// Where each of them is.
    pub(super) places: HashMap<Place, usize>,
    /// The agents that were called, by the slots of their calls, and the run's own.
    pub(super) agents: HashMap<Slot, &'a Manifest>,
}

/// All spans of a run.
pub(super) fn spans<'a>(
    recorded: &Recorded<'a>,
    manifest: &'a Manifest,
    clock: Clock,
    stints: &[Stint],
) -> Grown<'a> {
    let mut events: BTreeMap<&'a Slot, Vec<&'a Event>> = BTreeMap::new();
    for Entry { slot, event, .. } in recorded.entries.iter().filter(|entry| entry.slot != Slot::RUN) {
        events.entry(slot).or_default().push(event);
    }
    for slot in recorded.going.keys() {
        events.entry(slot).or_default();
    }
    let over: HashSet<&Slot> = events
        .iter()
        .filter(|(_, events)| matches!(events.last(), Some(Event::Finished(_))))
        .map(|(slot, _)| *slot)
        .collect();
    let waiting = recorded.waiting.iter().map(|it| (&it.slot, it.wants)).collect();
    let shared_until_ms = stints.first().map_or(0, |stint| stint.started_ms);
    let agents = HashMap::from([(Slot::RUN, manifest)]);
    let mut tree = Tree {
        state: recorded.state,
        clock,
        stints,
        over,
        waiting,
        shared_until_us: clock.us(shared_until_ms),
        agents,
        places: HashMap::new(),
        spans: Vec::new(),
    };
    for (slot, events) in events {
        tree.add(slot, &events, recorded.going.get(slot));
    }
    tree.close();
    let Tree { spans, places, agents, .. } = tree;
    Grown { spans, places, agents }
}

struct Tree<'a, 'r> {
    state: RunState,
    clock: Clock,
    stints: &'r [Stint],
    /// The slots that have ended.
    over: HashSet<&'a Slot>,
    waiting: HashMap<&'r Slot, Wants>,
    /// What happened before that was done by another run.
    shared_until_us: u64,
    /// The agents that are called, by the slots of their calls.
    agents: HashMap<Slot, &'a Manifest>,
    places: HashMap<Place, usize>,
    spans: Vec<Span<'a>>,
}

impl<'a> Tree<'a, '_> {
    fn add(&mut self, slot: &'a Slot, events: &[&'a Event], going: Option<&'a Going>) {
        let attempts = self.attempts(slot, events, going);
        let Some(first) = attempts.first() else { return };
        let index = self.span(slot);
        let stand = self.stand(slot, &attempts);
        // A clock may have been put back between two attempts.
        let began_us = attempts.iter().map(|it| it.began_us).min().unwrap_or(first.began_us);
        let until_us = attempts.iter().map(|it| it.until_us).max().unwrap_or(first.until_us);
        let heard = going.map(|going| going.heard.as_str()).filter(|heard| !heard.is_empty());
        let ended = matches!(stand, Stand::Done | Stand::Failed | Stand::Stopped);
        let (kind, name) = self.told(slot, &attempts);
        let Some(span) = self.spans.get_mut(index) else { return };
        (span.kind, span.name, span.stand, span.heard) = (kind, name, stand, heard);
        (span.began_us, span.until_us) = (began_us, until_us);
        span.ended_us = ended.then_some(until_us);
        span.attempts = attempts;
    }

    /// The attempts at a slot, each with what came of it.
    fn attempts(&self, slot: &Slot, events: &[&'a Event], going: Option<&'a Going>) -> Vec<Attempt<'a>> {
        let mut attempts: Vec<Attempt<'a>> = Vec::new();
        for event in events {
            match event {
                Event::Started(started) => {
                    let began_us = self.clock.us(started.at_ms);
                    let (number, request) = (started.attempt, &started.request);
                    match attempts.last_mut().filter(|last| matches!(last.came, Came::Open)) {
                        // A person is asked about the same call anew.
                        Some(last) if matches!(last.request, Request::Approval(_)) => {
                            (last.number, last.request) = (number, request);
                            continue;
                        }
                        Some(last) => last.cut_off(self.left_us(last.began_us).min(began_us)),
                        None => {}
                    }
                    let came = Came::Open;
                    attempts.push(Attempt { number, request, began_us, until_us: self.clock.now_us, came });
                }
                Event::Failed(failed) => {
                    let end_us = |began_us| self.clock.end_us(began_us, failed.usage.wall_us, failed.at_ms);
                    end(&mut attempts, failed.attempt, Came::Failed(failed), end_us);
                }
                Event::Finished(finished) => {
                    // What a person says takes no time on any processor.
                    let is_said = finished.by.is_some() || finished.settled;
                    let wall_us = if is_said { 0 } else { finished.usage.wall_us };
                    let end_us = |began_us| self.clock.end_us(began_us, wall_us, finished.at_ms);
                    end(&mut attempts, finished.attempt, Came::Finished(finished), end_us);
                }
            }
        }
        let is_new = |going: &&Going| attempts.last().is_none_or(|last| last.number < going.attempt);
        if let Some(Going { attempt, at_ms, request, .. }) = going.filter(is_new) {
            let (number, began_us, until_us) = (*attempt, self.clock.us(*at_ms), self.clock.now_us);
            attempts.push(Attempt { number, request, began_us, until_us, came: Came::Open });
        }
        let goes_on = self.state == RunState::Running || self.waiting.contains_key(slot);
        if let Some(last) = attempts.last_mut().filter(|last| matches!(last.came, Came::Open) && !goes_on) {
            last.until_us = self.left_us(last.began_us);
        }
        attempts
    }

    /// When the process recorded its last event that began something at this time.
    fn left_us(&self, began_us: u64) -> u64 {
        let of = |stint: &&Stint| self.clock.us(stint.started_ms) <= began_us;
        let left = self.stints.iter().rev().find(of).map_or(began_us, |stint| self.clock.us(stint.until_ms));
        left.max(began_us)
    }

    fn stand(&self, slot: &Slot, attempts: &[Attempt<'a>]) -> Stand {
        let Some(last) = attempts.last() else { return Stand::Due };
        let is_over = self.state.has_ended() || slot.callers().any(|caller| self.over.contains(&caller));
        match last.came {
            Came::Finished(finished) if is_good(&finished.outcome) => Stand::Done,
            Came::Finished(_) => Stand::Failed,
            Came::Failed(failed) if failed.gave_up && !is_over => Stand::GivenUp,
            Came::Failed(_) | Came::CutOff | Came::Open if is_over => Stand::Stopped,
            Came::Failed(_) => Stand::Again,
            Came::CutOff | Came::Open => match (self.waiting.get(slot), last.request) {
                (Some(Wants::Settlement), _) if self.state != RunState::Running => Stand::InDoubt,
                (Some(wants @ (Wants::Approval | Wants::Answer | Wants::Moment(_))), _) => {
                    Stand::Waits(*wants)
                }
                _ if self.state == RunState::Running => Stand::GoesOn,
                // A model is asked again, and an agent that is called goes on where it was.
                (_, Request::Model(_) | Request::Api(_)) | (None, Request::Tool(_)) => Stand::CutOff,
                (_, Request::Run(_) | Request::Tool(_) | Request::Approval(_)) => Stand::InDoubt,
            },
        }
    }

    /// What a span is, and what it is called.
    fn told(&mut self, slot: &Slot, attempts: &[Attempt<'a>]) -> (Kind, Cow<'a, str>) {
        let Some(last) = attempts.last() else { return (Kind::Tool, Cow::Borrowed("")) };
        let agent = self.agents.get(&slot.run()).copied();
        match last.request {
            Request::Model(_) => {
                let kind = match slot.steps() {
                    [.., Step::Summary { .. }] => Kind::Summary,
                    _ => Kind::Model,
                };
                let origin = match last.outcome() {
                    Some(Outcome::Model(reply)) => reply.origin.as_ref().map(|it| it.name.as_str()),
                    Some(_) | None => None,
                };
                let name = origin.or(agent.map(|agent| agent.model.name.as_str())).unwrap_or_default();
                (kind, Cow::Borrowed(name))
            }
            Request::Api(ask) => (Kind::Model, Cow::Borrowed(ask.model.as_str())),
            Request::Approval(ask) => (Kind::Approval, Cow::Borrowed(ask.name.as_str())),
            Request::Run(manifest) => (Kind::Agent, Cow::Borrowed(manifest.agent.as_str())),
            Request::Tool(ask) => {
                let tool = agent.and_then(|agent| agent.tool(&ask.name));
                let kind = match tool.map(|tool| (tool.builtin, tool.agent.as_deref())) {
                    Some((Some(Builtin::AskHuman), _)) => Kind::Person,
                    Some((Some(Builtin::SleepUntil), _)) => Kind::Sleep,
                    Some((None, Some(called))) => {
                        self.agents.insert(slot.clone(), called);
                        Kind::Agent
                    }
                    Some((None, None)) | None => Kind::Tool,
                };
                (kind, Cow::Borrowed(ask.name.as_str()))
            }
        }
    }

    /// The index of the span of a slot, which is made with all that enclose it if it is not there.
    fn span(&mut self, slot: &Slot) -> usize {
        let place = Place::At(slot.clone());
        if let Some(index) = self.places.get(&place) {
            return *index;
        }
        let parent = match slot.steps().split_last() {
            Some((Step::Summary { turn } | Step::Model { turn } | Step::Tool { turn, .. }, before)) => {
                Some(self.turn(&Slot::from_steps(before.to_vec()), *turn))
            }
            Some((Step::Call { .. } | Step::Approval, before)) if !before.is_empty() => {
                Some(self.span(&Slot::from_steps(before.to_vec())))
            }
            Some((Step::Call { .. } | Step::Approval, _)) | None => None,
        };
        self.make(place, Kind::Tool, Cow::Borrowed(""), parent)
    }

    fn turn(&mut self, run: &Slot, turn: u32) -> usize {
        let place = Place::Turn { run: run.clone(), turn };
        if let Some(index) = self.places.get(&place) {
            return *index;
        }
        let parent = (*run != Slot::RUN).then(|| self.span(run));
        self.make(place, Kind::Turn, Cow::Owned(format!("turn {turn}")), parent)
    }

    fn make(&mut self, place: Place, kind: Kind, name: Cow<'a, str>, parent: Option<usize>) -> usize {
        let depth = parent.and_then(|parent| self.spans.get(parent)).map_or(0, |parent| parent.depth + 1);
        let index = self.spans.len();
        self.places.insert(place.clone(), index);
        self.spans.push(Span {
            place,
            kind,
            name,
            depth,
            parent,
            began_us: u64::MAX,
            ended_us: None,
            until_us: 0,
            stand: Stand::Due,
            attempts: Vec::new(),
            is_critical: false,
            is_shared: false,
            heard: None,
        });
        index
    }

    /// Gives what encloses others its times, and its state where it has none of its own.
    fn close(&mut self) {
        // What somebody has to do something about, at a span or below it.
        let mut urgent: Vec<Stand> = self.spans.iter().map(|span| span.stand).collect();
        for index in (0..self.spans.len()).rev() {
            let shared_until_us = self.shared_until_us;
            let Some((span, stand)) = self.spans.get_mut(index).zip(urgent.get(index).copied()) else {
                continue;
            };
            if span.began_us == u64::MAX {
                span.began_us = 0;
            }
            if span.kind == Kind::Turn {
                span.stand = if urgency(stand) == 0 { Stand::Done } else { stand };
                span.ended_us = (urgency(stand) == 0).then_some(span.until_us);
            }
            span.is_shared = span.until_us <= shared_until_us && span.began_us < shared_until_us;
            let (began_us, until_us, parent) = (span.began_us, span.until_us, span.parent);
            let (kind, own, name) = (span.kind, span.stand, span.name.clone());
            let Some(above) = parent else { continue };
            if let Some(above) = urgent.get_mut(above).filter(|above| urgency(stand) > urgency(**above)) {
                *above = stand;
            }
            let Some(parent) = self.spans.get_mut(above) else { continue };
            parent.began_us = parent.began_us.min(began_us);
            parent.until_us = parent.until_us.max(until_us);
            // The call was not made yet, or never will be.
            if parent.attempts.is_empty() && kind == Kind::Approval {
                parent.name = name;
                parent.stand = if own == Stand::Failed { Stand::Stopped } else { Stand::Due };
            }
        }
    }
}

/// How much somebody has to do something about what stands so. A call that failed is data for the model: its turn is none
/// the worse.
fn urgency(stand: Stand) -> u8 {
    match stand {
        Stand::Due | Stand::Done | Stand::Failed | Stand::Stopped => 0,
        Stand::Again => 1,
        Stand::CutOff => 2,
        Stand::GoesOn => 3,
        Stand::GivenUp => 4,
        Stand::Waits(_) => 5,
        Stand::InDoubt => 6,
    }
}

/// Ends the attempt of this number. An answer to a question that is asked no more ends nothing.
fn end<'a>(attempts: &mut [Attempt<'a>], number: u32, came: Came<'a>, end_us: impl Fn(u64) -> u64) {
    if let Some(last) = attempts.last_mut().filter(|last| last.number == number) {
        last.until_us = end_us(last.began_us);
        last.came = came;
    }
}

impl Attempt<'_> {
    fn cut_off(&mut self, at_us: u64) {
        self.came = Came::CutOff;
        self.until_us = at_us.max(self.began_us);
    }
}

fn is_good(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Model(_)
        | Outcome::Tool(ToolOutcome::Output(_))
        | Outcome::Decision(Decision::Approved { .. }) => true,
        Outcome::Run(ending) => matches!(ending, crate::message::Ending::Answer(_)),
        Outcome::NoReply(_)
        | Outcome::Tool(ToolOutcome::Error(_))
        | Outcome::Decision(Decision::Denied { .. }) => false,
    }
}
