//! What happens in a run, as OpenTelemetry spans, exported by OTLP over HTTP while the run goes on.
//!
//! Owns the spans of one process's work on one run: how a [`Notice`] becomes a span, which ids and attributes it
//! has, and its way to the collector, which the runs of a process share ([`Exporter`]). Knows of no loop and no sandbox: it is told what happens, as the screen is.
//! Invariant: only what is carried out now is exported, and never anything that is substituted; what was said to
//! and by the model and the tools is in no span unless the environment asks for it. A collector that is down costs
//! a run two seconds after its end, at most, holds up no other run, and fails nothing: [`Trace::flush`] says what was lost and why. It fails
//! only where the environment names a collector that there cannot be.

mod attributes;
mod collector;
mod content;
mod export;
mod exporter;
mod ids;
mod spans;
mod stand;
mod tally;

pub use collector::{Collector, CollectorError};
pub use exporter::Exporter;
pub use stand::Stand;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, MutexGuard};

use crate::journal::{Entry, Event, Started};
use crate::message::{Caller, Manifest, RunId, Slot};
use crate::session::{Notice, SpanAt, Watch};
use spans::{Agent, Spans};
use tally::Counting;

/// How long the end of a run waits for the collector: a person hardly notices it, and a collector that is up has
/// answered long before.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// One process's work on a run, as it is exported.
pub struct Trace {
    run: RunId,
    exporter: Arc<Exporter>,
    /// In the course of what this process was started.
    caller: Option<Caller>,
    counting: Counting,
    /// None before the run begins, and after it stopped.
    spans: Arc<Mutex<Option<Spans>>>,
}

/// Which work on the run this is.
///
/// A process that stops exports a span `invoke_agent` of its own, so each has another id. One that was killed
/// exported none, nor spans of what was going on: whoever goes on takes them over, as they began then, and what
/// either of the two carried out stands in one tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// From 1.
    number: u32,
    /// What another process began, and did not end.
    taken_over: HashMap<Slot, Begun>,
}

/// When an effect began, and how far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Begun {
    /// In milliseconds since 1970-01-01T00:00:00Z.
    at_ms: u64,
    /// The attempt that did not end.
    attempt: u32,
}

impl Invocation {
    /// The work that goes on from what is recorded; `killed` if the process before did not say how it left the run.
    #[must_use]
    pub fn after(entries: &[Entry], killed: bool) -> Self {
        let last = entries.iter().filter(|entry| entry.slot == Slot::RUN).filter_map(begun).next_back();
        match last {
            None => Self { number: 1, taken_over: HashMap::new() },
            Some(run) if !killed => {
                Self { number: run.attempt.saturating_add(1), taken_over: HashMap::new() }
            }
            Some(run) => {
                let mut taken_over = HashMap::from([(Slot::RUN, run)]);
                for entry in entries.iter().filter(|entry| entry.slot != Slot::RUN) {
                    let Some(begun) = begun(entry).filter(|begun| begun.at_ms >= run.at_ms) else { continue };
                    let first = taken_over.entry(entry.slot.clone()).or_insert(begun);
                    first.attempt = begun.attempt;
                }
                Self { number: run.attempt, taken_over }
            }
        }
    }
}

/// When and as which attempt an effect began, if the entry says that.
fn begun(entry: &Entry) -> Option<Begun> {
    match &entry.event {
        Event::Started(Started { attempt, at_ms, .. }) => Some(Begun { at_ms: *at_ms, attempt: *attempt }),
        Event::Failed(_) | Event::Finished(_) => None,
    }
}

impl Begun {
    fn at(self) -> SystemTime {
        UNIX_EPOCH.checked_add(Duration::from_millis(self.at_ms)).unwrap_or(UNIX_EPOCH)
    }
}

impl Trace {
    /// Makes ready to export; nothing is sent before the run begins.
    #[must_use]
    pub fn new(exporter: Arc<Exporter>, run: RunId, caller: Option<Caller>) -> Self {
        let counting = exporter.count(ids::trace_id(run));
        Self { run, exporter, caller, counting, spans: Arc::default() }
    }

    /// The run begins, or goes on.
    pub fn begin(&self, manifest: &Manifest, invocation: Invocation) {
        let captures_content = self.exporter.collector().captures_content();
        let agent = Agent::new(self.run, manifest.clone(), captures_content);
        let (tracer, tally) = (self.exporter.tracer().clone(), Arc::clone(self.counting.tally()));
        *self.spans() = Some(Spans::begin(tracer, tally, agent, invocation, self.caller.as_ref()));
    }

    /// Watches a run together with someone else.
    #[must_use]
    pub fn beside(&self, other: Watch) -> Watch {
        let spans = Arc::clone(&self.spans);
        Box::new(move |notice: &Notice<'_>| {
            other(notice);
            if let Some(spans) = spans.lock().as_mut() {
                spans.notice(notice);
            }
        })
    }

    /// Who knows the span of an effect that goes on.
    #[must_use]
    pub fn spans_by_slot(&self) -> SpanAt {
        let spans = Arc::clone(&self.spans);
        Box::new(move |slot| spans.lock().as_ref()?.at(slot))
    }

    /// Nothing more is carried out.
    pub fn stop(&self, stand: Stand<'_>) {
        if let Some(spans) = self.spans().take() {
            spans.stop(stand);
        }
    }

    /// Waits until the collector has all spans of this run, but no longer than two seconds. What was lost of them and
    /// why, if anything was.
    pub async fn flush(self) -> Option<String> {
        let tally = self.counting.tally();
        let made = tally.made();
        if made == 0 {
            return None;
        }
        let waited = self.exporter.flush().await;
        let (lost, why) = tally.lost(made, waited)?;
        Some(format!("{lost} were not exported to {}: {why}", self.exporter.collector().shown()))
    }

    fn spans(&self) -> MutexGuard<'_, Option<Spans>> {
        self.spans.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Digest, MessageRef, ModelAsk, Request};

    fn started(slot: Slot, attempt: u32, at_ms: u64) -> Entry {
        let ask = ModelAsk { messages: 1, conversation: Digest::of(b""), appended: vec![MessageRef::Prompt] };
        let request = Request::Model(ask);
        let started = Started { attempt, at_ms, digest: request.digest(), request, kept: None, by: None };
        Entry::new(RunId::from_bytes([7; 16]), slot, Event::Started(started))
    }

    #[test]
    fn a_process_that_was_killed_leaves_its_invocation_to_the_next() {
        let run = [
            started(Slot::RUN, 1, 100),
            started(Slot::model(0), 1, 200),
            started(Slot::RUN, 2, 300),
            started(Slot::tool(0, 0), 1, 400),
            started(Slot::tool(0, 0), 2, 500),
        ];
        let own = |number| Invocation { number, taken_over: HashMap::new() };
        assert_eq!(Invocation::after(&[], false), own(1));
        assert_eq!(Invocation::after(&run, false), own(3));
        let killed = Invocation::after(&run, true);
        let run = Begun { at_ms: 300, attempt: 2 };
        let tool = Begun { at_ms: 400, attempt: 2 };
        let taken_over = HashMap::from([(Slot::RUN, run), (Slot::tool(0, 0), tool)]);
        assert_eq!(killed, Invocation { number: 2, taken_over }, "what was done before it is not its own");
    }
}
