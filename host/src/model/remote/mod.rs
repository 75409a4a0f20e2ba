//! Models behind HTTP: everything that is the same for all providers.
//!
//! Owns the order of one exchange: `request` writes it, `http` carries it, `reply` reads the answer, whole or as it
//! comes. The wire formats are the crate `rig-core`'s; what is particular about one provider's is its [`Interface`],
//! one file each beside this folder. Keeps nothing between requests and never retries. It fails with a [`ModelError`];
//! the API key is in no `Debug` output and in no error, even if the server repeats it.
//!
//! One thing is done here and not in the crate, because it rebuilds an assistant message from what it understood of
//! it: the provider's own form of a reply is kept as it came, with whatever the provider put there (reasoning,
//! signatures, phases), and goes back byte for byte. Only what the provider itself would refuse is mended, once, when
//! it arrives, so that one bad call never makes the rest of a conversation fail.

mod clients;
mod failure;
mod frames;
mod headers;
mod hiding;
mod http;
mod ids;
mod in_text;
mod items;
mod kept;
mod omit;
mod passed;
mod pieces;
mod proxy;
mod reply;
mod request;
mod schema;
mod strict;
mod surrogates;
mod too_long;

pub use clients::Clients;
pub(super) use failure::Failure;
pub(super) use hiding::{InPieces, Whole};
pub use in_text::{InText, ReasoningTags, TextCalls};
pub(super) use items::{Items, fill_arguments};
pub use passed::{Heard, Hears, NotPassed, Passed, Upstream};
pub(super) use pieces::Pieces;
pub(super) use request::{Body, BoxError};
pub(super) use schema::{
    ANTHROPIC, ANTHROPIC_ANSWER, COMPATIBLE, GEMINI, OLLAMA, OLLAMA_ANSWER, OPENAI_CHAT, OPENAI_RESPONSES,
    Subset,
};
pub(super) use strict::{is_own, is_strict, mark_strict};

use std::fmt;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use rig_core::completion::CompletionRequest;
use rig_core::driver;
use rig_core::operation::Completion;
use rig_core::streaming::{Item, StreamEvent};
use rig_core::wire::{Encoded, Wire, WireFrame};
use secrecy::SecretString;
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

use super::{Model, ModelError, ModelRequest, RemoteConfig};
use crate::message::{Dialect, Json, JsonPath, Origin, Reply, Stop, ToolCall, ToolSpec};
use frames::Frames;
use hiding::Hiding;
use http::{Answer, Endpoint};
use in_text::Live;
use kept::Kept;
use reply::Form;
use surrogates::mended;

/// What the form of an answer is called, where it has to have a name.
pub(super) const FORM: &str = "answer";

/// What is particular about one provider's interface.
pub(super) trait Interface: Send + Sync + 'static {
    /// The wire format.
    type Wire: Wire<Op = Completion, Payload = Encoded, Frame = WireFrame> + fmt::Debug;

    /// Its name in agent.toml.
    const NAME: &'static str;

    /// The provider's name in OpenTelemetry's conventions.
    const TRACED_AS: &'static str = Self::NAME;

    /// Where a model behind it is, in agent.toml's schema.
    const DESCRIPTION: &'static str;

    /// The provider's own endpoint, without the path of any one request.
    const BASE_URL: &'static str;

    /// The variable that by custom holds the key for it.
    const KEY_VARIABLE: Option<&'static str>;

    /// Why a model that it holds to a form calls no tools, if that is so.
    const FORM_WITHOUT_CALLS: Option<&'static str> = None;

    /// The header that carries the key, and what stands before the key in it.
    const KEY: (&'static str, &'static str);

    /// The member of a request that holds the conversation, as a list.
    const CONVERSATION: &'static str;

    /// Where the arguments of calls stand in an answer.
    const ARGUMENTS: &'static [&'static JsonPath];

    /// Where they stand in the frames of a stream, once those that come in pieces are put together.
    const ARGUMENTS_STREAMED: &'static [&'static JsonPath];

    /// How they come in pieces, if they do.
    const ARGUMENTS_IN_PIECES: Option<InPieces> = None;

    /// The longest id of a call that may be sent back, if it may then have only letters, digits, `_` and `-`.
    const ID_CHARS_MAX: Option<usize> = None;

    /// By which interface other programs have their requests passed on, if they can.
    const DIALECT: Option<Dialect> = None;

    /// Whether the results of calls and what the person says next are one message: an interface on which both are the
    /// user's, and which may want roles to alternate.
    const RESULTS_ARE_SAID: bool = false;

    /// Whether the server at an address says of a streamed answer what tokens it took, without being asked by `extra`.
    fn counts_streamed(_base_url: &str) -> bool {
        true
    }

    /// What the server at an address takes for a tool.
    fn subset(base_url: &str) -> &'static Subset;

    /// What it takes for the form of an answer.
    fn answers(base_url: &str) -> &'static Subset {
        Self::subset(base_url)
    }

    /// The wire format for one model. It knows no key.
    fn wire(base_url: &str, model: &str) -> Self::Wire;

    /// Takes the key's place out of the address, where the wire format has one there.
    fn address(_url: &mut Url) {}

    /// Completes a request that is about to be sent, to this model.
    fn finish(_body: &mut Body, _to: &Origin) -> Result<(), BoxError> {
        Ok(())
    }

    /// The members of a request by which the provider holds the answer to a JSON Schema.
    fn form(schema: &Value) -> Value;

    /// What goes through the frames of a stream before the wire format reads them, if anything does.
    fn pieces() -> Option<Box<dyn Pieces>> {
        None
    }

    /// Completes an answer that leaves out what the wire format insists on.
    fn complete(_answer: &mut Value) {}

    /// The reply as it goes back with the next request: an item of the conversation, or a list of items; none if
    /// there is nothing to send back.
    fn items(answer: &RawValue, calls: &[ToolCall]) -> Result<Option<String>, String>;

    /// Whether an answer that was put together from pieces is what was said, so that it can go back.
    fn is_faithful(_answer: &Value) -> bool {
        true
    }

    /// What the answer says of its end that the wire format does not tell.
    fn end(_answer: &Value) -> End {
        End::AsRead
    }
}

/// How an answer ended.
pub(super) enum End {
    /// As the wire format reads it.
    AsRead,
    /// Like this.
    Stop(Stop),
    /// In a failure.
    Failed(Failure),
}

/// A model of one provider.
pub(super) struct Remote<A: Interface> {
    wire: A::Wire,
    http: Endpoint,
    origin: Origin,
    stream: bool,
    structured_output: bool,
    extra: Option<Json>,
    omit: Vec<String>,
    in_text: InText,
}

impl<A: Interface> Remote<A> {
    /// Checks the settings. Without a key, or with an empty one, requests carry none. Nothing is sent before the
    /// first request.
    pub(super) fn new(
        config: &RemoteConfig,
        key: Option<SecretString>,
        clients: &Clients,
    ) -> Result<Self, ModelError> {
        let http = Endpoint::new(config, A::KEY, key, clients)?;
        let wire = A::wire(http.base_url(), &config.name);
        let RemoteConfig { stream, structured_output, ref extra, .. } = *config;
        if let (true, Some(extra)) = (structured_output, extra) {
            let tried = serde_json::from_str(extra.as_str()).map_err(BoxError::from);
            tried
                .and_then(|mut body| request::add(&mut body, A::form(&Value::Null)))
                .map_err(|error| ModelError::Setup(error.to_string()))?;
        }
        let (extra, omit, in_text) = (extra.clone(), config.omit.clone(), config.in_text.clone());
        Ok(Self { wire, http, origin: config.origin(), stream, structured_output, extra, omit, in_text })
    }

    fn write(&self, request: &ModelRequest<'_>) -> Result<reqwest::Request, ModelError> {
        let request = ModelRequest { form: request.form.filter(|_| self.structured_output), ..*request };
        let settings =
            request::Settings { extra: self.extra.as_ref(), omit: &self.omit, stream: self.stream };
        let post = request::write::<A>(&self.wire, &request, &self.origin, &settings);
        post.map_err(|error| ModelError::Setup(format!("cannot form a request to {}: {error}", self.origin)))
    }

    async fn reply(&self, request: &ModelRequest<'_>) -> Result<Reply, ModelError> {
        let post = self.write(request)?;
        let _room = self.http.enter().await;
        let answer = self.http.send(post, self.stream, request.span).await?;
        self.read_answer(request, answer).await
    }

    async fn read_answer(&self, request: &ModelRequest<'_>, answer: Answer) -> Result<Reply, ModelError> {
        let reply = match answer {
            Answer::Whole(body) => self.read_whole(request, &body).await,
            Answer::Stream(stream) => self.read_stream(request, *stream).await,
        }?;
        let own = schema::Calls::new(request.tools, A::subset(&self.origin.base_url));
        let reply = self.in_text.read(reply, request, &own, A::ID_CHARS_MAX);
        Ok(Reply { origin: Some(self.origin.clone()), ..reply })
    }

    async fn read_whole(&self, request: &ModelRequest<'_>, body: &[u8]) -> Result<Reply, ModelError> {
        let unreadable = |reason: String| self.http.unreadable(body, &reason);
        let text = String::from_utf8_lossy(body);
        let text = mended(text.strip_prefix('\u{feff}').unwrap_or(&text));
        let kept = Kept::new();
        let text = kept.hide(&text, A::ARGUMENTS).map_err(|error| unreadable(error.to_string()))?;
        let answer: Box<RawValue> =
            serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        let mut complete: Value =
            serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        A::complete(&mut complete);
        let frame = futures::stream::iter([Ok(WireFrame::Text(complete.to_string()))]);
        let model = driver::Model::new(self.wire.clone(), reply::Arrived::new(frame));
        let response = match model.call(dummy()).await {
            Ok(response) => response,
            Err(error) => return reply::refusal(&error).ok_or_else(|| unreadable(error.to_string())),
        };
        reply::read::<A>(request, &self.origin, &answer, &response, Form::Whole, &kept)
            .map_err(|fault| fault.into_error(unreadable, |failure| self.http.failed(failure)))
    }

    async fn read_stream(&self, request: &ModelRequest<'_>, stream: Frames) -> Result<Reply, ModelError> {
        let broken = stream.broken();
        let failed = |error: &rig_core::error::ProviderError| {
            broken.take().unwrap_or_else(|| self.http.broke_off(error))
        };
        let kept = Kept::new();
        let hiding = Hiding::new(kept.clone(), A::ARGUMENTS_STREAMED, A::ARGUMENTS_IN_PIECES);
        let frames = stream.through(A::pieces()).through(Some(Box::new(hiding))).into_frames();
        let model = driver::Model::new(self.wire.clone(), reply::Arrived::new(frames));
        let mut streamed = model.stream(dummy()).map_err(|error| failed(&error))?;
        let mut live = Live::new(&self.in_text);
        let hear = |text: String| {
            if !text.is_empty() {
                (request.heard)(&text);
            }
        };
        while let Some(item) = streamed.next().await {
            match item {
                Ok(Item::Event(StreamEvent::Text { text, .. })) => hear(live.push(&text)),
                Ok(Item::Event(_) | Item::Unknown(_)) => {}
                Err(error) => return reply::refusal(&error).ok_or_else(|| failed(&error)),
            }
        }
        hear(live.finish());
        let response = streamed.finish().await.map_err(|error| failed(&error))?;
        let malformed = |reason: String| self.http.malformed(&reason);
        let answer =
            serde_json::value::to_raw_value(&response.raw).map_err(|error| malformed(error.to_string()))?;
        reply::read::<A>(request, &self.origin, &answer, &response, Form::Streamed, &kept)
            .map_err(|fault| fault.into_error(malformed, |failure| self.http.failed(failure)))
    }
}

/// What the wire's driver is asked, which has the answer already.
fn dummy() -> CompletionRequest {
    let mut request = CompletionRequest::new("-");
    request.max_tokens = Some(1);
    request
}

impl<A: Interface> Model for Remote<A> {
    fn ask<'a>(&'a self, request: &'a ModelRequest<'a>) -> BoxFuture<'a, Result<Reply, ModelError>> {
        Box::pin(self.reply(request))
    }

    fn written(&self, request: &ModelRequest<'_>) -> Result<String, ModelError> {
        let post = self.write(request)?;
        let body = post.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        Ok(String::from_utf8_lossy(body).into_owned())
    }

    fn takes(&self, tools: &[ToolSpec], form: Option<&Json>) -> Result<(), ModelError> {
        let base_url = &self.origin.base_url;
        let form = form.filter(|_| self.structured_output);
        let held = || form.map(|form| schema::answer(form, A::answers(base_url))).transpose();
        let taken = schema::offer(tools, A::subset(base_url)).and_then(|_| held());
        taken.map(drop).map_err(|error| ModelError::Setup(format!("{error}\n  the model is {}", self.origin)))
    }

    fn reaches_outside(&self) -> bool {
        true
    }

    fn streams(&self) -> bool {
        self.stream
    }
}
