//! What happens to a run, as Server-Sent Events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::Server;
use super::super::bound::Taken;
use super::super::problem::{Kind, Problem, Refused};
use super::super::tokens::Scope;
use super::body::{Path, Query};
use super::runs::found;
use super::{Caller, State};
use crate::engine::{EventKind, RunEvent};
use crate::journal::{JournalError, Seq};
use crate::message::RunId;

/// How often something is sent where nothing happens: what stands between the two does not take the connection for dead.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// Where the events begin.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct After {
    /// The number of the last event that is known; 0 by default. The header `Last-Event-ID` says the same.
    after: Option<u64>,
}

/// Follow a run from any of its events on, until it has ended. Events that are recorded have numbers, as ids.
#[utoipa::path(
    get, path = "/runs/{run}/events", tag = "runs", security(("token" = ["read"])),
    params(
        ("run" = String, Path, description = "The run's id"),
        After,
        ("last-event-id" = Option<u64>, Header, description = "The number of the last event that is known"),
    ),
    responses(
        (status = 200, description = "The events", content_type = "text/event-stream", body = String),
        Refused,
    )
)]
pub(super) async fn events(
    axum::extract::State(server): State,
    caller: Caller,
    Path(run): Path<String>,
    Query(After { after }): Query<After>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (id, _) = found(&server, &caller, Scope::Read, &run).await?;
    let place = server.limits.wait()?;
    let last = match headers.get("last-event-id") {
        None => None,
        Some(last) => {
            let number = last.to_str().ok().and_then(|last| last.parse::<u64>().ok());
            let unfit = || {
                Problem::new(Kind::Malformed, "this is not the number of an event").at("header Last-Event-ID")
            };
            Some(number.ok_or_else(unfit)?)
        }
    };
    Ok(stream(&server, &caller, id, Seq(last.or(after).unwrap_or_default()), Some(place)))
}

/// The events of a run after one of them. Whoever follows it has a place among those who wait, as long as they do, and is
/// told nothing any more once their token does not count.
pub(super) fn stream(
    server: &Arc<Server>,
    caller: &Caller,
    run: RunId,
    after: Seq,
    place: Option<Taken>,
) -> Response {
    let token = caller.1.clone();
    let events = server.engine.attach(run, after).map(move |event| {
        let _place = &place;
        Ok::<_, Infallible>(sent(event))
    });
    let events = events.take_while(move |_| std::future::ready(token.strong_count() > 0));
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)).into_response()
}

fn sent(event: Result<RunEvent, JournalError>) -> Event {
    match event {
        Ok(event) => {
            let sent = Event::default().event(name(&event.kind));
            let sent = event.seq.map_or(sent.clone(), |seq| sent.id(seq.to_string()));
            // One line: JSON has no line breaks of its own.
            sent.data(serde_json::to_string(&event).unwrap_or_default())
        }
        // A run that is removed while somebody follows it, for instance.
        Err(error) => Event::default().event("error").data(Problem::from(error).detail()),
    }
}

fn name(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Started(_) => "started",
        EventKind::Failed(_) => "failed",
        EventKind::Finished(_) => "finished",
        EventKind::LiveStarted { .. } => "live_started",
        EventKind::LiveText { .. } => "live_text",
        EventKind::LiveMissed { .. } => "live_missed",
        EventKind::Stands(_) => "stands",
    }
}
