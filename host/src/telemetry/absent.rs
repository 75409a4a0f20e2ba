//! What the engine knows of traces where the feature `otel` is off: there is no collector, so nothing is exported.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::needless_pass_by_value,
    clippy::unused_async,
    reason = "it looks like the telemetry that there is otherwise"
)]

#[path = "stand.rs"]
mod stand;

use std::sync::Arc;

pub(crate) use stand::Stand;

use crate::journal::Entry;
use crate::message::{Caller, Manifest, RunId};
use crate::session::{SpanAt, Watch};

/// What there is not.
#[derive(Clone, Debug)]
enum Never {}

/// There is no collector.
#[derive(Clone, Debug)]
pub(crate) struct Collector(Never);

/// Nothing is set up that could fail.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectorError {}

/// Nothing exports.
pub(crate) struct Exporter(Never);

/// Nothing is exported.
pub(crate) struct Trace(Never);

/// Which work on a run this is, which nobody is told.
pub(crate) struct Invocation;

impl Exporter {
    pub(crate) fn new(collector: Collector) -> Result<Self, CollectorError> {
        match collector.0 {}
    }
}

impl Invocation {
    pub(crate) fn after(_: &[Entry], _: bool) -> Self {
        Self
    }
}

impl Trace {
    pub(crate) fn new(exporter: Arc<Exporter>, _: RunId, _: Option<Caller>) -> Self {
        match exporter.0 {}
    }

    pub(crate) fn begin(&self, _: &Manifest, _: Invocation) {
        match self.0 {}
    }

    pub(crate) fn beside(&self, _: Watch) -> Watch {
        match self.0 {}
    }

    pub(crate) fn spans_by_slot(&self) -> SpanAt {
        match self.0 {}
    }

    pub(crate) fn stop(&self, _: Stand<'_>) {
        match self.0 {}
    }

    pub(crate) async fn flush(self) -> Option<String> {
        match self.0 {}
    }
}
