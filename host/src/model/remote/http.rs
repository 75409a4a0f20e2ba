//! One HTTP exchange with a provider: a request out, the body of a success back, or what went wrong.
//!
//! Owns the connection, the API key and the error that a failure becomes; knows nothing of any wire format. Sends every
//! request once: no retry, no redirect.

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Request, Response, StatusCode, Url};
use rig_core::error::ProviderError;
use secrecy::SecretString;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::clients::{self, Clients};
use super::failure::{self, Failure};
use super::frames::{Framer, Frames};
use super::headers::Headers;
use super::proxy::{Between, PROXY_WANTS_PASSWORD};
use crate::message::Caller;
use crate::model::{Connection, ModelError, RemoteConfig};

/// To connect, TLS included: a server that takes longer is down or unreachable.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read: far above what any model writes, far below what would hurt the host.
pub(super) const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How much of an error's body is read in search of its message.
const ERROR_BODY_BYTES_MAX: usize = 64 * 1024;
/// The longest message of a provider that goes into an error: enough for the reason, not for a web page.
const MESSAGE_BYTES_MAX: usize = 2 * 1024;

/// Where requests go, and the secrets they carry.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    client: Client,
    /// Room for requests to the same server.
    room: Arc<Semaphore>,
    base: Url,
    /// What comes after the path of every request.
    query: Option<String>,
    /// What stands in between.
    proxy: Option<Between>,
    headers: Headers,
    /// In the course of what the host was started, if that is known.
    caller: Option<Caller>,
    timeout: Duration,
    idle_timeout: Duration,
}

/// The body of a success.
pub(super) enum Answer {
    /// All of it.
    Whole(Vec<u8>),
    /// As it comes.
    Stream(Box<Frames>),
}

impl Endpoint {
    /// Checks the address, the headers and the key, which goes into a header behind a prefix.
    pub(super) fn new(
        config: &RemoteConfig,
        (key_header, prefix): (&'static str, &str),
        key: Option<SecretString>,
        clients: &Clients,
    ) -> Result<Self, ModelError> {
        let Connection { headers: others, proxy, timeout, idle_timeout } = &config.connection;
        let mut base = Url::parse(&config.base_url)
            .map_err(|error| ModelError::Setup(format!("`base_url` in [model] is not a URL: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(setup("`base_url` in [model] must start with https:// or http://"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(setup("`base_url` in [model] must not hold a password: use `api_key_env`"));
        }
        if base.fragment().is_some() {
            return Err(setup("`base_url` in [model] must end before any `#`"));
        }
        let query = base.query().map(str::to_owned);
        base.set_query(None);
        let headers = Headers::new((key_header, prefix), key, others)?;
        let proxy = Between::of(proxy, &base)?;
        let client = clients.client(proxy.as_ref())?;
        let room = clients.room(&base);
        let (timeout, idle_timeout) = (*timeout, *idle_timeout);
        // What names no span is said where the run begins.
        let caller = Caller::of_environment().ok().flatten();
        Ok(Self { client, room, base, query, proxy, headers, caller, timeout, idle_timeout })
    }

    /// Waits until one more request may be sent to this server. It counts as sent until what this gives is dropped.
    pub(super) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        clients::enter(&self.room).await
    }

    /// The longest wait between two pieces of an answer.
    pub(super) fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// The address below which the provider's paths lie.
    pub(super) fn base_url(&self) -> &str {
        self.base.as_str()
    }

    /// Sends a request and returns the body of a success; one that is streamed as it comes, if it was to be streamed. It
    /// says that it is sent in the course of a span: that of the request, where it is exported, and else the caller's.
    pub(super) async fn send(
        &self,
        request: Request,
        stream: bool,
        span: Option<&Caller>,
    ) -> Result<Answer, ModelError> {
        let until = until(self.timeout);
        let mut response = self.open(request, span, until).await?;
        let status = response.status();
        if !status.is_success() {
            let wait = retry_after_ms(response.headers(), SystemTime::now());
            // A connection that breaks off here has still said what matters: the status.
            let mut body = Vec::new();
            let _ = timeout_at(until, read(&mut response, &mut body, ERROR_BODY_BYTES_MAX)).await;
            return Err(self.refused(status, wait, &body));
        }
        if let (true, Some(framer)) = (stream, Framer::of(response.headers())) {
            return Ok(Answer::Stream(Box::new(Frames::new(self.clone(), response, framer, until))));
        }
        let mut body = Vec::new();
        match timeout_at(until, read(&mut response, &mut body, BODY_BYTES_MAX)).await {
            Ok(Ok(Read::Whole)) => Ok(Answer::Whole(body)),
            Ok(Ok(Read::Cut)) => Err(self.too_long()),
            Ok(Err(error)) => Err(self.broken(error)),
            Err(_) => Err(self.silent()),
        }
    }

    /// Sends a request, and returns what comes back but for its body, which may be a failure.
    pub(super) async fn open(
        &self,
        mut request: Request,
        span: Option<&Caller>,
        until: Instant,
    ) -> Result<Response, ModelError> {
        if let Some(span) = span.or(self.caller.as_ref()) {
            request.headers_mut().extend(trace_context(span));
        }
        self.headers.put_into(request.headers_mut());
        if let Some(query) = &self.query {
            let whole = request.url().query().map_or_else(|| query.clone(), |own| format!("{own}&{query}"));
            request.url_mut().set_query(Some(&whole));
        }
        let response = match timeout_at(until, self.client.execute(request)).await {
            Ok(response) => response.map_err(|error| self.unreachable(error))?,
            Err(_) => return Err(self.silent()),
        };
        let status = response.status();
        match location(&response).filter(|_| status.is_redirection()) {
            Some(place) => Err(self.redirected(status, response.url(), &place)),
            None => Ok(response),
        }
    }

    /// A text from outside without the secrets.
    pub(super) fn masked(&self, text: &str) -> String {
        self.headers.masked(text)
    }

    /// How long an answer that is not a stream may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The error for a stream that does not end as one should.
    pub(super) fn broke_off(&self, error: &ProviderError) -> ModelError {
        match error {
            ProviderError::Truncated => self.cut_off("the answer broke off before its end"),
            ProviderError::ProviderResponse(response) => {
                let body = failure::read(response.body.as_bytes());
                self.failed(Failure::told(&body, &failure::in_words(&response.body)))
            }
            other => self.malformed(&other.to_string()),
        }
    }

    /// The error for a success whose body is not what was asked for. Some servers report a failure this way.
    pub(super) fn unreadable(&self, body: &[u8], reason: &str) -> ModelError {
        let value = failure::read(body);
        if failure::is_failure(&value) {
            return self.failed(Failure::told(&value, reason));
        }
        if let Some(message) = failure::message(&value) {
            return self.malformed(&format!("it reports an error: {message}"));
        }
        let text = String::from_utf8_lossy(body);
        let words = failure::in_words(&text);
        if words != text.trim() {
            return self.malformed(&format!("{reason}; it is {words}"));
        }
        let start = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        self.malformed(&format!("{reason}; it begins with `{start}`"))
    }

    /// The error for an answer that is not a success.
    pub(super) fn refused(&self, status: StatusCode, retry_after_ms: Option<u64>, body: &[u8]) -> ModelError {
        let value = failure::read(body);
        let text = match failure::message(&value) {
            Some(message) => message.to_owned(),
            None => failure::in_words(&String::from_utf8_lossy(body)),
        };
        let retry_after_ms = retry_after_ms.or_else(|| failure::retry_after_ms(&value));
        if let Some(error) = self.refused_by_proxy(status, &text) {
            return error;
        }
        // A quota that is used up is told with the status of a rate that was too high, which a wait would mend.
        let told = Failure::told(&value, &text);
        let status = match (status.as_u16(), told.status) {
            (429, 402) => 402,
            (status, _) => status,
        };
        self.failed(Failure { status, message: text, retry_after_ms, too_long: told.too_long })
    }

    /// The error for an answer that sends elsewhere: where to, and what to write so that requests go there.
    fn redirected(&self, status: StatusCode, from: &Url, to: &Url) -> ModelError {
        let path = from.path().strip_prefix(self.base.path().trim_end_matches('/')).unwrap_or(from.path());
        // A query may hold what only its reader should see, such as a signature.
        let mut to = to.clone();
        to.set_query(None);
        to.set_fragment(None);
        let base = to.as_str().strip_suffix(path).filter(|_| !path.is_empty());
        let help = match base {
            Some(base) => format!("; if that is right, set `base_url = \"{base}\"` in [model]"),
            None => "; `base_url` in [model] has to be where no redirect is needed".to_owned(),
        };
        let (url, message) = (self.base.to_string(), format!("it sends requests on to {to}{help}"));
        ModelError::Status {
            url,
            status: status.as_u16(),
            message: self.excerpt(&message),
            retry_after_ms: None,
        }
    }

    /// The error for an answer that a proxy gave, as far as that can be told: one that passes on requests as they are,
    /// to a server without TLS, answers in its place.
    fn refused_by_proxy(&self, status: StatusCode, text: &str) -> Option<ModelError> {
        let between = self.proxy.as_ref().filter(|_| self.base.scheme() == "http")?;
        let may_pass = match status.as_u16() {
            407 | 403 => false,
            502 | 504 => true,
            _ => return None,
        };
        let text =
            if text.is_empty() { status.canonical_reason().unwrap_or("no reason given") } else { text };
        let reason = self.excerpt(&format!("HTTP {}, from it or from the server: {text}", status.as_u16()));
        let (url, proxy) = (self.base.to_string(), between.address());
        Some(ModelError::Proxy { url, proxy, reason, may_pass })
    }

    /// The error for a failure, whether it is one of HTTP or told in the middle of an answer.
    pub(super) fn failed(&self, failure: Failure) -> ModelError {
        let Failure { status, message, retry_after_ms, too_long } = failure;
        let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let text = if message.is_empty() { reason.unwrap_or("no reason given") } else { &message };
        let (url, message) = (self.base.to_string(), self.excerpt(text));
        match status {
            401 | 403 => ModelError::Unauthorized { url, status, message },
            // A rate or a budget that the request alone is too much for is none of the model's.
            402 | 429 => ModelError::Status { url, status, message, retry_after_ms },
            // 413 is what servers, and gateways before them, say of a body that is larger than they take.
            _ if too_long || status == 413 => ModelError::TooLong { url, status, message },
            _ => ModelError::Status { url, status, message, retry_after_ms },
        }
    }

    pub(super) fn malformed(&self, reason: &str) -> ModelError {
        ModelError::Malformed { url: self.base.to_string(), reason: self.excerpt(reason) }
    }

    pub(super) fn too_long(&self) -> ModelError {
        self.malformed(&format!("it is longer than {} MiB", BODY_BYTES_MAX / 1024 / 1024))
    }

    /// The error for a request that did not come to an answer.
    fn unreachable(&self, error: reqwest::Error) -> ModelError {
        if !error.is_connect() {
            return self.broken(error);
        }
        let (url, reason) = (self.base.to_string(), reason(error));
        let may_pass = !reason.contains(PROXY_WANTS_PASSWORD);
        let reason = self.excerpt(&reason);
        match &self.proxy {
            Some(between) => ModelError::Proxy { url, proxy: between.address(), reason, may_pass },
            None => ModelError::Unreachable { url, reason },
        }
    }

    /// The error for a connection that broke when it was made.
    pub(super) fn broken(&self, error: reqwest::Error) -> ModelError {
        self.cut_off(&format!("the connection broke: {}", reason(error)))
    }

    /// The error for an answer that does not come, or does not end.
    pub(super) fn silent(&self) -> ModelError {
        let waited = humantime::format_duration(self.timeout);
        self.cut_off(&format!("nothing, or no end of it, within {waited}, the `timeout` in [model]"))
    }

    /// The error for a stream in which nothing comes any more.
    pub(super) fn idle(&self) -> ModelError {
        let waited = humantime::format_duration(self.idle_timeout);
        self.cut_off(&format!("nothing more of it for {waited}, the `idle_timeout` in [model]"))
    }

    fn cut_off(&self, reason: &str) -> ModelError {
        ModelError::CutOff { url: self.base.to_string(), reason: self.excerpt(reason) }
    }

    /// Text from outside as it may be shown: on one line, short, and without the key, which some servers
    /// repeat when they refuse it.
    fn excerpt(&self, text: &str) -> String {
        let mut text = self.headers.masked(text);
        if text.len() > MESSAGE_BYTES_MAX {
            text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
            text.push_str(" [...]");
        }
        text.replace(char::is_control, " ")
    }
}

/// The headers that name a span.
fn trace_context(span: &Caller) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    span.headers()
        .into_iter()
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?)))
}

/// The end of a wait that begins now.
pub(super) fn until(wait: Duration) -> Instant {
    /// As good as never.
    const YEAR: Duration = Duration::from_hours(365 * 24);
    Instant::now() + wait.min(YEAR)
}

fn setup(message: &str) -> ModelError {
    ModelError::Setup(message.to_owned())
}

/// Where an answer sends its reader, as a whole address.
fn location(response: &Response) -> Option<Url> {
    let place = response.headers().get(LOCATION)?.to_str().ok()?;
    response.url().join(place).ok()
}

/// An error with all its causes: the outermost one only says that sending failed.
pub(super) fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Whether a body was read to its end.
enum Read {
    Whole,
    Cut,
}

async fn read(response: &mut Response, body: &mut Vec<u8>, bytes_max: usize) -> Result<Read, reqwest::Error> {
    while let Some(chunk) = response.chunk().await? {
        let room = bytes_max - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok(Read::Cut);
        }
    }
    Ok(Read::Whole)
}

/// How long the provider asks to wait: `retry-after-ms` is the finer of its two headers, `retry-after` holds
/// seconds or a date.
pub(super) fn retry_after_ms(headers: &HeaderMap, now: SystemTime) -> Option<u64> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name: &str, unit_ms: f64| failure::milliseconds(text(name)?, unit_ms);
    number("retry-after-ms", 1.0).or_else(|| number(RETRY_AFTER.as_str(), 1000.0)).or_else(|| {
        let until = httpdate::parse_http_date(text(RETRY_AFTER.as_str())?).ok()?;
        let wait = until.duration_since(now).unwrap_or_default();
        u64::try_from(wait.as_millis()).ok()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn the_wait_is_read_from_either_header_in_any_form() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:30 GMT").unwrap();
        let wait = |headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect();
            retry_after_ms(&headers, now)
        };
        assert_eq!(wait(&[]), None);
        assert_eq!(wait(&[("retry-after", "2")]), Some(2000));
        assert_eq!(wait(&[("retry-after", "1.5")]), Some(1500));
        assert_eq!(wait(&[("retry-after", "2"), ("retry-after-ms", "250")]), Some(250));
        assert_eq!(wait(&[("retry-after", "2"), ("retry-after-ms", "soon")]), Some(2000));
        assert_eq!(wait(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]), Some(7000));
        assert_eq!(wait(&[("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT")]), Some(0));
        for text in ["-1", "NaN", "inf", "later"] {
            assert_eq!(wait(&[("retry-after", text)]), None, "{text}");
        }
    }

    #[test]
    fn an_excerpt_is_short_and_has_no_key_and_no_control_characters() {
        let api = crate::model::Api::named("openai").unwrap();
        let config = RemoteConfig::new(api, "m", "http://127.0.0.1:1/v1");
        let endpoint =
            Endpoint::new(&config, ("authorization", "Bearer "), Some("sk-1".into()), &Clients::default())
                .unwrap();
        assert_eq!(endpoint.excerpt("bad key sk-1\u{1b}[2J"), "bad key [API key] [2J");
        let long = endpoint.excerpt(&"é".repeat(MESSAGE_BYTES_MAX));
        assert!(long.len() <= MESSAGE_BYTES_MAX + 6 && long.ends_with("é [...]"), "{long}");
        assert!(!format!("{endpoint:?}").contains("sk-1"));
    }
}
