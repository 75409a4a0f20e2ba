//! An answer to our [`Reply`].

use std::sync::Arc;

use futures::Stream;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use rig_core::completion::{CompletionResponse, FinishReason};
use rig_core::driver::{Exchange, Opened, Opening, Transport};
use rig_core::error::ProviderError;
use rig_core::message::{AssistantContent, ToolCall as WireCall};
use rig_core::operation::Completion;
use rig_core::wire::{Encoded, Wire, WireFrame};
use serde_json::Value;
use serde_json::value::RawValue;

use super::ids::CallIds;
use super::kept::Kept;
use super::schema::Calls;
use super::surrogates::mended;
use super::{End, Failure, Interface};
use crate::message::{Arguments, Json, Message, Origin, Reply, Stop, Tokens, ToolCall};
use crate::model::{ModelError, ModelRequest};

/// The frames of an answer.
type Frames = BoxStream<'static, Result<WireFrame, ProviderError>>;

/// The driver's transport, when the answer is arriving already.
#[derive(Clone)]
pub(super) struct Arrived(Arc<Mutex<Option<Frames>>>);

impl Arrived {
    pub(super) fn new(frames: impl Stream<Item = Result<WireFrame, ProviderError>> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::pin(frames)))))
    }
}

impl<W: Wire<Op = Completion, Payload = Encoded, Frame = WireFrame>> Transport<W> for Arrived {
    fn send(&self, _: Encoded, _: Exchange) -> Opening<WireFrame> {
        let frames = self.0.lock().take();
        Opening::ready(Opened::new(frames.unwrap_or_else(|| Box::pin(futures::stream::empty()))))
    }
}

/// Why an answer gives no reply.
pub(super) enum Fault {
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// The provider failed, and says so.
    Reported(Failure),
}

impl Fault {
    pub(super) fn into_error(
        self,
        unreadable: impl FnOnce(String) -> ModelError,
        reported: impl FnOnce(Failure) -> ModelError,
    ) -> ModelError {
        match self {
            Self::Unreadable(reason) => unreadable(reason),
            Self::Reported(failure) => reported(failure),
        }
    }
}

/// How an answer came.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// As it is.
    Whole,
    /// In pieces, from which it was put together.
    Streamed,
}

/// Reads an answer that the wire understood.
pub(super) fn read<A: Interface>(
    request: &ModelRequest<'_>,
    from: &Origin,
    answer: &RawValue,
    response: &CompletionResponse,
    form: Form,
    kept: &Kept,
) -> Result<Reply, Fault> {
    let value: Value =
        serde_json::from_str(answer.get()).map_err(|error| Fault::Unreadable(error.to_string()))?;
    let stop = match A::end(&value) {
        End::Failed(failure) => return Err(Fault::Reported(failure)),
        End::Stop(stop) => stop,
        End::AsRead => stop(response),
    };
    let calls = calls(&response.choice, request, A::ID_CHARS_MAX, kept);
    // What goes back has the names that the provider knows; what is called has the tool's own.
    let own = Calls::new(request.tools, A::subset(&from.base_url));
    let items = match form {
        Form::Streamed if !A::is_faithful(&value) => None,
        Form::Whole | Form::Streamed => A::items(answer, &calls).map_err(Fault::Unreadable)?,
    };
    let calls = calls
        .into_iter()
        .map(|call| ToolCall { arguments: own.back(&call.name, call.arguments), ..call })
        .collect();
    let items = items.map(|items| Json::verbatim(kept.put_back(items)));
    let items = items.transpose().map_err(|error| Fault::Unreadable(error.to_string()))?;
    let texts: Vec<&str> = response.choice.iter().filter_map(text).collect();
    let mut text = texts.join("\n");
    if let (true, Some(error)) = (text.is_empty() && stop == Stop::Refusal, &response.error) {
        text.clone_from(error);
    }
    let tokens = Tokens {
        input: response.usage.input_tokens.unwrap_or(0),
        output: response.usage.output_tokens.unwrap_or(0),
    };
    Ok(Reply { text, calls, stop, tokens, items, origin: None, wire: None })
}

/// The reply in a provider's word that it will not answer: for some that is an error.
pub(super) fn refusal(error: &ProviderError) -> Option<Reply> {
    match error {
        ProviderError::ProviderResponse(response) if response.refusal => {
            Some(Reply { text: response.body.clone(), stop: Stop::Refusal, ..Reply::default() })
        }
        _ => None,
    }
}

fn text(content: &AssistantContent) -> Option<&str> {
    if let AssistantContent::Text(text) = content { Some(text.text()) } else { None }
}

/// The calls of an answer. An id that had to be made up is in no other place of the conversation either.
fn calls(
    content: &[AssistantContent],
    request: &ModelRequest<'_>,
    id_chars_max: Option<usize>,
    kept: &Kept,
) -> Vec<ToolCall> {
    let calls: Vec<&WireCall> = content
        .iter()
        .filter_map(|block| if let AssistantContent::ToolCall(call) = block { Some(call) } else { None })
        .collect();
    let own = |call: &'_ WireCall| call.id.provider().map(|id| id.as_str().to_owned());
    let owned: Vec<String> = calls.iter().filter_map(|call| own(call)).collect();
    let earlier = request.messages.iter().filter_map(|message| match message {
        Message::Assistant(reply) => Some(&reply.calls),
        Message::User(_) | Message::Image(_) | Message::Tool(_) => None,
    });
    let earlier = earlier.flatten().map(|call| call.id.as_str());
    let mut ids = CallIds::new([], owned.iter().map(String::as_str).chain(earlier), id_chars_max);
    let named = calls.into_iter().enumerate().map(|(index, call)| {
        let read = call.function.arguments_value();
        let arguments = match (kept.text(&read), &call.function.invalid_arguments) {
            (Some(text), _) => Arguments::parse(&text),
            (None, Some(text)) => Arguments::parse(&mended(text)),
            (None, None) => Arguments::parse(&read.to_string()),
        };
        let id = ids.give(own(call).as_deref(), format!("call_{}_{index}", request.turn));
        ToolCall { id, name: call.function.name.as_str().to_owned(), arguments }
    });
    named.collect()
}

fn stop(response: &CompletionResponse) -> Stop {
    match response.finish_reason() {
        Some(FinishReason::Stop) => Stop::End,
        Some(FinishReason::ToolCalls) => Stop::ToolCalls,
        Some(FinishReason::Length) => Stop::MaxTokens,
        Some(FinishReason::ContentFilter) => Stop::Refusal,
        Some(FinishReason::Other(word)) if word == "refusal" => Stop::Refusal,
        Some(FinishReason::Other(word)) => Stop::Other(word),
        // A server may say none, and the crate may learn new words.
        None | Some(_) => Stop::unsaid(),
    }
}
