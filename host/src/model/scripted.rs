use std::fmt::Write as _;

use futures::future::BoxFuture;

use super::{Model, ModelError, ModelRequest, Purpose, Script, ScriptError, Turn};
use crate::message::{Message, Reply, Rules};

/// A model that replies from a file, one reply a turn: no network, no key, the same every time.
///
/// ```toml
/// [[reply]]
/// calls = [{ name = "get_weather", input = { city = "New York" } }]
///
/// [[reply]]
/// error = { message = "HTTP 503: overloaded", may_pass = true }   # the first attempt in the second turn
///
/// [[reply]]
/// expect = ["New York"]   # has to occur in what was said since the reply before
/// text = "It is sunny in New York."
/// ```
#[derive(Clone, Debug)]
pub struct Scripted {
    script: Script,
}

impl Scripted {
    /// A model that follows the script.
    #[must_use]
    pub fn new(script: Script) -> Self {
        Self { script }
    }

    fn reply(&self, request: &ModelRequest<'_>) -> Result<Reply, ModelError> {
        let script = &self.script;
        let path = script.path();
        let turn = request.turn;
        let exhausted = || ScriptError::Exhausted { path: path.to_owned(), replies: script.replies() };
        let of_turn = script.turns().get(turn as usize).ok_or_else(exhausted)?;
        let no_summary = || ScriptError::NoSummary { path: path.to_owned(), turn };
        let scripted = match request.purpose {
            Purpose::Reply => of_turn,
            Purpose::Summary => of_turn.summary.as_deref().ok_or_else(no_summary)?,
        };
        if scripted.summary.as_deref().is_some_and(|summary| !was_asked_for(summary, request.messages)) {
            return Err(ScriptError::SummaryUnasked { path: path.to_owned(), turn }.into());
        }
        let said = said_since_reply(request.messages);
        if let Some(expected) = scripted.expect.iter().find(|text| !said.contains(text.as_str())) {
            let (path, expected) = (path.to_owned(), expected.clone());
            return Err(ScriptError::Unexpected { path, turn, expected, said }.into());
        }
        let attempts_before = (request.attempt as usize).saturating_sub(1);
        if let Some(failure) = scripted.failures.get(attempts_before) {
            return Err(ModelError::Given(failure.clone()));
        }
        let mut reply = scripted.reply.clone().ok_or_else(exhausted)?;
        if scripted.results {
            reply.text = [reply.text]
                .into_iter()
                .filter(|text| !text.is_empty())
                .chain(results(request.messages))
                .collect::<Vec<_>>()
                .join("\n");
        }
        Ok(reply)
    }
}

/// Whether the conversation goes on from a summary, if it is one from which a conversation can go on.
fn was_asked_for(summary: &Turn, messages: &[Message]) -> bool {
    // One that counts by some rules alone may have been asked for, and left aside.
    let counts = |reply: &&Reply| reply.is_summary(Rules::default());
    let Some(reply) = summary.reply.as_ref().filter(counts) else { return true };
    // The host says something before it, in whatever words it said that when the run began.
    messages.iter().any(|message| matches!(message, Message::User(text) if text.ends_with(&reply.text)))
}

/// What the model has not yet answered.
fn since_reply(messages: &[Message]) -> &[Message] {
    let since = messages.iter().rposition(|message| matches!(message, Message::Assistant(_)));
    messages.get(since.map_or(0, |index| index + 1)..).unwrap_or_default()
}

/// What the calls of the reply before came to, each in a line.
fn results(messages: &[Message]) -> impl Iterator<Item = String> {
    since_reply(messages).iter().filter_map(|message| match message {
        Message::Tool(result) => Some(format!("{}: {}", result.name, result.model_text())),
        Message::User(_) | Message::Image(_) | Message::Assistant(_) => None,
    })
}

/// The same as text.
fn said_since_reply(messages: &[Message]) -> String {
    since_reply(messages).iter().fold(String::new(), |mut said, message| {
        // Writing to a string cannot fail.
        let _ = match message {
            Message::User(text) => writeln!(said, "  user: {text}"),
            Message::Image(image) => writeln!(said, "  image: {}", image.in_words()),
            Message::Tool(result) => writeln!(said, "  {}: {}", result.name, result.model_text()),
            Message::Assistant(reply) => writeln!(said, "  assistant: {}", reply.text),
        };
        said
    })
}

impl Model for Scripted {
    fn ask<'a>(&'a self, request: &'a ModelRequest<'a>) -> BoxFuture<'a, Result<Reply, ModelError>> {
        Box::pin(async move { self.reply(request) })
    }

    fn reaches_outside(&self) -> bool {
        false
    }

    fn finish(&self, turns: u32) -> Result<(), ModelError> {
        let (used, replies) = (turns as usize, self.script.turns().len());
        if used < replies {
            let path = self.script.path().to_owned();
            return Err(ScriptError::LeftOver { path, used, replies }.into());
        }
        Ok(())
    }
}
