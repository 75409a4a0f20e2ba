use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, Timespec, clock_gettime};

use super::engine::EPOCH_TICK;

/// The time one call has spent on a processor: that of the thread, while it worked on the call. Waiting for
/// the network, for a file or for a turn costs nothing.
///
/// Reading the clock of a thread takes a system call, and two of them are a thirtieth of a short call. So the
/// first stretch, which ends with the first tick of the epoch, is measured by the wall clock.
#[derive(Clone, Debug, Default)]
pub(super) struct CpuMeter(Arc<Clock>);

#[derive(Debug, Default)]
struct Clock {
    /// Nanoseconds of the stretches that ended.
    spent_ns: AtomicU64,
    /// The thread's clock when the present stretch began; 0 in the first one.
    since_ns: AtomicU64,
}

/// What the first stretch counts at most, however long the thread had to wait for a processor meanwhile.
const FIRST_STRETCH_MAX: Duration = EPOCH_TICK.saturating_mul(2);

impl CpuMeter {
    /// Nanoseconds until now. To be asked by the thread that works on the call.
    pub(super) fn running_ns(&self) -> u64 {
        match self.0.since_ns.load(Ordering::Relaxed) {
            0 => self.spent_ns(),
            since => self.spent_ns().saturating_add(thread_ns().saturating_sub(since)),
        }
    }

    /// Nanoseconds, when the call has ended.
    pub(super) fn spent_ns(&self) -> u64 {
        self.0.spent_ns.load(Ordering::Relaxed)
    }

    /// Carries a future out and counts the time it takes.
    pub(super) async fn count<F: Future>(&self, mut future: Pin<&mut F>) -> F::Output {
        std::future::poll_fn(|context| self.poll(future.as_mut(), context)).await
    }

    fn poll<F: Future>(&self, future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        if self.spent_ns() == 0 {
            let start = Instant::now();
            let polled = future.poll(context);
            let stretch = start.elapsed().min(FIRST_STRETCH_MAX).as_nanos();
            self.0.spent_ns.store(u64::try_from(stretch).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
            return polled;
        }
        let start = thread_ns();
        self.0.since_ns.store(start, Ordering::Relaxed);
        let polled = future.poll(context);
        self.0.spent_ns.fetch_add(thread_ns().saturating_sub(start), Ordering::Relaxed);
        polled
    }
}

fn thread_ns() -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ThreadCPUTime);
    // Neither is ever negative.
    u64::try_from(tv_sec)
        .unwrap_or(0)
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(tv_nsec).unwrap_or(0))
}
