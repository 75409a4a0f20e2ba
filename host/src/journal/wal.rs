use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::JournalError;
use super::format::KeyValue;

/// What the file begins with.
const MAGIC: &[u8; 8] = b"hostwal1";

/// length, checksum, sequence number.
const HEADER_BYTES: usize = 4 + 4 + 8;

/// Space is made in steps of this size, filled with zeros: a sync that only has to write data, and no new
/// file size or block map, takes about half the time.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// The log that makes a commit durable: one frame a commit, one `fdatasync` a frame.
///
/// sled alone would need two waits for the disk a commit (its own `sync_file_range` and an `fdatasync` after
/// it) and leaves the order of its own writes to the disk. So a commit goes here first, and sled is told
/// afterwards, without hurry; whatever sled did not get to keep is read back from here.
///
/// A frame is: length of the payload (4 bytes), CRC-32 over what follows (4), sequence number from 1 (8),
/// and the payload: per pair the length of the key (4), the length of the value (4), key and value. Numbers
/// are big-endian. Zeros end the log.
#[derive(Debug)]
pub(super) struct Wal {
    file: File,
    /// Where the next frame goes.
    end: u64,
    /// Up to where the file is filled with zeros.
    grown: u64,
    sequence: u64,
}

impl Wal {
    /// Opens the log, making it if there is none, and gives the pairs of every commit in it. Where there are
    /// any, they have to be put elsewhere and the log [reset](Wal::reset) before it takes another commit.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<KeyValue>), JournalError> {
        let unreadable = |error: std::io::Error| JournalError::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let options = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = options.map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(unreadable)?;
        let pairs = if bytes.starts_with(MAGIC) {
            frames(&bytes, path)?
        } else if bytes.iter().all(|byte| *byte == 0) {
            // Its making was cut short, before anything was acknowledged.
            Vec::new()
        } else {
            return Err(damaged(path, 0, "it does not begin as a journal's log does"));
        };
        let mut wal = Self { file, end: 0, grown: 0, sequence: 0 };
        if bytes.is_empty() {
            // The first commit's sync takes this along.
            wal.clear().map_err(|error| stopped(&error))?;
        } else if pairs.is_empty() {
            wal.reset()?;
        }
        Ok((wal, pairs))
    }

    /// Empties the log, once everything in it is safe elsewhere.
    pub(super) fn reset(&mut self) -> Result<(), JournalError> {
        // Synced, so that no old commit can turn up again behind a new one.
        self.clear().and_then(|()| self.file.sync_all()).map_err(|error| stopped(&error))
    }

    fn clear(&mut self) -> std::io::Result<()> {
        let start = MAGIC.len() as u64;
        self.file.set_len(start)?;
        self.file.write_all_at(MAGIC, 0)?;
        self.file.write_all_at(&ZEROS, start)?;
        (self.end, self.grown, self.sequence) = (start, start + ZEROS.len() as u64, 0);
        Ok(())
    }

    /// How much is in the log, in bytes.
    pub(super) fn len(&self) -> u64 {
        self.end
    }

    /// Writes one commit; it is on disk when this returns.
    pub(super) fn commit<'a>(
        &mut self,
        pairs: impl Iterator<Item = &'a KeyValue>,
        before_sync: impl FnOnce(),
    ) -> Result<(), JournalError> {
        let frame = frame(self.sequence + 1, pairs)?;
        let length = frame.len() as u64;
        let write = || -> std::io::Result<()> {
            self.file.write_all_at(&frame, self.end)?;
            let end = self.end + length;
            if end + HEADER_BYTES as u64 > self.grown {
                self.file.write_all_at(&ZEROS, end)?;
                self.grown = end + ZEROS.len() as u64;
            }
            before_sync();
            self.file.sync_data()
        };
        write().map_err(|error| stopped(&error))?;
        self.end += length;
        self.sequence += 1;
        Ok(())
    }
}

fn frame<'a>(sequence: u64, pairs: impl Iterator<Item = &'a KeyValue>) -> Result<Vec<u8>, JournalError> {
    let too_large = |_| JournalError::Stopped { reason: "a commit of more than 4 GiB".to_owned() };
    let mut frame = vec![0; 8];
    frame.extend_from_slice(&sequence.to_be_bytes());
    for (key, value) in pairs {
        for part in [key, value] {
            frame.extend_from_slice(&u32::try_from(part.len()).map_err(too_large)?.to_be_bytes());
        }
        frame.extend_from_slice(key);
        frame.extend_from_slice(value);
    }
    let length = u32::try_from(frame.len() - HEADER_BYTES).map_err(too_large)?;
    let checksum = crc32fast::hash(&frame[8..]);
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame[4..8].copy_from_slice(&checksum.to_be_bytes());
    Ok(frame)
}

/// Reads every commit. A crash can tear only the last one, which was then not acknowledged; a bad frame
/// with a good one after it is damage.
fn frames(bytes: &[u8], path: &Path) -> Result<Vec<KeyValue>, JournalError> {
    let mut pairs = Vec::new();
    let mut at = MAGIC.len();
    let mut sequence = 1;
    while let Some(payload) = frame_at(bytes, at, sequence) {
        split(payload, &mut pairs)
            .ok_or_else(|| damaged(path, at, "a commit does not hold whole records"))?;
        at += HEADER_BYTES + payload.len();
        sequence += 1;
    }
    let later = (at + 1..bytes.len().saturating_sub(HEADER_BYTES)).find(|later| {
        let found = bytes.get(later + 8..later + HEADER_BYTES).and_then(|field| field.try_into().ok());
        let found = u64::from_be_bytes(found.unwrap_or_default());
        (sequence..sequence + 2).contains(&found) && frame_at(bytes, *later, found).is_some()
    });
    match later {
        Some(_) => Err(damaged(path, at, "a commit is damaged, and good ones follow it")),
        None => Ok(pairs),
    }
}

/// The payload of the frame at an offset, if there is a whole one with this sequence number.
fn frame_at(bytes: &[u8], at: usize, sequence: u64) -> Option<&[u8]> {
    let header = bytes.get(at..at + HEADER_BYTES)?;
    let number = |field: &[u8]| field.iter().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
    let length = usize::try_from(number(&header[..4])).ok()?;
    if length == 0 || number(&header[8..]) != sequence {
        return None;
    }
    let checked = bytes.get(at + 8..(at + HEADER_BYTES).checked_add(length)?)?;
    (u64::from(crc32fast::hash(checked)) == number(&header[4..8])).then(|| &checked[8..])
}

fn split(mut payload: &[u8], pairs: &mut Vec<KeyValue>) -> Option<()> {
    while !payload.is_empty() {
        let (key, rest) = payload.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_first_chunk::<4>()?;
        let (key, rest) = rest.split_at_checked(u32::from_be_bytes(*key) as usize)?;
        let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*value) as usize)?;
        pairs.push((key.to_vec(), value.to_vec()));
        payload = rest;
    }
    Some(())
}

fn stopped(error: &std::io::Error) -> JournalError {
    JournalError::Stopped { reason: error.to_string() }
}

fn damaged(path: &Path, at: usize, reason: &str) -> JournalError {
    JournalError::Corrupt { place: format!("{}, byte {at}", path.display()), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use std::path::PathBuf;

    use super::*;

    fn pair(n: u8, size: usize) -> KeyValue {
        (vec![n; 5], vec![n; size])
    }

    fn written(commits: &[Vec<KeyValue>]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wal");
        let (mut wal, before) = Wal::open(&path).unwrap();
        assert!(before.is_empty());
        for commit in commits {
            wal.commit(commit.iter(), || ()).unwrap();
        }
        (directory, path)
    }

    #[test]
    fn commits_come_back_in_order_and_beyond_the_space_made() {
        let commits = [vec![pair(1, 10), pair(2, 0)], vec![pair(3, 100_000)], vec![pair(4, 10)]];
        let (_directory, path) = written(&commits);
        assert_eq!(Wal::open(&path).unwrap().1, commits.concat());
        let (mut wal, _) = Wal::open(&path).unwrap();
        wal.reset().unwrap();
        assert!(Wal::open(&path).unwrap().1.is_empty());
    }

    #[test]
    fn the_last_commit_may_be_torn_anywhere_and_the_ones_before_it_stay() {
        let commits = [vec![pair(1, 30)], vec![pair(2, 30)]];
        let (_directory, path) = written(&commits);
        let whole = std::fs::read(&path).unwrap();
        let length = HEADER_BYTES + 8 + 5 + 30;
        let last = MAGIC.len() + length;
        for cut in last..last + length {
            let mut torn = whole.clone();
            torn[cut..].fill(0);
            std::fs::write(&path, &torn).unwrap();
            let read = Wal::open(&path).unwrap().1;
            // The record ends in bytes other than zero, so every cut damages it.
            assert_eq!(read, commits[0], "torn at {cut}");
        }
    }

    #[test]
    fn a_flipped_byte_before_the_last_commit_is_damage() {
        let (_directory, path) = written(&[vec![pair(1, 30)], vec![pair(2, 30)], vec![pair(3, 30)]]);
        let whole = std::fs::read(&path).unwrap();
        for at in MAGIC.len()..MAGIC.len() + HEADER_BYTES + 8 + 35 {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            std::fs::write(&path, &flipped).unwrap();
            let error = Wal::open(&path).unwrap_err();
            assert!(matches!(error, JournalError::Corrupt { .. }), "flipped at {at}: {error}");
        }
    }
}
