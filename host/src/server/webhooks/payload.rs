//! What a delivery says: made of what is recorded of the run up to its stop, so that it is the same whenever it is made.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::shown::{Run, Waits};
use super::book::{Delivery, Kind};
use crate::engine::{Standing, standing};
use crate::journal::{self, Entry, JournalError, RunState, RunSummary, Runs, Seq};
use crate::message::{Json, Moment, RunId};

/// So much of a prompt is sent: as much as a list of runs has.
const PROMPT_BYTES_MAX: usize = 400;
/// So much of an answer or a reason is sent. The specification wants bodies below 20 kB.
const TEXT_BYTES_MAX: usize = 4096;
/// So large an input is sent; of a larger one that there is more.
const INPUT_BYTES_MAX: usize = 1024;
/// So many calls are named for which a run waits.
const WAITING_MAX: usize = 8;

/// What a receiver is told.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(in super::super) struct Payload {
    /// What happened.
    #[serde(rename = "type")]
    kind: Kind,
    /// When it happened (RFC 3339).
    timestamp: String,
    /// To which run.
    data: Data,
}

/// How the run stood then.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveredRun)]
struct Data {
    #[serde(flatten)]
    run: Run,
    /// The number of the last event of the run before that.
    #[schema(value_type = u64)]
    event: Seq,
    /// Whether something is left out, or cut short: `GET /runs/RUN` has all of it.
    cut: bool,
}

/// The body of a delivery. `None` if its run is gone.
pub(super) fn of(runs: &dyn Runs, stop: Delivery) -> Result<Option<Vec<u8>>, JournalError> {
    let entries = match runs.read(stop.run) {
        Err(JournalError::UnknownRun { .. } | JournalError::NotBegun { .. }) => return Ok(None),
        entries => entries?,
    };
    let Some(payload) = payload(stop, entries)? else { return Ok(None) };
    let body = serde_json::to_vec(&payload);
    body.map(Some).map_err(|error| JournalError::Corrupt {
        place: format!("run {}", stop.run),
        reason: format!("how it stopped cannot be written as JSON: {error}"),
    })
}

fn payload(stop: Delivery, mut entries: Vec<Entry>) -> Result<Option<Payload>, JournalError> {
    entries.retain(|entry| entry.seq.is_some_and(|seq| seq <= stop.seq));
    let last = entries.iter().find(|entry| entry.seq == Some(stop.seq));
    let Some(at_ms) = last.map(|entry| entry.event.at_ms()) else { return Ok(None) };
    let Some(manifest) = journal::manifest(&entries).cloned() else { return Ok(None) };
    let run = |state| Run::listed(RunSummary::new(stop.run, &manifest, state));
    let run = match stop.kind {
        Kind::Ended => {
            let Some(ending) = journal::ending(&entries) else { return Ok(None) };
            run(ending.into()).ended(ending, journal::used(&entries).copied())
        }
        Kind::Waiting | Kind::Failed => {
            let state = if stop.kind == Kind::Waiting { RunState::Suspended } else { RunState::Failed };
            let Standing { waiting, reason, .. } = standing(state, entries)?;
            Run { reason, ..run(state).waits_for(&waiting) }
        }
    };
    let (run, cut) = shortened(run);
    let timestamp = Moment(at_ms).to_the_millisecond();
    Ok(Some(Payload { kind: stop.kind, timestamp, data: Data { run, event: stop.seq, cut } }))
}

/// A run as it is sent, and whether that is less than all of it.
fn shortened(mut run: Run) -> (Run, bool) {
    let mut cut = cut_text(&mut run.prompt, PROMPT_BYTES_MAX);
    for text in [&mut run.answer, &mut run.reason].into_iter().flatten() {
        cut |= cut_text(text, TEXT_BYTES_MAX);
    }
    cut |= run.waiting.len() > WAITING_MAX;
    run.waiting.truncate(WAITING_MAX);
    for Waits { input, .. } in &mut run.waiting {
        if input.as_str().len() > INPUT_BYTES_MAX {
            *input = Json::canonical(&serde_json::Value::Null);
            cut = true;
        }
    }
    (run, cut)
}

fn cut_text(text: &mut String, bytes_max: usize) -> bool {
    let is_long = text.len() > bytes_max;
    text.truncate(text.floor_char_boundary(bytes_max));
    is_long
}

/// How a run stands that stopped, and the number of the last event before that: what is owed of it. `Rests` if nothing is
/// owed of it, because it is gone; `GoesOn` if it has not stopped.
pub(super) fn stop_of(runs: &dyn Runs, run: RunId) -> Result<Standstill, JournalError> {
    let summary = match runs.summary(run) {
        Err(JournalError::UnknownRun { .. } | JournalError::NotBegun { .. }) => return Ok(Standstill::Gone),
        summary => summary?,
    };
    let Some(summary) = summary else { return Ok(Standstill::Gone) };
    let kind = match summary.state {
        RunState::Queued | RunState::Running | RunState::Interrupted => return Ok(Standstill::GoesOn),
        RunState::Suspended => Kind::Waiting,
        RunState::Failed => Kind::Failed,
        RunState::Answered
        | RunState::Refused
        | RunState::Limited
        | RunState::Unfit
        | RunState::Empty
        | RunState::Cancelled => Kind::Ended,
    };
    let entries = match runs.read(run) {
        Err(JournalError::UnknownRun { .. }) => return Ok(Standstill::Gone),
        entries => entries?,
    };
    let seq = entries.iter().filter_map(|entry| entry.seq).max();
    Ok(seq.map_or(Standstill::Gone, |seq| Standstill::Stopped(Delivery { run, seq, kind }, summary.agent)))
}

/// How a run stands of which the next stop is owed.
#[derive(Debug)]
pub(super) enum Standstill {
    /// It stopped. With its agent's name.
    Stopped(Delivery, String),
    /// It goes on, or is going to.
    GoesOn,
    /// There is no such run any more.
    Gone,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_cut_between_characters_and_said_to_be() {
        let mut text = "é".repeat(PROMPT_BYTES_MAX);
        assert!(cut_text(&mut text, 5));
        assert_eq!(text, "éé");
        assert!(!cut_text(&mut text, 4));
    }
}
