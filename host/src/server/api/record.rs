//! Everything that is recorded of a run: as a file that can be carried anywhere, and as JSON.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::problem::{Problem, ProblemBody};
use super::super::tokens::Scope;
use super::body::Path;
use super::runs::found;
use super::{Caller, State};
use crate::engine::{Engine, RunEvent};
use crate::journal::{Entry, JournalError, RunFile, RunSummary};
use crate::message::RunId;

/// What a run's file is: a line of JSON for each event.
const JSON_LINES: HeaderValue = HeaderValue::from_static("application/jsonl");

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
        (status = "4XX", description = "There is no such run", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn detail(
    axum::extract::State(server): State,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<axum::Json<Detail>, Problem> {
    let (id, _) = found(&server, &caller, Scope::Read, &name).await?;
    let (summary, entries) = server.engine.blocking(move |engine| recorded(engine, id)).await?;
    Ok(axum::Json(Detail { summary, events: entries.into_iter().map(RunEvent::from).collect() }))
}

/// Export a run: a file that `host replay`, `host runs show` and `host journal import` read on any machine.
#[utoipa::path(
    get, path = "/runs/{run}/record", tag = "runs", security(("token" = ["read"])),
    params(("run" = String, Path, description = "The run's id, the beginning of it, or `last`")),
    responses(
        (status = 200, description = "The file", body = String, content_type = "application/jsonl"),
        (status = "4XX", description = "There is no such run", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn file(
    axum::extract::State(server): State,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let (id, run) = found(&server, &caller, Scope::Read, &name).await?;
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
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON_LINES);
    headers.extend(name.ok().map(|name| (header::CONTENT_DISPOSITION, name)));
    Ok(response)
}

fn recorded(engine: &Engine, id: RunId) -> Result<(RunSummary, Vec<Entry>), JournalError> {
    let runs = engine.runs();
    let summary = runs.summary(id)?.ok_or(JournalError::NotBegun { run: id })?;
    Ok((summary, runs.read(id)?))
}
