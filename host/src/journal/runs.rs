use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{JournalError, SledStore, sled::unwritable};
use crate::message::RunId;

/// The directory that holds every run: one directory each, named by the run's id.
///
/// In a run's directory stand `journal` (sled), `lock` (held by the process that writes, with its id
/// inside) and `summary.json` (what `host runs` prints). The journal is the truth; the summary is there so
/// that listing runs opens no database.
#[derive(Clone, Debug)]
pub struct RunsDir {
    path: PathBuf,
}

/// A run that this process has open, exclusively.
#[derive(Debug)]
pub struct OpenRun {
    /// The run.
    pub id: RunId,
    /// Its journal.
    pub store: Arc<SledStore>,
    path: PathBuf,
    /// Held until the run is dropped, after the store above is closed.
    _lock: File,
}

/// What a listing tells of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// The agent's name.
    pub agent: String,
    /// What the person asked.
    pub prompt: String,
    /// When it began, in milliseconds since 1970-01-01T00:00:00Z.
    pub started_ms: u64,
    /// How it stands.
    pub state: RunState,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// A process is working on it.
    Running,
    /// No process is, and it has not ended: `host resume` goes on with it.
    Interrupted,
    /// It ended with the model's answer.
    Answered,
    /// The model refused.
    Refused,
    /// A limit ended it.
    Limited,
}

const JOURNAL: &str = "journal";
const LOCK: &str = "lock";
const SUMMARY: &str = "summary.json";

impl RunsDir {
    /// The runs below a state directory. Nothing is made until a run begins.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self { path: state.join("runs") }
    }

    /// Where the runs are.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory of a new run and opens its journal.
    pub fn create(&self, id: RunId) -> Result<OpenRun, JournalError> {
        let path = self.run_path(id);
        let made = fs::create_dir_all(&path)
            .and_then(|()| sync_directory(&self.path))
            .and_then(|()| self.path.parent().map_or(Ok(()), sync_directory));
        made.map_err(|error| unwritable_error(&path, &error))?;
        self.open(id)
    }

    /// Opens the journal of a run that exists, as the only process.
    pub fn open(&self, id: RunId) -> Result<OpenRun, JournalError> {
        let path = self.run_path(id);
        if !path.is_dir() {
            return Err(self.unknown(&id.to_string()));
        }
        let lock = take_lock(&path)?;
        let store = Arc::new(SledStore::open(&path.join(JOURNAL))?);
        // The journal's own name has to be on disk as well as what is in it.
        sync_directory(&path).map_err(|error| unwritable_error(&path, &error))?;
        Ok(OpenRun { id, store, path, _lock: lock })
    }

    /// Finds a run by its id, by the beginning of it, or as `last`: the one that began last.
    pub fn find(&self, name: &str) -> Result<RunId, JournalError> {
        let ids = self.ids()?;
        if name == "last" {
            return ids.last().copied().ok_or_else(|| self.unknown(name));
        }
        let prefix = name.to_ascii_uppercase();
        let fits: Vec<RunId> = ids.into_iter().filter(|id| id.to_string().starts_with(&prefix)).collect();
        match fits.as_slice() {
            [id] => Ok(*id),
            [] => Err(self.unknown(name)),
            [_, ..] => Err(JournalError::AmbiguousRun {
                name: name.to_owned(),
                count: fits.len(),
                path: self.path.clone(),
            }),
        }
    }

    /// What every run's summary says, oldest first. A run whose process died before it wrote one is not
    /// listed: nothing of it was acknowledged.
    pub fn list(&self) -> Result<Vec<RunSummary>, JournalError> {
        let summaries = self.ids()?.into_iter().filter_map(|id| self.summary(id).transpose());
        summaries.collect()
    }

    fn summary(&self, id: RunId) -> Result<Option<RunSummary>, JournalError> {
        let path = self.run_path(id);
        let text = match fs::read_to_string(path.join(SUMMARY)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(JournalError::Unreadable { path, reason: error.to_string() }),
        };
        let mut summary: RunSummary =
            serde_json::from_str(&text).map_err(|error| JournalError::Unreadable {
                path: path.join(SUMMARY),
                reason: format!("{error}; delete the file and `host resume` the run to write it anew"),
            })?;
        if summary.state == RunState::Running && !is_held(&path) {
            summary.state = RunState::Interrupted;
        }
        Ok(Some(summary))
    }

    fn ids(&self) -> Result<Vec<RunId>, JournalError> {
        let unreadable = |error: std::io::Error| JournalError::Unreadable {
            path: self.path.clone(),
            reason: error.to_string(),
        };
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(error)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(unreadable)?.file_name();
            // Whatever else stands in the directory is not a run.
            ids.extend(name.to_str().and_then(|name| name.parse::<RunId>().ok()));
        }
        ids.sort();
        Ok(ids)
    }

    fn run_path(&self, id: RunId) -> PathBuf {
        self.path.join(id.to_string())
    }

    fn unknown(&self, name: &str) -> JournalError {
        JournalError::UnknownRun { name: name.to_owned(), path: self.path.clone() }
    }
}

impl OpenRun {
    /// Replaces the run's summary, whole or not at all.
    pub fn write_summary(&self, summary: &RunSummary) -> Result<(), JournalError> {
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
            serde_json::to_writer(&mut file, summary)?;
            file.persist(self.path.join(SUMMARY))?;
            Ok(())
        };
        write().map_err(|error| unwritable_error(&self.path, &error))
    }
}

/// A listing takes a shared lock for an instant to see whether anybody holds the exclusive one, so taking
/// that is tried this often, [`LOCK_RETRY_MS`] apart, before it counts as held.
const LOCK_TRIES: u32 = 5;
const LOCK_RETRY_MS: u64 = 10;

/// Whether a process has the run open.
fn is_held(path: &Path) -> bool {
    File::open(path.join(LOCK))
        .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn take_lock(path: &Path) -> Result<File, JournalError> {
    let open = File::options().read(true).write(true).create(true).truncate(false).open(path.join(LOCK));
    let mut lock = open.map_err(|error| unwritable_error(path, &error))?;
    let mut taken = lock.try_lock();
    for _ in 1..LOCK_TRIES {
        if !matches!(taken, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(LOCK_RETRY_MS));
        taken = lock.try_lock();
    }
    match taken {
        Ok(()) => {
            let note = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
            note.map_err(|error| unwritable_error(path, &error))?;
            Ok(lock)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The id is a courtesy; without it the message is still true.
            let _ = lock.read_to_string(&mut holder);
            let holder =
                if holder.is_empty() { "another process".to_owned() } else { format!("process {holder}") };
            Err(JournalError::Locked { path: path.to_owned(), holder })
        }
        Err(TryLockError::Error(error)) => Err(unwritable_error(path, &error)),
    }
}

fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

fn unwritable_error(path: &Path, error: &std::io::Error) -> JournalError {
    let (path, reason) = (path.to_owned(), error.to_string());
    if unwritable(error) {
        JournalError::Unwritable { path, reason }
    } else {
        JournalError::Unreadable { path, reason }
    }
}
