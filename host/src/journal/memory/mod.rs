//! Runs and sessions that last as long as the process: the same bytes as on disk, in memory.

mod runs;
mod sessions;

pub(crate) use runs::MemoryRuns;
pub(crate) use sessions::MemorySessions;

use std::collections::BTreeMap;

use parking_lot::{Mutex, MutexGuard};

use super::{Ack, Durability, Entry, JournalError, JournalStore, format};
use crate::message::RunId;

/// A journal that lasts as long as the process.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

impl MemoryStore {
    fn map(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Vec<u8>>> {
        self.0.lock()
    }

    /// Records all of these events, or, if one of them cannot be recorded, nothing.
    fn append_all(&self, entries: &[Entry]) -> Result<(), JournalError> {
        let mut pairs = Vec::new();
        for entry in entries {
            pairs.extend(format::encode(entry)?);
        }
        self.map().extend(pairs);
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.map().is_empty()
    }

    /// How much is recorded, in bytes of values.
    fn bytes(&self) -> u64 {
        self.map().values().map(|value| value.len() as u64).sum()
    }
}

impl JournalStore for MemoryStore {
    fn append(&self, entry: &Entry, _when: Durability) -> Ack {
        Ack::ready(self.append_all(std::slice::from_ref(entry)))
    }

    fn read(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
        let prefix = format::run_prefix(run);
        let map = self.map();
        format::decode(map.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(&prefix)).map(Ok))
    }

    fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        let mut runs: Vec<RunId> = self.map().keys().filter_map(|key| format::run_of(key)).collect();
        runs.dedup();
        Ok(runs)
    }
}
