//! Idempotency keys: the same request gives the same run.
//!
//! The keys are a copy of what the runs themselves record, made anew at each start. Invariant: of two requests with one
//! key, at any time within that for which keys are kept, at most one begins a run; the other is told of that run once it
//! is on disk, or tries itself if it could not be begun.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::message::{Digest, Moment, OrderKey, RunId};

/// The keys that were used.
#[derive(Debug)]
pub(super) struct Keys {
    /// In milliseconds.
    kept_ms: AtomicU64,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    by_key: HashMap<Digest, Use>,
    /// Oldest first.
    order: VecDeque<(u64, Digest, RunId)>,
}

#[derive(Clone, Debug)]
struct Use {
    body: Digest,
    run: RunId,
    recorded: watch::Receiver<Recorded>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recorded {
    NotYet,
    Yes,
    Never,
}

/// What becomes of a request with a key.
pub(super) enum Lookup {
    /// It is the first one: it begins a run, and says when that is recorded.
    First(Reserved),
    /// It began this run before.
    Same(RunId),
    /// The key belongs to another request.
    Reused(RunId),
}

/// A key that is to belong to a run. Unless the run is recorded, the key is free again.
pub(super) struct Reserved {
    keys: Arc<Keys>,
    key: Digest,
    run: RunId,
    recorded: watch::Sender<Recorded>,
}

impl Keys {
    /// Keys are kept for a time after their runs began.
    pub(super) fn new(kept: Duration) -> Arc<Self> {
        let keys = Self { kept_ms: AtomicU64::new(0), used: Mutex::default() };
        keys.keep(kept);
        Arc::new(keys)
    }

    /// Keeps keys for another time from now on.
    pub(super) fn keep(&self, kept: Duration) {
        self.kept_ms.store(u64::try_from(kept.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Takes in the key of a run that was recorded before. Runs come in the order in which they began.
    pub(super) fn remember(&self, key: OrderKey, run: RunId) {
        if self.is_over(run.started_ms()) {
            return;
        }
        // The sender goes, and what it said last stays.
        let recorded = watch::channel(Recorded::Yes).1;
        let mut used = self.used();
        used.order.push_back((run.started_ms(), key.key, run));
        used.by_key.insert(key.key, Use { body: key.body, run, recorded });
    }

    /// Whether a request with a key begins a run, which would be this one. Waits until it is known.
    pub(super) async fn look_up(self: &Arc<Self>, key: OrderKey, run: RunId) -> Lookup {
        loop {
            let mut other = match self.reserve(key, run) {
                Ok(reserved) => return Lookup::First(reserved),
                Err(other) if other.body != key.body => return Lookup::Reused(other.run),
                Err(other) => other,
            };
            let recorded = other.recorded.wait_for(|recorded| *recorded != Recorded::NotYet).await;
            match recorded.map(|recorded| *recorded) {
                Ok(Recorded::Yes) => return Lookup::Same(other.run),
                // The key is free again.
                Ok(Recorded::Never | Recorded::NotYet) | Err(_) => {}
            }
        }
    }

    fn reserve(self: &Arc<Self>, key: OrderKey, run: RunId) -> Result<Reserved, Use> {
        let mut used = self.used();
        while let Some((_, key, run)) = used.order.front().copied().filter(|(at_ms, ..)| self.is_over(*at_ms))
        {
            used.order.pop_front();
            if used.by_key.get(&key).is_some_and(|it| it.run == run) {
                used.by_key.remove(&key);
            }
        }
        if let Some(other) = used.by_key.get(&key.key) {
            return Err(other.clone());
        }
        let (sender, recorded) = watch::channel(Recorded::NotYet);
        used.order.push_back((run.started_ms(), key.key, run));
        used.by_key.insert(key.key, Use { body: key.body, run, recorded });
        Ok(Reserved { keys: Arc::clone(self), key: key.key, run, recorded: sender })
    }

    fn is_over(&self, at_ms: u64) -> bool {
        Moment::now().since(Moment(at_ms)) > Duration::from_millis(self.kept_ms.load(Ordering::Relaxed))
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock()
    }
}

impl Reserved {
    /// The run is recorded, and the key belongs to it.
    pub(super) fn recorded(self) {
        self.recorded.send_replace(Recorded::Yes);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if *self.recorded.borrow() == Recorded::NotYet {
            self.keys.used().by_key.retain(|key, it| *key != self.key || it.run != self.run);
            self.recorded.send_replace(Recorded::Never);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

    use futures::FutureExt as _;

    use super::*;

    fn key(key: &str, body: &str) -> OrderKey {
        OrderKey { key: Digest::of(key.as_bytes()), body: Digest::of(body.as_bytes()) }
    }

    fn first(lookup: Lookup) -> Reserved {
        match lookup {
            Lookup::First(reserved) => reserved,
            Lookup::Same(_) | Lookup::Reused(_) => panic!("the key was used"),
        }
    }

    #[test]
    fn the_same_request_gives_the_same_run_once_that_is_recorded() {
        let keys = Keys::new(Duration::from_hours(24));
        let (one, two) = (RunId::new(), RunId::new());
        let reserved = first(keys.look_up(key("k", "a"), one).now_or_never().unwrap());
        let mut other = Box::pin(keys.look_up(key("k", "a"), two));
        assert!((&mut other).now_or_never().is_none(), "the run is not recorded yet");
        let reused = keys.look_up(key("k", "b"), two).now_or_never().unwrap();
        assert!(matches!(reused, Lookup::Reused(run) if run == one));
        reserved.recorded();
        assert!(matches!(other.now_or_never().unwrap(), Lookup::Same(run) if run == one));
    }

    #[test]
    fn a_key_whose_run_could_not_be_recorded_is_free_for_whoever_waits() {
        let keys = Keys::new(Duration::from_hours(24));
        let (one, two) = (RunId::new(), RunId::new());
        let reserved = first(keys.look_up(key("k", "a"), one).now_or_never().unwrap());
        let mut other = Box::pin(keys.look_up(key("k", "a"), two));
        assert!((&mut other).now_or_never().is_none());
        drop(reserved);
        first(other.now_or_never().unwrap()).recorded();
        let same = keys.look_up(key("k", "a"), RunId::new()).now_or_never().unwrap();
        assert!(matches!(same, Lookup::Same(run) if run == two));
    }

    #[test]
    fn keys_are_known_after_a_start_and_forgotten_after_their_time() {
        let keys = Keys::new(Duration::from_hours(24));
        let (long_ago, now) = (RunId::from_bytes([1; 16]), RunId::new());
        keys.remember(key("old", "a"), long_ago);
        keys.remember(key("new", "a"), now);
        assert!(matches!(
            keys.look_up(key("new", "a"), RunId::new()).now_or_never().unwrap(),
            Lookup::Same(_)
        ));
        first(keys.look_up(key("old", "a"), RunId::new()).now_or_never().unwrap());
        let keys = Keys::new(Duration::ZERO);
        let used = key("k", "a");
        let ago = RunId::from_bytes([0; 16]);
        first(keys.look_up(used, ago).now_or_never().unwrap()).recorded();
        first(keys.look_up(used, RunId::new()).now_or_never().unwrap());
        assert_eq!(keys.used().order.len(), 1);
    }
}
