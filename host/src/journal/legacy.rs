//! Runs as hosts left them that had a journal for each: a directory `runs/ID`, which is read, listed, and taken over
//! into the journal when the run goes on.
//!
//! In it stand `journal` with the segments `log.1`, `log.2`, …, each of which says where the one before it ends; `lock`,
//! held by the process that writes, with its id inside; and `summary.json`. Where the run is in the journal as well, a
//! crash came between its taking over and the removal of the directory, and the journal counts.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::extent::Extent;
use super::format::KeyValue;
use super::segment::{self, Reached, damaged};
use super::{Entry, JournalError, RunSummary, format, frame, io_error, sync_directory};
use crate::message::RunId;

/// What a segment begins with.
const MAGIC: &[u8; 8] = b"hostlog1";

/// magic, epoch, epoch of the segment before, where that one ends, checksum, zeros.
const START_BYTES: usize = segment::START_BYTES;
const START_CHECKED_BYTES: usize = 24;

/// How often a journal that is being written is read again, when its last commit was seen half written.
const READ_TRIES: u32 = 5;
const READ_RETRY: Duration = Duration::from_millis(5);

/// The directory of a run.
#[derive(Debug)]
pub(super) struct Legacy {
    pub(super) path: PathBuf,
}

impl Legacy {
    /// The directory, if there is one.
    pub(super) fn find(path: PathBuf) -> Option<Self> {
        path.is_dir().then_some(Self { path })
    }

    /// Everything that is recorded, by slot and then in order. A run that goes on is read as far as it has come.
    pub(super) fn read(&self) -> Result<Vec<Entry>, JournalError> {
        let mut read = read(&self.journal());
        for _ in 1..READ_TRIES {
            if read.is_ok() || !self.is_held() {
                break;
            }
            std::thread::sleep(READ_RETRY);
            read = self::read(&self.journal());
        }
        let mut pairs = read?;
        pairs.sort_unstable();
        format::decode(pairs.into_iter().map(Ok))
    }

    /// What the process that worked on the run last said of it, if it said anything.
    pub(super) fn summary(&self) -> Option<RunSummary> {
        let text = fs::read(self.path.join("summary.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Whether a process has the run open.
    pub(super) fn is_held(&self) -> bool {
        File::open(self.lock())
            .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Takes the run's lock, for as long as the file lives, and keeps whoever was taken for dead from writing more.
    pub(super) fn seize(&self, run: RunId) -> Result<File, JournalError> {
        let failed = |error: std::io::Error| io_error(&self.path, &error);
        let open = File::options().read(true).write(true).create(true).truncate(false).open(self.lock());
        let mut lock = open.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The id is a courtesy; without it the message is still true.
                let _ = lock.read_to_string(&mut holder);
                let holder = if holder.is_empty() {
                    "another process".to_owned()
                } else {
                    format!("process {holder}")
                };
                return Err(JournalError::Locked { run, holder });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let journal = self.journal();
        if journal.is_dir() {
            let last = epochs(&journal).map_err(failed)?.last().copied().unwrap_or_default();
            let next = segment(&journal, last.saturating_add(1));
            let made = File::options().write(true).create_new(true).open(next);
            made.and_then(|_| sync_directory(&journal)).map_err(failed)?;
        }
        Ok(lock)
    }

    /// Removes the directory.
    pub(super) fn remove(&self) -> Result<(), JournalError> {
        fs::remove_dir_all(&self.path).map_err(|error| io_error(&self.path, &error))
    }

    fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }
}

/// The pairs of every commit in a journal's directory, in order. Changes nothing, and sees what a process that
/// is writing has committed so far.
fn read(directory: &Path) -> Result<Vec<KeyValue>, JournalError> {
    // A process that died when it had made the one directory had not made the other.
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let mut pairs = Vec::new();
    let mut sequence = 0;
    for (epoch, bytes, limit) in chain(directory)? {
        let from = Reached { end: START_BYTES as u64, last: 0, sequence };
        let path = segment(directory, epoch);
        let reached = segment::read_frames(&bytes, 0, from, limit, &path, |_: Extent, payload: &[u8]| {
            let found = frame::pairs(payload)?.into_iter();
            pairs.extend(found.map(|(key, value)| (key.to_vec(), value.to_vec())));
            Ok(())
        })?;
        sequence = reached.sequence;
    }
    Ok(pairs)
}

/// A segment that counts: its epoch, what is in it, and where it ends if another one goes on from it.
type Link = (u32, Vec<u8>, Option<u64>);

/// The segments that count, oldest first.
fn chain(directory: &Path) -> Result<Vec<Link>, JournalError> {
    let io = |error: std::io::Error| io_error(directory, &error);
    let mut chain: Vec<Link> = Vec::new();
    let mut due = None;
    for epoch in epochs(directory).map_err(io)?.into_iter().rev() {
        if due.is_some_and(|(due, _)| due != epoch) {
            // Its process was overtaken before it wrote anything that counts.
            continue;
        }
        let path = segment(directory, epoch);
        let bytes = fs::read(&path).map_err(io)?;
        let Some((previous, end)) = read_start(&bytes, epoch, &path)? else {
            // Its making was cut short, before anything was acknowledged.
            if due.is_some() {
                return Err(damaged(&path, 0, "it does not begin as a journal's log does"));
            }
            continue;
        };
        chain.push((epoch, bytes, due.map(|(_, end)| end)));
        due = Some((previous, end));
        if previous == 0 {
            break;
        }
    }
    match due {
        Some((missing, _)) if missing != 0 => {
            Err(damaged(&segment(directory, missing), 0, "it is missing, and a later one goes on from it"))
        }
        Some(_) | None => {
            chain.reverse();
            Ok(chain)
        }
    }
}

/// The bytes that a segment begins with.
fn start(epoch: u32, before: u32, end: u64) -> Vec<u8> {
    let mut start = MAGIC.to_vec();
    start.extend_from_slice(&epoch.to_be_bytes());
    start.extend_from_slice(&before.to_be_bytes());
    start.extend_from_slice(&end.to_be_bytes());
    start.extend_from_slice(&crc32fast::hash(&start).to_be_bytes());
    start.resize(START_BYTES, 0);
    start
}

/// The segment before the one that begins like this, and where that one ends; none if its making was cut short.
fn read_start(bytes: &[u8], epoch: u32, path: &Path) -> Result<Option<(u32, u64)>, JournalError> {
    let Some(found) = bytes.get(..START_BYTES) else { return Ok(None) };
    if found.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let number = |field: &[u8]| field.iter().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
    let before = u32::try_from(number(&found[12..16])).unwrap_or_default();
    let end = number(&found[16..START_CHECKED_BYTES]);
    if found == start(epoch, before, end) && before < epoch {
        Ok(Some((before, end)))
    } else {
        Err(damaged(path, 0, "it does not begin as a journal's log does"))
    }
}

fn segment(directory: &Path, epoch: u32) -> PathBuf {
    directory.join(format!("log.{epoch}"))
}

/// The segments that there are, oldest first.
fn epochs(directory: &Path) -> std::io::Result<Vec<u32>> {
    let mut epochs = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = match entry {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entry => entry?.file_name(),
        };
        // Whatever else stands in the directory is not a segment.
        epochs.extend(name.to_str().and_then(|name| name.strip_prefix("log.")?.parse::<u32>().ok()));
    }
    epochs.sort_unstable();
    Ok(epochs)
}

/// Writes runs as older hosts did, for the tests.
#[cfg(test)]
pub(super) mod older {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    /// A directory whose segments hold these commits, each segment going on from the one before it.
    pub(crate) fn write(directory: &Path, segments: &[Vec<Vec<KeyValue>>]) {
        fs::create_dir_all(directory).unwrap();
        let (mut sequence, mut end) = (0, 0);
        for (number, commits) in segments.iter().enumerate() {
            let number = u32::try_from(number).unwrap();
            let mut bytes = start(number + 1, number, end);
            for commit in commits {
                sequence += 1;
                bytes.extend(frame::encode(sequence, commit.iter()).unwrap());
            }
            end = bytes.len() as u64;
            bytes.resize(bytes.len() + 5000, 0);
            fs::write(segment(directory, number + 1), bytes).unwrap();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
    use super::*;

    fn pair(n: u8, size: usize) -> KeyValue {
        (vec![n; 5], vec![n; size])
    }

    #[test]
    fn what_is_missing_or_changed_is_damage_and_never_another_result() {
        let directory = tempfile::tempdir().unwrap();
        let segments: Vec<_> = (1..4).map(|n| vec![vec![pair(n, 30)], vec![pair(n + 10, 600)]]).collect();
        older::write(directory.path(), &segments);
        let whole = read(directory.path()).unwrap();
        assert_eq!(whole.len(), 6);
        for epoch in 1..4 {
            let path = segment(directory.path(), epoch);
            let bytes = fs::read(&path).unwrap();
            // Both frames, and some of the zeros behind them.
            for at in 0..1000 {
                let mut changed = bytes.clone();
                changed[at] ^= 0x11;
                fs::write(&path, &changed).unwrap();
                match read(directory.path()) {
                    Err(JournalError::Corrupt { .. }) => {}
                    Ok(pairs) => assert_eq!(pairs, whole, "segment {epoch}, byte {at}"),
                    Err(error) => panic!("segment {epoch}, byte {at}: {error}"),
                }
            }
            fs::remove_file(&path).unwrap();
            // Of a last segment that is gone nothing is left to tell of it.
            assert!(epoch == 3 || matches!(read(directory.path()), Err(JournalError::Corrupt { .. })));
            fs::write(&path, &bytes).unwrap();
        }
    }

    #[test]
    fn a_segment_that_was_never_begun_leaves_no_trace() {
        let directory = tempfile::tempdir().unwrap();
        older::write(directory.path(), &[vec![vec![pair(1, 10)]]]);
        fs::write(segment(directory.path(), 2), []).unwrap();
        fs::write(segment(directory.path(), 3), [0; 700]).unwrap();
        assert_eq!(read(directory.path()).unwrap(), [pair(1, 10)]);
    }
}
