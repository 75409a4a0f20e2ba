use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::format::{self, KeyValue};
use super::log::{Log, Place, Placed, Values};
use super::{Ack, Durability, Entry, JournalError, JournalStore, crash_point, io_error};
use crate::message::RunId;

/// sled keeps this much in memory. Its default is 1 GB; a run's records are read once, front to back.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// How long a commit waits for company: less than the sync it may save takes.
const LINGER: Duration = Duration::from_micros(100);

/// How long the writer stays awake after a commit.
const AWAKE: Duration = Duration::from_micros(100);

const UNFIT: &str = "the index holds something that is no place in the log";

/// Where sled has its files, below the journal's directory.
const INDEX: &str = "index";

/// A journal on disk: a log that makes commits durable, and sled as the index over it: where in the log the value
/// of each key stands.
///
/// All writes go through one thread. It takes whatever is queued, writes it to the log as one commit, calls
/// `fdatasync` once, tells sled, and then acknowledges every event of it: group commit across all runs of
/// the process. Nothing that was acknowledged depends on sled's own files: its `flush` ends in
/// `sync_file_range`, which leaves the disk's cache and the file's metadata as they are (sled issue 1452), and
/// its values above 128 KiB are never synced. So when a journal is opened, the index is made anew from the log,
/// which for a run takes less time than sled's own recovery.
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
    /// Opens the journal in a directory, making it if there is none. Whoever had it open before can write
    /// nothing more.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        std::fs::create_dir_all(path).map_err(|error| io_error(path, &error))?;
        let (log, places) = Log::open(path)?;
        crash_point("journal-before-index");
        let db = index(path)?;
        let writer = Writer { db: db.clone(), log, failed: None };
        writer.index(places)?;
        let (queue, inbox) = channel();
        let writer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(&inbox))
            .map_err(|error| io_error(path, &error))?;
        Ok(Self { db, path: path.to_owned(), queue: Some(queue), writer: Some(writer) })
    }

    fn unreadable(&self, error: &dyn std::fmt::Display) -> JournalError {
        JournalError::Unreadable { path: self.path.clone(), reason: error.to_string() }
    }
}

/// An empty index. What a process that died left of its own goes first.
fn index(path: &Path) -> Result<sled::Db, JournalError> {
    let path = path.join(INDEX);
    match std::fs::remove_dir_all(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io_error(&path, &error)),
        Ok(()) | Err(_) => {}
    }
    sled::Config::new()
        .path(&path)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None)
        .temporary(true)
        .open()
        .map_err(|error| match error {
            sled::Error::Io(error) => io_error(&path, &error),
            other => JournalError::Unreadable { path, reason: other.to_string() },
        })
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
        let mut values = Values::new(&self.path);
        let places = self.db.scan_prefix(format::run_prefix(run));
        format::decode(places.map(|found| {
            let (key, place) = found.map_err(|error| self.unreadable(&error))?;
            let place = Place::from_bytes(&place).ok_or_else(|| self.unreadable(&UNFIT))?;
            let value = values.read(place).map_err(|error| self.unreadable(&error))?;
            Ok((key, value))
        }))
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

/// The next write; none when the store is closed. Waking a thread takes as long as a third of a sync, so
/// the one that has just committed stays awake a little for what follows.
fn next(inbox: &Receiver<Write>) -> Option<Write> {
    poll_until(inbox, Instant::now() + AWAKE).or_else(|| inbox.recv().ok())
}

/// Waits a moment for the ends of effects that have just begun: the calls of one turn end within
/// microseconds of each other, and then one sync serves them all.
fn linger(inbox: &Receiver<Write>, waiting: &mut Vec<Write>) {
    let deadline = Instant::now() + LINGER;
    loop {
        let begun = waiting.iter().filter(|write| write.when == Durability::WithNext).count();
        if waiting.len() - begun >= begun {
            return;
        }
        match poll_until(inbox, deadline) {
            Some(write) => waiting.push(write),
            None => return,
        }
        waiting.extend(inbox.try_iter());
    }
}

fn poll_until(inbox: &Receiver<Write>, deadline: Instant) -> Option<Write> {
    loop {
        match inbox.try_recv() {
            Ok(write) => return Some(write),
            Err(TryRecvError::Empty) if Instant::now() < deadline => std::thread::yield_now(),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => return None,
        }
    }
}

struct Writer {
    db: sled::Db,
    log: Log,
    failed: Option<JournalError>,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<Write>) {
        let mut waiting = Vec::new();
        while let Some(write) = next(inbox) {
            waiting.push(write);
            waiting.extend(inbox.try_iter());
            if waiting.iter().any(|write| write.when == Durability::Now) {
                linger(inbox, &mut waiting);
                self.commit(&mut waiting);
            }
        }
        if !waiting.is_empty() {
            self.commit(&mut waiting);
        }
    }

    /// Writes what waits as one commit and acknowledges it.
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

    fn write_and_sync(&mut self, waiting: &mut [Write]) -> Result<(), JournalError> {
        crash_point("journal-before-write");
        let pairs = waiting.iter().flat_map(|write| &write.pairs);
        let places = self.log.commit(pairs, || crash_point("journal-before-sync"))?;
        crash_point("journal-before-insert");
        let keys = waiting.iter_mut().flat_map(|write| write.pairs.drain(..)).map(|(key, _)| key);
        self.index(keys.zip(places))?;
        crash_point("journal-before-ack");
        Ok(())
    }

    fn index(&self, places: impl IntoIterator<Item = Placed>) -> Result<(), JournalError> {
        for (key, place) in places {
            self.db.insert(key, &place.to_bytes()).map_err(|error| stopped(&error))?;
        }
        Ok(())
    }
}

fn stopped(error: &dyn std::error::Error) -> JournalError {
    JournalError::Stopped { reason: error.to_string() }
}
