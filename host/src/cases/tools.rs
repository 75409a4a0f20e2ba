use std::collections::HashSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};

use super::expected::same;
use super::{Recording, Stub};
use crate::dispatch::{AgentRunner, NoAgents, ToolRunner};
use crate::message::{ErrorKind, Json, RunId, Slot, ToolEntry, ToolOutcome, Usage};
use crate::session::{Attempt, Conduct, Done, Execution, FanOut, Reach, Seat, SessionError};

/// The tools of one case: those of the agent, but for calls that the case answers itself, or that would take
/// effect outside.
pub struct CaseTools {
    runner: Arc<dyn ToolRunner>,
    stubs: Vec<Stub>,
    recorded: Option<Arc<Recording>>,
    effects: OutsideEffects,
    kept: Mutex<Kept>,
}

/// Whether tools may be called that could change something outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutsideEffects {
    /// They are called.
    Allowed,
    /// They are not: such a call gets what the case, or the recorded run, has for it.
    Refused,
}

/// A call for which a test has no answer, and which it does not make.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    /// Where in the run.
    pub slot: Slot,
    /// The tool and its input.
    pub call: String,
    /// Why it is not made.
    pub why: NotMade,
}

/// Why a test does not make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotMade {
    /// It would take effect outside.
    Outside,
    /// It is of another agent, whose model the case has no script for.
    Agent,
    /// It waits for a person, or for a moment.
    Waits,
}

/// Calls that were kept from their tools.
#[derive(Default)]
struct Kept {
    answered: HashSet<Slot>,
    refused: Vec<Refused>,
}

impl CaseTools {
    /// The tools of `runner`, but for these calls.
    #[must_use]
    pub fn new(
        runner: Arc<dyn ToolRunner>,
        stubs: Vec<Stub>,
        recorded: Option<Arc<Recording>>,
        effects: OutsideEffects,
    ) -> Self {
        Self { runner, stubs, recorded, effects, kept: Mutex::default() }
    }

    /// The calls that were answered without being made.
    #[must_use]
    pub fn answered(&self) -> HashSet<Slot> {
        self.kept().answered.clone()
    }

    /// The calls that were not made, and for which there was no answer, in the order of slots.
    #[must_use]
    pub fn refused(&self) -> Vec<Refused> {
        let mut refused = self.kept().refused.clone();
        refused.sort();
        refused
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock()
    }

    /// What a call comes to without being made; none if it is to be made.
    pub fn answer(&self, tool: &ToolEntry, input: &Json, slot: &Slot) -> Option<Done<ToolOutcome>> {
        let (name, value) = (&tool.spec.name, input.to_value());
        let stub = self.stubs.iter().find(|stub| stub.tool == *name && stub.input.fits(&value));
        if let Some(stub) = stub {
            self.kept().answered.insert(slot.clone());
            return Some(stub.outcome.clone().into());
        }
        let why = match (&tool.agent, self.effects) {
            (Some(_), _) => NotMade::Agent,
            (None, _) if tool.builtin.is_some() => NotMade::Waits,
            (None, OutsideEffects::Allowed) => return None,
            (None, OutsideEffects::Refused) if self.runner.conduct(tool).reach == Reach::Pure => return None,
            (None, OutsideEffects::Refused) => NotMade::Outside,
        };
        let recorded = self.recorded.as_ref().and_then(|recorded| recorded.call(slot));
        if let Some(call) = recorded.filter(|call| call.tool == *name && same(&call.input, &value)) {
            self.kept().answered.insert(slot.clone());
            let usage = Usage { used: call.used, ..Usage::default() };
            return Some(Done { usage, ..call.outcome.clone().into() });
        }
        self.kept().refused.push(Refused { slot: slot.clone(), call: format!("{name} {input}"), why });
        let told = match why {
            NotMade::Outside => "this test does not call tools that take effect outside",
            NotMade::Agent => "this test does not call other agents",
            NotMade::Waits => "this test waits for nobody",
        };
        Some(ToolOutcome::error(ErrorKind::NotCalled, told).into())
    }
}

impl ToolRunner for CaseTools {
    fn call<'a>(
        &'a self,
        tool: &'a ToolEntry,
        input: &'a Json,
        attempt: &'a Attempt,
        fan_out: Arc<dyn FanOut>,
    ) -> BoxFuture<'a, Done<ToolOutcome>> {
        Box::pin(async move {
            if let Some(outcome) = self.answer(tool, input, &attempt.slot) {
                return outcome;
            }
            // A call that is made again sees the clock of then, so that what it makes of it is the same.
            let began_ms = self.recorded.as_ref().and_then(|run| run.began_ms.get(&attempt.slot));
            let at_ms = began_ms.copied().unwrap_or(attempt.at_ms);
            let attempt = Attempt { at_ms, ..attempt.clone() };
            self.runner.call(tool, input, &attempt, fan_out).await
        })
    }

    fn seat(&self, run: RunId, depth: usize) -> BoxFuture<'_, Seat<'_>> {
        self.runner.seat(run, depth)
    }

    fn conduct(&self, tool: &ToolEntry) -> Conduct<'static> {
        let conduct = self.runner.conduct(tool);
        Conduct { retry: conduct.retry.at_once(), ..conduct }
    }
}

impl AgentRunner for CaseTools {
    fn call<'a>(
        &'a self,
        agent: &'a ToolEntry,
        input: &'a Json,
        attempt: &'a Attempt,
        session: &'a Arc<dyn Execution>,
    ) -> BoxFuture<'a, Result<Done<ToolOutcome>, SessionError>> {
        match self.answer(agent, input, &attempt.slot) {
            Some(outcome) => Box::pin(std::future::ready(Ok(outcome))),
            None => NoAgents.call(agent, input, attempt, session),
        }
    }
}
