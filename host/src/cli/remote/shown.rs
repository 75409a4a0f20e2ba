//! What a server says of runs, as far as commands show it.

use serde::Deserialize;

use crate::journal::{RunState, RunSummary};
use crate::message::{Arguments, Json, Moment, RunId, SessionKey, Slot, ToolAsk};

/// A run.
#[derive(Debug, Deserialize)]
#[allow(clippy::struct_field_names, reason = "it is JSON, whose members have these names")]
pub(super) struct Run {
    pub(super) run: RunId,
    agent: String,
    pub(super) state: RunState,
    prompt: String,
    started: String,
    session: Option<SessionKey>,
    #[serde(default)]
    pub(super) waiting: Vec<Waits>,
}

/// Something that a run waits for.
#[derive(Debug, Deserialize)]
pub(super) struct Waits {
    pub(super) slot: Slot,
    pub(super) wants: Want,
    tool: String,
    input: Json,
}

/// What it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Want {
    Approval,
    Answer,
    Settlement,
    Moment,
}

/// A page of runs.
#[derive(Debug, Deserialize)]
#[allow(clippy::struct_field_names, reason = "it is JSON, whose members have these names")]
pub(super) struct Runs {
    pub(super) runs: Vec<Run>,
    pub(super) next: Option<RunId>,
    #[serde(default)]
    pub(super) unreadable: Vec<Unreadable>,
}

/// A run that the server cannot read.
#[derive(Debug, Deserialize)]
pub(super) struct Unreadable {
    pub(super) why: String,
}

/// The sessions.
#[derive(Debug, Deserialize)]
pub(super) struct Sessions {
    pub(super) sessions: Vec<SessionKey>,
}

/// A session.
#[derive(Debug, Deserialize)]
pub(super) struct Session {
    pub(super) runs: Vec<Run>,
}

/// Which runs are listed.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Which {
    pub(in super::super) agent: Option<String>,
    pub(in super::super) state: Option<RunState>,
    pub(in super::super) limit: Option<usize>,
}

impl Run {
    /// The same as a list on this machine has it.
    pub(super) fn summary(self) -> RunSummary {
        let Self { run, agent, state, prompt, started, session, .. } = self;
        let started_ms = Moment::parse(&started).map_or_else(|_| run.started_ms(), |moment| moment.0);
        RunSummary {
            run,
            agent,
            prompt,
            started_ms,
            state,
            session,
            order: None,
            before: None,
            outside: false,
        }
    }
}

impl Waits {
    /// The call that waits.
    pub(super) fn ask(&self) -> ToolAsk {
        let arguments = Arguments::Json(self.input.clone());
        ToolAsk { name: self.tool.clone(), arguments, target: None, client_id: None }
    }
}
