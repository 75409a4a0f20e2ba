//! One attempt to deliver: a request, and what its answer means.
//!
//! Invariant: however a receiver answers, an attempt ends within its timeout, and what is kept of the answer is its status
//! and how long to wait.

use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode};

use super::Webhook;
use super::signing::signature;
use crate::message::Moment;
use crate::server::problem::chain;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What comes of a body is read, so that the connection can be used again: so much, for so long.
const BODY_BYTES_MAX: usize = 16 * 1024;
const BODY_TIME: Duration = Duration::from_secs(1);
/// No receiver can have the server wait longer than this.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It arrived.
    Taken(u16),
    /// The receiver wants nothing any more.
    Gone,
    /// It did not arrive.
    Failed(Failure),
}

/// Why a delivery did not arrive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) why: String,
    pub(super) status: Option<u16>,
    /// How long the receiver asks to wait.
    pub(super) retry_after: Option<Duration>,
    /// Whether the receiver has too much to do.
    pub(super) slow_down: bool,
}

impl Failure {
    pub(super) fn of(why: impl Into<String>) -> Self {
        Self { why: why.into(), ..Self::default() }
    }
}

/// What a webhook's requests are sent by. The error is the reason why none can be.
pub(super) fn client(webhook: &Webhook) -> Result<Client, String> {
    let client = crate::tls::client()?
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(webhook.timeout)
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(super::endpoint::AT_ONCE_MAX);
    // No proxy leads back to this machine.
    let client = if webhook.url.scheme() == "http" { client.no_proxy() } else { client };
    client.build().map_err(|error| chain(&error.without_url()))
}

/// Sends a body once.
pub(super) async fn send(client: &Client, webhook: &Webhook, id: &str, body: Vec<u8>) -> Answer {
    let at_s = Moment::now().0 / 1000;
    let request = client
        .post(webhook.url.clone())
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", at_s)
        .header("webhook-signature", signature(&webhook.keys, id, at_s, &body))
        .body(body);
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_timeout() => {
            let waited = humantime::format_duration(webhook.timeout);
            return Answer::Failed(Failure::of(format!("no answer within {waited}")));
        }
        Err(error) => return Answer::Failed(Failure::of(chain(&error.without_url()))),
    };
    let answer = understood(response.status(), response.headers(), SystemTime::now());
    let rest = async {
        let mut bytes = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            bytes += chunk.len();
            if bytes > BODY_BYTES_MAX {
                break;
            }
        }
    };
    // The status says it all: what comes late is not waited for, and ends with its connection.
    let _ = tokio::time::timeout(BODY_TIME, rest).await;
    answer
}

/// What an answer means.
fn understood(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Answer {
    if status.is_success() {
        return Answer::Taken(status.as_u16());
    }
    if status == StatusCode::GONE {
        return Answer::Gone;
    }
    let slow_down = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT
    );
    let retry_after = retry_after(headers, now);
    let redirected = if status.is_redirection() { ", and redirects are not followed" } else { "" };
    let why = format!("it answered {status}{redirected}");
    Answer::Failed(Failure { why, status: Some(status.as_u16()), retry_after, slow_down })
}

/// How long the receiver asks to wait: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

    use super::*;

    fn answer(status: u16, retry_after: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        understood(StatusCode::from_u16(status).unwrap(), &headers, now)
    }

    #[test]
    fn every_status_means_what_the_specification_says() {
        for status in 100..1000 {
            match (status, answer(status, "")) {
                (200..300, Answer::Taken(taken)) => assert_eq!(taken, status),
                (410, Answer::Gone) => {}
                (429 | 502 | 504, Answer::Failed(failure)) => assert!(failure.slow_down),
                (_, Answer::Failed(failure)) => assert!(!failure.slow_down, "{status}"),
                (_, other) => panic!("{status} is {other:?}"),
            }
        }
    }

    #[test]
    fn how_long_to_wait_is_read_in_any_form_and_bounded() {
        for (text, seconds) in [
            ("", None),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("18446744073709551615", Some(24 * 3600)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
        ] {
            let Answer::Failed(failure) = answer(503, text) else { panic!("{text}") };
            assert_eq!(failure.retry_after.map(|wait| wait.as_secs()), seconds, "{text:?}");
        }
    }
}
