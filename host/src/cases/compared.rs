//! What was expected and what came, side by side: two documents that differ where the expectation is not met,
//! and nowhere else.

use serde_json::{Map, Value, json};
use similar::{Algorithm, DiffOp, TextDiff, capture_diff_slices};

use super::expected::{Content, Expected, ExpectedCall, ExpectedOutcome, TextCheck, same};
use super::{Seen, SeenCall};
use crate::message::{ToolOutcome, visible_json};
use crate::session::DIFF_TIME_MAX;

/// Lines around a difference: enough to see which call it is in.
const CONTEXT_LINES: usize = 6;

/// What is expected, and what came.
struct Sides {
    expected: Map<String, Value>,
    came: Map<String, Value>,
}

pub(super) fn diff(expected: &Expected, seen: &Seen) -> Option<String> {
    let mut sides = Sides { expected: Map::new(), came: Map::new() };
    sides.both("ending", expected.ending.as_str(), seen.ending.as_str());
    sides.text(&expected.text, &seen.answer, expected.ending == seen.ending);
    if let Some(calls) = &expected.calls {
        let [expected, came] = self::calls(calls, &seen.calls);
        sides.both("calls", expected, came);
    }
    let Sides { expected, came } = sides;
    let pretty = |side: Map<String, Value>| {
        visible_json(&serde_json::to_string_pretty(&side).unwrap_or_default()).into_owned()
    };
    let (expected, came) = (pretty(expected), pretty(came));
    let diff = TextDiff::configure().timeout(DIFF_TIME_MAX).diff_lines(&expected, &came);
    let mut unified = diff.unified_diff();
    let unified =
        unified.context_radius(CONTEXT_LINES).header("expected", "came").missing_newline_hint(false);
    (expected != came).then(|| unified.to_string())
}

impl Sides {
    fn both(&mut self, key: &str, expected: impl Into<Value>, came: impl Into<Value>) {
        self.expected.insert(key.to_owned(), expected.into());
        self.came.insert(key.to_owned(), came.into());
    }

    /// A value of which something is expected; of one that is expected in part, that part.
    fn content(&mut self, key: &str, expected: &Content, came: &Value) {
        let (key, wanted, mut came) = match expected {
            Content::Any => (key.to_owned(), came.clone(), came.clone()),
            Content::Whole(whole) => (key.to_owned(), whole.clone(), came.clone()),
            Content::Part(part) => (format!("{key}_contains"), part.clone(), part_of(part, came)),
        };
        let mut wanted = where_same(wanted, &came);
        // So that the order of keys, which says nothing, makes no difference.
        wanted.sort_all_objects();
        came.sort_all_objects();
        self.both(&key, wanted, came);
    }

    /// The text that a run ended with. Where nothing is expected of it, it is shown if the ending is another
    /// one.
    fn text(&mut self, check: &TextCheck, text: &str, same_ending: bool) {
        let TextCheck { whole, parts, matches } = check;
        let mut unmet = Vec::new();
        unmet.extend(whole.as_ref().filter(|whole| *whole != text).map(|whole| ("answer", lines(whole))));
        let missing: Vec<&String> = parts.iter().filter(|part| !text.contains(part.as_str())).collect();
        if !missing.is_empty() {
            unmet.push(("answer_contains", json!(missing)));
        }
        let unmatched = matches.as_ref().filter(|regex| !regex.is_match(text));
        unmet.extend(unmatched.map(|regex| ("answer_matches", json!(regex.as_str()))));
        if !unmet.is_empty() || !same_ending {
            self.came.insert("answer".to_owned(), lines(text));
        }
        self.expected.extend(unmet.into_iter().map(|(key, value)| (key.to_owned(), value)));
    }
}

/// What of a value stands where a part has something.
fn part_of(part: &Value, came: &Value) -> Value {
    let (Value::Object(part), Value::Object(came)) = (part, came) else { return came.clone() };
    let shared = part.iter().filter_map(|(key, part)| Some((key.clone(), part_of(part, came.get(key)?))));
    Value::Object(shared.collect())
}

/// What is wanted, written as it came where both are the same number.
fn where_same(wanted: Value, came: &Value) -> Value {
    if same(&wanted, came) {
        return came.clone();
    }
    match (wanted, came) {
        (Value::Object(wanted), Value::Object(came)) => {
            let written = |(key, wanted): (String, Value)| {
                let written = match came.get(&key) {
                    Some(came) => where_same(wanted, came),
                    None => wanted,
                };
                (key, written)
            };
            Value::Object(wanted.into_iter().map(written).collect())
        }
        (Value::Array(wanted), Value::Array(came)) if wanted.len() == came.len() => {
            wanted.into_iter().zip(came).map(|(wanted, came)| where_same(wanted, came)).collect()
        }
        (wanted, _) => wanted,
    }
}

/// A text as JSON in which each of its lines stands on a line.
fn lines(text: &str) -> Value {
    if text.contains('\n') { text.split('\n').collect() } else { text.into() }
}

/// Both sides of a list of calls: those that fit side by side, then those of one place.
fn calls(expected: &[ExpectedCall], came: &[SeenCall]) -> [Vec<Value>; 2] {
    let mut sides = [Vec::new(), Vec::new()];
    let mut push = |expected: Option<Value>, came: Option<Value>| {
        sides[0].extend(expected);
        sides[1].extend(came);
    };
    for op in aligned(expected, came) {
        let (_, old, new) = op.as_tag_tuple();
        let (old, new) = (&expected[old], &came[new]);
        for place in 0..old.len().max(new.len()) {
            match (old.get(place), new.get(place)) {
                (Some(expected), Some(came)) if expected.tool == came.tool => {
                    let [expected, came] = pair(expected, came);
                    push(Some(expected), Some(came));
                }
                (expected, came) => push(expected.map(wanted), came.map(made)),
            }
        }
    }
    sides
}

/// Which of the calls that came stand for which that are expected.
fn aligned(expected: &[ExpectedCall], came: &[SeenCall]) -> Vec<DiffOp> {
    let mut taken = vec![false; came.len()];
    let key = |(place, expected): (usize, &ExpectedCall)| {
        let fitting = (0..came.len()).find(|at| !taken[*at] && expected.fits(&came[*at]));
        if let Some(at) = fitting {
            taken[at] = true;
        }
        // A number that no call has, for one that was not made.
        fitting.unwrap_or(came.len() + place)
    };
    let expected: Vec<usize> = expected.iter().enumerate().map(key).collect();
    let came: Vec<usize> = (0..came.len()).collect();
    capture_diff_slices(Algorithm::Myers, &expected, &came)
}

/// A call as expected and as it came.
fn pair(expected: &ExpectedCall, came: &SeenCall) -> [Value; 2] {
    if expected.fits(came) {
        // In one line, so that what differs stands out.
        let line = Value::String(format!("{} {}", came.tool, came.input));
        return [line.clone(), line];
    }
    let mut sides = Sides { expected: Map::new(), came: Map::new() };
    sides.both("tool", &*came.tool, &*came.tool);
    sides.content("input", &expected.input, &came.input);
    match (&expected.outcome, &came.outcome) {
        (ExpectedOutcome::Output(output), ToolOutcome::Output(json)) => {
            sides.content("output", output, &json.to_value());
        }
        (expected, came) => {
            let met = expected.fits(came);
            sides.expected.extend(if met { outcome(came) } else { expected_outcome(expected) });
            sides.came.extend(outcome(came));
        }
    }
    if let Some(below) = &expected.calls {
        let [expected, came] = calls(below, &came.calls);
        sides.both("calls", expected, came);
    }
    [sides.expected.into(), sides.came.into()]
}

/// A call that was expected, and not made.
fn wanted(call: &ExpectedCall) -> Value {
    let ExpectedCall { tool, input, outcome, calls } = call;
    let mut map = Map::from_iter([("tool".to_owned(), json!(tool))]);
    map.extend(content("input", input));
    map.extend(expected_outcome(outcome));
    map.extend(calls.iter().map(|calls| ("calls".to_owned(), calls.iter().map(wanted).collect())));
    map.into()
}

/// A call that was made, and not expected.
fn made(call: &SeenCall) -> Value {
    let SeenCall { slot: _, tool, input, outcome: came, calls, used: _ } = call;
    let mut map = Map::from_iter([("tool".to_owned(), json!(tool)), ("input".to_owned(), input.clone())]);
    map.extend(outcome(came));
    if !calls.is_empty() {
        map.insert("calls".to_owned(), calls.iter().map(made).collect());
    }
    map.into()
}

/// A content under the key that a case has for it.
fn content(key: &str, content: &Content) -> Option<(String, Value)> {
    match content {
        Content::Any => None,
        Content::Whole(value) => Some((key.to_owned(), value.clone())),
        Content::Part(value) => Some((format!("{key}_contains"), value.clone())),
    }
}

fn expected_outcome(outcome: &ExpectedOutcome) -> Vec<(String, Value)> {
    match outcome {
        ExpectedOutcome::Any => Vec::new(),
        ExpectedOutcome::Output(output) => content("output", output).into_iter().collect(),
        ExpectedOutcome::Error(kind, message) => {
            let message = message.iter().map(|message| ("message".to_owned(), json!(message)));
            std::iter::once(("error".to_owned(), json!(kind))).chain(message).collect()
        }
    }
}

fn outcome(outcome: &ToolOutcome) -> Vec<(String, Value)> {
    match outcome {
        ToolOutcome::Output(json) => vec![("output".to_owned(), json.to_value())],
        ToolOutcome::Error(error) => {
            vec![("error".to_owned(), json!(error.kind)), ("message".to_owned(), json!(error.message))]
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cases::EndingKind;
    use crate::message::{ErrorKind, Json, Slot};

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(json!(1)),
            Just(json!({ "a": 1, "b": [2.0] })),
            Just(json!({ "a": 1.0 })),
            Just(json!({ "b": 3 }))
        ]
    }

    fn content() -> impl Strategy<Value = Content> {
        prop_oneof![Just(Content::Any), value().prop_map(Content::Whole), value().prop_map(Content::Part)]
    }

    fn tool() -> impl Strategy<Value = String> {
        prop_oneof![Just("x".to_owned()), Just("y".to_owned())]
    }

    fn expected() -> impl Strategy<Value = ExpectedCall> {
        let outcome = prop_oneof![
            Just(ExpectedOutcome::Any),
            content().prop_map(ExpectedOutcome::Output),
            Just(ExpectedOutcome::Error(ErrorKind::Failed, None)),
            Just(ExpectedOutcome::Error(ErrorKind::Failed, Some("so".to_owned()))),
        ];
        let leaf = (tool(), content(), outcome)
            .prop_map(|(tool, input, outcome)| ExpectedCall { tool, input, outcome, calls: None })
            .boxed();
        (leaf.clone(), prop::option::of(prop::collection::vec(leaf, 0..3)))
            .prop_map(|(leaf, calls)| ExpectedCall { calls, ..leaf })
    }

    fn seen() -> impl Strategy<Value = SeenCall> {
        let outcome = prop_oneof![
            value().prop_map(|value| ToolOutcome::Output(Json::canonical(&value))),
            Just(ToolOutcome::error(ErrorKind::Failed, "so")),
            Just(ToolOutcome::error(ErrorKind::Timeout, "so")),
        ];
        let leaf = (tool(), value(), outcome)
            .prop_map(|(tool, input, outcome)| {
                let (slot, calls) = (Slot::tool(0, 0), Vec::new());
                SeenCall { slot, tool, input, outcome, calls, used: None }
            })
            .boxed();
        (leaf.clone(), prop::collection::vec(leaf, 0..3)).prop_map(|(leaf, calls)| SeenCall { calls, ..leaf })
    }

    proptest! {
        #[test]
        fn there_is_a_difference_where_an_expectation_is_not_met_and_nowhere_else(
            wanted in prop::collection::vec(expected(), 0..4), came in prop::collection::vec(seen(), 0..4),
        ) {
            let met = wanted.len() == came.len() && wanted.iter().zip(&came).all(|(wanted, came)| wanted.fits(came));
            let expected = Expected { ending: EndingKind::Answer, text: TextCheck::default(), calls: Some(wanted) };
            let seen = Seen { ending: EndingKind::Answer, answer: String::new(), calls: came };
            prop_assert_eq!(expected.diff(&seen).is_none(), met);
        }
    }
}
