//! A program, and all the processes that it started.

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

/// A program that leads a process group of its own, which ends together: when this is dropped, each of them is told to.
pub(crate) struct Group {
    pub(crate) leader: Child,
    /// What they are told.
    signal: Signal,
}

impl Group {
    /// The group of a program that was started as the leader of one, and that ends itself when it is asked to.
    pub(crate) fn of(leader: Child) -> Self {
        Self { leader, signal: Signal::TERM }
    }

    /// The same of a program that need not be asked.
    #[cfg(feature = "mcp")]
    pub(crate) fn killed(leader: Child) -> Self {
        Self { leader, signal: Signal::KILL }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It has an id until its end was waited for, so the group is no other one.
        let group = self.leader.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(group) = group {
            // Where it has just ended there is nothing to stop.
            let _ = kill_process_group(group, self.signal);
        }
    }
}
