//! What can be said of a schema before it is compiled, and what is not compiled at all.
//!
//! The validator's compiler follows references, and where a schema asks for what is left unevaluated, or refers
//! dynamically, it follows them once for every way that leads to them. There are as many ways as two to the power of
//! the references, so few of them are taken there.

use regex::RegexBuilder;
use serde_json::Value;

/// The memory of one compiled pattern, and how many a schema may have: compiling them all takes a second or so.
pub(super) const PATTERN_BYTES_MAX: usize = 1 << 20;
const PATTERNS_MAX: usize = 128;

/// The references of a schema with `unevaluatedProperties` or `unevaluatedItems`: there are some thousand ways through
/// so many at most.
const FOLLOWED_MAX: usize = 24;

/// The parts of a schema that have an `$id` of their own, for the same reason.
const RESOURCES_MAX: usize = 8;

/// What the cost and the exactness of a check depend on.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    /// How many objects and arrays it has.
    pub(super) parts: usize,
    /// Whether a pattern needs an engine that tries one way after the other.
    pub(super) backtracks: bool,
    /// How many patterns it has.
    patterns: usize,
    /// How many references it has.
    references: usize,
    /// How many parts have an `$id`, and how many an `id`.
    resources: usize,
    ids: usize,
    draft_4: bool,
    /// How many rules are about what other rules have left.
    unevaluated: usize,
    /// How many references depend on where they are come from.
    dynamic: usize,
    /// The numbers that values are compared with.
    bounds: Vec<f64>,
    /// How many types are whole numbers.
    integers: usize,
    /// How many arrays may not have the same item twice.
    unique: usize,
    /// Whether a value has to be a multiple of a number.
    divides: bool,
}

impl Shape {
    pub(super) fn of(schema: &Value) -> Self {
        let mut shape = Self::default();
        shape.add(schema);
        shape
    }

    /// Why a schema is not taken that is one.
    pub(super) fn refused(&self) -> Option<String> {
        let Self { patterns, references, unevaluated, dynamic, .. } = *self;
        let resources = self.resources + if self.draft_4 { self.ids } else { 0 };
        if dynamic > 0 {
            return Some(
                "it has `$dynamicRef` or `$recursiveRef`, which are not taken: use `$ref`".to_owned(),
            );
        }
        if patterns > PATTERNS_MAX {
            return Some(format!("it has {patterns} patterns; at most {PATTERNS_MAX} are taken"));
        }
        if resources > RESOURCES_MAX {
            return Some(format!(
                "it has {resources} parts with an `$id`; at most {RESOURCES_MAX} are taken"
            ));
        }
        (unevaluated > 0 && references > FOLLOWED_MAX).then(|| {
            format!(
                "it has {references} references; beside `unevaluatedProperties` or `unevaluatedItems`, at most \
                 {FOLLOWED_MAX} are taken: use `additionalProperties` or `items`"
            )
        })
    }

    /// Whether the nearest float may be judged otherwise than the number itself. Rounding keeps the order of numbers:
    /// it can only make a number equal to a bound, or whole, that is not.
    pub(super) fn blurs(&self, nearest: f64, is_whole: bool) -> bool {
        let turned_whole = !is_whole && nearest.fract() == 0.0 && self.integers > 0;
        turned_whole || self.unique > 0 || self.bounds.contains(&nearest) || self.divides
    }

    fn add(&mut self, schema: &Value) {
        match schema {
            Value::String(word) => self.integers += usize::from(word == "integer"),
            Value::Null | Value::Bool(_) => {}
            // Wherever it stands: a number too many makes the check of a rare number stricter, and no other.
            Value::Number(number) => self.bounds.extend(number.as_f64()),
            Value::Array(items) => {
                self.parts += 1;
                for item in items {
                    self.add(item);
                }
            }
            Value::Object(members) => {
                self.parts += 1;
                for (key, value) in members {
                    self.divides |= key == "multipleOf";
                    self.unique += usize::from(key == "uniqueItems");
                    self.unevaluated +=
                        usize::from(matches!(key.as_str(), "unevaluatedProperties" | "unevaluatedItems"));
                    self.dynamic += usize::from(matches!(key.as_str(), "$dynamicRef" | "$recursiveRef"));
                    match (key.as_str(), value) {
                        ("$ref", Value::String(_)) => self.references += 1,
                        ("$id", Value::String(_)) => self.resources += 1,
                        // What it was called in draft 4, and what many a property of an example is called.
                        ("id", Value::String(_)) => self.ids += 1,
                        ("$schema", Value::String(draft)) => self.draft_4 |= draft.contains("draft-04"),
                        ("pattern", Value::String(pattern)) => self.add_pattern(pattern),
                        ("patternProperties", Value::Object(patterns)) => {
                            patterns.keys().for_each(|pattern| self.add_pattern(pattern));
                        }
                        ("format", Value::String(format)) => self.backtracks |= format == "regex",
                        (_, _) => {}
                    }
                    self.add(value);
                }
            }
        }
    }

    fn add_pattern(&mut self, pattern: &str) {
        self.patterns += 1;
        // Look-around and references back: what `regex` does not have, because no linear search does.
        self.backtracks |= self.patterns > PATTERNS_MAX
            || RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build().is_err();
    }
}
