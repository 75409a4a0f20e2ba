use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::commits::Commits;
use super::holder;
use super::keeper::InDirectory;
use super::legacy::Legacy;
use super::news::{News, Readers};
use super::note::Note;
use super::run::OpenRun;
use super::survey::{Head, Survey};
use super::{
    Entry, JournalError, RunFile, RunSummary, SledStore, crash_point, ending, format, io_error,
    make_directory, number, places, sync_directory, write_whole,
};
use crate::blocking::blocking;
use crate::message::RunId;

/// Every run below a state directory: in the journal that all of them share while they go on, and one file each once
/// they have ended.
///
/// A run that has ended is sealed: written into the file `ID.jsonl.gz`, after which the journal needs it no more.
/// Where it is in both, a crash came between the two, and the file counts. What there is of a run is read without
/// claiming it; who writes claims it first.
#[derive(Clone, Debug)]
pub struct RunsDir {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Where the runs are that have ended.
    path: PathBuf,
    /// Where the others are.
    journal: PathBuf,
    /// The journal, from when this process first writes to it.
    store: Mutex<Option<Arc<SledStore>>>,
    survey: Mutex<Survey>,
    /// Who waits for more to be recorded.
    readers: Readers,
    commits: Arc<Commits>,
}

const SEALED: &str = ".jsonl.gz";

/// The file of a run that has ended.
pub(super) fn sealed_path(runs: &Path, id: RunId) -> PathBuf {
    runs.join(format!("{id}{SEALED}"))
}

impl RunsDir {
    /// The runs below a state directory. Nothing is made until a run begins.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        let (path, journal) = (state.join("runs"), state.join("journal"));
        let (store, readers, commits) = (Mutex::default(), Readers::default(), Arc::<Commits>::default());
        let survey = Mutex::new(Survey::new(&journal, None, Arc::clone(&commits)));
        Self { shared: Arc::new(Shared { path, journal, store, survey, readers, commits }) }
    }

    /// Where the runs are that have ended.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Where the journal of the others is.
    #[must_use]
    pub fn journal_path(&self) -> &Path {
        &self.shared.journal
    }

    /// The journal, to be written to. It stays open as long as this, or a run of it.
    pub(super) fn store(&self) -> Result<Arc<SledStore>, JournalError> {
        let mut store = self.shared.store.lock();
        // A journal that failed is opened anew once no run has it open: the disk may be mended by now.
        if store.as_ref().is_some_and(|store| store.failed_with().is_some() && Arc::strong_count(store) == 1)
        {
            *store = None;
        }
        if let Some(store) = &*store {
            return Ok(Arc::clone(store));
        }
        make_directory(self.path()).map_err(|error| io_error(self.path(), &error))?;
        let Shared { readers, commits, .. } = &*self.shared;
        let opened =
            SledStore::beside(self.journal_path(), Some(self.path()), readers.clone(), Arc::clone(commits))?;
        Ok(Arc::clone(store.insert(Arc::new(opened))))
    }

    /// Sees whether a run can be recorded. A journal that failed is opened anew if no run has it open any more, and there
    /// has to be room for more than a little.
    pub fn try_to_write(&self) -> Result<(), JournalError> {
        match self.store()?.failed_with() {
            Some(error) => Err(error.clone()),
            None => {
                places::try_room(self.journal_path()).map_err(|error| io_error(self.journal_path(), &error))
            }
        }
    }

    /// What this process has made durable.
    #[must_use]
    pub fn commits(&self) -> &Commits {
        &self.shared.commits
    }

    pub(super) fn survey(&self) -> MutexGuard<'_, Survey> {
        self.shared.survey.lock()
    }

    /// Begins a run: it is on disk that there is one when this returns.
    pub fn create(&self, id: RunId) -> Result<OpenRun, JournalError> {
        let (run, head) = self.claim(id)?;
        self.store()?.claim(id, &[], &[])?;
        let has_begun = head.is_some_and(|head| head.has_begun);
        Ok(if has_begun { run } else { run.with_events(0) })
    }

    /// Opens a run that exists, as the only process.
    pub fn open(&self, id: RunId) -> Result<OpenRun, JournalError> {
        // What the journal has of it, or that it has nothing, can be said only if all of it can be read.
        let (run, head) = self.claim(id)?;
        self.check(id)?;
        match (head, self.legacy(id)) {
            // Somebody sealed it, and gave it back since.
            _ if self.is_sealed(id) => Err(self.unknown(&id.to_string())),
            (Some(_), None) => Ok(run),
            (Some(_), Some(legacy)) => {
                let _lock = legacy.seize(id)?;
                legacy.remove()?;
                Ok(run)
            }
            (None, Some(legacy)) => self.take_over(run, &legacy),
            (None, None) => Err(self.unknown(&id.to_string())),
        }
    }

    /// Claims a run, whatever there is of it.
    pub(super) fn claim(&self, id: RunId) -> Result<(OpenRun, Option<Head>), JournalError> {
        let store = self.store()?;
        let head = store.hold(id)?.filter(|head| !head.gone);
        let left = head.as_ref().and_then(|head| head.summary.as_ref()).map(|summary| summary.state);
        Ok((OpenRun::new(id, Arc::new(InDirectory { store, runs: self.clone() }), left), head))
    }

    /// An error if it cannot be told what the journal has of a run.
    fn check(&self, id: RunId) -> Result<(), JournalError> {
        let mut survey = self.survey();
        survey.refresh()?;
        survey.head(id)?;
        survey.check()
    }

    /// Takes a run over into the journal that an older host left.
    fn take_over(&self, run: OpenRun, legacy: &Legacy) -> Result<OpenRun, JournalError> {
        let id = run.id;
        let _lock = legacy.seize(id)?;
        let mut entries = legacy.read()?;
        number(&mut entries);
        let summary = legacy.summary().or_else(|| RunSummary::of(id, &entries));
        let note = summary.as_ref().map(|summary| run.store.summarised(summary));
        self.store()?.claim(id, &entries, note.as_slice())?;
        let run = run.was_left(summary.map(|summary| summary.state));
        crash_point("journal-before-legacy-removal");
        legacy.remove()?;
        Ok(run)
    }

    /// Everything that is recorded of a run, by slot and then in order, with what was said before it. A run that goes on
    /// is read as far as it has come. Each event has its number.
    pub fn read(&self, id: RunId) -> Result<Vec<Entry>, JournalError> {
        let mut entries = match self.resolve(id, self.read_kept(id)?) {
            // A run from which it goes on may have been folded into the one after it between two looks.
            Err(JournalError::EarlierGone { .. }) => self.resolve(id, self.read_kept(id)?)?,
            read => read?,
        };
        number(&mut entries);
        Ok(entries)
    }

    /// The same as it is kept: without what the runs before hold, and without numbers where none are recorded.
    pub(super) fn read_kept(&self, id: RunId) -> Result<Vec<Entry>, JournalError> {
        if let Some(entries) = self.try_read(id)? {
            return Ok(entries);
        }
        // It may have become another thing between two looks.
        self.try_read(id)?.ok_or_else(|| self.unknown(&id.to_string()))
    }

    fn try_read(&self, id: RunId) -> Result<Option<Vec<Entry>>, JournalError> {
        if self.is_sealed(id) {
            match RunFile::read_kept(&self.sealed_path(id)) {
                // It goes on since.
                Err(_) if !self.is_sealed(id) => {}
                read => return read.map(|run| Some(run.entries)),
            }
        }
        if let Some(pairs) = self.survey().read(id)? {
            return format::decode(pairs.into_iter().map(Ok)).map(Some);
        }
        self.legacy(id).map(|legacy| legacy.read()).transpose()
    }

    /// What says that there is news of a run, as far as this process knows of it.
    #[must_use]
    pub fn news(&self, id: RunId) -> News {
        self.shared.readers.news(id)
    }

    /// Whether anything is recorded of a run: nothing is of one that was killed before it began, or that is gone.
    pub fn has_begun(&self, id: RunId) -> Result<bool, JournalError> {
        match self.read_kept(id) {
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
    /// into the journal, to be resumed.
    pub async fn import(&self, run: &RunFile) -> Result<(), JournalError> {
        let (runs, run) = (self.clone(), run.alone().into_owned());
        match blocking(move || runs.take_in(run)).await? {
            Some((open, run)) => open.begin_with(&run).await,
            None => Ok(()),
        }
    }

    /// Writes the file of a run that has ended elsewhere, or claims one that is to be recorded here as far as it came.
    fn take_in(&self, run: RunFile) -> Result<Option<(OpenRun, RunFile)>, JournalError> {
        let id = run.summary.run;
        // What never began, because an import before this one was cut short, is no run.
        if self.is_sealed(id) || self.has_begun(id)? {
            return Err(JournalError::Exists { run: id, path: self.path().to_owned() });
        }
        if ending(&run.entries).is_some() {
            make_directory(self.path()).map_err(|error| io_error(self.path(), &error))?;
            self.write_sealed(&run, &self.path().join(format!("{id}.part")))?;
            return Ok(None);
        }
        let (open, head) = self.claim(id)?;
        // Somebody else may have been quicker.
        if self.is_sealed(id) || head.is_some_and(|head| head.has_begun) {
            return Err(JournalError::Exists { run: id, path: self.path().to_owned() });
        }
        Ok(Some((open, run)))
    }

    /// Lets nothing count of a run but its file, if it has one. A file that goes as well has to go before what this gives:
    /// until then the journal keeps what says that the run is gone.
    #[must_use = "the journal may forget that a run is gone which has a file, unless somebody holds the run"]
    pub(super) fn remove_unsealed(&self, id: RunId) -> Result<Option<OpenRun>, JournalError> {
        let mut claimed = None;
        if self.head(id)?.is_some() {
            // A process that has sealed the run counts it for gone by itself. It has to be written all the same: whoever
            // reads the log finds the run there, and no file of it any more.
            let (run, _) = self.claim(id)?;
            self.store()?.claim(id, &[], &[Note::Gone])?;
            claimed = Some(run);
        }
        if let Some(legacy) = self.legacy(id) {
            let _lock = legacy.seize(id)?;
            legacy.remove()?;
        }
        Ok(claimed)
    }

    pub(super) fn seal(&self, run: &RunFile, holder: u32) -> Result<(), JournalError> {
        let by = places::part(self.journal_path(), holder, &run.summary.run.to_string());
        self.write_sealed(run, &by)?;
        crash_point("journal-before-remove");
        Ok(())
    }

    /// Writes a run's file, whole or not at all, under another name first.
    pub(super) fn write_sealed(&self, run: &RunFile, by: &Path) -> Result<(), JournalError> {
        let sealed = self.sealed_path(run.summary.run);
        let write = |file: &File| -> std::io::Result<()> {
            run.write_gzip(file)?;
            file.sync_all()?;
            crash_point("journal-before-seal");
            Ok(())
        };
        let written = write_whole(&sealed, by, write).and_then(|()| sync_directory(self.path()));
        written.map_err(|error| io_error(self.path(), &error))
    }

    /// The runs that some process works on.
    pub(super) fn held(&self) -> Result<Vec<RunId>, JournalError> {
        let names = self.survey().names()?;
        let living = holder::living(self.journal_path(), &names);
        let living = living.map_err(|error| io_error(self.journal_path(), &error))?;
        Ok(living.into_iter().flat_map(|living| living.runs).collect())
    }

    /// Where a run is in the journal, if it is there.
    pub(super) fn head(&self, id: RunId) -> Result<Option<Head>, JournalError> {
        let mut survey = self.survey();
        survey.refresh()?;
        Ok(survey.head(id)?.filter(|head| !head.gone))
    }

    /// The runs that there are, oldest first.
    pub fn ids(&self) -> Result<Vec<RunId>, JournalError> {
        let mut ids = self.unsealed_ids()?;
        ids.extend(self.named_ids()?);
        ids.sort();
        ids.dedup();
        Ok(ids)
    }

    /// The runs that the journal has.
    pub(super) fn unsealed_ids(&self) -> Result<Vec<RunId>, JournalError> {
        let mut survey = self.survey();
        survey.refresh()?;
        let mut ids = Vec::new();
        for run in survey.runs() {
            // Of one of which two segments say different things it is said when it is read.
            if survey.head(run).map_or(true, |head| head.is_some_and(|head| !head.gone)) {
                ids.push(run);
            }
        }
        Ok(ids)
    }

    /// The runs that a file or a directory is named by.
    pub(super) fn named_ids(&self) -> Result<Vec<RunId>, JournalError> {
        let unreadable = |error: std::io::Error| JournalError::Unreadable {
            path: self.path().to_owned(),
            reason: error.to_string(),
        };
        let entries = match fs::read_dir(self.path()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                return Err(io_error(self.path(), &error));
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
        Ok(ids)
    }

    pub(super) fn legacy(&self, id: RunId) -> Option<Legacy> {
        Legacy::find(self.path().join(id.to_string()))
    }

    pub(super) fn sealed_path(&self, id: RunId) -> PathBuf {
        sealed_path(self.path(), id)
    }

    pub(super) fn unknown(&self, name: &str) -> JournalError {
        JournalError::UnknownRun { name: name.to_owned(), path: self.path().to_owned() }
    }
}
