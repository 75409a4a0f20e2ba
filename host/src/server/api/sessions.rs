//! Sessions: the runs of a conversation.

use std::collections::HashSet;

use serde::Serialize;
use utoipa::ToSchema;

use super::super::problem::{Kind, Problem, Refused};
use super::super::shown::Run;
use super::super::tokens::Scope;
use super::body::Path;
use super::{Caller, State};
use crate::journal::JournalError;
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
    let grant = caller.0.clone();
    let sessions = server.engine.blocking(move |engine| {
        let mut keys = engine.sessions().keys()?;
        if grant.agents.is_some() {
            let seen = engine.runs().list()?.runs.into_iter().filter(|run| grant.covers(&run.agent));
            let seen: HashSet<SessionKey> = seen.filter_map(|run| run.session).collect();
            keys.retain(|key| seen.contains(key));
        }
        Ok::<_, JournalError>(keys)
    });
    let sessions = sessions.await?;
    Ok(axum::Json(Sessions { sessions }))
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
    let (of, grant) = (key.clone(), caller.0);
    let runs = server.engine.blocking(move |engine| {
        let ids = engine.sessions().runs(&of)?;
        let mut seen = Vec::new();
        for id in ids {
            match engine.runs().summary(id) {
                // Whose it is that cannot be read, nobody knows.
                Err(_) if grant.agents.is_some() => {}
                summary => seen.extend(summary?.filter(|summary| grant.covers(&summary.agent))),
            }
        }
        Ok::<_, JournalError>(seen)
    });
    let runs: Vec<Run> = runs.await?.into_iter().map(Run::listed).collect();
    if runs.is_empty() {
        return Err(Problem::new(Kind::Missing, format!("there is no session {key}")).at("path"));
    }
    Ok(axum::Json(Session { session: key, runs }))
}
