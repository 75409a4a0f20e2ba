//! What is recorded of a run, slot by slot, for programs.

use serde::Serialize;

use crate::cli::print_json;
use crate::journal::{
    CutOff, Entry, Failed, Finished, Revival, RunState, Started, Status, Stint, cut_off, ending, is_over,
    revivals, statuses, stints,
};
use crate::message::Slot;
use crate::session::SessionError;

/// Everything recorded at one slot.
#[derive(Serialize)]
struct SlotReport {
    slot: Slot,
    #[serde(flatten)]
    started: Started,
    /// The attempts that failed and were followed by another.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<Failed>,
    finished: Option<Finished>,
    /// Of the run: how it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<RunState>,
    /// Of the run: the processes that worked on it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    processes: Vec<Stint>,
    /// Of the run: how often it was cancelled and went on all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    revivals: Vec<Revival>,
    /// The attempts that ended with their process and were followed by another.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cut_off: Vec<CutOff>,
    /// Whether it was stopped with the call that it is below.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stopped: bool,
}

/// Prints all that is recorded as JSON.
pub(super) fn print_report(entries: Vec<Entry>, state: RunState) -> anyhow::Result<()> {
    // It may have ended since it was looked at how it stands.
    let state = ending(&entries).map_or(state, RunState::from);
    let (stints, revivals, mut cut_off) = (stints(&entries), revivals(&entries), cut_off(&entries));
    let slots = statuses(entries).map_err(|(slot, error)| SessionError::Order { slot, error })?;
    let report = |(slot, status): (&Slot, &Status)| {
        let (started, failures, finished) = match status.clone() {
            Status::Absent => return None,
            Status::Started { started, failures } | Status::Failed { started, failures } => {
                (started, failures, None)
            }
            Status::Finished { started, failures, finished } => (started, failures, Some(finished)),
        };
        let stopped = finished.is_none() && is_over(slot, &slots);
        let is_run = *slot == Slot::RUN;
        let processes = if is_run { stints.clone() } else { Vec::new() };
        let revivals = if is_run { revivals.clone() } else { Vec::new() };
        let cut_off = cut_off.remove(slot).unwrap_or_default();
        let (slot, state) = (slot.clone(), is_run.then_some(state));
        Some(SlotReport { slot, started, failures, finished, state, processes, revivals, cut_off, stopped })
    };
    print_json(&slots.iter().filter_map(report).collect::<Vec<SlotReport>>())
}
