//! What one segment holds of which runs: where it stands, and what its notes say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::RunSummary;
use super::extent::Extent;
use super::format;
use super::frame::{self, Damage};
use super::note::{self, Claimed, Note};
use crate::message::RunId;

/// What a segment holds of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    /// The commits that hold something of the run, in the order in which they were made.
    #[serde(default)]
    pub(super) places: Vec<Extent>,
    /// How long they are together, in bytes.
    #[serde(skip)]
    pub(super) bytes: u64,
    /// Where it was last said that the run is gone, in bytes: what stands before it does not count.
    #[serde(skip)]
    pub(super) from: u64,
    /// The last claim of the run in this segment. Without one nothing here counts: it was being carried forward.
    #[serde(flatten)]
    pub(super) claimed: Claimed,
    /// Whether anything of the run is an event.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) has_begun: bool,
    /// Whether the run was gone at the end of that claim.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) gone: bool,
    /// How the run stood, and by which claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) summary: Option<Summarised>,
}

/// How a run stood during one of its claims.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Summarised {
    pub(super) term: u32,
    pub(super) summary: RunSummary,
}

/// What a segment holds of every run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Parts(pub(super) BTreeMap<RunId, Part>);

impl Part {
    /// Nothing of the run counts any more.
    pub(super) fn go(&mut self) {
        let claimed = std::mem::take(&mut self.claimed);
        *self =
            Self { claimed: Claimed { term: claimed.term, from: Vec::new() }, gone: true, ..Self::default() };
    }

    fn add(&mut self, extent: Extent) {
        match self.places.last_mut() {
            Some(last) if *last == extent || last.end() == extent.end() => return,
            Some(last) if last.end() == extent.offset => last.length += extent.length,
            Some(_) | None => self.places.push(extent),
        }
        self.bytes += extent.length;
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Claimed(claimed) => {
                self.claimed = claimed;
                self.gone = false;
            }
            Note::Summary(summary) => self.summary = Some(Summarised { term: self.claimed.term, summary }),
            Note::Gone => self.go(),
        }
    }
}

impl Parts {
    /// Takes a commit in.
    pub(super) fn add<'a>(
        &mut self,
        extent: Extent,
        pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), Damage> {
        for (key, value) in pairs {
            let part = self.0.entry(format::run_of(key).ok_or(Damage)?).or_default();
            part.add(extent);
            if note::is_note(key) {
                let note = note::decode(value).ok_or(Damage)?;
                let is_gone = matches!(note, Note::Gone);
                part.note(note);
                if is_gone {
                    part.from = extent.offset;
                }
            } else {
                part.has_begun = true;
            }
        }
        Ok(())
    }

    /// Takes a commit in as it is read.
    pub(super) fn add_payload(&mut self, extent: Extent, payload: &[u8]) -> Result<(), Damage> {
        self.add(extent, frame::pairs(payload)?)
    }

    /// The same as it was read from what was written of it.
    pub(super) fn measured(mut self) -> Self {
        for part in self.0.values_mut() {
            part.bytes = part.places.iter().map(|extent| extent.length).sum();
        }
        self
    }
}
