use super::{JournalError, RunState, RunsDir};
use crate::message::RunId;

/// What shows that something has changed of a run, without reading what is recorded of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trail {
    pub(super) is_sealed: bool,
    pub(super) is_held: bool,
    /// The number of its last claim.
    pub(super) term: u32,
    /// How much is recorded of it.
    pub(super) bytes: u64,
    pub(super) state: Option<RunState>,
}

impl RunsDir {
    /// Where the trail of a run ends now. `None` for a run as an older host left it: it has none.
    pub(crate) fn trail(&self, run: RunId) -> Result<Option<Trail>, JournalError> {
        let mut trail =
            Trail { is_sealed: self.is_sealed(run), is_held: false, term: 0, bytes: 0, state: None };
        if trail.is_sealed {
            return Ok(Some(trail));
        }
        trail.is_held = self.held()?.contains(&run);
        let mut survey = self.survey();
        survey.refresh()?;
        let Some(head) = survey.head(run)?.filter(|head| !head.gone) else { return Ok(None) };
        trail.term = head.term;
        trail.bytes = head.needed.iter().map(|segment| survey.bytes(*segment, run)).sum();
        trail.state = head.summary.map(|summary| summary.state);
        Ok(Some(trail))
    }
}
