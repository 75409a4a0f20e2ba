//! What comes with a request: read within bounds, and wrong in words that say where.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{header, request::Parts};
use serde::de::DeserializeOwned;

use super::super::Server;
use super::super::problem::{Kind, Problem};

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

/// A query.
pub(super) struct Query<T>(pub(super) T);

/// The parts of a path.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Server>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, server: &Arc<Server>) -> Result<Self, Problem> {
        let bytes = read(request, server).await?;
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut json);
        let value = value.map_err(|error| {
            let place = error.path().to_string();
            let problem = Problem::new(Kind::Malformed, format!("the body does not fit: {}", error.inner()));
            if place == "." { problem.at("body") } else { problem.at(format!("body: {place}")) }
        })?;
        json.end().map_err(|error| {
            Problem::new(Kind::Malformed, format!("the body does not fit: {error}")).at("body")
        })?;
        Ok(Self(value))
    }
}

/// The bytes of a JSON body. One that is left out is an empty object.
async fn read(request: Request, server: &Server) -> Result<Vec<u8>, Problem> {
    let settings = &server.settings;
    let kind =
        request.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default().to_owned());
    let max = settings.body_bytes_max;
    let read = to_bytes(request.into_body(), usize::try_from(max).unwrap_or(usize::MAX));
    let Ok(read) = tokio::time::timeout(settings.body_time, read).await else {
        let detail =
            format!("the body did not come within {}", humantime::format_duration(settings.body_time));
        return Err(Problem::new(Kind::TooSlow, detail).at("body"));
    };
    let bytes = read.map_err(|error| {
        let chain = super::super::problem::chain(&error);
        if chain.contains("length limit") {
            let help = "send less, or raise `body` under [server.limits] in host.toml";
            return Problem::new(Kind::TooLarge, format!("the body has more than {max} bytes"))
                .at("body")
                .help(help);
        }
        Problem::new(Kind::Malformed, format!("the body did not come whole: {chain}")).at("body")
    })?;
    let is_json = |kind: &str| {
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        essence == "application/json" || essence.ends_with("+json")
    };
    match kind {
        _ if bytes.is_empty() => Ok(b"{}".to_vec()),
        Some(kind) if is_json(&kind) => Ok(bytes.into()),
        // A form of a web page could send anything else.
        Some(_) | None => {
            let help = "send the header `Content-Type: application/json`";
            Err(Problem::new(Kind::NotJson, "the body is not said to be JSON")
                .at("header Content-Type")
                .help(help))
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        let axum::extract::Query(value) = query.map_err(|error| {
            let said = error.body_text();
            let said = said.strip_prefix("Failed to deserialize query string: ").unwrap_or(&said);
            Problem::new(Kind::Malformed, format!("the query does not fit: {said}")).at("query")
        })?;
        Ok(Self(value))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        let axum::extract::Path(value) = path.map_err(|error| {
            Problem::new(Kind::Malformed, format!("the path does not fit: {}", error.body_text())).at("path")
        })?;
        Ok(Self(value))
    }
}
