//! Runs and sessions that last as long as the process: the same bytes as on disk, in memory.

mod runs;
mod sessions;

pub(crate) use runs::MemoryRuns;
pub(crate) use sessions::MemorySessions;

use std::collections::BTreeMap;

use parking_lot::{Mutex, MutexGuard};

use super::format::{self, KeyValue};
use super::{Ack, Durability, Entry, JournalError, JournalStore};
use crate::message::RunId;

/// A journal that lasts as long as the process.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Recorded>);

#[derive(Debug, Default)]
struct Recorded {
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first and the last key of each event, in the order in which they were recorded.
    order: Vec<(Vec<u8>, Vec<u8>)>,
}

impl MemoryStore {
    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock()
    }

    /// Records all of these events, or, if one of them cannot be recorded, nothing.
    fn append_all(&self, entries: &[Entry]) -> Result<(), JournalError> {
        let events: Vec<Vec<KeyValue>> = entries.iter().map(format::encode).collect::<Result<_, _>>()?;
        let mut recorded = self.recorded();
        for pairs in events {
            if let (Some((first, _)), Some((last, _))) = (pairs.first(), pairs.last()) {
                recorded.order.push((first.clone(), last.clone()));
            }
            recorded.pairs.extend(pairs);
        }
        Ok(())
    }

    /// What was recorded of a run after so many events of all runs; and how many there are now.
    fn read_after(&self, run: RunId, events: u64) -> Result<(Vec<Entry>, u64), JournalError> {
        let recorded = self.recorded();
        let from = usize::try_from(events).unwrap_or(usize::MAX).min(recorded.order.len());
        let mut entries = Vec::new();
        for (first, last) in &recorded.order[from..] {
            if first.starts_with(&format::run_prefix(run)) {
                entries.extend(format::decode(recorded.pairs.range(first.clone()..=last.clone()).map(Ok))?);
            }
        }
        Ok((entries, recorded.order.len() as u64))
    }

    fn is_empty(&self) -> bool {
        self.recorded().pairs.is_empty()
    }

    /// How much is recorded, in bytes of values.
    fn bytes(&self) -> u64 {
        self.recorded().pairs.values().map(|value| value.len() as u64).sum()
    }
}

impl JournalStore for MemoryStore {
    fn append(&self, entry: &Entry, _when: Durability) -> Ack {
        Ack::ready(self.append_all(std::slice::from_ref(entry)))
    }

    fn read(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
        let prefix = format::run_prefix(run);
        let recorded = self.recorded();
        let of_run = recorded.pairs.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(&prefix));
        format::decode(of_run.map(Ok))
    }

    fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        let mut runs: Vec<RunId> =
            self.recorded().pairs.keys().filter_map(|key| format::run_of(key)).collect();
        runs.dedup();
        Ok(runs)
    }
}
