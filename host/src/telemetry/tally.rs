use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use opentelemetry::trace::TraceId;
use opentelemetry_sdk::trace::SpanData;
use parking_lot::{Mutex, MutexGuard};

use super::FLUSH_MAX;

/// The tallies of the runs on which this process works. A run's id is the id of its trace, so each span of a batch
/// says whose it is.
#[derive(Debug, Default)]
pub(super) struct Tallies(Mutex<HashMap<TraceId, Shared>>);

/// A tally, and how many works on the run count by it: a run may go on while the work before still waits for the
/// collector.
#[derive(Debug, Default)]
struct Shared {
    tally: Arc<Tally>,
    works: usize,
}

/// How many spans of a run were made, how many arrived, and what kept the others.
#[derive(Debug, Default)]
pub(super) struct Tally {
    made: AtomicUsize,
    arrived: AtomicUsize,
    fault: Mutex<Option<String>>,
}

/// A work on a run whose spans are counted, until it is dropped.
#[derive(Debug)]
pub(super) struct Counting {
    tallies: Arc<Tallies>,
    trace: TraceId,
    tally: Arc<Tally>,
}

/// How a wait for the collector went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// Each span that was in the queue was sent, or failed.
    ToTheEnd,
    /// The collector did not answer within [`FLUSH_MAX`].
    TooLong,
}

impl Tallies {
    /// Counts the spans of a trace from now on.
    pub(super) fn count(self: &Arc<Self>, trace: TraceId) -> Counting {
        let mut tallies = self.lock();
        let shared = tallies.entry(trace).or_default();
        shared.works += 1;
        Counting { tallies: Arc::clone(self), trace, tally: Arc::clone(&shared.tally) }
    }

    /// Whose spans these are, and how many each has. A run that is counted no more is left out.
    pub(super) fn of(&self, batch: &[SpanData]) -> Vec<(Arc<Tally>, usize)> {
        let mut spans: HashMap<TraceId, usize> = HashMap::new();
        for span in batch {
            *spans.entry(span.span_context.trace_id()).or_default() += 1;
        }
        let tallies = self.lock();
        let tally = |trace| tallies.get(trace).map(|shared| Arc::clone(&shared.tally));
        spans.iter().filter_map(|(trace, spans)| Some((tally(trace)?, *spans))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TraceId, Shared>> {
        // An entry is added and removed as a whole.
        self.0.lock()
    }
}

impl Counting {
    pub(super) fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let mut tallies = self.tallies.lock();
        let Some(shared) = tallies.get_mut(&self.trace) else { return };
        shared.works -= 1;
        if shared.works == 0 {
            tallies.remove(&self.trace);
        }
    }
}

impl Tally {
    /// One more span was made, to be exported. It is said before the span is handed on.
    pub(super) fn made_one(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    /// How many spans were made so far.
    pub(super) fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// So many spans arrived.
    pub(super) fn arrived(&self, spans: usize) {
        self.arrived.fetch_add(spans, Ordering::Relaxed);
    }

    /// A batch with spans of this run did not arrive.
    pub(super) fn fault(&self, why: &str) {
        // The first one says most: what follows from it is a retry that failed, too.
        self.fault_slot().get_or_insert_with(|| why.to_owned());
    }

    /// How many of the first `made` spans did not arrive, and why; none if all did. The spans of a run arrive in the
    /// order in which they were made.
    pub(super) fn lost(&self, made: usize, waited: Waited) -> Option<(String, String)> {
        let lost = made.checked_sub(self.arrived.load(Ordering::Relaxed)).filter(|lost| *lost > 0)?;
        let why = self.fault_slot().take().unwrap_or_else(|| match waited {
            Waited::ToTheEnd => "more spans waited for it than its queue holds".to_owned(),
            Waited::TooLong => format!("it took longer than {} s to answer", FLUSH_MAX.as_secs()),
        });
        Some((format!("{lost} of {made} spans"), why))
    }

    fn fault_slot(&self) -> MutexGuard<'_, Option<String>> {
        self.fault.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_works_on_one_run_share_a_tally_and_the_last_one_takes_it_away() {
        let tallies = Arc::<Tallies>::default();
        let first = tallies.count(TraceId::from(7));
        first.tally().made_one();
        let second = tallies.count(TraceId::from(7));
        assert_eq!(second.tally().made(), 1);
        assert_eq!(tallies.count(TraceId::from(8)).tally().made(), 0, "another run has its own");
        drop(first);
        assert_eq!(tallies.count(TraceId::from(7)).tally().made(), 1, "the second work counts on");
        drop(second);
        assert!(tallies.lock().is_empty());
    }

    #[test]
    fn what_was_lost_is_said_of_the_spans_that_were_made_before_the_wait() {
        let tally = Tally::default();
        (0..3).for_each(|_| tally.made_one());
        let made = tally.made();
        tally.arrived(1);
        let (spans, why) = tally.lost(made, Waited::ToTheEnd).unwrap_or_default();
        assert_eq!((spans.as_str(), why.contains("queue")), ("2 of 3 spans", true));
        tally.fault("refused");
        tally.fault("refused again");
        let lost = tally.lost(made, Waited::TooLong).map(|(_, why)| why);
        assert_eq!(lost.as_deref(), Some("refused"));
        tally.made_one();
        tally.arrived(2);
        assert_eq!(tally.lost(made, Waited::TooLong), None, "the fourth span is not waited for");
    }
}
