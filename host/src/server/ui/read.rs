//! What a page of a run is made of, for whoever may see it.

use std::sync::Arc;

use super::super::api::Caller;
use super::super::api::runs::{summary, unknown};
use super::super::problem::Problem;
use super::super::tokens::Scope;
use super::Site;
use crate::engine::timeline::{Followed, Timeline};
use crate::journal::{JournalError, RunSummary};
use crate::message::Moment;
use crate::session::SessionError;

/// A run as it is recorded.
pub(super) struct Read {
    pub(super) summary: RunSummary,
    pub(super) known: Arc<Followed>,
}

impl Read {
    /// The run of a name. Of a run that somebody may not see it is not said that there is one.
    pub(super) async fn of(site: &Site, caller: &Caller, name: &str) -> Result<Self, Problem> {
        caller.may(Scope::Read)?;
        let _turn = site.turn().await?;
        let (grant, of) = (caller.0.clone(), name.to_owned());
        let server = site.server().map(Arc::clone);
        let recent = Arc::clone(&site.recent);
        let read = site.engine.blocking(move |engine| {
            let Some(mut summary) = summary(engine.runs(), &grant, &of)? else { return Ok(None) };
            let run = summary.run;
            if let Some(known) = recent.get(run, summary.state) {
                return Ok(Some(Self { summary, known }));
            }
            let entries = engine.runs().read(run)?;
            if let Some(state) = server.and_then(|server| server.scheduler.stands(run)) {
                summary.state = state;
            }
            let known = Followed::recorded(run, entries, summary.state).map_err(|error| match error {
                SessionError::Journal(error) => error,
                other => JournalError::Corrupt { place: format!("run {run}"), reason: other.to_string() },
            })?;
            let known = Arc::new(known);
            recent.keep(run, &known);
            Ok::<_, JournalError>(Some(Self { summary, known }))
        });
        read.await?.ok_or_else(|| unknown(name))
    }

    /// How it is drawn now; an error if it has not begun.
    pub(super) fn timeline(&self) -> Result<Timeline<'_>, Problem> {
        Ok(self.known.timeline(Moment::now().0)?)
    }
}
