//! A run that was recorded elsewhere, put here: `POST /runs/import`.

use std::path::Path;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::super::problem::{Kind, Problem, Refused};
use super::super::shown::Run;
use super::super::tokens::Scope;
use super::again::not_served;
use super::begin::placed;
use super::body::Lines;
use super::runs::run_of;
use super::{Caller, State};
use crate::journal::{JournalError, RunFile, RunState, RunSummary, statuses};
use crate::message::Moment;

/// How far the clock of the machine may be ahead on which a run began: a run that begins in years would be the last one
/// until then.
const AHEAD_MAX: Duration = Duration::from_hours(24);

/// Import a run that was exported elsewhere, by `GET /runs/{run}/record` or `host journal export`. Its agent has to be
/// served here. One that has not ended is there to be resumed.
#[utoipa::path(
    post, path = "/runs/import", tag = "runs", security(("token" = ["admin"])),
    request_body(content = String, content_type = "application/jsonl", description = "The file"),
    responses(
        (status = 201, description = "The run is here", body = Run),
        Refused,
    )
)]
pub(super) async fn import(
    axum::extract::State(server): State,
    caller: Caller,
    Lines(bytes, room): Lines,
) -> Result<Response, Problem> {
    caller.may(Scope::Admin)?;
    let _turn = server.limits.read().await?;
    let read = server.engine.blocking(move |_| {
        let file = read(&bytes);
        drop(room);
        file
    });
    let file = read.await?;
    let (id, agent) = (file.summary.run, &file.summary.agent);
    caller.may_of(Scope::Admin, agent)?;
    if server.agents.get(agent).is_none() {
        return Err(not_served(agent));
    }
    // Of two that come at once, one finds that the run is here.
    let one_at_a_time = server.importing.lock().await;
    let runtime = tokio::runtime::Handle::current();
    server.engine.blocking(move |engine| runtime.block_on(engine.runs().import(&file))).await?;
    drop(one_at_a_time);
    let run = run_of(&server, id).await?;
    Ok(placed(id, (StatusCode::CREATED, axum::Json(run)).into_response()))
}

/// The run in a file whose every line fits what stands above it, and whose head says of it what its events say.
fn read(bytes: &[u8]) -> Result<RunFile, Problem> {
    let place = "body";
    let unfit = |detail: String| Problem::new(Kind::Unfit, detail).at(place);
    let RunFile { summary: said, entries } =
        RunFile::from_bytes(bytes, Path::new("the file")).map_err(|error| match error {
            JournalError::Corrupt { place: line, reason } => {
                Problem::new(Kind::Malformed, format!("{line}: {reason}")).at(place)
            }
            other => unfit(other.to_string().lines().next().unwrap_or_default().to_owned()),
        })?;
    let found = RunSummary::of(said.run, &entries);
    let found = found.ok_or_else(|| unfit("nothing of the run is recorded in the file".to_owned()))?;
    statuses(entries.iter().cloned()).map_err(|(slot, error)| unfit(format!("{slot}: {error}")))?;
    let fits = found.agent == said.agent
        && found.session == said.session
        && found.state.has_ended() == said.state.has_ended();
    if !fits {
        return Err(unfit("the first line says otherwise of the run than what stands below it".to_owned()));
    }
    if Moment(found.started_ms).since(Moment::now()) > AHEAD_MAX {
        return Err(unfit("the run begins in the future".to_owned()));
    }
    let state = match said.state {
        // Nobody works on it here.
        RunState::Running => RunState::Interrupted,
        RunState::Queued | RunState::Interrupted | RunState::Suspended | RunState::Failed => said.state,
        RunState::Answered
        | RunState::Refused
        | RunState::Limited
        | RunState::Unfit
        | RunState::Empty
        | RunState::Cancelled => found.state,
    };
    Ok(RunFile { summary: RunSummary { state, ..found }, entries })
}
