//! What is said between the model, the loop and the tools: plain data.
//!
//! Owns the vocabulary every other module speaks. Imports nothing of ours, does no I/O and cannot fail,
//! except where text is parsed into one of its types.

mod api;
mod approval;
mod before;
mod budgets;
mod by;
mod caller;
mod duration;
mod ending;
mod id;
mod image;
mod json;
mod line;
mod moment;
mod order;
mod origin;
mod outcome;
mod request;
mod retry;
mod rules;
mod session;
mod slot;
mod text;
mod told;
mod tools;
mod trace;
mod used;
mod words;

pub use api::{ApiAfter, ApiAsk, Dialect, Wire};
pub use approval::{Approvals, Builtin, CallRule, Decision, Verdict};
pub use before::Before;
pub use budgets::{Budgets, Prices};
pub use by::By;
pub use caller::{Caller, CallerError};
pub use duration::duration;
pub use ending::{Cancelled, Ending};
pub use id::{Digest, DigestParseError, Hasher, RunId, RunIdParseError};
pub use image::{Image, MediaType};
pub use json::{DEPTH_MAX, Floats, Inexact, Json, JsonError, JsonPath, changed_at};
pub(crate) use json::{Reader, whole_number};
pub use line::{from_json_line, json_line, visible_json};
pub use moment::{Moment, MomentError};
pub use order::{Order, OrderKey};
pub use origin::{ModelIdentity, Origin};
pub use outcome::{ErrorKind, ModelFailure, ToolError, ToolOutcome};
pub use request::{
    Fork, Manifest, MessageRef, ModelAsk, Outcome, PricedModel, Request, Said, Target, ToolAsk, ToolEntry,
};
pub use retry::Retry;
pub use rules::Rules;
pub use session::{SessionKey, SessionKeyError};
pub use slot::{Slot, SlotParseError, Step};
pub(crate) use text::hexadecimal;
#[cfg(feature = "cli")]
pub(crate) use text::shell_quoted;
pub(crate) use text::shell_word;
pub use text::{clean, is_unseen, spelled_out, toml_string};
pub use told::{Told, Topic};
pub use tools::{Shared, Tools};
pub use trace::{Denial, HttpRecord, LogLine, Remedy, Trace, Usage};
pub use used::Used;
pub use words::Words;

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One entry of the conversation that a model is asked to continue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// What the person, or the host in its own name, says to the model.
    User(String),
    /// A picture that belongs to what the person says next.
    Image(Image),
    /// What the model answered.
    Assistant(Reply),
    /// What one tool call came to. Every call of a reply gets exactly one, in call order.
    Tool(ToolResult),
}

/// A model's answer to one request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// Text for the person; may be empty when the reply only calls tools.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Tool calls in the order in which the model made them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToolCall>,
    /// Why the model stopped. Informative: the loop decides by the presence of calls.
    pub stop: Stop,
    /// Tokens this request was billed for, as the provider reports them.
    #[serde(default)]
    pub tokens: Tokens,
    /// The provider's own form of the reply (reasoning items, signatures), echoed back as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Json>,
    /// Which model gave it, if it was a provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The reply as it went on to a program outside, if one had asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<Arc<Wire>>,
}

impl Reply {
    /// Whether it can stand for what it sums up: it is whole, as far as the provider says, and says something.
    #[must_use]
    pub fn is_summary(&self, rules: Rules) -> bool {
        let whole = match &self.stop {
            Stop::End => true,
            Stop::Other(word) => word == Stop::UNSAID && rules.summary_needs_no_reason(),
            Stop::ToolCalls | Stop::MaxTokens | Stop::ContextWindow | Stop::Paused | Stop::Refusal => false,
        };
        whole && self.calls.is_empty() && !self.text.trim().is_empty()
    }
}

/// Why a model stopped talking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// It had said all it wanted to say.
    #[default]
    End,
    /// It waits for tool results.
    ToolCalls,
    /// It was cut off at the token limit: calls in such a reply may be incomplete.
    MaxTokens,
    /// It was cut off because the conversation fills the model's context window.
    ContextWindow,
    /// It stopped in the middle of its turn and wants to go on: it is asked again with what it said.
    Paused,
    /// It, or its provider's filter, refused to answer.
    Refusal,
    /// Anything else, in the provider's word.
    Other(String),
}

impl Stop {
    /// The word for a provider that says nothing of why.
    pub const UNSAID: &str = "unknown";

    /// A stop of which the provider does not say why.
    #[must_use]
    pub fn unsaid() -> Self {
        Self::Other(Self::UNSAID.to_owned())
    }
}

/// Tokens of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Tokens {
    /// Tokens of the request.
    pub input: u64,
    /// Tokens of the reply, reasoning included.
    pub output: u64,
}

impl Tokens {
    /// These and others.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let (input, output) =
            (self.input.saturating_add(other.input), self.output.saturating_add(other.output));
        Self { input, output }
    }
}

/// A tool call as the model asked for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id of the call, echoed back with the result. Not necessarily unique.
    pub id: String,
    /// The tool's name as the model wrote it; it need not exist.
    pub name: String,
    /// The input as the model wrote it; it need not be JSON.
    pub arguments: Arguments,
}

/// The arguments of a tool call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arguments {
    /// Well-formed JSON in canonical form, so that equal arguments are equal bytes.
    Json(Json),
    /// Text that is not JSON, kept so that the model can be told.
    Malformed(String),
}

impl Arguments {
    /// The text: canonical if it is JSON, and as it was written if it is not.
    #[must_use]
    pub fn as_written(&self) -> &str {
        match self {
            Self::Json(json) => json.as_str(),
            Self::Malformed(text) => text,
        }
    }

    /// Reads the text a model wrote. No text at all means no arguments: `{}`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text.trim().is_empty() {
            return Self::Json(Json::empty_object());
        }
        Json::parse_canonical(text).map_or_else(|_| Self::Malformed(text.to_owned()), Self::Json)
    }

    /// The same by the rules of a run, for what a tool passes to another one: when the tool is called again, that has
    /// to be what is recorded. At first, numbers went through 64 bits, and later zeros had no signs.
    #[must_use]
    pub fn parse_by(rules: Rules, text: &str) -> Self {
        if rules.zeros_have_signs() || text.trim().is_empty() {
            return Self::parse(text);
        }
        if rules.numbers_are_exact() {
            let json = Json::parse_with_plain_zeros(text);
            return json.map_or_else(|_| Self::Malformed(text.to_owned()), Self::Json);
        }
        let value = serde_json::from_str(text);
        value.map_or_else(|_| Self::Malformed(text.to_owned()), |value| Self::Json(Json::canonical(&value)))
    }
}

/// A tool call's result on its way back to the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The id of the call that this answers.
    pub call_id: String,
    /// The name the model called.
    pub name: String,
    /// What the call came to.
    pub outcome: ToolOutcome,
    /// How much of it the model is shown, in bytes.
    #[serde(default = "default_shown", skip_serializing_if = "is_default_shown")]
    pub shown_bytes_max: u64,
    /// What the model has to know besides, such as that a person changed the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What the model reads, where that does not follow from the outcome alone: it was cut or shortened, or the outcome is
    /// recorded with an earlier run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// Whether the model reads hidden characters in it, too; see [`Rules::results_are_whole`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_whole: bool,
}

/// How much of an outcome a model is shown if nothing else is said: about 16,000 tokens, of which a few fit
/// every model's context.
pub const SHOWN_BYTES_MAX: u64 = 64 << 10;

impl ToolResult {
    /// What the model reads.
    #[must_use]
    pub fn model_text(&self) -> String {
        if let Some(shown) = &self.shown {
            return shown.clone();
        }
        // Where a run has words of its own, what is said in them is in `shown`.
        self.text_in(Words::first())
    }

    fn text_in(&self, words: &Words) -> String {
        let text = self.outcome.model_text(self.shown_bytes_max, self.is_whole, words);
        match &self.note {
            Some(note) => format!("{text}\n({note})"),
            None => text,
        }
    }

    /// The same, as the model reads it in the words of a run that has them recorded: how much is left out of it, if it
    /// is too long.
    #[must_use]
    pub fn told_in(self, words: &Words) -> Self {
        let bytes = u64::try_from(self.outcome.text_len()).unwrap_or(u64::MAX);
        let is_cut = bytes > self.shown_bytes_max;
        Self { shown: is_cut.then(|| self.text_in(words)), ..self }
    }

    /// The same, of which the model reads no more than the beginning and the end, of so many bytes together.
    #[must_use]
    pub fn shown_shorter(self, bytes_max: u64, words: &Words) -> Self {
        let text = self.model_text();
        match words.shorten(&text, bytes_max) {
            // What is said of the rest may be longer than the rest.
            Cow::Owned(shorter) if shorter.len() < text.len() => Self { shown: Some(shorter), ..self },
            Cow::Borrowed(_) | Cow::Owned(_) => self,
        }
    }

    /// The same to the model, without what it is not shown of the outcome.
    #[must_use]
    pub fn as_shown(self) -> Self {
        let shown = self.model_text();
        if shown.len() >= self.outcome.text().len() {
            return self;
        }
        let outcome = match self.outcome {
            ToolOutcome::Output(_) => ToolOutcome::Output(Json::empty_object()),
            ToolOutcome::Error(error) => ToolOutcome::error(error.kind, ""),
        };
        Self { outcome, shown: Some(shown), ..self }
    }
}

fn default_shown() -> u64 {
    SHOWN_BYTES_MAX
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_default_shown(bytes: &u64) -> bool {
    *bytes == SHOWN_BYTES_MAX
}

/// A tool as a model is told about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// The name to call it by, prefix included.
    pub name: String,
    /// What it does, in the tool author's words.
    pub description: String,
    /// JSON Schema of the input.
    pub input_schema: Json,
    /// JSON Schema of the output, where the tool promises one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Json>,
}
