//! Runs that were looked at a moment ago: whoever scrolls through a long one, or clicks here and there in it, has it read
//! once. Only what cannot change is kept: a run that has ended, and was not cancelled.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::engine::timeline::Followed;
use crate::journal::RunState;
use crate::message::RunId;

/// So many recorded events are kept of all runs together.
const EVENTS_MAX: usize = 150_000;
/// So long a run is kept that nobody looks at any more.
const KEPT: Duration = Duration::from_mins(1);

/// What was looked at, the last one first.
#[derive(Default)]
pub(super) struct Recent(Mutex<VecDeque<(RunId, Instant, Arc<Followed>)>>);

impl Recent {
    /// What is known of a run that is listed with this state, if it was looked at.
    pub(super) fn get(&self, run: RunId, state: RunState) -> Option<Arc<Followed>> {
        let mut kept = self.0.lock();
        let at = kept.iter().position(|(of, ..)| *of == run)?;
        let (.., known) = kept.remove(at)?;
        kept.push_front((run, Instant::now(), Arc::clone(&known)));
        (known.state() == state).then_some(known)
    }

    /// Keeps what is known of a run, if that cannot change.
    pub(super) fn keep(self: &Arc<Self>, run: RunId, known: &Arc<Followed>) {
        let may_change = !known.state().has_ended() || known.state() == RunState::Cancelled;
        if may_change || known.entries().len() > EVENTS_MAX {
            return;
        }
        let mut kept = self.0.lock();
        kept.retain(|(of, ..)| *of != run);
        kept.push_front((run, Instant::now(), Arc::clone(known)));
        let mut events = 0;
        kept.retain(|(.., known)| {
            events += known.entries().len();
            events <= EVENTS_MAX
        });
        let recent = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(KEPT).await;
                let Some(recent) = recent.upgrade() else { return };
                let mut kept = recent.0.lock();
                kept.retain(|(_, at, _)| at.elapsed() < KEPT);
                if kept.iter().all(|(of, ..)| *of != run) {
                    return;
                }
            }
        });
    }
}
