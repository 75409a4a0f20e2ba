//! Programs as agents: the runs that they carry out, and their starts.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::Server;
use super::super::problem::{Kind, Problem, Refused as RefusedByServer};
use super::super::programs::Program;
use super::super::shown::Run;
use super::super::tokens::Scope;
use super::begin::{no_agent, placed};
use super::body::{Body, Path};
use super::passing::sdk_error;
use super::runs::{found, run_of};
use super::{Caller, State};
use crate::engine::Unwatched;
use crate::gateway::{Refused, STARTED, answer};
use crate::message::{By, Ending, RunId};

/// A run that a program carries out.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewProgramRun {
    /// The agent, whose model is asked and whose tools are called.
    agent: String,
    /// The id that the run is to have, if it is to have a certain one: 26 letters and digits, as in every id of a run. A run
    /// that has it already is not begun again.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    run: Option<RunId>,
    /// What the run is for, for whoever looks at it.
    #[serde(default)]
    label: String,
}

/// Where a program finds its run.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProgramStart {
    /// The run.
    #[schema(value_type = String)]
    run: RunId,
    /// The number of this start of the program.
    start: u32,
    /// What the program sends where it would send the key of a provider. It opens this run and nothing else.
    token: String,
    /// The path below which the program's requests go.
    path: String,
}

/// How a run that a program carried out ended.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ProgramEnd {
    /// The answer; by default the last reply that asked for no call.
    answer: Option<String>,
}

/// Begin a run that a program carries out.
#[utoipa::path(
    post, path = "/runs", tag = "programs", security(("token" = ["run"])),
    request_body = NewProgramRun,
    responses((status = 202, description = "The run is recorded", body = Run), RefusedByServer)
)]
pub(super) async fn create(
    axum::extract::State(server): State,
    caller: Caller,
    Body(body): Body<NewProgramRun>,
) -> Result<Response, Problem> {
    let NewProgramRun { agent, run, label } = body;
    caller.may_of(Scope::Run, &agent)?;
    let loaded = server.agents.get(&agent).ok_or_else(|| no_agent(&server, &caller, &agent))?;
    if let Some(run) = run {
        let engine = server.engine.clone();
        let summary = engine.blocking(move |engine| engine.runs().summary(run)).await;
        match summary.map_err(crate::engine::StartError::from)? {
            Some(summary) if summary.outside && summary.agent == agent => {
                return Ok(accepted(run_of(&server, run).await?));
            }
            Some(_) => {
                let detail = format!("run {run} is another run");
                return Err(Problem::new(Kind::Conflict, detail).at("body: run").help("choose another id"));
            }
            None => {}
        }
    }
    let run = run.unwrap_or_else(RunId::new);
    if loaded.agent.config().gateway.is_none() {
        let detail = format!("the agent {agent} is not one that programs may use");
        return Err(Problem::new(Kind::Conflict, detail).help("add the table [gateway] to its agent.toml"));
    }
    server.programs.create(run, &loaded, label, Arc::new(Unwatched)).await?;
    Ok(accepted(run_of(&server, run).await?))
}

fn accepted(run: Run) -> Response {
    placed(run.run, (StatusCode::ACCEPTED, axum::Json(run)).into_response())
}

/// Begin another start of the program of a run. Its requests are counted anew, and those of earlier starts are refused.
#[utoipa::path(
    post, path = "/runs/{run}/starts", tag = "programs", security(("token" = ["run"])),
    params(("run" = String, Path, description = "The run")),
    responses((status = 200, description = "Where the program finds its run", body = ProgramStart), RefusedByServer)
)]
pub(super) async fn start(
    axum::extract::State(server): State,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<axum::Json<ProgramStart>, Problem> {
    let (run, _) = found(&server, &caller, Scope::Run, &name).await?;
    let program = opened(&server, &caller, run).await?;
    let by = By { name: caller.0.name.clone(), through: STARTED.to_owned() };
    let start = match program.desk.begin(by).await {
        Ok(start) => start,
        Err(crate::gateway::BeginError::Refused(Refused::Ended)) => 0,
        Err(error) => return Err(Problem::internal(&error)),
    };
    let path = format!("/runs/{run}/i/{start}");
    Ok(axum::Json(ProgramStart { run, start, token: server.programs.token(run), path }))
}

/// End a run that a program carried out.
#[utoipa::path(
    post, path = "/runs/{run}/end", tag = "programs", security(("token" = ["run"])),
    params(("run" = String, Path, description = "The run")),
    request_body = ProgramEnd,
    responses((status = 200, description = "The run has ended", body = Run), RefusedByServer)
)]
pub(super) async fn end(
    axum::extract::State(server): State,
    caller: Caller,
    Path(name): Path<String>,
    Body(body): Body<ProgramEnd>,
) -> Result<Response, Problem> {
    let (run, shown) = found(&server, &caller, Scope::Run, &name).await?;
    let program = opened(&server, &caller, run).await?;
    if shown.state.has_ended() {
        return Ok(axum::Json(shown).into_response());
    }
    let ending = if let Some(text) = body.answer {
        Ending::Answer(text)
    } else {
        let engine = server.engine.clone();
        let entries = engine.blocking(move |engine| engine.runs().read(run)).await;
        answer(&entries.map_err(crate::engine::StartError::from)?)
    };
    let stop = server.programs.stopped(run);
    program.desk.end(ending);
    stop.await;
    Ok(axum::Json(run_of(&server, run).await?).into_response())
}

pub(super) async fn opened(
    server: &Arc<Server>,
    caller: &Caller,
    run: RunId,
) -> Result<Arc<Program>, Problem> {
    caller.may(Scope::Run)?;
    server.programs.open(run, |agent| caller.0.covers(agent)).await
}

/// Lets a request of a program pass, which has its token where it has the key of a provider.
pub(super) async fn pass(axum::extract::State(server): State, mut request: Request, next: Next) -> Response {
    let run = request.uri().path().split('/').nth(2).and_then(|run| run.parse().ok());
    let Some(run) = run else {
        return sdk_error(StatusCode::NOT_FOUND, "not_found", "there is no such run", false);
    };
    match server.guard.pass_program(&request, server.programs.token_digest(run)) {
        Ok(passed) => {
            request.extensions_mut().insert(passed);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}
