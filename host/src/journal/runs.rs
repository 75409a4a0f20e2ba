use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{
    Durability, Entry, JournalError, JournalStore as _, RunFile, RunState, RunSummary, SessionsDir,
    SledStore, crash_point, ending, format, io_error, lock, log, make_directory, sync_directory, write_whole,
};
use crate::message::RunId;

/// The directory that holds every run, named by its id: a directory while it goes on, and one file once it has
/// ended.
///
/// In a run's directory stand `journal`, `lock` (held by the process that writes, with its id inside) and
/// `summary.json` (what `host runs` prints). The journal is the truth; the summary is there so that listing
/// runs opens no database. When a run has ended it is sealed: written into the file `ID.jsonl.gz`, after which
/// the directory goes. Where both are there, a crash came between the two, and the file counts.
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
    runs: RunsDir,
    /// Held until the run is dropped, after the store above is closed.
    lock: File,
}

/// What [`RunsDir::list`] found.
#[derive(Debug, Default)]
pub struct Listing {
    /// The runs, oldest first.
    pub runs: Vec<RunSummary>,
    /// Those of which it cannot be said how they stand, and why.
    pub unreadable: Vec<(RunId, JournalError)>,
}

/// What [`RunsDir::compact`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Runs that had ended and are one file now.
    pub sealed: u32,
    /// Files and directories that a process left when it died.
    pub removed: u32,
}

const JOURNAL: &str = "journal";
const SUMMARY: &str = "summary.json";
const SEALED: &str = ".jsonl.gz";

/// How often a journal that is being written is read again, when its last commit was seen half written.
const READ_TRIES: u32 = 5;
const READ_RETRY: Duration = Duration::from_millis(5);

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
        let made = make_directory(&path)
            .and_then(|()| sync_directory(&self.path))
            .and_then(|()| self.path.parent().map_or(Ok(()), sync_directory));
        made.map_err(|error| io_error(&path, &error))?;
        self.open(id)
    }

    /// Opens the journal of a run that exists, as the only process.
    pub fn open(&self, id: RunId) -> Result<OpenRun, JournalError> {
        let path = self.run_path(id);
        if !path.is_dir() {
            return Err(self.unknown(&id.to_string()));
        }
        let lock = lock::take(&path)?;
        let store = Arc::new(SledStore::open(&path.join(JOURNAL))?);
        // The journal's own name has to be on disk as well as what is in it.
        sync_directory(&path).map_err(|error| io_error(&path, &error))?;
        Ok(OpenRun { id, store, path, runs: self.clone(), lock })
    }

    /// Everything that is recorded of a run, by slot and then in order. A run that goes on is read as far as it
    /// has come.
    pub fn read(&self, id: RunId) -> Result<Vec<Entry>, JournalError> {
        if self.is_sealed(id) {
            return Ok(RunFile::read(&self.sealed_path(id))?.entries);
        }
        let path = self.run_path(id);
        if !path.is_dir() {
            return Err(self.unknown(&id.to_string()));
        }
        // A process that dies when it has made the one directory has not made the other.
        if !path.join(JOURNAL).is_dir() {
            return Ok(Vec::new());
        }
        let mut read = log::read(&path.join(JOURNAL));
        for _ in 1..READ_TRIES {
            if read.is_ok() || !lock::is_held(&path) {
                break;
            }
            std::thread::sleep(READ_RETRY);
            read = log::read(&path.join(JOURNAL));
        }
        let mut pairs = read?;
        pairs.sort_unstable();
        format::decode(pairs.into_iter().map(Ok))
    }

    /// Whether anything is recorded of a run: nothing is of one that was killed before it began, or that is gone.
    pub fn has_begun(&self, id: RunId) -> Result<bool, JournalError> {
        match self.read(id) {
            Err(JournalError::UnknownRun { .. }) => Ok(false),
            entries => entries.map(|entries| !entries.is_empty()),
        }
    }

    /// Whether a run has ended and is one file.
    #[must_use]
    pub fn is_sealed(&self, id: RunId) -> bool {
        self.sealed_path(id).is_file()
    }

    /// Puts a run that was recorded elsewhere here, as it is: one that has ended as one file, and one that goes on
    /// as a directory, to be resumed.
    pub async fn import(&self, run: &RunFile) -> Result<(), JournalError> {
        let id = run.summary.run;
        // What never began, because an import before this one was cut short, is no run.
        if self.is_sealed(id) || (self.run_path(id).is_dir() && !self.read(id)?.is_empty()) {
            return Err(JournalError::Exists { run: id, path: self.path.clone() });
        }
        if ending(&run.entries).is_some() {
            make_directory(&self.path).map_err(|error| io_error(&self.path, &error))?;
            return self.write_sealed(run, &self.path);
        }
        self.create(id)?.begin_with(run).await
    }

    /// Seals the runs that ended without being sealed, because the process died before, and removes what else
    /// such a process left behind. Leaves alone what some process is working on, and what a conversation names: that
    /// the directory of a run is there and empty says that it never began, and is not missing.
    pub fn compact(&self, sessions: &SessionsDir) -> Result<Compacted, JournalError> {
        let mut done = Compacted::default();
        for id in self.ids()? {
            let path = self.run_path(id);
            if !path.is_dir() || lock::is_held(&path) {
                continue;
            }
            let _lock = lock::take(&path)?;
            let entries = if self.is_sealed(id) { Vec::new() } else { self.read(id)? };
            if entries.is_empty() {
                // It is sealed already, or never began.
                if self.is_sealed(id) || !sessions.have(id)? {
                    fs::remove_dir_all(&path).map_err(|error| io_error(&path, &error))?;
                    done.removed += 1;
                }
            } else if let (Some(ending), Some(summary)) = (ending(&entries), self.summary(id)?) {
                let summary = RunSummary { state: ending.into(), ..summary };
                self.seal(&RunFile::new(&summary, entries), &path)?;
                done.sealed += 1;
            }
        }
        Ok(done)
    }

    /// Removes a run that has ended.
    pub fn remove(&self, id: RunId) -> Result<(), JournalError> {
        let failed = |error: std::io::Error| io_error(&self.path, &error);
        let path = self.run_path(id);
        if path.is_dir() {
            let _lock = lock::take(&path)?;
            fs::remove_dir_all(&path).map_err(failed)?;
        }
        match fs::remove_file(self.sealed_path(id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn seal(&self, run: &RunFile, directory: &Path) -> Result<(), JournalError> {
        self.write_sealed(run, directory)?;
        crash_point("journal-before-remove");
        fs::remove_dir_all(directory).map_err(|error| io_error(directory, &error))
    }

    /// Writes a run's file, whole or not at all, by way of a directory.
    fn write_sealed(&self, run: &RunFile, by: &Path) -> Result<(), JournalError> {
        let sealed = self.sealed_path(run.summary.run);
        let by = by.join(format!("{}.part", run.summary.run));
        let write = |file: &File| -> std::io::Result<()> {
            run.write_gzip(file)?;
            file.sync_all()?;
            crash_point("journal-before-seal");
            Ok(())
        };
        let written = write_whole(&sealed, &by, write).and_then(|()| sync_directory(&self.path));
        written.map_err(|error| io_error(&self.path, &error))
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

    /// What every run's summary says, oldest first, and of which runs none can be read. A run of which nothing is
    /// recorded is not listed.
    pub fn list(&self) -> Result<Listing, JournalError> {
        let mut listing = Listing::default();
        for run in self.ids()? {
            match self.summary(run) {
                Ok(summary) => listing.runs.extend(summary),
                Err(error) => listing.unreadable.push((run, error)),
            }
        }
        Ok(listing)
    }

    /// What the run's summary says; none if the run never began. A summary that was lost with the power is made
    /// from the journal.
    pub fn summary(&self, id: RunId) -> Result<Option<RunSummary>, JournalError> {
        if self.is_sealed(id) {
            return RunFile::read_summary(&self.sealed_path(id)).map(Some);
        }
        let path = self.run_path(id);
        let written = match fs::read(path.join(SUMMARY)) {
            Ok(text) => serde_json::from_slice::<RunSummary>(&text).ok(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(io_error(&path, &error)),
        };
        let summary = match written {
            Some(summary) => Some(summary),
            None => RunSummary::of(id, &self.read(id)?),
        };
        Ok(summary.map(|summary| match summary.state {
            RunState::Running if !lock::is_held(&path) => {
                RunSummary { state: RunState::Interrupted, ..summary }
            }
            RunState::Running
            | RunState::Interrupted
            | RunState::Suspended
            | RunState::Failed
            | RunState::Answered
            | RunState::Refused
            | RunState::Limited
            | RunState::Unfit
            | RunState::Empty
            | RunState::Cancelled => summary,
        }))
    }

    /// The runs that there are, oldest first.
    pub fn ids(&self) -> Result<Vec<RunId>, JournalError> {
        let unreadable = |error: std::io::Error| JournalError::Unreadable {
            path: self.path.clone(),
            reason: error.to_string(),
        };
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                return Err(io_error(&self.path, &error));
            }
            Err(error) => return Err(unreadable(error)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(unreadable)?.file_name();
            // Whatever else stands in the directory is not a run.
            let id = name.to_str().map(|name| name.strip_suffix(SEALED).unwrap_or(name));
            ids.extend(id.and_then(|id| id.parse::<RunId>().ok()));
        }
        ids.sort();
        ids.dedup();
        Ok(ids)
    }

    fn run_path(&self, id: RunId) -> PathBuf {
        self.path.join(id.to_string())
    }

    fn sealed_path(&self, id: RunId) -> PathBuf {
        self.path.join(format!("{id}{SEALED}"))
    }

    fn unknown(&self, name: &str) -> JournalError {
        JournalError::UnknownRun { name: name.to_owned(), path: self.path.clone() }
    }
}

impl OpenRun {
    /// Makes one file of a run that has ended, and removes its directory.
    pub fn seal(self, summary: &RunSummary) -> Result<(), JournalError> {
        let Self { id, store, path, runs, lock } = self;
        let entries = store.read(id)?;
        // The index removes itself when it is closed.
        drop(store);
        runs.seal(&RunFile::new(summary, entries), &path)?;
        drop(lock);
        Ok(())
    }

    /// How the process that worked on the run before left it, as far as it said: one that was killed left it running.
    #[must_use]
    pub fn left(&self) -> Option<RunState> {
        let text = fs::read(self.path.join(SUMMARY)).ok()?;
        serde_json::from_slice::<RunSummary>(&text).ok().map(|summary| summary.state)
    }

    /// Replaces the run's summary, whole or not at all.
    pub fn write_summary(&self, summary: &RunSummary) -> Result<(), JournalError> {
        let text = serde_json::to_vec(summary).map_err(std::io::Error::from);
        let path = self.path.join(SUMMARY);
        let write = |mut file: &File| file.write_all(&text?);
        let written = write_whole(&path, &path.with_extension("part"), write);
        written.map_err(|error| io_error(&self.path, &error))
    }

    /// Records what a run begins with, all of it or nothing, and leaves it for a resume.
    pub async fn begin_with(&self, run: &RunFile) -> Result<(), JournalError> {
        if let Some((last, before)) = run.entries.split_last() {
            for entry in before {
                drop(self.store.append(entry, Durability::WithNext));
            }
            self.store.append(last, Durability::Now).durable().await?;
        }
        self.write_summary(&run.summary)
    }
}
