//! What a suspended run waits for, as it is printed, with the commands that let it go on.

use std::fmt::Write as _;

use serde::Serialize;

use super::layout::unbroken;
use super::moment::Moment;
use super::words::headline;
use crate::message::{Request, RunId, Slot};
use crate::session::{Waiting, Wants};

/// An effect that the run waits for, as `--json` has it.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    slot: &'a Slot,
    request: &'a Request,
    at_ms: u64,
    #[serde(flatten)]
    wants: ShownWants,
}

/// For what.
#[derive(Serialize)]
#[serde(tag = "wants", rename_all = "snake_case")]
enum ShownWants {
    Settlement,
    Approval,
    Answer,
    Moment { until_ms: u64 },
}

impl<'a> From<&'a Waiting> for Shown<'a> {
    fn from(waiting: &'a Waiting) -> Self {
        let wants = match waiting.wants {
            Wants::Settlement => ShownWants::Settlement,
            Wants::Approval => ShownWants::Approval,
            Wants::Answer => ShownWants::Answer,
            Wants::Moment(until_ms) => ShownWants::Moment { until_ms },
        };
        Self { slot: &waiting.slot, request: &waiting.request, at_ms: waiting.at_ms, wants }
    }
}

/// The lines that say what the run waits for, and how it goes on.
pub(super) fn lines(run: RunId, waiting: &[Waiting]) -> Vec<String> {
    let of = |wants: fn(Wants) -> bool| -> Vec<&Waiting> {
        waiting.iter().filter(|waiting| wants(waiting.wants)).collect()
    };
    let mut lines = vec!["the run is suspended".to_owned()];
    let doubtful = of(|wants| wants == Wants::Settlement);
    if !doubtful.is_empty() {
        let what = "the host stopped in the middle of these, and whether they took effect is not known:";
        lines.push(what.to_owned());
    }
    let mut settle = String::new();
    for waiting in &doubtful {
        lines.push(format!(
            "  ? {}  (began {})",
            headline(&waiting.slot, &waiting.request),
            Moment(waiting.at_ms).to_the_millisecond()
        ));
        // Writing to a string cannot fail.
        let _ = write!(settle, " --settle '{}=HOW'", waiting.slot);
    }
    for Waiting { slot, request, wants, .. } in waiting {
        let call = slot.approved().unwrap_or_else(|| slot.clone());
        match wants {
            Wants::Settlement => {}
            Wants::Approval => {
                lines.push(format!("  ? {}  waits for approval", headline(&call, request)));
                lines.push(format!("      {}", unbroken(&format!("host approve {run} '{call}'"))));
                lines.push(format!("      {}", unbroken(&format!("host deny {run} '{call}'"))));
            }
            Wants::Answer => {
                lines.push(format!("  ? {}  waits for an answer", headline(slot, request)));
                lines.push(format!("      {}", unbroken(&format!("host answer {run} '{slot}' TEXT"))));
            }
            Wants::Moment(until_ms) => {
                lines.push(format!(
                    "  ⧖ {}  waits until {}",
                    headline(slot, request),
                    Moment(*until_ms).to_the_millisecond()
                ));
            }
        }
    }
    if doubtful.is_empty() {
        lines.push(format!("then go on with: {}", unbroken(&format!("host resume {run}"))));
    } else {
        lines.push(format!("decide, and go on with: host resume {run}{settle}"));
        lines.push("HOW is `retry` (call it again), `failed`, or `result:FILE` (it took effect; FILE has its output as JSON)".to_owned());
    }
    lines
}
