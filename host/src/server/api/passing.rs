//! What a program sends to its provider: passed on, or found again in what is recorded, and answered as SDKs read it.

use std::sync::Arc;

use axum::body::{Body as HttpBody, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Server;
use super::super::bound::Taken;
use super::super::problem::{Kind, Problem};
use super::super::programs::Program;
use super::body::{Path, Raw};
use super::programs::opened;
use super::{Caller, State};
use crate::blocking::blocking;
use crate::config::OtherRequests;
use crate::gateway::{Asked, Asking, End, Failed, Next as NextPiece, Refused};
use crate::message::{Dialect, RunId, Wire};
use crate::model::{Heard, NotPassed, Passed};

/// The headers of a program's request that go on to the provider.
const HEADERS_ON: [&str; 5] =
    ["accept", "content-type", "anthropic-version", "anthropic-beta", "openai-beta"];

/// Where a program's request goes.
#[derive(Debug, Deserialize)]
pub(super) struct At {
    run: RunId,
    #[serde(default)]
    start: Option<u32>,
    rest: String,
}

/// Takes a request of a program that it sends to its provider.
pub(super) async fn request(
    axum::extract::State(server): State,
    caller: Caller,
    Path(at): Path<At>,
    uri: Uri,
    method: Method,
    headers: HeaderMap,
    Raw(body, room): Raw,
) -> Response {
    match taken(&server, &caller, &at, &uri, &method, &headers, body, room).await {
        Ok(response) => response,
        Err(Declined::ByServer(problem)) => problem.into_response(),
        Err(Declined::ByDesk(refused)) => refused_as_sdk(&refused),
    }
}

enum Declined {
    ByServer(Problem),
    ByDesk(Refused),
}

impl From<Problem> for Declined {
    fn from(problem: Problem) -> Self {
        Self::ByServer(problem)
    }
}

impl From<Refused> for Declined {
    fn from(refused: Refused) -> Self {
        Self::ByDesk(refused)
    }
}

#[allow(clippy::too_many_arguments, reason = "they are the parts of one request")]
async fn taken(
    server: &Arc<Server>,
    caller: &Caller,
    at: &At,
    uri: &Uri,
    method: &Method,
    headers: &HeaderMap,
    body: Vec<u8>,
    room: Taken,
) -> Result<Response, Declined> {
    let version = version(uri.path());
    let place = server.limits.wait()?;
    let headers = going_on(headers);
    let meant = if *method == Method::POST { Meant::of(version, &at.rest) } else { None };
    let Some(meant) = meant else {
        let program = opened(server, caller, at.run).await?;
        return Ok(other(&program, version, at, uri, method, &headers, &body).await);
    };
    let asked = meant.asked(uri, headers, body).await?;
    let asking = loop {
        let program = opened(server, caller, at.run).await?;
        match program.desk.ask(at.start.filter(|start| *start > 0), Arc::clone(&asked)).await {
            // It was left at this very moment.
            Err(Refused::Closed) => tokio::task::yield_now().await,
            asking => break asking?,
        }
    };
    Ok(answered(asking, room, place).await)
}

/// The version in a path, which is part of it at some providers.
fn version(path: &str) -> &'static str {
    if path.contains("/v1beta/") { "v1beta" } else { "v1" }
}

fn going_on(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |name: &&str| Some(((*name).to_owned(), headers.get(*name)?.to_str().ok()?.to_owned()));
    HEADERS_ON.iter().filter_map(text).collect()
}

/// What a path asks for.
struct Meant {
    dialect: Dialect,
    /// The model, where the path names it.
    model: Option<String>,
    stream: Option<bool>,
    /// The path at the provider.
    path: String,
}

impl Meant {
    fn of(version: &str, rest: &str) -> Option<Self> {
        let plain = |dialect, path: &str| Self { dialect, model: None, stream: None, path: path.to_owned() };
        match rest {
            // The address of this provider has the version in it.
            "chat/completions" => Some(plain(Dialect::ChatCompletions, "chat/completions")),
            "responses" => Some(plain(Dialect::Responses, "responses")),
            "messages" => Some(plain(Dialect::Messages, "v1/messages")),
            _ => {
                let (model, method) = rest.strip_prefix("models/")?.rsplit_once(':')?;
                let stream = match method {
                    "generateContent" => false,
                    "streamGenerateContent" => true,
                    _ => return None,
                };
                let (model, path) = (Some(model.to_owned()), format!("{version}/{rest}"));
                Some(Self { dialect: Dialect::GenerateContent, model, stream: Some(stream), path })
            }
        }
    }

    async fn asked(
        self,
        uri: &Uri,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Result<Arc<Asked>, Problem> {
        let Self { dialect, model, stream, path } = self;
        let read = blocking(move || {
            let text = String::from_utf8(body).map_err(|_| "the body is not UTF-8".to_owned())?;
            let body: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            if body.is_object() { Ok((text, body)) } else { Err("the body is not an object".to_owned()) }
        });
        let malformed =
            |why: String| Problem::new(Kind::Malformed, format!("the body does not fit: {why}")).at("body");
        let (text, body) = read.await.map_err(malformed)?;
        let named = || body["model"].as_str().map(str::to_owned);
        let model = model.or_else(named).ok_or_else(|| malformed("it names no `model`".to_owned()))?;
        let stream = stream.unwrap_or_else(|| body["stream"] == true);
        // A key in the query is the token of the run.
        let query = uri.query().map(|query| {
            let pairs = query.split('&').filter(|pair| !pair.starts_with("key="));
            pairs.collect::<Vec<_>>().join("&")
        });
        Ok(Arc::new(Asked { dialect, model, stream, path, query, headers, text, body }))
    }
}

/// A request that is for no reply.
async fn other(
    program: &Program,
    version: &str,
    at: &At,
    uri: &Uri,
    method: &Method,
    headers: &[(String, String)],
    body: &[u8],
) -> Response {
    let rules = program.agent.config().gateway.as_ref();
    let passes = rules.is_some_and(|rules| rules.other == OtherRequests::Pass);
    let provider = program.agent.provider().and_then(|provider| provider.any());
    let Some(provider) = provider.filter(|_| passes) else {
        let why = format!(
            "{method} {} is for no reply, and [gateway] of the agent passes on no others; `other = \"pass\"` in it would",
            uri.path()
        );
        return sdk_error(StatusCode::NOT_FOUND, "not_found", &why, false);
    };
    let body = String::from_utf8_lossy(body);
    let is_openai = program.agent.provider().is_some_and(|it| it.takes(Dialect::ChatCompletions));
    let path = if is_openai { at.rest.clone() } else { format!("{version}/{}", at.rest) };
    let body = (*method == Method::POST).then_some(&*body);
    let sent = Passed { path: &path, query: None, headers, body, span: None };
    let hears = |_: Heard<'_>| {};
    match provider.pass(sent, &hears).await {
        Ok(wire) | Err(NotPassed { answer: Some(wire), .. }) => whole(&wire),
        Err(NotPassed { answer: None, error }) => {
            sdk_error(StatusCode::BAD_GATEWAY, "upstream_failed", &error.to_string(), true)
        }
    }
}

/// The answer to a request: a stream from when its head is known, or all of it.
async fn answered(mut asking: Asking, room: Taken, place: Taken) -> Response {
    match asking.next().await {
        NextPiece::Head(status, headers) => {
            let pieces = futures::stream::unfold(Some((asking, room, place)), |state| async move {
                let (mut asking, room, place) = state?;
                match asking.next().await {
                    NextPiece::Piece(piece) => Some((Ok(Bytes::from(piece)), Some((asking, room, place)))),
                    NextPiece::Head(..) => Some((Ok(Bytes::new()), Some((asking, room, place)))),
                    NextPiece::End(End::Replied(_)) => None,
                    // A stream that ends in good order would be taken for a whole reply.
                    NextPiece::End(End::Refused(_) | End::Over) => {
                        Some((Err(broken("there is no reply")), None))
                    }
                    NextPiece::End(End::Failed(failed)) => Some((Err(broken(&failed.why)), None)),
                }
            });
            respond(status, &headers, HttpBody::from_stream(pieces))
        }
        NextPiece::End(End::Replied(wire) | End::Refused(wire)) => whole(&wire),
        NextPiece::End(End::Over) => refused_as_sdk(&Refused::Ended),
        NextPiece::End(End::Failed(Failed { why, may_pass })) => {
            let status = if may_pass { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::BAD_GATEWAY };
            sdk_error(status, "upstream_failed", &why, may_pass)
        }
        NextPiece::Piece(_) => {
            sdk_error(StatusCode::BAD_GATEWAY, "upstream_failed", "a piece has no head", false)
        }
    }
}

fn broken(why: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::BrokenPipe, why.to_owned())
}

fn whole(wire: &Wire) -> Response {
    respond(wire.status, &wire.headers, HttpBody::from(wire.body.clone()))
}

fn respond(status: u16, headers: &[(String, String)], body: HttpBody) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in headers {
        let name = axum::http::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// An error as SDKs read it, whichever provider they are of.
pub(super) fn sdk_error(status: StatusCode, code: &str, message: &str, may_pass: bool) -> Response {
    let error = json!({ "message": message, "type": code, "code": code, "status": code, "param": null });
    let body = json!({ "type": "error", "error": error });
    let mut response = (status, axum::Json(body)).into_response();
    let again = HeaderValue::from_static(if may_pass { "true" } else { "false" });
    response.headers_mut().insert("x-should-retry", again);
    response
}

fn refused_as_sdk(refused: &Refused) -> Response {
    let (status, code) = match refused {
        Refused::Fenced { .. } | Refused::Ended => (StatusCode::GONE, "run_over"),
        Refused::Diverged { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "diverged"),
        Refused::NotGiven { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "result_not_given"),
        Refused::Limit(_) => (StatusCode::FORBIDDEN, "limit_reached"),
        Refused::Model { .. } => (StatusCode::FORBIDDEN, "model_not_allowed"),
        Refused::Uncalled(_) => (StatusCode::FORBIDDEN, "call_not_asked_for"),
        Refused::Dialect(_) => (StatusCode::BAD_REQUEST, "other_provider"),
        Refused::Closed => (StatusCode::SERVICE_UNAVAILABLE, "closed"),
    };
    sdk_error(status, code, &refused.to_string(), matches!(refused, Refused::Closed))
}

/// The paths of what a program sends to its provider.
pub(super) const PATHS: [&str; 4] = [
    "/runs/{run}/v1/{*rest}",
    "/runs/{run}/v1beta/{*rest}",
    "/runs/{run}/i/{start}/v1/{*rest}",
    "/runs/{run}/i/{start}/v1beta/{*rest}",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_is_asked_for() {
        let meant = |version: &str, rest: &str| {
            Meant::of(version, rest).map(|it| (it.dialect, it.model, it.stream, it.path))
        };
        let plain = |dialect, path: &str| Some((dialect, None, None, path.to_owned()));
        assert_eq!(meant("v1", "chat/completions"), plain(Dialect::ChatCompletions, "chat/completions"));
        assert_eq!(meant("v1", "responses"), plain(Dialect::Responses, "responses"));
        assert_eq!(meant("v1", "messages"), plain(Dialect::Messages, "v1/messages"));
        for (version, method, stream) in
            [("v1", "generateContent", false), ("v1beta", "streamGenerateContent", true)]
        {
            let path = format!("{version}/models/gemini-x:{method}");
            let expected = (Dialect::GenerateContent, Some("gemini-x".to_owned()), Some(stream), path);
            let rest = format!("models/gemini-x:{method}");
            assert_eq!(meant(version, &rest), Some(expected));
        }
        for other in
            ["models", "embeddings", "models/gemini-x", "models/x:countTokens", "messages/count_tokens", ""]
        {
            assert_eq!(meant("v1", other), None, "{other}");
        }
    }
}
