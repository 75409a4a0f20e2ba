use super::catalogue::Catalogue;
use super::{JournalError, RunFile, RunState, RunSummary, RunsDir, ending, used};
use crate::message::{Ending, RunId, Used};

/// What [`RunsDir::list`] found.
#[derive(Debug, Default)]
pub struct Listing {
    /// The runs, oldest first.
    pub runs: Vec<RunSummary>,
    /// Those of which it cannot be said how they stand, and why; and what is damaged of which it cannot be said whose
    /// it is.
    pub unreadable: Vec<(Option<RunId>, JournalError)>,
}

/// How a run began and ended.
#[derive(Clone, Debug)]
pub struct Outline {
    /// What a listing tells of it, with its whole prompt.
    pub summary: RunSummary,
    /// How it ended, if it did.
    pub ending: Option<Ending>,
    /// What it used, if it ended and that is recorded.
    pub used: Option<Used>,
}

impl RunsDir {
    /// What every run's summary says, oldest first, and of which runs none can be read. A run of which nothing is
    /// recorded is not listed.
    pub fn list(&self) -> Result<Listing, JournalError> {
        let mut listing = Listing::default();
        // A run that is sealed meanwhile is in both, and one that is in neither is in neither for good.
        let mut ids = self.unsealed_ids()?;
        let named = self.named_ids()?;
        ids.extend(named.iter().copied());
        ids.sort();
        ids.dedup();
        if let Err(error) = self.survey().check() {
            listing.unreadable.push((None, error));
        }
        let held = self.held()?;
        let mut catalogue = Catalogue::read(self.path());
        for run in ids {
            let summary = match catalogue.summary(run) {
                Ok(None) => self.unsealed_summary(run, &held),
                summary => summary,
            };
            match summary {
                Ok(summary) => listing.runs.extend(summary),
                Err(error) => listing.unreadable.push((Some(run), error)),
            }
        }
        catalogue.keep(named.len(), std::process::id());
        self.look_again(&mut listing.runs)?;
        Ok(listing)
    }

    /// Looks once more at runs that seemed interrupted: what is recorded, and who holds a run, are two looks, and a run may
    /// have been given back or taken up between the two.
    fn look_again(&self, runs: &mut [RunSummary]) -> Result<(), JournalError> {
        let mut interrupted = runs.iter_mut().filter(|run| run.state == RunState::Interrupted).peekable();
        if interrupted.peek().is_none() {
            return Ok(());
        }
        self.survey().refresh()?;
        let held = self.held()?;
        for run in interrupted {
            if let Ok(Some(again)) = self.unsealed_summary(run.run, &held) {
                *run = again;
            }
        }
        Ok(())
    }

    /// What the run's summary says; none if the run never began.
    pub fn summary(&self, id: RunId) -> Result<Option<RunSummary>, JournalError> {
        match self.look(id)? {
            // It may have been sealed, given back or taken up between two looks.
            None | Some(RunSummary { state: RunState::Interrupted, .. }) => self.look(id),
            summary => Ok(summary),
        }
    }

    fn look(&self, id: RunId) -> Result<Option<RunSummary>, JournalError> {
        if self.is_sealed(id) {
            return RunFile::read_summary(&self.sealed_path(id)).map(Some);
        }
        self.survey().refresh()?;
        self.unsealed_summary(id, &self.held()?)
    }

    /// How a run began and ended; none if it never began, or is gone. Of a run that is one file no more is read than that.
    pub fn outline(&self, id: RunId) -> Result<Option<Outline>, JournalError> {
        let entries = if self.is_sealed(id) {
            RunFile::read_outline(&self.sealed_path(id))?.entries
        } else {
            match self.read_kept(id) {
                Err(JournalError::UnknownRun { .. }) => return Ok(None),
                entries => entries?,
            }
        };
        let Some(recorded) = RunSummary::of(id, &entries) else { return Ok(None) };
        let state = self.summary(id)?.map_or(recorded.state, |summary| summary.state);
        let summary = RunSummary { state, ..recorded };
        Ok(Some(Outline { summary, ending: ending(&entries).cloned(), used: used(&entries).copied() }))
    }

    /// The summary of a run that is not one file, by what was last read of the journal.
    fn unsealed_summary(&self, id: RunId, open: &[RunId]) -> Result<Option<RunSummary>, JournalError> {
        let recorded = self.survey().head(id)?.filter(|head| !head.gone);
        let (written, is_held) = match (recorded, self.legacy(id)) {
            (Some(head), _) if !head.has_begun => return Ok(None),
            (Some(head), _) => (head.summary, open.contains(&id)),
            (None, Some(legacy)) => (legacy.summary(), legacy.is_held()),
            (None, None) => return Ok(None),
        };
        let summary = match written {
            Some(summary) => Some(summary),
            None => RunSummary::of(id, &self.read_kept(id)?),
        };
        Ok(summary.map(|summary| match summary.state {
            RunState::Running if !is_held => RunSummary { state: RunState::Interrupted, ..summary },
            RunState::Queued
            | RunState::Running
            | RunState::Interrupted
            | RunState::Suspended
            | RunState::Failed
            | RunState::Answered
            | RunState::Refused
            | RunState::Limited
            | RunState::Unfit
            | RunState::Empty
            | RunState::Cancelled => summary,
        }))
    }
}
