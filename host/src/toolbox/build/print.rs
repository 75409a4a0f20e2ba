//! What the files of a tool's directory are, as far as one has to know to see that nothing changed.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{BuildError, Language};
use crate::message::Digest;

/// A directory with more entries is not that of a tool alone.
const ENTRIES_MAX: usize = 20_000;

/// How deep directories may stand in each other.
const DEPTH_MAX: usize = 32;

/// What compilers and package managers make of their own accord.
const MADE: [&str; 5] = ["node_modules", "target", "__pycache__", "package-lock.json", "dist"];

/// The recipe by which this host builds: another one builds anew.
const RECIPE: u32 = 1;

/// One text for all files, by their names, sizes and times of change. What is hidden or made by tools is left out.
pub(super) fn of(path: &Path, language: Language) -> Result<String, BuildError> {
    let mut walk = Walk { root: path, entries: 0, lines: Vec::new() };
    walk.lines.push(format!("{RECIPE} {language} {}", env!("CARGO_PKG_VERSION")));
    walk.add(path, 0)
        .map_err(|error| BuildError::Unreadable { path: path.to_owned(), reason: error.to_string() })?;
    walk.lines.sort_unstable();
    Ok(Digest::of(walk.lines.join("\n").as_bytes()).to_string())
}

/// A walk through a directory that may be a stranger's, and have anything in it.
struct Walk<'a> {
    root: &'a Path,
    entries: usize,
    lines: Vec<String>,
}

impl Walk<'_> {
    fn add(&mut self, directory: &Path, depth: usize) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return Err(io::Error::other(format!("it has more than {ENTRIES_MAX} files")));
            }
            let (path, name) = (entry.path(), entry.file_name());
            let shown = name.to_string_lossy();
            if shown.starts_with('.') || MADE.contains(&shown.as_ref()) {
                continue;
            }
            if !entry.file_type()?.is_dir() {
                // A link changes with what it leads to; one that leads nowhere is what it is.
                let metadata = fs::metadata(&path).or_else(|_| fs::symlink_metadata(&path))?;
                self.lines.push(line(path.strip_prefix(self.root).unwrap_or(&path), &metadata));
            } else if depth < DEPTH_MAX {
                self.add(&path, depth + 1)?;
            } else {
                let why = format!("its directories are nested more than {DEPTH_MAX} deep");
                return Err(io::Error::other(why));
            }
        }
        Ok(())
    }
}

fn line(path: &Path, metadata: &Metadata) -> String {
    format!("{} {} {}.{}", path.display(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn it_changes_with_every_file_of_the_tool_and_with_none_that_tools_make() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("wit")).unwrap();
        fs::write(at("tool.py"), "a").unwrap();
        let now = || of(dir.path(), Language::Python).unwrap();
        let mut last = now();
        assert_ne!(last, of(dir.path(), Language::C).unwrap());
        for (file, text) in [("tool.py", "ab"), ("new.py", ""), ("wit/tool.wit", "package a:b;")] {
            fs::write(at(file), text).unwrap();
            let next = now();
            assert_ne!(next, last, "{file}");
            last = next;
        }
        for made in ["node_modules", "__pycache__", ".venv"] {
            fs::create_dir(at(made)).unwrap();
            fs::write(at(made).join("file"), "").unwrap();
        }
        assert_eq!(now(), last);
        fs::remove_file(at("new.py")).unwrap();
        assert_ne!(now(), last);
        fs::create_dir_all(at(&"d/".repeat(DEPTH_MAX + 1))).unwrap();
        let deep = of(dir.path(), Language::Python).unwrap_err().to_string();
        assert!(deep.contains("nested more than 32 deep"), "{deep}");
    }
}
