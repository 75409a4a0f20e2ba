//! Requests to a server, and its answers, read within bounds.

use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::{Host, Url};

use super::error::{Problem, RemoteError};
use super::events::Events;
use crate::message::RunId;
use crate::server::BY_HEADER;

/// How long a connection may take to come about.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long a server may say nothing: while a run is followed it says every 15 s that it is there.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// For how long a server may be away: long enough for a restart.
const AWAY_MAX: Duration = Duration::from_secs(10);
/// How often a server that is away is looked for.
const TRIES_APART: Duration = Duration::from_millis(250);
/// The largest answer that is read: more than any run has, and less than what would exhaust a machine.
const ANSWER_BYTES_MAX: usize = 512 << 20;
/// The largest answer that can be a problem.
const PROBLEM_BYTES_MAX: usize = 1 << 20;

/// A server.
#[derive(Clone, Debug)]
pub(in super::super) struct Remote {
    client: Client,
    url: Url,
    token: Option<HeaderValue>,
    /// Who speaks, where the server is on this machine and believes it.
    by: Option<HeaderValue>,
}

impl Remote {
    pub(super) fn new(url: Url, token: Option<String>) -> anyhow::Result<Self> {
        let token = token.map(|token| HeaderValue::from_str(&format!("Bearer {token}"))).transpose();
        let mut token = token.map_err(|_| super::Misuse("HOST_TOKEN has what no token has".to_owned()))?;
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        let mut client = Client::builder()
            .user_agent(concat!("host/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIME)
            .read_timeout(SILENCE_MAX)
            // A token goes to the server that is named, and to no other.
            .redirect(redirect::Policy::none());
        let tls = match url.scheme() {
            "https" => crate::tls::config().map(Arc::unwrap_or_clone).map_err(anyhow::Error::msg)?,
            _ => crate::tls::of_nobody()?,
        };
        client = client.tls_backend_preconfigured(tls);
        let is_here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        if is_here {
            client = client.no_proxy();
        }
        Ok(Self { client: client.build()?, url, token, by: None })
    }

    /// The same for the server of this machine's state directory, to which somebody speaks by name.
    pub(super) fn of_this_machine(self, name: &str) -> Self {
        let by = HeaderValue::from_str(&utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()).ok();
        Self { by, ..self }
    }

    /// Where it is.
    pub(in super::super) fn url(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut request = self.client.request(method, url);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        match &self.by {
            Some(by) => request.header(BY_HEADER, by.clone()),
            None => request,
        }
    }

    /// What is at a path.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, RemoteError> {
        let mut request = self.request(Method::GET, path);
        if !query.is_empty() {
            let pairs = query.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
            let query = pairs.collect::<Vec<_>>().join("&");
            request = self.with_query(path, &query);
        }
        self.read(request).await
    }

    fn with_query(&self, path: &[&str], query: &str) -> RequestBuilder {
        let mut url = self.url.clone();
        url.set_query(Some(query));
        Self { url, ..self.clone() }.request(Method::GET, path)
    }

    /// The bytes at a path.
    pub(super) async fn bytes(&self, path: &[&str]) -> Result<Vec<u8>, RemoteError> {
        let answer = self.send(self.request(Method::GET, path)).await?;
        self.whole(answer, ANSWER_BYTES_MAX).await
    }

    /// What a request with a body is answered with.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, RemoteError> {
        self.read(self.with_body(path, body)?).await
    }

    /// The same for a request that counts once, however often it arrives: it is sent again where the connection breaks.
    pub(super) async fn post_once<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, RemoteError> {
        let key = RunId::new().to_string();
        let send = || async { self.read(self.with_body(path, body)?.header("idempotency-key", &key)).await };
        match send().await {
            Err(RemoteError::Unreachable { was_there: true, .. }) => until_back(send).await,
            answered => answered,
        }
    }

    fn with_body(&self, path: &[&str], body: &impl Serialize) -> Result<RequestBuilder, RemoteError> {
        let body = serde_json::to_vec(body).map_err(|error| self.strange(error.to_string()))?;
        Ok(self.request(Method::POST, path).header("content-type", "application/json").body(body))
    }

    /// The events of a run after one of them.
    pub(super) async fn events(&self, run: RunId, after: u64) -> Result<Events, RemoteError> {
        let id = run.to_string();
        let request = self.request(Method::GET, &["runs", &id, "events"]);
        let request = request.header(ACCEPT, "text/event-stream").header("last-event-id", after);
        Ok(Events::of(self.send(request).await?))
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, RemoteError> {
        let answer = self.send(request).await?;
        let bytes = self.whole(answer, ANSWER_BYTES_MAX).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.strange(error.to_string()))
    }

    /// Sends a request. An answer that is a problem is an error.
    async fn send(&self, request: RequestBuilder) -> Result<Response, RemoteError> {
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let bytes = self.whole(answer, PROBLEM_BYTES_MAX).await?;
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => Err(RemoteError::Problem(problem)),
            Err(_) => Err(self.strange(format!("it says {status}"))),
        }
    }

    async fn whole(&self, mut answer: Response, bytes_max: usize) -> Result<Vec<u8>, RemoteError> {
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| self.unreachable(&error))? {
            if bytes.len() + piece.len() > bytes_max {
                return Err(self.strange(format!("its answer has more than {bytes_max} bytes")));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    pub(super) fn unreachable(&self, error: &reqwest::Error) -> RemoteError {
        let (url, reason) = (self.url().to_owned(), cause(error));
        RemoteError::Unreachable { url, reason, was_there: !error.is_connect() }
    }

    pub(super) fn strange(&self, reason: String) -> RemoteError {
        RemoteError::Strange { url: self.url().to_owned(), reason }
    }
}

/// Sends a request until a server that was there is there again, or for [`AWAY_MAX`].
pub(super) async fn until_back<T, S>(send: impl Fn() -> S) -> Result<T, RemoteError>
where
    S: Future<Output = Result<T, RemoteError>>,
{
    let begun = tokio::time::Instant::now();
    loop {
        match send().await {
            Err(error) if error.may_pass() && begun.elapsed() < AWAY_MAX => {
                tokio::time::sleep(TRIES_APART).await;
            }
            answered => return answered,
        }
    }
}

/// What was the matter at last: the words before it only repeat the URL.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
