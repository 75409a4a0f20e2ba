use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Seen, SeenCall, compared};
use crate::message::{Ending, ErrorKind, ToolOutcome};

/// What has to come of a case.
#[derive(Clone, Debug)]
pub struct Expected {
    /// How the run ends.
    pub ending: EndingKind,
    /// What it ends with.
    pub text: TextCheck,
    /// The calls that the model makes; none if they are not looked at.
    pub calls: Option<Vec<ExpectedCall>>,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndingKind {
    /// With the model's answer.
    #[default]
    Answer,
    /// The model refused.
    Refused,
    /// A limit stopped it.
    Limit,
    /// With an answer that does not have the form that it is to have.
    Unfit,
    /// The model said nothing, also when it was asked once more.
    Empty,
    /// Somebody cancelled it. No case ends so, but a recorded run can.
    Cancelled,
    /// It broke off, because the model gave no reply: the script has an `error` there.
    NoReply,
}

/// What a text has to be.
#[derive(Clone, Debug, Default)]
pub struct TextCheck {
    /// All of it.
    pub whole: Option<String>,
    /// Texts that occur in it.
    pub parts: Vec<String>,
    /// What a part of it has to match.
    pub matches: Option<Regex>,
}

/// A call that has to be made.
#[derive(Clone, Debug)]
pub struct ExpectedCall {
    /// The tool.
    pub tool: String,
    /// Its input.
    pub input: Content,
    /// What it comes to.
    pub outcome: ExpectedOutcome,
    /// The calls that the tool makes; none if they are not looked at.
    pub calls: Option<Vec<ExpectedCall>>,
}

/// What a JSON value has to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Anything.
    Any,
    /// This.
    Whole(Value),
    /// A table that has these keys, with these values or tables that have these keys; anything else as it is.
    Part(Value),
}

/// What a call has to come to.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpectedOutcome {
    /// Anything.
    Any,
    /// An output.
    Output(Content),
    /// A failure of this kind, with this message if one is given.
    Error(ErrorKind, Option<String>),
}

impl Expected {
    /// In what a run differs from this, as a unified diff; none if in nothing.
    #[must_use]
    pub fn diff(&self, seen: &Seen) -> Option<String> {
        compared::diff(self, seen)
    }
}

impl EndingKind {
    /// The kind of an ending, and its text.
    #[must_use]
    pub fn of(ending: &Ending) -> (Self, &str) {
        match ending {
            Ending::Answer(text) => (Self::Answer, text),
            Ending::Refused(text) => (Self::Refused, text),
            Ending::Limit(text) => (Self::Limit, text),
            Ending::Unfit { answer, .. } => (Self::Unfit, answer),
            Ending::Empty(why) => (Self::Empty, why),
            Ending::Cancelled(cancelled) => {
                (Self::Cancelled, cancelled.reason.as_deref().unwrap_or_default())
            }
        }
    }

    /// As a case has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Refused => "refused",
            Self::Limit => "limit",
            Self::Unfit => "unfit",
            Self::Empty => "empty",
            Self::Cancelled => "cancelled",
            Self::NoReply => "no_reply",
        }
    }
}

impl Content {
    /// Whether a value is like this.
    #[must_use]
    pub fn fits(&self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Whole(whole) => same(whole, value),
            Self::Part(part) => contains(part, value),
        }
    }
}

impl ExpectedOutcome {
    /// Whether an outcome is like this.
    #[must_use]
    pub fn fits(&self, outcome: &ToolOutcome) -> bool {
        match (self, outcome) {
            (Self::Any, ToolOutcome::Output(_) | ToolOutcome::Error(_)) => true,
            (Self::Output(content), ToolOutcome::Output(json)) => content.fits(&json.to_value()),
            (Self::Error(kind, message), ToolOutcome::Error(error)) => {
                *kind == error.kind && message.as_ref().is_none_or(|message| *message == error.message)
            }
            (Self::Output(_), ToolOutcome::Error(_)) | (Self::Error(..), ToolOutcome::Output(_)) => false,
        }
    }
}

impl ExpectedCall {
    /// Whether a call is like this, with all that is called below it.
    #[must_use]
    pub fn fits(&self, call: &SeenCall) -> bool {
        let Self { tool, input, outcome, calls } = self;
        let below = calls.as_ref().is_none_or(|calls| {
            calls.len() == call.calls.len() && calls.iter().zip(&call.calls).all(|(a, b)| a.fits(b))
        });
        *tool == call.tool && input.fits(&call.input) && outcome.fits(&call.outcome) && below
    }
}

/// Whether two values are the same; 1 and 1.0 are, as in JSON.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || a.is_f64() != b.is_f64() && a.as_f64() == b.as_f64()
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Whether a value has what a part has: of tables the keys that are named, and anything else as it is.
fn contains(part: &Value, value: &Value) -> bool {
    match (part, value) {
        (Value::Object(part), Value::Object(value)) => {
            part.iter().all(|(key, part)| value.get(key).is_some_and(|value| contains(part, value)))
        }
        (part, value) => same(part, value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_the_same_and_what_is_a_part() {
        let value = json!({ "a": 1, "b": { "c": [1.0, "x"], "d": null } });
        assert!(Content::Whole(json!({ "b": { "d": null, "c": [1, "x"] }, "a": 1.0 })).fits(&value));
        for part in [json!({}), json!({ "a": 1 }), json!({ "b": { "c": [1, "x"] } })] {
            assert!(Content::Part(part.clone()).fits(&value), "{part}");
            assert!(!Content::Whole(part.clone()).fits(&value), "{part}");
        }
        for other in [json!({ "a": 2 }), json!({ "b": { "c": [1] } }), json!({ "e": null }), json!("x")] {
            assert!(!Content::Part(other.clone()).fits(&value), "{other}");
        }
        let large = json!(9_007_199_254_740_993_u64);
        assert!(!Content::Whole(json!(9_007_199_254_740_992_u64)).fits(&large), "every digit counts");
    }
}
