//! Which commits of the log hold something of which run: sled, made anew whenever the journal is opened.
//!
//! An entry's key is the run (16), the segment's epoch (4) and where in it the commit begins (8), its value the
//! commit's length (4), all big-endian. Nothing here has to survive anything.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::frame::{self, Damage};
use super::{JournalError, format, io_error};
use crate::message::RunId;

/// sled keeps this much in memory. Its default is 1 GB; a run's records are read once, front to back.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// Where sled has its files, below the journal's directory.
const INDEX: &str = "index";

const RUN_BYTES: usize = 16;

/// Where a commit stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The segment.
    pub(super) epoch: u32,
    /// Where in it the commit begins, in bytes.
    pub(super) offset: u64,
    /// How long it is, in bytes.
    pub(super) length: u32,
}

/// The index over the log in one directory.
#[derive(Clone, Debug)]
pub(super) struct Index {
    db: sled::Db,
    path: PathBuf,
}

impl Index {
    /// An empty index. What a process that died left of its own goes first.
    pub(super) fn open(directory: &Path) -> Result<Self, JournalError> {
        let path = directory.join(INDEX);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io_error(&path, &error));
            }
            Ok(()) | Err(_) => {}
        }
        // sled names its files by the clock, and panics where that has no name.
        if SystemTime::now() < UNIX_EPOCH {
            let reason =
                "the clock of this machine stands before 1970, and no index can be made then; set it";
            return Err(JournalError::Unreadable { path, reason: reason.to_owned() });
        }
        let config = sled::Config::new().path(&path).cache_capacity(CACHE_BYTES);
        match config.flush_every_ms(None).temporary(true).open() {
            Ok(db) => Ok(Self { db, path }),
            Err(sled::Error::Io(error)) => Err(io_error(&path, &error)),
            Err(other) => Err(JournalError::Unreadable { path, reason: other.to_string() }),
        }
    }

    /// Notes that a commit holds something of these runs.
    pub(super) fn insert(&self, runs: &Runs, place: Place) -> Result<(), JournalError> {
        for run in &runs.0 {
            let mut key = format::run_prefix(*run).to_vec();
            key.extend_from_slice(&place.epoch.to_be_bytes());
            key.extend_from_slice(&place.offset.to_be_bytes());
            let inserted = self.db.insert(key, &place.length.to_be_bytes());
            inserted.map_err(|error| JournalError::Stopped { reason: error.to_string() })?;
        }
        Ok(())
    }

    /// The commits that hold something of a run, in the order in which they were made.
    pub(super) fn places(&self, run: RunId) -> impl Iterator<Item = Result<Place, JournalError>> {
        self.db.scan_prefix(format::run_prefix(run)).map(|found| {
            let (key, length) = found.map_err(|error| self.unreadable(&error))?;
            place(&key, &length)
                .ok_or_else(|| self.unreadable(&"the index holds something that is no place in the log"))
        })
    }

    /// The runs that there are, oldest first.
    pub(super) fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        let mut runs = Vec::new();
        let mut from = vec![];
        // One look-up a run, whatever the number of its commits.
        while let Some(pair) = self.db.range(from..).next() {
            let (key, _) = pair.map_err(|error| self.unreadable(&error))?;
            let Some(run) = format::run_of(&key) else { break };
            runs.push(run);
            from = format::run_prefix(run).to_vec();
            from.extend_from_slice(&[0xff; 16]);
        }
        Ok(runs)
    }

    fn unreadable(&self, error: &dyn std::fmt::Display) -> JournalError {
        JournalError::Unreadable { path: self.path.clone(), reason: error.to_string() }
    }
}

fn place(key: &[u8], length: &[u8]) -> Option<Place> {
    let (epoch, offset) = key.get(RUN_BYTES..)?.split_first_chunk()?;
    Some(Place {
        epoch: u32::from_be_bytes(*epoch),
        offset: u64::from_be_bytes(offset.try_into().ok()?),
        length: u32::from_be_bytes(length.try_into().ok()?),
    })
}

/// The runs of which one commit holds something.
#[derive(Debug, Default)]
pub(super) struct Runs(BTreeSet<RunId>);

impl Runs {
    /// The runs of a commit as it is read.
    pub(super) fn of_payload(payload: &[u8]) -> Result<Self, Damage> {
        Ok(frame::pairs(payload)?.into_iter().map(|(key, _)| key).collect())
    }
}

impl<'a> FromIterator<&'a [u8]> for Runs {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(keys: I) -> Self {
        Self(keys.into_iter().filter_map(format::run_of).collect())
    }
}
