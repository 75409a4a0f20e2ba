//! What some servers leave in the text of a reply: what the model thought, and the calls that it makes.
//!
//! Owns how both are told from what the model says. It is asked for in agent.toml and never guessed. What a reply says is
//! read here once it is there as a whole ([`apart`]); what is heard of it on the way is in [`live`]. Each goes through a
//! text once, from its beginning to its end. It cannot fail: a call that cannot be read becomes a call whose arguments are
//! malformed, of which the model is told.

mod live;
mod written;

pub(super) use live::Live;
pub use written::TextCalls;

use super::ids::CallIds;
use super::schema::Calls;
use crate::message::{Message, Reply, Stop, ToolCall};
use crate::model::ModelRequest;
use written::Written;

/// What stands in the text of replies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InText {
    /// What the model thought, between these.
    pub reasoning: Option<ReasoningTags>,
    /// The calls that the model makes, in this form.
    pub calls: Option<TextCalls>,
}

/// What stands around what a model thought before it says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasoningTags {
    /// Before it; empty where the template of the model ends with it, so that each reply begins in the middle.
    pub open: String,
    /// Behind it.
    pub close: String,
}

/// A text, taken apart.
#[derive(Debug, Default, PartialEq)]
struct Apart {
    said: String,
    calls: Vec<Written>,
}

impl InText {
    /// A reply without what is no part of what the model says, and with the calls that it wrote.
    ///
    /// What the server said does not go back if calls were found in it: results of calls that it does not know of are
    /// refused by many servers.
    pub(super) fn read(
        &self,
        reply: Reply,
        request: &ModelRequest<'_>,
        own: &Calls,
        id_chars_max: Option<usize>,
    ) -> Reply {
        if *self == Self::default() {
            return reply;
        }
        let Apart { said, calls } = self.apart(&reply.text);
        if calls.is_empty() {
            return Reply { text: said, ..reply };
        }
        let mut ids = CallIds::new(reply.calls.iter().map(|call| &*call.id), known(request), id_chars_max);
        let mut all = reply.calls;
        for Written { name, arguments } in calls {
            let id = ids.give(None, format!("call_{}_{}", request.turn, all.len()));
            let arguments = own.back(&name, arguments);
            all.push(ToolCall { id, name, arguments });
        }
        let stop = if reply.stop == Stop::End { Stop::ToolCalls } else { reply.stop };
        Reply { text: said, calls: all, stop, items: None, ..reply }
    }

    fn apart(&self, text: &str) -> Apart {
        let text = match &self.reasoning {
            Some(tags) => tags.behind(text),
            None => text,
        };
        match self.calls {
            Some(calls) => calls.apart(text),
            None => Apart { said: text.to_owned(), calls: Vec::new() },
        }
    }
}

impl ReasoningTags {
    /// What comes behind what the model thought. Tags count only before it says something: in the middle of an answer
    /// they are what it speaks of.
    fn behind<'a>(&self, text: &'a str) -> &'a str {
        let mut rest = text;
        let mut begun = self.open.is_empty();
        let mut thought = false;
        loop {
            if !begun {
                match rest.trim_start().strip_prefix(&*self.open) {
                    Some(inside) if !self.open.is_empty() => rest = inside,
                    Some(_) | None => return if thought { rest.trim_start() } else { rest },
                }
            }
            // What does not end is all thought.
            let Some((_, behind)) = rest.split_once(&*self.close) else { return "" };
            (rest, begun, thought) = (behind, false, true);
        }
    }
}

/// The ids of the calls of a conversation.
fn known<'a>(request: &ModelRequest<'a>) -> impl Iterator<Item = &'a str> {
    let replies = request.messages.iter().filter_map(|message| match message {
        Message::Assistant(reply) => Some(&reply.calls),
        Message::User(_) | Message::Image(_) | Message::Tool(_) => None,
    });
    replies.flatten().map(|call| call.id.as_str())
}

#[cfg(test)]
mod tests;
