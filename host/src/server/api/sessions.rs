//! Sessions: the runs of a conversation.

use std::collections::HashSet;

use serde::Serialize;
use utoipa::ToSchema;

use super::super::problem::{Kind, Problem, Refused};
use super::super::shown::Run;
use super::super::tokens::{Grant, Scope};
use super::body::Path;
use super::{Caller, State};
use crate::engine::Engine;
use crate::journal::{JournalError, RunSummary};
use crate::message::SessionKey;

/// The sessions that there are.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Sessions {
    /// Their keys.
    #[schema(value_type = Vec<String>)]
    sessions: Vec<SessionKey>,
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Session {
    /// Its key.
    #[schema(value_type = String)]
    session: SessionKey,
    /// Its runs that have begun, oldest first.
    runs: Vec<Run>,
}

/// List the sessions, of the agents that the token is good for.
#[utoipa::path(
    get, path = "/sessions", tag = "sessions", security(("token" = ["read"])),
    responses(
        (status = 200, description = "The sessions", body = Sessions),
        Refused,
    )
)]
pub(super) async fn list(
    axum::extract::State(server): State,
    caller: Caller,
) -> Result<axum::Json<Sessions>, Problem> {
    caller.may(Scope::Read)?;
    let sessions = keys(&server.engine, &caller.0).await?;
    Ok(axum::Json(Sessions { sessions }))
}

/// The sessions that somebody may see: all of them, or those that have a run of an agent of theirs.
pub(in super::super) async fn keys(engine: &Engine, grant: &Grant) -> Result<Vec<SessionKey>, JournalError> {
    let grant = grant.clone();
    let found = engine.blocking(move |engine| {
        let mut keys = engine.sessions().keys()?;
        if grant.agents.is_some() {
            let seen = engine.runs().list()?.runs.into_iter().filter(|run| grant.covers(&run.agent));
            let seen: HashSet<SessionKey> = seen.filter_map(|run| run.session).collect();
            keys.retain(|key| seen.contains(key));
        }
        Ok::<_, JournalError>(keys)
    });
    found.await
}

/// The runs of a session that somebody may see, oldest first; `None` if there is no session for them.
pub(in super::super) async fn runs(
    engine: &Engine,
    grant: &Grant,
    key: &SessionKey,
) -> Result<Option<Vec<RunSummary>>, JournalError> {
    let (of, grant) = (key.clone(), grant.clone());
    let found = engine.blocking(move |engine| {
        let mut seen = Vec::new();
        for id in engine.sessions().runs(&of)? {
            match engine.runs().summary(id) {
                // Whose it is that cannot be read, nobody knows.
                Err(_) if grant.agents.is_some() => {}
                summary => seen.extend(summary?.filter(|summary| grant.covers(&summary.agent))),
            }
        }
        // What was said stays when the runs are gone.
        let is_there = !seen.is_empty() || grant.agents.is_none() && engine.sessions().keys()?.contains(&of);
        Ok::<_, JournalError>(is_there.then_some(seen))
    });
    found.await
}

/// That a session is not there, or not for who asks.
pub(in super::super) fn unknown(key: &str) -> Problem {
    Problem::new(Kind::Missing, format!("there is no session {key}")).at("path")
}

/// Show a session.
#[utoipa::path(
    get, path = "/sessions/{session}", tag = "sessions", security(("token" = ["read"])),
    params(("session" = String, Path, description = "The session's key")),
    responses(
        (status = 200, description = "The session", body = Session),
        Refused,
    )
)]
pub(super) async fn show(
    axum::extract::State(server): State,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<axum::Json<Session>, Problem> {
    caller.may(Scope::Read)?;
    let key = key.parse::<SessionKey>();
    let key = key.map_err(|error| Problem::new(Kind::Malformed, error.to_string()).at("path"))?;
    let runs = runs(&server.engine, &caller.0, &key).await?.ok_or_else(|| unknown(key.as_str()))?;
    Ok(axum::Json(Session { session: key, runs: runs.into_iter().map(Run::listed).collect() }))
}
