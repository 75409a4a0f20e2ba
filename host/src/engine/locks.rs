//! Locks by key: whoever wants one of a key that somebody has waits, in the order in which they came.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// A lock for each key that somebody has or waits for.
#[derive(Debug)]
pub(super) struct Locks<K>(Mutex<HashMap<K, Weak<tokio::sync::Mutex<()>>>>);

impl<K> Default for Locks<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash> Locks<K> {
    /// Waits until nobody else has the lock of a key. Calls `waits` first if somebody has.
    pub(super) async fn lock(&self, key: &K, waits: impl FnOnce()) -> OwnedMutexGuard<()> {
        let lock = self.of(key);
        if let Ok(locked) = Arc::clone(&lock).try_lock_owned() {
            return locked;
        }
        waits();
        lock.lock_owned().await
    }

    /// The lock of a key. Locks that nobody has go.
    fn of(&self, key: &K) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock();
        if let Some(lock) = locks.get(key).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::default();
        locks.insert(key.clone(), Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn who_came_first_has_the_lock_of_a_key_first_and_nothing_is_left_of_it() {
        let locks = Locks::<&str>::default();
        let first = locks.lock(&"ada", || unreachable!("nobody has it")).now_or_never().unwrap();
        let other = locks.lock(&"bob", || unreachable!("nobody has it")).now_or_never().unwrap();
        let mut told = 0;
        let mut second = Box::pin(locks.lock(&"ada", || told += 1));
        assert!((&mut second).now_or_never().is_none());
        let mut third = Box::pin(locks.lock(&"ada", || ()));
        assert!((&mut third).now_or_never().is_none());
        drop(first);
        assert!((&mut third).now_or_never().is_none());
        let second = second.now_or_never().unwrap();
        drop((second, other));
        drop(third.now_or_never().unwrap());
        assert_eq!(told, 1);
        drop(locks.lock(&"eve", || ()).now_or_never().unwrap());
        assert_eq!(locks.0.lock().len(), 1);
    }
}
