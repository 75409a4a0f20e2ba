use wasmtime::ResourceLimiter;

/// What one table element costs, at most.
const TABLE_ELEMENT_BYTES: u64 = 16;

/// Bounds what all memories and tables of one call hold together. wasmtime's own `StoreLimits` bounds each
/// memory for itself, and a component may have several.
#[derive(Debug)]
pub(super) struct MemoryGauge {
    limit: u64,
    held: u64,
    peak: u64,
    /// The growth that was allowed last, taken back if it then fails.
    last: u64,
    refused: Refused,
}

/// Whether the guest ever wanted more than it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    No,
    Yes,
}

impl MemoryGauge {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, held: 0, peak: 0, last: 0, refused: Refused::No }
    }

    /// The most bytes held at once.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    pub(super) fn refused(&self) -> Refused {
        self.refused
    }

    fn grow(&mut self, by: u64) -> bool {
        let wanted = self.held.saturating_add(by);
        if wanted > self.limit {
            self.refused = Refused::Yes;
            return false;
        }
        self.held = wanted;
        self.last = by;
        self.peak = self.peak.max(wanted);
        true
    }

    fn take_back(&mut self) {
        self.held -= self.last;
        self.last = 0;
    }
}

impl ResourceLimiter for MemoryGauge {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current) as u64))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow((desired.saturating_sub(current) as u64).saturating_mul(TABLE_ELEMENT_BYTES)))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut gauge = MemoryGauge::new(100);
        assert!(gauge.memory_growing(0, 50, None).unwrap());
        assert!(gauge.table_growing(0, 3, None).unwrap());
        assert!(!gauge.memory_growing(0, 3, None).unwrap(), "98 of 100 are held");
        assert_eq!(gauge.refused(), Refused::Yes);
        assert_eq!(gauge.peak(), 98);
    }

    #[test]
    fn growth_that_failed_is_taken_back() {
        let mut gauge = MemoryGauge::new(100);
        assert!(gauge.memory_growing(10, 100, None).unwrap());
        gauge.memory_grow_failed(wasmtime::Error::msg("no pages")).unwrap();
        assert!(gauge.memory_growing(0, 100, None).unwrap());
        assert_eq!(gauge.refused(), Refused::No);
    }
}
