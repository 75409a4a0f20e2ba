//! What a person says to a run of a server, and how it goes on or ends.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::super::exit::{Exit, Misuse};
use super::super::say;
use super::super::screen::Screen;
use super::super::signals::Signals;
use super::super::words::{call, decided};
use super::client::Remote;
use super::follow::Follow;
use super::shown::{Run, Waits, Want};
use crate::journal::RunState;
use crate::message::{Decision, Json, RunId, Slot, ToolAsk};
use crate::session::Settlement;

/// The word on a call, as the server takes it.
#[derive(Serialize)]
struct Approve<'a> {
    slot: &'a Slot,
    input: Option<&'a Json>,
    always: bool,
}

/// How a run goes on, as the server takes it.
#[derive(Serialize)]
struct Resume {
    accept_changes: bool,
    settlements: Vec<Settle>,
}

/// What becomes of a call in doubt, as the server takes it.
#[derive(Serialize)]
struct Settle {
    slot: Slot,
    how: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Json>,
}

impl Settle {
    fn of((slot, settlement): (Slot, Settlement)) -> Self {
        let (how, result) = match settlement {
            Settlement::Retry => ("retry", None),
            Settlement::Failed => ("failed", None),
            Settlement::Result(json) => ("result", Some(json)),
        };
        Self { slot, how, result }
    }
}

/// Allows calls.
pub(in super::super) async fn approve(
    remote: &Remote,
    run: &str,
    slots: &[Slot],
    input: Option<Json>,
    always: bool,
) -> anyhow::Result<Exit> {
    let (run, calls) = chosen(remote, run, slots, Want::Approval).await?;
    for (slot, ask) in &calls {
        let word = Approve { slot, input: input.as_ref(), always };
        send(remote, run, "approve", &word).await?;
        said(slot, ask, &decided(&Decision::Approved { input: input.clone() }).1);
    }
    goes_on(remote, run);
    Ok(Exit::Ok)
}

/// Forbids calls.
pub(in super::super) async fn deny(
    remote: &Remote,
    run: &str,
    slots: &[Slot],
    reason: Option<String>,
) -> anyhow::Result<Exit> {
    let (run, calls) = chosen(remote, run, slots, Want::Approval).await?;
    for (slot, ask) in &calls {
        send(remote, run, "deny", &json!({ "slot": slot, "reason": reason })).await?;
        said(slot, ask, &decided(&Decision::Denied { reason: reason.clone() }).1);
    }
    goes_on(remote, run);
    Ok(Exit::Ok)
}

/// Answers questions.
pub(in super::super) async fn answer(
    remote: &Remote,
    run: &str,
    slots: &[Slot],
    text: &str,
) -> anyhow::Result<Exit> {
    let (run, calls) = chosen(remote, run, slots, Want::Answer).await?;
    for (slot, ask) in &calls {
        send(remote, run, "answer", &json!({ "slot": slot, "text": text })).await?;
        said(slot, ask, "answered");
    }
    goes_on(remote, run);
    Ok(Exit::Ok)
}

/// Ends a run for good.
pub(in super::super) async fn cancel(
    remote: &Remote,
    run: &str,
    reason: Option<String>,
) -> anyhow::Result<Exit> {
    let Run { run, .. } = remote.post(&["runs", run, "cancel"], &json!({ "reason": reason })).await?;
    say(format_args!("cancelled run {run}"));
    Ok(Exit::Ok)
}

/// Has a run go on that stopped, and follows it. One that goes on is only followed.
pub(in super::super) async fn resume(
    remote: &Remote,
    run: &str,
    settlements: Vec<(Slot, Settlement)>,
    accept_changes: bool,
    screen: &Screen,
    signals: &Signals,
) -> anyhow::Result<Exit> {
    let Run { run, state, .. } = remote.get(&["runs", run], &[]).await?;
    let follow = Follow::recorded(remote, run, screen).await?;
    let stands_still = match state {
        RunState::Suspended | RunState::Interrupted | RunState::Failed => true,
        RunState::Queued
        | RunState::Running
        | RunState::Answered
        | RunState::Refused
        | RunState::Limited
        | RunState::Unfit
        | RunState::Empty
        | RunState::Cancelled => !settlements.is_empty(),
    };
    if stands_still {
        let settlements = settlements.into_iter().map(Settle::of).collect();
        let body = Resume { accept_changes, settlements };
        send(remote, run, "resume", &body).await?;
    }
    follow.on(signals).await
}

async fn send(remote: &Remote, run: RunId, what: &str, body: &impl Serialize) -> anyhow::Result<()> {
    let _: Run = remote.post(&["runs", &run.to_string(), what], body).await?;
    Ok(())
}

/// The calls of a run that are meant; each has to wait.
async fn chosen(
    remote: &Remote,
    name: &str,
    slots: &[Slot],
    want: Want,
) -> anyhow::Result<(RunId, BTreeMap<Slot, ToolAsk>)> {
    let Run { run, waiting, .. } = remote.get(&["runs", name], &[]).await?;
    let waiting = waiting.iter().filter(|it| it.wants == want);
    let mut waiting: BTreeMap<Slot, ToolAsk> =
        waiting.map(|it: &Waits| (it.slot.clone(), it.ask())).collect();
    let missing = match want {
        Want::Approval => "nothing in this run waits for approval",
        Want::Answer | Want::Settlement | Want::Moment => "nothing in this run waits for an answer",
    };
    let listed: Vec<String> = waiting.iter().map(|(slot, ask)| format!("\n  {slot} {}", call(ask))).collect();
    let listed = listed.concat();
    if waiting.is_empty() {
        return Err(Misuse(missing.to_owned()).into());
    }
    let meant: Vec<Slot> = slots.iter().map(|slot| slot.approved().unwrap_or_else(|| slot.clone())).collect();
    if meant.is_empty() && waiting.len() > 1 {
        return Err(Misuse(format!("more than one call waits; name those you mean:{listed}")).into());
    }
    if let Some(slot) = meant.iter().find(|slot| !waiting.contains_key(slot)) {
        return Err(Misuse(format!("{slot} does not wait for this; there wait:{listed}")).into());
    }
    waiting.retain(|slot, _| meant.is_empty() || meant.contains(slot));
    Ok((run, waiting))
}

fn said(slot: &Slot, ask: &ToolAsk, word: &str) {
    say(format_args!("{slot} {}  {word}", call(ask)));
}

fn goes_on(remote: &Remote, run: RunId) {
    say(format_args!("it goes on in the server at {}; follow it with: host resume {run}", remote.url()));
}
