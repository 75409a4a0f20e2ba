//! `--otlp URL` and what the environment says of traces.

use url::Url;

use super::screen::Screen;
use crate::message::{Caller, Manifest, RunId};
use crate::session::{SpanAt, Watch};
use crate::telemetry::{Collector, Invocation, Stand, Trace};

/// Where a run's traces go.
#[derive(Debug, clap::Args)]
pub(super) struct Traces {
    /// Export traces by OTLP over HTTP to the OpenTelemetry collector there, such as `http://localhost:4318`
    /// [default: where `OTEL_EXPORTER_OTLP_ENDPOINT` says, if it is set]
    #[arg(long, value_name = "URL", value_parser = Collector::address)]
    otlp: Option<Url>,
}

/// The trace of a run, if it is exported.
pub(super) struct Exported(Option<Trace>);

impl Traces {
    /// What is exported of a run, in the course of whatever `TRACEPARENT` names. An environment that does not fit is said, and stops no run.
    pub(super) fn of(&self, run: RunId, screen: &Screen) -> Exported {
        let caller = Caller::of_environment().unwrap_or_else(|error| {
            screen.say(&format!("it is left out: {error}"));
            None
        });
        let trace = |collector| Trace::new(collector, run, caller);
        let trace = Collector::find(self.otlp.as_ref()).and_then(|found| found.map(trace).transpose());
        Exported(trace.unwrap_or_else(|error| {
            screen.say(&format!("no traces are exported: {error}"));
            None
        }))
    }
}

impl Exported {
    /// Watches the run together with someone else.
    pub(super) fn beside(&self, other: Watch) -> Watch {
        match &self.0 {
            Some(trace) => trace.beside(other),
            None => other,
        }
    }

    /// Who knows the span of an effect that goes on, if it is exported.
    pub(super) fn spans_by_slot(&self) -> SpanAt {
        match &self.0 {
            Some(trace) => trace.spans_by_slot(),
            None => Box::new(|_| None),
        }
    }

    pub(super) fn begin(&self, manifest: &Manifest, invocation: Invocation) {
        if let Some(trace) = &self.0 {
            trace.begin(manifest, invocation);
        }
    }

    pub(super) fn stop(&self, stand: Stand<'_>) {
        if let Some(trace) = &self.0 {
            trace.stop(stand);
        }
    }

    /// Sends what is left, and says what did not arrive.
    pub(super) async fn flush(self, screen: &Screen) {
        let Some(trace) = self.0 else { return };
        if let Some(lost) = trace.flush().await {
            screen.say(&lost);
        }
    }
}
