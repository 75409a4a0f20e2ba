//! Requests of other programs that are passed on as they are, and their answers, which come back as they came.

use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Request, Response, Url};
use tokio::time::{Instant, timeout_at};

use super::frames::{Framer, Frames};
use super::http::{Answer, BODY_BYTES_MAX, Endpoint, until};
use super::{Interface, Remote};
use crate::message::{Caller, Reply, Wire};
use crate::model::{ModelError, ModelRequest};

/// The headers of an answer that go on to the program: what it is, when to ask again, and how much may be asked.
const HEADERS_BACK: [&str; 8] = [
    "content-type",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "x-request-id",
    "request-id",
    "openai-version",
    "openai-processing-ms",
];
/// How the names of others begin that do.
const PREFIXES_BACK: [&str; 3] = ["x-ratelimit-", "ratelimit-", "anthropic-ratelimit-"];

/// A request of another program.
#[derive(Debug)]
pub struct Passed<'a> {
    /// Where it goes, below the address of the provider.
    pub path: &'a str,
    /// What follows the path.
    pub query: Option<&'a str>,
    /// The headers that go along. The key of the provider comes to them.
    pub headers: &'a [(String, String)],
    /// The body, or nothing for a request that has none.
    pub body: Option<&'a str>,
    /// The span in whose course it is sent, if that is exported.
    pub span: Option<&'a Caller>,
}

/// What is heard of an answer as it comes.
#[derive(Debug)]
pub enum Heard<'a> {
    /// It is a stream, with this status and these headers.
    Stream(u16, Vec<(String, String)>),
    /// The next events of it, whole.
    Events(&'a str),
}

/// Hears an answer as it comes.
pub type Hears<'a> = &'a (dyn Fn(Heard<'_>) + Send + Sync);

/// Why a request has no reply.
#[derive(Debug)]
pub struct NotPassed {
    /// What the provider answered, if it did.
    pub answer: Option<Wire>,
    /// The same as an error.
    pub error: ModelError,
}

impl From<ModelError> for NotPassed {
    fn from(error: ModelError) -> Self {
        Self { answer: None, error }
    }
}

/// A provider that requests of other programs are passed on to.
pub trait Upstream: Send + Sync {
    /// Passes a request on, once. A stream is heard as it comes, and its whole is what this gives.
    fn pass<'a>(&'a self, request: Passed<'a>, hears: Hears<'a>) -> BoxFuture<'a, Result<Wire, NotPassed>>;

    /// Reads an answer that is a reply.
    fn read<'a>(&'a self, wire: &'a Wire) -> BoxFuture<'a, Result<Reply, ModelError>>;
}

impl<A: Interface> Upstream for Remote<A> {
    fn pass<'a>(&'a self, request: Passed<'a>, hears: Hears<'a>) -> BoxFuture<'a, Result<Wire, NotPassed>> {
        Box::pin(async move {
            let _room = self.http.enter().await;
            self.http.pass(request, hears).await
        })
    }

    fn read<'a>(&'a self, wire: &'a Wire) -> BoxFuture<'a, Result<Reply, ModelError>> {
        Box::pin(async move {
            let request = ModelRequest::of(&[]);
            let arrived = arrived(wire);
            let response = arrived.ok_or_else(|| self.http.malformed("it has headers that no answer has"))?;
            let answer = match Framer::of(response.headers()) {
                Some(framer) => {
                    let until = until(self.http.idle_timeout());
                    Answer::Stream(Box::new(Frames::new(self.http.clone(), response, framer, until)))
                }
                None => Answer::Whole(wire.body.clone().into_bytes()),
            };
            self.read_answer(&request, answer).await
        })
    }
}

/// An answer that has come already, as one that comes.
fn arrived(wire: &Wire) -> Option<Response> {
    let response = http::Response::builder().status(wire.status).header(CONTENT_TYPE, wire.content_type());
    Some(Response::from(response.body(wire.body.clone()).ok()?))
}

impl Endpoint {
    async fn pass(&self, passed: Passed<'_>, hears: Hears<'_>) -> Result<Wire, NotPassed> {
        let request = self.written(&passed)?;
        let until = until(self.timeout());
        let mut response = self.open(request, passed.span, until).await?;
        let (status, headers) = (response.status(), back(response.headers()));
        let is_stream = Framer::of(response.headers()).is_some() && status.is_success();
        if is_stream {
            hears(Heard::Stream(status.as_u16(), headers.clone()));
        }
        let mut text = Text::default();
        let mut idle_until = self.idle_from_now();
        loop {
            let wait_until = if is_stream { idle_until } else { until };
            let chunk = match timeout_at(wait_until, response.chunk()).await {
                Ok(chunk) => chunk.map_err(|error| self.broken(error))?,
                Err(_) if is_stream => return Err(self.idle().into()),
                Err(_) => return Err(self.silent().into()),
            };
            let Some(chunk) = chunk else { break };
            if text.bytes.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(self.too_long().into());
            }
            idle_until = self.idle_from_now();
            text.bytes.extend_from_slice(&chunk);
            if let Some(events) = text.events().filter(|_| is_stream) {
                hears(Heard::Events(&events));
            }
        }
        if let Some(rest) = text.rest().filter(|_| is_stream) {
            hears(Heard::Events(&rest));
        }
        let body = String::from_utf8_lossy(&text.bytes).into_owned();
        if status.is_success() {
            return Ok(Wire { status: status.as_u16(), headers, body });
        }
        let wait = super::http::retry_after_ms(response.headers(), std::time::SystemTime::now());
        let error = self.refused(status, wait, body.as_bytes());
        // Some servers repeat the key when they refuse it.
        let body = self.masked(&body);
        Err(NotPassed { answer: Some(Wire { status: status.as_u16(), headers, body }), error })
    }

    fn idle_from_now(&self) -> Instant {
        until(self.idle_timeout().max(Duration::from_millis(1)))
    }

    fn written(&self, passed: &Passed<'_>) -> Result<Request, ModelError> {
        let wrong = |what: &str| ModelError::Setup(format!("the request cannot be passed on: {what}"));
        let base = self.base_url().trim_end_matches('/');
        let url = format!("{base}/{}", passed.path.trim_start_matches('/'));
        let mut url = Url::parse(&url).map_err(|_| wrong("its path is not one"))?;
        url.set_query(passed.query.filter(|query| !query.is_empty()));
        let method = if passed.body.is_some() { Method::POST } else { Method::GET };
        let mut request = Request::new(method, url);
        for (name, value) in passed.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("a header has no name"))?;
            let value = HeaderValue::from_str(value).map_err(|_| wrong("a header has no value"))?;
            request.headers_mut().insert(name, value);
        }
        *request.body_mut() = passed.body.map(|body| body.to_owned().into());
        Ok(request)
    }
}

/// The headers of an answer that go on to the program.
fn back(headers: &HeaderMap) -> Vec<(String, String)> {
    let goes_on = |name: &str| {
        HEADERS_BACK.contains(&name) || PREFIXES_BACK.iter().any(|prefix| name.starts_with(prefix))
    };
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter(|(name, _)| goes_on(name.as_str())).filter_map(text).collect()
}

/// What came of an answer, and how much of it was heard.
#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    heard: usize,
}

impl Text {
    /// The events that have come whole since this was asked last.
    fn events(&mut self) -> Option<String> {
        let new = &self.bytes[self.heard..];
        // An empty line ends an event, however the server ends its lines.
        let ends = [&b"\n\n"[..], b"\r\n\r\n", b"\r\r"];
        let end = ends.iter().filter_map(|end| Some(memchr::memmem::rfind(new, end)? + end.len())).max()?;
        let events = String::from_utf8_lossy(&new[..end]).into_owned();
        self.heard += end;
        Some(events)
    }

    /// What is left at the end.
    fn rest(&mut self) -> Option<String> {
        let rest = String::from_utf8_lossy(&self.bytes[self.heard..]).into_owned();
        self.heard = self.bytes.len();
        (!rest.is_empty()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_heard_whole() {
        let mut text = Text::default();
        let mut heard = Vec::new();
        for piece in ["data: a\n", "\ndata: b\r\n\r\nda", "ta: ü\n\n", "end"] {
            text.bytes.extend_from_slice(piece.as_bytes());
            heard.extend(text.events());
        }
        assert_eq!(heard, ["data: a\n\ndata: b\r\n\r\n", "data: ü\n\n"]);
        assert_eq!(text.rest().as_deref(), Some("end"));
        assert_eq!(text.rest(), None);
    }

    #[test]
    fn what_a_program_need_not_know_does_not_go_on() {
        let mut headers = HeaderMap::new();
        for name in ["content-type", "set-cookie", "x-ratelimit-remaining-requests", "server", "retry-after"]
        {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        let names: Vec<String> = back(&headers).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["content-type", "x-ratelimit-remaining-requests", "retry-after"]);
    }
}
