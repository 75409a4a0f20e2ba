//! The providers, each against a real HTTP server on the loopback interface that checks every request as the provider
//! itself would, and refuses it if it breaks a rule of the provider's documentation.

mod alternation;
mod anthropic;
mod chat;
mod chat_streams;
mod exact;
mod failures;
mod forms;
mod gemini;
mod history;
mod http;
mod images;
mod in_text;
mod oddities;
mod offered;
mod ollama;
mod reached;
mod responses;
mod runs;
mod streams;

use std::fmt::Write as _;
use std::sync::Arc;

use host::config::{Api, ModelConfig, Provider, RemoteConfig};
use host::grants::SecretSource;
use host::message::{
    Arguments, Json, Message, Reply, SHOWN_BYTES_MAX, ToolCall, ToolOutcome, ToolResult, ToolSpec,
};
use host::model::{Model, ModelError, ModelRequest, Purpose, connect};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::support::InTurn;

/// The providers, as agent.toml names them.
pub const CHAT: &str = "openai";
pub const RESPONSES: &str = "openai-responses";
pub const ANTHROPIC: &str = "anthropic";
pub const GEMINI: &str = "gemini";
pub const OLLAMA: &str = "ollama";
pub const ALL: [&str; 5] = [CHAT, RESPONSES, ANTHROPIC, GEMINI, OLLAMA];

pub const KEY: &str = "sk-secret-of-the-tests";

/// How a server checks a request; the error is the rule that it breaks.
pub type Rules = fn(&Request, &Value) -> Result<(), String>;

/// A model of a provider at this address, with a key that is read from a file.
pub fn model(provider: &str, base_url: &str, stream: bool) -> Arc<dyn Model> {
    named(provider, "test-model", base_url, stream, None)
}

/// The same, with a name, and with something that goes into every request.
pub fn named(
    provider: &str,
    name: &str,
    base_url: &str,
    stream: bool,
    extra: Option<Value>,
) -> Arc<dyn Model> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, format!("{KEY}\n")).unwrap();
    let (key, extra) = (Some(SecretSource::File(file)), extra.map(|extra| Json::canonical(&extra)));
    let remote = RemoteConfig { key, stream, extra, ..RemoteConfig::new(api(provider), name, base_url) };
    connect(&config(remote)).unwrap()
}

/// The interface of this name.
pub fn api(name: &str) -> Api {
    Api::named(name).unwrap()
}

pub fn config(remote: RemoteConfig) -> ModelConfig {
    ModelConfig { provider: Provider::Remote(remote), temperature: None, max_tokens: None, prices: None }
}

pub fn ask<'a>(messages: &'a [Message], tools: &'a [ToolSpec]) -> ModelRequest<'a> {
    let (temperature, max_tokens) = (None, None);
    ModelRequest {
        turn: 3,
        purpose: Purpose::Reply,
        attempt: 1,
        instructions: "",
        messages,
        tools,
        form: None,
        temperature,
        max_tokens,
        span: None,
        heard: &|_| {},
    }
}

/// A server that answers one request after the other, the last answer again and again.
pub struct Server {
    pub server: MockServer,
}

struct Strictly {
    rules: Rules,
    answers: InTurn,
}

impl Respond for Strictly {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        if let Err(rule) = (self.rules)(request, &body) {
            return ResponseTemplate::new(400).set_body_json(json!({ "error": { "message": rule } }));
        }
        self.answers.respond(request)
    }
}

impl Server {
    pub async fn start(rules: Rules, answers: Vec<ResponseTemplate>) -> Self {
        let server = MockServer::start().await;
        let answers = InTurn::new(answers);
        Mock::given(any()).respond_with(Strictly { rules, answers }).mount(&server).await;
        Self { server }
    }

    pub fn uri(&self) -> String {
        self.server.uri()
    }

    /// The bodies of the requests so far.
    pub async fn bodies(&self) -> Vec<String> {
        let requests = self.server.received_requests().await.unwrap();
        requests.into_iter().map(|request| String::from_utf8(request.body).unwrap()).collect()
    }
}

/// An answer that comes as a whole.
pub fn whole(body: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body, "application/json")
}

/// An answer that comes as server-sent events, each named by its `type` if it has one.
pub fn events(events: &[&str]) -> ResponseTemplate {
    let mut body = String::from(": a comment, to keep the connection alive\n\n");
    for event in events {
        let value: Value = serde_json::from_str(event).unwrap_or_default();
        if let Some(kind) = value["type"].as_str() {
            writeln!(body, "event: {kind}").unwrap();
        }
        writeln!(body, "data: {event}\n").unwrap();
    }
    ResponseTemplate::new(200).set_body_raw(body, "text/event-stream; charset=utf-8")
}

/// What a model replies to "hi" when it gets this answer.
pub async fn reply_to(
    provider: &str,
    rules: Rules,
    answer: ResponseTemplate,
    stream: bool,
) -> Result<Reply, ModelError> {
    let server = Server::start(rules, vec![answer]).await;
    let messages = [Message::User("hi".into())];
    model(provider, &server.uri(), stream).ask(&ask(&messages, &[tool("t")])).await
}

/// The body of the request that sends a reply back, as it is read from a journal, with a result for each of its calls.
pub async fn sent_back(
    provider: &str,
    rules: Rules,
    reply: &Reply,
    ok: ResponseTemplate,
    stream: bool,
) -> String {
    let recorded: Reply = serde_json::from_str(&serde_json::to_string(reply).unwrap()).unwrap();
    assert_eq!(&recorded, reply);
    let results = reply.calls.iter().enumerate().map(|(index, call)| {
        let failed = ToolOutcome::error(host::message::ErrorKind::Timeout, "after 5 s");
        if index == 1 {
            tool_result(&call.id, &call.name, failed)
        } else {
            result(&call.id, &call.name, index)
        }
    });
    let server = Server::start(rules, vec![ok]).await;
    // The address is that of another server, which has to count as the same place.
    let origin =
        reply.origin.clone().map(|origin| host::message::Origin { base_url: server.uri(), ..origin });
    let recorded = Reply { origin, ..recorded };
    let messages: Vec<Message> =
        [Message::User("hi".into()), Message::Assistant(recorded)].into_iter().chain(results).collect();
    model(provider, &server.uri(), stream).ask(&ask(&messages, &[tool("t")])).await.unwrap();
    server.bodies().await.remove(0)
}

pub fn result(id: &str, name: &str, index: usize) -> Message {
    let output = Json::parse(format!("{{\"result\":{index}}}")).unwrap();
    tool_result(id, name, ToolOutcome::Output(output))
}

pub fn tool_result(id: &str, name: &str, outcome: ToolOutcome) -> Message {
    let (call_id, name) = (id.to_owned(), name.to_owned());
    Message::Tool(ToolResult {
        call_id,
        name,
        outcome,
        shown_bytes_max: SHOWN_BYTES_MAX,
        note: None,
        shown: None,
        is_whole: true,
    })
}

pub fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: Arguments::parse(arguments) }
}

/// A tool whose schema is not strict.
pub fn tool(name: &str) -> ToolSpec {
    spec(
        name,
        r#"{"type":"object","required":["q"],"properties":{"q":{"type":"string"},"a":{"type":"number"}}}"#,
    )
}

pub fn spec(name: &str, schema: &str) -> ToolSpec {
    ToolSpec {
        name: name.into(),
        description: format!("Does {name}."),
        input_schema: Json::parse(schema.into()).unwrap(),
        output_schema: None,
    }
}

pub fn value(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

/// A rule of a provider.
pub fn rule(holds: bool, rule: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(rule.into()) }
}

/// The members of a list, which has to be one.
pub fn list<'a>(value: &'a Value, what: &str) -> Result<&'a Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("{what} has to be a list"))
}

pub fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Every request is right.
#[allow(clippy::unnecessary_wraps, reason = "it stands for rules that can be broken")]
pub fn no_rules(_: &Request, _: &Value) -> Result<(), String> {
    Ok(())
}
