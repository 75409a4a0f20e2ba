//! The log: what makes a commit durable, and what a journal is made from when it is opened again.
//!
//! Owns the files `log.1`, `log.2`, … of a journal's directory, its segments. Every process that opens the
//! journal to write begins a segment of its own, and notes in it where the one before it ends: whatever a
//! process that was taken for dead writes after that moment is not part of the journal any more, and it
//! notices before it tells anybody that something is safe. So an attempt that is stale can write nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::format::KeyValue;
use super::frame::{self, ALIGNMENT, Damage, Found, Pair};
use super::index::{Place, Runs};
use super::{JournalError, fault, sync_directory};

/// What a segment begins with.
const MAGIC: &[u8; 8] = b"hostlog1";

/// magic, epoch, epoch of the segment before, where that one ends, checksum, zeros.
const START_BYTES: usize = ALIGNMENT;
const START_CHECKED_BYTES: usize = 24;

/// Space is made in steps of this size, filled with zeros: a sync that only has to write data, and no new
/// file size or block map, takes about half the time.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// The segment that this process writes.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    epoch: u32,
    /// The segment that another process would begin.
    next: PathBuf,
    /// Where the next frame goes.
    end: u64,
    /// Up to where the file is filled with zeros.
    grown: u64,
    sequence: u64,
}

/// How far the segments of a directory go.
#[derive(Default)]
struct Contents {
    sequence: u64,
    /// The last segment that was begun.
    last: Option<Segment>,
}

/// How far a segment goes.
#[derive(Clone, Copy, Default)]
struct Segment {
    epoch: u32,
    /// Where its last commit begins.
    last: u64,
    /// Where that one ends.
    end: u64,
}

impl Log {
    /// Begins a segment, behind those that there are, and gives every commit in them, in order: where it stands, and
    /// of which runs it holds something.
    pub(super) fn open(directory: &Path) -> Result<(Self, Vec<(Place, Runs)>), JournalError> {
        let unreadable = |error: std::io::Error| unreadable(directory, &error);
        let (file, epoch) = begin_segment(directory).map_err(unreadable)?;
        // From here on nobody who had the journal open before is told that anything is safe.
        let mut commits = Vec::new();
        let visit = |place, payload: &[u8]| {
            commits.push((place, Runs::of_payload(payload)?));
            Ok(())
        };
        let Contents { sequence, last } = read_segments(directory, epoch, visit)?;
        if let Some(last) = last {
            secure(directory, last).map_err(unreadable)?;
        }
        let before = last.unwrap_or_default();
        let start = start(epoch, before.epoch, before.end);
        let begun = file.write_all_at(&start, 0).and_then(|()| file.write_all_at(&ZEROS, START_BYTES as u64));
        begun.and_then(|()| file.sync_all()).and_then(|()| sync_directory(directory)).map_err(unreadable)?;
        let end = START_BYTES as u64;
        let next = segment(directory, epoch.saturating_add(1));
        Ok((Self { file, epoch, next, end, grown: end + ZEROS.len() as u64, sequence }, commits))
    }

    /// Writes one commit; it is on disk, and in the journal for good, when this returns. Says where it stands.
    pub(super) fn commit<'a>(
        &mut self,
        pairs: impl Iterator<Item = &'a KeyValue>,
        before_sync: impl FnOnce(),
    ) -> Result<Place, JournalError> {
        let too_large = || JournalError::Stopped { reason: "a commit of more than 4 GiB".to_owned() };
        let frame = frame::encode(self.sequence + 1, pairs).map_err(|_| too_large())?;
        let end = self.end + frame.len() as u64;
        let write = || -> std::io::Result<()> {
            fault("journal-write-fails")?;
            self.file.write_all_at(&frame, self.end)?;
            if end + START_BYTES as u64 > self.grown {
                self.file.write_all_at(&ZEROS, end)?;
                self.grown = end + ZEROS.len() as u64;
            }
            before_sync();
            fault("journal-sync-fails")?;
            self.file.sync_data()
        };
        write().map_err(|error| JournalError::Stopped { reason: error.to_string() })?;
        if self.next.exists() {
            return Err(JournalError::Fenced);
        }
        let length = u32::try_from(frame.len()).map_err(|_| too_large())?;
        let place = Place { epoch: self.epoch, offset: self.end, length };
        self.end = end;
        self.sequence += 1;
        Ok(place)
    }
}

/// Makes the last commit of a segment durable. It was read, but its process may have died, or been told of an
/// error, before it was on disk; and after a sync that failed the system takes for written what is not. So it is
/// written again. Every commit before it was synced, or its process would not have gone on.
fn secure(directory: &Path, Segment { epoch, last, end }: Segment) -> std::io::Result<()> {
    let file = File::options().read(true).write(true).open(segment(directory, epoch))?;
    let mut bytes = vec![0; usize::try_from(end.saturating_sub(last)).unwrap_or_default()];
    file.read_exact_at(&mut bytes, last)?;
    file.write_all_at(&bytes, last)?;
    file.sync_all()
}

/// The pairs of every commit in a journal's directory, in order. Changes nothing, and sees what a process that
/// is writing has committed so far.
pub(super) fn read(directory: &Path) -> Result<Vec<KeyValue>, JournalError> {
    let mut pairs = Vec::new();
    read_segments(directory, u32::MAX, |_, payload| {
        pairs.extend(frame::pairs(payload)?.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())));
        Ok(())
    })?;
    Ok(pairs)
}

/// The pairs of one commit, as [`Segments::read`] gives it.
pub(super) fn commit<'a>(bytes: &'a [u8], directory: &Path) -> Result<Vec<Pair<'a>>, JournalError> {
    let damage = || damaged(directory, 0, "a commit is not what was read when the journal was opened");
    match frame::read(bytes, 0) {
        Found::Frame { payload, .. } => frame::pairs(payload).map_err(|_| damage()),
        Found::Nothing | Found::Torn | Found::Damaged(_) => Err(damage()),
    }
}

/// The segments of a directory, open to be read.
#[derive(Debug)]
pub(super) struct Segments<'a> {
    directory: &'a Path,
    open: HashMap<u32, File>,
}

impl<'a> Segments<'a> {
    pub(super) fn new(directory: &'a Path) -> Self {
        Self { directory, open: HashMap::new() }
    }

    /// The bytes of a commit.
    pub(super) fn read(&mut self, place: Place) -> Result<Vec<u8>, JournalError> {
        let mut read = || -> std::io::Result<Vec<u8>> {
            let file = match self.open.entry(place.epoch) {
                Entry::Occupied(open) => open.into_mut(),
                Entry::Vacant(vacant) => vacant.insert(File::open(segment(self.directory, place.epoch))?),
            };
            let mut bytes = vec![0; place.length as usize];
            file.read_exact_at(&mut bytes, place.offset)?;
            Ok(bytes)
        };
        read().map_err(|error| unreadable(self.directory, &error))
    }
}

/// Makes the file of the next segment, which nobody else has made.
fn begin_segment(directory: &Path) -> std::io::Result<(File, u32)> {
    let mut epoch = epochs(directory)?.last().map_or(1, |last| last.saturating_add(1));
    loop {
        match File::options().write(true).create_new(true).open(segment(directory, epoch)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && epoch < u32::MAX => epoch += 1,
            made => return Ok((made?, epoch)),
        }
    }
}

/// Reads the segments before an epoch, from the last one that was begun back to the first.
fn read_segments(
    directory: &Path,
    before: u32,
    mut visit: impl FnMut(Place, &[u8]) -> Result<(), Damage>,
) -> Result<Contents, JournalError> {
    let io = |error: std::io::Error| unreadable(directory, &error);
    let mut chain: Vec<(u32, Vec<u8>, Option<u64>)> = Vec::new();
    let mut due = None;
    for epoch in epochs(directory).map_err(io)?.into_iter().rev().filter(|epoch| *epoch < before) {
        if due.is_some_and(|(due, _)| due != epoch) {
            // Its process was overtaken before it wrote anything that counts.
            continue;
        }
        let path = segment(directory, epoch);
        let mut bytes = Vec::new();
        File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(io)?;
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
            let path = segment(directory, missing);
            return Err(damaged(&path, 0, "it is missing, and a later one goes on from it"));
        }
        Some(_) | None => {}
    }
    let mut contents = Contents::default();
    for (epoch, bytes, limit) in chain.into_iter().rev() {
        read_frames(&mut contents, epoch, &bytes, limit, &segment(directory, epoch), &mut visit)?;
    }
    Ok(contents)
}

/// Reads the commits of one segment: up to its limit, if another one goes on from there, or else up to where a
/// crash may have torn the last of them.
fn read_frames(
    contents: &mut Contents,
    epoch: u32,
    bytes: &[u8],
    limit: Option<u64>,
    path: &Path,
    visit: &mut impl FnMut(Place, &[u8]) -> Result<(), Damage>,
) -> Result<(), JournalError> {
    let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let bytes = bytes.get(..limit.unwrap_or(bytes.len()));
    let bytes = bytes.ok_or_else(|| damaged(path, 0, "it is shorter than what was acknowledged"))?;
    let (mut last, mut at) = (0, START_BYTES);
    let torn = loop {
        match frame::read(bytes, at) {
            Found::Frame { sequence, payload, end } if sequence == contents.sequence + 1 => {
                let length = u32::try_from(end - at).unwrap_or(u32::MAX);
                visit(Place { epoch, offset: at as u64, length }, payload)
                    .map_err(|Damage| damaged(path, at, "a commit does not hold whole records"))?;
                contents.sequence = sequence;
                (last, at) = (at, end);
            }
            Found::Frame { .. } => return Err(damaged(path, at, "a commit is out of order")),
            Found::Damaged(reason) => return Err(damaged(path, at, reason)),
            Found::Nothing => break false,
            Found::Torn => break true,
        }
    };
    if limit.is_some_and(|limit| torn || at < limit) {
        return Err(damaged(path, at, "a commit is missing, and others follow it"));
    }
    // What was torn was the last thing written: a good commit behind it means that it was whole once.
    let mut behind = (at + ALIGNMENT..bytes.len()).step_by(ALIGNMENT);
    if behind.any(|at| matches!(frame::read(bytes, at), Found::Frame { .. })) {
        return Err(damaged(path, at, "a commit is missing, and others follow it"));
    }
    contents.last = Some(Segment { epoch, last: last as u64, end: at as u64 });
    Ok(())
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
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        // Whatever else stands in the directory is not a segment.
        epochs.extend(name.to_str().and_then(|name| name.strip_prefix("log.")?.parse::<u32>().ok()));
    }
    epochs.sort_unstable();
    Ok(epochs)
}

fn unreadable(directory: &Path, error: &std::io::Error) -> JournalError {
    super::io_error(directory, error)
}

fn damaged(path: &Path, at: usize, reason: &str) -> JournalError {
    JournalError::Corrupt { place: format!("{}, byte {at}", path.display()), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
    use super::*;

    fn pair(n: u8, size: usize) -> KeyValue {
        (vec![n; 5], vec![n; size])
    }

    fn commit(log: &mut Log, pairs: &[KeyValue]) {
        log.commit(pairs.iter(), || ()).unwrap();
    }

    #[test]
    fn commits_come_back_in_order_over_all_segments_and_beyond_the_space_made() {
        let directory = tempfile::tempdir().unwrap();
        let mut expected = Vec::new();
        for n in 1..5 {
            let (mut log, before) = Log::open(directory.path()).unwrap();
            let mut segments = Segments::new(directory.path());
            let mut found = Vec::new();
            for (place, _) in before {
                let bytes = segments.read(place).unwrap();
                let pairs = super::commit(&bytes, directory.path()).unwrap();
                found.extend(pairs.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())));
            }
            assert_eq!(found, expected);
            for pairs in [vec![pair(n, 10), pair(n, 0)], vec![pair(n, 100_000)]] {
                commit(&mut log, &pairs);
                expected.extend(pairs);
                assert_eq!(read(directory.path()).unwrap(), expected);
            }
        }
    }

    #[test]
    fn a_process_that_was_overtaken_is_told_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (mut stale, _) = Log::open(directory.path()).unwrap();
        commit(&mut stale, &[pair(1, 10)]);
        let (mut log, before) = Log::open(directory.path()).unwrap();
        assert_eq!(before.len(), 1);
        for n in 2..9 {
            let stopped = stale.commit([pair(n, 10)].iter(), || ());
            assert!(matches!(stopped, Err(JournalError::Fenced)));
        }
        commit(&mut log, &[pair(9, 10)]);
        assert_eq!(read(directory.path()).unwrap(), [pair(1, 10), pair(9, 10)]);
    }

    #[test]
    fn a_process_that_died_while_it_began_leaves_no_trace() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(directory.path()).unwrap();
        commit(&mut log, &[pair(1, 10)]);
        std::fs::write(segment(directory.path(), 2), []).unwrap();
        std::fs::write(segment(directory.path(), 3), [0; 700]).unwrap();
        let (mut log, before) = Log::open(directory.path()).unwrap();
        assert_eq!(before.len(), 1);
        commit(&mut log, &[pair(2, 10)]);
        assert_eq!(read(directory.path()).unwrap(), [pair(1, 10), pair(2, 10)]);
    }

    #[test]
    fn what_is_missing_or_changed_is_damage_and_never_another_result() {
        let directory = tempfile::tempdir().unwrap();
        for n in 1..4 {
            let (mut log, _) = Log::open(directory.path()).unwrap();
            commit(&mut log, &[pair(n, 30)]);
            commit(&mut log, &[pair(n + 10, 600)]);
        }
        let whole = read(directory.path()).unwrap();
        for epoch in 1..4 {
            let path = segment(directory.path(), epoch);
            let bytes = std::fs::read(&path).unwrap();
            // Both frames, and some of the zeros behind them.
            for at in 0..1000 {
                let mut changed = bytes.clone();
                changed[at] ^= 0x11;
                std::fs::write(&path, &changed).unwrap();
                match read(directory.path()) {
                    Err(JournalError::Corrupt { .. }) => {}
                    Ok(pairs) => assert_eq!(pairs, whole, "segment {epoch}, byte {at}"),
                    Err(error) => panic!("segment {epoch}, byte {at}: {error}"),
                }
            }
            std::fs::remove_file(&path).unwrap();
            // Of a last segment that is gone nothing is left to tell of it.
            assert!(epoch == 3 || matches!(read(directory.path()), Err(JournalError::Corrupt { .. })));
            std::fs::write(&path, &bytes).unwrap();
        }
    }
}
