use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Time that stands still while a person, or a moment, is waited for: what takes a limit's time is work alone.
#[derive(Debug)]
pub struct Clock(watch::Sender<Stood>);

/// For as long as it is kept, the clock stands still.
#[derive(Debug)]
pub struct Held(watch::Sender<Stood>);

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

impl Default for Clock {
    fn default() -> Self {
        Self(watch::Sender::new(Stood::default()))
    }
}

impl Clock {
    /// Lets the clock stand still.
    #[must_use]
    pub fn hold(&self) -> Held {
        self.0.send_modify(|stood| {
            stood.holds += 1;
            stood.since.get_or_insert_with(Instant::now);
        });
        Held(self.0.clone())
    }

    /// What the work comes to; none if it takes longer than `limit` by this clock, and is dropped then.
    pub async fn timeout<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut stood = self.0.subscribe();
        let began = Instant::now();
        let stood_before = stood.borrow().until(began);
        let work = pin!(work);
        let over = async {
            loop {
                let now = *stood.borrow_and_update();
                // The clock outlives this, so that its next change is seen, if there is one.
                let changed = stood.changed();
                if now.since.is_some() {
                    let _ = changed.await;
                    continue;
                }
                let left = tokio::time::sleep_until(began + limit + now.before.saturating_sub(stood_before));
                tokio::select! {
                    () = left => return,
                    _ = changed => {}
                }
            }
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = over => None,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.send_modify(|stood| {
            stood.holds -= 1;
            if stood.holds == 0 {
                stood.before = stood.until(Instant::now());
                stood.since = None;
            }
        });
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
