use std::cmp::Ordering;
use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Where in a run an effect stands. The journal is keyed by it, so the order in which parallel calls end
/// never matters.
///
/// A slot is a path: the run itself is the empty path, written `run`; `model(2)` is the model request of
/// the third turn; `tool(2,0)` the first tool call of that turn; a call that a tool makes extends the slot
/// of its parent, as in `tool(2,0)/call(1)`, and so does what an agent does that is called like a tool, as in
/// `tool(2,0)/model(0)` and `tool(2,0)/tool(0,1)`. `summary(2)` is the request for a summary before `model(2)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(Vec<Step>);

/// One step of a slot's path. Steps sort as they follow each other in a run: by turn, and within a turn the
/// summary, the model request, and the calls it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The request for a summary of what was said before a turn.
    Summary {
        /// From 0.
        turn: u32,
    },
    /// The model request of a turn.
    Model {
        /// From 0.
        turn: u32,
    },
    /// A tool call of a turn.
    Tool {
        /// From 0.
        turn: u32,
        /// The call's place in the model's reply, from 0.
        index: u32,
    },
    /// A call made by the tool whose slot this step extends.
    Call {
        /// The call's place among all calls its parent makes, from 0.
        index: u32,
    },
    /// What a person decides on the call whose slot this step extends.
    Approval,
}

impl Step {
    fn order(self) -> (u32, u8, u32) {
        match self {
            // Before whatever is below a call: it comes before the call is made.
            Self::Approval => (0, 0, 0),
            Self::Summary { turn } => (turn, 1, 0),
            Self::Model { turn } => (turn, 2, 0),
            Self::Tool { turn, index } => (turn, 3, index),
            Self::Call { index } => (index, 4, 0),
        }
    }
}

impl Ord for Step {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for Step {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Slot {
    /// The run itself.
    pub const RUN: Self = Self(Vec::new());

    /// The model request of a turn.
    #[must_use]
    pub fn model(turn: u32) -> Self {
        Self::RUN.model_of(turn)
    }

    /// A tool call of a turn.
    #[must_use]
    pub fn tool(turn: u32, index: u32) -> Self {
        Self::RUN.tool_of(turn, index)
    }

    /// The model request of a turn of the run at this slot: of the run itself, or of an agent that is called here.
    #[must_use]
    pub fn model_of(&self, turn: u32) -> Self {
        self.step(Step::Model { turn })
    }

    /// The request for a summary before a turn of the run at this slot.
    #[must_use]
    pub fn summary_of(&self, turn: u32) -> Self {
        self.step(Step::Summary { turn })
    }

    /// A tool call of a turn of the run at this slot.
    #[must_use]
    pub fn tool_of(&self, turn: u32, index: u32) -> Self {
        self.step(Step::Tool { turn, index })
    }

    /// The slot of a call that the tool at this slot makes.
    #[must_use]
    pub fn call(&self, index: u32) -> Self {
        self.step(Step::Call { index })
    }

    /// The slot of what a person decides on the call here.
    #[must_use]
    pub fn approval(&self) -> Self {
        self.step(Step::Approval)
    }

    fn step(&self, step: Step) -> Self {
        Self(self.0.iter().copied().chain([step]).collect())
    }

    /// The run whose turn this belongs to: the run itself, or the slot at which an agent is called like a tool.
    #[must_use]
    pub fn run(&self) -> Self {
        let is_turn =
            |step: &Step| matches!(step, Step::Summary { .. } | Step::Model { .. } | Step::Tool { .. });
        let turn = self.0.iter().rposition(is_turn).unwrap_or_default();
        Self(self.0.iter().copied().take(turn).collect())
    }

    /// The call that a decision here is about, if this is the slot of one.
    #[must_use]
    pub fn approved(&self) -> Option<Self> {
        let (last, call) = self.0.split_last()?;
        (*last == Step::Approval).then(|| Self(call.to_vec()))
    }

    /// Whether this is below a call: of a tool that makes calls, or of an agent.
    #[must_use]
    pub fn is_nested(&self) -> bool {
        self.0.len() > 1
    }

    /// Whether what is called at `caller`, a tool or an agent, did this, itself or through others.
    #[must_use]
    pub fn is_below(&self, caller: &Self) -> bool {
        self.0.len() > caller.0.len() && self.0.starts_with(&caller.0)
    }

    /// The calls that wait for the call here, outermost first: none if the model made it.
    pub fn callers(&self) -> impl Iterator<Item = Self> {
        (1..self.0.len()).filter_map(|steps| self.0.get(..steps)).map(|steps| Self(steps.to_vec()))
    }

    /// The path, outermost step first.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// A slot from its path.
    #[must_use]
    pub fn from_steps(steps: Vec<Step>) -> Self {
        Self(steps)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("run");
        }
        for (i, step) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("/")?;
            }
            match step {
                Step::Summary { turn } => write!(f, "summary({turn})")?,
                Step::Model { turn } => write!(f, "model({turn})")?,
                Step::Tool { turn, index } => write!(f, "tool({turn},{index})")?,
                Step::Call { index } => write!(f, "call({index})")?,
                Step::Approval => f.write_str("approval")?,
            }
        }
        Ok(())
    }
}

/// Text that is not a slot.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a slot: expected `run`, `summary(TURN)`, `model(TURN)` or `tool(TURN,INDEX)`, optionally with `/call(INDEX)` or `/approval`"
)]
pub struct SlotParseError(String);

impl FromStr for Slot {
    type Err = SlotParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "run" {
            return Ok(Self::RUN);
        }
        let steps: Option<Vec<Step>> = text.split('/').map(parse_step).collect();
        steps.map(Self).ok_or_else(|| SlotParseError(text.to_owned()))
    }
}

fn parse_step(text: &str) -> Option<Step> {
    if text == "approval" {
        return Some(Step::Approval);
    }
    let (noun, numbers) = text.strip_suffix(')')?.split_once('(')?;
    let mut numbers = numbers.split(',').map(|n| n.parse::<u32>().ok());
    let step = match noun {
        "summary" => Step::Summary { turn: numbers.next()?? },
        "model" => Step::Model { turn: numbers.next()?? },
        "tool" => Step::Tool { turn: numbers.next()??, index: numbers.next()?? },
        "call" => Step::Call { index: numbers.next()?? },
        _ => return None,
    };
    numbers.next().is_none().then_some(step)
}

impl Serialize for Slot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Slot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn text_form_round_trips() {
        for slot in [
            Slot::RUN,
            Slot::model(0),
            Slot::RUN.summary_of(7),
            Slot::tool(24, 127),
            Slot::tool(1, 2).call(3).call(0).approval(),
            Slot::tool(0, 1).model_of(2),
            Slot::tool(0, 1).tool_of(0, 3).call(4),
        ] {
            assert_eq!(slot.to_string().parse::<Slot>().unwrap(), slot);
        }
    }

    #[test]
    fn slots_sort_as_a_run_goes() {
        let run = [
            "run",
            "model(0)",
            "tool(0,0)",
            "tool(0,0)/approval",
            "tool(0,0)/call(0)",
            "tool(0,0)/call(0)/approval",
            "tool(0,0)/call(1)",
            "tool(0,1)",
            "tool(0,1)/approval",
            "tool(0,1)/summary(0)",
            "tool(0,1)/model(0)",
            "tool(0,1)/tool(0,0)",
            "tool(0,1)/tool(0,0)/approval",
            "tool(0,1)/tool(0,0)/model(0)",
            "tool(0,1)/tool(0,0)/call(0)",
            "tool(0,1)/model(1)",
            "summary(1)",
            "model(1)",
            "tool(1,0)",
        ];
        let mut slots: Vec<Slot> = run.iter().rev().map(|slot| slot.parse().unwrap()).collect();
        slots.sort();
        assert_eq!(slots.iter().map(Slot::to_string).collect::<Vec<_>>(), run);
    }

    #[test]
    fn what_happens_belongs_to_the_turn_of_a_run() {
        for (slot, run) in [
            (Slot::RUN, Slot::RUN),
            (Slot::model(1), Slot::RUN),
            (Slot::tool(1, 0).call(2).approval(), Slot::RUN),
            (Slot::tool(1, 0).summary_of(3), Slot::tool(1, 0)),
            (Slot::tool(1, 0).model_of(3), Slot::tool(1, 0)),
            (Slot::tool(1, 0).tool_of(3, 0).call(1), Slot::tool(1, 0)),
        ] {
            assert_eq!(slot.run(), run, "{slot}");
        }
    }

    #[test]
    fn what_is_not_a_slot_is_refused() {
        for text in
            ["", "model", "model()", "model(1,2)", "tool(1)", "tool(1,2,3)", "tool(-1,0)", "run/", "x(1)"]
        {
            assert!(text.parse::<Slot>().is_err(), "{text}");
        }
    }
}
