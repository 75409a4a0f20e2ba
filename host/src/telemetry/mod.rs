//! What happens in a run, as OpenTelemetry spans, exported by OTLP over HTTP while the run goes on.
//!
//! Owns the spans of one process's work on one run: how a [`Notice`] becomes a span, which ids and attributes it
//! has, and its way to the collector. Knows of no loop, no sandbox and no journal: it is told what happens, as the
//! screen is. Invariant: only what is carried out now is exported, and never anything that is substituted; what was
//! said to and by the model and the tools is in no span unless [`CAPTURE`](collector::CAPTURE) asks for it. A
//! collector that is down costs a run no more than [`FLUSH_MAX`] at its end, and fails nothing: [`Trace::flush`] says
//! what was lost and why. It fails only where the environment names a collector that there cannot be.

mod attributes;
mod collector;
mod content;
mod export;
mod ids;
mod spans;

pub use collector::{Collector, CollectorError};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::journal::{Entry, Event};
use crate::message::{Ending, Manifest, ModelFailure, RunId, Slot};
use crate::session::{Notice, Watch};
use attributes::About;
use content::Talk;
use export::Tally;
use ids::Ids;
use spans::Spans;

/// How long the end of a run waits for the collector: a person hardly notices it, and a collector that is up has
/// answered long before.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// One process's work on a run, as it is exported.
pub struct Trace {
    run: RunId,
    ids: Ids,
    collector: Collector,
    provider: SdkTracerProvider,
    tally: Arc<Tally>,
    /// None before the run begins, and after it stopped.
    spans: Arc<Mutex<Option<Spans>>>,
}

/// Which work on the run this is.
///
/// A process that stops exports a span `invoke_agent` of its own, so each has another id. One that was killed
/// exported none: whoever goes on takes the id over, and what either carried out stands below one span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// From 1.
    number: u32,
    /// When it began, in milliseconds since 1970-01-01T00:00:00Z, if another process began it.
    began_ms: Option<u64>,
}

/// How a run stands when a process has done with it.
#[derive(Clone, Copy, Debug)]
pub enum Stand<'a> {
    /// It ended.
    Ended(&'a Ending),
    /// It waits for a person's decision.
    Suspended,
    /// Ctrl-C.
    Interrupted,
    /// The host failed; or the model did, like this.
    Failed(Option<&'a ModelFailure>),
}

impl Invocation {
    /// The work that goes on from what is recorded; `killed` if the process before did not say how it left the run.
    #[must_use]
    pub fn after(entries: &[Entry], killed: bool) -> Self {
        let began = |entry: &Entry| match &entry.event {
            Event::Started(started) if entry.slot == Slot::RUN => Some((started.attempt, started.at_ms)),
            Event::Started(_) | Event::Failed(_) | Event::Finished(_) => None,
        };
        match entries.iter().rev().find_map(began) {
            Some((number, at_ms)) if killed => Self { number, began_ms: Some(at_ms) },
            Some((number, _)) => Self { number: number.saturating_add(1), began_ms: None },
            None => Self { number: 1, began_ms: None },
        }
    }

    fn began(self) -> SystemTime {
        let began = self.began_ms.and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
        began.unwrap_or_else(SystemTime::now)
    }
}

impl Trace {
    /// Makes ready to export; nothing is sent before the run begins.
    pub fn new(collector: Collector, run: RunId) -> Result<Self, CollectorError> {
        let tally = Arc::<Tally>::default();
        let ids = Ids::new(run);
        let provider = collector.provider(ids.clone(), &tally)?;
        Ok(Self { run, ids, collector, provider, tally, spans: Arc::default() })
    }

    /// The run begins, or goes on.
    pub fn begin(&self, manifest: &Manifest, invocation: Invocation) {
        let talk = self.collector.captures_content().then(|| Talk::new(manifest));
        let about = About::new(self.run, manifest);
        *self.spans() = Some(Spans::begin(&self.provider, self.ids.clone(), about, invocation, talk));
    }

    /// Watches a run together with someone else.
    #[must_use]
    pub fn beside(&self, other: Watch) -> Watch {
        let spans = Arc::clone(&self.spans);
        Box::new(move |notice: &Notice<'_>| {
            other(notice);
            if let Some(spans) = lock(&spans).as_mut() {
                spans.notice(notice);
            }
        })
    }

    /// Nothing more is carried out.
    pub fn stop(&self, stand: Stand<'_>) {
        if let Some(spans) = self.spans().take() {
            self.tally.made(spans.stop(stand));
        }
    }

    /// Waits until the collector has all spans, but no longer than [`FLUSH_MAX`]. What was lost and why, if anything
    /// was.
    pub async fn flush(self) -> Option<String> {
        let Self { provider, tally, collector, .. } = self;
        let shutdown = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_MAX));
        // What went wrong on the way is in the tally; what is left is a collector that does not answer.
        let _ = shutdown.await;
        tally
            .lost(FLUSH_MAX)
            .map(|(lost, why)| format!("{lost} were not exported to {}: {why}", collector.shown()))
    }

    fn spans(&self) -> MutexGuard<'_, Option<Spans>> {
        lock(&self.spans)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A span that a panic left half made is better exported than lost.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Finished, Started};
    use crate::message::{Digest, MessageRef, ModelAsk, Outcome, Request, Usage};

    fn started(slot: Slot, attempt: u32, at_ms: u64) -> Entry {
        let ask = ModelAsk { messages: 1, conversation: Digest::of(b""), appended: vec![MessageRef::Prompt] };
        let request = Request::Model(ask);
        let started = Started { attempt, at_ms, digest: request.digest(), request, kept: None };
        Entry { run: RunId::from_bytes([7; 16]), slot, event: Event::Started(started) }
    }

    #[test]
    fn a_process_that_was_killed_leaves_its_invocation_to_the_next() {
        let run = [started(Slot::RUN, 1, 100), started(Slot::model(0), 1, 200), started(Slot::RUN, 2, 300)];
        assert_eq!(Invocation::after(&[], false), Invocation { number: 1, began_ms: None });
        assert_eq!(Invocation::after(&run, false), Invocation { number: 3, began_ms: None });
        assert_eq!(Invocation::after(&run, true), Invocation { number: 2, began_ms: Some(300) });
        let outcome = Outcome::Run(Ending::Answer("the end".to_owned()));
        let finished = Finished {
            attempt: 2,
            at_ms: 400,
            outcome,
            usage: Usage::default(),
            trace: crate::message::Trace::default(),
            settled: false,
        };
        let end = Entry { event: Event::Finished(finished), ..run[2].clone() };
        let ended = [run[0].clone(), run[2].clone(), end];
        assert_eq!(Invocation::after(&ended, true), Invocation { number: 2, began_ms: Some(300) });
    }
}
