use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::format::{self, KeyValue};
use super::{Ack, Durability, Entry, JournalError, JournalStore};
use crate::message::RunId;

/// sled keeps this much in memory. Its default is 1 GB; a run's records are read once, front to back.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// A journal on disk, in sled.
///
/// All writes go through one thread. It takes whatever is queued, writes it as one batch, syncs once and
/// then acknowledges every event of it: group commit across all runs of the process. sled's own `flush`
/// ends in `sync_file_range`, which does not empty the disk's cache, so the thread also calls `fdatasync`
/// on a descriptor of its own (sled issue 1452).
#[derive(Debug)]
pub struct SledStore {
    db: sled::Db,
    path: PathBuf,
    queue: Option<Sender<Write>>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Write {
    pairs: Vec<KeyValue>,
    when: Durability,
    ack: oneshot::Sender<Result<(), JournalError>>,
}

impl SledStore {
    /// Opens the journal in a directory, making it if there is none.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let db = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .open()
            .map_err(|error| open_error(path, &error))?;
        let unreadable =
            |error: std::io::Error| JournalError::Unreadable { path: path.to_owned(), reason: error.to_string() };
        let file = File::options().write(true).open(path.join("db")).map_err(unreadable)?;
        // The names of sled's files have to be on disk before anything in them is acknowledged.
        File::open(path).and_then(|directory| directory.sync_all()).map_err(unreadable)?;

        let (queue, inbox) = channel();
        let writer = Writer { db: db.clone(), file, failed: None };
        let writer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(&inbox))
            .map_err(unreadable)?;
        Ok(Self { db, path: path.to_owned(), queue: Some(queue), writer: Some(writer) })
    }

    fn unreadable(&self, error: &sled::Error) -> JournalError {
        JournalError::Unreadable { path: self.path.clone(), reason: error.to_string() }
    }
}

impl JournalStore for SledStore {
    fn append(&self, entry: &Entry, when: Durability) -> Ack {
        let pairs = match format::encode(entry) {
            Ok(pairs) => pairs,
            Err(error) => return Ack::ready(Err(error)),
        };
        let (ack, receiver) = oneshot::channel();
        match &self.queue {
            // When the thread is gone the receiver sees its end of the channel dropped, and says so.
            Some(queue) => drop(queue.send(Write { pairs, when, ack })),
            None => drop(ack),
        }
        Ack::waiting(receiver)
    }

    fn read(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
        let pairs = self.db.scan_prefix(format::run_prefix(run));
        format::decode(pairs.map(|pair| pair.map_err(|error| self.unreadable(&error))))
    }

    fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        let mut runs = Vec::new();
        let mut from = vec![];
        // One look-up a run, whatever the number of its events.
        while let Some(pair) = self.db.range(from..).next() {
            let (key, _) = pair.map_err(|error| self.unreadable(&error))?;
            let Some(run) = format::run_of(&key) else { break };
            runs.push(run);
            from = format::run_prefix(run).to_vec();
            from.extend_from_slice(&[0xff; 64]);
        }
        Ok(runs)
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        // Closing the queue lets the thread write what is left, and end.
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

struct Writer {
    db: sled::Db,
    file: File,
    failed: Option<JournalError>,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<Write>) {
        let mut waiting = Vec::new();
        while let Ok(write) = inbox.recv() {
            waiting.push(write);
            waiting.extend(inbox.try_iter());
            if waiting.iter().any(|write| write.when == Durability::Now) {
                self.commit(&mut waiting);
            }
        }
        if !waiting.is_empty() {
            self.commit(&mut waiting);
        }
    }

    /// Writes what waits as one batch, syncs it and acknowledges it.
    fn commit(&mut self, waiting: &mut Vec<Write>) {
        if self.failed.is_none() {
            self.failed = self.write_and_sync(waiting).err();
        }
        let result = self.failed.clone().map_or(Ok(()), Err);
        for write in waiting.drain(..) {
            // Whoever does not wait has dropped the receiver.
            let _ = write.ack.send(result.clone());
        }
    }

    fn write_and_sync(&self, waiting: &mut [Write]) -> Result<(), JournalError> {
        let stopped = |reason: String| JournalError::Stopped { reason };
        crash_point("journal-before-write");
        let mut batch = sled::Batch::default();
        for (key, value) in waiting.iter_mut().flat_map(|write| write.pairs.drain(..)) {
            batch.insert(key, value);
        }
        self.db.apply_batch(batch).map_err(|error| stopped(error.to_string()))?;
        crash_point("journal-before-flush");
        self.db.flush().map_err(|error| stopped(error.to_string()))?;
        crash_point("journal-before-sync");
        self.file.sync_data().map_err(|error| stopped(error.to_string()))?;
        crash_point("journal-before-ack");
        Ok(())
    }
}

/// Where the tests kill the process: the `fail` crate compiles to nothing unless the feature
/// `failpoints` is on.
fn crash_point(name: &str) {
    fail::fail_point!(name, |_| rustix::process::kill_process(
        rustix::process::getpid(),
        rustix::process::Signal::KILL
    )
    .unwrap_or_default());
    let _ = name;
}

fn open_error(path: &Path, error: &sled::Error) -> JournalError {
    let path = path.to_owned();
    match error {
        sled::Error::Io(io) if io.kind() == std::io::ErrorKind::WouldBlock => {
            JournalError::Locked { path, holder: "another process".to_owned() }
        }
        sled::Error::Io(io) if io.to_string().contains("could not acquire lock") => {
            JournalError::Locked { path, holder: "another process".to_owned() }
        }
        sled::Error::Io(io) if unwritable(io) => JournalError::Unwritable { path, reason: io.to_string() },
        sled::Error::Io(_)
        | sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)
        | sled::Error::Corruption { .. } => JournalError::Unreadable { path, reason: error.to_string() },
    }
}

pub(super) fn unwritable(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::StorageFull
            | ErrorKind::NotADirectory
            | ErrorKind::AlreadyExists
    )
}
