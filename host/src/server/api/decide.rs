//! What a person says to a run: approvals, answers, settlements; and how it goes on, or ends.

use std::sync::Arc;

use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::Server;
use super::super::problem::{Kind, Problem, Refused};
use super::super::queue::Job;
use super::super::scheduler::Said;
use super::super::shown::Run;
use super::super::tokens::Scope;
use super::super::webhooks;
use super::begin::answered;
use super::body::{Body, Path, objects};
use super::runs::{found, run_of};
use super::{Caller, State};
use crate::engine::Word;
use crate::message::{Cancelled, Json, RunId, Slot};
use crate::session::Settlement;

/// That a call may be made.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Approve {
    /// The call, as in `tool(0,1)`; may be left out if only one waits.
    slot: Option<String>,
    /// Make the call with this input instead of its own.
    #[schema(value_type = Option<Object>)]
    input: Option<Json>,
    /// Make the very same call, of the same component with the same grants, unasked from now on.
    always: bool,
}

/// That a call must not be made.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Deny {
    /// The call, as in `tool(0,1)`; may be left out if only one waits.
    slot: Option<String>,
    /// Why, for the model to read.
    reason: Option<String>,
}

/// The answer to a question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    /// The question, as in `tool(0,1)`; may be left out if only one waits.
    slot: Option<String>,
    /// The answer.
    text: String,
}

/// What becomes of a call in the middle of which the host died.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settle {
    /// The call, as in `tool(0,1)`.
    slot: String,
    /// What becomes of it.
    how: How,
    /// Its output, if that is known: with `"how": "result"`.
    #[schema(value_type = Option<Value>)]
    result: Option<Json>,
}

impl Settle {
    fn read(self) -> Result<(Slot, Settlement), Problem> {
        let Self { slot, how, result } = self;
        let settlement = match (how, result) {
            (How::Retry, None) => Settlement::Retry,
            (How::Failed, None) => Settlement::Failed,
            (How::Result, Some(value)) => Settlement::Result(json(&value, "body: result")?),
            (How::Result, None) => {
                return Err(Problem::new(Kind::Malformed, "the result is missing").at("body: result"));
            }
            (How::Retry | How::Failed, Some(_)) => {
                let problem = Problem::new(Kind::Malformed, "there can be no result here");
                let help = "leave it out, or say `\"how\": \"result\"`";
                return Err(problem.at("body: result").help(help));
            }
        };
        Ok((slot_of(&slot)?, settlement))
    }
}

/// What becomes of a call in doubt.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    /// It is made again.
    Retry,
    /// It counts as failed.
    Failed,
    /// It came to `result`.
    Result,
}

/// On what terms a run goes on.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Resume {
    /// Go on although the agent has changed since: what is recorded is kept, the rest is carried out as things are now.
    accept_changes: bool,
    /// What becomes of calls in the middle of which the host died.
    #[serde(deserialize_with = "objects")]
    settlements: Vec<Settle>,
}

/// Why a run is cancelled.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Cancel {
    /// Why. It is recorded with the end of the run.
    reason: Option<String>,
}

/// Allow a call that a run waits to make. The run goes on.
#[utoipa::path(
    post, path = "/runs/{run}/approve", tag = "decisions", security(("token" = ["decide"])),
    params(("run" = String, Path, description = "The run's id")), request_body = Approve,
    responses(
        (status = 200, description = "The word is recorded, and the run has ended", body = Run),
        (status = 202, description = "The word is recorded, and the run goes on", body = Run),
        Refused,
    )
)]
pub(super) async fn approve(
    axum::extract::State(server): State,
    caller: Caller,
    Path(run): Path<String>,
    Body(Approve { slot, input, always }): Body<Approve>,
) -> Result<Response, Problem> {
    let input = input.map(|value| input_of(&value)).transpose()?;
    say(&server, &caller, &run, slot.as_deref(), false, Word::Approve { input, always }).await
}

/// Forbid a call that a run waits to make. The run goes on.
#[utoipa::path(
    post, path = "/runs/{run}/deny", tag = "decisions", security(("token" = ["decide"])),
    params(("run" = String, Path, description = "The run's id")), request_body = Deny,
    responses(
        (status = 200, description = "The word is recorded, and the run has ended", body = Run),
        (status = 202, description = "The word is recorded, and the run goes on", body = Run),
        Refused,
    )
)]
pub(super) async fn deny(
    axum::extract::State(server): State,
    caller: Caller,
    Path(run): Path<String>,
    Body(Deny { slot, reason }): Body<Deny>,
) -> Result<Response, Problem> {
    say(&server, &caller, &run, slot.as_deref(), false, Word::Deny { reason }).await
}

/// Answer a question that a run waits for. The run goes on.
#[utoipa::path(
    post, path = "/runs/{run}/answer", tag = "decisions", security(("token" = ["decide"])),
    params(("run" = String, Path, description = "The run's id")), request_body = Answer,
    responses(
        (status = 200, description = "The answer is recorded, and the run has ended", body = Run),
        (status = 202, description = "The answer is recorded, and the run goes on", body = Run),
        Refused,
    )
)]
pub(super) async fn answer(
    axum::extract::State(server): State,
    caller: Caller,
    Path(run): Path<String>,
    Body(Answer { slot, text }): Body<Answer>,
) -> Result<Response, Problem> {
    say(&server, &caller, &run, slot.as_deref(), true, Word::Answer(text)).await
}

/// Say what becomes of a call in the middle of which the host died. The run goes on.
#[utoipa::path(
    post, path = "/runs/{run}/settle", tag = "decisions", security(("token" = ["decide"])),
    params(("run" = String, Path, description = "The run's id")), request_body = Settle,
    responses(
        (status = 202, description = "The run goes on", body = Run),
        Refused,
    )
)]
pub(super) async fn settle(
    axum::extract::State(server): State,
    caller: Caller,
    Path(name): Path<String>,
    Body(settle): Body<Settle>,
) -> Result<Response, Problem> {
    let (id, run) = found(&server, &caller, Scope::Decide, &name).await?;
    let said = vec![settle.read()?];
    server.engine.check_settlements(id, &said).await?;
    go_on(&server, run, Said { settlements: said, accept_changes: false, by: Some(caller.0.by()) }).await
}

/// Have a run go on that stopped.
#[utoipa::path(
    post, path = "/runs/{run}/resume", tag = "runs", security(("token" = ["admin"])),
    params(("run" = String, Path, description = "The run's id")), request_body = Resume,
    responses(
        (status = 200, description = "The run has ended", body = Run),
        (status = 202, description = "The run goes on", body = Run),
        Refused,
    )
)]
pub(super) async fn resume(
    axum::extract::State(server): State,
    caller: Caller,
    Path(name): Path<String>,
    Body(Resume { accept_changes, settlements }): Body<Resume>,
) -> Result<Response, Problem> {
    let (id, run) = found(&server, &caller, Scope::Admin, &name).await?;
    let settlements = settlements.into_iter().map(Settle::read);
    let settlements = settlements.collect::<Result<Vec<(Slot, Settlement)>, Problem>>()?;
    if !settlements.is_empty() {
        server.engine.check_settlements(id, &settlements).await?;
    }
    if run.state.has_ended() {
        return Ok(answered(run));
    }
    go_on(&server, run, Said { settlements, accept_changes, by: Some(caller.0.by()) }).await
}

/// End a run where it stands, for good.
#[utoipa::path(
    post, path = "/runs/{run}/cancel", tag = "runs", security(("token" = ["admin"])),
    params(("run" = String, Path, description = "The run's id")), request_body = Cancel,
    responses(
        (status = 200, description = "The run is cancelled", body = Run),
        Refused,
    )
)]
pub(super) async fn cancel(
    axum::extract::State(server): State,
    caller: Caller,
    Path(name): Path<String>,
    Body(Cancel { reason }): Body<Cancel>,
) -> Result<Response, Problem> {
    let (id, Run { agent, .. }) = found(&server, &caller, Scope::Admin, &name).await?;
    let cancelled = Cancelled { by: Some(caller.0.by()), reason };
    // If nobody works on it, it ends here.
    let ends_here = server.webhooks.works(id).await;
    let said = server.engine.cancel(id, cancelled).await;
    match &said {
        Ok(()) => server.webhooks.stopped(id, &agent, webhooks::Kind::Ended, None).await,
        Err(_) if ends_here => server.webhooks.rests(id),
        Err(_) => {}
    }
    said?;
    server.scheduler.forget(id);
    Ok(answered(run_of(&server, id).await?))
}

/// Records a word of somebody's, and has the run go on.
async fn say(
    server: &Arc<Server>,
    caller: &Caller,
    name: &str,
    slot: Option<&str>,
    is_answer: bool,
    word: Word,
) -> Result<Response, Problem> {
    let (id, run) = found(server, caller, Scope::Decide, name).await?;
    let slot = match slot {
        Some(slot) => slot_of(slot)?,
        None => only_one(server, id, is_answer).await?,
    };
    server.engine.decide(id, vec![(slot, word)], Some(caller.0.by())).await?;
    go_on(server, run, Said { by: Some(caller.0.by()), ..Said::default() }).await
}

async fn go_on(server: &Arc<Server>, run: Run, said: Said) -> Result<Response, Problem> {
    let Run { run: id, agent, session, .. } = run;
    if server.programs.carries_out(id).await? {
        // A call that waits for the word goes on by itself; the rest goes on when the program asks.
        if !said.settlements.is_empty() {
            server.programs.settle(id, said.settlements).await?;
        }
        return Ok(answered(run_of(server, id).await?));
    }
    server.scheduler.go_on(Job { run: id, agent, session }, said);
    Ok(answered(run_of(server, id).await?))
}

/// The call that waits, if it is the only one.
async fn only_one(server: &Arc<Server>, run: RunId, is_question: bool) -> Result<Slot, Problem> {
    let pending = server.engine.pending(run).await?;
    let slots: Vec<&Slot> =
        pending.iter().filter(|(_, it)| it.is_question == is_question).map(|(slot, _)| slot).collect();
    match slots.as_slice() {
        [slot] => Ok((*slot).clone()),
        [] => {
            let what = if is_question { "an answer" } else { "approval" };
            Err(Problem::new(Kind::Conflict, format!("nothing in run {run} waits for {what}")))
        }
        [_, ..] => {
            let slots: Vec<String> = slots.iter().map(ToString::to_string).collect();
            let help = format!("name one of {}", slots.join(", "));
            Err(Problem::new(Kind::Malformed, "more than one call waits").at("body: slot").help(help))
        }
    }
}

pub(super) fn slot_of(text: &str) -> Result<Slot, Problem> {
    let slot = text.parse::<Slot>();
    let slot = slot.map_err(|error| Problem::new(Kind::Malformed, error.to_string()).at("body: slot"))?;
    Ok(slot.approved().unwrap_or(slot))
}

/// The input of a call that came with a body, in the form in which inputs are recorded.
fn input_of(input: &Json) -> Result<Json, Problem> {
    let json = Json::parse_canonical(input.as_str());
    json.map_err(|error| Problem::new(Kind::Unfit, error.to_string()).at("body: input"))
}

/// A value that came with a body, within the bounds that hold for values.
pub(super) fn json(value: &Json, place: &str) -> Result<Json, Problem> {
    let json = Json::parse(value.as_str().to_owned());
    json.map_err(|error| Problem::new(Kind::Unfit, error.to_string()).at(place))
}
