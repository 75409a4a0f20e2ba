//! How all runs stop: when the server ends, and while nothing can be recorded.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Scheduler;

/// How often runs that are to stop are told again, and how many times: a call is cut off within a tick of its clock.
const STOP_AGAIN: Duration = Duration::from_millis(200);
const STOP_TRIES: u32 = 50;

/// How often is looked whether runs can be recorded again. Each look writes and syncs a file.
const MEND_EVERY: Duration = Duration::from_secs(1);

impl Scheduler {
    /// Waits for the journal to stop, has everything stop of which nothing can be recorded, and has it go on once there is
    /// room.
    pub(in super::super) async fn mend(self: Arc<Self>) {
        loop {
            self.recording.stop().await;
            // A run that has the journal open holds up that it is opened anew.
            self.stop_all().await;
            while !self.can_record().await {
                tokio::time::sleep(MEND_EVERY).await;
            }
            let stranded = std::mem::take(&mut *self.stranded.lock());
            self.recording.goes_on(stranded.len());
            for job in stranded {
                self.queue().line_up(job);
            }
            self.changed.notify_one();
        }
    }

    async fn can_record(&self) -> bool {
        let engine = self.engine.clone();
        // The disk may be slow.
        matches!(tokio::task::spawn_blocking(move || engine.runs().try_to_write()).await, Ok(Ok(())))
    }

    /// Takes no more runs, lets those that work go on for a time, and then has them stop where they are.
    pub(in super::super) async fn drain(&self, grace: Duration) {
        self.drains.store(true, Ordering::Relaxed);
        if tokio::time::timeout(grace, self.idle()).await.is_err() {
            self.stop_all().await;
        }
    }

    /// Has every run stop where it is. One that is only about to begin hears nothing yet, and is told again; one that
    /// waits for another process is not waited for: it is on disk.
    async fn stop_all(&self) {
        for _ in 0..STOP_TRIES {
            for run in self.working() {
                self.engine.interrupt(run);
            }
            if tokio::time::timeout(STOP_AGAIN, self.idle()).await.is_ok() {
                return;
            }
        }
    }

    /// Waits until no run is worked on.
    async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.counts().0 == 0 {
                return;
            }
            idle.await;
        }
    }
}
