//! The API: what can be asked for over HTTP, one function a request.
//!
//! Owns paths, bodies and answers, and the description of them all (`/openapi.json`). Decides nothing: it asks the
//! scheduler and the engine, and shows what they say. Every answer that is no result is a [`Problem`].

pub(super) mod again;
#[cfg(feature = "mcp")]
mod agent_tools;
mod begin;
mod body;
mod decide;
mod errors;
mod follow;
mod import;
mod operation;
mod order;
mod passing;
#[cfg(feature = "mcp")]
mod program_tools;
mod programs;
mod record;
pub(super) mod runs;
pub(super) mod sessions;
mod webhooks;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};

use axum::Router;
use axum::extract::{FromRequestParts, Request};
use axum::http::{Method, Uri, request::Parts};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use futures::FutureExt as _;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::guard::{Passed, pass};
use super::problem::{Kind, Problem, ProblemBody};
use super::tokens::{Grant, Scope};
use super::webhooks::Payload;
use super::{Server, ui};

/// What a request asks of.
type State = axum::extract::State<Arc<Server>>;

/// Durable runs of agents whose tools are isolated components.
#[derive(OpenApi)]
#[openapi(info(title = "host"), components(schemas(ProblemBody, Payload)))]
struct Described;

/// What needs a token, and the description of it.
fn guarded() -> (Router<Arc<Server>>, utoipa::openapi::OpenApi) {
    let guarded = OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(begin::begin))
        .routes(routes!(begin::run))
        .routes(routes!(begin::run_in_session))
        .routes(routes!(runs::list, programs::create))
        .routes(routes!(programs::start))
        .routes(routes!(programs::end))
        .routes(routes!(runs::show, runs::remove))
        .routes(routes!(follow::events))
        .routes(routes!(runs::waiting))
        .routes(routes!(decide::approve))
        .routes(routes!(decide::deny))
        .routes(routes!(decide::answer))
        .routes(routes!(decide::settle))
        .routes(routes!(decide::resume))
        .routes(routes!(decide::cancel))
        .routes(routes!(again::fork))
        .routes(routes!(again::replay))
        .routes(routes!(again::rerun))
        .routes(routes!(record::file))
        .routes(routes!(record::detail))
        .routes(routes!(import::import))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::show))
        .routes(routes!(webhooks::list))
        .routes(routes!(webhooks::test))
        .routes(routes!(webhooks::retry))
        .routes(routes!(operation::agents))
        .routes(routes!(operation::agent))
        .routes(routes!(operation::reload))
        .routes(routes!(operation::metrics));
    let (guarded, mut described) = guarded.split_for_parts();
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    described.components.get_or_insert_default().add_security_scheme("token", bearer);
    (guarded, described)
}

/// The description of the API.
#[cfg(test)]
pub(super) fn described() -> utoipa::openapi::OpenApi {
    guarded().1
}

/// The API of a server.
pub(super) fn router(server: Arc<Server>) -> Router {
    let (guarded, described) = guarded();
    let description = serde_json::to_string_pretty(&described).unwrap_or_default();
    #[cfg(feature = "mcp")]
    let guarded = guarded
        .route(agent_tools::PATH, any(agent_tools::message))
        .layer(axum::Extension(agent_tools::service()));
    let guarded = guarded
        .route("/openapi.json", get(async move || operation::described(description.clone())))
        .route("/ui/key", post(ui::key))
        .fallback(missing)
        .method_not_allowed_fallback(no_method);
    // Whoever does something on a page was let in there.
    let pages = ui::router(ui::Site::of_server(&server, guarded.clone().with_state(Arc::clone(&server))));
    let guarded = guarded.layer(middleware::from_fn_with_state(Arc::clone(&server), pass));
    let programs = of_programs(&server);
    Router::new()
        .route("/healthz", get(operation::healthy))
        .route("/readyz", get(operation::ready))
        .merge(guarded)
        .merge(programs)
        .with_state(Arc::clone(&server))
        .merge(pages)
        .layer(middleware::from_fn_with_state(server, count))
}

/// What programs send to their providers and to their tools: they have their tokens in other places.
fn of_programs(server: &Arc<Server>) -> Router<Arc<Server>> {
    let mut router = Router::new();
    for path in passing::PATHS {
        router = router.route(path, any(passing::request));
    }
    #[cfg(feature = "mcp")]
    {
        for path in program_tools::PATHS {
            router = router.route(path, any(program_tools::message));
        }
        router = router.layer(axum::Extension(program_tools::service()));
    }
    router.layer(middleware::from_fn_with_state(Arc::clone(server), programs::pass))
}

/// Counts the answers. A request that panics has one, too: what was panicked about, the log says.
async fn count(server: State, request: Request, next: Next) -> Response {
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let response = answered.unwrap_or_else(|_| Problem::failed("the request panicked").into_response());
    server.metrics.answered(response.status().as_u16(), response.extensions().get::<Kind>().copied());
    response
}

async fn missing(uri: Uri) -> Problem {
    Problem::new(Kind::Missing, format!("there is nothing at {}", uri.path()))
        .help("GET /openapi.json describes what there is")
}

async fn no_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    Problem::new(Kind::Method, detail).help("GET /openapi.json describes what there is")
}

/// Whose request it is.
pub(super) struct Caller(pub(super) Grant, pub(super) Weak<Grant>);

impl Caller {
    /// An error unless they may do this.
    pub(super) fn may(&self, scope: Scope) -> Result<(), Problem> {
        if self.0.has(scope) {
            return Ok(());
        }
        let scope = serde_json::to_value(scope).unwrap_or_default();
        let detail = format!("the token of {} does not have the scope {scope}", self.0.name);
        Err(Problem::new(Kind::Forbidden, detail)
            .at("header Authorization")
            .help("add it to `scopes` of the token in host.toml"))
    }

    /// An error unless they may do this to every agent.
    fn may_of_all(&self, scope: Scope) -> Result<(), Problem> {
        self.may(scope)?;
        if self.0.agents.is_none() {
            return Ok(());
        }
        let detail =
            format!("the token of {} is one of some agents, and this is about all of them", self.0.name);
        Err(Problem::new(Kind::Forbidden, detail)
            .at("header Authorization")
            .help("use a token without `agents` in host.toml"))
    }

    /// An error unless they may do this to an agent and its runs.
    pub(super) fn may_of(&self, scope: Scope, agent: &str) -> Result<(), Problem> {
        self.may(scope)?;
        if self.0.covers(agent) {
            return Ok(());
        }
        let detail = format!("the token of {} is not one of the agent {agent}", self.0.name);
        Err(Problem::new(Kind::Forbidden, detail)
            .at("header Authorization")
            .help("add it to `agents` of the token in host.toml"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let passed = parts.extensions.get::<Passed>().cloned();
        passed
            .map(|Passed { grant, counts }| Self(grant, counts))
            .ok_or_else(|| Problem::new(Kind::Unauthenticated, "nobody is known to send this request"))
    }
}
