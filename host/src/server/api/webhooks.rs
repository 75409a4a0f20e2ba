//! Webhooks as they stand: what is pending, what failed, and another try.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::problem::{Kind as ProblemKind, Problem, Refused};
use super::super::tokens::Scope;
use super::super::webhooks::{Kind, Standing};
use super::body::Path;
use super::{Caller, State};
use crate::message::{Moment, RunId};

/// The webhooks that are configured.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Webhooks {
    /// By name.
    webhooks: Vec<Webhook>,
}

/// A webhook.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Webhook {
    /// Its name.
    name: String,
    /// Scheme, host and port of its URL. The rest may be a secret.
    url: String,
    /// What it is told.
    events: Vec<Kind>,
    /// The agents of whose runs it is told; of all of them if this is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    agents: Option<Vec<String>>,
    /// Deliveries that have not arrived yet.
    pending: usize,
    /// Since when the oldest of them has not (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<String>,
    /// Whether it answered 410, and is told nothing any more.
    disabled: bool,
    /// Until when nothing is sent, because it has too much to do (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    paused_until: Option<String>,
    /// How many deliveries arrived since the server began.
    delivered: u64,
    /// The last attempt that failed since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<Failure>,
}

/// An attempt that failed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookFailure)]
pub(super) struct Failure {
    /// When (RFC 3339).
    at: String,
    /// The run that it was about.
    #[schema(value_type = String)]
    run: RunId,
    /// What it was to tell.
    event: Kind,
    /// Which attempt of its delivery it was, from 1.
    attempt: u32,
    /// The status of the answer, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// Why it failed.
    why: String,
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookTest)]
pub(super) struct Tested {
    /// Whether it arrived.
    delivered: bool,
    /// The status of the answer, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// Why it did not arrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Webhook {
    fn of(standing: &Standing) -> Self {
        let Standing { webhook, seen, pending, oldest, disabled } = standing;
        let paused = seen.paused_until.filter(|until| *until > Moment::now());
        let last_failure = seen.failure.as_ref().map(|failure| Failure {
            at: failure.at.to_the_millisecond(),
            run: failure.run,
            event: failure.kind,
            attempt: failure.attempts,
            status: failure.status,
            why: failure.why.clone(),
        });
        Self {
            name: webhook.name.clone(),
            url: webhook.origin(),
            events: webhook.kinds.clone(),
            agents: webhook.agents.clone(),
            pending: *pending,
            oldest: oldest.map(Moment::to_the_millisecond),
            disabled: *disabled,
            paused_until: paused.map(Moment::to_the_millisecond),
            delivered: seen.delivered,
            last_failure,
        }
    }
}

fn unknown(name: &str) -> Problem {
    Problem::new(ProblemKind::Missing, format!("there is no webhook {name}"))
        .at("path")
        .help("GET /webhooks lists them")
}

/// List the webhooks, and what is due to them.
#[utoipa::path(
    get, path = "/webhooks", tag = "webhooks", security(("token" = ["admin"])),
    responses(
        (status = 200, description = "The webhooks", body = Webhooks),
        Refused,
    )
)]
pub(super) async fn list(
    axum::extract::State(server): State,
    caller: Caller,
) -> Result<axum::Json<Webhooks>, Problem> {
    caller.may_of_all(Scope::Admin)?;
    let webhooks = server.webhooks.all().iter().map(Webhook::of).collect();
    Ok(axum::Json(Webhooks { webhooks }))
}

/// Send a webhook a delivery of the type `webhook.test`, once, and wait for what comes of it.
#[utoipa::path(
    post, path = "/webhooks/{webhook}/test", tag = "webhooks", security(("token" = ["admin"])),
    params(("webhook" = String, Path, description = "The webhook's name")),
    responses(
        (status = 200, description = "What came of it", body = Tested),
        Refused,
    )
)]
pub(super) async fn test(
    axum::extract::State(server): State,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<axum::Json<Tested>, Problem> {
    caller.may_of_all(Scope::Admin)?;
    let tested = server.webhooks.test(&name).await.ok_or_else(|| unknown(&name))?;
    Ok(axum::Json(match tested {
        Ok(status) => Tested { delivered: true, status: Some(status), why: None },
        Err((why, status)) => Tested { delivered: false, status, why: Some(why) },
    }))
}

/// Send a webhook at once what is due to it, and from now on what happens if it was disabled.
#[utoipa::path(
    post, path = "/webhooks/{webhook}/retry", tag = "webhooks", security(("token" = ["admin"])),
    params(("webhook" = String, Path, description = "The webhook's name")),
    responses(
        (status = 200, description = "The webhook", body = Webhook),
        Refused,
    )
)]
pub(super) async fn retry(
    axum::extract::State(server): State,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<axum::Json<Webhook>, Problem> {
    caller.may_of_all(Scope::Admin)?;
    let standing = server.webhooks.retry(&name).ok_or_else(|| unknown(&name))?;
    Ok(axum::Json(Webhook::of(&standing)))
}
