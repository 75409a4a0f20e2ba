use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Json, Words, clean};

/// What a tool call came to. A failure is data: the model reads it and goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolOutcome {
    /// The tool's output.
    Output(Json),
    /// Why there is none.
    Error(ToolError),
}

/// Why a tool call gave no output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ToolError {
    /// What kind of failure it was.
    pub kind: ErrorKind,
    /// What happened and what to do about it, for the model and the person alike.
    pub message: String,
}

/// Why a model gave no reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[allow(clippy::struct_excessive_bools, reason = "each is recorded by its name, and only where it is set")]
pub struct ModelFailure {
    /// What happened and what to do about it.
    pub message: String,
    /// Whether the same request may be answered later.
    pub may_pass: bool,
    /// The HTTP status, if the provider answered with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long the provider asks to wait before the next attempt, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Whether the next attempt asks another model, one that stands in for this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fall_back: bool,
    /// Whether the provider was asked to stream its answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub streamed: bool,
    /// Whether the provider says that the conversation is longer than the model reads.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub too_long: bool,
    /// Whether the run goes on after that: in the next turn, with a conversation that is shorter; or without a summary,
    /// where one was asked for. Then this failure is what the request came to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shortens: bool,
}

/// The kinds of failure, each told apart in the journal, on screen and to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// No tool has the name the model called.
    UnknownTool,
    /// The input is not JSON, does not fit the schema, or the tool itself refused it.
    InvalidInput,
    /// The host did not make the call, for a reason that does not lie in the call itself: the reply was cut off,
    /// or tools call each other too deeply or in a cycle.
    NotCalled,
    /// The turn asked for more calls than its limit allows, and this one was not made; or the tool itself made
    /// more calls than it may.
    TooManyCalls,
    /// The tool says that trying again may help.
    Transient,
    /// The tool says that it failed.
    Failed,
    /// The guest trapped: a bug in the tool, such as a panic, or an attack.
    Trap,
    /// The call ran past its time limit and its instance was dropped.
    Timeout,
    /// The call used more processor time than its limit.
    Cpu,
    /// The call ran more instructions than its limit.
    Fuel,
    /// The guest wanted more memory than its limit.
    Memory,
    /// The guest's calls were nested too deeply.
    Stack,
    /// The guest held more handles than a call may.
    Handles,
    /// The guest passed more data in one host call than a call may.
    HostCall,
    /// The call had more files open than its limit.
    OpenFiles,
    /// The call made more requests than its limit.
    HttpRequests,
    /// A request or response of the call had a larger body than its limit.
    HttpBody,
    /// The call wanted more random bytes than its limit.
    RandomBytes,
    /// The guest called something that it is not granted and that has no way to say so.
    Denied,
    /// The output is larger than its limit.
    OutputSize,
    /// The output is not JSON, or not what the tool's output schema promises.
    InvalidOutput,
    /// The tool made other calls in this attempt than in the one before.
    Diverged,
    /// A person, or agent.toml, does not allow the call.
    NotApproved,
    /// The host stopped while the call went on, and a person decided that it counts as failed.
    InDoubt,
}

impl ErrorKind {
    /// The kind in words, as it is printed and told to the model. These are part of what old runs were told: they may not
    /// change.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownTool => "unknown tool",
            Self::InvalidInput => "invalid input",
            Self::NotCalled => "not called",
            Self::TooManyCalls => "too many calls",
            Self::Transient => "transient failure",
            Self::Failed => "failed",
            Self::Trap => "trapped",
            Self::Timeout => "timed out",
            Self::Cpu => "out of processor time",
            Self::Fuel => "out of fuel",
            Self::Memory => "out of memory",
            Self::Stack => "out of stack",
            Self::Handles => "too many handles",
            Self::HostCall => "too much data",
            Self::OpenFiles => "too many open files",
            Self::HttpRequests => "too many requests",
            Self::HttpBody => "too large a body",
            Self::RandomBytes => "too many random bytes",
            Self::Denied => "denied",
            Self::OutputSize => "too large an output",
            Self::InvalidOutput => "invalid output",
            Self::Diverged => "diverged",
            Self::NotApproved => "not approved",
            Self::InDoubt => "in doubt",
        }
    }
}

impl ToolOutcome {
    /// A failure of the given kind.
    pub fn error(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::Error(ToolError { kind, message: message.into() })
    }

    /// The outcome as text: the output as JSON, or the failure and its reason.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Output(json) => json.as_str().to_owned(),
            Self::Error(error) => format!("error ({}): {}", error.kind.as_str(), error.message),
        }
    }

    /// What the model reads of it: no longer than `bytes_max` but for a remark on what was left out. It is what the
    /// tool said to the character, because a model that has to repeat a part of it, as it does to edit a file, can
    /// repeat nothing that it does not see. Where `is_whole` is false, hidden characters are taken out, as they were
    /// from all results by the first rules of the loop.
    #[must_use]
    pub fn model_text(&self, bytes_max: u64, is_whole: bool, words: &Words) -> String {
        let text = self.text();
        let text = if is_whole { text } else { clean(&text).into_owned() };
        words.shorten(&text, bytes_max).into_owned()
    }

    /// How long the text is, in bytes.
    #[must_use]
    pub fn text_len(&self) -> usize {
        match self {
            Self::Output(json) => json.as_str().len(),
            Self::Error(_) => self.text().len(),
        }
    }

    /// Whether the call gave an output.
    #[must_use]
    pub fn is_output(&self) -> bool {
        matches!(self, Self::Output(_))
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.message)
    }
}
