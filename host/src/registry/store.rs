//! The bytes of components from elsewhere, by their digest, below the cache directory.
//!
//! What is read is digested anew, so that a file that was changed or damaged is as if it were not there.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::{COMPONENT_BYTES_MAX, FetchError};
use crate::message::Digest;

/// The directory of the store in that of the cache.
const DIRECTORY: &str = "components";

/// The components that were fetched.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// What was removed from the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many components.
    pub components: usize,
    /// How many bytes.
    pub bytes: u64,
    /// How many components stay.
    pub kept: usize,
}

impl Store {
    /// The store in the directory of a cache. Nothing is made before something is kept.
    #[must_use]
    pub fn in_cache(cache: &Path) -> Self {
        Self { directory: cache.join(DIRECTORY) }
    }

    /// Where a component is, if it is there.
    #[must_use]
    pub fn path(&self, sha256: Digest) -> PathBuf {
        self.directory.join(format!("{sha256}.wasm"))
    }

    /// The bytes of a component; `None` if it is not there, or is not what it was.
    pub fn read(&self, sha256: Digest) -> Result<Option<Vec<u8>>, FetchError> {
        let path = self.path(sha256);
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(COMPONENT_BYTES_MAX + 1).read_to_end(&mut bytes)) {
            Ok(_) => Ok((Digest::of(&bytes) == sha256).then_some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FetchError::Store { path, reason: error.to_string() }),
        }
    }

    /// Keeps a component, whole or not at all.
    pub fn keep(&self, bytes: &[u8], sha256: Digest) -> Result<PathBuf, FetchError> {
        let path = self.path(sha256);
        let keep = || {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        keep().map_err(|error: io::Error| FetchError::Store {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        Ok(path)
    }

    /// Removes every component whose digest is not among these. Files that are no components of the store stay.
    pub fn retain(&self, needed: &BTreeSet<Digest>, dry_run: bool) -> Result<Removed, FetchError> {
        let failed =
            |error: io::Error| FetchError::Store { path: self.directory.clone(), reason: error.to_string() };
        let mut removed = Removed::default();
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(removed),
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let digest = name.to_str().and_then(|it| it.strip_suffix(".wasm")).and_then(|it| it.parse().ok());
            let Some(digest) = digest else { continue };
            if needed.contains(&digest) {
                removed.kept += 1;
                continue;
            }
            let bytes = entry.metadata().map_err(failed)?.len();
            if !dry_run {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
            removed.components += 1;
            removed.bytes += bytes;
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_file_that_was_changed_is_as_if_it_were_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::in_cache(dir.path());
        let sha256 = Digest::of(b"bytes");
        assert_eq!(store.read(sha256).unwrap(), None);
        let path = store.keep(b"bytes", sha256).unwrap();
        assert_eq!(store.read(sha256).unwrap().unwrap(), b"bytes");
        fs::write(&path, b"other").unwrap();
        assert_eq!(store.read(sha256).unwrap(), None);
        store.keep(b"bytes", sha256).unwrap();
        assert_eq!(store.read(sha256).unwrap().unwrap(), b"bytes");
    }

    #[test]
    fn what_is_needed_and_what_is_not_the_stores_stay() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::in_cache(dir.path());
        let [one, two] = [b"one", b"two"].map(|bytes| {
            store.keep(bytes, Digest::of(bytes)).unwrap();
            Digest::of(bytes)
        });
        fs::write(dir.path().join("components/notes.txt"), "mine").unwrap();
        let needed = BTreeSet::from([one]);
        let expected = Removed { components: 1, bytes: 3, kept: 1 };
        assert_eq!(store.retain(&needed, true).unwrap(), expected);
        assert!(store.path(two).exists());
        assert_eq!(store.retain(&needed, false).unwrap(), expected);
        assert!(store.path(one).exists() && !store.path(two).exists());
        assert!(dir.path().join("components/notes.txt").exists());
    }
}
