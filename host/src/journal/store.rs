//! What a place can do in which runs and sessions are kept: the seam between the engine and its store.
//!
//! There are two places: a state directory ([`RunsDir`], [`SessionsDir`]), and memory. What a directory alone can do
//! (compaction, what older hosts left, other processes, paths) stays with its own types.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;

use super::{
    Commits, Entry, JournalError, Listing, News, OpenRun, OpenSession, Outline, RunFile, RunSummary, RunsDir,
    SessionsDir, Tail, Trail, ending, manifest, used,
};
use crate::blocking::blocking;
use crate::message::{RunId, SessionKey};

/// How often is looked whether another process has come to the end of its turn.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs, and what is recorded of them. What is no future keeps the thread waiting that does it: for a disk, and for other
/// processes.
pub trait Runs: Send + Sync + Debug {
    /// Begins a run: it is known that there is one when this returns.
    fn create(&self, id: RunId) -> Result<OpenRun, JournalError>;

    /// Opens a run that exists and has not ended, so that nobody else works on it.
    fn open(&self, id: RunId) -> Result<OpenRun, JournalError>;

    /// Everything that is recorded of a run, by slot and then in order. A run that goes on is read as far as it has
    /// come.
    fn read(&self, id: RunId) -> Result<Vec<Entry>, JournalError>;

    /// What is recorded of a run that was not read yet with this tail, in no particular order. What is recorded anew may
    /// come once more.
    fn read_on(&self, id: RunId, tail: &mut Tail) -> Result<Vec<Entry>, JournalError>;

    /// The runs that there are, oldest first.
    fn ids(&self) -> Result<Vec<RunId>, JournalError>;

    /// How every run stands, oldest first, and of which runs that cannot be said. A run of which nothing is recorded is
    /// not listed.
    fn list(&self) -> Result<Listing, JournalError>;

    /// How a run stands; `None` if it never began.
    fn summary(&self, id: RunId) -> Result<Option<RunSummary>, JournalError>;

    /// How a run began and ended; `None` if it never began, or is gone.
    fn outline(&self, id: RunId) -> Result<Option<Outline>, JournalError> {
        let Some(summary) = self.summary(id)? else { return Ok(None) };
        let entries = self.read(id)?;
        let prompt = manifest(&entries).map_or(summary.prompt, |manifest| manifest.prompt.clone());
        let (ending, used) = (ending(&entries).cloned(), used(&entries).copied());
        Ok(Some(Outline { summary: RunSummary { prompt, ..summary }, ending, used }))
    }

    /// Whether a run has ended and nobody works on it any more.
    fn is_sealed(&self, id: RunId) -> bool;

    /// Puts a run that was recorded elsewhere here, as it is. One that has not ended is there to be resumed.
    fn import<'a>(&'a self, run: &'a RunFile) -> BoxFuture<'a, Result<(), JournalError>>;

    /// Removes a run on which nobody works, and all that is recorded of it.
    fn remove(&self, id: RunId) -> Result<(), JournalError>;

    /// Opens a run that has ended, so that it can go on. It counts as ended until [`OpenRun::unseal`].
    fn reopen(&self, id: RunId) -> BoxFuture<'_, Result<OpenRun, JournalError>>;

    /// Says from now on when there is news of a run: more of it is recorded by this process, or it was given back.
    fn news(&self, id: RunId) -> News;

    /// Where the trail of a run ends now: as long as that stays the same, nothing has changed of the run. `None` for a run
    /// that has no trail.
    fn trail(&self, id: RunId) -> Result<Option<Trail>, JournalError>;

    /// Removes several runs, and says which of them stay, and why.
    fn remove_all(&self, ids: &[RunId]) -> Result<Vec<(RunId, JournalError)>, JournalError> {
        Ok(ids.iter().filter_map(|id| Some((*id, self.remove(*id).err()?))).collect())
    }

    /// Sees whether a run can be recorded.
    fn try_to_write(&self) -> Result<(), JournalError> {
        Ok(())
    }

    /// What this process has made durable; `None` where nothing is.
    fn commits(&self) -> Option<&Commits> {
        None
    }

    /// Where the runs are, as a message names it.
    fn place(&self) -> PathBuf;

    /// Finds a run by its id, by the beginning of it, or as `last`: the one that began last.
    fn find(&self, name: &str) -> Result<RunId, JournalError> {
        find(&self.ids()?, name, &self.place())
    }
}

/// Finds one of these runs, oldest first, by its id, by the beginning of it, or as `last`: the one that began last.
pub(crate) fn find(ids: &[RunId], name: &str, place: &Path) -> Result<RunId, JournalError> {
    let unknown = || JournalError::UnknownRun { name: name.to_owned(), path: place.to_owned() };
    if name == "last" {
        return ids.last().copied().ok_or_else(unknown);
    }
    let prefix = name.to_ascii_uppercase();
    let fits: Vec<RunId> = ids.iter().copied().filter(|id| id.to_string().starts_with(&prefix)).collect();
    match fits.as_slice() {
        [id] => Ok(*id),
        [] => Err(unknown()),
        [_, ..] => {
            let (name, path) = (name.to_owned(), place.to_owned());
            Err(JournalError::AmbiguousRun { name, count: fits.len(), path })
        }
    }
}

/// Conversations that go on over several runs.
pub trait Sessions: Send + Sync + Debug {
    /// The sessions that there are, by key.
    fn keys(&self) -> Result<Vec<SessionKey>, JournalError>;

    /// The runs of a session, oldest first; empty if there is no such session.
    fn runs(&self, key: &SessionKey) -> Result<Vec<RunId>, JournalError>;

    /// Waits until no other process is ahead of this one, and tells of it if one is. Within this process the caller
    /// lets one run of a session work at a time.
    fn turn<'a>(
        &'a self,
        key: &'a SessionKey,
        queued: &'a (dyn Fn() + Send + Sync),
    ) -> BoxFuture<'a, Result<OpenSession, JournalError>>;
}

impl Runs for RunsDir {
    fn create(&self, id: RunId) -> Result<OpenRun, JournalError> {
        Self::create(self, id)
    }

    fn open(&self, id: RunId) -> Result<OpenRun, JournalError> {
        Self::open(self, id)
    }

    fn read(&self, id: RunId) -> Result<Vec<Entry>, JournalError> {
        Self::read(self, id)
    }

    fn read_on(&self, id: RunId, tail: &mut Tail) -> Result<Vec<Entry>, JournalError> {
        Self::read_on(self, id, tail)
    }

    fn ids(&self) -> Result<Vec<RunId>, JournalError> {
        Self::ids(self)
    }

    fn list(&self) -> Result<Listing, JournalError> {
        Self::list(self)
    }

    fn summary(&self, id: RunId) -> Result<Option<RunSummary>, JournalError> {
        Self::summary(self, id)
    }

    fn outline(&self, id: RunId) -> Result<Option<Outline>, JournalError> {
        Self::outline(self, id)
    }

    fn is_sealed(&self, id: RunId) -> bool {
        Self::is_sealed(self, id)
    }

    fn import<'a>(&'a self, run: &'a RunFile) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(Self::import(self, run))
    }

    fn remove(&self, id: RunId) -> Result<(), JournalError> {
        Self::remove(self, id)
    }

    fn remove_all(&self, ids: &[RunId]) -> Result<Vec<(RunId, JournalError)>, JournalError> {
        let mut removal = self.removal()?;
        Ok(ids.iter().filter_map(|id| Some((*id, removal.remove(*id).err()?))).collect())
    }

    fn reopen(&self, id: RunId) -> BoxFuture<'_, Result<OpenRun, JournalError>> {
        Box::pin(Self::reopen(self, id))
    }

    fn news(&self, id: RunId) -> News {
        Self::news(self, id)
    }

    fn trail(&self, id: RunId) -> Result<Option<Trail>, JournalError> {
        Self::trail(self, id)
    }

    fn try_to_write(&self) -> Result<(), JournalError> {
        Self::try_to_write(self)
    }

    fn commits(&self) -> Option<&Commits> {
        Some(Self::commits(self))
    }

    fn place(&self) -> PathBuf {
        self.path().to_owned()
    }
}

impl Sessions for SessionsDir {
    fn keys(&self) -> Result<Vec<SessionKey>, JournalError> {
        Self::keys(self)
    }

    fn runs(&self, key: &SessionKey) -> Result<Vec<RunId>, JournalError> {
        Self::runs(self, key)
    }

    fn turn<'a>(
        &'a self,
        key: &'a SessionKey,
        queued: &'a (dyn Fn() + Send + Sync),
    ) -> BoxFuture<'a, Result<OpenSession, JournalError>> {
        Box::pin(async move {
            let (sessions, of) = (self.clone(), key.clone());
            let mut place = blocking(move || sessions.queue(&of)).await?;
            loop {
                // Nobody comes ahead of a place any more for which nobody is ahead.
                let looked = move || {
                    let has_to_wait = place.has_to_wait()?;
                    if has_to_wait { Ok(Err(place)) } else { place.wait().map(Ok) }
                };
                place = match blocking(looked).await? {
                    Ok(open) => return Ok(open),
                    Err(place) => place,
                };
                queued();
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })
    }
}
