//! Whether a value fits a JSON Schema, and if not, which rule failed where.
//!
//! Schemas come from components and values from models, so that both may be made to cost as much as possible. A check
//! may take so many steps, so much of a stack, and nobody's time on an async thread: what takes longer than a moment
//! goes on in a thread of its own, ends when nobody waits for it any more, and where it is cut the outcome says so.
//! What is checked is the value that is passed on: a number that the validator would round is not judged by what it was
//! rounded to. It fails in words, for who made the value.

mod metered;
mod shape;
mod thread;

use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, Validator};

use crate::message::{Floats, Json};
use metered::{Allowance, Meter, Metered, Part, Spent};
use shape::Shape;
use thread::NoThread;

/// The model is told of at most this many violations at once: the first ones matter, and a large input
/// can have thousands.
const VIOLATIONS_MAX: usize = 5;

/// So many names are said of properties that are not allowed.
const NAMES_MAX: usize = 10;

/// One violation is told in at most this many characters, because it quotes the offending value.
const VIOLATION_CHARS_MAX: usize = 300;

/// What a check may take in any case, about a tenth of a second, and for each byte of the value: several looks at each
/// part of it by each of a few dozen rules.
const STEPS_MIN: u64 = 2_000_000;
const STEPS_A_BYTE: u64 = 64;

/// What finding the words for what does not fit may take. Each violation found is kept for a while, in some hundred
/// bytes.
const STEPS_FOR_WORDS: u64 = 300_000;

/// What an async thread does by itself, about a millisecond: no more steps, for no larger value, by no larger schema.
const STEPS_AT_ONCE: u64 = 20_000;
const STACK_AT_ONCE: usize = 256 << 10;
const VALUE_BYTES_AT_ONCE: usize = 64 << 10;
const PARTS_AT_ONCE: usize = 256;

/// How far an engine goes that tries one way after the other, for one text, and what that costs at most.
const BACKTRACK_MAX: usize = 10_000;
const BACKTRACK_STEPS: u64 = 1_000;

/// A schema that is not one.
#[derive(Clone, Debug, thiserror::Error)]
#[error("not a JSON Schema: {0}")]
pub struct SchemaError(String);

/// A schema that is compiled when it is first needed: a replay never needs it.
#[derive(Clone, Debug)]
pub struct Schema(Arc<Inner>);

struct Inner {
    json: Json,
    shape: OnceLock<Shape>,
    validator: OnceLock<Result<Validator<Metered>, SchemaError>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.json.fmt(f)
    }
}

struct Compiled<'s> {
    validator: &'s Validator<Metered>,
    shape: &'s Shape,
}

/// What a check is about, in the words of its error.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The value: `input`, `output` or `answer`.
    pub what: &'static str,
    /// Whose schema it is: `the tool's` or `its`.
    pub whose: &'static str,
    /// Whether a pattern that takes too long is told in the host's words. What is told of an answer is part of a
    /// conversation, and the runs that began with the engine's words keep to them.
    pub explains_patterns: bool,
}

impl About {
    /// What a tool is called with.
    pub const INPUT: Self = Self { what: "input", whose: "the tool's", explains_patterns: true };
    /// What a tool gives.
    pub const OUTPUT: Self = Self { what: "output", whose: "the tool's", explains_patterns: true };
    /// The last word of a run.
    pub const ANSWER: Self = Self { what: "answer", whose: "its", explains_patterns: true };
}

impl Schema {
    /// A schema that is not yet known to be one.
    #[must_use]
    pub fn new(json: &Json) -> Self {
        Self(Arc::new(Inner { json: json.clone(), shape: OnceLock::new(), validator: OnceLock::new() }))
    }

    /// Compiles the schema. References that lead outside of it are refused.
    pub fn compile(&self) -> Result<(), SchemaError> {
        let compile = |_: &AtomicBool| self.0.compiled().map(|_| ()).map_err(Clone::clone);
        thread::apart_now(compile).unwrap_or_else(|NoThread| Err(SchemaError(NO_THREAD.to_owned())))
    }

    /// Checks a value, and says which rule failed where. Dropping the future ends the check.
    pub async fn check(&self, about: About, value: &Json) -> Result<(), String> {
        if let Some(verdict) = self.0.check_at_once(about, value) {
            return verdict;
        }
        let (inner, value) = (Arc::clone(&self.0), value.clone());
        let check = move |cancelled: &AtomicBool| inner.check(about, &value, cancelled);
        thread::apart(check).await.unwrap_or_else(|NoThread| Err(NO_THREAD.to_owned()))
    }

    /// The same for who has nothing else to do meanwhile.
    pub fn check_now(&self, about: About, value: &Json) -> Result<(), String> {
        let check = |cancelled: &AtomicBool| self.0.check(about, value, cancelled);
        thread::apart_now(check).unwrap_or_else(|NoThread| Err(NO_THREAD.to_owned()))
    }
}

/// What is said of a text on which a pattern was not tried to its end.
const PATTERN_CUT: &str = "the pattern takes too many steps to be tried on this text; a shorter text, or a pattern without \
                           lookaround and back references, can be checked";

const NO_THREAD: &str = "the host has no thread to check it on; try again when the machine has less to do";

impl Inner {
    fn shape(&self) -> &Shape {
        self.shape.get_or_init(|| Shape::of(&self.json.to_value()))
    }

    fn compiled(&self) -> Result<Compiled<'_>, &SchemaError> {
        let shape = self.shape();
        let validator = self.validator.get_or_init(|| compile(&self.json, shape)).as_ref()?;
        Ok(Compiled { validator, shape })
    }

    /// The verdict, if it takes no longer than a moment.
    fn check_at_once(&self, about: About, value: &Json) -> Option<Result<(), String>> {
        if value.as_str().len() > VALUE_BYTES_AT_ONCE || self.json.as_str().len() > VALUE_BYTES_AT_ONCE {
            return None;
        }
        // Compiling takes longer than a moment only where there is much to compile.
        let shape = self.shape();
        if shape.parts > PARTS_AT_ONCE || (shape.backtracks && self.validator.get().is_none()) {
            return None;
        }
        match self.compiled() {
            Ok(compiled) => compiled.check_at_once(about, value),
            Err(error) => Some(Err(unusable(about, error))),
        }
    }

    fn check(&self, about: About, value: &Json, cancelled: &AtomicBool) -> Result<(), String> {
        let compiled = self.compiled().map_err(|error| unusable(about, error))?;
        let steps = STEPS_MIN + STEPS_A_BYTE * value.as_str().len() as u64;
        let allowance = compiled.allowance(steps, thread::STACK_USED_MAX);
        compiled
            .check(about, value, allowance, cancelled)
            .unwrap_or_else(|spent| Err(cut(about, spent, steps)))
    }
}

fn compile(json: &Json, shape: &Shape) -> Result<Validator<Metered>, SchemaError> {
    if !json.is_exact() {
        let why = "it has a number that 64 bits do not hold, a key twice, or is nested too deeply";
        return Err(SchemaError(why.to_owned()));
    }
    if let Some(why) = shape.refused() {
        return Err(SchemaError(why));
    }
    let patterns =
        PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_MAX).size_limit(shape::PATTERN_BYTES_MAX);
    let options = jsonschema::options_for::<Metered>().with_pattern_options(patterns);
    options.build(&json.to_value()).map_err(|error| SchemaError(error.to_string()))
}

fn unusable(about: About, error: &SchemaError) -> String {
    format!("{} own {} schema is {error}", about.whose, about.what)
}

/// What is said of a check that was not carried out to its end.
fn cut(about: About, spent: Spent, steps: u64) -> String {
    let About { what, whose, .. } = about;
    let why = match spent {
        Spent::Steps => format!("the check takes more than {steps} steps"),
        Spent::Stack => "the check is nested too deeply".to_owned(),
        Spent::Cancelled => "the check was cancelled".to_owned(),
    };
    format!(
        "the {what} cannot be held to {whose} schema: {why}; a simpler schema, or a smaller {what}, can be checked"
    )
}

impl Compiled<'_> {
    fn allowance(&self, steps: u64, stack_bytes: usize) -> Allowance {
        Allowance { steps, stack_bytes, text_steps: if self.shape.backtracks { BACKTRACK_STEPS } else { 0 } }
    }

    fn check_at_once(&self, about: About, value: &Json) -> Option<Result<(), String>> {
        let allowance = self.allowance(STEPS_AT_ONCE, STACK_AT_ONCE);
        self.check(about, value, allowance, &AtomicBool::new(false)).ok()
    }

    /// The verdict, within an allowance.
    fn check(
        &self,
        about: About,
        value: &Json,
        allowance: Allowance,
        cancelled: &AtomicBool,
    ) -> Result<Result<(), String>, Spent> {
        let About { what, whose, .. } = about;
        let Floats { value, inexact } = match value.to_floats() {
            Ok(floats) => floats,
            Err(error) => return Ok(Err(format!("the {what} cannot be checked: {error}"))),
        };
        let meter = Meter::new(allowance, cancelled);
        if let Some(number) = inexact.iter().find(|number| self.shape.blurs(number.nearest, number.is_whole))
        {
            return Ok(Err(format!(
                "the {what} has the number {}, which cannot be compared exactly by {whose} schema: use fewer digits, or \
                 a text",
                number.text.chars().take(VIOLATION_CHARS_MAX).collect::<String>()
            )));
        }
        let fits = self.validator.is_valid(Part::whole(&value, &meter));
        match (meter.spent(), fits) {
            (Some(spent), _) => Err(spent),
            (None, true) => Ok(Ok(())),
            (None, false) => {
                let steps = allowance.steps.min(STEPS_FOR_WORDS);
                self.describe(about, &value, Allowance { steps, ..allowance }, cancelled).map(Err)
            }
        }
    }

    /// What does not fit, in words.
    fn describe(
        &self,
        About { what, whose, explains_patterns }: About,
        value: &serde_json::Value,
        allowance: Allowance,
        cancelled: &AtomicBool,
    ) -> Result<String, Spent> {
        let mut message = format!("the {what} does not fit {whose} schema:");
        let mut tell = |violation: jsonschema::ValidationError<'_>| {
            let (at, rule) = (violation.instance_path().as_str(), violation.schema_path().as_str());
            let text = match violation.kind() {
                ValidationErrorKind::BacktrackLimitExceeded { .. } if explains_patterns => {
                    PATTERN_CUT.to_owned()
                }
                // The library names the value alone, and not what is wrong with it: its name.
                ValidationErrorKind::FalseSchema if rule.ends_with("/additionalProperties") => {
                    let there = value.pointer(at).and_then(serde_json::Value::as_object);
                    let names = there.into_iter().flat_map(|members| members.keys()).take(NAMES_MAX);
                    let names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
                    format!("no property is allowed here, and there is {}", names.join(", "))
                }
                _ => violation.to_string(),
            };
            let text: String = text.chars().take(VIOLATION_CHARS_MAX).collect();
            let at = if at.is_empty() { format!("the {what}") } else { at.to_owned() };
            // Writing to a string cannot fail.
            let _ = write!(message, "\n- at {at}: {text} (rule {rule})");
        };
        let meter = Meter::new(allowance, cancelled);
        let violations = self.validator.iter_errors(Part::whole(value, &meter));
        match meter.spent() {
            None => violations.take(VIOLATIONS_MAX).for_each(tell),
            // Apart from the async threads there is more to spend.
            Some(spent) if spent == Spent::Cancelled || allowance.steps < STEPS_FOR_WORDS => {
                return Err(spent);
            }
            Some(_) => {
                drop(violations);
                // There are too many to find all of them; the first is cheaper.
                let meter = Meter::new(allowance, cancelled);
                let first = self.validator.validate(Part::whole(value, &meter)).err();
                match (first, meter.spent()) {
                    (Some(violation), None) => tell(violation),
                    (_, _) => message.push_str("\n- where, takes too many steps to say"),
                }
            }
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests;
