use std::fmt;
use std::time::Duration;

use serde::Serialize;
use similar::TextDiff;

use crate::message::{Ending, Outcome, Request, Slot, visible_json};

/// The run is not the one that is recorded.
#[derive(Debug)]
pub struct Divergence {
    /// The first slot at which it is not.
    pub slot: Slot,
    /// In what.
    pub kind: DivergenceKind,
}

/// In what a run differs from its recording.
#[derive(Debug)]
pub enum DivergenceKind {
    /// Another request is recorded at the slot.
    OtherRequest {
        /// What is recorded.
        recorded: Box<Request>,
        /// What was asked for now.
        attempted: Box<Request>,
    },
    /// The recorded result is of another kind than the request.
    OtherOutcome,
    /// What is recorded below the slot comes to something else than is recorded there.
    OtherResult {
        /// What is recorded.
        recorded: Box<Outcome>,
        /// What it came to now.
        attempted: Box<Outcome>,
    },
    /// The run ended, and these recorded slots were never asked for.
    LeftOver(Vec<Slot>),
    /// The run ended otherwise than recorded.
    OtherEnding {
        /// What is recorded.
        recorded: Ending,
        /// How it ended now.
        attempted: Ending,
    },
}

/// How long is looked for the shortest way from one text to another. Beyond that a longer one does, because what is
/// compared may be made to be alike nowhere.
pub const DIFF_TIME_MAX: Duration = Duration::from_secs(2);

/// What the two sides of a divergence are called.
const RECORDED: [&str; 2] = ["recorded", "attempted"];

impl DivergenceKind {
    pub(super) fn other_request(recorded: Box<Request>, attempted: Request) -> Self {
        Self::OtherRequest { recorded, attempted: Box::new(attempted) }
    }
}

impl Divergence {
    /// The lines that differ, in unified form (`-` recorded, `+` attempted); empty where there is nothing
    /// to compare.
    #[must_use]
    pub fn diff(&self) -> String {
        match &self.kind {
            DivergenceKind::OtherRequest { recorded, attempted } => match (&**recorded, &**attempted) {
                (Request::Run(recorded), Request::Run(attempted)) => {
                    diff(RECORDED, &recorded.identity(), &attempted.identity())
                }
                (recorded, attempted) => diff(RECORDED, recorded, attempted),
            },
            DivergenceKind::OtherEnding { recorded, attempted } => diff(RECORDED, recorded, attempted),
            DivergenceKind::OtherResult { recorded, attempted } => diff(RECORDED, recorded, attempted),
            DivergenceKind::OtherOutcome | DivergenceKind::LeftOver(_) => String::new(),
        }
    }
}

/// The lines in which two values differ as JSON, in unified form under two names; empty if they do not.
#[must_use]
pub fn diff<T: Serialize>([before, after]: [&str; 2], recorded: &T, attempted: &T) -> String {
    // By way of a value, so that JSON which is kept as text is laid out, too.
    let value = |value: &T| serde_json::to_value(value).unwrap_or_default();
    let pretty =
        |it: &T| visible_json(&serde_json::to_string_pretty(&value(it)).unwrap_or_default()).into_owned();
    let (recorded, attempted) = (pretty(recorded), pretty(attempted));
    let diff = TextDiff::configure().timeout(DIFF_TIME_MAX).diff_lines(&recorded, &attempted);
    diff.unified_diff().context_radius(2).header(before, after).missing_newline_hint(false).to_string()
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slot = &self.slot;
        match &self.kind {
            DivergenceKind::OtherRequest { .. } => {
                writeln!(f, "diverged at {slot}: the run asks for something else than what is recorded")?;
            }
            DivergenceKind::OtherOutcome => {
                writeln!(f, "diverged at {slot}: a result of another kind is recorded")?;
            }
            DivergenceKind::OtherResult { .. } => {
                writeln!(f, "diverged at {slot}: what is recorded below it comes to something else")?;
            }
            DivergenceKind::LeftOver(slots) => {
                writeln!(
                    f,
                    "diverged at {slot}: the run ended, and {} recorded slots were not asked for:",
                    slots.len()
                )?;
                for slot in slots {
                    writeln!(f, "  {slot}")?;
                }
            }
            DivergenceKind::OtherEnding { .. } => {
                writeln!(f, "diverged at the end: the run ended otherwise than recorded")?;
            }
        }
        f.write_str(&self.diff())
    }
}

impl std::error::Error for Divergence {}
