//! A run of a server, followed by its events, and shown as a run of this machine is.
//!
//! What the server tells by events, the screen is told by the notices that the engine gives it here. Whether the run has
//! stopped, the server says when it is asked: events tell what changes, and a run that goes on and stops at once as it
//! stood changes nothing.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::super::exit::Exit;
use super::super::screen::Screen;
use super::super::signals::Signals;
use super::super::words::result;
use super::client::{Remote, until_back};
use super::error::RemoteError;
use super::events::{Events, Next};
use super::shown::Run;
use crate::engine::{EventKind, RunEvent, waiting};
use crate::journal::{Finished, RunState, Started, broke_off, statuses};
use crate::message::{Ending, Outcome, Request, RunId, Slot, Used};
use crate::session::{Notice, SessionError};

/// After so long without an event the server is asked how the run stands; each time in vain it is asked half as often.
const LOOKS_APART: Duration = Duration::from_millis(500);
/// A run that waits for its place may do so for long.
const LOOKS_APART_MAX: Duration = Duration::from_secs(15);
/// How long it takes at most until events arrive of what the server says has happened.
const EVENTS_LATE: Duration = Duration::from_millis(300);

/// A run that is followed.
pub(super) struct Follow<'a> {
    remote: &'a Remote,
    run: RunId,
    screen: &'a Screen,
    events: Events,
    /// The number of the last event.
    last: u64,
    /// Whether what is told happened before anybody followed.
    is_past: bool,
    /// What was asked for where, and at which attempt.
    asked: BTreeMap<Slot, (u32, Request)>,
    /// What has ended.
    over: HashSet<Slot>,
    ended: Option<(Ending, Option<Used>)>,
}

impl<'a> Follow<'a> {
    /// Follows a run that is only about to begin.
    pub(super) async fn new_run(
        remote: &'a Remote,
        run: RunId,
        screen: &'a Screen,
    ) -> Result<Self, RemoteError> {
        let events = attach(remote, run, 0).await?;
        let (asked, over) = (BTreeMap::new(), HashSet::new());
        Ok(Self { remote, run, screen, events, last: 0, is_past: false, asked, over, ended: None })
    }

    /// Follows a run that was there before, and shows what is recorded of it.
    pub(super) async fn recorded(
        remote: &'a Remote,
        run: RunId,
        screen: &'a Screen,
    ) -> Result<Self, RemoteError> {
        let mut follow = Self { is_past: true, ..Self::new_run(remote, run, screen).await? };
        while follow.is_past && follow.ended.is_none() {
            match follow.events.next().await {
                Next::Event(event) => follow.show(*event),
                Next::Over => break,
                Next::Strange(reason) => return Err(remote.strange(reason)),
            }
        }
        Ok(follow)
    }

    /// Follows the run until it stops, and says how it did. A signal to end leaves it to the server.
    pub(super) async fn on(mut self, signals: &Signals) -> anyhow::Result<Exit> {
        signals.attend();
        tokio::select! {
            exit = self.stop() => exit,
            () = signals.asked() => {
                self.screen.detached(self.run);
                Ok(Exit::Interrupted)
            }
        }
    }

    async fn stop(&mut self) -> anyhow::Result<Exit> {
        let mut looks_apart = LOOKS_APART;
        loop {
            let may_have_stopped = match tokio::time::timeout(looks_apart, self.events.next()).await {
                Ok(Next::Event(event)) => {
                    looks_apart = LOOKS_APART;
                    let stands_still = stands_still(&event);
                    self.show(*event);
                    stands_still
                }
                Ok(Next::Over) => {
                    if let Some((ending, used)) = self.ended.take() {
                        return self.screen.run_ended(self.run, &ending, used.as_ref());
                    }
                    self.events = attach(self.remote, self.run, self.last).await?;
                    false
                }
                Ok(Next::Strange(reason)) => return Err(self.remote.strange(reason).into()),
                Err(_) => {
                    looks_apart = (looks_apart * 2).min(LOOKS_APART_MAX);
                    true
                }
            };
            if may_have_stopped && let Some(state) = self.stopped().await? {
                self.late_events().await;
                return self.say_stopped(state).await;
            }
        }
    }

    /// How the run stands, if it goes on by itself no more and has not ended: the events of a run that has ended end, too.
    async fn stopped(&self) -> Result<Option<RunState>, RemoteError> {
        let id = self.run.to_string();
        let state = match self.remote.get::<Run>(&["runs", &id], &[]).await {
            Ok(run) => run.state,
            // The events break, too, and the server is looked for again then.
            Err(RemoteError::Unreachable { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        match state {
            RunState::Suspended | RunState::Interrupted | RunState::Failed => Ok(Some(state)),
            RunState::Queued
            | RunState::Running
            | RunState::Answered
            | RunState::Refused
            | RunState::Limited
            | RunState::Unfit
            | RunState::Empty
            | RunState::Cancelled => Ok(None),
        }
    }

    /// Shows what the server has told by now.
    async fn late_events(&mut self) {
        while let Ok(Next::Event(event)) = tokio::time::timeout(EVENTS_LATE, self.events.next()).await {
            self.show(*event);
        }
    }

    async fn say_stopped(&self, state: RunState) -> anyhow::Result<Exit> {
        let entries = super::file(self.remote, &self.run.to_string()).await?.entries;
        if state == RunState::Failed {
            let slots = statuses(entries).map_err(|(slot, error)| SessionError::Order { slot, error })?;
            let broken = broke_off(&slots);
            let why = broken.map_or_else(
                || "the run broke off; the log of the server says why".to_owned(),
                |(slot, failed)| format!("{slot}: {}", result(&failed.outcome).1),
            );
            let is_of_model = broken.is_some_and(|(_, it)| matches!(it.outcome, Outcome::NoReply(_)));
            let error = anyhow::Error::from(RemoteError::BrokeOff { why, is_of_model });
            self.screen.failed(self.run, &error);
            return Err(error);
        }
        let waiting = waiting(&entries)?;
        if waiting.is_empty() {
            self.screen.interrupted(self.run);
            return Ok(Exit::Interrupted);
        }
        self.screen.suspended(self.run, &waiting);
        Ok(Exit::Suspended)
    }

    fn show(&mut self, event: RunEvent) {
        let RunEvent { run, seq, slot, kind } = event;
        self.last = seq.map_or(self.last, |seq| seq.0);
        match kind {
            EventKind::Started(Started { request: Request::Run(manifest), .. }) => {
                self.ended = None;
                self.screen.run_started(run, &manifest);
            }
            EventKind::Started(Started { attempt, request, .. })
            | EventKind::LiveStarted { attempt, request } => self.begin(slot, attempt, request),
            EventKind::LiveText { text } => self.screen.notice(&Notice::Heard { slot: &slot, text: &text }),
            EventKind::Failed(failed) => {
                if let Some((_, request)) = self.asked.get(&slot).filter(|_| !self.is_past) {
                    self.screen.notice(&Notice::Failed { slot: &slot, request, failed: &failed });
                }
            }
            EventKind::Finished(Finished { outcome: Outcome::Run(ending), usage, .. }) => {
                self.ended = Some((ending, usage.used));
            }
            EventKind::Finished(finished) => {
                if let Some((_, request)) = self.asked.get(&slot) {
                    let (finished, substituted) = (&finished, self.is_past);
                    self.screen.notice(&Notice::Finished { slot: &slot, request, finished, substituted });
                }
                self.over.insert(slot);
            }
            EventKind::LiveMissed { .. } => {}
            EventKind::Stands(_) => self.now(),
        }
    }

    /// Shows that an attempt begins, once.
    fn begin(&mut self, slot: Slot, attempt: u32, request: Request) {
        let is_known = self.asked.get(&slot).is_some_and(|(known, _)| *known >= attempt);
        if !self.is_past && !is_known && !self.over.contains(&slot) {
            self.screen.notice(&Notice::Started { slot: &slot, attempt, request: &request });
        }
        self.asked.insert(slot, (attempt, request));
    }

    /// Takes in that everything is told that was recorded before: what has not ended goes on.
    fn now(&mut self) {
        if !std::mem::take(&mut self.is_past) {
            return;
        }
        for (slot, (attempt, request)) in self.asked.iter().filter(|(slot, _)| !self.over.contains(slot)) {
            self.screen.notice(&Notice::Started { slot, attempt: *attempt, request });
        }
    }
}

/// The events of a run after one of them, once the server is there.
pub(super) async fn attach(remote: &Remote, run: RunId, last: u64) -> Result<Events, RemoteError> {
    until_back(|| remote.events(run, last)).await.map_err(|error| match error {
        RemoteError::Unreachable { url, reason, .. } => RemoteError::Gone { url, reason, run },
        other => other,
    })
}

/// Whether an event says that nobody works on the run.
fn stands_still(event: &RunEvent) -> bool {
    match &event.kind {
        EventKind::Stands(standing) => standing.state != RunState::Running,
        EventKind::Started(_)
        | EventKind::Failed(_)
        | EventKind::Finished(_)
        | EventKind::LiveStarted { .. }
        | EventKind::LiveText { .. }
        | EventKind::LiveMissed { .. } => false,
    }
}
