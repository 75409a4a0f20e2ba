use std::fmt;

use serde::{Deserialize, Serialize};

use super::Json;

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolError {
    /// What kind of failure it was.
    pub kind: ErrorKind,
    /// What happened and what to do about it, for the model and the person alike.
    pub message: String,
}

/// The kinds of failure, each told apart in the journal, on screen and to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// No tool has the name the model called.
    UnknownTool,
    /// The input is not JSON, does not fit the schema, or the tool itself refused it.
    InvalidInput,
    /// The host did not make the call, for a reason that lies in the reply as a whole.
    NotCalled,
    /// The turn asked for more calls than its limit allows; this one was not made.
    TooManyCalls,
    /// The tool says that trying again may help.
    Transient,
    /// The tool says that it failed.
    Failed,
    /// The guest trapped: a bug in the tool, such as a panic, or an attack.
    Trap,
    /// The call ran past its time limit and its instance was dropped.
    Timeout,
    /// The guest wanted more memory than its limit and its instance was dropped.
    Memory,
    /// The output is not JSON or larger than its limit.
    InvalidOutput,
}

impl ErrorKind {
    /// The kind in words, as it is printed and told to the model.
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
            Self::Memory => "out of memory",
            Self::InvalidOutput => "invalid output",
        }
    }
}

impl ToolOutcome {
    /// A failure of the given kind.
    pub fn error(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::Error(ToolError { kind, message: message.into() })
    }

    /// The text the model reads: the output as JSON, or the failure and its reason.
    #[must_use]
    pub fn model_text(&self) -> String {
        match self {
            Self::Output(json) => json.as_str().to_owned(),
            Self::Error(error) => format!("error ({}): {}", error.kind.as_str(), error.message),
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

/// What one attempt of a call consumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Wall-clock time from the start of the attempt to its end, in microseconds.
    pub wall_us: u64,
    /// The most memory (linear memories and tables together) the guest held, in bytes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub memory_bytes: u64,
}

/// One line a guest wrote for the person: through the log import, or to stdout or stderr.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// `trace`, `debug`, `info`, `warn`, `error`, `stdout` or `stderr`; `host` for a remark of the host's.
    pub from: String,
    /// The line, without control characters.
    pub text: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}
