//! What a provider says of a failure in the body of an answer: in which words, and whether it may pass.
//!
//! An answer that began with HTTP 200 has no status that tells. Its code does, or its kind, of which those are listed
//! that no further attempt would mend, and those that are not simply the provider's own fault.

use serde_json::Value;

use super::surrogates::mended;
use super::too_long;

/// Where providers put the message of an error, the most specific place first.
const MESSAGE_POINTERS: [&str; 5] =
    ["/error/message", "/response/error/message", "/error", "/message", "/detail"];

/// Where `OpenRouter` puts what the server behind it said, whose failure it only calls an error of the provider:
/// `openrouter.ai/docs/api/reference/errors-and-debugging`.
const PASSED_ON: &str = "/error/metadata/raw";

/// Where they put its code and its kind, the more specific of the two first.
const KIND_POINTERS: [&str; 7] = [
    "/error/code",
    "/response/error/code",
    "/code",
    "/error/status",
    "/error/type",
    "/response/error/type",
    "/type",
];

/// The HTTP status that goes with a kind.
const KINDS: [(u16, &[&str]); 11] = [
    (400, &["invalid_request_error", "invalid_prompt", "INVALID_ARGUMENT", "FAILED_PRECONDITION"]),
    (400, &["context_length_exceeded", "string_above_max_length", "unsupported_parameter", "content_filter"]),
    (401, &["authentication_error", "invalid_api_key", "UNAUTHENTICATED"]),
    (402, &["billing_error", "billing_not_active", "billing_hard_limit_reached", "insufficient_quota"]),
    (403, &["permission_error", "PERMISSION_DENIED"]),
    (404, &["not_found_error", "model_not_found", "NOT_FOUND"]),
    (408, &["timeout_error", "DEADLINE_EXCEEDED"]),
    (413, &["request_too_large"]),
    (429, &["rate_limit_error", "rate_limit_exceeded", "RESOURCE_EXHAUSTED"]),
    (503, &["service_unavailable_error", "server_is_overloaded", "slow_down", "UNAVAILABLE"]),
    (529, &["overloaded_error"]),
];

/// A page of HTML says so this soon.
const HTML_LOOKED_AT_CHARS: usize = 512;

/// The status of a failure of which nothing else is known: it may pass.
const UNKNOWN: u16 = 500;

/// A failure that a provider tells in an answer.
pub(in crate::model) struct Failure {
    /// The HTTP status that it would have had.
    pub(super) status: u16,
    /// What the provider said; empty if nothing.
    pub(super) message: String,
    /// How long it asks to wait.
    pub(super) retry_after_ms: Option<u64>,
    /// Whether it says that the conversation is too long.
    pub(super) too_long: bool,
}

impl Failure {
    /// The failure that a body tells; in the other words where it has none of its own.
    pub(in crate::model) fn told(body: &Value, otherwise: &str) -> Self {
        let status = KIND_POINTERS.iter().find_map(|at| status(body.pointer(at)?)).unwrap_or(UNKNOWN);
        let message = message(body).unwrap_or(otherwise).to_owned();
        let kinds = KIND_POINTERS.iter().filter_map(|at| body.pointer(at)?.as_str());
        let texts = std::iter::once(message.as_str()).chain(body.pointer(PASSED_ON).and_then(Value::as_str));
        let too_long = too_long::is_said(kinds, texts);
        Self { status, message, retry_after_ms: retry_after_ms(body), too_long }
    }

    /// The failure that a part of an answer tells, if it tells one.
    pub(in crate::model) fn in_part(part: &Value) -> Option<Self> {
        is_failure(part).then(|| Self::told(part, ""))
    }

    /// One that the same request need not meet again.
    pub(in crate::model) fn passing(message: String) -> Self {
        Self { status: UNKNOWN, message, retry_after_ms: None, too_long: false }
    }
}

/// What a body says, as far as it can be read at all.
pub(super) fn read(body: &[u8]) -> Value {
    serde_json::from_str(&mended(&String::from_utf8_lossy(body))).unwrap_or_default()
}

/// Whether a body says that something failed, whatever else it says.
pub(super) fn is_failure(body: &Value) -> bool {
    let stated = |at| match body.pointer(at) {
        Some(Value::Object(error)) => !error.is_empty(),
        Some(Value::String(error)) => !error.is_empty(),
        Some(_) | None => false,
    };
    stated("/error") || stated("/response/error") || body["type"] == "error" || body["object"] == "error"
}

/// The message of a provider's error, if the body is one.
pub(super) fn message(body: &Value) -> Option<&str> {
    MESSAGE_POINTERS.iter().find_map(|at| body.pointer(at)?.as_str()).filter(|text| !text.is_empty())
}

/// What a body that is no provider's error says: of a page of HTML, which something on the way gave, its title.
pub(super) fn in_words(body: &str) -> String {
    let body = body.trim();
    let start: String = body.chars().take(HTML_LOOKED_AT_CHARS).flat_map(char::to_lowercase).collect();
    if !start.starts_with('<') || !["<html", "<!doctype html", "<head"].iter().any(|tag| start.contains(tag))
    {
        return body.to_owned();
    }
    // Lower case has as many bytes in ASCII, and the title is looked for in nothing else.
    let lower = body.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|open| {
        let from = open + lower[open..].find('>')? + 1;
        body.get(from..from + lower[from..].find("</title")?)
    });
    let title: Vec<&str> = title.unwrap_or_default().split_whitespace().collect();
    if title.is_empty() {
        "a page of HTML".to_owned()
    } else {
        format!("a page of HTML, \"{}\"", title.join(" "))
    }
}

/// How long a body asks to wait: Google's say it among the details, in seconds.
pub(super) fn retry_after_ms(body: &Value) -> Option<u64> {
    let details = body.pointer("/error/details")?.as_array()?;
    let is_wait = |detail: &&Value| detail["@type"].as_str().is_some_and(|it| it.ends_with("RetryInfo"));
    let seconds = details.iter().find(is_wait)?["retryDelay"].as_str()?.strip_suffix('s')?;
    milliseconds(seconds, 1000.0)
}

/// A wait in some unit, rounded up.
pub(super) fn milliseconds(text: &str, unit_ms: f64) -> Option<u64> {
    let ms = text.trim().parse::<f64>().ok()? * unit_ms;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked; `as` saturates")]
    (ms.is_finite() && ms >= 0.0).then_some(ms.ceil() as u64)
}

/// The HTTP status that a code is, or that goes with a kind.
fn status(code: &Value) -> Option<u16> {
    let number = code.as_u64().or_else(|| code.as_str()?.parse().ok());
    if let Some(number) = number {
        return u16::try_from(number).ok().filter(|number| (400..600).contains(number));
    }
    let kind = code.as_str()?;
    KINDS.iter().find(|(_, kinds)| kinds.contains(&kind)).map(|(status, _)| *status)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_code_tells_more_than_a_kind_and_what_is_not_known_may_pass() {
        for (body, status) in [
            (json!({"error": {"type": "invalid_request_error", "code": "rate_limit_exceeded"}}), 429),
            (json!({"error": {"type": "invalid_request_error", "code": "unknown_url"}}), 400),
            (json!({"error": {"type": "invalid_request_error", "code": null}}), 400),
            (json!({"error": {"type": "tokens", "code": "insufficient_quota"}}), 402),
            (json!({"error": {"type": "server_error", "code": 400}}), 400),
            (json!({"error": {"type": "server_error", "code": "502"}}), 502),
            (json!({"error": {"code": 20}}), 500),
            (json!({"type": "response.failed", "response": {"error": {"code": "slow_down"}}}), 503),
            (json!({"type": "error", "code": "context_length_exceeded"}), 400),
            (json!({"type": "error", "error": {"type": "overloaded_error"}}), 529),
            (json!({"type": "error", "error": {"type": "api_error"}}), 500),
            (json!({"error": {"status": "PERMISSION_DENIED"}}), 403),
            (json!({"error": "out of memory"}), 500),
            (json!(null), 500),
        ] {
            assert_eq!(Failure::told(&body, "").status, status, "{body}");
        }
    }

    #[test]
    fn of_a_page_only_its_title_is_said() {
        let page = |head: &str| format!("{head}<p>{}</p></body></html>", "x".repeat(100_000));
        for (body, said) in [
            (
                page("<html><head><title>502 Bad\n Gateway</title></head><body>"),
                "a page of HTML, \"502 Bad Gateway\"",
            ),
            (page("\n<!DOCTYPE HTML>\n<HTML><TITLE lang='en'>Ü</TITLE>"), "a page of HTML, \"Ü\""),
            (page("<html><body>"), "a page of HTML"),
            (page("<html><title>never closed"), "a page of HTML"),
            ("no <html> at all ".to_owned(), "no <html> at all"),
            ("<xml/>".to_owned(), "<xml/>"),
            (String::new(), ""),
        ] {
            assert_eq!(in_words(&body), said);
        }
    }

    #[test]
    fn the_wait_is_among_the_details() {
        let wait = |delay: Value| {
            let wait = json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay});
            let details = json!([{"@type": "x.QuotaFailure"}, wait]);
            retry_after_ms(&json!({"error": {"code": 429, "details": details}}))
        };
        assert_eq!(wait(json!("45.8s")), Some(45_800));
        assert_eq!(wait(json!("0s")), Some(0));
        for odd in [json!("soon"), json!("-1s"), json!(3), json!(null)] {
            assert_eq!(wait(odd.clone()), None, "{odd}");
        }
    }
}
