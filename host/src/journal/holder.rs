//! Which process works on which runs: a file `N.held` for each process, locked by it for as long as it lives.
//!
//! Nothing in it has to survive a crash: when the process has ended, so has its claim on every run. Records of the
//! journal say the rest. So a run is claimed without a sync, and without a descriptor of its own.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::places::{self, Names};
use crate::message::RunId;

/// A place in the file holds a run's id and a line break. The first one holds the id of the process.
const SLOT_BYTES: usize = 27;

/// What stands for the line break behind a run that is about to be given back.
const LEAVING: char = '~';

/// This process, among those that write to the journal.
#[derive(Debug)]
pub(super) struct Holder {
    /// The number that it drew.
    pub(super) number: u32,
    file: File,
    path: PathBuf,
    slots: Mutex<Slots>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct Slots {
    runs: HashMap<RunId, Slot>,
    free: Vec<usize>,
    /// How many there are, free or not.
    made: usize,
}

/// A run that this process holds.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Where it stands in the file.
    at: usize,
    /// Whether it is about to be given back.
    leaving: bool,
}

impl Holder {
    /// Joins those that write to the journal. The lock of the directory is held meanwhile.
    pub(super) fn join(directory: &Path, number: u32) -> std::io::Result<Self> {
        let path = places::held(directory, number);
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        // Nobody but a process that looks whether it is locked can be in the way, and that for an instant.
        file.lock()?;
        file.write_all_at(slot(&std::process::id().to_string(), '\n').as_bytes(), 0)?;
        Ok(Self { number, file, path, slots: Mutex::default(), released: Condvar::new() })
    }

    /// Notes that this process works on a run, unless it does already. The lock of the directory is held meanwhile.
    pub(super) fn take(&self, run: RunId) -> std::io::Result<bool> {
        let mut slots = self.slots();
        if slots.runs.contains_key(&run) {
            return Ok(false);
        }
        let at = slots.free.pop().unwrap_or(slots.made + 1);
        slots.made = slots.made.max(at);
        if let Err(error) = self.write(at, &run.to_string(), '\n') {
            slots.free.push(at);
            return Err(error);
        }
        slots.runs.insert(run, Slot { at, leaving: false });
        Ok(true)
    }

    /// Notes that a run is about to be given back.
    pub(super) fn leave(&self, run: RunId) {
        if let Some(slot) = self.slots().runs.get_mut(&run) {
            slot.leaving = true;
            // Whoever does not see it waits a little less for the run.
            let _ = self.write(slot.at, &run.to_string(), LEAVING);
        }
    }

    /// Gives a run back.
    pub(super) fn give_back(&self, run: RunId) {
        let mut slots = self.slots();
        if let Some(Slot { at, .. }) = slots.runs.remove(&run) {
            // A place that cannot be cleared is one that this process holds until it ends.
            if self.write(at, "", '\n').is_ok() {
                slots.free.push(at);
            }
        }
        drop(slots);
        self.released.notify_all();
    }

    /// Waits for a run that is about to be given back. It is sure to come: the thread that writes does it.
    pub(super) fn wait_until_left(&self, run: RunId) {
        let leaves = |slots: &mut Slots| slots.runs.get(&run).is_some_and(|slot| slot.leaving);
        let mut slots = self.slots();
        self.released.wait_while(&mut slots, leaves);
    }

    /// Whether this process works on a run.
    pub(super) fn has(&self, run: RunId) -> bool {
        self.slots().runs.contains_key(&run)
    }

    /// Whether somebody took this process for dead.
    pub(super) fn is_fenced(&self) -> std::io::Result<bool> {
        Ok(self.file.metadata()?.nlink() == 0)
    }

    /// Leaves those that write to the journal.
    pub(super) fn part(&self) -> std::io::Result<()> {
        std::fs::remove_file(&self.path)
    }

    fn write(&self, at: usize, text: &str, end: char) -> std::io::Result<()> {
        self.file.write_all_at(slot(text, end).as_bytes(), (at * SLOT_BYTES) as u64)
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock()
    }
}

fn slot(text: &str, end: char) -> String {
    let width = SLOT_BYTES - 1;
    format!("{text:-<width$}{end}")
}

/// A process that lives, and what it works on.
#[derive(Debug)]
pub(super) struct Living {
    pub(super) number: u32,
    /// Its process id, as far as it can be read.
    pub(super) process: String,
    pub(super) runs: HashSet<RunId>,
    /// Those of them that it is about to give back.
    pub(super) leaving: HashSet<RunId>,
}

/// The processes that live.
pub(super) fn living(directory: &Path, names: &Names) -> std::io::Result<Vec<Living>> {
    let mut found = Vec::new();
    for number in names.held.iter().copied() {
        let path = places::held(directory, number);
        let read = places::is_locked(&path).and_then(|lives| lives.then(|| std::fs::read(&path)).transpose());
        match read {
            Ok(Some(text)) => found.push(Living::read(number, &text)),
            Ok(None) => {}
            // It has ended meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

impl Living {
    fn read(number: u32, text: &[u8]) -> Self {
        let mut slots = text.chunks(SLOT_BYTES).map(|slot| str::from_utf8(slot).unwrap_or_default());
        let process = slots.next().unwrap_or_default().trim_end_matches(['-', '\n']).to_owned();
        let (mut runs, mut leaving) = (HashSet::new(), HashSet::new());
        for slot in slots {
            let Ok(run) = slot.trim_end_matches(['\n', LEAVING]).parse() else { continue };
            runs.insert(run);
            if slot.ends_with(LEAVING) {
                leaving.insert(run);
            }
        }
        Self { number, process, runs, leaving }
    }

    /// Who it is, for a person.
    pub(super) fn name(&self) -> String {
        if self.process.is_empty() {
            "another process".to_owned()
        } else {
            format!("process {}", self.process)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn found(directory: &Path) -> Vec<Living> {
        living(directory, &Names::read(directory).unwrap()).unwrap()
    }

    #[test]
    fn what_a_process_holds_is_seen_until_it_gives_it_back_or_ends() {
        let directory = tempfile::tempdir().unwrap();
        let runs: Vec<RunId> = (0..40).map(|_| RunId::new()).collect();
        let holder = Holder::join(directory.path(), 3).unwrap();
        for run in &runs {
            assert!(holder.take(*run).unwrap());
            assert!(!holder.take(*run).unwrap());
        }
        let [it] = found(directory.path()).try_into().unwrap();
        assert_eq!((it.number, it.name()), (3, format!("process {}", std::process::id())));
        assert_eq!(it.runs, runs.iter().copied().collect());
        for run in &runs[5..] {
            holder.give_back(*run);
        }
        let more = RunId::new();
        assert!(holder.take(more).unwrap());
        let bytes = std::fs::metadata(places::held(directory.path(), 3)).unwrap().len();
        assert_eq!(bytes, 41 * SLOT_BYTES as u64, "a place that is free is taken again");
        let [it] = found(directory.path()).try_into().unwrap();
        assert_eq!(it.runs, runs[..5].iter().copied().chain([more]).collect());
        assert!(!holder.is_fenced().unwrap());
        std::fs::remove_file(places::held(directory.path(), 3)).unwrap();
        assert!(holder.is_fenced().unwrap());
        // A process that died leaves its file, and holds nothing.
        let left = Holder::join(directory.path(), 4).unwrap();
        left.take(more).unwrap();
        drop(left);
        assert!(found(directory.path()).is_empty());
        assert!(places::held(directory.path(), 4).exists());
    }

    #[test]
    fn a_run_that_is_about_to_be_given_back_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let holder = Holder::join(directory.path(), 1).unwrap();
        let run = RunId::new();
        holder.take(run).unwrap();
        assert!(found(directory.path())[0].leaving.is_empty());
        holder.leave(run);
        let [it] = found(directory.path()).try_into().unwrap();
        assert!(it.runs.contains(&run) && it.leaving.contains(&run));
        std::thread::scope(|scope| {
            scope.spawn(|| holder.give_back(run));
            holder.wait_until_left(run);
            assert!(!holder.has(run));
        });
        // One that stays is not waited for.
        holder.take(run).unwrap();
        holder.wait_until_left(run);
        assert!(holder.has(run));
    }
}
