//! What the engine knows of traces where the feature `otel` is off: there is no collector, so nothing is exported.

#[path = "stand.rs"]
mod stand;

use std::sync::Arc;

pub(crate) use stand::Stand;

use crate::journal::Entry;
use crate::message::{Caller, Manifest, RunId};
use crate::session::{SpanAt, Watch};

/// There is no collector.
#[derive(Clone, Debug)]
pub(crate) enum Collector {}

/// Nothing is set up that could fail.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectorError {}

/// Nothing exports.
pub(crate) enum Exporter {}

/// Nothing is exported.
pub(crate) enum Trace {}

/// Which work on a run this is, which nobody is told.
pub(crate) struct Invocation;

impl Exporter {
    pub(crate) fn new(collector: Collector) -> Result<Self, CollectorError> {
        match collector {}
    }
}

impl Invocation {
    pub(crate) fn after(_: &[Entry], _: bool) -> Self {
        Self
    }
}

impl Trace {
    #[allow(clippy::needless_pass_by_value, reason = "as the trace that there is otherwise")]
    pub(crate) fn new(exporter: Arc<Exporter>, _: RunId, _: Option<Caller>) -> Self {
        match *exporter {}
    }

    pub(crate) fn begin(&self, _: &Manifest, _: Invocation) {
        match *self {}
    }

    pub(crate) fn beside(&self, _: Watch) -> Watch {
        match *self {}
    }

    pub(crate) fn spans_by_slot(&self) -> SpanAt {
        match *self {}
    }

    pub(crate) fn stop(&self, _: Stand<'_>) {
        match *self {}
    }

    pub(crate) async fn flush(self) -> Option<String> {
        match self {}
    }
}
