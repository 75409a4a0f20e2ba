//! So many at once: connections, requests that wait, bytes of bodies. How many may change while the server serves.
//!
//! Invariant: what was taken is given back when its [`Taken`] is dropped, however that comes about.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// How many there may be at once, and how many there are.
#[derive(Debug)]
pub(super) struct Bound {
    max: AtomicUsize,
    taken: AtomicUsize,
    /// Some were given back.
    freed: Notify,
}

/// Places that somebody has taken.
#[derive(Debug)]
pub(super) struct Taken {
    bound: Arc<Bound>,
    count: usize,
}

impl Bound {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: AtomicUsize::new(max), taken: AtomicUsize::new(0), freed: Notify::new() })
    }

    /// Allows so many from now on. Whoever has a place keeps it.
    pub(super) fn set(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
        self.freed.notify_waiters();
    }

    /// How many there may be at once.
    pub(super) fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// A place, if there is one.
    pub(super) fn take(self: &Arc<Self>) -> Option<Taken> {
        let mut taken = self.none();
        taken.grow(1).then_some(taken)
    }

    /// A place, as soon as there is one, if that is within a time.
    pub(super) async fn take_within(self: &Arc<Self>, time: Duration) -> Option<Taken> {
        let until = Instant::now() + time;
        loop {
            // Before it is looked for: a place that comes free after that wakes whoever waits.
            let freed = self.freed.notified();
            if let Some(taken) = self.take() {
                return Some(taken);
            }
            timeout_at(until, freed).await.ok()?;
        }
    }

    /// No place yet, for who takes them one after the other.
    pub(super) fn none(self: &Arc<Self>) -> Taken {
        Taken { bound: Arc::clone(self), count: 0 }
    }
}

impl Taken {
    /// Takes so many more, if they are there.
    pub(super) fn grow(&mut self, more: usize) -> bool {
        let max = self.bound.max();
        let fits = |taken: usize| taken.checked_add(more).filter(|taken| *taken <= max);
        let is_there = self.bound.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok();
        self.count += if is_there { more } else { 0 };
        is_there
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // Who took nothing gives nothing back, and wakes nobody: it may be who looks for a place, itself.
        if self.count > 0 {
            self.bound.taken.fetch_sub(self.count, Ordering::AcqRel);
            self.bound.freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn no_more_are_taken_than_there_are_and_what_is_dropped_is_there_again() {
        let bound = Bound::new(2);
        let (one, two) = (bound.take().unwrap(), bound.take().unwrap());
        assert!(bound.take().is_none());
        drop(one);
        let mut many = bound.none();
        assert!(many.grow(1) && !many.grow(1) && !many.grow(usize::MAX));
        drop((two, many));
        assert_eq!(bound.taken(), 0);
        // Who has a place keeps it when there are to be fewer.
        let kept = [bound.take().unwrap(), bound.take().unwrap()];
        bound.set(1);
        assert!(bound.take().is_none());
        drop(kept);
        let _one = bound.take().unwrap();
        assert!(bound.take().is_none());
    }

    #[tokio::test]
    async fn who_waits_is_woken_when_a_place_comes_free_or_is_made() {
        let bound = Bound::new(1);
        let first = bound.take().unwrap();
        assert!(bound.take_within(Duration::ZERO).await.is_none());
        let long = Duration::from_hours(1);
        let waiting = tokio::spawn({
            let bound = Arc::clone(&bound);
            async move { bound.take_within(long).await }
        });
        tokio::task::yield_now().await;
        drop(first);
        let second = waiting.await.unwrap().unwrap();
        let waiting = tokio::spawn({
            let bound = Arc::clone(&bound);
            async move { bound.take_within(long).await }
        });
        tokio::task::yield_now().await;
        bound.set(2);
        assert!(waiting.await.unwrap().is_some());
        drop(second);
    }
}
