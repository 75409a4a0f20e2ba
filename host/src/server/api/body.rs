//! What comes with a request: read within bounds, and wrong in words that say where.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, header, request::Parts};
use http_body_util::BodyExt as _;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::super::Server;
use super::super::bound::Taken;
use super::super::limits::no_room;
use super::super::problem::{Kind, Problem, chain};
use super::super::settings::Settings;

/// What the record of a run is: a line of JSON for each event.
pub(super) const JSON_LINES: &str = "application/jsonl";

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

/// What is an object, and not a list of the values of its members, which serde takes as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Only<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Only<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        from.deserialize_map(Only(PhantomData))
    }
}

/// A list of objects.
pub(super) fn objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let objects = Vec::<Object<T>>::deserialize(from)?;
    Ok(objects.into_iter().map(|Object(it)| it).collect())
}

/// An object that may be left out.
pub(super) fn maybe_object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(from)?.map(|Object(it)| it))
}

/// The members of an object, each of which is there once.
pub(super) struct Members(pub(super) BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.contains_key(&name) {
                        return Err(A::Error::custom(format_args!("the member `{name}` is there twice")));
                    }
                    members.insert(name, value);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Each)
    }
}

/// The bytes of a body that is lines of JSON, as the record of a run is. They take room as long as they are there.
pub(super) struct Lines(pub(super) Vec<u8>, pub(super) Taken);

/// The bytes of a body, whatever it is said to be. They take room as long as they are there.
pub(super) struct Raw(pub(super) Vec<u8>, pub(super) Taken);

impl FromRequest<Arc<Server>> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, server: &Arc<Server>) -> Result<Self, Problem> {
        let (bytes, room) = read(request, server).await?;
        Ok(Self(bytes, room))
    }
}

/// A query.
pub(super) struct Query<T>(pub(super) T);

/// The parts of a path.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Server>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, server: &Arc<Server>) -> Result<Self, Problem> {
        let is_json = |kind: &str| kind == "application/json" || kind.ends_with("+json");
        let is_said = said(request.headers()).is_some_and(|kind| is_json(&kind));
        let (mut bytes, _room) = read(request, server).await?;
        if bytes.is_empty() {
            // One that is left out is an empty object.
            bytes = b"{}".to_vec();
        } else if !is_said {
            // A form of a web page could send anything else.
            let help = "send the header `Content-Type: application/json`";
            return Err(Problem::new(Kind::NotJson, "the body is not said to be JSON")
                .at("header Content-Type")
                .help(help));
        }
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut json);
        let value = value.map(|Object(value)| value);
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

impl FromRequest<Arc<Server>> for Lines {
    type Rejection = Problem;

    async fn from_request(request: Request, server: &Arc<Server>) -> Result<Self, Problem> {
        if said(request.headers()).as_deref() != Some(JSON_LINES) {
            let help =
                format!("send the header `Content-Type: {JSON_LINES}`, and the record as it was exported");
            return Err(Problem::new(Kind::NotJson, "the body is not said to be lines of JSON")
                .at("header Content-Type")
                .help(help));
        }
        let (bytes, room) = read(request, server).await?;
        Ok(Self(bytes, room))
    }
}

/// What the body of a request is said to be.
fn said(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// The bytes of a body, and the room that they take.
async fn read(request: Request, server: &Server) -> Result<(Vec<u8>, Taken), Problem> {
    let settings = server.settings();
    let reading = tokio::time::timeout(settings.body_time, pieces(request, server, &settings));
    let Ok(read) = reading.await else {
        let detail =
            format!("the body did not come within {}", humantime::format_duration(settings.body_time));
        return Err(Problem::new(Kind::TooSlow, detail).at("body"));
    };
    read
}

async fn pieces(request: Request, server: &Server, settings: &Settings) -> Result<(Vec<u8>, Taken), Problem> {
    let max = settings.body_bytes_max;
    let (mut body, mut bytes, mut room) = (request.into_body(), Vec::new(), server.limits.body());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Problem::new(Kind::Malformed, format!("the body did not come whole: {}", chain(&error)))
                .at("body")
        })?;
        let Ok(piece) = frame.into_data() else { continue };
        if (bytes.len() + piece.len()) as u64 > max {
            let help = "send less, or raise `body` under [server.limits] in host.toml";
            return Err(Problem::new(Kind::TooLarge, format!("the body has more than {max} bytes"))
                .at("body")
                .help(help));
        }
        if !room.grow(piece.len()) {
            return Err(no_room());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok((bytes, room))
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
