use serde::{Deserialize, Serialize};

use super::Seq;
use crate::message::{By, Digest, Ending, Manifest, Outcome, Request, RunId, Slot, Trace, Usage, Used};

/// One event of one slot of one run: what a store keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The run.
    pub run: RunId,
    /// Where in the run.
    pub slot: Slot,
    /// What happened there.
    pub event: Event,
    /// Its number among the events of the run. `None` before it is recorded, and where an older host recorded it.
    pub seq: Option<Seq>,
}

impl Entry {
    /// An event that is to be recorded.
    #[must_use]
    pub fn new(run: RunId, slot: Slot, event: Event) -> Self {
        Self { run, slot, event, seq: None }
    }
}

/// What can happen at a slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// An attempt began.
    Started(Started),
    /// An attempt failed, and another one is to follow.
    Failed(Failed),
    /// An attempt ended, and with it the effect.
    Finished(Finished),
}

/// An attempt began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// From 1.
    pub attempt: u32,
    /// Milliseconds since 1970-01-01T00:00:00Z, by the host's clock.
    pub at_ms: u64,
    /// [`Request::digest`] of the request.
    pub digest: Digest,
    /// What was asked for.
    pub request: Request,
    /// At the run's own slot, where a person accepted that the run is carried on with something changed: the
    /// slots that were recorded before. Their results are kept, whatever is asked for there now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Vec<Slot>>,
    /// At the run's own slot, where the run was cancelled before and goes on all the same: who had it go on, if that is
    /// known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
}

/// An attempt failed in a way that another attempt, or a person, may mend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    /// The attempt that failed.
    pub attempt: u32,
    /// Milliseconds since 1970-01-01T00:00:00Z, by the host's clock.
    pub at_ms: u64,
    /// How long after that the next attempt is due, in milliseconds.
    pub retry_ms: u64,
    /// Whether no other attempt was made by itself, so that the run broke off; a resume makes one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gave_up: bool,
    /// What it came to.
    pub outcome: Outcome,
    /// What it consumed.
    #[serde(default)]
    pub usage: Usage,
    /// What was noted for the person meanwhile.
    #[serde(default, skip_serializing_if = "Trace::is_empty")]
    pub trace: Trace,
}

/// An attempt ended, and with it the effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// The attempt that ended.
    pub attempt: u32,
    /// Milliseconds since 1970-01-01T00:00:00Z, by the host's clock.
    pub at_ms: u64,
    /// What it came to.
    pub outcome: Outcome,
    /// What it consumed.
    #[serde(default)]
    pub usage: Usage,
    /// What was noted for the person meanwhile.
    #[serde(default, skip_serializing_if = "Trace::is_empty")]
    pub trace: Trace,
    /// Whether it was a person who said what it came to, because the attempt was in doubt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
    /// Who said what it came to, where somebody did. Older hosts did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
}

impl Failed {
    /// Whether the next attempt asks another model.
    #[must_use]
    pub fn fell_back(&self) -> bool {
        matches!(&self.outcome, Outcome::NoReply(failure) if failure.fall_back)
    }

    /// Whether the model found the request too long.
    #[must_use]
    pub fn was_too_long(&self) -> bool {
        matches!(&self.outcome, Outcome::NoReply(failure) if failure.too_long)
    }
}

impl Event {
    /// When it happened, in milliseconds since 1970-01-01T00:00:00Z, by the host's clock.
    #[must_use]
    pub fn at_ms(&self) -> u64 {
        match self {
            Self::Started(Started { at_ms, .. })
            | Self::Failed(Failed { at_ms, .. })
            | Self::Finished(Finished { at_ms, .. }) => *at_ms,
        }
    }

    /// The event's place among the events of its slot: an attempt's start, then its end.
    #[must_use]
    pub fn ordinal(&self) -> u32 {
        match self {
            Self::Started(started) => started.attempt.saturating_mul(2),
            Self::Failed(Failed { attempt, .. }) | Self::Finished(Finished { attempt, .. }) => {
                attempt.saturating_mul(2).saturating_add(1)
            }
        }
    }
}

/// What the run was begun with, or last carried on with; none if it never began.
#[must_use]
pub fn manifest(entries: &[Entry]) -> Option<&Manifest> {
    entries.iter().rev().find_map(|entry| match &entry.event {
        Event::Started(Started { request: Request::Run(manifest), .. }) => Some(&**manifest),
        Event::Started(_) | Event::Failed(_) | Event::Finished(_) => None,
    })
}

/// How many models were given up in these attempts of one slot, oldest first, since the run broke off.
pub fn given_up<'a>(failures: impl DoubleEndedIterator<Item = &'a Failed>) -> usize {
    failures.rev().take_while(|failed| !failed.gave_up).filter(|failed| failed.fell_back()).count()
}

/// What the run used, if it ended and that is recorded.
#[must_use]
pub fn used(entries: &[Entry]) -> Option<&Used> {
    end(entries)?.usage.used.as_ref()
}

/// Whether a model replied in the run: all that a run does follows from that.
#[must_use]
pub fn has_replied(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| match &entry.event {
        Event::Finished(finished) => matches!(finished.outcome, Outcome::Model(_)),
        Event::Started(_) | Event::Failed(_) => false,
    })
}

/// How the run ended, if it did.
#[must_use]
pub fn ending(entries: &[Entry]) -> Option<&Ending> {
    match &end(entries)?.outcome {
        Outcome::Run(ending) => Some(ending),
        Outcome::Model(_) | Outcome::NoReply(_) | Outcome::Tool(_) | Outcome::Decision(_) => None,
    }
}

/// The end of the run, if it ended and did not go on afterwards.
pub(crate) fn end(entries: &[Entry]) -> Option<&Finished> {
    match &entries.iter().rev().find(|entry| entry.slot == Slot::RUN)?.event {
        Event::Finished(finished) => Some(finished),
        Event::Started(_) | Event::Failed(_) => None,
    }
}
