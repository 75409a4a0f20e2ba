//! The file of what is owed and due, and the thread that writes it.
//!
//! Every record changes the state in memory at once and is handed to the thread, in one order. Whoever needs a record to
//! outlive the process waits for its [`Ticket`]: it is with the system then, and on disk within [`SYNC_EVERY`]. The file is
//! written anew, shorter, when most of it is of the past. Where it cannot be written, the state in memory counts, and the
//! file is written anew as soon as it can be.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::book::{Book, Record};
use super::told::{Told, log};
use crate::journal::{make_directory, sync_directory, write_whole};

const NAME: &str = "webhooks.jsonl";
/// The version this host writes, and the newest it reads.
const VERSION: u32 = 1;
/// How much may be lost when the machine loses its power. Syncs at this pace take nothing from the journal.
const SYNC_EVERY: Duration = Duration::from_millis(100);
/// How soon it is tried again to write where that failed.
const AGAIN: Duration = Duration::from_secs(1);
/// A record has about 200 bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// A file of up to so many bytes is not worth writing anew.
const BYTES_MIN: u64 = 256 * 1024;
/// So many times as long as when it was written anew, a file is mostly of the past.
const GROWTH: u64 = 4;

/// The state, and what has to be written of it.
#[derive(Debug)]
pub(super) struct Notes {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
    /// The number of the last record that is written, or could not be.
    written: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    book: Book,
    /// The lines that are not written yet.
    lines: String,
    /// How many records there were.
    count: u64,
    closed: bool,
}

/// The promise that a record is written.
#[derive(Debug)]
#[must_use = "a record outlives the process only once it is written"]
pub(super) struct Ticket {
    count: u64,
    written: watch::Receiver<u64>,
}

/// The first line of the file.
#[derive(Serialize, Deserialize)]
struct Header {
    host_webhooks: u32,
}

/// Why there are no notes.
#[derive(Debug, thiserror::Error)]
pub enum NotesError {
    /// The file cannot be read or written.
    #[error("cannot use {}: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A newer host wrote it.
    #[error("{} has format version {version}, and this host reads up to {VERSION}; use a newer host", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version it has.
        version: u32,
    },
}

impl Notes {
    /// Reads what a process before noted below a state directory. Nothing is made before there is something to note.
    pub(super) fn open(state: &Path) -> Result<Self, NotesError> {
        let path = state.join(NAME);
        let book = read(&path)?;
        Self::beginning(path, book)
    }

    /// Begins to write a state to a file.
    fn beginning(path: PathBuf, book: Book) -> Result<Self, NotesError> {
        let shared = Arc::new(Shared {
            path: path.clone(),
            state: Mutex::new(State { book, ..State::default() }),
            changed: Condvar::new(),
            written: watch::channel(0).0,
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("webhooks".to_owned());
        let thread = thread.spawn(move || Writer::new(&of_thread).write());
        let thread = thread.map_err(|error| NotesError::Unusable { path, reason: error.to_string() })?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Looks at the state, and changes what is not recorded of it.
    pub(super) fn book<T>(&self, look: impl FnOnce(&mut Book) -> T) -> T {
        look(&mut self.shared.state.lock().book)
    }

    /// Has the state changed by what the state says is to be recorded.
    pub(super) fn note(&self, what: impl FnOnce(&mut Book) -> Vec<Record>) -> Ticket {
        let mut state = self.shared.state.lock();
        for record in what(&mut state.book) {
            state.book.apply(&record);
            state.lines.push_str(&line(&record));
            state.count += 1;
        }
        let ticket = Ticket { count: state.count, written: self.shared.written.subscribe() };
        drop(state);
        self.shared.changed.notify_one();
        ticket
    }

    /// Writes what is left, to the disk.
    pub(super) async fn close(&self) {
        self.shared.state.lock().closed = true;
        self.shared.changed.notify_one();
        let Some(thread) = self.thread.lock().take() else { return };
        // It says what went wrong itself.
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.changed.notify_one();
    }
}

impl Ticket {
    /// Waits until the record is written, or cannot be for the time being.
    pub(super) async fn written(mut self) {
        // Without the thread nothing is written any more.
        let _ = self.written.wait_for(|written| *written >= self.count).await;
    }
}

fn line(record: &impl Serialize) -> String {
    // What a record has can always be written as JSON.
    serde_json::to_string(record).map(|json| format!("{json}\n")).unwrap_or_default()
}

/// What a file says. A line that cannot be read is passed over: the last one may have no end, and nothing else is known
/// of any other than that a delivery is sent again, or that the start looks at a run.
fn read(path: &Path) -> Result<Book, NotesError> {
    let mut book = Book::default();
    let unusable =
        |error: std::io::Error| NotesError::Unusable { path: path.to_owned(), reason: error.to_string() };
    let mut file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(book),
        file => BufReader::new(file.map_err(unusable)?),
    };
    let (mut text, mut unread) = (Vec::new(), 0_usize);
    loop {
        text.clear();
        if file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text).map_err(unusable)? == 0 {
            break;
        }
        match serde_json::from_slice::<Header>(&text) {
            Ok(Header { host_webhooks }) if host_webhooks > VERSION => {
                return Err(NotesError::Version { path: path.to_owned(), version: host_webhooks });
            }
            Ok(_) => {}
            Err(_) => match serde_json::from_slice(&text) {
                Ok(record) => book.apply(&record),
                Err(_) => unread += 1,
            },
        }
    }
    if unread > 0 {
        log(&Told::Unread { path, lines: unread });
    }
    Ok(book)
}

/// The thread that writes.
struct Writer<'a> {
    shared: &'a Shared,
    /// `None` as long as the file is not as this process wants it.
    file: Option<File>,
    bytes: u64,
    /// How long the file was when it was written anew.
    bytes_anew: u64,
    /// The number of the last record that the file holds, as it was written anew.
    count_anew: u64,
    /// Since when something is written that is not synced.
    unsynced: Option<Instant>,
    /// When it is tried again to write.
    again: Option<Instant>,
}

impl Drop for Writer<'_> {
    /// Nothing is written any more, and nobody is to wait for it.
    fn drop(&mut self) {
        self.shared.written.send_replace(u64::MAX);
    }
}

impl<'a> Writer<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self { shared, file: None, bytes: 0, bytes_anew: 0, count_anew: 0, unsynced: None, again: None }
    }

    fn write(mut self) {
        loop {
            let (text, count, closed) = self.wait();
            // It is the last try.
            if closed && self.again.is_some() {
                self.again = Some(Instant::now());
            }
            if !text.is_empty() || self.again.is_some() {
                let written = self.append(&text);
                self.take(written);
            }
            self.shared.written.send_replace(count.max(self.count_anew));
            if closed || self.unsynced.is_some_and(|since| since.elapsed() >= SYNC_EVERY) {
                let synced = self.sync();
                self.take(synced);
            }
            if closed {
                return;
            }
        }
    }

    /// Waits until there is something to write, to sync, or to try again.
    fn wait(&self) -> (String, u64, bool) {
        let mut state = self.shared.state.lock();
        let until = self.again.or(self.unsynced.map(|since| since + SYNC_EVERY));
        // While nothing can be written, lines only gather: the state is written as a whole later.
        while !state.closed && (state.lines.is_empty() || self.again.is_some()) {
            match until {
                Some(until) if self.shared.changed.wait_until(&mut state, until).timed_out() => break,
                Some(_) if self.again.is_some() && !state.lines.is_empty() => break,
                Some(_) => {}
                None => self.shared.changed.wait(&mut state),
            }
        }
        (std::mem::take(&mut state.lines), state.count, state.closed)
    }

    fn append(&mut self, text: &str) -> std::io::Result<()> {
        if self.again.is_some_and(|again| Instant::now() < again) {
            return Ok(());
        }
        let is_long = self.bytes > BYTES_MIN.max(GROWTH * self.bytes_anew);
        match self.file.as_mut().filter(|_| !is_long) {
            Some(file) => {
                file.write_all(text.as_bytes())?;
                self.bytes += text.len() as u64;
                self.unsynced.get_or_insert_with(Instant::now);
                Ok(())
            }
            None => self.anew(),
        }
    }

    /// Writes the file anew, by the state as it is now.
    fn anew(&mut self) -> std::io::Result<()> {
        let path = &self.shared.path;
        let text = {
            let mut state = self.shared.state.lock();
            // The state has them.
            state.lines.clear();
            self.count_anew = state.count;
            let records = state.book.records();
            drop(state);
            records.iter().fold(line(&Header { host_webhooks: VERSION }), |text, record| text + &line(record))
        };
        let directory = path.parent().unwrap_or(path);
        make_directory(directory)?;
        write_whole(path, &path.with_extension("part"), |mut file: &File| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })?;
        sync_directory(directory)?;
        self.file = Some(File::options().append(true).mode(0o600).open(path)?);
        (self.bytes, self.bytes_anew, self.unsynced) = (text.len() as u64, text.len() as u64, None);
        Ok(())
    }

    fn sync(&mut self) -> std::io::Result<()> {
        self.unsynced = None;
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }

    /// Takes in whether something could be written.
    fn take(&mut self, done: std::io::Result<()>) {
        match done {
            Err(error) => {
                if self.again.is_none() {
                    log(&Told::NotNoted { why: &error.to_string() });
                }
                (self.file, self.unsynced, self.again) = (None, None, Some(Instant::now() + AGAIN));
            }
            Ok(()) if self.file.is_some() => self.again = None,
            Ok(()) => {}
        }
    }
}
