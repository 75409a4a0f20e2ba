//! Why a call gave no output: the SDK's own type for the contract's `tool-error`.
//!
//! What converts into it by `?` is taken for a lasting failure, as nothing is known of it. A tool that knows
//! better says so with [`ToolError::invalid_input`] or [`ToolError::transient`].

use std::fmt;

/// Why a tool gives no output. The message is for the model: it says what to do differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolError {
    /// The input is not what the tool takes; the same input will fail again.
    InvalidInput(String),
    /// The reason may pass: the same call is worth another try.
    Transient(String),
    /// It failed, and trying again will not help.
    Failed(String),
}

impl ToolError {
    /// The input is not what the tool takes.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::InvalidInput(message.into())
    }

    /// The reason may pass.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::Transient(message.into())
    }

    /// Trying again will not help.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, message) = match self {
            Self::InvalidInput(message) => ("invalid input", message),
            Self::Transient(message) => ("transient failure", message),
            Self::Failed(message) => ("failed", message),
        };
        write!(f, "{kind}: {message}")
    }
}

impl std::error::Error for ToolError {}

impl From<String> for ToolError {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

impl From<&str> for ToolError {
    fn from(message: &str) -> Self {
        Self::Failed(message.to_owned())
    }
}

impl From<std::io::Error> for ToolError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
