//! Which commits of the journal hold something of which run: sled, made anew by each process that writes, from when there
//! is more to find than it keeps at hand.
//!
//! An entry's key is the run (16), the segment's number (4) and where in it the commits begin (8), its value how long
//! they are (8), all big-endian. Nothing here has to survive anything.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::extent::Extent;
use super::{JournalError, format, io_error};
use crate::message::RunId;

/// sled keeps this much in memory. Its default is 1 GB; a run's records are read once, front to back.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

const RUN_BYTES: usize = 16;

/// The index of one process.
#[derive(Debug)]
pub(super) struct Index {
    path: PathBuf,
    /// Made when the first place is noted. It goes when this goes.
    db: Option<sled::Db>,
}

impl Index {
    /// An empty index.
    pub(super) fn new(path: PathBuf) -> Result<Self, JournalError> {
        // sled names its files by the clock, and panics where that has no name.
        if SystemTime::now() < UNIX_EPOCH {
            let reason =
                "the clock of this machine stands before 1970, and no index can be made then; set it";
            return Err(JournalError::Unreadable { path, reason: reason.to_owned() });
        }
        Ok(Self { path, db: None })
    }

    fn db(&mut self) -> Result<&sled::Db, JournalError> {
        let db = match self.db.take() {
            Some(db) => db,
            None => open(&self.path)?,
        };
        Ok(self.db.insert(db))
    }

    /// Notes that commits of a segment hold something of a run.
    pub(super) fn insert(&mut self, run: RunId, segment: u32, extent: Extent) -> Result<(), JournalError> {
        let mut key = prefix(run, segment);
        key.extend_from_slice(&extent.offset.to_be_bytes());
        let inserted = self.db()?.insert(key, &extent.length.to_be_bytes());
        inserted.map(drop).map_err(|error| stopped(&error))
    }

    /// Forgets what a segment holds of a run.
    pub(super) fn remove(&self, run: RunId, segment: u32) -> Result<(), JournalError> {
        let Some(db) = &self.db else { return Ok(()) };
        for key in db.scan_prefix(prefix(run, segment)).keys() {
            let removed = key.and_then(|key| db.remove(key));
            removed.map_err(|error| stopped(&error))?;
        }
        Ok(())
    }

    /// The commits of a segment that hold something of a run, in the order in which they were made, from the first one on
    /// that does not end before `from`.
    pub(super) fn places(
        &self,
        run: RunId,
        segment: u32,
        from: u64,
    ) -> impl Iterator<Item = Result<Extent, JournalError>> {
        let at = move |offset: u64| [prefix(run, segment).as_slice(), &offset.to_be_bytes()].concat();
        // Commits that were read together stand there as one: what is wanted may begin in the middle of them.
        let before = self
            .db
            .iter()
            .filter_map(move |db| if from > 0 { db.range(at(0)..at(from)).next_back() } else { None });
        before.chain(self.db.iter().flat_map(move |db| db.range(at(from)..=at(u64::MAX)))).map(|found| {
            let (key, length) = found.map_err(|error| self.unreadable(&error))?;
            place(&key, &length)
                .ok_or_else(|| self.unreadable(&"the index holds something that is no place in the journal"))
        })
    }

    fn unreadable(&self, error: &dyn std::fmt::Display) -> JournalError {
        JournalError::Unreadable { path: self.path.clone(), reason: error.to_string() }
    }
}

fn open(path: &Path) -> Result<sled::Db, JournalError> {
    let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES);
    match config.flush_every_ms(None).temporary(true).open() {
        Ok(db) => Ok(db),
        Err(sled::Error::Io(error)) => Err(io_error(path, &error)),
        Err(other) => Err(JournalError::Unreadable { path: path.to_owned(), reason: other.to_string() }),
    }
}

fn stopped(error: &sled::Error) -> JournalError {
    JournalError::Stopped { reason: error.to_string() }
}

fn prefix(run: RunId, segment: u32) -> Vec<u8> {
    let mut key = format::run_prefix(run).to_vec();
    key.extend_from_slice(&segment.to_be_bytes());
    key
}

fn place(key: &[u8], length: &[u8]) -> Option<Extent> {
    let (_, offset) = key.get(RUN_BYTES..)?.split_first_chunk::<4>()?;
    let offset = u64::from_be_bytes(offset.try_into().ok()?);
    let length = u64::from_be_bytes(length.try_into().ok()?);
    Some(Extent { offset, length })
}
