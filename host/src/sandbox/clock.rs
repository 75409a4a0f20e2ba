//! The clocks of one call.
//!
//! Both begin at the recorded moment of the call. By default they take nothing from the machine: time goes on by one step
//! whenever the guest looks, by what it sleeps, and to the recorded moment at which the calls of other tools end that it
//! makes. So a call that is made again reads the same times, however fast the machine is. A guest that can wait for a
//! server has clocks that go on as those of the machine do.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use wasmtime::component::Resource;
use wasmtime_wasi::clocks::WasiClocksCtxView;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use super::state::State;
use crate::grants::ClockSource;
use crate::message::Moment;

/// How far time goes on when a guest looks at it, in nanoseconds. A guest that looks again and again until a second is
/// over looks a million times, and comes to an end.
const STEP_NS: u64 = 1_000;

/// The time of one call, for both clocks.
#[derive(Clone)]
pub(super) struct CallClock {
    start: Duration,
    time: Time,
}

#[derive(Clone)]
enum Time {
    /// As the guest looks at it, and sleeps.
    Steps(Arc<Mutex<Steps>>),
    /// As the machine's goes on.
    Machine(Instant),
}

/// Nanoseconds since the call began.
#[derive(Debug, Default)]
struct Steps {
    now: u64,
    /// The moments that the guest waits for at this time, and how many of its timers wait for each.
    awaited: BTreeMap<u64, usize>,
}

impl CallClock {
    /// Begins at a moment, in milliseconds since 1970-01-01T00:00:00Z.
    pub(super) fn starting_at(start_ms: u64, source: ClockSource) -> Self {
        let time = match source {
            ClockSource::Steps => Time::Steps(Arc::default()),
            ClockSource::Os => Time::Machine(Instant::now()),
        };
        Self { start: Duration::from_millis(start_ms), time }
    }

    /// Takes in that what the guest waited for came at a moment: by time that goes by steps, it is that moment now.
    pub(super) fn reach(&self, moment: Moment) {
        if let Time::Steps(steps) = &self.time {
            let since = Duration::from_millis(moment.0).saturating_sub(self.start).as_nanos();
            let mut steps = steps.lock();
            steps.now = steps.now.max(u64::try_from(since).unwrap_or(u64::MAX));
        }
    }

    fn elapsed(&self) -> Duration {
        match &self.time {
            Time::Steps(steps) => Duration::from_nanos(steps.lock().look()),
            Time::Machine(since) => since.elapsed(),
        }
    }
}

impl HostWallClock for CallClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(HostMonotonicClock::resolution(self))
    }

    fn now(&self) -> Duration {
        self.start + self.elapsed()
    }
}

impl HostMonotonicClock for CallClock {
    fn resolution(&self) -> u64 {
        match self.time {
            Time::Steps(_) => STEP_NS,
            Time::Machine(_) => 1,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Steps {
    /// Goes on by a step, and says what time it is.
    fn look(&mut self) -> u64 {
        self.now = self.now.saturating_add(STEP_NS);
        self.now
    }

    /// Whether a moment has come for which somebody has slept: it comes now if no other one is awaited that is before it.
    fn has_come(&mut self, at: u64) -> bool {
        if self.awaited.keys().next().is_none_or(|first| *first >= at) {
            self.now = self.now.max(at);
        }
        at <= self.now
    }
}

/// What a guest waits with for a moment of a time that goes by steps.
struct Timer {
    steps: Arc<Mutex<Steps>>,
    at: u64,
}

/// A wait with a timer. It counts as awaited until this is dropped, and not only until the moment has come: so that of
/// timers which are waited for together only the next one comes, even if the machine was too slow to tell them apart.
struct Wait {
    steps: Arc<Mutex<Steps>>,
    at: u64,
    /// `None` once it has slept.
    sleep: Option<BoxFuture<'static, ()>>,
}

impl Pollable for Timer {
    fn ready<'a, 'b>(&'a mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let mut steps = self.steps.lock();
        // A guest that asks again and again whether it is time gets somewhere, too.
        let left = self.at.saturating_sub(steps.look());
        *steps.awaited.entry(self.at).or_default() += 1;
        let sleep = (left > 0).then(|| Box::pin(tokio::time::sleep(Duration::from_nanos(left))) as _);
        drop(steps);
        Box::pin(Wait { steps: Arc::clone(&self.steps), at: self.at, sleep })
    }
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(sleep) = &mut self.sleep {
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.sleep = None;
        }
        // If another moment comes first, whoever waits for both is woken for that one.
        if self.steps.lock().has_come(self.at) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut steps = self.steps.lock();
        if let Some(waits) = steps.awaited.get_mut(&self.at) {
            *waits -= 1;
            if *waits == 0 {
                steps.awaited.remove(&self.at);
            }
        }
    }
}

impl State {
    /// The clocks as wasmtime-wasi has them.
    fn machine_clocks(&mut self) -> WasiClocksCtxView<'_> {
        WasiClocksCtxView { ctx: self.wasi.clocks(), table: &mut self.table }
    }
}

impl monotonic_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(HostMonotonicClock::now(&self.clock))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(HostMonotonicClock::resolution(&self.clock))
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        match &self.clock.time {
            Time::Steps(steps) => {
                let timer = Timer { steps: Arc::clone(steps), at: when };
                let timer = self.table.push(timer)?;
                subscribe(&mut self.table, timer)
            }
            Time::Machine(_) => self.machine_clocks().subscribe_instant(when),
        }
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        match &self.clock.time {
            Time::Steps(steps) => {
                let when = steps.lock().now.saturating_add(duration);
                self.subscribe_instant(when)
            }
            Time::Machine(_) => self.machine_clocks().subscribe_duration(duration),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use futures::FutureExt as _;

    use super::*;

    fn timer(steps: &Arc<Mutex<Steps>>, at: u64) -> Timer {
        Timer { steps: Arc::clone(steps), at }
    }

    /// Waits for some of the timers as `wasi:io/poll` does: all are asked in their order, until one of them is ready.
    async fn first_of(timers: &mut [Timer]) -> Vec<usize> {
        let mut waits: Vec<_> = timers.iter_mut().map(Pollable::ready).collect();
        // The machine is so slow that all of them have slept by the time that they are looked at.
        std::thread::sleep(Duration::from_millis(5));
        std::future::poll_fn(|context| {
            let ready = waits.iter_mut().map(|wait| wait.poll_unpin(context).is_ready());
            let ready: Vec<usize> =
                ready.enumerate().filter_map(|(index, ready)| ready.then_some(index)).collect();
            if ready.is_empty() { Poll::Pending } else { Poll::Ready(ready) }
        })
        .await
    }

    #[tokio::test]
    async fn of_timers_that_are_waited_for_together_the_next_one_comes() {
        for (times, order) in [
            ([200_000, 210_000, 220_000], [0, 1, 2]),
            ([220_000, 210_000, 200_000], [2, 1, 0]),
            ([1_220_000, 200_000, 1_210_000], [1, 2, 0]),
        ] {
            let steps = Arc::<Mutex<Steps>>::default();
            let mut timers: Vec<Timer> = times.iter().map(|at| timer(&steps, *at)).collect();
            let mut came = Vec::new();
            while !timers.is_empty() {
                let ready = first_of(&mut timers).await;
                assert_eq!(ready.len(), 1, "{times:?}");
                came.push(timers.remove(ready[0]).at);
                assert_eq!(steps.lock().now, *came.last().unwrap(), "{times:?}");
            }
            assert_eq!(came, order.map(|index| times[index]));
            assert!(steps.lock().awaited.is_empty());
        }
    }

    #[tokio::test]
    async fn timers_for_one_moment_come_together_and_one_that_is_late_at_once() {
        let steps = Arc::<Mutex<Steps>>::default();
        let mut timers = [timer(&steps, 50_000), timer(&steps, 50_000), timer(&steps, u64::MAX)];
        assert_eq!(first_of(&mut timers).await, [0, 1]);
        assert_eq!(first_of(&mut timers).await, [0, 1]);
        assert_eq!(steps.lock().now, 53_000, "three looks later");
    }

    #[test]
    fn whoever_looks_or_asks_again_and_again_gets_somewhere() {
        let clock = CallClock::starting_at(5, ClockSource::Steps);
        let mut looks = 0;
        while HostMonotonicClock::now(&clock) < 1_000_000 {
            looks += 1;
        }
        assert_eq!((looks, HostWallClock::now(&clock)), (999, Duration::from_micros(5_000 + 1_001)));
        let steps = Arc::<Mutex<Steps>>::default();
        let mut timer = timer(&steps, 1_000_000);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _inside = runtime.enter();
        let asked = (1..10_000).find(|_| timer.ready().now_or_never().is_some());
        assert_eq!(asked, Some(1_000));
    }
}
