//! What is below a directory, in order of the names. Links are not followed.

use std::ffi::OsStr;
use std::fs::FileType;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tool_sdk::ToolError;

use crate::place::{Granted, failed};

/// How deep directories are entered.
const DEPTH_MAX: usize = 64;

/// How many entries a walk looks at.
const ENTRIES_MAX: usize = 100_000;

/// How many entries are given.
const LISTED_MAX: usize = 1000;

/// A longer .gitignore is not heeded.
const GITIGNORE_BYTES_MAX: u64 = 256 * 1024;

/// A longer glob is a mistake.
const GLOB_BYTES_MAX: usize = 1024;

/// What to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// The directory. Without it, the granted directories are listed.
    pub(crate) path: Option<String>,
    /// Only files whose path below the directory matches this glob, such as `**/*.rs` or `src/*.{c,h}`.
    pub(crate) glob: Option<String>,
    /// How many levels of directories are listed; 1 lists the directory alone.
    #[serde(default = "depth")]
    #[schemars(range(min = 1, max = 64))]
    pub(crate) depth: usize,
    /// List what .gitignore names, too.
    #[serde(default)]
    pub(crate) ignored: bool,
}

fn depth() -> usize {
    1
}

/// What is there.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Listed {
    pub(crate) entries: Vec<Entry>,
    /// Whether there is more than is listed. A glob or a deeper path shows it.
    pub(crate) is_cut: bool,
}

/// A file, a directory or something else.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Entry {
    pub(crate) path: String,
    pub(crate) kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<u64>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    File,
    Directory,
    Link,
    Other,
}

impl Kind {
    fn of(kind: FileType) -> Self {
        if kind.is_symlink() {
            Self::Link
        } else if kind.is_dir() {
            Self::Directory
        } else if kind.is_file() {
            Self::File
        } else {
            Self::Other
        }
    }
}

/// A glob that paths below a directory are matched with.
pub(crate) fn glob(text: &str) -> Result<GlobMatcher, ToolError> {
    if text.len() > GLOB_BYTES_MAX {
        return Err(ToolError::invalid_input(format!("a glob has at most {GLOB_BYTES_MAX} bytes")));
    }
    let built = GlobBuilder::new(text).literal_separator(true).build();
    Ok(built
        .map_err(|error| ToolError::invalid_input(format!("this is no glob: {error}")))?
        .compile_matcher())
}

/// A walk over what is below a directory.
pub(crate) struct Walk {
    /// What is still to be seen, the next one last.
    ahead: Vec<(PathBuf, Kind, usize)>,
    ignores: Vec<Gitignore>,
    heeds_gitignore: bool,
    depth_max: usize,
    seen: usize,
    /// Whether there was more than is looked at.
    pub(crate) is_cut: bool,
}

impl Walk {
    pub(crate) fn below(root: &Path, depth_max: usize, ignored: bool) -> Result<Self, ToolError> {
        let depth_max = depth_max.min(DEPTH_MAX);
        let (ahead, ignores) = (Vec::new(), Vec::new());
        let mut walk = Self { ahead, ignores, heeds_gitignore: !ignored, depth_max, seen: 0, is_cut: false };
        walk.enter(root, 1).map_err(|error| failed("list", root, &error))?;
        Ok(walk)
    }

    fn enter(&mut self, directory: &Path, depth: usize) -> std::io::Result<()> {
        if self.heeds_gitignore {
            self.ignores.retain(|ignore| directory.starts_with(ignore.path()));
            self.ignores.extend(gitignore(directory));
        }
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            if self.seen == ENTRIES_MAX {
                self.is_cut = true;
                break;
            }
            self.seen += 1;
            let entry = entry?;
            entries.push((entry.path(), Kind::of(entry.file_type()?), depth));
        }
        entries.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        self.ahead.append(&mut entries);
        Ok(())
    }

    fn is_ignored(&self, path: &Path, kind: Kind) -> bool {
        if !self.heeds_gitignore {
            return false;
        }
        let is_directory = kind == Kind::Directory;
        if is_directory && path.file_name() == Some(OsStr::new(".git")) {
            return true;
        }
        let above = self.ignores.iter().rev().filter(|ignore| path.starts_with(ignore.path()));
        let mut verdicts = above.map(|ignore| ignore.matched(path, is_directory));
        verdicts.find(|verdict| !verdict.is_none()).is_some_and(|verdict| matches!(verdict, Match::Ignore(_)))
    }
}

impl Iterator for Walk {
    type Item = (PathBuf, Kind);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (path, kind, depth) = self.ahead.pop()?;
            if self.is_ignored(&path, kind) {
                continue;
            }
            if kind == Kind::Directory {
                // What cannot be listed is passed over: it is there, and that is all there is to say of it.
                if depth < self.depth_max {
                    self.is_cut |= self.enter(&path, depth + 1).is_err();
                } else if depth == DEPTH_MAX {
                    self.is_cut = true;
                }
            }
            return Some((path, kind));
        }
    }
}

/// What a directory's .gitignore says, if it has one. A line that is no pattern counts for nothing, as in git.
fn gitignore(directory: &Path) -> Option<Gitignore> {
    let path = directory.join(".gitignore");
    if std::fs::metadata(&path).ok()?.len() > GITIGNORE_BYTES_MAX {
        return None;
    }
    let mut builder = GitignoreBuilder::new(directory);
    for line in std::fs::read_to_string(&path).ok()?.lines() {
        let _ = builder.add_line(None, line);
    }
    builder.build().ok()
}

pub(crate) fn list(granted: &Granted, list: &List) -> Result<Listed, ToolError> {
    let mut listed = Listed { entries: Vec::new(), is_cut: false };
    let Some(path) = &list.path else {
        let entry =
            |path: &PathBuf| Entry { path: path.display().to_string(), kind: Kind::Directory, bytes: None };
        listed.entries.extend(granted.directories().iter().map(entry));
        return Ok(listed);
    };
    let root = granted.place(path)?;
    let wanted = list.glob.as_deref().map(glob).transpose()?;
    let mut walk = Walk::below(&root, list.depth, list.ignored)?;
    for (path, kind) in walk.by_ref() {
        let below = path.strip_prefix(&root).unwrap_or(&path);
        if wanted.as_ref().is_some_and(|glob| kind != Kind::File || !glob.is_match(below)) {
            continue;
        }
        if listed.entries.len() == LISTED_MAX {
            listed.is_cut = true;
            break;
        }
        let bytes =
            (kind == Kind::File).then(|| std::fs::metadata(&path).map_or(0, |metadata| metadata.len()));
        listed.entries.push(Entry { path: path.display().to_string(), kind, bytes });
    }
    listed.is_cut |= walk.is_cut;
    Ok(listed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    fn names(dir: &Path, glob: Option<&str>, depth: usize, ignored: bool) -> Vec<String> {
        let asked = List { path: Some(".".to_owned()), glob: glob.map(str::to_owned), depth, ignored };
        let listed = list(&Granted::only(dir), &asked).unwrap();
        let below =
            |entry: Entry| entry.path.strip_prefix(&format!("{}/", dir.display())).unwrap().to_owned();
        listed.entries.into_iter().map(below).collect()
    }

    #[test]
    fn what_gitignore_names_is_left_out_unless_it_is_asked_for() {
        let dir = tree(&[
            (".gitignore", "target/\n*.log\n"),
            (".git/config", ""),
            ("a/.gitignore", "!kept.log\n"),
            ("a/kept.log", ""),
            ("a/x.log", ""),
            ("b.rs", "b"),
            ("target/x.rs", ""),
        ]);
        assert_eq!(
            names(dir.path(), None, 9, false),
            [".gitignore", "a", "a/.gitignore", "a/kept.log", "b.rs"]
        );
        assert_eq!(names(dir.path(), Some("**/*.rs"), 9, false), ["b.rs"]);
        assert_eq!(names(dir.path(), Some("**/*.rs"), 9, true), ["b.rs", "target/x.rs"]);
        assert_eq!(names(dir.path(), None, 1, false), [".gitignore", "a", "b.rs"]);
    }

    #[test]
    fn links_are_shown_and_not_followed() {
        let dir = tree(&[("a/x", "")]);
        std::os::unix::fs::symlink("/", dir.path().join("root")).unwrap();
        std::os::unix::fs::symlink(".", dir.path().join("a/loop")).unwrap();
        assert_eq!(names(dir.path(), None, 64, false), ["a", "a/loop", "a/x", "root"]);
    }

    #[test]
    fn a_list_is_bounded_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..LISTED_MAX + 5 {
            std::fs::write(dir.path().join(format!("{n:05}")), "").unwrap();
        }
        let asked = List { path: Some(".".to_owned()), glob: None, depth: 1, ignored: false };
        let listed = list(&Granted::only(dir.path()), &asked).unwrap();
        assert_eq!((listed.entries.len(), listed.is_cut), (LISTED_MAX, true));
    }

    #[test]
    fn a_glob_that_is_none_is_refused() {
        for text in ["[", "{a", &"{a,".repeat(2000)] {
            assert!(matches!(glob(text), Err(ToolError::InvalidInput(_))), "{text:.20}");
        }
    }
}
