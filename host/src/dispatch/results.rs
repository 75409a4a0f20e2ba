use crate::message::{Slot, ToolCall, ToolOutcome, ToolResult, Used};
use crate::session::{SessionError, Waiting};

/// A call on its way.
pub(super) struct Placed {
    pub(super) slot: Slot,
    pub(super) call: ToolCall,
    /// The id under which a program outside makes it, if one does.
    pub(super) client_id: Option<String>,
    /// What it comes to without being made.
    pub(super) refusal: Option<ToolOutcome>,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Called {
    /// For the model to read.
    pub result: ToolResult,
    /// What the agent used that was called, if it was one, as far as that is recorded.
    pub used: Option<Used>,
}

/// What calls made together came to, so far.
pub(super) struct Results {
    results: Vec<Option<Called>>,
    waiting: Vec<Waiting>,
}

impl Results {
    /// Of so many calls that have not ended.
    pub(super) fn of(calls: usize) -> Self {
        Self { results: (0..calls).map(|_| None).collect(), waiting: Vec::new() }
    }

    /// Takes in what one of them came to.
    pub(super) fn place(
        &mut self,
        index: usize,
        result: Result<Called, SessionError>,
    ) -> Result<(), SessionError> {
        match result {
            Ok(result) => {
                if let Some(place) = self.results.get_mut(index) {
                    *place = Some(result);
                }
            }
            Err(SessionError::Waits(waiting)) => self.waiting.extend(waiting),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// What all of them came to, in their order; or what they wait for.
    pub(super) fn whole(self) -> Result<Vec<Called>, SessionError> {
        let Self { results, mut waiting } = self;
        if waiting.is_empty() {
            return Ok(results.into_iter().flatten().collect());
        }
        waiting.sort_by(|a, b| a.slot.cmp(&b.slot));
        Err(SessionError::Waits(waiting))
    }
}
