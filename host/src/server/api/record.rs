//! Everything that is recorded of a run: as a file that can be carried anywhere, and as JSON.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::bound::Taken;
use super::super::problem::{Problem, Refused};
use super::super::tokens::Scope;
use super::body::{JSON_LINES, Path};
use super::runs::found;
use super::{Caller, State};
use crate::engine::{Engine, RunEvent};
use crate::journal::{Entry, JournalError, RunFile, RunSummary};
use crate::message::RunId;

/// So much of a large answer is handed over at once.
const PIECE_BYTES: usize = 64 << 10;

/// Everything that is recorded of a run.
#[derive(Serialize, ToSchema)]
pub(super) struct Detail {
    /// Whose it is, and how it stands.
    #[schema(value_type = Object)]
    summary: RunSummary,
    /// What happened, in the order of slots, each as the events of a run are.
    #[schema(value_type = Vec<Object>)]
    events: Vec<RunEvent>,
}

/// Show everything that is recorded of a run.
#[utoipa::path(
    get, path = "/runs/{run}/detail", tag = "runs", security(("token" = ["read"])),
    params(("run" = String, Path, description = "The run's id, the beginning of it, or `last`")),
    responses(
        (status = 200, description = "What is recorded", body = Detail),
        Refused,
    )
)]
pub(super) async fn detail(
    axum::extract::State(server): State,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let (id, _) = found(&server, &caller, Scope::Read, &name).await?;
    let turn = server.limits.read().await?;
    let written = server.engine.blocking(move |engine| {
        let (summary, entries) = recorded(engine, id)?;
        let events = entries.into_iter().map(RunEvent::from).collect();
        Ok::<_, JournalError>(serde_json::to_vec(&Detail { summary, events }))
    });
    let bytes = written.await?.map_err(|error| Problem::internal(&error))?;
    Ok(whole(bytes, turn, HeaderValue::from_static("application/json")))
}

/// Export a run: a file that `host replay`, `host runs show` and `host journal import` read on any machine.
#[utoipa::path(
    get, path = "/runs/{run}/record", tag = "runs", security(("token" = ["read"])),
    params(("run" = String, Path, description = "The run's id, the beginning of it, or `last`")),
    responses(
        (status = 200, description = "The file", body = String, content_type = "application/jsonl"),
        Refused,
    )
)]
pub(super) async fn file(
    axum::extract::State(server): State,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let (id, run) = found(&server, &caller, Scope::Read, &name).await?;
    let turn = server.limits.read().await?;
    let written = server.engine.blocking(move |engine| {
        let (mut summary, entries) = recorded(engine, id)?;
        // What is lined up stands otherwise than what is recorded of it says.
        summary.state = run.state;
        let mut bytes = Vec::new();
        let written = RunFile::new(&summary, entries).write(&mut bytes);
        Ok::<_, JournalError>(written.map(|()| bytes))
    });
    let bytes = written.await?.map_err(|error| Problem::internal(&error))?;
    let name = HeaderValue::from_str(&format!("attachment; filename=\"{id}.jsonl\""));
    let mut response = whole(bytes, turn, HeaderValue::from_static(JSON_LINES));
    response.headers_mut().extend(name.ok().map(|name| (header::CONTENT_DISPOSITION, name)));
    Ok(response)
}

/// An answer that is large. It keeps its turn until the client has read it: so long it takes memory.
fn whole(bytes: Vec<u8>, turn: Taken, kind: HeaderValue) -> Response {
    let length = HeaderValue::from(bytes.len());
    let pieces = stream::unfold((Bytes::from(bytes), turn), async |(mut bytes, turn)| {
        let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
        (!piece.is_empty()).then_some((Ok::<_, Infallible>(piece), (bytes, turn)))
    });
    let mut response = Body::from_stream(pieces).into_response();
    response.headers_mut().extend([(header::CONTENT_TYPE, kind), (header::CONTENT_LENGTH, length)]);
    response
}

fn recorded(engine: &Engine, id: RunId) -> Result<(RunSummary, Vec<Entry>), JournalError> {
    let runs = engine.runs();
    let summary = runs.summary(id)?.ok_or(JournalError::NotBegun { run: id })?;
    Ok((summary, runs.read(id)?))
}
