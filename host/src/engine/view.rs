//! How runs stand: the one place that derives it from what is recorded.

use std::collections::BTreeMap;

use super::Engine;
use super::records::agent_at;
use crate::dispatch::wakes_at;
use crate::journal::{self, Entry, JournalError, Listing, RunState, RunSummary, Status, is_over, statuses};
use crate::message::{Builtin, Manifest, Request, RunId, SessionKey, Slot, ToolAsk};
use crate::session::{SessionError, Waiting, Wants};

/// Which runs are meant. By default all of them.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Runs of the agent with this name.
    pub agent: Option<String>,
    /// Runs of the agents with these names; of any if there is no list.
    pub agents: Option<Vec<String>>,
    /// Runs in this state.
    pub state: Option<RunState>,
    /// Runs of this session.
    pub session: Option<SessionKey>,
    /// Runs whose prompt, as far as a list has it, contains this, whatever its case.
    pub text: Option<String>,
    /// Runs that began at this moment or later, in milliseconds since 1970-01-01T00:00:00Z.
    pub since_ms: Option<u64>,
    /// Runs that began before this moment, in milliseconds since 1970-01-01T00:00:00Z.
    pub until_ms: Option<u64>,
    /// Runs that began before this one: where the page before ended.
    pub before: Option<RunId>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// Some of the runs, newest first.
#[derive(Debug)]
pub struct Page<T> {
    /// What there is.
    pub items: Vec<T>,
    /// Where the next page begins: [`Query::before`]. `None` if this is the last one.
    pub next: Option<RunId>,
    /// The runs of which it cannot be said how they stand, and why; and what is damaged of which it cannot be said whose
    /// it is.
    pub unreadable: Vec<(Option<RunId>, JournalError)>,
}

/// A run, and what it waits for.
#[derive(Clone, Debug)]
pub struct RunWaits {
    /// The run.
    pub run: RunSummary,
    /// What it waits for, by slot.
    pub waiting: Vec<Waiting>,
}

/// An effect that began and has no end: somebody, or time, brings it to its end, or it is in doubt.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OpenEffect<'a> {
    pub(super) slot: &'a Slot,
    /// The call: the effect itself, or what is to be approved.
    pub(super) call: Slot,
    pub(super) ask: &'a ToolAsk,
    pub(super) attempt: u32,
    pub(super) at_ms: u64,
    pub(super) wants: Wants,
    /// The agent whose model, or whose tool, makes the call.
    pub(super) agent: &'a Manifest,
}

/// The effects of a run that have no end, by slot. A model request is asked again unasked, and an agent that is called
/// goes on: neither is among them.
pub(super) fn open_effects<'a>(
    manifest: &'a Manifest,
    slots: &'a BTreeMap<Slot, Status>,
) -> Vec<OpenEffect<'a>> {
    let open = |(slot, status): (&'a Slot, &'a Status)| {
        let started = match status {
            Status::Started { started, .. } if !is_over(slot, slots) => started,
            Status::Started { .. } | Status::Absent | Status::Failed { .. } | Status::Finished { .. } => {
                return None;
            }
        };
        let (call, ask, wants, agent) = match &started.request {
            Request::Approval(ask) => {
                let call = slot.approved()?;
                let agent = agent_at(&call, manifest, slots);
                (call, ask, Wants::Approval, agent)
            }
            Request::Tool(ask) => {
                let agent = agent_at(slot, manifest, slots);
                let wants = wants(agent, ask, started.at_ms, manifest)?;
                (slot.clone(), ask, wants, agent)
            }
            Request::Run(_) | Request::Model(_) | Request::Api(_) => return None,
        };
        let (attempt, at_ms) = (started.attempt, started.at_ms);
        Some(OpenEffect { slot, call, ask, attempt, at_ms, wants, agent })
    };
    slots.iter().filter_map(open).collect()
}

/// What a call waits for that has begun and not ended.
fn wants(agent: &Manifest, ask: &ToolAsk, at_ms: u64, run: &Manifest) -> Option<Wants> {
    let tool = agent.tool(&ask.name);
    match tool.map(|tool| (tool.builtin, &tool.agent)) {
        Some((Some(Builtin::AskHuman), _)) => Some(Wants::Answer),
        Some((Some(Builtin::SleepUntil), _)) => Some(Wants::Moment(wakes_at(ask, at_ms, run.rules))),
        Some((None, Some(_))) => None,
        Some((None, None)) | None => Some(Wants::Settlement),
    }
}

impl From<OpenEffect<'_>> for Waiting {
    fn from(OpenEffect { slot, ask, at_ms, wants, .. }: OpenEffect<'_>) -> Self {
        let request = match wants {
            Wants::Approval => Request::Approval(ask.clone()),
            Wants::Settlement | Wants::Answer | Wants::Moment(_) => Request::Tool(ask.clone()),
        };
        Self { slot: slot.clone(), request, at_ms, wants }
    }
}

/// What a run waits for, by what is recorded of it: nothing if it never began, or has ended.
pub fn waiting(entries: &[Entry]) -> Result<Vec<Waiting>, SessionError> {
    let Some(manifest) = journal::manifest(entries) else { return Ok(Vec::new()) };
    if journal::ending(entries).is_some() {
        return Ok(Vec::new());
    }
    let slots =
        statuses(entries.iter().cloned()).map_err(|(slot, error)| SessionError::Order { slot, error })?;
    Ok(open_effects(manifest, &slots).into_iter().map(Waiting::from).collect())
}

impl Query {
    fn has(&self, run: &RunSummary) -> bool {
        self.agent.as_ref().is_none_or(|agent| *agent == run.agent)
            && self.agents.as_ref().is_none_or(|agents| agents.contains(&run.agent))
            && self.state.is_none_or(|state| state == run.state)
            && (self.session.is_none() || self.session == run.session)
            && self.text.as_ref().is_none_or(|text| run.prompt.to_lowercase().contains(&text.to_lowercase()))
            && self.since_ms.is_none_or(|since_ms| since_ms <= run.started_ms)
            && self.until_ms.is_none_or(|until_ms| run.started_ms < until_ms)
            && self.before.is_none_or(|before| run.run < before)
    }
}

impl Engine {
    /// The runs, newest first.
    pub async fn list(&self, query: &Query) -> Result<Page<RunSummary>, JournalError> {
        let query = query.clone();
        self.blocking(move |engine| engine.list_now(&query)).await
    }

    /// The runs that wait for a person or a moment, or are in doubt, newest first. A run that a process works on is not
    /// among them.
    pub async fn waiting(&self, query: &Query) -> Result<Page<RunWaits>, JournalError> {
        let query = query.clone();
        self.blocking(move |engine| engine.waiting_now(&query)).await
    }

    pub(crate) fn list_now(&self, query: &Query) -> Result<Page<RunSummary>, JournalError> {
        let Listing { runs, unreadable } = self.runs().list()?;
        let mut runs = runs.into_iter().rev().filter(|run| query.has(run));
        let items: Vec<RunSummary> = runs.by_ref().take(query.limit.unwrap_or(usize::MAX)).collect();
        let next = runs.next().and_then(|_| items.last().map(|last| last.run));
        Ok(Page { items, next, unreadable })
    }

    fn waiting_now(&self, query: &Query) -> Result<Page<RunWaits>, JournalError> {
        let all = Query { limit: None, ..query.clone() };
        let Page { items, mut unreadable, .. } = self.list_now(&all)?;
        let mut waits = Vec::new();
        let mut next = None;
        for run in items {
            match run.state {
                RunState::Suspended | RunState::Interrupted => {}
                // A program that carries a run out waits with it.
                RunState::Running if run.outside => {}
                RunState::Queued
                | RunState::Running
                | RunState::Failed
                | RunState::Answered
                | RunState::Refused
                | RunState::Limited
                | RunState::Unfit
                | RunState::Empty
                | RunState::Cancelled => continue,
            }
            if query.limit.is_some_and(|limit| waits.len() >= limit) {
                next = waits.last().map(|last: &RunWaits| last.run.run);
                break;
            }
            let found =
                self.runs().read(run.run).map_err(SessionError::from).and_then(|entries| waiting(&entries));
            // What goes on at this moment is in no doubt.
            let is_live = run.state == RunState::Running;
            let found = found.map(|mut all| {
                all.retain(|it| !is_live || matches!(it.wants, Wants::Approval | Wants::Answer));
                all
            });
            match found {
                Ok(waiting) if waiting.is_empty() => {}
                Ok(waiting) => waits.push(RunWaits { run, waiting }),
                Err(error) => {
                    let damaged = |error: SessionError| match error {
                        SessionError::Journal(error) => error,
                        other => JournalError::Corrupt {
                            place: format!("run {}", run.run),
                            reason: other.to_string(),
                        },
                    };
                    unreadable.push((Some(run.run), damaged(error)));
                }
            }
        }
        Ok(Page { items: waits, next, unreadable })
    }
}
