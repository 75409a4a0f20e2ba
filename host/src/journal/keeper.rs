use std::fmt::Debug;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};

use super::note::Note;
use super::{
    Ack, Durability, Entry, JournalError, JournalStore as _, RunFile, RunsDir, SledStore, Tail, earlier,
};
use crate::message::RunId;

/// What an open run asks of the place where it is kept.
pub(super) trait Keeper: Send + Sync + Debug {
    /// Hands over what belongs together: all of it is recorded, or nothing.
    fn append_all(&self, run: RunId, entries: &[Entry], notes: &[Note], when: Durability) -> Ack;

    /// Everything that is recorded of the run, in key order.
    fn read(&self, run: RunId) -> Result<Vec<Entry>, JournalError>;

    /// What is recorded of the run that was not read yet with this tail.
    fn read_on(&self, run: RunId, tail: &mut Tail) -> Result<Vec<Entry>, JournalError>;

    /// Notes something, to be recorded with what comes next, or when the run is given back.
    fn note(&self, run: RunId, note: Note) -> Result<(), JournalError>;

    /// Keeps a run that has ended as one whole, to which nothing is added.
    fn seal(&self, run: &RunFile) -> Result<(), JournalError>;

    /// Lets a run go on that was reopened: from here on it has not ended.
    fn unseal(&self, run: RunId) -> Result<(), JournalError>;

    /// Takes in that nobody works on the run any more.
    fn give_back(&self, run: RunId, has_ended: bool);

    /// Waits until whoever looks sees how the runs stand that were given back.
    fn left(&self) -> BoxFuture<'_, ()>;
}

/// A state directory, as it keeps a run that is open.
#[derive(Debug)]
pub(super) struct InDirectory {
    pub(super) store: Arc<SledStore>,
    pub(super) runs: RunsDir,
}

impl Keeper for InDirectory {
    fn append_all(&self, run: RunId, entries: &[Entry], notes: &[Note], when: Durability) -> Ack {
        if !entries.iter().any(earlier::is_linked) {
            return self.store.append_all(run, entries, notes, when);
        }
        let kept: Vec<Entry> = entries.iter().map(|entry| earlier::kept(entry).into_owned()).collect();
        self.store.append_all(run, &kept, notes, when)
    }

    fn read(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
        self.runs.resolve(run, self.store.read(run)?)
    }

    fn read_on(&self, run: RunId, tail: &mut Tail) -> Result<Vec<Entry>, JournalError> {
        self.runs.resolve(run, self.store.read_on(run, tail)?)
    }

    fn note(&self, run: RunId, note: Note) -> Result<(), JournalError> {
        self.store.note(run, note)
    }

    fn seal(&self, run: &RunFile) -> Result<(), JournalError> {
        let entries = run.entries.iter().map(|entry| earlier::kept(entry).into_owned()).collect();
        let kept = RunFile { summary: run.summary.clone(), entries };
        self.runs.seal(&kept, self.store.shared.holder.number)
    }

    fn unseal(&self, run: RunId) -> Result<(), JournalError> {
        self.runs.unseal(run, &self.store)
    }

    fn give_back(&self, run: RunId, has_ended: bool) {
        self.store.give_back(run, has_ended);
    }

    fn left(&self) -> BoxFuture<'_, ()> {
        self.store.left().boxed()
    }
}
