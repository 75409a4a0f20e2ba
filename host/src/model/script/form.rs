//! A script's `[[reply]]` tables as they are written. The comments here are the descriptions in the JSON
//! Schema.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use toml::Spanned;

use super::Turn;
use crate::document::{Data, Problem};
use crate::message::{Arguments, Json, ModelFailure, Reply, Stop, Tokens, ToolCall};

/// One reply of the model, or one request that fails.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScriptedReply {
    /// What the model says.
    #[serde(default)]
    pub(super) text: String,
    /// The tools that it calls, all at once.
    #[serde(default)]
    pub(super) calls: Vec<ScriptedCall>,
    /// Texts that have to occur in the messages since the reply before.
    #[serde(default)]
    pub(super) expect: Vec<String>,
    /// After the text it says what the calls of the reply before came to, each on a line: so an agent that is tried out
    /// offline shows what its tools give, whatever that is.
    #[serde(default)]
    pub(super) results: bool,
    /// It is a summary of the conversation, asked for before the next `[[reply]]`: because of `compact_at_tokens`, or
    /// because a request was too long. With an `error` that is `too_long`, the run goes on without a summary.
    #[serde(default)]
    pub(super) summary: bool,
    /// Why the model stopped: `end`, `tool_calls`, `max_tokens`, `context_window` or `refusal`; by default one of the
    /// first two, as there are calls or not.
    #[schemars(with = "Option<Value>", example = &"max_tokens")]
    pub(super) stop: Option<Stop>,
    /// What the reply is said to have taken, for agents with a budget of tokens.
    pub(super) tokens: Option<Tokens>,
    /// The request fails, as with a provider; the next `[[reply]]` is what the next attempt gets.
    pub(super) error: Option<ScriptedError>,
}

/// A call that the model makes.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = json!({ "name": "get_weather", "input": { "city": "Paris" } }))]
pub(crate) struct ScriptedCall {
    /// The provider's id of the call; by default one made from turn and place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    /// The tool.
    #[schemars(example = &"get_weather")]
    pub(super) name: String,
    /// The arguments as a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) input: Option<Data>,
    /// The arguments as text, which need not be JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) input_text: Option<String>,
}

/// Why a request gets no reply.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScriptedError {
    /// What the provider says.
    #[schemars(example = &"HTTP 503: overloaded")]
    message: String,
    /// Whether the same request may be answered later, so that it is sent again.
    #[serde(default)]
    may_pass: bool,
    /// How long the provider asks to wait before that, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// Whether the conversation is too long for the model: the run shortens it, by a summary if there is anything to sum
    /// up, and goes on in its next turn, with the next `[[reply]]`. With `summary = true` it is the request for a summary
    /// that is too long.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    too_long: bool,
}

/// The turns that `[[reply]]` tables make.
pub(crate) fn turns(replies: &[Spanned<ScriptedReply>]) -> Result<Vec<Turn>, Vec<Problem>> {
    let problems: Vec<Problem> = replies.iter().filter_map(problem).collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut turns = Vec::new();
    let mut turn = Turn::default();
    for scripted in replies.iter().map(Spanned::get_ref) {
        turn.expect.extend(scripted.expect.iter().cloned());
        if let Some(error) = &scripted.error {
            turn.failures.push(error.clone().into());
            if !error.too_long {
                continue;
            }
        } else {
            turn.reply = Some(scripted.reply(turns.len()));
            turn.results = scripted.results;
        }
        let whole = std::mem::take(&mut turn);
        if scripted.summary {
            turn.summary = Some(Box::new(whole));
        } else {
            turns.push(whole);
        }
    }
    // A script may end with failures, for a run that breaks off.
    turns.extend((turn != Turn::default()).then_some(turn));
    Ok(turns)
}

/// What the form alone does not say is wrong with a reply.
fn problem(reply: &Spanned<ScriptedReply>) -> Option<Problem> {
    let ScriptedReply { text, calls, expect: _, results, summary, stop, tokens, error } = reply.get_ref();
    let says = !text.is_empty() || !calls.is_empty() || *results || stop.is_some() || tokens.is_some();
    if error.as_ref().is_some_and(|error| says || (*summary && !error.too_long)) {
        let help =
            "move the rest into a [[reply]] of its own after this one: that is what the next attempt gets";
        return Some(Problem::new(reply.span(), "a reply with `error` is no reply", help));
    }
    if error.as_ref().is_some_and(|error| error.too_long && error.may_pass) {
        let (message, help) = ("what is too long stays too long", "take `may_pass` or `too_long` out");
        return Some(Problem::new(reply.span(), message, help));
    }
    let doubled = calls.iter().find(|call| call.input.is_some() && call.input_text.is_some())?;
    let message = format!("the call of `{}` has both `input` and `input_text`", doubled.name);
    Some(Problem::new(reply.span(), message, "keep one of them"))
}

impl ScriptedReply {
    fn reply(&self, turn: usize) -> Reply {
        let call = |(index, call): (usize, &ScriptedCall)| ToolCall {
            id: call.id.clone().unwrap_or_else(|| format!("call_{turn}_{index}")),
            name: call.name.clone(),
            arguments: call.arguments(),
        };
        let stop = self.stop.clone().unwrap_or_else(|| usual_stop(self.calls.is_empty()));
        Reply {
            text: self.text.clone(),
            calls: self.calls.iter().enumerate().map(call).collect(),
            stop,
            tokens: self.tokens.unwrap_or_default(),
            items: None,
            origin: None,
            wire: None,
        }
    }
}

/// Why a model stops if nothing else is said.
pub(super) fn usual_stop(without_calls: bool) -> Stop {
    if without_calls { Stop::End } else { Stop::ToolCalls }
}

impl ScriptedCall {
    pub(super) fn arguments(&self) -> Arguments {
        match (&self.input, &self.input_text) {
            (Some(Data(value)), _) => Arguments::parse(&value.to_string()),
            (None, Some(text)) => Arguments::parse(text),
            (None, None) => Arguments::Json(Json::empty_object()),
        }
    }
}

impl From<ScriptedError> for ModelFailure {
    fn from(ScriptedError { message, may_pass, retry_after_ms, too_long }: ScriptedError) -> Self {
        let (status, fall_back, streamed, shortens) = (None, false, false, false);
        Self { message, may_pass, status, retry_after_ms, fall_back, streamed, too_long, shortens }
    }
}

impl From<ModelFailure> for ScriptedError {
    fn from(failure: ModelFailure) -> Self {
        let ModelFailure { message, may_pass, retry_after_ms, shortens, .. } = failure;
        // One that the run did not go on from in its next turn is a failure like any other.
        Self { message, may_pass, retry_after_ms, too_long: shortens }
    }
}
