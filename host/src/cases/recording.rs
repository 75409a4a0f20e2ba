use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::expected::{Content, EndingKind, Expected, ExpectedCall, ExpectedOutcome, TextCheck};
use crate::journal::{self, Entry, JournalError, Started, Status, statuses};
use crate::message::{
    Arguments, Ending, Manifest, ModelFailure, Outcome, Reply, Request, RunId, SHOWN_BYTES_MAX, Slot, Step,
    ToolAsk, ToolOutcome, Used,
};
use crate::model::{Script, Turn};
use crate::session::SessionError;

/// A result that is longer is not written into a script as something to expect: it would hide the rest.
const EXPECT_CHARS_MAX: usize = 200;

/// What is recorded of a run, as a test looks at it.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The run.
    pub run: RunId,
    /// What it was to do.
    pub manifest: Manifest,
    /// What the model replied, turn by turn; or how it failed, where the run went on from that in its next turn.
    pub replies: Vec<Result<Reply, ModelFailure>>,
    /// How it summed up what was said before a turn, by turns; or how that failed, where the run went on without.
    pub summaries: HashMap<u32, Result<Reply, ModelFailure>>,
    /// The calls that ended, in the order of slots.
    pub calls: Vec<SeenCall>,
    /// How it ended, if it did.
    pub ending: Option<Ending>,
    /// When the last attempt of each call began, in milliseconds since 1970-01-01T00:00:00Z.
    pub began_ms: HashMap<Slot, u64>,
}

/// How a run went.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// How it ended.
    pub ending: EndingKind,
    /// What it ended with: the answer, or why there is none.
    pub answer: String,
    /// The calls that the model made.
    pub calls: Vec<SeenCall>,
}

/// A call that ended, and what it called itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeenCall {
    /// Where in the run.
    pub slot: Slot,
    /// The tool, by the name that was called.
    pub tool: String,
    /// The input; text that is no JSON is a text.
    pub input: Value,
    /// What it came to.
    pub outcome: ToolOutcome,
    /// The calls that the tool made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<SeenCall>,
    /// What the agent used, if it is a call of one.
    #[serde(skip)]
    pub used: Option<Used>,
}

impl Recording {
    /// Looks at what is recorded.
    pub fn of(run: RunId, entries: Vec<Entry>) -> Result<Self, SessionError> {
        let manifest = journal::manifest(&entries).ok_or(JournalError::NotBegun { run })?.clone();
        let ending = journal::ending(&entries).cloned();
        let slots = statuses(entries).map_err(|(slot, error)| SessionError::Order { slot, error })?;
        let (mut replies, mut summaries, mut began_ms) = (Vec::new(), HashMap::new(), HashMap::new());
        // From the last slot to the first, so that what a tool calls is there before its caller.
        let mut below: HashMap<Slot, Vec<SeenCall>> = HashMap::new();
        // What another agent's model said is part of what the call of that agent came to.
        let mut note = |steps: &[Step], reply| match steps {
            [Step::Model { .. }] => replies.push(reply),
            [Step::Summary { turn }] => drop(summaries.insert(*turn, reply)),
            _ => {}
        };
        for (slot, status) in slots.into_iter().rev() {
            let Status::Finished { started, finished, .. } = status else { continue };
            let Started { request, at_ms, .. } = started;
            match (request, finished.outcome) {
                (Request::Model(_), Outcome::Model(reply)) => note(slot.steps(), Ok(reply)),
                (Request::Model(_), Outcome::NoReply(failure)) => note(slot.steps(), Err(failure)),
                (Request::Tool(ask), Outcome::Tool(outcome)) => {
                    began_ms.insert(slot.clone(), at_ms);
                    let calls = in_order(below.remove(&slot));
                    let caller = slot.callers().last().unwrap_or(Slot::RUN);
                    let (input, used) = (input(&ask), finished.usage.used);
                    let call = SeenCall { input, tool: ask.name, slot, outcome, calls, used };
                    below.entry(caller).or_default().push(call);
                }
                (
                    Request::Run(_)
                    | Request::Model(_)
                    | Request::Api(_)
                    | Request::Tool(_)
                    | Request::Approval(_),
                    Outcome::Run(_)
                    | Outcome::Model(_)
                    | Outcome::NoReply(_)
                    | Outcome::Tool(_)
                    | Outcome::Decision(_),
                ) => {}
            }
        }
        replies.reverse();
        let calls = in_order(below.remove(&Slot::RUN));
        Ok(Self { run, manifest, replies, summaries, calls, ending, began_ms })
    }

    /// The replies as a script, of which nothing is said by what they expect.
    #[must_use]
    pub fn script(&self, path: &Path) -> Script {
        let turn = |(turn, reply): (u32, &Result<_, _>)| self.turn(turn, reply);
        Script::new(path, (0..).zip(&self.replies).map(turn).collect())
    }

    /// The replies as a script whose replies expect the results of the calls before them, where these are
    /// short.
    #[must_use]
    pub fn script_with_results(&self, path: &Path) -> Script {
        let turn = |(turn, reply): (u32, &Result<_, _>)| {
            let before = self.calls.iter().filter(|call| is_of_turn(&call.slot, turn.checked_sub(1)));
            let shown = before.map(|call| self.shown(call));
            let short = shown.filter(|text| text.chars().count() <= EXPECT_CHARS_MAX);
            Turn { expect: short.collect(), ..self.turn(turn, reply) }
        };
        Script::new(path, (0..).zip(&self.replies).map(turn).collect())
    }

    fn turn(&self, turn: u32, reply: &Result<Reply, ModelFailure>) -> Turn {
        let replied = |reply: &Reply| Turn { reply: Some(reply.clone()), ..Turn::default() };
        let failed = |failure: &ModelFailure| Turn { failures: vec![failure.clone()], ..Turn::default() };
        let asked = |reply: &Result<Reply, ModelFailure>| reply.as_ref().map_or_else(failed, replied);
        let summary = self.summaries.get(&turn).map(|summary| Box::new(asked(summary)));
        Turn { summary, ..asked(reply) }
    }

    /// What the model was shown of a call.
    fn shown(&self, call: &SeenCall) -> String {
        let entry = self.manifest.tools.iter().find(|tool| tool.spec.name == call.tool);
        let shown_bytes_max = entry.map_or(SHOWN_BYTES_MAX, |tool| tool.shown_bytes_max);
        let is_whole = self.manifest.rules.results_are_whole();
        call.outcome.model_text(shown_bytes_max, is_whole, self.manifest.words())
    }

    /// A call that is recorded at a slot.
    #[must_use]
    pub fn call(&self, slot: &Slot) -> Option<&SeenCall> {
        let mut calls = &self.calls;
        for caller in slot.callers() {
            calls = &calls.iter().find(|call| call.slot == caller)?.calls;
        }
        calls.iter().find(|call| call.slot == *slot)
    }

    /// What a run has to do to be like this one. What the calls at `answered` called is not looked at: they
    /// were answered, and called nothing.
    #[must_use]
    pub fn expected(&self, answered: &HashSet<Slot>) -> Expected {
        let (ending, text) = self.ending.as_ref().map_or((EndingKind::Answer, None), |ending| {
            let (kind, text) = EndingKind::of(ending);
            (kind, Some(text.to_owned()))
        });
        let text = TextCheck { whole: text, ..TextCheck::default() };
        let calls = self.calls.iter().map(|call| call.expected(answered)).collect();
        Expected { ending, text, calls: Some(calls) }
    }
}

impl SeenCall {
    fn expected(&self, answered: &HashSet<Slot>) -> ExpectedCall {
        let outcome = match &self.outcome {
            ToolOutcome::Output(json) => ExpectedOutcome::Output(Content::Whole(json.to_value())),
            ToolOutcome::Error(error) => ExpectedOutcome::Error(error.kind, Some(error.message.clone())),
        };
        let calls = self.calls.iter().map(|call| call.expected(answered)).collect();
        ExpectedCall {
            tool: self.tool.clone(),
            input: Content::Whole(self.input.clone()),
            outcome,
            calls: (!answered.contains(&self.slot)).then_some(calls),
        }
    }
}

/// Calls that were found from the last to the first.
fn in_order(calls: Option<Vec<SeenCall>>) -> Vec<SeenCall> {
    calls.into_iter().flatten().rev().collect()
}

fn is_of_turn(slot: &Slot, turn: Option<u32>) -> bool {
    matches!(slot.steps(), [Step::Tool { turn: of, .. }] if Some(*of) == turn)
}

fn input(ask: &ToolAsk) -> Value {
    match &ask.arguments {
        Arguments::Json(json) => json.to_value(),
        Arguments::Malformed(text) => Value::String(text.clone()),
    }
}
