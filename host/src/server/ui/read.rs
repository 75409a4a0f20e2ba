//! What a page of a run is made of, for whoever may see it.

use std::collections::BTreeMap;

use super::super::api::Caller;
use super::super::api::runs::{summary, unknown};
use super::super::problem::Problem;
use super::super::tokens::Scope;
use super::Site;
use crate::engine::timeline::{Recorded, Timeline};
use crate::engine::waiting;
use crate::journal::{Entry, JournalError, RunState, RunSummary};
use crate::message::{Moment, Slot};
use crate::session::{SessionError, Waiting};

/// A run as it is recorded.
pub(super) struct Read {
    pub(super) summary: RunSummary,
    pub(super) entries: Vec<Entry>,
    pub(super) waiting: Vec<Waiting>,
    going: BTreeMap<Slot, crate::engine::timeline::Going>,
}

impl Read {
    /// The run of a name. Of a run that somebody may not see it is not said that there is one.
    pub(super) async fn of(site: &Site, caller: &Caller, name: &str) -> Result<Self, Problem> {
        caller.may(Scope::Read)?;
        let _turn = site.turn().await?;
        let (grant, of) = (caller.0.clone(), name.to_owned());
        let read = site.engine.blocking(move |engine| {
            let Some(summary) = summary(engine.runs(), &grant, &of)? else { return Ok(None) };
            let entries = engine.runs().read(summary.run)?;
            let waiting = waiting(entries.clone()).map_err(|error| match error {
                SessionError::Journal(error) => error,
                other => {
                    JournalError::Corrupt { place: format!("run {}", summary.run), reason: other.to_string() }
                }
            })?;
            Ok::<_, JournalError>(Some(Self { summary, entries, waiting, going: BTreeMap::new() }))
        });
        let mut read = read.await?.ok_or_else(|| unknown(name))?;
        if let Some(state) = site.server().and_then(|server| server.scheduler.stands(read.summary.run)) {
            read.summary.state = state;
        }
        // What goes on in this moment is in no doubt.
        if read.summary.state == RunState::Running {
            read.waiting.retain(|it| it.wants != crate::session::Wants::Settlement);
        }
        Ok(read)
    }

    /// How it is drawn now; an error if it has not begun.
    pub(super) fn timeline(&self) -> Result<Timeline<'_>, Problem> {
        let Self { summary: RunSummary { run, state, .. }, entries, waiting, going } = self;
        let now_ms = Moment::now().0;
        let recorded = Recorded { run: *run, entries, state: *state, waiting, going, now_ms };
        Timeline::of(recorded).ok_or_else(|| JournalError::NotBegun { run: *run }.into())
    }
}
