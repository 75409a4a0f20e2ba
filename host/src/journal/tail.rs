//! Reading on in a run: what was recorded of it since it was read last, without what was read before.

use std::collections::HashMap;

use super::extent::Extent;
use super::{Entry, JournalError, RunsDir, format};
use crate::message::RunId;

/// How far somebody has read a run. By default nothing is read yet.
///
/// What is read with it comes once, unless it is recorded anew: when a run becomes a file, when it is carried forward in
/// the journal, or when it is revived, all of it is read once more.
#[derive(Debug, Default)]
pub struct Tail {
    /// Where what was read of a segment ends, in bytes; of a run in memory, how many events were read.
    ends: HashMap<u32, u64>,
}

impl Tail {
    /// Where to read on in a segment.
    pub(super) fn end(&self, segment: u32) -> u64 {
        self.ends.get(&segment).copied().unwrap_or_default()
    }

    pub(super) fn set_end(&mut self, segment: u32, end: u64) {
        self.ends.insert(segment, end);
    }

    /// Takes in that everything was read at these places.
    pub(super) fn read(&mut self, places: &[(u32, Extent)]) {
        for (segment, extent) in places {
            let end = self.ends.entry(*segment).or_default();
            *end = extent.end().max(*end);
        }
    }
}

/// Whether every event has its own number. Those of older hosts have none: their numbers follow from the whole run.
pub(super) fn are_numbered(entries: &[Entry]) -> bool {
    entries.iter().all(|entry| entry.seq.is_some())
}

impl RunsDir {
    /// What is recorded of a run that was not read yet with this tail, each event with its number and with what was said
    /// before the run, in no particular order.
    pub fn read_on(&self, id: RunId, tail: &mut Tail) -> Result<Vec<Entry>, JournalError> {
        if !self.is_sealed(id)
            && let Some(pairs) = self.survey().read_on(id, tail)?
        {
            let entries = format::decode(pairs.into_iter().map(Ok))?;
            if are_numbered(&entries) {
                match self.resolve(id, entries) {
                    // It may have been folded into this run between two looks.
                    Err(JournalError::EarlierGone { .. }) => {}
                    resolved => return resolved,
                }
            }
        }
        self.read(id)
    }
}
