//! The places for instances: so many may be alive at once, and runs take them in turn.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use crate::message::RunId;

/// Places of one kind, given to runs in turn: a run with a thousand calls that wait holds up no other run's only call.
#[derive(Debug)]
pub(super) struct Places(Mutex<State>);

#[derive(Debug)]
struct State {
    free: usize,
    /// The runs that wait, the one whose turn is next first, each with its calls in the order in which they came.
    waiting: VecDeque<(Option<RunId>, VecDeque<oneshot::Sender<Place>>)>,
}

/// A place for an instance, given back when it is dropped.
#[derive(Debug)]
pub struct Place(Option<Arc<Places>>);

impl Places {
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { free: places, waiting: VecDeque::new() })))
    }

    /// Waits for a place for a call of a run. Dropping the future gives the turn back.
    pub(super) async fn take(self: &Arc<Self>, run: Option<RunId>) -> Place {
        let receiver = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                return Place(Some(Arc::clone(self)));
            }
            state.wait(run)
        };
        // The sender lives as long as it waits here, and these places as long as this does.
        receiver.await.unwrap_or(Place(None))
    }

    /// Gives a place to whoever's turn it is.
    fn give_back(self: &Arc<Self>) {
        loop {
            let next = {
                let mut state = self.state();
                let next = state.next();
                if next.is_none() {
                    state.free += 1;
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(Place(Some(Arc::clone(self)))) {
                Ok(()) => return,
                // It does not wait any more. The place must not come back here by itself.
                Err(mut back) => back.0 = None,
            }
        }
    }

    /// How many nobody has.
    pub(super) fn free(&self) -> usize {
        self.state().free
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl State {
    fn wait(&mut self, run: Option<RunId>) -> oneshot::Receiver<Place> {
        let (sender, receiver) = oneshot::channel();
        match self.waiting.iter_mut().find(|(other, _)| *other == run) {
            Some((_, calls)) => calls.push_back(sender),
            None => self.waiting.push_back((run, VecDeque::from([sender]))),
        }
        receiver
    }

    /// The call whose turn it is. The run that it belongs to goes to the end.
    fn next(&mut self) -> Option<oneshot::Sender<Place>> {
        let (run, mut calls) = self.waiting.pop_front()?;
        let call = calls.pop_front();
        if !calls.is_empty() {
            self.waiting.push_back((run, calls));
        }
        call
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(places) = self.0.take() {
            places.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use futures::FutureExt as _;
    use futures::future::BoxFuture;

    use super::*;

    fn run(n: u8) -> RunId {
        RunId::from_bytes([n; 16])
    }

    /// A call that has asked for a place, and has it or waits for it.
    fn asked(places: &Arc<Places>, run: RunId) -> BoxFuture<'static, Place> {
        let places = Arc::clone(places);
        let mut waits = async move { places.take(Some(run)).await }.boxed();
        assert!((&mut waits).now_or_never().is_none());
        waits
    }

    #[test]
    fn runs_take_places_in_turn_however_many_calls_each_has() {
        let places = Places::new(1);
        let first = places.take(Some(run(1))).now_or_never().unwrap();
        let many: Vec<_> = (0..3).map(|_| asked(&places, run(1))).collect();
        let mut one = asked(&places, run(2));
        let mut many = many.into_iter();
        drop(first);
        let place = many.next().unwrap().now_or_never().unwrap();
        drop(place);
        // The other run's call comes before the other calls of the first.
        let place = (&mut one).now_or_never().unwrap();
        let mut third = many.next().unwrap();
        assert!((&mut third).now_or_never().is_none());
        drop(place);
        drop(third.now_or_never().unwrap());
        drop(many.next().unwrap().now_or_never().unwrap());
        assert!(places.take(None).now_or_never().is_some());
    }

    #[test]
    fn a_call_that_does_not_wait_any_more_takes_no_place() {
        let places = Places::new(1);
        let first = places.take(Some(run(1))).now_or_never().unwrap();
        let gone = asked(&places, run(1));
        let given = asked(&places, run(2));
        let last = asked(&places, run(3));
        drop(gone);
        drop(first);
        // It was given a place, and went away before it looked.
        drop(given);
        drop(last.now_or_never().unwrap());
        assert_eq!(places.state().free, 1);
        assert!(places.state().waiting.is_empty());
    }
}
