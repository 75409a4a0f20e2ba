//! The room that the shared target directory takes.
//!
//! cargo keeps all that it builds: each version of each package that an agent once used stays. Owns the bound, and when the
//! directory is cleared. Invariant: it is cleared whole, because cargo trusts what it finds a part of, and only while
//! nobody builds there.

use std::fs::{self, DirEntry, File};
use std::io;
use std::path::Path;

use super::rust::TARGET;

/// The most that the directory has at the start of a build. A tool takes 50 MB with all that it depends on, so this is for
/// dozens of tools; building one anew takes half a minute.
pub(super) const BYTES_MAX: u64 = 2 << 30;

/// What a directory is called while it is removed.
const PREFIX: &str = "cleared-";

/// What became of the directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It is as large as it may be, or smaller.
    Enough,
    /// It was larger, by so many bytes in all, and is empty now.
    Cleared(u64),
    /// It is larger, and a cargo that nobody waits for builds in it.
    InUse,
}

/// Clears the directory if it has more bytes than this. The caller holds its lock.
pub(super) fn make(target: &Path, bytes_max: u64) -> io::Result<Room> {
    let bytes = size(target)?;
    if bytes <= bytes_max {
        return Ok(Room::Enough);
    }
    // A host that was killed leaves its cargo at work.
    let Some(_locks) = cargo_locks(target)? else { return Ok(Room::InUse) };
    // What is moved is out of cargo's sight at once, even if this process is killed before all of it is removed.
    let cleared = tempfile::Builder::new().prefix(PREFIX).tempdir_in(target)?;
    for entry in entries(target)? {
        if entry.path() != cleared.path() {
            fs::rename(entry.path(), cleared.path().join(entry.file_name()))?;
        }
    }
    cleared.close()?;
    Ok(Room::Cleared(bytes))
}

/// The locks that cargo takes, or nothing if a cargo has one of them.
fn cargo_locks(target: &Path) -> io::Result<Option<Vec<File>>> {
    let mut locks = Vec::new();
    for profile in [target.join("release"), target.join(TARGET).join("release")] {
        match File::open(profile.join(".cargo-lock")) {
            Ok(lock) => locks.push(lock),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let all = locks.iter().all(|lock| !matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock)));
    Ok(all.then_some(locks))
}

/// The bytes of all files below a directory. Links are not followed.
fn size(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in entries(directory)? {
        let kind = entry.file_type()?;
        bytes += if kind.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

fn entries(directory: &Path) -> io::Result<Vec<DirEntry>> {
    fs::read_dir(directory)?.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        entries(directory).unwrap().iter().map(|it| it.file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn what_is_larger_than_it_may_be_is_cleared_whole_and_never_under_a_cargo() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        let profile = target.join(TARGET).join("release");
        fs::create_dir_all(profile.join("deps")).unwrap();
        // Such as a host leaves that is killed while it clears.
        fs::create_dir_all(target.join("cleared-before")).unwrap();
        fs::write(target.join("cleared-before/old"), [0; 30]).unwrap();
        fs::write(profile.join("deps/new"), [0; 70]).unwrap();
        fs::write(profile.join(".cargo-lock"), "").unwrap();
        std::os::unix::fs::symlink("/", target.join("link")).unwrap();

        // The link is as long as the path that it has.
        assert_eq!(make(&target, 101).unwrap(), Room::Enough);
        let cargo = File::open(profile.join(".cargo-lock")).unwrap();
        cargo.lock().unwrap();
        assert_eq!(make(&target, 100).unwrap(), Room::InUse);
        assert!(profile.join("deps/new").is_file() && names(&target).len() == 3);
        drop(cargo);
        assert_eq!(make(&target, 100).unwrap(), Room::Cleared(101));
        assert_eq!(names(&target), [""; 0]);
    }
}
