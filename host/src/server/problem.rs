//! What is wrong with a request, as RFC 9457 has it: what, where, and what to do about it.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::{self, Content, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use super::log::log;
use super::told::Told;

/// The media type of an answer that is a [`Problem`].
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// What is wrong with a request.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    place: Option<String>,
    help: Option<String>,
    retry_after_s: Option<u64>,
}

/// What is wrong with a request (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// The kind of problem: the same for every problem of this kind.
    #[serde(rename = "type")]
    kind: String,
    /// The kind in a few words.
    title: &'static str,
    /// The status code of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong with this request.
    detail: String,
    /// Where it is wrong: a member of the body, a parameter or a header.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

/// What any request may be answered with that is not what it asks for.
pub(super) enum Refused {}

impl IntoResponses for Refused {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let refused = |status: &str, description: &str| {
            let problem = Content::new(Some(Ref::from_schema_name("Problem")));
            let response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, problem);
            (status.to_owned(), RefOr::T(response.build()))
        };
        BTreeMap::from([
            refused(
                "4XX",
                "The request is wrong, or does not fit how things stand; the problem says what and where",
            ),
            refused("503", "Nothing is taken now; the header `Retry-After` says when to try again"),
        ])
    }
}

/// The kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The request cannot be read.
    Malformed,
    /// The request can be read, and asks for something that there cannot be.
    Unfit,
    /// Nobody has said who sends the request.
    Unauthenticated,
    /// Whoever sends the request may not.
    Forbidden,
    /// There is no such thing.
    Missing,
    /// There is no such method here.
    Method,
    /// Things stand otherwise than the request has it.
    Conflict,
    /// The body is too large.
    TooLarge,
    /// The body did not come in time.
    TooSlow,
    /// The body is not JSON by what it says of itself.
    NotJson,
    /// An idempotency key was used for another request.
    KeyReused,
    /// There are too many requests or runs.
    TooMany,
    /// The server ends, or cannot record anything.
    Unavailable,
    /// The host itself failed.
    Internal,
}

impl Kind {
    /// Its name.
    pub(super) fn name(self) -> &'static str {
        self.parts().0
    }

    /// Its name in the type of a problem, its title and its status.
    fn parts(self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Self::Malformed => ("malformed", "The request cannot be read", StatusCode::BAD_REQUEST),
            Self::Unfit => ("unfit", "The request does not fit", StatusCode::BAD_REQUEST),
            Self::Unauthenticated => ("unauthenticated", "A token is needed", StatusCode::UNAUTHORIZED),
            Self::Forbidden => ("forbidden", "The request is not allowed", StatusCode::FORBIDDEN),
            Self::Missing => ("missing", "There is no such thing", StatusCode::NOT_FOUND),
            Self::Method => ("method", "There is no such method here", StatusCode::METHOD_NOT_ALLOWED),
            Self::Conflict => ("conflict", "Things stand otherwise", StatusCode::CONFLICT),
            Self::TooLarge => ("too-large", "The body is too large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::TooSlow => ("too-slow", "The body did not come in time", StatusCode::REQUEST_TIMEOUT),
            Self::NotJson => ("not-json", "The body has to be JSON", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::KeyReused => (
                "key-reused",
                "The idempotency key belongs to another request",
                StatusCode::UNPROCESSABLE_ENTITY,
            ),
            Self::TooMany => {
                ("too-many", "There are too many requests or runs", StatusCode::TOO_MANY_REQUESTS)
            }
            Self::Unavailable => {
                ("unavailable", "The server takes nothing now", StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::Internal => ("internal", "The server failed", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

impl Problem {
    /// A problem, and what is wrong.
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), place: None, help: None, retry_after_s: None }
    }

    /// What is wrong, in a line.
    pub(super) fn detail(&self) -> &str {
        self.detail.lines().next().unwrap_or_default()
    }

    /// What it is for a page: the status, the kind in a few words, what is wrong, and what to do about it.
    pub(super) fn told(&self) -> (StatusCode, &'static str, &str, Option<&str>) {
        let (_, title, status) = self.kind.parts();
        (status, title, &self.detail, self.help.as_deref())
    }

    /// The same, and where it is.
    #[must_use]
    pub(super) fn at(self, place: impl Into<String>) -> Self {
        Self { place: Some(place.into()), ..self }
    }

    /// The same, and what to do about it.
    #[must_use]
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The same, and after how many seconds the request may be sent again.
    #[must_use]
    pub(super) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// That the host itself failed. Why, the log says, and not the answer: it may name places on this machine.
    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        Self::failed(&chain(error))
    }

    /// The same, for what is no error.
    pub(super) fn failed(why: &str) -> Self {
        log(&Told::Failed { why });
        Self::new(Kind::Internal, "the server failed at this request; its log says why")
    }
}

/// An error and its causes, in one text.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (name, title, status) = self.kind.parts();
        let said = self.clone();
        let body = ProblemBody {
            kind: format!("about:blank#{name}"),
            title,
            status: status.as_u16(),
            detail: self.detail,
            place: self.place,
            help: self.help,
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // Who counts the answers asks for its kind; and a page says it in another form.
        let extensions = (axum::Extension(self.kind), axum::Extension(said));
        (status, headers, extensions.0, extensions.1, serde_json::to_vec(&body).unwrap_or_default())
            .into_response()
    }
}
