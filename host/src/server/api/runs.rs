//! Runs as they stand: a list of them, one of them, and what waits for a person.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::Server;
use super::super::problem::{Kind, Problem, ProblemBody};
use super::super::shown::Run;
use super::super::tokens::Scope;
use super::body::{Path, Query};
use super::{Caller, State};
use crate::engine::{self, Engine, Page, Standing};
use crate::journal::{self, Entry, JournalError, RunState, RunSummary};
use crate::message::{Moment, RunId};

/// How many runs a page has if nobody says.
const LIMIT: usize = 50;
/// A page of more is slow to make and to read.
const LIMIT_MAX: usize = 1000;

/// Which runs are listed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Which {
    /// Runs of the agent with this name.
    agent: Option<String>,
    /// Runs in this state.
    #[param(value_type = Option<String>)]
    state: Option<RunState>,
    /// Runs of the session with this key.
    session: Option<String>,
    /// Runs whose prompt contains this.
    text: Option<String>,
    /// Runs that began at this moment or later (RFC 3339).
    since: Option<String>,
    /// Runs that began before this moment (RFC 3339).
    until: Option<String>,
    /// Runs that began before this run: `next` of the page before.
    before: Option<String>,
    /// How many, from 1 to 1000; 50 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// A page of runs, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[allow(clippy::struct_field_names, reason = "it is JSON, of which readers see the names of members alone")]
pub(super) struct Runs {
    /// The runs.
    runs: Vec<Run>,
    /// What `before` is for the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    next: Option<RunId>,
    /// What cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<Unreadable>,
}

/// A run of which it cannot be said how it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Unreadable {
    /// The run, if it is known whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    run: Option<RunId>,
    /// Why.
    why: String,
}

impl Which {
    fn query(self, caller: &Caller) -> Result<engine::Query, Problem> {
        let Self { agent, state, session, text, since, until, before, limit } = self;
        let agents = caller.0.agents.clone();
        let limit = limit.unwrap_or(LIMIT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(
                Problem::new(Kind::Unfit, format!("a page has 1 to {LIMIT_MAX} runs")).at("query: limit")
            );
        }
        let session = session.map(|key| key.parse()).transpose();
        let session = session.map_err(|error: crate::message::SessionKeyError| {
            Problem::new(Kind::Malformed, error.to_string()).at("query: session")
        })?;
        let before = before.map(|run| run.parse()).transpose();
        let before = before.map_err(|error: crate::message::RunIdParseError| {
            Problem::new(Kind::Malformed, error.to_string()).at("query: before")
        })?;
        let moment = |text: Option<String>, place: &str| {
            let moment = text.map(|text| Moment::parse(&text).map(|moment| moment.0)).transpose();
            moment.map_err(|error| Problem::new(Kind::Malformed, error.to_string()).at(place))
        };
        let (since_ms, until_ms) = (moment(since, "query: since")?, moment(until, "query: until")?);
        Ok(engine::Query {
            agent,
            agents,
            state,
            session,
            text,
            since_ms,
            until_ms,
            before,
            limit: Some(limit),
        })
    }
}

fn unreadable(unreadable: Vec<(Option<RunId>, JournalError)>) -> Vec<Unreadable> {
    let shown = |(run, error): (Option<RunId>, JournalError)| Unreadable { run, why: error.to_string() };
    unreadable.into_iter().map(shown).collect()
}

/// List runs, newest first.
#[utoipa::path(
    get, path = "/runs", tag = "runs", security(("token" = ["read"])), params(Which),
    responses(
        (status = 200, description = "The runs", body = Runs),
        (status = "4XX", description = "The request is wrong", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    axum::extract::State(server): State,
    caller: Caller,
    Query(which): Query<Which>,
) -> Result<axum::Json<Runs>, Problem> {
    caller.may(Scope::Read)?;
    let query = which.query(&caller)?;
    let page = server.engine.list(&query).await?;
    let Page { items, next, unreadable: damaged } = page;
    Ok(axum::Json(Runs {
        runs: items.into_iter().map(Run::listed).collect(),
        next,
        unreadable: unreadable(damaged),
    }))
}

/// List what waits for a person or a moment, over all agents, newest first.
#[utoipa::path(
    get, path = "/waiting", tag = "decisions", security(("token" = ["read"])), params(Which),
    responses(
        (status = 200, description = "The runs that wait, each with what it waits for", body = Runs),
        (status = "4XX", description = "The request is wrong", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn waiting(
    axum::extract::State(server): State,
    caller: Caller,
    Query(which): Query<Which>,
) -> Result<axum::Json<Runs>, Problem> {
    caller.may(Scope::Read)?;
    let query = which.query(&caller)?;
    let page = server.engine.waiting(&query).await?;
    let Page { items, next, unreadable: damaged } = page;
    Ok(axum::Json(Runs {
        runs: items.into_iter().map(Run::waiting).collect(),
        next,
        unreadable: unreadable(damaged),
    }))
}

/// Show a run as it stands.
#[utoipa::path(
    get, path = "/runs/{run}", tag = "runs", security(("token" = ["read"])),
    params(("run" = String, Path, description = "The run's id, the beginning of it, or `last`")),
    responses(
        (status = 200, description = "The run", body = Run),
        (status = "4XX", description = "There is no such run", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    axum::extract::State(server): State,
    caller: Caller,
    Path(run): Path<String>,
) -> Result<axum::Json<Run>, Problem> {
    let (_, run) = found(&server, &caller, Scope::Read, &run).await?;
    Ok(axum::Json(run))
}

/// Remove a run that has ended, with all that is recorded of it.
#[utoipa::path(
    delete, path = "/runs/{run}", tag = "runs", security(("token" = ["admin"])),
    params(("run" = String, Path, description = "The run's id")),
    responses(
        (status = 204, description = "The run is removed"),
        (status = "4XX", description = "There is no such run, or it has not ended", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn remove(
    axum::extract::State(server): State,
    caller: Caller,
    Path(run): Path<String>,
) -> Result<axum::http::StatusCode, Problem> {
    let (id, run) = found(&server, &caller, Scope::Admin, &run).await?;
    if !run.state.has_ended() {
        let help = "cancel it first";
        return Err(Problem::new(Kind::Conflict, format!("run {id} has not ended")).help(help));
    }
    server.engine.blocking(move |engine| engine.runs().remove(id)).await?;
    Ok(axum::http::StatusCode::NO_CONTENT)
}

/// The run of a name, if whoever asks may do this to it.
pub(super) async fn found(
    server: &Arc<Server>,
    caller: &Caller,
    scope: Scope,
    name: &str,
) -> Result<(RunId, Run), Problem> {
    caller.may(scope)?;
    let id = if let Ok(id) = name.parse::<RunId>() {
        id
    } else {
        let name = name.to_owned();
        server.engine.blocking(move |engine| engine.runs().find(&name)).await?
    };
    let run = run_of(server, id).await?;
    caller.may_of(scope, &run.agent)?;
    Ok((id, run))
}

/// A run as it stands.
pub(super) async fn run_of(server: &Arc<Server>, id: RunId) -> Result<Run, Problem> {
    let read = move |engine: &Engine| {
        let runs = engine.runs();
        let unknown = || JournalError::UnknownRun { name: id.to_string(), path: runs.place() };
        let summary = runs.summary(id)?.ok_or_else(unknown)?;
        Ok::<_, JournalError>((summary, runs.read(id)?))
    };
    let (summary, entries) = server.engine.blocking(read).await?;
    let mut run = shown(summary, entries)?;
    if let Some(state) = server.scheduler.stands(id).filter(|_| !run.state.has_ended()) {
        (run.state, run.waiting) = (state, Vec::new());
    }
    Ok(run)
}

fn shown(summary: RunSummary, entries: Vec<Entry>) -> Result<Run, Problem> {
    let mut run = Run::listed(summary);
    if let Some(manifest) = journal::manifest(&entries) {
        run = run.of_manifest(manifest);
    }
    if let Some(ending) = journal::ending(&entries) {
        return Ok(run.ended(ending, journal::used(&entries).copied()));
    }
    let Standing { waiting, reason, .. } = engine::standing(run.state, entries)?;
    run.reason = reason;
    Ok(run.waits_for(&waiting))
}
