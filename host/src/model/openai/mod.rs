//! The provider for every endpoint that speaks `OpenAI` chat completions.
//!
//! Owns the settings of one endpoint and the order of a request: `chat` writes it, `http` carries it,
//! `chat` reads the answer. Keeps nothing between requests and never retries. It fails with a
//! [`ModelError`]; the API key is in no `Debug` output and in no error, even if the server repeats it.

mod chat;
mod http;

use futures::future::BoxFuture;
use rig_core::providers::openai::wire::{Auth, Chat};
use rig_core::providers::openai::{OpenAIConfig, Route};
use secrecy::SecretString;

use super::{Model, ModelError, ModelRequest};
use crate::message::Reply;

/// A model behind an `OpenAI`-compatible endpoint, asked without streaming.
#[derive(Clone, Debug)]
pub struct OpenAi {
    wire: Chat,
    http: http::Endpoint,
}

impl OpenAi {
    /// A model named `model` behind `base_url`, such as `https://api.openai.com/v1`. Without a key, or with
    /// an empty one, requests carry no `Authorization` header. Nothing is sent before the first request.
    pub fn new(base_url: &str, model: &str, api_key: Option<SecretString>) -> Result<Self, ModelError> {
        let http = http::Endpoint::new(base_url, api_key)?;
        // The key stays with the connection; the wire format needs to know nothing of it.
        let config = OpenAIConfig::new("")
            .with_auth(Auth::OptionalBearer)
            .with_route(Route::Chat)
            .with_base_url(http.base_url());
        Ok(Self { wire: config.chat(model), http })
    }

    async fn reply(&self, request: &ModelRequest<'_>) -> Result<Reply, ModelError> {
        let post = chat::encode(&self.wire, request)
            .map_err(|error| ModelError::Setup(format!("cannot form a chat completion request: {error}")))?;
        let body = self.http.post(post).await?;
        match chat::decode(&self.wire, request.turn, &body).await {
            Ok(reply) => Ok(reply),
            Err(reason) => Err(self.http.unreadable(&body, &reason)),
        }
    }
}

impl Model for OpenAi {
    fn ask<'a>(&'a self, request: &'a ModelRequest<'a>) -> BoxFuture<'a, Result<Reply, ModelError>> {
        Box::pin(self.reply(request))
    }

    fn reaches_outside(&self) -> bool {
        true
    }
}
