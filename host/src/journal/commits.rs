use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// The bounds of the ranges in which commits are counted by how long they took. A sync takes from tens of microseconds on
/// a good disk to seconds on one that is about to fail.
pub const COMMIT_BOUNDS: [Duration; 11] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_millis(2_500),
];

/// The commits of this process: how many there were, of how many events, and how long they took.
#[derive(Debug, Default)]
pub struct Commits {
    events: AtomicU64,
    micros: AtomicU64,
    /// How many took as long as each bound at most, and more than the one before; last, those that took longer than all.
    by_time: [AtomicU64; COMMIT_BOUNDS.len() + 1],
    /// Up to which byte the segments are on disk that this process writes.
    on_disk: Mutex<BTreeMap<u32, u64>>,
}

impl Commits {
    /// Counts a commit.
    pub(super) fn count(&self, events: u64, took: Duration) {
        let range = COMMIT_BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(COMMIT_BOUNDS.len());
        if let Some(count) = self.by_time.get(range) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.events.fetch_add(events, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Takes in that a segment of this process is on disk up to a byte. Its file may show more: whoever is told of what is
    /// behind that byte may be told of what is lost with the power.
    pub(super) fn reached(&self, segment: u32, end: u64) {
        self.on_disk.lock().insert(segment, end);
    }

    /// Takes in that this process writes a segment no more.
    pub(super) fn left(&self, segment: u32) {
        self.on_disk.lock().remove(&segment);
    }

    /// Up to which byte a segment is on disk; `None` if this process does not write it.
    pub(super) fn on_disk(&self, segment: u32) -> Option<u64> {
        self.on_disk.lock().get(&segment).copied()
    }

    /// The events that were made durable.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// The commits, each of which took one sync.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.by_time().iter().sum()
    }

    /// How long all of them took.
    #[must_use]
    pub fn time(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::Relaxed))
    }

    /// How many took how long: as long as each of [`COMMIT_BOUNDS`] at most, and more than the one before; last, those
    /// that took longer than all of them.
    #[must_use]
    pub fn by_time(&self) -> [u64; COMMIT_BOUNDS.len() + 1] {
        self.by_time.each_ref().map(|count| count.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_counted_in_the_range_of_its_time() {
        let commits = Commits::default();
        for took in [Duration::ZERO, Duration::from_micros(100), Duration::from_micros(101), Duration::MAX] {
            commits.count(2, took);
        }
        let by_time = commits.by_time();
        assert_eq!((by_time.first(), by_time.get(1), by_time.last()), (Some(&2), Some(&1), Some(&1)));
        assert_eq!((commits.commits(), commits.events()), (4, 8));
    }
}
