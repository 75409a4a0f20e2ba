//! What a run has recorded of a program's requests and calls, by what they are known by when they come again.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::body::Round;
use super::kept::{Conversation, whole};
use crate::journal::Status;
use crate::message::{ApiAsk, Arguments, Digest, Outcome, Reply, Request, Slot, Step, ToolAsk, ToolOutcome};

/// What is recorded, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Book {
    by_key: HashMap<(Digest, u32), Slot>,
    asks: BTreeMap<Slot, Asked>,
    calls: BTreeMap<Slot, Called>,
    conversations: Vec<Conversation>,
    /// Where replies are recorded, by what a program tells back of them.
    by_reply: HashMap<Digest, Vec<Slot>>,
    /// Where calls are recorded, by tool and input.
    by_call: HashMap<(String, String), Vec<Slot>>,
    /// The last turn that has a reply, and how many places of each turn are taken.
    last: Option<u32>,
    taken: HashMap<u32, u32>,
}

/// A request for a reply.
#[derive(Debug)]
pub(super) struct Asked {
    ask: ApiAsk,
    reply: Option<Said>,
}

/// A reply, as far as a program tells it back.
#[derive(Debug)]
struct Said {
    text: String,
    wanted: Vec<Wanted>,
}

/// A call that a reply asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    /// The id under which the model asks for it, if it has one.
    pub(super) id: String,
    /// The tool.
    pub(super) name: String,
    /// The input, in canonical form.
    pub(super) input: String,
}

/// A call that was made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Called {
    /// The tool.
    pub(super) name: String,
    /// The input, in canonical form.
    pub(super) input: String,
    /// The id under which the program made it.
    pub(super) client_id: Option<String>,
    /// What it came to, if it has ended.
    pub(super) outcome: Option<ToolOutcome>,
}

impl Called {
    /// A call as it is recorded, which has not ended.
    fn of(ask: &ToolAsk) -> Self {
        let (name, input) = (ask.name.clone(), ask.arguments.as_written().to_owned());
        Self { name, input, client_id: ask.client_id.clone(), outcome: None }
    }
}

impl Said {
    fn of(reply: &Reply) -> Self {
        let wanted = |call: &crate::message::ToolCall| Wanted {
            id: call.id.clone(),
            name: call.name.clone(),
            input: call.arguments.as_written().to_owned(),
        };
        Self { text: reply.text.clone(), wanted: reply.calls.iter().map(wanted).collect() }
    }

    /// What a program tells back of it, however it writes it.
    fn known_by(&self) -> Digest {
        let calls: Vec<_> = self.wanted.iter().map(|it| (it.name.as_str(), it.input.as_str())).collect();
        known_by(&calls, &self.text)
    }
}

/// The calls of a reply, or what it says if it has no calls: programs leave out what is said beside calls.
fn known_by(calls: &[(&str, &str)], text: &str) -> Digest {
    Digest::of_json(&(calls, if calls.is_empty() { text.trim() } else { "" }))
}

impl Book {
    /// Takes in how a slot stands.
    pub(super) fn read(&mut self, slot: &Slot, status: &Status) {
        let (started, outcome) = match status {
            Status::Absent => return,
            Status::Started { started, .. } | Status::Failed { started, .. } => (started, None),
            Status::Finished { started, finished, .. } => (started, Some(&finished.outcome)),
        };
        match (&started.request, slot.is_nested()) {
            (Request::Api(ask), false) => {
                let reply = match outcome {
                    Some(Outcome::Model(reply)) => Some(reply),
                    _ => None,
                };
                self.by_key.insert((ask.key, ask.occurrence), slot.clone());
                let reply = reply.map(Said::of);
                if let Some(reply) = &reply {
                    self.last = self.last.max(turn(slot));
                    self.by_reply.entry(reply.known_by()).or_default().push(slot.clone());
                }
                self.asks.insert(slot.clone(), Asked { ask: (**ask).clone(), reply });
            }
            (Request::Tool(ask), false) => {
                let outcome = match outcome {
                    Some(Outcome::Tool(outcome)) => Some(outcome.clone()),
                    _ => None,
                };
                self.call(slot.clone(), Called { outcome, ..Called::of(ask) });
            }
            (Request::Approval(ask), true) => {
                if let ([Step::Tool { .. }, Step::Approval], Some(call)) =
                    (slot.steps(), slot.callers().next())
                {
                    self.asked_about(call, ask);
                }
            }
            _ => {}
        }
    }

    /// Takes in what a person was asked about a call: that is what the program called, whatever they made of its input.
    fn asked_about(&mut self, call: Slot, ask: &ToolAsk) {
        let before = self.calls.remove(&call);
        if let Some(Called { name, input, .. }) = &before
            && let Some(known) = self.by_call.get_mut(&(name.clone(), input.clone()))
        {
            known.retain(|slot| *slot != call);
        }
        let outcome = before.and_then(|before| before.outcome);
        self.call(call, Called { outcome, ..Called::of(ask) });
    }

    /// Takes in the conversations of what is recorded, once all of it is read.
    pub(super) fn read_conversations(&mut self) {
        let bodies = self.asks.iter().filter_map(|(slot, asked)| {
            let body = whole(&asked.ask, &|slot| Some(&self.asks.get(slot)?.ask))?;
            Some(Conversation::of(slot.clone(), asked.ask.dialect, &body))
        });
        self.conversations = bodies.collect();
    }

    /// Where a request is recorded.
    pub(super) fn slot_of(&self, key: Digest, occurrence: u32) -> Option<&Slot> {
        self.by_key.get(&(key, occurrence))
    }

    /// The requests that are recorded, in order.
    pub(super) fn asks(&self) -> impl Iterator<Item = (&Slot, &ApiAsk)> {
        self.asks.iter().map(|(slot, asked)| (slot, &asked.ask))
    }

    /// A request that is recorded.
    pub(super) fn ask_at(&self, slot: &Slot) -> Option<&ApiAsk> {
        Some(&self.asks.get(slot)?.ask)
    }

    /// The body of a request that is recorded.
    pub(super) fn body_at(&self, slot: &Slot) -> Option<Value> {
        whole(self.ask_at(slot)?, &|slot| self.ask_at(slot))
    }

    /// The calls that the reply at a slot asks for; none if there is no reply.
    pub(super) fn wanted_at(&self, slot: &Slot) -> Option<&[Wanted]> {
        Some(&self.asks.get(slot)?.reply.as_ref()?.wanted)
    }

    /// Where replies are recorded, in order.
    pub(super) fn replies(&self) -> impl Iterator<Item = &Slot> {
        self.asks.iter().filter(|(_, asked)| asked.reply.is_some()).map(|(slot, _)| slot)
    }

    /// The replies that a program may mean by one that it tells back, in order.
    pub(super) fn told_back(&self, round: &Round) -> &[Slot] {
        let inputs: Vec<Arguments> = round.calls.iter().map(|call| Arguments::parse(&call.input)).collect();
        let calls: Vec<_> = round
            .calls
            .iter()
            .zip(&inputs)
            .map(|(call, input)| (call.name.as_str(), input.as_written()))
            .collect();
        let known_by = known_by(&calls, round.reply.as_deref().unwrap_or_default());
        self.by_reply.get(&known_by).map_or(&[], Vec::as_slice)
    }

    /// How many requests there were.
    pub(super) fn requests(&self) -> usize {
        self.asks.len()
    }

    /// A call that was made.
    pub(super) fn call_at(&self, slot: &Slot) -> Option<&Called> {
        self.calls.get(slot)
    }

    /// The calls of a tool with an input that were made and that no reply had asked for.
    pub(super) fn free_calls(&self, name: &str, input: &str) -> Vec<Slot> {
        let made = self.by_call.get(&(name.to_owned(), input.to_owned()));
        made.into_iter().flatten().filter(|slot| !self.is_wanted(slot)).cloned().collect()
    }

    fn is_wanted(&self, slot: &Slot) -> bool {
        let Some(Step::Tool { turn, index }) = slot.steps().last().copied() else { return false };
        let wanted = self.wanted_at(&Slot::model(turn));
        wanted.is_some_and(|wanted| (index as usize) < wanted.len())
    }

    /// Takes in a request that is sent for the first time, and says where it is recorded.
    pub(super) fn begin(&mut self, body: &Value, ask: ApiAsk) -> (Slot, ApiAsk) {
        let turn = self.asks.keys().filter_map(turn).max().map_or(0, |turn| turn.saturating_add(1));
        let slot = Slot::model(turn);
        let conversation = Conversation::of(slot.clone(), ask.dialect, body);
        let (after, short) = conversation.shortened(body, &self.conversations);
        let ask = ApiAsk { after, body: short, ..ask };
        self.conversations.push(conversation);
        self.by_key.insert((ask.key, ask.occurrence), slot.clone());
        self.asks.insert(slot.clone(), Asked { ask: ask.clone(), reply: None });
        (slot, ask)
    }

    /// Takes in a reply.
    pub(super) fn replied(&mut self, slot: &Slot, reply: &Reply) {
        self.last = self.last.max(turn(slot));
        if let Some(asked) = self.asks.get_mut(slot) {
            let reply = Said::of(reply);
            if asked.reply.is_none() {
                self.by_reply.entry(reply.known_by()).or_default().push(slot.clone());
            }
            asked.reply = Some(reply);
        }
    }

    /// A place for a call that no reply asked for: after the calls of the last reply.
    pub(super) fn free_slot(&self) -> Slot {
        let turn = self.last.unwrap_or_default();
        let wanted = self.wanted_at(&Slot::model(turn)).map_or(0, <[Wanted]>::len);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        Slot::tool(turn, self.taken.get(&turn).copied().unwrap_or_default().max(wanted))
    }

    /// Takes in a call that is made.
    pub(super) fn call(&mut self, slot: Slot, called: Called) {
        if self.calls.contains_key(&slot) {
            return;
        }
        if let Some(Step::Tool { turn, index }) = slot.steps().last() {
            let taken = self.taken.entry(*turn).or_default();
            *taken = (*taken).max(index.saturating_add(1));
        }
        self.by_call.entry((called.name.clone(), called.input.clone())).or_default().push(slot.clone());
        self.calls.insert(slot, called);
    }

    /// Takes in what a call came to.
    pub(super) fn called(&mut self, slot: &Slot, outcome: &ToolOutcome) {
        if let Some(called) = self.calls.get_mut(slot) {
            called.outcome = Some(outcome.clone());
        }
    }
}

fn turn(slot: &Slot) -> Option<u32> {
    match slot.steps() {
        [Step::Model { turn }] => Some(*turn),
        _ => None,
    }
}
