use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Digest, Json, Slot};

/// An interface by which programs ask for replies of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `OpenAI` chat completions.
    ChatCompletions,
    /// `OpenAI` responses.
    Responses,
    /// Anthropic messages.
    Messages,
    /// Gemini `generateContent`.
    GenerateContent,
}

impl Dialect {
    /// Its name in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat completions",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::GenerateContent => "generateContent",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a program outside asked a model for, as it is recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApiAsk {
    /// By which interface.
    pub dialect: Dialect,
    /// The model, as the program names it.
    pub model: String,
    /// Whether the reply was to come in pieces.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
    /// Digest of the request, by which it is known when it comes again: of its canonical form, in which ids of calls say
    /// nothing but which call they mean.
    pub key: Digest,
    /// How many requests with this key the program had sent before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub occurrence: u32,
    /// The request that has the beginning of the conversation, if one was recorded before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ApiAfter>,
    /// The body as it was sent, without what `after` has of it.
    pub body: Json,
}

/// The beginning of a conversation that another request has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiAfter {
    /// Where that request is recorded.
    pub slot: Slot,
    /// How many items of the conversation it has.
    pub items: u32,
}

impl ApiAsk {
    /// What makes it the request that it is.
    #[must_use]
    pub fn identity(&self) -> Digest {
        Digest::of_json(&(self.dialect, self.key, self.occurrence))
    }
}

/// A reply as the provider sent it, and as it is sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wire {
    /// The status code of HTTP.
    pub status: u16,
    /// The headers that go on to the program.
    pub headers: Vec<(String, String)>,
    /// The body: JSON, or the events of a stream.
    pub body: String,
}

impl Wire {
    /// What the body is, as the provider says.
    #[must_use]
    pub fn content_type(&self) -> &str {
        let named = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        named.map_or("application/json", |(_, value)| value)
    }

    /// Whether it came in pieces.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.content_type().trim_start().starts_with("text/event-stream")
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
