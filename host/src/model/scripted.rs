use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use serde::Deserialize;

use super::{Model, ModelError, ModelRequest};
use crate::message::{Arguments, Json, Message, Reply, Stop, Tokens, ToolCall};

/// A model that replies from a file, one reply a turn: no network, no key, the same every time.
///
/// ```toml
/// [[reply]]
/// calls = [{ name = "get_weather", input = { city = "New York" } }]
///
/// [[reply]]
/// expect = ["New York"]   # has to occur in what was said since the reply before
/// text = "It is sunny in New York."
/// ```
#[derive(Clone, Debug)]
pub struct Scripted {
    script: Script,
}

/// The replies, and the file they come from.
#[derive(Clone, Debug)]
pub struct Script {
    path: PathBuf,
    replies: Vec<ScriptedReply>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptFile {
    reply: Vec<ScriptedReply>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptedReply {
    #[serde(default)]
    text: String,
    #[serde(default)]
    calls: Vec<ScriptedCall>,
    /// Texts that have to occur in the messages since the reply before.
    #[serde(default)]
    expect: Vec<String>,
    stop: Option<Stop>,
    /// What the reply is said to have taken, for agents with a budget of tokens.
    #[serde(default)]
    tokens: Tokens,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptedCall {
    id: Option<String>,
    name: String,
    /// The arguments as a table.
    input: Option<serde_json::Value>,
    /// The arguments as text, which need not be JSON.
    input_text: Option<String>,
}

/// A script that cannot be read, or does not fit the run.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The file cannot be read.
    #[error("cannot read the script {}: {reason}\n  `script` in [model] is relative to agent.toml", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is not a script.
    #[error("{} is not a script: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// The run asks for more replies than there are.
    #[error("the script {} is exhausted: it has {replies} replies, and the run asks for one more\n  add a [[reply]] for turn {replies} (turns count from 0)", path.display())]
    Exhausted {
        /// The file.
        path: PathBuf,
        /// How many it has.
        replies: usize,
    },
    /// The run ended before every reply was used.
    #[error("the script {} has {} left over: the run ended after {used} of {replies} replies\n  the last reply that is used has no calls; remove what follows it", path.display(), replies - used)]
    LeftOver {
        /// The file.
        path: PathBuf,
        /// How many were used.
        used: usize,
        /// How many it has.
        replies: usize,
    },
    /// The conversation is not the one the script was written for.
    #[error("the script {} expects {expected:?} before its reply {turn}, and it was not said; said was:\n{said}", path.display())]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// The reply, from 0.
        turn: u32,
        /// The text that should have occurred.
        expected: String,
        /// What was said since the reply before.
        said: String,
    },
}

impl Script {
    /// Reads a script file.
    pub fn load(path: &Path) -> Result<Self, ScriptError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ScriptError::Unreadable { path: path.to_owned(), reason: error.to_string() })?;
        Self::parse(&text, path)
    }

    /// Reads a script from its text; `path` is named in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ScriptError> {
        let malformed = |reason: String| ScriptError::Malformed { path: path.to_owned(), reason };
        let file: ScriptFile = toml::from_str(text).map_err(|error| malformed(error.to_string()))?;
        for (turn, reply) in file.reply.iter().enumerate() {
            if reply.calls.iter().any(|call| call.input.is_some() && call.input_text.is_some()) {
                return Err(malformed(format!("reply {turn}: a call has either `input` or `input_text`")));
            }
        }
        Ok(Self { path: path.to_owned(), replies: file.reply })
    }
}

impl Scripted {
    /// A model that follows the script.
    #[must_use]
    pub fn new(script: Script) -> Self {
        Self { script }
    }

    fn reply(&self, request: &ModelRequest<'_>) -> Result<Reply, ScriptError> {
        let Script { path, replies } = &self.script;
        let turn = request.turn;
        let scripted = replies
            .get(turn as usize)
            .ok_or_else(|| ScriptError::Exhausted { path: path.clone(), replies: replies.len() })?;
        let said = said_since_reply(request.messages);
        if let Some(expected) = scripted.expect.iter().find(|text| !said.contains(text.as_str())) {
            return Err(ScriptError::Unexpected {
                path: path.clone(),
                turn,
                expected: expected.clone(),
                said,
            });
        }
        Ok(scripted.to_reply(turn))
    }
}

impl ScriptedReply {
    fn to_reply(&self, turn: u32) -> Reply {
        let call = |(index, call): (usize, &ScriptedCall)| ToolCall {
            id: call.id.clone().unwrap_or_else(|| format!("call_{turn}_{index}")),
            name: call.name.clone(),
            arguments: match (&call.input, &call.input_text) {
                (Some(value), _) => Arguments::Json(Json::canonical(value)),
                (None, Some(text)) => Arguments::parse(text),
                (None, None) => Arguments::Json(Json::empty_object()),
            },
        };
        let stop = match &self.stop {
            Some(stop) => stop.clone(),
            None if self.calls.is_empty() => Stop::End,
            None => Stop::ToolCalls,
        };
        Reply {
            text: self.text.clone(),
            calls: self.calls.iter().enumerate().map(call).collect(),
            stop,
            tokens: self.tokens,
            items: None,
            origin: None,
        }
    }
}

/// What the model has not yet answered, as text.
fn said_since_reply(messages: &[Message]) -> String {
    let since =
        messages.iter().rposition(|message| matches!(message, Message::Assistant(_))).map_or(0, |i| i + 1);
    messages[since..].iter().fold(String::new(), |mut said, message| {
        // Writing to a string cannot fail.
        let _ = match message {
            Message::User(text) => writeln!(said, "  user: {text}"),
            Message::Tool(result) => writeln!(said, "  {}: {}", result.name, result.model_text()),
            Message::Assistant(reply) => writeln!(said, "  assistant: {}", reply.text),
        };
        said
    })
}

impl Model for Scripted {
    fn ask<'a>(&'a self, request: &'a ModelRequest<'a>) -> BoxFuture<'a, Result<Reply, ModelError>> {
        Box::pin(async move { Ok(self.reply(request)?) })
    }

    fn reaches_outside(&self) -> bool {
        false
    }

    fn finish(&self, turns: u32) -> Result<(), ModelError> {
        let Script { path, replies } = &self.script;
        let (used, replies) = (turns as usize, replies.len());
        if used < replies {
            return Err(ScriptError::LeftOver { path: path.clone(), used, replies }.into());
        }
        Ok(())
    }
}
