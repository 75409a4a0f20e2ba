use std::pin::pin;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Time that stands still while a person, or a moment, is waited for: what takes a limit's time is work alone.
#[derive(Debug, Default)]
pub struct Clock {
    stood: Mutex<Stood>,
    changed: Notify,
}

/// For as long as it is kept, the clock stands still.
#[derive(Debug)]
pub struct Held<'a>(&'a Clock);

/// How long a clock stood still.
#[derive(Clone, Copy, Debug, Default)]
struct Stood {
    /// How many hold it now, and since when anybody does.
    holds: u32,
    since: Option<Instant>,
    before: Duration,
}

impl Stood {
    fn until(&self, now: Instant) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| now.duration_since(since))
    }
}

impl Clock {
    /// Lets the clock stand still.
    #[must_use]
    pub fn hold(&self) -> Held<'_> {
        let mut stood = self.stood();
        stood.holds += 1;
        stood.since.get_or_insert_with(Instant::now);
        drop(stood);
        self.changed.notify_waiters();
        Held(self)
    }

    /// What the work comes to; none if it takes longer than `limit` by this clock, and is dropped then.
    pub async fn timeout<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        let over = self.over(limit);
        let work = pin!(work);
        tokio::select! {
            biased;
            done = work => Some(done),
            () = over => None,
        }
    }

    /// Comes when `limit` is over by this clock, from the call on.
    pub fn over(&self, limit: Duration) -> impl Future<Output = ()> + use<'_> {
        let began = Instant::now();
        let stood_before = self.stood().until(began);
        async move {
            loop {
                // Before it is looked at how the clock stands, so that no change after that is missed.
                let changed = self.changed.notified();
                let stood = *self.stood();
                if stood.since.is_some() {
                    changed.await;
                    continue;
                }
                let until = began + limit + stood.before.saturating_sub(stood_before);
                tokio::select! {
                    () = tokio::time::sleep_until(until) => return,
                    () = changed => {}
                }
            }
        }
    }

    fn stood(&self) -> MutexGuard<'_, Stood> {
        self.stood.lock()
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut stood = self.0.stood();
        stood.holds = stood.holds.saturating_sub(1);
        if stood.holds == 0 {
            stood.before = stood.until(Instant::now());
            stood.since = None;
        }
        drop(stood);
        self.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn time_in_which_the_clock_stands_does_not_count() {
        let clock = Clock::default();
        let work = async {
            let (one, other) = (clock.hold(), clock.hold());
            tokio::time::sleep(LONG).await;
            drop(one);
            tokio::time::sleep(LONG).await;
            drop(other);
        };
        assert_eq!(clock.timeout(SHORT, work).await, Some(()));
    }

    #[tokio::test]
    async fn a_limit_that_begins_while_the_clock_stands_begins_when_it_goes_on() {
        let clock = Clock::default();
        let held = clock.hold();
        tokio::time::sleep(LONG).await;
        let work = async {
            tokio::time::sleep(LONG).await;
            drop(held);
        };
        assert_eq!(clock.timeout(SHORT, work).await, Some(()));
    }

    #[tokio::test]
    async fn work_takes_its_time_also_after_the_clock_stood() {
        let clock = Clock::default();
        assert_eq!(clock.timeout(SHORT, std::future::pending::<()>()).await, None);
        drop(clock.hold());
        let work = async {
            drop(clock.hold());
            std::future::pending::<()>().await;
        };
        assert_eq!(clock.timeout(LONG, work).await, None);
    }
}
