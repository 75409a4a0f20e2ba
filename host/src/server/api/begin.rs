//! Runs that begin: `POST /agents/NAME/runs`, and the short forms `POST /NAME/run` and `POST /NAME/KEY/run`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::super::Server;
use super::super::keys::Lookup;
use super::super::problem::{Kind, Problem, Refused};
use super::super::queue::Job;
use super::super::scheduler::Stop;
use super::super::shown::Run;
use super::super::tokens::Scope;
use super::super::versions::Loaded;
use super::body::{Body, Members, Path, Query};
use super::follow::stream;
use super::order::{NewRunBody, duration, key};
use super::runs::run_of;
use super::{Caller, State};
use crate::engine::NewRun;
use crate::journal::{RunState, Seq};
use crate::message::{Order, OrderKey, RunId};

/// What a client accepts that wants to follow the run.
const EVENT_STREAM: &[u8] = b"text/event-stream";

/// How long to wait for a run.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wait {
    /// How long to wait for the run to stop, as in `30s`. The answer is 202 if it has not ended by then.
    wait: Option<String>,
}

/// Begin a run of an agent. It is on disk when this is answered.
#[utoipa::path(
    post, path = "/agents/{agent}/runs", tag = "runs", security(("token" = ["run"])),
    params(
        ("agent" = String, Path, description = "The agent's name"),
        Wait,
        ("idempotency-key" = Option<String>, Header, description = "The same key and body give the same run"),
    ),
    request_body = NewRunBody,
    responses(
        (status = 200, description = "The run has ended", body = Run),
        (status = 202, description = "The run is recorded, and has not ended", body = Run),
        Refused,
    )
)]
pub(super) async fn begin(
    axum::extract::State(server): State,
    caller: Caller,
    Path(agent): Path<String>,
    Query(wait): Query<Wait>,
    headers: HeaderMap,
    Body(body): Body<NewRunBody>,
) -> Result<Response, Problem> {
    let wait = wait.time(&server)?;
    order(&server, &caller, &agent, body, &headers, wait).await
}

/// Begin a run of an agent, and wait for its answer. Of the body, `message` or `prompt` is what to ask, unless the agent
/// names another member; what else is in it are parameters of the agent.
#[utoipa::path(
    post, path = "/{agent}/run", tag = "runs", security(("token" = ["run"])),
    params(("agent" = String, Path, description = "The agent's name"), Wait),
    request_body = Object,
    responses(
        (status = 200, description = "The run has ended", body = Run),
        (status = 202, description = "The run is recorded, and has not ended", body = Run),
        Refused,
    )
)]
pub(super) async fn run(
    axum::extract::State(server): State,
    caller: Caller,
    Path(agent): Path<String>,
    Query(wait): Query<Wait>,
    headers: HeaderMap,
    Body(Members(body)): Body<Members>,
) -> Result<Response, Problem> {
    plain(&server, &caller, &agent, None, body, &headers, &wait).await
}

/// Begin the next run of a session, and wait for its answer. Of the body, `message` or `prompt` is what to ask, unless the
/// agent names another member; what else is in it are parameters of the agent.
#[utoipa::path(
    post, path = "/{agent}/{session}/run", tag = "runs", security(("token" = ["run"])),
    params(
        ("agent" = String, Path, description = "The agent's name"),
        ("session" = String, Path, description = "The session's key"),
        Wait,
    ),
    request_body = Object,
    responses(
        (status = 200, description = "The run has ended", body = Run),
        (status = 202, description = "The run is recorded, and has not ended", body = Run),
        Refused,
    )
)]
pub(super) async fn run_in_session(
    axum::extract::State(server): State,
    caller: Caller,
    Path((agent, session)): Path<(String, String)>,
    Query(wait): Query<Wait>,
    headers: HeaderMap,
    Body(Members(body)): Body<Members>,
) -> Result<Response, Problem> {
    plain(&server, &caller, &agent, Some(session), body, &headers, &wait).await
}

async fn plain(
    server: &Arc<Server>,
    caller: &Caller,
    agent: &str,
    session: Option<String>,
    mut body: BTreeMap<String, Value>,
    headers: &HeaderMap,
    wait: &Wait,
) -> Result<Response, Problem> {
    caller.may_of(Scope::Run, agent)?;
    let loaded = server.agents.get(agent).ok_or_else(|| no_agent(server, caller, agent))?;
    let members = loaded.agent.config().serve.prompt_members();
    let asked = members.iter().find_map(|member| Some((*member, body.remove(*member)?)));
    let prompt = match asked {
        None => None,
        Some((_, Value::String(text))) => Some(text),
        Some((member, _)) => {
            let detail = format!("`{member}` has to be a text");
            return Err(Problem::new(Kind::Malformed, detail).at(format!("body: {member}")));
        }
    };
    let body = NewRunBody { prompt, parameters: body, session, ..NewRunBody::default() };
    let wait = if wait.wait.is_some() { wait.time(server)? } else { Some(server.settings().wait_max) };
    order(server, caller, agent, body, headers, wait).await
}

impl Wait {
    fn time(&self, server: &Server) -> Result<Option<Duration>, Problem> {
        let Some(text) = &self.wait else { return Ok(None) };
        let max = server.settings().wait_max;
        let time = duration(text, "query: wait")?;
        if time > max {
            let max = humantime::format_duration(max);
            let help = format!("wait for at most {max}, or raise `wait` under [server.limits] in host.toml");
            return Err(Problem::new(Kind::Unfit, "this is too long to wait").at("query: wait").help(help));
        }
        Ok(Some(time))
    }
}

/// Takes an order, and waits for its run as long as it is asked to.
async fn order(
    server: &Arc<Server>,
    caller: &Caller,
    agent: &str,
    body: NewRunBody,
    headers: &HeaderMap,
    wait: Option<Duration>,
) -> Result<Response, Problem> {
    caller.may_of(Scope::Run, agent)?;
    let loaded = server.agents.get(agent).ok_or_else(|| no_agent(server, caller, agent))?;
    let key = key(headers, caller, agent, &body)?;
    let due_ms = body.due_ms()?;
    let new = body.into_run(Arc::clone(&loaded.agent))?.ordered(Order { due_ms, key });
    let run = new.id();
    let streams =
        headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(EVENT_STREAM));
    let wait = wait.filter(|_| !streams);
    let place = if streams || wait.is_some() { Some(server.limits.wait()?) } else { None };
    // A client that goes away stops nothing: the run is taken whole, or not at all.
    let taking = tokio::spawn(take(Arc::clone(server), loaded, new, due_ms, key, wait));
    let (run, stop) = match taking.await {
        Ok(taken) => taken?,
        Err(error) => return Err(Problem::failed(&format!("run {run}: {error}"))),
    };
    if streams {
        return Ok(stream(server, caller, run, Seq(0), place));
    }
    let stopped = match (stop, wait) {
        (Some(mut stop), Some(wait)) => tokio::time::timeout(wait, stop.stopped()).await.ok().flatten(),
        (Some(_) | None, _) => None,
    };
    let shown = match stopped {
        Some(stopped) => Run::clone(&stopped),
        None => run_of(server, run).await?,
    };
    Ok(answered(shown))
}

/// Takes an order: its run is on disk when this returns. What an order came to that comes again is known.
async fn take(
    server: Arc<Server>,
    loaded: Loaded,
    new: NewRun,
    due_ms: Option<u64>,
    key: Option<OrderKey>,
    wait: Option<Duration>,
) -> Result<(RunId, Option<Stop>), Problem> {
    let run = new.id();
    let reserved = match key {
        None => None,
        Some(key) => match server.keys.look_up(key, run).await {
            Lookup::First(reserved) => Some(reserved),
            Lookup::Same(run) => return Ok((run, again(&server, run, wait).await?)),
            Lookup::Reused(run) => {
                let detail = format!("the key was used for run {run}, which was ordered otherwise");
                let help = "take a new key for a new order";
                return Err(Problem::new(Kind::KeyReused, detail).at("header Idempotency-Key").help(help));
            }
        },
    };
    let stop = wait.map(|_| server.scheduler.stop_of(run));
    let agent = loaded.agent.config().agent.name.clone();
    let job = Job { run, agent, session: new.session_key().cloned() };
    server.scheduler.take(job, new, &loaded, due_ms).await?;
    if let Some(reserved) = reserved {
        reserved.recorded();
    }
    Ok((run, stop))
}

/// How an order waits for its run that was given before: not at all, if that has stopped.
async fn again(server: &Arc<Server>, run: RunId, wait: Option<Duration>) -> Result<Option<Stop>, Problem> {
    if wait.is_none() {
        return Ok(None);
    }
    let stop = server.scheduler.stop_of(run);
    let goes_on = match run_of(server, run).await?.state {
        RunState::Queued | RunState::Running => true,
        RunState::Interrupted
        | RunState::Suspended
        | RunState::Failed
        | RunState::Answered
        | RunState::Refused
        | RunState::Limited
        | RunState::Unfit
        | RunState::Empty
        | RunState::Cancelled => false,
    };
    Ok(goes_on.then_some(stop))
}

/// The answer that a run is: 200 if it has ended, and 202 if it has not.
pub(super) fn answered(run: Run) -> Response {
    let status = if run.state.has_ended() { StatusCode::OK } else { StatusCode::ACCEPTED };
    placed(run.run, (status, axum::Json(run)).into_response())
}

/// An answer that says where its run is.
pub(super) fn placed(run: RunId, mut response: Response) -> Response {
    if let Ok(place) = HeaderValue::from_str(&format!("/runs/{run}")) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

pub(super) fn no_agent(server: &Server, caller: &Caller, name: &str) -> Problem {
    let names = server.agents.all().into_iter().map(|it| it.name().to_owned());
    let names: Vec<String> = names.filter(|name| caller.0.covers(name)).collect();
    Problem::new(Kind::Missing, format!("there is no agent {name}"))
        .at("path")
        .help(format!("there are: {}", names.join(", ")))
}
