use std::fmt::Write as _;
use std::sync::OnceLock;

use jsonschema::Validator;

use crate::message::Json;

/// The model is told of at most this many violations at once: the first ones matter, and a large input
/// can have thousands.
const VIOLATIONS_MAX: usize = 5;

/// One violation is told in at most this many characters, because it quotes the offending value.
const VIOLATION_CHARS_MAX: usize = 300;

/// A schema that is not one.
#[derive(Clone, Debug, thiserror::Error)]
#[error("not a JSON Schema: {0}")]
pub struct SchemaError(String);

/// Compiles a schema. References that lead outside of it are refused.
pub fn check_schema(schema: &Json) -> Result<Validator, SchemaError> {
    jsonschema::validator_for(&schema.to_value()).map_err(|error| SchemaError(error.to_string()))
}

/// A schema that is compiled when it is first needed: a replay never needs it.
#[derive(Debug)]
pub(super) struct Schema {
    json: Json,
    compiled: OnceLock<Result<Validator, SchemaError>>,
}

impl Schema {
    pub(super) fn new(json: &Json) -> Self {
        Self { json: json.clone(), compiled: OnceLock::new() }
    }

    /// Checks a value, the tool's `input` or `output`, and says which rule failed where.
    pub(super) fn check(&self, what: &str, value: &Json) -> Result<(), String> {
        let compiled = self.compiled.get_or_init(|| check_schema(&self.json));
        let compiled =
            compiled.as_ref().map_err(|error| format!("the tool's own {what} schema is {error}"))?;
        check(compiled, what, "the tool's schema", value)
    }
}

/// Checks an input that did not come from a model, and says which rule failed where.
pub fn check_input(schema: &Json, input: &Json) -> Result<(), String> {
    Schema::new(schema).check("input", input)
}

/// Checks an output that did not come from the tool itself, and says which rule failed where.
pub fn check_output(schema: &Json, output: &Json) -> Result<(), String> {
    Schema::new(schema).check("output", output)
}

/// Checks the final answer of a run, and says which rule failed where.
pub fn check_answer(schema: &Json, answer: &Json) -> Result<(), String> {
    let compiled = check_schema(schema).map_err(|error| format!("`output_schema` is {error}"))?;
    check(&compiled, "answer", "its schema", answer)
}

fn check(schema: &Validator, what: &str, whose: &str, json: &Json) -> Result<(), String> {
    let value = json.to_value();
    if schema.is_valid(&value) {
        return Ok(());
    }
    let mut message = format!("the {what} does not fit {whose}:");
    for violation in schema.iter_errors(&value).take(VIOLATIONS_MAX) {
        let text: String = violation.to_string().chars().take(VIOLATION_CHARS_MAX).collect();
        let (at, rule) = (violation.instance_path().as_str(), violation.schema_path().as_str());
        let at = if at.is_empty() { format!("the {what}") } else { at.to_owned() };
        // Writing to a string cannot fail.
        let _ = write!(message, "\n- at {at}: {text} (rule {rule})");
    }
    Err(message)
}

/// Why a text is not JSON, with the place.
pub(super) fn why_not_json(text: &str) -> String {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => "the arguments are not a JSON object".to_owned(),
        Err(error) => format!("the arguments are not JSON: {error}; send one JSON object"),
    }
}
