//! The server itself: whether it is well, which agents it serves, and the description of its API.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::agents::Served;
use super::super::metrics::{OPEN_METRICS, Seen};
use super::super::problem::{Kind, Problem, Refused};
use super::super::tokens::Scope;
use super::begin::no_agent;
use super::body::Path;
use super::{Caller, State};

/// The agents that are served.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Agents {
    /// By name.
    agents: Vec<Agent>,
    /// What is wrong with what was read again the last time, host.toml included, and is as it was before. Whose token is
    /// one of some agents is not told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    troubles: Vec<String>,
}

/// An agent that is served.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Agent {
    /// Its name.
    name: String,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// The members of a plain body of which the first that is there is the prompt.
    #[schema(value_type = Vec<String>)]
    prompt_members: Vec<String>,
    /// The parameters that a run of it takes, by name.
    #[schema(value_type = Object)]
    parameters: Value,
    /// The tools that its model may call.
    tools: Vec<Tool>,
    /// What is wrong with its agent.toml as it is now, if it is not the one that is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

/// A tool of an agent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tool {
    /// Its name.
    name: String,
    /// What it does.
    description: String,
}

impl Agent {
    fn of(served: &Served) -> Self {
        let config = served.agent().config();
        let parameters = config.parameters.iter().map(|(name, parameter)| {
            let shown =
                serde_json::json!({ "description": parameter.description, "default": parameter.default });
            (name.clone(), shown)
        });
        let tools = served.agent().tools().iter().filter(|tool| !tool.hidden);
        let tools = tools
            .map(|tool| Tool { name: tool.spec.name.clone(), description: tool.spec.description.clone() });
        Self {
            name: config.agent.name.clone(),
            description: config.agent.description.clone(),
            prompt_members: config.serve.prompt_members().into_iter().map(str::to_owned).collect(),
            parameters: Value::Object(parameters.collect()),
            tools: tools.collect(),
            trouble: served.trouble.clone(),
        }
    }
}

/// List the agents that are served.
#[utoipa::path(
    get, path = "/agents", tag = "agents", security(("token" = ["read"])),
    responses(
        (status = 200, description = "The agents", body = Agents),
        Refused,
    )
)]
pub(super) async fn agents(
    axum::extract::State(server): State,
    caller: Caller,
) -> Result<axum::Json<Agents>, Problem> {
    caller.may(Scope::Read)?;
    let all = server.agents.all();
    let covered = all.iter().filter(|it| caller.0.covers(it.name()));
    let troubles = if caller.0.agents.is_none() { server.reloading.troubles() } else { Vec::new() };
    Ok(axum::Json(Agents { agents: covered.map(Agent::of).collect(), troubles }))
}

/// Show an agent.
#[utoipa::path(
    get, path = "/agents/{agent}", tag = "agents", security(("token" = ["read"])),
    params(("agent" = String, Path, description = "The agent's name")),
    responses(
        (status = 200, description = "The agent", body = Agent),
        Refused,
    )
)]
pub(super) async fn agent(
    axum::extract::State(server): State,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<axum::Json<Agent>, Problem> {
    caller.may_of(Scope::Read, &name)?;
    let found = server.agents.all().into_iter().find(|it| it.name() == name);
    found.map(|it| axum::Json(Agent::of(&it))).ok_or_else(|| no_agent(&server, &caller, &name))
}

/// Read every agent again, the certificate, and host.toml. What breaks stays as it was, and so does what cannot change
/// while the server serves. Runs go on with the agent that they began with.
#[utoipa::path(
    post, path = "/agents/reload", tag = "agents", security(("token" = ["admin"])),
    responses(
        (status = 200, description = "The agents as they are served now", body = Agents),
        Refused,
    )
)]
pub(super) async fn reload(
    axum::extract::State(server): State,
    caller: Caller,
) -> Result<axum::Json<Agents>, Problem> {
    caller.may_of_all(Scope::Admin)?;
    let troubles = server.reload().await;
    Ok(axum::Json(Agents { agents: server.agents.all().iter().map(Agent::of).collect(), troubles }))
}

/// What the server counts and measures, in the text form of Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "server", security(("token" = ["read"])),
    responses(
        (status = 200, description = "The metrics", body = String, content_type = "application/openmetrics-text"),
        Refused,
    )
)]
pub(super) async fn metrics(
    axum::extract::State(server): State,
    caller: Caller,
) -> Result<Response, Problem> {
    caller.may_of_all(Scope::Read)?;
    let seen = Seen {
        runs: server.scheduler.counts(),
        clients: server.limits.counts(),
        records: server.scheduler.records_nothing().is_none(),
        webhooks: server.webhooks.pending(),
        engine: server.engine.clone(),
    };
    let text = server.metrics.text(seen).map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}

/// That the process lives.
pub(super) async fn healthy() -> &'static str {
    "ok\n"
}

/// Whether runs are taken.
pub(super) async fn ready(axum::extract::State(server): State) -> Result<&'static str, Problem> {
    if server.scheduler.drains() {
        return Err(Problem::new(Kind::Unavailable, "the server is asked to end, and takes no more runs"));
    }
    // Why, whoever has no token need not know.
    if server.scheduler.records_nothing().is_some() {
        return Err(Problem::new(Kind::Unavailable, "runs cannot be recorded at present"));
    }
    Ok("ready\n")
}

pub(super) fn described(description: String) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    (StatusCode::OK, headers, description).into_response()
}
