//! What stands where in the journal's directory, and the lock for moments in which more than one file changes.
//!
//! Every file is named by a number that one process drew, and no number is drawn twice.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

const LOCK: &str = "lock";
const LOG: &str = "log";
const END: &str = "end";
const HELD: &str = "held";
const INDEX: &str = "index";
const PART: &str = "part";

/// How many digits the last number that was drawn has in the lock's file: as many as the highest one.
const DIGITS: usize = 10;

/// A segment.
pub(super) fn log(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{number}.{LOG}"))
}

/// What says that a segment is over.
pub(super) fn end(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{number}.{END}"))
}

/// Which runs a process works on.
pub(super) fn held(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{number}.{HELD}"))
}

/// The index that a process reads through.
pub(super) fn index(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{number}.{INDEX}"))
}

/// What is being written under another name first.
pub(super) fn part(directory: &Path, number: u32, name: &str) -> PathBuf {
    directory.join(format!("{number}.{name}.{PART}"))
}

/// What stands in the directory, by number.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) logs: BTreeSet<u32>,
    pub(super) ends: BTreeSet<u32>,
    pub(super) held: BTreeSet<u32>,
    /// What is of use to one process alone: indexes, and files that are not whole.
    pub(super) own: Vec<(u32, PathBuf)>,
}

impl Names {
    /// Reads the names. Where there is no directory there are no names.
    pub(super) fn read(directory: &Path) -> std::io::Result<Self> {
        let mut names = Self::default();
        let entries = match std::fs::read_dir(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(names),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some((number, rest)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
            // Whatever else stands in the directory is not of the journal.
            let Ok(number) = number.parse::<u32>() else { continue };
            match rest.rsplit('.').next() {
                Some(LOG) => drop(names.logs.insert(number)),
                Some(END) => drop(names.ends.insert(number)),
                Some(HELD) => drop(names.held.insert(number)),
                Some(INDEX | PART) => names.own.push((number, entry.path())),
                Some(_) | None => {}
            }
        }
        Ok(names)
    }

    /// The segments of which anything is there.
    pub(super) fn segments(&self) -> BTreeSet<u32> {
        self.logs.union(&self.ends).copied().collect()
    }

    fn last(&self) -> u32 {
        let own = self.own.iter().map(|(number, _)| *number).max();
        let lasts = [self.logs.last().copied(), self.ends.last().copied(), self.held.last().copied(), own];
        lasts.into_iter().flatten().max().unwrap_or_default()
    }
}

/// What is written to see whether there is room, and removed at once.
const ROOM: &str = "room";

/// As much as some runs record. With less room the next one would stop in the middle.
const ROOM_BYTES: usize = 1 << 20;

/// Sees whether there is room for more.
pub(super) fn try_room(directory: &Path) -> std::io::Result<()> {
    let path = directory.join(ROOM);
    let tried = File::create(&path).and_then(|mut file| {
        std::io::Write::write_all(&mut file, &vec![0; ROOM_BYTES])?;
        file.sync_all()
    });
    // Whether it was ever made, the trial says.
    let _ = std::fs::remove_file(&path);
    tried
}

/// The lock over the whole directory, held for moments: while a run is claimed, a segment begun, ended or removed.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Waits for the lock, and has it for as long as it lives.
    pub(super) fn take(directory: &Path) -> std::io::Result<Self> {
        let mut open = File::options();
        let open = open.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = open.open(directory.join(LOCK))?;
        file.lock()?;
        Ok(Self(file))
    }

    /// Draws the next number.
    pub(super) fn draw(&self, directory: &Path) -> std::io::Result<u32> {
        let mut text = String::new();
        // A number that was lost with the power, and whatever else stands there, counts as 0: then the files count.
        let read = (&self.0).read_to_string(&mut text).ok().and_then(|_| text.trim().parse::<u32>().ok());
        let last = read.unwrap_or_default().max(Names::read(directory)?.last());
        let next = last.checked_add(1).ok_or_else(|| std::io::Error::other("every number was drawn"))?;
        self.0.write_all_at(format!("{next:0DIGITS$}\n").as_bytes(), 0)?;
        Ok(next)
    }
}

/// Whether the process that locked a file lives: it has the lock until it ends.
pub(super) fn is_locked(path: &Path) -> std::io::Result<bool> {
    match File::open(path)?.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(std::fs::TryLockError::WouldBlock) => Ok(true),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn no_number_is_drawn_twice() {
        let directory = tempfile::tempdir().unwrap();
        let draw = || Lock::take(directory.path()).unwrap().draw(directory.path()).unwrap();
        assert_eq!([draw(), draw()], [1, 2]);
        std::fs::write(log(directory.path(), 7), "").unwrap();
        assert_eq!(draw(), 8);
        std::fs::remove_file(log(directory.path(), 7)).unwrap();
        assert_eq!(draw(), 9, "a number counts also when nothing is left of it");
        std::fs::write(directory.path().join(LOCK), [0, 200, 3]).unwrap();
        std::fs::write(end(directory.path(), 11), "").unwrap();
        std::fs::write(directory.path().join("catalogue"), "").unwrap();
        assert_eq!(draw(), 12, "whatever stands in the lock's file");
    }
}
