//! What is recorded, and is gone through again: a fork, a replay, the calls of a tool.

use std::fs::DirEntry;
use std::path::PathBuf;
use std::sync::Arc;

use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::Server;
use super::super::problem::{Kind, Problem, Refused};
use super::super::queue::Job;
use super::super::shown::Run;
use super::super::tokens::Scope;
use super::begin::answered;
use super::body::{Body, Path, maybe_object};
use super::decide::{json, slot_of};
use super::runs::{found, run_of};
use super::{Caller, State};
use crate::agent::RunError;
use crate::engine::{Difference, Edit, NewFork, Reran, Rerun, Unwatched};
use crate::message::{Json, Reply, RunId};
use crate::session::SessionError;

/// So many components are looked for.
const COMPONENTS_MAX: usize = 1_000;

/// What is to be other than in the recorded run.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Fork {
    /// The first turn that is carried out anew, from 0. With an edit it may be left out.
    turn: Option<u32>,
    /// What is said before that turn; at turn 0, what is asked instead.
    prompt: Option<String>,
    /// Another result from which the run goes on. The fork begins at the turn after it.
    #[serde(deserialize_with = "maybe_object")]
    edit: Option<EditBody>,
}

/// A result that takes the place of a recorded one: an output at a call, or a reply at a model request.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EditBody {
    /// Where, as in `tool(0,1)` or `model(0)`.
    slot: String,
    /// The output of a call.
    #[schema(value_type = Option<Value>)]
    output: Option<Json>,
    /// The reply of a model, as the record of a run has it.
    #[schema(value_type = Option<Object>)]
    reply: Option<Json>,
}

/// Which calls are made again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RerunBody {
    /// The tool, by the name that the model called, or by that of its table in agent.toml.
    tool: String,
    /// Another version of its component: the name of a file in the directory that `components` in host.toml names.
    component: Option<String>,
    /// Call it even if its calls can change something outside: they take effect once more.
    #[serde(default)]
    allow_effects: bool,
}

/// What a replay has shown.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Replayed {
    /// The run.
    #[schema(value_type = String)]
    run: RunId,
    /// Whether the run is the one that is recorded.
    ok: bool,
    /// The first place at which it is not, and in what.
    #[serde(skip_serializing_if = "Option::is_none")]
    divergence: Option<String>,
}

/// What the calls came to that were made again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RerunReport {
    /// The run.
    #[schema(value_type = String)]
    run: RunId,
    /// The agent's name.
    agent: String,
    /// How many calls came out as recorded.
    same: usize,
    /// The others: where, what was asked for, what is recorded, and what came out now.
    #[schema(value_type = Vec<Object>)]
    different: Vec<Difference>,
}

/// Begin a run that shares the beginning of a recorded one, which stays as it is. It is on disk when this is answered.
#[utoipa::path(
    post, path = "/runs/{run}/fork", tag = "runs", security(("token" = ["admin"])),
    params(("run" = String, Path, description = "The run's id")), request_body = Fork,
    responses(
        (status = 200, description = "The fork has ended", body = Run),
        (status = 202, description = "The fork is recorded, and has not ended", body = Run),
        Refused,
    )
)]
pub(super) async fn fork(
    axum::extract::State(server): State,
    caller: Caller,
    Path(name): Path<String>,
    Body(body): Body<Fork>,
) -> Result<Response, Problem> {
    let (origin, Run { agent, .. }) = found(&server, &caller, Scope::Admin, &name).await?;
    if server.agents.get(&agent).is_none() {
        return Err(not_served(&agent));
    }
    let fork = body.read()?;
    let turn = server.limits.read().await?;
    let entries = server.engine.blocking(move |engine| engine.runs().read(origin)).await?;
    let run = RunId::new();
    let job = Job { run, agent, session: None };
    let by = caller.0.by();
    // A client that goes away stops nothing: the fork is taken whole, or not at all.
    let scheduler = Arc::clone(&server.scheduler);
    let taking = tokio::spawn(async move { scheduler.take_fork(job, (origin, entries), fork, by).await });
    taking.await.map_err(|error| Problem::internal(&error))??;
    drop(turn);
    Ok(answered(run_of(&server, run).await?))
}

/// Go through a run that has ended again, and verify it: no tool is called, and no model is asked.
#[utoipa::path(
    post, path = "/runs/{run}/replay", tag = "runs", security(("token" = ["read"])),
    params(("run" = String, Path, description = "The run's id")),
    responses(
        (status = 200, description = "What the replay has shown", body = Replayed),
        Refused,
    )
)]
pub(super) async fn replay(
    axum::extract::State(server): State,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<axum::Json<Replayed>, Problem> {
    let (run, _) = ended(&server, &caller, Scope::Read, &name).await?;
    let _turn = server.limits.read().await?;
    let divergence = match server.engine.replay(run).await {
        Ok(_) => None,
        Err(RunError::Session(SessionError::Diverged(divergence))) => Some(divergence.to_string()),
        Err(error) => return Err(error.into()),
    };
    Ok(axum::Json(Replayed { run, ok: divergence.is_none(), divergence }))
}

/// Make the recorded calls of a tool again, with the inputs, the clock and the seed of then. Nothing is recorded.
#[utoipa::path(
    post, path = "/runs/{run}/rerun", tag = "runs", security(("token" = ["admin"])),
    params(("run" = String, Path, description = "The run's id")), request_body = RerunBody,
    responses(
        (status = 200, description = "What the calls came to", body = RerunReport),
        Refused,
    )
)]
pub(super) async fn rerun(
    axum::extract::State(server): State,
    caller: Caller,
    Path(name): Path<String>,
    Body(RerunBody { tool, component, allow_effects }): Body<RerunBody>,
) -> Result<axum::Json<RerunReport>, Problem> {
    let (run, Run { agent, .. }) = found(&server, &caller, Scope::Admin, &name).await?;
    // Which component is called is for the agent.toml that is served to say: a record may come from anywhere.
    let loaded = server.agents.get(&agent).ok_or_else(|| not_served(&agent))?;
    let _turn = server.limits.read().await?;
    let of = Arc::clone(&server);
    let read = server.engine.blocking(move |engine| {
        let component = component.map(|name| component_at(&of, &name)).transpose()?;
        Ok::<_, Problem>((component, engine.runs().read(run)?))
    });
    let (component, entries) = read.await?;
    let config = Some(loaded.agent.config().path.clone());
    let rerun = Rerun { tool: tool.clone(), component, allow_effects, config };
    let calls = server.engine.reruns(rerun, &Unwatched).again(run, entries).await?;
    let Some(Reran { agent, same, different }) = calls else {
        let detail = format!("no call of the tool {tool} is recorded in run {run}");
        return Err(Problem::new(Kind::Missing, detail).at("body: tool"));
    };
    Ok(axum::Json(RerunReport { run, agent, same, different }))
}

/// The components that recorded calls may be made again with, by the names of their files.
pub(in super::super) fn components(server: &Server) -> Vec<String> {
    let Some(directory) = &server.settings().components else { return Vec::new() };
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let is_component = |file: &DirEntry| file.path().extension().is_some_and(|end| end == "wasm");
    let names = files.filter(is_component).filter_map(|file| file.file_name().into_string().ok());
    let mut names: Vec<String> = names.take(COMPONENTS_MAX).collect();
    names.sort();
    names
}

/// Where the component of this name is. It is one of those that are there: no path leads elsewhere.
fn component_at(server: &Server, name: &str) -> Result<PathBuf, Problem> {
    let known = components(server);
    let directory = server.settings().components.clone().filter(|_| known.iter().any(|it| it == name));
    directory.map(|directory| directory.join(name)).ok_or_else(|| {
        let help = match known.as_slice() {
            [] => "name a directory of components in host.toml: `components` in [server]".to_owned(),
            known => format!("there are: {}", known.join(", ")),
        };
        Problem::new(Kind::Missing, format!("there is no component {name}")).at("body: component").help(help)
    })
}

/// That the agent of a run is not one of those that are served.
pub(super) fn not_served(agent: &str) -> Problem {
    let help = "serve it, or do this with a command on the machine of its agent.toml";
    Problem::new(Kind::Conflict, format!("the agent {agent} is not served here")).help(help)
}

/// A run that has ended.
async fn ended(
    server: &Arc<Server>,
    caller: &Caller,
    scope: Scope,
    name: &str,
) -> Result<(RunId, Run), Problem> {
    let (id, run) = found(server, caller, scope, name).await?;
    if run.state.has_ended() {
        return Ok((id, run));
    }
    let help = "what is recorded of it is verified when it goes on";
    Err(Problem::new(Kind::Conflict, format!("run {id} has not ended")).help(help))
}

impl Fork {
    fn read(self) -> Result<NewFork, Problem> {
        let Self { turn, prompt, edit } = self;
        let edit = edit.map(EditBody::read).transpose()?;
        if edit.is_some() && prompt.is_some() {
            let problem = Problem::new(Kind::Malformed, "both `prompt` and `edit` are given");
            return Err(problem.at("body: prompt").help("keep one of them"));
        }
        if edit.is_none() && turn.is_none() {
            let problem = Problem::new(Kind::Malformed, "it is not said where the fork begins");
            return Err(problem.at("body: turn").help("give a `turn`, or an `edit`"));
        }
        Ok(NewFork { turn, prompt, edit, ..NewFork::default() })
    }
}

impl EditBody {
    fn read(self) -> Result<Edit, Problem> {
        let Self { slot, output, reply } = self;
        let slot = slot_of(&slot)?;
        match (output, reply) {
            (Some(output), None) => Ok(Edit::Output(slot, json(&output, "body: edit.output")?)),
            (None, Some(reply)) => {
                let reply: Reply = serde_json::from_str(reply.as_str()).map_err(|error| {
                    Problem::new(Kind::Unfit, format!("this is no reply: {error}")).at("body: edit.reply")
                })?;
                Ok(Edit::Reply(slot, Box::new(reply)))
            }
            (Some(_), Some(_)) | (None, None) => {
                let problem = Problem::new(Kind::Malformed, "an edit has either an `output` or a `reply`");
                Err(problem.at("body: edit"))
            }
        }
    }
}
