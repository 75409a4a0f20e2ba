//! `--otlp URL` and what the environment says of traces.

use url::Url;

use super::screen::Screen;
use crate::message::Caller;
use crate::telemetry::Collector;

/// Where a run's traces go.
#[derive(Debug, clap::Args)]
pub(super) struct Traces {
    /// Export traces by OTLP over HTTP to the OpenTelemetry collector there, such as `http://localhost:4318`
    /// [default: where `OTEL_EXPORTER_OTLP_ENDPOINT` says, if it is set]
    #[arg(long, value_name = "URL", value_parser = Collector::address)]
    otlp: Option<Url>,
}

impl Traces {
    /// Where traces are exported to. An environment that does not fit is said, and stops no run.
    pub(super) fn exporter(&self, screen: &Screen) -> Option<Collector> {
        Collector::find(self.otlp.as_ref()).unwrap_or_else(|error| {
            screen.say(&format!("no traces are exported: {error}"));
            None
        })
    }
}

/// In the course of what a run goes on: whatever `TRACEPARENT` names.
pub(super) fn caller(screen: &Screen) -> Option<Caller> {
    Caller::of_environment().unwrap_or_else(|error| {
        screen.say(&format!("it is left out: {error}"));
        None
    })
}
