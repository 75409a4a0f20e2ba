use std::time::{Duration, Instant};

use wasmtime_wasi::HostWallClock;

/// The wall clock a guest sees: it starts at the call's recorded time, so that a call that is carried out
/// again begins at the same moment.
pub(super) struct CallClock {
    start: Duration,
    since: Instant,
}

impl CallClock {
    pub(super) fn starting_at(start_ms: u64) -> Self {
        Self { start: Duration::from_millis(start_ms), since: Instant::now() }
    }
}

impl HostWallClock for CallClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.start + self.since.elapsed()
    }
}
