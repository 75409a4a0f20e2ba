//! How a run goes on that has ended and is one file: back into the journal.
//!
//! Invariant: as long as there is a file, it counts, and from the moment on in which it goes, the journal does. So a crash
//! leaves a run that has ended, or one that goes on, and never half of either.

use std::fs;

use super::note::Note;
use super::places::Lock;
use super::run::OpenRun;
use super::{
    JournalError, JournalStore as _, RunFile, RunsDir, SledStore, crash_point, io_error, number,
    sync_directory,
};
use crate::message::RunId;

impl RunsDir {
    /// Opens a run that has ended and is one file, so that it can go on: what is in the file is recorded in the journal
    /// once more. The file counts until [`OpenRun::unseal`] removes it.
    pub async fn reopen(&self, id: RunId) -> Result<OpenRun, JournalError> {
        self.remove_left_over(id)?;
        let (open, head) = self.claim(id)?;
        // Somebody else may have been quicker.
        if head.is_some() || !self.is_sealed(id) {
            return Err(self.unknown(&id.to_string()));
        }
        let mut run = RunFile::read(&self.sealed_path(id))?;
        number(&mut run.entries);
        let open = open.ended();
        open.begin_with(&run).await?;
        Ok(open)
    }

    /// Removes the file of a run that is in the journal again. While the lock is held, no segment goes that a run needs
    /// as soon as it has no file any more.
    pub(super) fn unseal(&self, id: RunId, store: &SledStore) -> Result<(), JournalError> {
        crash_point("journal-before-unseal");
        let failed = |error: std::io::Error| io_error(self.path(), &error);
        let _lock = Lock::take(self.journal_path()).map_err(failed)?;
        // Until now the journal could do without the run: it has to be all there.
        let kept = RunFile::read_kept(&self.sealed_path(id))?.entries.len();
        if store.read(id)?.len() < kept {
            return Err(self.unknown(&id.to_string()));
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
        let Some(legacy) = self.legacy(id) else { return Ok(()) };
        let _lock = legacy.seize(id)?;
        if self.is_sealed(id) { legacy.remove() } else { Ok(()) }
    }
}
