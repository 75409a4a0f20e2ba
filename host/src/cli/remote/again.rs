//! What a server has recorded, gone through again: a fork, and the calls of a tool.

use serde::{Deserialize, Serialize};

use super::super::exit::Exit;
use super::super::rerun::{self, Made, Which};
use super::super::screen::Screen;
use super::super::signals::Signals;
use super::client::Remote;
use super::follow::Follow;
use super::shown::Run;
use crate::engine::{Difference, Edit};
use crate::message::{Json, Reply, RunId, Slot};

/// A fork, as the server takes it.
#[derive(Serialize)]
struct Fork {
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edit: Option<EditBody>,
}

#[derive(Serialize)]
struct EditBody {
    slot: Slot,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<Box<Reply>>,
}

impl EditBody {
    fn of(edit: Edit) -> Self {
        match edit {
            Edit::Output(slot, output) => Self { slot, output: Some(output), reply: None },
            Edit::Reply(slot, reply) => Self { slot, output: None, reply: Some(reply) },
        }
    }
}

/// Which calls are made again, as the server takes it.
#[derive(Serialize)]
struct Rerun {
    tool: String,
    /// One of the server's components, by its name there.
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    allow_effects: bool,
}

/// What the calls came to.
#[derive(Deserialize)]
struct Report {
    run: RunId,
    agent: String,
    same: usize,
    different: Vec<Difference>,
}

/// Begins a fork of a run of the server, and follows it.
pub(in super::super) async fn fork(
    remote: &Remote,
    run: &str,
    turn: Option<u32>,
    prompt: Option<String>,
    edit: Option<Edit>,
    screen: &Screen,
    signals: &Signals,
) -> anyhow::Result<Exit> {
    let fork = Fork { turn, prompt, edit: edit.map(EditBody::of) };
    let Run { run, .. } = remote.post(&["runs", run, "fork"], &fork).await?;
    Follow::recorded(remote, run, screen).await?.on(signals).await
}

/// Has the server make the calls of a tool in one of its runs again, and prints what differs.
pub(in super::super) async fn rerun(
    remote: &Remote,
    run: &str,
    Which { tool, component }: Which,
    allow_effects: bool,
    json: bool,
) -> anyhow::Result<Exit> {
    let component = component.map(|name| name.to_string_lossy().into_owned());
    let rerun = Rerun { tool, component, allow_effects };
    let Report { run, agent, same, different } = remote.post(&["runs", run, "rerun"], &rerun).await?;
    rerun::report(run, Made { agent, same, different }, json)
}
