//! How a run goes on that has ended and is one file: back into the journal.
//!
//! Invariant: as long as there is a file, it counts, and from the moment on in which it goes, the journal does. So a crash
//! leaves a run that has ended, or one that goes on, and never half of either. Whoever has the run go on holds it all
//! that time, so that the journal keeps what it has of it.

use std::fs;
use std::sync::Arc;

use super::keeper::InDirectory;
use super::note::Note;
use super::places::Lock;
use super::run::OpenRun;
use super::{
    Ack, JournalError, JournalStore as _, RunFile, RunsDir, SledStore, crash_point, io_error, sync_directory,
};
use crate::blocking::blocking;
use crate::message::RunId;

impl RunsDir {
    /// Opens a run that has ended and is one file, so that it can go on: what is in the file is recorded in the journal
    /// once more. The file counts until [`OpenRun::unseal`] removes it.
    pub async fn reopen(&self, id: RunId) -> Result<OpenRun, JournalError> {
        let runs = self.clone();
        let (open, recorded) = blocking(move || runs.record_again(id)).await?;
        recorded.durable().await?;
        Ok(open)
    }

    /// Claims a run that is one file, and records all of it.
    fn record_again(&self, id: RunId) -> Result<(OpenRun, Ack), JournalError> {
        let store = self.store()?;
        let term = store.hold(id)?.map_or(0, |head| head.term);
        let keeper = Arc::new(InDirectory { store: Arc::clone(&store), runs: self.clone() });
        let open = OpenRun::new(id, keeper, None).ended();
        // Somebody else may have been quicker.
        if !self.is_sealed(id) {
            return Err(self.unknown(&id.to_string()));
        }
        self.remove_left_legacy(id)?;
        let summary = RunFile::read_summary(&self.sealed_path(id))?;
        let run = RunFile { summary, entries: self.read(id)? };
        let run = run.alone();
        // A crash, or the time before the run was one file, may have left something of it.
        let recorded = store.renew(id, term, &run.entries, open.store.summarised(&run.summary));
        Ok((open, recorded))
    }

    /// Removes the file of a run that is in the journal again. While the lock is held, nobody takes this process for dead,
    /// and no segment goes that the run needs.
    pub(super) fn unseal(&self, id: RunId, store: &SledStore) -> Result<(), JournalError> {
        crash_point("journal-before-unseal");
        let failed = |error: std::io::Error| io_error(self.path(), &error);
        let _lock = Lock::take(self.journal_path()).map_err(failed)?;
        if store.shared.holder.is_fenced().map_err(failed)? {
            return Err(JournalError::Fenced);
        }
        // What only the file has would be lost with it.
        let (kept, recorded) =
            (RunFile::read_kept(&self.sealed_path(id))?.entries.len(), store.read(id)?.len());
        if recorded < kept {
            let reason = format!("{recorded} of {kept} events could be read again; the run has not gone on");
            return Err(JournalError::Corrupt { place: format!("run {id}"), reason });
        }
        fs::remove_file(self.sealed_path(id)).and_then(|()| sync_directory(self.path())).map_err(failed)?;
        crash_point("journal-after-unseal");
        Ok(())
    }

    /// Lets nothing count of what a crash left in the journal of a run that is one file.
    pub(super) fn remove_left_over(&self, id: RunId) -> Result<(), JournalError> {
        if self.head(id)?.is_some() {
            let (run, head) = self.claim(id)?;
            // Somebody may have had the run go on before it was claimed here.
            if head.is_some() && self.is_sealed(id) {
                self.store()?.claim(run.id, &[], &[Note::Gone])?;
            }
        }
        self.remove_left_legacy(id)
    }

    /// Removes what an older host left of a run that is one file.
    fn remove_left_legacy(&self, id: RunId) -> Result<(), JournalError> {
        let Some(legacy) = self.legacy(id) else { return Ok(()) };
        let _lock = legacy.seize(id)?;
        if self.is_sealed(id) { legacy.remove() } else { Ok(()) }
    }
}
