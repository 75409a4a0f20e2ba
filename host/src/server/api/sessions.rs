//! Sessions: the runs of a conversation.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::problem::{Kind, Problem, ProblemBody};
use super::super::shown::Run;
use super::super::tokens::Scope;
use super::body::Path;
use super::{Caller, State};
use crate::engine::Engine;
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

/// List sessions.
#[utoipa::path(
    get, path = "/sessions", tag = "sessions", security(("token" = ["read"])),
    responses(
        (status = 200, description = "The sessions", body = Sessions),
        (status = "4XX", description = "The request is wrong", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    axum::extract::State(server): State,
    caller: Caller,
) -> Result<axum::Json<Sessions>, Problem> {
    caller.may(Scope::Read)?;
    if caller.0.agents.is_some() {
        let help = "GET /runs?session=KEY lists the runs of one";
        return Err(
            Problem::new(Kind::Forbidden, "sessions are of all agents, and the token is of some").help(help)
        );
    }
    let sessions = server.engine.blocking(|engine| engine.sessions().keys()).await?;
    Ok(axum::Json(Sessions { sessions }))
}

/// Show a session.
#[utoipa::path(
    get, path = "/sessions/{session}", tag = "sessions", security(("token" = ["read"])),
    params(("session" = String, Path, description = "The session's key")),
    responses(
        (status = 200, description = "The session", body = Session),
        (status = "4XX", description = "There is no such session", body = ProblemBody, content_type = "application/problem+json"),
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
    let of = key.clone();
    let listed = move |engine: &Engine| {
        let ids = engine.sessions().runs(&of)?;
        ids.into_iter().map(|id| engine.runs().summary(id)).collect::<Result<Vec<_>, JournalError>>()
    };
    let runs = server.engine.blocking(listed).await?;
    let runs: Vec<Run> = runs.into_iter().flatten().map(Run::listed).collect();
    let Some(first) = runs.first() else {
        return Err(Problem::new(Kind::Missing, format!("there is no session {key}")).at("path"));
    };
    caller.may_of(Scope::Read, &first.agent)?;
    Ok(axum::Json(Session { session: key, runs }))
}
