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
