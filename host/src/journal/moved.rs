//! Which places are kept at hand, and which are in the index: of segments to which nothing more is written, or which
//! others write.

use std::collections::VecDeque;
use std::ops::Bound;

use super::JournalError;
use super::index::Index;
use super::parts::Parts;
use crate::message::RunId;

/// So many places are kept at hand, in 16 bytes each. Those of more go into the index, the oldest first: there are more
/// where many runs wait, or where many have many commits.
const AT_HAND_MAX: usize = 1 << 18;

/// So many runs are moved at once, so that no commit waits for all of them.
const MOVED_AT_ONCE: usize = 64;

/// The index, and what is not in it yet.
#[derive(Debug)]
pub(super) struct Moved {
    /// `None` where nobody writes: then everything is at hand.
    index: Option<Index>,
    /// Oldest first.
    at_hand: VecDeque<AtHand>,
    at_hand_max: usize,
}

/// A segment whose places are at hand, or some of them.
#[derive(Debug)]
struct AtHand {
    segment: u32,
    /// How many there are, at most.
    places: usize,
    /// The last run whose places are in the index.
    moved: Option<RunId>,
}

impl Moved {
    pub(super) fn new(index: Option<Index>) -> Self {
        Self { index, at_hand: VecDeque::new(), at_hand_max: AT_HAND_MAX }
    }

    pub(super) fn index(&self) -> Option<&Index> {
        self.index.as_ref()
    }

    /// Keeps no more than this at hand.
    #[cfg(test)]
    pub(super) fn keep(&mut self, at_hand_max: usize) {
        self.at_hand_max = at_hand_max;
    }

    /// Notes that the places of a segment are at hand.
    pub(super) fn has_at_hand(&mut self, segment: u32, parts: &Parts) {
        if self.index.is_some() {
            let places = parts.0.values().map(|part| part.places.len()).sum();
            self.at_hand.retain(|it| it.segment != segment);
            self.at_hand.push_back(AtHand { segment, places, moved: None });
        }
    }

    /// Moves the places of some runs, if too many are at hand. Says whether it did.
    pub(super) fn move_some<'p>(
        &mut self,
        parts: impl FnOnce(u32) -> Option<&'p mut Parts>,
    ) -> Result<bool, JournalError> {
        let Some(index) = &mut self.index else { return Ok(false) };
        if self.at_hand.iter().map(|it| it.places).sum::<usize>() <= self.at_hand_max {
            return Ok(false);
        }
        let Some(oldest) = self.at_hand.front_mut() else { return Ok(false) };
        let from = (oldest.moved.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let mut last = None;
        let parts = parts(oldest.segment).into_iter().flat_map(|parts| parts.0.range_mut(from));
        for (run, part) in parts.take(MOVED_AT_ONCE) {
            for extent in std::mem::take(&mut part.places) {
                index.insert(*run, oldest.segment, extent)?;
                oldest.places = oldest.places.saturating_sub(1);
            }
            last = Some(*run);
        }
        match last {
            Some(run) => oldest.moved = Some(run),
            None => drop(self.at_hand.pop_front()),
        }
        Ok(true)
    }

    /// Takes in that a segment is gone, which held this.
    pub(super) fn forget(&mut self, segment: u32, parts: &Parts) -> Result<(), JournalError> {
        self.at_hand.retain(|it| it.segment != segment);
        let Some(index) = &self.index else { return Ok(()) };
        parts.0.keys().try_for_each(|run| index.remove(*run, segment))
    }
}
