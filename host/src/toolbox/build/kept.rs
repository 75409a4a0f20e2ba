//! Components that were built, and when one is still the newest.
//!
//! Owns the copies of what compilers made, one for each tool: cargo's own file has the crate's name alone, and the next
//! crate of that name takes its place. Invariant: a copy is used for the very directory that it was built from, which is
//! known by its path and by what the file system calls it, because another one may be moved to that path.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::message::Digest;

/// Where a crate's component is kept.
pub(super) struct Kept {
    directory: PathBuf,
}

/// What is written down of a component. The note's time of change is the moment as of which the component was built.
#[derive(Serialize, Deserialize)]
struct Note {
    /// The component's file.
    artifact: String,
    /// All that a crate's component was made from.
    #[serde(default)]
    sources: Vec<PathBuf>,
    /// What the files of another tool were, as [`super::print`] has it.
    #[serde(default)]
    print: Option<String>,
}

impl Kept {
    /// That of the crate in a directory.
    pub(super) fn of(path: &Path, cache: &Path) -> io::Result<Self> {
        Ok(Self { directory: cache.join("tools").join(identity(path)?) })
    }

    fn note(&self) -> PathBuf {
        self.directory.join("note")
    }

    /// The component built last, if nothing it is made from changed since: neither a file that cargo recorded
    /// for it nor a manifest.
    pub(super) fn fresh(&self, path: &Path) -> Option<PathBuf> {
        let built = modified(&self.note())?;
        let note: Note = serde_json::from_slice(&fs::read(self.note()).ok()?).ok()?;
        let artifact = self.directory.join(&note.artifact);
        let older = |path: &Path| modified(path).is_some_and(|at| at <= built);
        let names = ["Cargo.toml", "Cargo.lock", ".cargo/config.toml"];
        let manifests = path.ancestors().flat_map(|dir| names.map(|name| dir.join(name)));
        let fresh = artifact.is_file()
            && note.print.is_none()
            && note.sources.iter().all(|source| older(source))
            && manifests.filter(|manifest| manifest.exists()).all(|manifest| older(&manifest));
        fresh.then_some(artifact)
    }

    /// Keeps a component that cargo made, of the sources as they were at that moment.
    pub(super) fn keep(&self, made: &Path, as_of: SystemTime) -> io::Result<PathBuf> {
        let (artifact, name) = self.copy(made)?;
        // Without what it was made from, or without the note, the next start asks cargo again, which costs time and
        // nothing else.
        if let Ok(dep_info) = fs::read_to_string(made.with_extension("d")) {
            let _ =
                self.write_note(&Note { artifact: name, sources: sources(&dep_info), print: None }, as_of);
        }
        Ok(artifact)
    }

    /// The component built last, if the files of its tool are what they were.
    pub(super) fn fresh_as(&self, print: &str) -> Option<PathBuf> {
        let note: Note = serde_json::from_slice(&fs::read(self.note()).ok()?).ok()?;
        let artifact = self.directory.join(&note.artifact);
        (artifact.is_file() && note.print.as_deref() == Some(print)).then_some(artifact)
    }

    /// Keeps a component that was made of files which were this.
    pub(super) fn keep_as(&self, made: &Path, print: &str) -> io::Result<PathBuf> {
        let (artifact, name) = self.copy(made)?;
        let note = Note { artifact: name, sources: Vec::new(), print: Some(print.to_owned()) };
        // Without the note, the next start builds it again, which costs time and nothing else.
        let _ = self.write_note(&note, SystemTime::now());
        Ok(artifact)
    }

    /// Copies what was made into its place, and says what it is called there.
    fn copy(&self, made: &Path) -> io::Result<(PathBuf, String)> {
        fs::create_dir_all(&self.directory)?;
        let name = made.file_name().unwrap_or(made.as_os_str()).to_string_lossy().into_owned();
        let artifact = self.directory.join(&name);
        let mut copy = NamedTempFile::new_in(&self.directory)?;
        io::copy(&mut File::open(made)?, &mut copy)?;
        copy.persist(&artifact)?;
        Ok((artifact, name))
    }

    fn write_note(&self, note: &Note, as_of: SystemTime) -> io::Result<()> {
        let mut file = NamedTempFile::new_in(&self.directory)?;
        file.write_all(&serde_json::to_vec(note)?)?;
        file.as_file().set_modified(as_of)?;
        file.persist(self.note())?;
        Ok(())
    }
}

/// What a directory is known by: its path, and the number that the file system has for it. The device's number is no part
/// of it, because that is another one each time a container starts.
pub(super) fn identity(directory: &Path) -> io::Result<String> {
    let path = directory.canonicalize()?;
    let number = format!("{} ", fs::metadata(&path)?.ino());
    let mut digest =
        Digest::of(&[number.as_bytes(), path.as_os_str().as_encoded_bytes()].concat()).to_string();
    digest.truncate(32);
    Ok(digest)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// The moment whose sources a build that began then has seen. A lock file that cargo wrote meanwhile is part
/// of what was built.
pub(super) fn as_of(path: &Path, began: SystemTime) -> SystemTime {
    path.ancestors()
        .filter_map(|directory| modified(&directory.join("Cargo.lock")))
        .fold(began, SystemTime::max)
}

/// The files in a dep-info file: `artifact: source source …`, with spaces in names escaped.
fn sources(dep_info: &str) -> Vec<PathBuf> {
    let Some((_, list)) = dep_info.lines().next().and_then(|line| line.split_once(": ")) else {
        return Vec::new();
    };
    let placeholder = "\u{0}";
    let words = list.replace("\\ ", placeholder);
    words.split_whitespace().map(|word| PathBuf::from(word.replace(placeholder, " "))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::time::Duration;

    use super::*;

    #[test]
    fn dep_info_names_with_spaces_are_kept_whole() {
        let text = "/t/a.wasm: /src/my\\ tool/lib.rs /src/x.rs\n\n/src/x.rs:\n";
        assert_eq!(sources(text), [PathBuf::from("/src/my tool/lib.rs"), PathBuf::from("/src/x.rs")]);
    }

    #[test]
    fn a_copy_is_that_of_its_directory_and_of_no_other_one_at_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["a", "b"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("lib.rs"), name).unwrap();
        }
        fs::write(at("x.wasm"), "component of a").unwrap();
        fs::write(at("x.d"), format!("x.wasm: {}\n", at("a").join("lib.rs").display())).unwrap();
        let cache = at("cache");
        let kept = Kept::of(&at("a"), &cache).unwrap();
        assert_eq!(kept.fresh(&at("a")), None);
        let artifact = kept.keep(&at("x.wasm"), SystemTime::now() + Duration::from_mins(1)).unwrap();
        assert_eq!(kept.fresh(&at("a")), Some(artifact.clone()));
        // cargo's file goes its own way.
        fs::write(at("x.wasm"), "component of another crate").unwrap();
        assert_eq!(fs::read_to_string(&artifact).unwrap(), "component of a");
        fs::rename(at("a"), at("old")).unwrap();
        fs::rename(at("b"), at("a")).unwrap();
        assert_eq!(Kept::of(&at("a"), &cache).unwrap().fresh(&at("a")), None);
    }
}
