//! What a person says of calls that are in doubt: held against what is recorded before it counts.

use std::collections::BTreeMap;

use super::reading::recorded;
use super::records::recorded_manifest;
use super::view::{OpenEffect, open_effects};
use super::{Engine, StartError};
use crate::journal::{Entry, Status, statuses};
use crate::message::{ErrorKind, Json, Manifest, Outcome, RunId, Slot, ToolAsk, ToolEntry, ToolOutcome};
use crate::schema::{About, Schema};
use crate::session::{SessionError, Settlement, Settlements, Wants};

/// Why what a person says of a call in doubt does not count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// The call is not in doubt.
    #[error("{slot} is not in doubt; {}", those(.in_doubt))]
    NotInDoubt {
        /// The call.
        slot: Slot,
        /// The calls that are.
        in_doubt: Vec<Slot>,
    },
    /// Two things are said of one call.
    #[error("{slot} is settled twice")]
    Twice {
        /// The call.
        slot: Slot,
    },
    /// The tool could not have given this output.
    #[error("the result of {slot} is not an output that this call could have given: {why}")]
    Unfit {
        /// The call.
        slot: Slot,
        /// The rule that the output breaks.
        why: String,
    },
    /// What is recorded cannot be read.
    #[error(transparent)]
    Recorded(#[from] SessionError),
}

fn those(in_doubt: &[Slot]) -> String {
    match in_doubt.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice() {
        [] => "nothing in this run is".to_owned(),
        slots => slots.join(", ") + " is",
    }
}

impl Engine {
    /// An error unless what a person says of calls of a run can count: each has to be in doubt.
    pub async fn check_settlements(&self, run: RunId, said: &[(Slot, Settlement)]) -> Result<(), StartError> {
        let entries = recorded(run, &self.0.runs).await?;
        settlements(said, &entries, recorded_manifest(run, &entries)?)?;
        Ok(())
    }
}

/// The decisions on a run. Each has to be about a call in doubt, or has to be what was said of a call already.
pub(super) fn settlements(
    said: &[(Slot, Settlement)],
    entries: &[Entry],
    manifest: &Manifest,
) -> Result<Settlements, SettleError> {
    let mut settlements = Settlements::new();
    if said.is_empty() {
        return Ok(settlements);
    }
    let slots =
        statuses(entries.iter().cloned()).map_err(|(slot, error)| SessionError::Order { slot, error })?;
    let in_doubt = open_effects(manifest, &slots).into_iter().filter(|open| open.wants == Wants::Settlement);
    let in_doubt: BTreeMap<&Slot, OpenEffect<'_>> = in_doubt.map(|open| (open.slot, open)).collect();
    for (slot, settlement) in said {
        if slots.get(slot).is_some_and(|status| was_said(settlement, status)) {
            continue;
        }
        let Some(open) = in_doubt.get(slot) else {
            let in_doubt = in_doubt.into_keys().cloned().collect();
            return Err(SettleError::NotInDoubt { slot: slot.clone(), in_doubt });
        };
        if let Settlement::Result(output) = settlement {
            fits(output, open.ask, &open.agent.tools)
                .map_err(|why| SettleError::Unfit { slot: slot.clone(), why })?;
        }
        if settlements.insert(slot.clone(), settlement.clone()).is_some() {
            return Err(SettleError::Twice { slot: slot.clone() });
        }
    }
    Ok(settlements)
}

/// Whether a decision has been carried out already: the host may have been killed after it wrote the decision down, and
/// before anybody knew.
fn was_said(settlement: &Settlement, status: &Status) -> bool {
    let Status::Finished { finished, .. } = status else { return false };
    match (settlement, &finished.outcome) {
        (Settlement::Retry, _) => finished.attempt > 1 && !finished.settled,
        (Settlement::Failed, Outcome::Tool(ToolOutcome::Error(error))) => {
            finished.settled && error.kind == ErrorKind::InDoubt
        }
        (Settlement::Result(json), Outcome::Tool(ToolOutcome::Output(output))) => {
            finished.settled && json == output
        }
        (Settlement::Failed | Settlement::Result(_), _) => false,
    }
}

/// Whether a call could have given this output; the error says which rule of its tool the output breaks.
pub(super) fn fits(output: &Json, ask: &ToolAsk, tools: &[ToolEntry]) -> Result<(), String> {
    let tool = tools.iter().find(|tool| tool.spec.name == ask.name);
    match tool.and_then(|tool| tool.spec.output_schema.as_ref()) {
        Some(schema) => Schema::new(schema).check_now(About::OUTPUT, output),
        None => Ok(()),
    }
}
