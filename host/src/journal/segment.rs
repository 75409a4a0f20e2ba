//! A segment: the file that one process writes its commits to, one `fdatasync` each.
//!
//! Owns the bytes of `N.log`, and what can be said of them whoever wrote them: how far they go, what a crash tore and
//! what is damaged. A process that was taken for dead finds out before it tells anybody that something is safe: there
//! is an `N.end` then, or its file is gone.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::extent::Extent;
use super::format::KeyValue;
use super::frame::{self, ALIGNMENT, Damage, Found, SECTOR_BYTES};
use super::{JournalError, fault, io_error, places, sync_directory};

/// What a segment begins with.
const MAGIC: &[u8; 8] = b"hostlog2";

/// magic, number, number of the process, zeros, checksum, zeros.
pub(super) const START_BYTES: usize = ALIGNMENT;

/// Space is made in steps of this size, filled with zeros: a sync that only has to write data, and no new
/// file size or block map, takes about half the time.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// How far a segment was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reached {
    /// Where the next commit is due.
    pub(super) end: u64,
    /// Where the last one begins; 0 if there is none.
    pub(super) last: u64,
    /// Its sequence number.
    pub(super) sequence: u64,
}

impl Reached {
    /// Nothing was read yet.
    pub(super) const START: Self = Self { end: START_BYTES as u64, last: 0, sequence: 0 };
}

impl Default for Reached {
    fn default() -> Self {
        Self::START
    }
}

/// The segment that this process writes, locked by it.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u32,
    file: File,
    /// What somebody makes who takes this process for dead.
    end: PathBuf,
    /// How far it goes.
    pub(super) reached: Reached,
    /// Up to where the file is filled with zeros.
    grown: u64,
}

impl Segment {
    /// Begins a segment; its name is on disk when this returns. The lock of the directory is held meanwhile.
    pub(super) fn begin(directory: &Path, number: u32, holder: u32) -> std::io::Result<Self> {
        let path = places::log(directory, number);
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        file.lock()?;
        file.write_all_at(&start(number, holder), 0)?;
        file.write_all_at(&ZEROS, START_BYTES as u64)?;
        file.sync_all()?;
        sync_directory(directory)?;
        let grown = (START_BYTES + ZEROS.len()) as u64;
        Ok(Self { number, file, end: places::end(directory, number), reached: Reached::START, grown })
    }

    /// Writes one commit; it is on disk, and in the journal for good, when this returns. Says where it stands.
    pub(super) fn commit<'a>(
        &mut self,
        pairs: impl Iterator<Item = &'a KeyValue>,
        before_sync: impl FnOnce(),
    ) -> Result<Extent, JournalError> {
        let Reached { end: offset, sequence, .. } = self.reached;
        let too_large = |_| JournalError::Stopped { reason: "a commit of more than 4 GiB".to_owned() };
        let frame = frame::encode(sequence + 1, pairs).map_err(too_large)?;
        let extent = Extent { offset, length: frame.len() as u64 };
        let write = || -> std::io::Result<()> {
            fault("journal-write-fails")?;
            self.file.write_all_at(&frame, offset)?;
            if extent.end() + START_BYTES as u64 > self.grown {
                self.file.write_all_at(&ZEROS, extent.end())?;
                self.grown = extent.end() + ZEROS.len() as u64;
            }
            before_sync();
            fault("journal-sync-fails")?;
            self.file.sync_data()
        };
        write().map_err(|error| JournalError::Stopped { reason: error.to_string() })?;
        if self.is_fenced().map_err(|error| JournalError::Stopped { reason: error.to_string() })? {
            return Err(JournalError::Fenced);
        }
        self.reached = Reached { end: extent.end(), last: offset, sequence: sequence + 1 };
        Ok(extent)
    }

    /// Gives back the space that was made for what did not come.
    pub(super) fn shrink(&self) -> std::io::Result<()> {
        self.file.set_len(self.reached.end)
    }

    /// Whether somebody took this process for dead. Who does that makes the end first, and removes the segment before
    /// the end: so it is looked for in this order.
    pub(super) fn is_fenced(&self) -> std::io::Result<bool> {
        Ok(self.end.try_exists()? || self.file.metadata()?.nlink() == 0)
    }
}

/// The bytes that a segment begins with.
fn start(number: u32, holder: u32) -> Vec<u8> {
    let mut start = MAGIC.to_vec();
    start.extend_from_slice(&number.to_be_bytes());
    start.extend_from_slice(&holder.to_be_bytes());
    start.extend_from_slice(&[0; 8]);
    start.extend_from_slice(&crc32fast::hash(&start).to_be_bytes());
    start.resize(START_BYTES, 0);
    start
}

/// What a segment turns out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// The process with this number writes it, or wrote it.
    By(u32),
    /// Its making was cut short, before anything was acknowledged.
    Never,
}

/// Reads who wrote a segment.
pub(super) fn begun(file: &File, number: u32, path: &Path) -> Result<Begun, JournalError> {
    let mut found = [0; START_BYTES];
    let read = file.read_at(&mut found, 0).map_err(|error| io_error(path, &error))?;
    let holder = u32::from_be_bytes([found[12], found[13], found[14], found[15]]);
    if read == START_BYTES && found[..] == start(number, holder) {
        return Ok(Begun::By(holder));
    }
    let mut rest = Vec::new();
    let mut file = file;
    let whole = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut rest));
    whole.map_err(|error| io_error(path, &error))?;
    // Nothing is written behind the start before the start is on disk.
    if rest.iter().all(|byte| *byte == 0) {
        return Ok(Begun::Never);
    }
    Err(damaged(path, 0, "it does not begin as a segment of the journal does"))
}

/// Reads the commits of a segment that is not over, from where it was read to the last time, up to a byte if there is a
/// limit.
pub(super) fn read_on(
    directory: &Path,
    number: u32,
    from: Reached,
    limit: Option<u64>,
    visit: impl FnMut(Extent, &[u8]) -> Result<(), Damage>,
) -> Result<Option<Reached>, JournalError> {
    let path = places::log(directory, number);
    let mut file = File::open(&path).map_err(|error| io_error(&path, &error))?;
    if begun(&file, number, &path)? == Begun::Never {
        return Ok(None);
    }
    // What a crash tears are sectors, so they have to be told apart.
    let base = from.end - from.end % SECTOR_BYTES as u64;
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::Start(base)).and_then(|_| file.read_to_end(&mut bytes));
    read.map_err(|error| io_error(&path, &error))?;
    read_frames(&bytes, base, from, limit, &path, visit).map(Some)
}

/// Reads commits: up to a limit, if it is known where they end, or else up to where a crash may have torn the last
/// of them. `bytes` are those of the file from `base` on.
pub(super) fn read_frames(
    bytes: &[u8],
    base: u64,
    from: Reached,
    limit: Option<u64>,
    path: &Path,
    mut visit: impl FnMut(Extent, &[u8]) -> Result<(), Damage>,
) -> Result<Reached, JournalError> {
    let within = |at: u64| usize::try_from(at.saturating_sub(base)).unwrap_or(usize::MAX);
    let bytes = bytes.get(..limit.map_or(bytes.len(), within));
    let bytes = bytes.ok_or_else(|| damaged(path, base, "it is shorter than what was acknowledged"))?;
    let mut reached = from;
    let torn = loop {
        let at = reached.end;
        match frame::read(bytes, within(at)) {
            Found::Frame { sequence, payload, end } if sequence == reached.sequence + 1 => {
                let extent = Extent { offset: at, length: (end - within(at)) as u64 };
                visit(extent, payload)
                    .map_err(|Damage| damaged(path, at, "a commit does not hold whole records"))?;
                reached = Reached { end: extent.end(), last: at, sequence };
            }
            Found::Frame { .. } => return Err(damaged(path, at, "a commit is out of order")),
            Found::Damaged(reason) => return Err(damaged(path, at, reason)),
            Found::Nothing => break false,
            Found::Torn => break true,
        }
    };
    let missing = || damaged(path, reached.end, "a commit is missing, and others follow it");
    if limit.is_some_and(|limit| torn || reached.end < limit) {
        return Err(missing());
    }
    // What was torn was the last thing written: a good commit behind it means that it was whole once.
    let mut behind = (within(reached.end) + ALIGNMENT..bytes.len()).step_by(ALIGNMENT);
    if behind.any(|at| matches!(frame::read(bytes, at), Found::Frame { .. })) {
        return Err(missing());
    }
    Ok(reached)
}

/// Makes the last commit of a segment durable. It was read, but its process may have died, or been told of an
/// error, before it was on disk; and after a sync that failed the system takes for written what is not. So it is
/// written again. Every commit before it was synced, or its process would not have gone on.
pub(super) fn secure(path: &Path, Reached { end, last, .. }: Reached) -> std::io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut bytes = vec![0; usize::try_from(end.saturating_sub(last)).unwrap_or_default()];
    file.read_exact_at(&mut bytes, last)?;
    file.write_all_at(&bytes, last)?;
    file.sync_all()
}

/// Damage at a byte of a file.
pub(super) fn damaged(path: &Path, at: u64, reason: &str) -> JournalError {
    JournalError::Corrupt { place: format!("{}, byte {at}", path.display()), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
    use super::super::extent::Segments;
    use super::*;

    fn pair(n: u8, size: usize) -> KeyValue {
        (vec![n; 20], vec![n; size])
    }

    /// The pairs of a segment, and how far it goes.
    fn read(directory: &Path, number: u32) -> Result<(Vec<KeyValue>, Option<Reached>), JournalError> {
        let mut found = Vec::new();
        let reached = read_on(directory, number, Reached::START, None, |_, payload| {
            let pairs = frame::pairs(payload)?.into_iter();
            found.extend(pairs.map(|(key, value)| (key.to_vec(), value.to_vec())));
            Ok(())
        })?;
        Ok((found, reached))
    }

    #[test]
    fn commits_come_back_in_order_and_beyond_the_space_made() {
        let directory = tempfile::tempdir().unwrap();
        let mut segment = Segment::begin(directory.path(), 4, 3).unwrap();
        let mut expected = Vec::new();
        let mut extents = Vec::new();
        for pairs in [vec![pair(1, 10), pair(2, 0)], vec![pair(3, 100_000)], vec![pair(4, 1)]] {
            extents.push(segment.commit(pairs.iter(), || ()).unwrap());
            expected.extend(pairs);
            let (found, reached) = read(directory.path(), 4).unwrap();
            assert_eq!((found, reached), (expected.clone(), Some(segment.reached)));
        }
        // From the middle on, and as an extent of several commits.
        let from = Reached { end: extents[1].offset, last: extents[0].offset, sequence: 1 };
        let mut read = 0;
        let reached = read_on(directory.path(), 4, from, None, |_, _| {
            read += 1;
            Ok(())
        });
        assert_eq!((read, reached.unwrap()), (2, Some(segment.reached)));
        let both = Extent { offset: extents[0].offset, length: extents[0].length + extents[1].length };
        let mut segments = Segments::new(directory.path());
        let mut read = 0;
        segments
            .read(4, both, |_| {
                read += 1;
                Ok(())
            })
            .unwrap()
            .unwrap();
        assert_eq!(read, 2);
        assert_eq!(segments.read(5, both, |_| Ok(())).unwrap(), None);
        assert!(places::is_locked(&places::log(directory.path(), 4)).unwrap());
        drop(segment);
        assert!(!places::is_locked(&places::log(directory.path(), 4)).unwrap());
    }

    #[test]
    fn a_process_that_was_taken_for_dead_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let mut segment = Segment::begin(directory.path(), 1, 1).unwrap();
        let end = places::end(directory.path(), 1);
        segment.commit([pair(1, 10)].iter(), || ()).unwrap();
        let reached = segment.reached;
        std::fs::write(&end, "").unwrap();
        let stopped = segment.commit([pair(2, 10)].iter(), || ());
        assert!(matches!(stopped, Err(JournalError::Fenced)));
        assert_eq!(segment.reached, reached);
        // All of it may be gone by now.
        std::fs::remove_file(places::log(directory.path(), 1)).unwrap();
        std::fs::remove_file(&end).unwrap();
        let stopped = segment.commit([pair(2, 10)].iter(), || ());
        assert!(matches!(stopped, Err(JournalError::Fenced)));
    }

    #[test]
    fn a_segment_whose_making_was_cut_short_was_never_begun() {
        let directory = tempfile::tempdir().unwrap();
        for bytes in [vec![], vec![0; 10], vec![0; 700]] {
            std::fs::write(places::log(directory.path(), 1), bytes).unwrap();
            assert_eq!(read(directory.path(), 1).unwrap(), (vec![], None));
        }
        let mut segment = Segment::begin(directory.path(), 2, 1).unwrap();
        segment.commit([pair(1, 10)].iter(), || ()).unwrap();
        let path = places::log(directory.path(), 2);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[..START_BYTES].fill(0);
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(read(directory.path(), 2), Err(JournalError::Corrupt { .. })));
    }

    #[test]
    fn what_is_changed_is_damage_and_never_another_result() {
        let directory = tempfile::tempdir().unwrap();
        let mut segment = Segment::begin(directory.path(), 1, 1).unwrap();
        let extents =
            [vec![pair(1, 30)], vec![pair(2, 600)]].map(|it| segment.commit(it.iter(), || ()).unwrap());
        let whole = read(directory.path(), 1).unwrap();
        let path = places::log(directory.path(), 1);
        let bytes = std::fs::read(&path).unwrap();
        // Both commits, and some of the zeros behind them.
        for at in 0..1000 {
            let mut changed = bytes.clone();
            changed[at] ^= 0x11;
            std::fs::write(&path, &changed).unwrap();
            match read(directory.path(), 1) {
                Err(JournalError::Corrupt { .. }) => {}
                Ok(found) => assert_eq!(found, whole, "byte {at}"),
                Err(error) => panic!("byte {at}: {error}"),
            }
            for extent in extents {
                let read = Segments::new(directory.path()).read(1, extent, |_| Ok(()));
                let within = START_BYTES..usize::try_from(extent.end()).unwrap();
                let within = within.contains(&at) && at as u64 >= extent.offset;
                // What fills a commit up to the alignment says nothing.
                assert!(within || at < START_BYTES || read.is_ok(), "byte {at}: {read:?}");
            }
        }
    }
}
