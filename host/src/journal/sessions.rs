use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{JournalError, io_error, make_directory, sync_directory, write_whole};
use crate::blocking::blocking;
use crate::message::{RunId, SessionKey};

/// The directory of conversations that go on over several runs, each a directory named by its key.
///
/// In it stand `runs`, the ids of its runs, one a line, oldest first; and a file `N.ticket` for each process that
/// works on one of them or waits to, locked by it. The process with the lowest number works, so that those that wait
/// take their turns in the order in which they came; a ticket that nobody locks was left by a process that died.
#[derive(Clone, Debug)]
pub struct SessionsDir {
    path: PathBuf,
}

/// A place in the queue of those who want to continue a conversation.
#[derive(Debug)]
pub struct Place {
    sessions: SessionsDir,
    /// The directory of the conversation.
    path: PathBuf,
    number: u64,
    /// The ticket, locked for as long as the place is held.
    _ticket: File,
}

/// A conversation that nobody else continues.
#[derive(Debug)]
pub struct OpenSession {
    list: Arc<dyn SessionList>,
    runs: Vec<RunId>,
}

/// The list of the runs of a conversation, where it is kept. The right to continue it is given back when this is dropped.
pub(super) trait SessionList: Send + Sync + std::fmt::Debug {
    /// Writes the whole list, durably. A conversation without runs is none.
    fn write(&self, runs: &[RunId]) -> Result<(), JournalError>;
}

const RUNS: &str = "runs";
const TICKET: &str = ".ticket";
/// Held for the moment in which a ticket is drawn or given back. No key begins with a dot.
const LOCK: &str = ".lock";

impl SessionsDir {
    /// The conversations below a state directory. Nothing is made until one begins.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self { path: state.join("sessions") }
    }

    /// Where they are.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The conversations that there are, by key.
    pub fn keys(&self) -> Result<Vec<SessionKey>, JournalError> {
        let names = match names(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            names => names.map_err(|error| io_error(&self.path, &error))?,
        };
        let mut keys: Vec<SessionKey> = names.iter().filter_map(|name| name.parse().ok()).collect();
        // Where somebody only waits, nothing was said yet.
        keys.retain(|key| self.path.join(key.as_str()).join(RUNS).is_file());
        keys.sort();
        Ok(keys)
    }

    /// The runs of a conversation, oldest first; none if there is no such conversation.
    pub fn runs(&self, key: &SessionKey) -> Result<Vec<RunId>, JournalError> {
        read_runs(&self.path.join(key.as_str()).join(RUNS))
    }

    /// Whether a run is one of some conversation.
    pub fn have(&self, run: RunId) -> Result<bool, JournalError> {
        let mut keys = self.keys()?.into_iter();
        keys.try_fold(false, |found, key| Ok(found || self.runs(&key)?.contains(&run)))
    }

    /// Takes the last place in the queue of a conversation.
    pub fn queue(&self, key: &SessionKey) -> Result<Place, JournalError> {
        let path = self.path.join(key.as_str());
        self.draw(path).map_err(|error| io_error(&self.path, &error))
    }

    fn draw(&self, path: PathBuf) -> std::io::Result<Place> {
        make_directory(&self.path)?;
        let _drawing = self.lock()?;
        make_directory(&path)?;
        sweep(&path)?;
        let number = tickets(&path)?.last().map_or(1, |last| last + 1);
        let ticket = File::create_new(ticket(&path, number))?;
        ticket.lock()?;
        Ok(Place { sessions: self.clone(), path, number, _ticket: ticket })
    }

    fn lock(&self) -> std::io::Result<File> {
        let lock = File::options().write(true).create(true).truncate(false).open(self.path.join(LOCK))?;
        lock.lock()?;
        Ok(lock)
    }
}

impl Place {
    /// Whether somebody else is ahead.
    pub fn has_to_wait(&self) -> Result<bool, JournalError> {
        Ok(self.ahead()?.is_some())
    }

    /// Waits, and keeps the thread waiting, until nobody is ahead any more.
    pub fn wait(self) -> Result<OpenSession, JournalError> {
        while let Some(ahead) = self.ahead()? {
            ahead.lock_shared().map_err(|error| io_error(&self.path, &error))?;
        }
        let runs = read_runs(&self.path.join(RUNS))?;
        Ok(OpenSession::new(Arc::new(self), runs))
    }

    /// The ticket of the one just ahead, if there is one who lives.
    fn ahead(&self) -> Result<Option<File>, JournalError> {
        let unreadable = |error: std::io::Error| io_error(&self.path, &error);
        let ahead = tickets(&self.path).map_err(unreadable)?.into_iter().rev();
        for number in ahead.filter(|number| *number < self.number) {
            match File::open(ticket(&self.path, number)) {
                Ok(file) => match file.try_lock_shared() {
                    Ok(()) => {}
                    Err(TryLockError::WouldBlock) => return Ok(Some(file)),
                    Err(TryLockError::Error(error)) => return Err(unreadable(error)),
                },
                // Given back meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        Ok(None)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A ticket that cannot be removed is one that nobody locks, and holds nobody up. The directory goes with the
        // last ticket if nothing was said.
        let _drawing = self.sessions.lock();
        let _ = fs::remove_file(ticket(&self.path, self.number));
        let _ = fs::remove_dir(&self.path);
    }
}

impl OpenSession {
    pub(super) fn new(list: Arc<dyn SessionList>, runs: Vec<RunId>) -> Self {
        Self { list, runs }
    }

    /// The runs so far, oldest first.
    #[must_use]
    pub fn runs(&self) -> &[RunId] {
        &self.runs
    }

    /// Appends a run, durably.
    pub async fn add(&mut self, run: RunId) -> Result<(), JournalError> {
        self.change(|runs| runs.push(run)).await
    }

    /// Lets a run be the last one, durably, wherever it stood before, if it did.
    pub async fn put_last(&mut self, run: RunId) -> Result<(), JournalError> {
        self.change(|runs| {
            runs.retain(|other| *other != run);
            runs.push(run);
        })
        .await
    }

    /// Takes a run out of the conversation; it stays recorded.
    pub async fn forget_run(&mut self, run: RunId) -> Result<(), JournalError> {
        self.change(|runs| runs.retain(|other| *other != run)).await
    }

    /// Takes the last run out of the conversation; it stays recorded. Gives its id, if there was one.
    pub async fn forget_last(&mut self) -> Result<Option<RunId>, JournalError> {
        let last = self.runs.last().copied();
        self.change(|runs| runs.truncate(runs.len().saturating_sub(1))).await?;
        Ok(last)
    }

    /// Ends the conversation: its runs stay recorded, and the next one with its key is the first of another.
    pub async fn forget(&mut self) -> Result<(), JournalError> {
        self.change(Vec::clear).await
    }

    /// Changes the list. If that fails, it is as it was.
    async fn change(&mut self, change: impl FnOnce(&mut Vec<RunId>)) -> Result<(), JournalError> {
        let mut runs = self.runs.clone();
        change(&mut runs);
        // Who waits no longer has the list written all the same, and the conversation to itself until then.
        let (list, changed) = (Arc::clone(&self.list), runs.clone());
        blocking(move || list.write(&changed)).await?;
        self.runs = runs;
        Ok(())
    }
}

impl SessionList for Place {
    fn write(&self, runs: &[RunId]) -> Result<(), JournalError> {
        let path = &self.path;
        let file = path.join(RUNS);
        let written = if runs.is_empty() {
            match fs::remove_file(&file) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                removed => removed,
            }
        } else {
            let write = |mut file: &File| {
                runs.iter().try_for_each(|run| writeln!(file, "{run}")).and_then(|()| file.sync_all())
            };
            write_whole(&file, &file.with_extension("part"), write)
        };
        written.and_then(|()| sync_directory(path)).map_err(|error| io_error(path, &error))
    }
}

fn read_runs(path: &Path) -> Result<Vec<RunId>, JournalError> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(|error| io_error(path, &error))?,
    };
    let run = |line: &str| {
        let reason = format!("`{line}` is not the id of a run (without this file the session begins anew)");
        line.parse().map_err(|_| JournalError::Corrupt { place: path.display().to_string(), reason })
    };
    text.lines().map(run).collect()
}

/// The numbers of the tickets in a conversation's directory, lowest first.
fn tickets(path: &Path) -> std::io::Result<Vec<u64>> {
    let number = |name: &String| name.strip_suffix(TICKET)?.parse().ok();
    let mut numbers: Vec<u64> = names(path)?.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes the tickets of processes that died. Only while none is drawn: one that lives is locked then.
fn sweep(path: &Path) -> std::io::Result<()> {
    for number in tickets(path)? {
        let path = ticket(path, number);
        match File::open(&path)?.try_lock() {
            Ok(()) => fs::remove_file(&path)?,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(())
}

fn ticket(path: &Path, number: u64) -> PathBuf {
    path.join(format!("{number}{TICKET}"))
}

fn names(path: &Path) -> std::io::Result<Vec<String>> {
    let name = |entry: std::io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    fs::read_dir(path)?.map(name).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use std::sync::mpsc;

    use super::*;

    fn key() -> SessionKey {
        "ada".parse().unwrap()
    }

    /// Waits for a change of a list, of who has no runtime.
    fn now<T>(change: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(change)
    }

    #[test]
    fn turns_are_taken_in_the_order_in_which_they_were_asked_for() {
        let state = tempfile::tempdir().unwrap();
        let sessions = SessionsDir::new(state.path());
        let first = sessions.queue(&key()).unwrap();
        assert!(!first.has_to_wait().unwrap());
        let first = first.wait().unwrap();
        let (done, took) = mpsc::channel();
        let waiting: Vec<_> = (0..8)
            .map(|number| {
                let (place, done) = (sessions.queue(&key()).unwrap(), done.clone());
                assert!(place.has_to_wait().unwrap());
                std::thread::spawn(move || {
                    // The fourth goes away without having had its turn.
                    if number == 3 {
                        return;
                    }
                    let mut open = place.wait().unwrap();
                    now(open.add(RunId::new())).unwrap();
                    done.send((number, open.runs().len())).unwrap();
                })
            })
            .collect();
        drop(first);
        for thread in waiting {
            thread.join().unwrap();
        }
        drop(done);
        let order: Vec<_> = took.iter().collect();
        assert_eq!(order, [(0, 1), (1, 2), (2, 3), (4, 4), (5, 5), (6, 6), (7, 7)]);
        assert_eq!(sessions.runs(&key()).unwrap().len(), 7);
        assert_eq!(sessions.keys().unwrap(), [key()]);
    }

    #[test]
    fn a_ticket_that_nobody_holds_holds_nobody_up() {
        let state = tempfile::tempdir().unwrap();
        let sessions = SessionsDir::new(state.path());
        fs::create_dir_all(sessions.path().join("ada")).unwrap();
        fs::write(sessions.path().join("ada/7.ticket"), "").unwrap();
        let place = sessions.queue(&key()).unwrap();
        assert!(!sessions.path().join("ada/7.ticket").exists());
        assert!(!place.has_to_wait().unwrap());
        // Nor one of a process that dies while it has the turn.
        fs::write(sessions.path().join("ada/0.ticket"), "").unwrap();
        assert!(place.wait().unwrap().runs().is_empty());
    }

    #[test]
    fn what_is_forgotten_leaves_nothing() {
        let state = tempfile::tempdir().unwrap();
        let sessions = SessionsDir::new(state.path());
        let mut open = sessions.queue(&key()).unwrap().wait().unwrap();
        let (one, two) = (RunId::new(), RunId::new());
        now(open.add(one)).unwrap();
        now(open.add(two)).unwrap();
        now(open.put_last(one)).unwrap();
        assert_eq!(sessions.runs(&key()).unwrap(), [two, one]);
        now(open.put_last(two)).unwrap();
        assert_eq!(now(open.forget_last()).unwrap(), Some(two));
        assert_eq!(sessions.runs(&key()).unwrap(), [one]);
        assert_eq!(now(open.forget_last()).unwrap(), Some(one));
        assert_eq!(now(open.forget_last()).unwrap(), None);
        drop(open);
        assert!(!sessions.path().join("ada").exists());
        assert!(sessions.keys().unwrap().is_empty());
    }

    #[test]
    fn a_list_that_is_damaged_is_an_error() {
        let state = tempfile::tempdir().unwrap();
        let sessions = SessionsDir::new(state.path());
        fs::create_dir_all(sessions.path().join("ada")).unwrap();
        fs::write(sessions.path().join("ada/runs"), "01JD\n").unwrap();
        let error = sessions.runs(&key()).unwrap_err().to_string();
        assert!(error.contains("ada/runs") && error.contains("`01JD` is not the id of a run"), "{error}");
    }
}
