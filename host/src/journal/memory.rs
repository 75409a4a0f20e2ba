use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Ack, Durability, Entry, JournalError, JournalStore, format};
use crate::message::RunId;

/// A journal that lasts as long as the process: the same bytes as on disk, in memory. For tests.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

impl MemoryStore {
    fn map(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Vec<u8>>> {
        // The map is whole after every insert, so a panic elsewhere leaves nothing to distrust.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JournalStore for MemoryStore {
    fn append(&self, entry: &Entry, _when: Durability) -> Ack {
        Ack::ready(format::encode(entry).map(|pairs| self.map().extend(pairs)))
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
