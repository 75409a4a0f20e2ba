//! Requests with bounded answers: in length, in time, and in how often they are sent elsewhere.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, StatusCode};
use url::Url;

use super::super::FetchError;
use super::super::reference::is_this_machine;
use crate::message::clean;

/// How often a request is sent on.
const REDIRECTS_MAX: usize = 5;
/// As much is read of the body of an error.
const SAID_BYTES_MAX: u64 = 16 * 1024;
/// As much is shown of it, in characters.
const SAID_CHARS_MAX: usize = 200;

/// How long fetching may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Until somebody answers.
    pub connect: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// One component, with everything that is asked for it.
    pub whole: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            whole: Duration::from_mins(10),
        }
    }
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Ask {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Vec::new() }
    }

    pub(super) fn with(mut self, name: reqwest::header::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// Sends requests to one host and to where it sends them on.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    timeouts: Timeouts,
}

impl Http {
    /// A client for requests that begin at a URL: a request that leaves for this machine goes through no proxy.
    pub(super) fn to(url: &Url, timeouts: Timeouts) -> Result<Self, FetchError> {
        let setup = |reason: String| FetchError::Setup { reason };
        // Redirects are followed below, where the rules for it are.
        let client = crate::tls::client().map_err(setup)?;
        let client = client.connect_timeout(timeouts.connect).read_timeout(timeouts.idle);
        let client = if url.scheme() == "http" { client.no_proxy() } else { client };
        let client = client.build().map_err(|error| setup(reason(&error)))?;
        Ok(Self { client, timeouts })
    }

    /// The answer to a request, whatever its status, once nobody sends the request on any more.
    pub(super) async fn send(&self, mut ask: Ask) -> Result<Response, FetchError> {
        let first = ask.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let url = ask.url.clone();
            let request = self.client.request(ask.method.clone(), url.clone());
            let request = request.headers(ask.headers.clone()).body(ask.body.clone());
            let response = request.send().await.map_err(|error| self.failed(&url, &error))?;
            let is_elsewhere = matches!(
                response.status(),
                StatusCode::MOVED_PERMANENTLY
                    | StatusCode::FOUND
                    | StatusCode::TEMPORARY_REDIRECT
                    | StatusCode::PERMANENT_REDIRECT
            );
            if !is_elsewhere {
                return Ok(response);
            }
            let location =
                response.headers().get(LOCATION).and_then(|it| it.to_str().ok()).unwrap_or_default();
            let refuse = |why| FetchError::Redirect { url: shown(&url), to: clean_line(location), why };
            if ask.method != Method::GET && ask.method != Method::HEAD {
                return Err(refuse("what is pushed goes to the registry alone"));
            }
            let next = url.join(location).map_err(|_| refuse("it is no URL"))?;
            may_follow(&url, &next).map_err(refuse)?;
            if next.origin() != url.origin() {
                // It is for the one who asked for it.
                ask.headers.remove(AUTHORIZATION);
            }
            ask.url = next;
        }
        let (url, to) = (shown(&first), shown(&ask.url));
        Err(FetchError::Redirect { url, to, why: "it was sent on too often" })
    }

    /// The body of an answer, as long as it has at most so many bytes: it is cut where it is longer.
    pub(super) async fn body(
        &self,
        mut response: Response,
        bytes_max: u64,
        what: &'static str,
        help: &'static str,
    ) -> Result<Vec<u8>, FetchError> {
        let url = response.url().clone();
        let too_long = || FetchError::TooLong { what, url: shown(&url), bytes_max, help };
        if response.content_length().is_some_and(|bytes| bytes > bytes_max) {
            return Err(too_long());
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.failed(&url, &error))? {
            if (body.len() + piece.len()) as u64 > bytes_max {
                return Err(too_long());
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// An answer that is no success, with what it says.
    pub(super) async fn refused(&self, mut response: Response) -> FetchError {
        let (url, status) = (response.url().clone(), response.status().as_u16());
        let mut body = Vec::new();
        while let Ok(Some(piece)) = response.chunk().await {
            body.extend_from_slice(&piece);
            if body.len() as u64 > SAID_BYTES_MAX {
                break;
            }
        }
        FetchError::Status { url: shown(&url), status, said: said(&body), help: help_for(status) }
    }

    fn failed(&self, url: &Url, error: &reqwest::Error) -> FetchError {
        if error.is_timeout() {
            let timeout = if error.is_connect() { self.timeouts.connect } else { self.timeouts.idle };
            return FetchError::Slow { url: shown(url), seconds: timeout.as_secs() };
        }
        FetchError::Unreachable { url: shown(url), reason: reason(error) }
    }
}

/// Whether a request may be sent on: never from an encrypted connection to one that is not, and never from elsewhere to
/// this machine, whose services would take it for a request of a program here.
fn may_follow(from: &Url, to: &Url) -> Result<(), &'static str> {
    let local = |url: &Url| url.host().is_some_and(|host| is_this_machine(&host));
    match to.scheme() {
        "https" | "http" if local(to) && !local(from) => Err("it leads to this machine"),
        "https" => Ok(()),
        "http" if from.scheme() == "http" && local(to) => Ok(()),
        "http" => Err("it leads to a connection that is not encrypted"),
        _ => Err("it leads to something else than a web server"),
    }
}

/// A URL as it is shown: what stands behind `?` may be a password for a while.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    clean_line(url.as_str())
}

fn clean_line(text: &str) -> String {
    let text: String = clean(text).chars().take(SAID_CHARS_MAX).collect();
    text.replace(['\n', '\t'], " ")
}

/// What the body of an error says, after a colon: the messages of a registry, or else nothing. The page of a proxy says
/// little in many lines.
fn said(body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let errors = json.as_ref().and_then(|it| it.get("errors")?.as_array());
    let messages = errors.into_iter().flatten().filter_map(|it| it.get("message")?.as_str());
    let text = messages.take(4).collect::<Vec<_>>().join("; ");
    if text.is_empty() { text } else { format!(": {}", clean_line(&text)) }
}

fn help_for(status: u16) -> &'static str {
    match status {
        404 => {
            "check the name, and the tag or digest; a private repository may say this to whoever is not logged in"
        }
        403 => "ask its owner for access",
        429 => "wait, or log in: registries allow more to those they know",
        500.. => "try again later",
        _ => "check the reference",
    }
}

/// The innermost cause of an error, without a URL, which has been said.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    clean_line(&cause.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_request_is_sent_on_to_no_weaker_place() {
        let may = |from: &str, to: &str| may_follow(&from.parse().unwrap(), &to.parse().unwrap()).is_ok();
        assert!(may("https://a.example/x", "https://b.example/y"));
        assert!(may("http://127.0.0.1:1/x", "http://localhost:2/y"));
        assert!(may("http://127.0.0.1:1/x", "https://b.example/y"));
        for (from, to) in [
            ("https://a.example/x", "http://a.example/x"),
            ("https://a.example/x", "http://127.0.0.1/x"),
            ("https://a.example/x", "https://127.0.0.1/x"),
            ("https://a.example/x", "https://[::1]/x"),
            ("http://127.0.0.1/x", "http://a.example/x"),
            ("https://a.example/x", "file:///etc/passwd"),
        ] {
            assert!(!may(from, to), "{from} {to}");
        }
    }

    #[test]
    fn what_a_registry_says_is_shown_in_one_line() {
        assert_eq!(said(br#"{"errors":[{"message":"a\u001b[2Jb\nc"},{"message":"d"}]}"#), ": a[2Jb c; d");
        assert_eq!(said(b"<html>"), "");
        assert_eq!(said(&b"[".repeat(10_000)), "");
    }
}
