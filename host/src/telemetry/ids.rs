use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::IdGenerator;

use crate::message::{Hasher, RunId, Slot};

/// Gives spans their ids, which are made of the run's: so whatever process works on a run, and whenever, its spans
/// are in one trace, and each knows the id of the span above it.
///
/// The library asks for an id when a span begins and does not say which span that is, so [`Ids::announce`] says it
/// before. Spans of a run begin one at a time.
#[derive(Clone, Debug)]
pub(super) struct Ids(Arc<Next>);

#[derive(Debug)]
struct Next {
    run: RunId,
    span: AtomicU64,
}

/// Which span it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpanName<'a> {
    /// The process's work on the run, from 1.
    pub(super) invocation: u32,
    /// The effect.
    pub(super) slot: &'a Slot,
    /// How many spans of that effect were cut off before in that work.
    pub(super) cut_off: u32,
}

impl Ids {
    pub(super) fn new(run: RunId) -> Self {
        Self(Arc::new(Next { run, span: AtomicU64::new(0) }))
    }

    /// The next span that begins is this one.
    pub(super) fn announce(&self, name: SpanName<'_>) {
        self.0.span.store(span_id(self.0.run, name), Ordering::Relaxed);
    }
}

impl IdGenerator for Ids {
    /// The run's id: 16 bytes, the last 10 of them random.
    fn new_trace_id(&self) -> TraceId {
        TraceId::from_bytes(self.0.run.to_bytes())
    }

    fn new_span_id(&self) -> SpanId {
        SpanId::from(self.0.span.load(Ordering::Relaxed))
    }
}

fn span_id(run: RunId, SpanName { invocation, slot, cut_off }: SpanName<'_>) -> u64 {
    let digest = Hasher::default()
        .part(&run.to_bytes())
        .part(&invocation.to_be_bytes())
        .part(slot.to_string().as_bytes())
        .part(&cut_off.to_be_bytes())
        .finish();
    // Zero is no span id.
    digest.as_bytes().first_chunk().map_or(1, |bytes| u64::from_be_bytes(*bytes).max(1))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_span_has_the_same_id_and_no_other_has() {
        let run = RunId::from_bytes([7; 16]);
        let ids = Ids::new(run);
        assert_eq!(ids.new_trace_id().to_bytes(), run.to_bytes());
        let mut seen = HashSet::new();
        for (invocation, cut_off) in [(1, 0), (1, 1), (2, 0)] {
            for slot in [Slot::RUN, Slot::model(0), Slot::tool(0, 0), Slot::tool(0, 0).call(0)] {
                let name = SpanName { invocation, slot: &slot, cut_off };
                ids.announce(name);
                let id = ids.new_span_id();
                assert!(seen.insert(id), "{name:?}");
                Ids::new(run).announce(name);
                assert_eq!(id, SpanId::from(span_id(run, name)));
            }
        }
    }
}
