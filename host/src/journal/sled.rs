use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::format::{self, KeyValue};
use super::index::Index;
use super::log::{Log, Segments, commit};
use super::{Ack, Durability, Entry, JournalError, JournalStore, crash_point, io_error, make_directory};
use crate::message::RunId;

/// How long a commit waits for company: less than the sync it may save takes.
const LINGER: Duration = Duration::from_micros(100);

/// How long the writer stays awake after a commit.
const AWAKE: Duration = Duration::from_micros(100);

/// A journal on disk: a log that makes commits durable, and sled as the index over it: which commits hold something
/// of which run.
///
/// All writes go through one thread. It takes whatever is queued, writes it to the log as one commit, calls
/// `fdatasync` once, tells sled, and then acknowledges every event of it: group commit across all runs of
/// the process. Nothing that was acknowledged depends on sled's own files: its `flush` ends in
/// `sync_file_range`, which leaves the disk's cache and the file's metadata as they are (sled issue 1452), and
/// its values above 128 KiB are never synced. So when a journal is opened, the index is made anew from the log,
/// which for a run takes less time than sled's own recovery.
#[derive(Debug)]
pub struct SledStore {
    index: Index,
    path: PathBuf,
    commits: Arc<Commits>,
    queue: Option<Sender<Write>>,
    writer: Option<JoinHandle<()>>,
}

/// How much a store has written since it was opened.
#[derive(Debug, Default)]
struct Commits {
    syncs: AtomicU64,
    events: AtomicU64,
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
        make_directory(path).map_err(|error| io_error(path, &error))?;
        let (log, commits) = Log::open(path)?;
        crash_point("journal-before-index");
        let index = Index::open(path)?;
        for (place, runs) in commits {
            index.insert(&runs, place)?;
        }
        let commits = Arc::new(Commits::default());
        let writer = Writer { index: index.clone(), log, commits: Arc::clone(&commits), failed: None };
        let (queue, inbox) = channel();
        let writer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(&inbox))
            .map_err(|error| io_error(path, &error))?;
        Ok(Self { index, path: path.to_owned(), commits, queue: Some(queue), writer: Some(writer) })
    }
}

impl SledStore {
    /// How many events were made durable since the journal was opened, and how many syncs that took.
    #[must_use]
    pub fn events_and_syncs(&self) -> (u64, u64) {
        let Commits { events, syncs } = &*self.commits;
        (events.load(Ordering::Relaxed), syncs.load(Ordering::Relaxed))
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
        let mut segments = Segments::new(&self.path);
        let frames: Vec<Vec<u8>> =
            self.index.places(run).map(|place| segments.read(place?)).collect::<Result<_, _>>()?;
        let prefix = format::run_prefix(run);
        let mut pairs = Vec::new();
        for frame in &frames {
            pairs.extend(commit(frame, &self.path)?.into_iter().filter(|(key, _)| key.starts_with(&prefix)));
        }
        pairs.sort_unstable();
        format::decode(pairs.into_iter().map(Ok))
    }

    fn runs(&self) -> Result<Vec<RunId>, JournalError> {
        self.index.runs()
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
    index: Index,
    log: Log,
    commits: Arc<Commits>,
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

    fn write_and_sync(&mut self, waiting: &[Write]) -> Result<(), JournalError> {
        crash_point("journal-before-write");
        let pairs = || waiting.iter().flat_map(|write| &write.pairs);
        let place = self.log.commit(pairs(), || crash_point("journal-before-sync"))?;
        self.commits.syncs.fetch_add(1, Ordering::Relaxed);
        self.commits.events.fetch_add(waiting.len() as u64, Ordering::Relaxed);
        crash_point("journal-before-insert");
        self.index.insert(&pairs().map(|(key, _)| key.as_slice()).collect(), place)?;
        crash_point("journal-before-ack");
        Ok(())
    }
}
