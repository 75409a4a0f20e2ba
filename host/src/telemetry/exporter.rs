use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use opentelemetry::InstrumentationScope;
use opentelemetry::trace::{TraceId, TracerProvider as _};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::sync::oneshot;

use super::tally::{Counting, Tallies, Waited};
use super::{Collector, CollectorError, FLUSH_MAX};

/// The name of the thread that asks for the queue to be sent, and waits for it.
const FLUSHER: &str = "traces-flush";

/// The one way of a process to its collector, which its runs share: a queue, and a thread that sends what is in it.
pub struct Exporter {
    collector: Collector,
    tracer: SdkTracer,
    tallies: Arc<Tallies>,
    /// Runs that stopped and wait until the queue is sent.
    flushes: Sender<oneshot::Sender<()>>,
}

impl Exporter {
    /// Makes ready to export; nothing is sent before a span ends.
    pub fn new(collector: Collector) -> Result<Self, CollectorError> {
        let tallies = Arc::<Tallies>::default();
        let provider = collector.provider(&tallies)?;
        let scope =
            InstrumentationScope::builder(env!("CARGO_PKG_NAME")).with_version(env!("CARGO_PKG_VERSION"));
        let tracer = provider.tracer_with_scope(scope.build());
        let (flushes, asked) = channel();
        std::thread::Builder::new()
            .name(FLUSHER.to_owned())
            .spawn(move || flush_when_asked(&provider, &asked))
            .map_err(|error| CollectorError::Setting(format!("no thread can be started: {error}")))?;
        Ok(Self { collector, tracer, tallies, flushes })
    }

    pub(super) fn collector(&self) -> &Collector {
        &self.collector
    }

    pub(super) fn tracer(&self) -> &SdkTracer {
        &self.tracer
    }

    /// Counts the spans of a trace from now on.
    pub(super) fn count(&self, trace: TraceId) -> Counting {
        self.tallies.count(trace)
    }

    /// Waits until what is in the queue now was sent, but no longer than [`FLUSH_MAX`].
    pub(super) async fn flush(&self) -> Waited {
        let (done, flushed) = oneshot::channel();
        // If the thread is gone, so is `done`, and the wait is over at once.
        let _ = self.flushes.send(done);
        match tokio::time::timeout(FLUSH_MAX, flushed).await {
            Ok(_) => Waited::ToTheEnd,
            Err(_) => Waited::TooLong,
        }
    }
}

/// Sends the queue when runs ask for that. Runs that ask while it is being sent share the next time, so however many
/// runs stop at once, one thread waits for the collector. When the exporter is dropped, what is left is sent.
fn flush_when_asked(provider: &SdkTracerProvider, asked: &Receiver<oneshot::Sender<()>>) {
    while let Ok(first) = asked.recv() {
        let waiting: Vec<_> = std::iter::once(first).chain(asked.try_iter()).collect();
        // What went wrong on the way is in the tallies.
        let _ = provider.force_flush();
        for run in waiting {
            // A run that waited for too long is gone.
            let _ = run.send(());
        }
    }
    // The provider itself would wait for longer than that, on the thread that happens to drop it last.
    let _ = provider.shutdown_with_timeout(FLUSH_MAX);
}
