use std::cell::Cell;

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::trace::IdGenerator;

use crate::message::{Caller, Hasher, RunId, Slot};

/// Gives spans their ids, which are made of the run's: so whatever process works on a run, and whenever, its spans
/// are in one trace, and each knows the id of the span above it.
///
/// The library asks for an id while it makes a span, on the thread that makes it, and does not say which span that is.
/// [`Ids::naming`] says it, to its own thread: runs share one generator, and make spans at the same time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids;

thread_local! {
    /// The ids of the span that this thread makes.
    static MAKING: Cell<(TraceId, SpanId)> = const { Cell::new((TraceId::INVALID, SpanId::INVALID)) };
}

/// Which span it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpanName<'a> {
    /// The run.
    pub(super) run: RunId,
    /// The process's work on the run, from 1.
    pub(super) invocation: u32,
    /// The effect.
    pub(super) slot: &'a Slot,
    /// How many spans of that effect were cut off before in that work.
    pub(super) cut_off: u32,
}

impl Ids {
    /// Makes a span, which is this one.
    pub(super) fn naming<T>(name: SpanName<'_>, make: impl FnOnce() -> T) -> T {
        MAKING.set((trace_id(name.run), name.span_id()));
        make()
    }
}

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        MAKING.get().0
    }

    fn new_span_id(&self) -> SpanId {
        MAKING.get().1
    }
}

impl From<&Caller> for SpanContext {
    fn from(caller: &Caller) -> Self {
        let state: TraceState = caller.state.parse().unwrap_or_default();
        let (trace, span) = (TraceId::from_bytes(caller.trace), SpanId::from_bytes(caller.span));
        Self::new(trace, span, TraceFlags::new(caller.flags), true, state)
    }
}

impl From<&SpanContext> for Caller {
    fn from(span: &SpanContext) -> Self {
        Self {
            trace: span.trace_id().to_bytes(),
            span: span.span_id().to_bytes(),
            flags: span.trace_flags().to_u8(),
            state: span.trace_state().header(),
        }
    }
}

/// The run's id: 16 bytes, the last 10 of them random.
pub(super) fn trace_id(run: RunId) -> TraceId {
    TraceId::from_bytes(run.to_bytes())
}

impl SpanName<'_> {
    fn span_id(self) -> SpanId {
        let Self { run, invocation, slot, cut_off } = self;
        let digest = Hasher::default()
            .part(&run.to_bytes())
            .part(&invocation.to_be_bytes())
            .part(slot.to_string().as_bytes())
            .part(&cut_off.to_be_bytes())
            .finish();
        // Zero is no span id.
        let id = digest.as_bytes().first_chunk().map_or(1, |bytes| u64::from_be_bytes(*bytes).max(1));
        SpanId::from(id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_span_has_the_same_id_and_no_other_has() {
        let mut seen = HashSet::new();
        for run in [RunId::from_bytes([7; 16]), RunId::from_bytes([8; 16])] {
            for (invocation, cut_off) in [(1, 0), (1, 1), (2, 0)] {
                for slot in [Slot::RUN, Slot::model(0), Slot::tool(0, 0), Slot::tool(0, 0).call(0)] {
                    let name = SpanName { run, invocation, slot: &slot, cut_off };
                    let made = || Ids::naming(name, || (Ids.new_trace_id(), Ids.new_span_id()));
                    let (trace, span) = made();
                    assert_eq!(trace.to_bytes(), run.to_bytes());
                    assert!(seen.insert(span), "{name:?}");
                    assert_eq!(made(), (trace, span));
                }
            }
        }
    }
}
