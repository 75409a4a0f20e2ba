//! What agents that are loaded again share instead of having it made anew.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// How many things are kept although nobody uses them: an agent that is loaded for one short run after another finds its
/// components again. A compiled component has a megabyte in general, and up to a hundred.
const UNUSED_MAX: usize = 8;

/// Things by what they are made of. Each is made once at a time, and kept for as long as somebody uses it, and the
/// [`UNUSED_MAX`] that were used last for longer.
pub(super) struct Shelf<K, V> {
    spots: Mutex<HashMap<K, Arc<Spot<V>>>>,
    last: Mutex<VecDeque<Arc<V>>>,
}

/// Where one thing is. Whoever makes it has the lock.
type Spot<V> = tokio::sync::Mutex<Weak<V>>;

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self { spots: Mutex::default(), last: Mutex::default() }
    }
}

impl<K: Eq + Hash, V> Shelf<K, V> {
    /// The thing that is made of this, or a new one. Who comes while it is made waits for it; if it cannot be made, the
    /// next one tries.
    pub(super) async fn get<E>(&self, key: K, make: impl Future<Output = Result<V, E>>) -> Result<Arc<V>, E> {
        let spot = self.spot(key);
        let mut there = spot.lock().await;
        let thing = if let Some(thing) = there.upgrade() {
            thing
        } else {
            let thing = Arc::new(make.await?);
            *there = Arc::downgrade(&thing);
            thing
        };
        self.used(&thing);
        Ok(thing)
    }

    fn spot(&self, key: K) -> Arc<Spot<V>> {
        let mut spots = self.spots.lock();
        // Somebody who waits at a spot holds it, or its thing is in use; the others are in nobody's way to go.
        spots.retain(|_, spot| {
            Arc::strong_count(spot) > 1 || spot.try_lock().is_ok_and(|thing| thing.strong_count() > 0)
        });
        Arc::clone(spots.entry(key).or_default())
    }

    fn used(&self, thing: &Arc<V>) {
        let mut last = self.last.lock();
        last.retain(|other| !Arc::ptr_eq(other, thing));
        last.push_back(Arc::clone(thing));
        let unused = if last.len() > UNUSED_MAX { last.pop_front() } else { None };
        // It may be the last one, and takes its time to go.
        drop(last);
        drop(unused);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use std::convert::Infallible;

    use futures::FutureExt as _;
    use futures::future::{pending, ready};

    use super::*;

    fn made(shelf: &Shelf<usize, usize>, key: usize, value: usize) -> Arc<usize> {
        shelf.get(key, ready(Ok::<_, Infallible>(value))).now_or_never().unwrap().unwrap()
    }

    #[test]
    fn a_thing_is_made_once_while_it_is_used() {
        let shelf = Shelf::default();
        let first = made(&shelf, 1, 10);
        for key in 2..=UNUSED_MAX + 2 {
            made(&shelf, key, 0);
        }
        assert!(Arc::ptr_eq(&first, &made(&shelf, 1, 11)), "it is in use");
        drop(first);
        assert_eq!(*made(&shelf, 1, 12), 10, "it was among the last ones");
    }

    #[test]
    fn what_nobody_uses_goes_when_others_were_used_since() {
        let shelf = Shelf::default();
        let first = Arc::downgrade(&made(&shelf, 1, 10));
        for key in 2..=UNUSED_MAX + 1 {
            assert!(first.upgrade().is_some());
            made(&shelf, key, 0);
        }
        assert!(first.upgrade().is_none());
        assert_eq!(*made(&shelf, 1, 11), 11);
        assert!(shelf.spots.lock().len() <= UNUSED_MAX + 1, "nor is there a spot for it");
    }

    #[test]
    fn who_comes_meanwhile_waits_and_makes_it_if_the_first_one_does_not() {
        let shelf = Shelf::<usize, usize>::default();
        let mut first = Box::pin(shelf.get(1, pending::<Result<usize, Infallible>>()));
        assert!(first.as_mut().now_or_never().is_none());
        let mut second = Box::pin(shelf.get(1, ready(Ok::<_, Infallible>(2))));
        assert!(second.as_mut().now_or_never().is_none(), "it is being made");
        drop(first);
        assert_eq!(*second.now_or_never().unwrap().unwrap(), 2);
        let failed = shelf.get(3, ready(Err::<usize, _>("no"))).now_or_never().unwrap();
        assert_eq!(failed.unwrap_err(), "no");
        assert_eq!(*made(&shelf, 3, 4), 4);
    }
}
