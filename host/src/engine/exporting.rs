//! The one exporter of an engine, which the runs share: it is made when the first run begins.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::telemetry::{Collector, CollectorError, Exporter};

/// Where what runs do is exported to, if it is.
pub(super) struct Exporting {
    collector: Option<Collector>,
    exporter: Mutex<Option<Arc<Exporter>>>,
}

impl Exporting {
    pub(super) fn to(collector: Option<Collector>) -> Self {
        Self { collector, exporter: Mutex::default() }
    }

    /// The exporter, if there is a collector. One that could not be set up is tried again for the next run.
    pub(super) fn exporter(&self) -> Result<Option<Arc<Exporter>>, CollectorError> {
        let Some(collector) = &self.collector else { return Ok(None) };
        // It is put there when it is complete.
        let mut made = self.exporter.lock();
        if let Some(exporter) = &*made {
            return Ok(Some(Arc::clone(exporter)));
        }
        let exporter = Arc::new(Exporter::new(collector.clone())?);
        *made = Some(Arc::clone(&exporter));
        Ok(Some(exporter))
    }
}
