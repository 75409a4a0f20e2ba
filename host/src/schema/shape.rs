//! What can be said of a schema before it is compiled.

use regex::RegexBuilder;
use serde_json::Value;

use super::{PATTERN_BYTES_MAX, PATTERNS_MAX};

/// What the cost and the exactness of a check depend on.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    /// How many objects and arrays it has.
    pub(super) parts: usize,
    /// Whether a pattern needs an engine that tries one way after the other.
    pub(super) backtracks: bool,
    /// How many patterns it has.
    pub(super) patterns: usize,
    /// The numbers that values are compared with.
    bounds: Vec<f64>,
    /// Whether a value has to be a multiple of a number.
    divides: bool,
}

impl Shape {
    pub(super) fn of(schema: &Value) -> Self {
        let mut shape = Self::default();
        shape.add(schema);
        shape
    }

    /// Whether the nearest float may be judged otherwise than the number itself. Rounding keeps the order of numbers:
    /// it can only make a number equal to a bound, or whole, that is not.
    pub(super) fn blurs(&self, nearest: f64, is_whole: bool) -> bool {
        let turned_whole = !is_whole && nearest.fract() == 0.0;
        #[allow(clippy::float_cmp, reason = "it is about this very number")]
        let on_a_bound = self.bounds.iter().any(|bound| *bound == nearest);
        turned_whole || on_a_bound || self.divides
    }

    fn add(&mut self, schema: &Value) {
        match schema {
            Value::Null | Value::Bool(_) | Value::String(_) => {}
            // Wherever it stands: a number too many makes the check of a rare number stricter, and no other.
            Value::Number(number) => self.bounds.extend(number.as_f64()),
            Value::Array(items) => {
                self.parts += 1;
                items.iter().for_each(|item| self.add(item));
            }
            Value::Object(members) => {
                self.parts += 1;
                for (key, value) in members {
                    self.divides |= key == "multipleOf";
                    match (key.as_str(), value) {
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
