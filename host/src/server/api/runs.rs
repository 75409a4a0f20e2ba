//! Runs as they stand: a list of them, one of them, and what waits for a person.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::Server;
use super::super::problem::{Kind, Problem, Refused};
use super::super::shown::Run;
use super::super::tokens::{Grant, Scope};
use super::body::{Path, Query};
use super::{Caller, State};
use crate::engine::{self, Page, Standing};
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

impl Runs {
    /// A page as somebody may see it. What cannot be read is nobody's of whom it is not known: whoever may see the runs
    /// of some agents is not told of it.
    fn of<T>(page: Page<T>, caller: &Caller, shown: impl Fn(T) -> Run) -> Self {
        let Page { items, next, unreadable } = page;
        let unreadable = if caller.0.agents.is_none() { unreadable } else { Vec::new() };
        let damaged =
            |(run, error): (Option<RunId>, JournalError)| Unreadable { run, why: error.to_string() };
        let unreadable = unreadable.into_iter().map(damaged).collect();
        Self { runs: items.into_iter().map(shown).collect(), next, unreadable }
    }
}

/// List runs, newest first.
#[utoipa::path(
    get, path = "/runs", tag = "runs", security(("token" = ["read"])), params(Which),
    responses(
        (status = 200, description = "The runs", body = Runs),
        Refused,
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
    Ok(axum::Json(Runs::of(page, &caller, Run::listed)))
}

/// List what waits for a person or a moment, over all agents, newest first.
#[utoipa::path(
    get, path = "/waiting", tag = "decisions", security(("token" = ["read"])), params(Which),
    responses(
        (status = 200, description = "The runs that wait, each with what it waits for", body = Runs),
        Refused,
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
    Ok(axum::Json(Runs::of(page, &caller, Run::waiting)))
}

/// Show a run as it stands.
#[utoipa::path(
    get, path = "/runs/{run}", tag = "runs", security(("token" = ["read"])),
    params(("run" = String, Path, description = "The run's id, the beginning of it, or `last`")),
    responses(
        (status = 200, description = "The run", body = Run),
        Refused,
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
        Refused,
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

/// The run of a name, if whoever asks may do this to it. Of a run of another agent it is not said that there is one.
pub(super) async fn found(
    server: &Arc<Server>,
    caller: &Caller,
    scope: Scope,
    name: &str,
) -> Result<(RunId, Run), Problem> {
    caller.may(scope)?;
    let (grant, of) = (caller.0.clone(), name.to_owned());
    let recorded = server.engine.blocking(move |engine| {
        let Some(summary) = summary(engine.runs(), &grant, &of)? else { return Ok(None) };
        let entries = engine.runs().read(summary.run)?;
        Ok::<_, JournalError>(Some((summary, entries)))
    });
    let (summary, entries) = recorded.await?.ok_or_else(|| unknown(name))?;
    Ok((summary.run, standing(server, summary, entries)?))
}

/// How the run of a name stands, among the runs that somebody may see.
pub(in super::super) fn summary(
    runs: &dyn journal::Runs,
    grant: &Grant,
    name: &str,
) -> Result<Option<RunSummary>, JournalError> {
    let is_seen = |summary: &RunSummary| grant.covers(&summary.agent);
    if let Ok(id) = name.parse::<RunId>() {
        let found = match runs.summary(id) {
            // Whose it is that cannot be read, nobody knows.
            Err(_) if grant.agents.is_some() => None,
            found => found?,
        };
        return Ok(found.filter(is_seen));
    }
    if grant.agents.is_none() {
        return runs.summary(runs.find(name)?);
    }
    let seen: Vec<RunSummary> = runs.list()?.runs.into_iter().filter(is_seen).collect();
    let ids: Vec<RunId> = seen.iter().map(|summary| summary.run).collect();
    let id = journal::find(&ids, name, &runs.place())?;
    Ok(seen.into_iter().find(|summary| summary.run == id))
}

pub(in super::super) fn unknown(name: &str) -> Problem {
    Problem::new(Kind::Missing, format!("there is no run {name}")).at("path")
}

/// A run as it stands.
pub(super) async fn run_of(server: &Arc<Server>, id: RunId) -> Result<Run, Problem> {
    let recorded = server.engine.blocking(move |engine| {
        let runs = engine.runs();
        let Some(summary) = runs.summary(id)? else { return Ok(None) };
        Ok::<_, JournalError>(Some((summary, runs.read(id)?)))
    });
    let (summary, entries) = recorded.await?.ok_or_else(|| unknown(&id.to_string()))?;
    standing(server, summary, entries)
}

/// A run as it stands by what is recorded, and by what this server does with it.
fn standing(server: &Server, summary: RunSummary, entries: Vec<Entry>) -> Result<Run, Problem> {
    let id = summary.run;
    let mut run = shown(summary, entries)?;
    if run.state.has_ended() {
        return Ok(run);
    }
    match server.scheduler.stands(id) {
        Some(state) => (run.state, run.waiting) = (state, Vec::new()),
        None => run.reason = run.reason.or_else(|| server.scheduler.why_not(id)),
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
