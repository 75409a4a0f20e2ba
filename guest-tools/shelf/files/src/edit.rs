//! Changes of a file. A file is written in place, so that it keeps its mode and its links; what is to be written is
//! complete before.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tool_sdk::ToolError;

use crate::place::{Granted, failed};
use crate::read::open;

/// A larger file is not changed.
const FILE_BYTES_MAX: usize = 8 << 20;

/// A larger patch is not applied: where its hunks fit is searched for.
const PATCH_BYTES_MAX: usize = 512 * 1024;

/// A file to write.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// The file.
    pub(crate) path: String,
    /// All that is to be in it.
    pub(crate) text: String,
    /// Replace the file if it is there.
    #[serde(default)]
    pub(crate) replace: bool,
}

/// A passage to replace.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The file.
    pub(crate) path: String,
    /// The passage, exactly as it is in the file, with its indentation and line breaks.
    #[schemars(length(min = 1))]
    pub(crate) find: String,
    /// What is to be there instead.
    pub(crate) replace_by: String,
    /// Replace the passage wherever it is.
    #[serde(default)]
    pub(crate) all: bool,
}

/// A diff to apply.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// The file. The names in the diff do not count.
    pub(crate) path: String,
    /// The unified diff: lines that begin with `@@`, ` `, `+` and `-`.
    pub(crate) patch: String,
}

/// What was changed.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Changed {
    pub(crate) path: String,
    /// The size of the file now.
    pub(crate) bytes: usize,
    /// How many passages or hunks were replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) changes: Option<usize>,
}

pub(crate) fn write(granted: &Granted, write: &Write) -> Result<Changed, ToolError> {
    let path = granted.place(&write.path)?;
    within_bounds(write.text.len())?;
    if path.is_dir() {
        return Err(ToolError::invalid_input(format!("{} is a directory", path.display())));
    }
    if !write.replace && std::fs::symlink_metadata(&path).is_ok() {
        let path = path.display();
        return Err(ToolError::invalid_input(format!(
            "{path} is there already; set `replace`, or change a part of it with edit_file"
        )));
    }
    // Not where a link stands in its place: writing says that it leads out.
    if let Some(directory) = path.parent().filter(|directory| std::fs::symlink_metadata(directory).is_err()) {
        std::fs::create_dir_all(directory)
            .map_err(|error| failed("make the directory", directory, &error))?;
    }
    put(&path, &write.text, None)
}

pub(crate) fn edit(granted: &Granted, edit: &Edit) -> Result<Changed, ToolError> {
    let path = granted.place(&edit.path)?;
    if edit.find.is_empty() {
        return Err(ToolError::invalid_input("`find` is empty"));
    }
    let text = whole(&path)?;
    let count = text.matches(&edit.find).count();
    let shown = path.display();
    match count {
        0 => {
            return Err(ToolError::invalid_input(format!(
                "the passage is not in {shown}; read the file again, and copy it exactly"
            )));
        }
        2.. if !edit.all => {
            return Err(ToolError::invalid_input(format!(
                "the passage is {count} times in {shown}; take in lines around it, or set `all`"
            )));
        }
        _ => {}
    }
    // Counted before it is made: many short passages can become one long text.
    within_bounds(text.len().saturating_add(count.saturating_mul(edit.replace_by.len())))?;
    put(&path, &text.replace(&edit.find, &edit.replace_by), Some(count))
}

pub(crate) fn patch(granted: &Granted, patch: &Patch) -> Result<Changed, ToolError> {
    let path = granted.place(&patch.path)?;
    if patch.patch.len() > PATCH_BYTES_MAX {
        return Err(ToolError::invalid_input(format!("a patch has at most {} KiB", PATCH_BYTES_MAX >> 10)));
    }
    let parsed = diffy::Patch::from_str(&patch.patch)
        .map_err(|error| ToolError::invalid_input(format!("this is not a unified diff: {error}")))?;
    let hunks = parsed.hunks().len();
    if hunks == 0 {
        return Err(ToolError::invalid_input("the patch has no hunk; one begins with `@@ -1,3 +1,4 @@`"));
    }
    let patched = diffy::apply(&whole(&path)?, &parsed).map_err(|error| {
        let path = path.display();
        ToolError::invalid_input(format!("the patch does not fit {path}: {error}; read the file again"))
    })?;
    put(&path, &patched, Some(hunks))
}

fn within_bounds(bytes: usize) -> Result<(), ToolError> {
    if bytes > FILE_BYTES_MAX {
        return Err(ToolError::invalid_input(format!(
            "a file has at most {} MiB here",
            FILE_BYTES_MAX >> 20
        )));
    }
    Ok(())
}

/// The whole of a text file.
fn whole(path: &Path) -> Result<String, ToolError> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(|error| failed("read", path, &error))?;
    within_bounds(bytes.len())?;
    String::from_utf8(bytes).map_err(|_| {
        ToolError::failed(format!("{} is not UTF-8; changing it would damage it", path.display()))
    })
}

fn put(path: &Path, text: &str, changes: Option<usize>) -> Result<Changed, ToolError> {
    let failed = |error| failed("write", path, &error);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    Ok(Changed { path: path.display().to_string(), bytes: text.len(), changes })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    struct Here(tempfile::TempDir);

    impl Here {
        fn with(text: &[u8]) -> Self {
            let here = Self(tempfile::tempdir().unwrap());
            std::fs::write(here.0.path().join("it"), text).unwrap();
            here
        }

        fn granted(&self) -> Granted {
            Granted::only(self.0.path())
        }

        fn text(&self) -> String {
            String::from_utf8_lossy(&std::fs::read(self.0.path().join("it")).unwrap()).into_owned()
        }

        fn edit(&self, find: &str, replace_by: &str, all: bool) -> Result<Changed, ToolError> {
            let (find, replace_by) = (find.to_owned(), replace_by.to_owned());
            edit(&self.granted(), &Edit { path: "it".to_owned(), find, replace_by, all })
        }

        fn patch(&self, text: &str) -> Result<Changed, ToolError> {
            patch(&self.granted(), &Patch { path: "it".to_owned(), patch: text.to_owned() })
        }
    }

    #[test]
    fn a_file_that_is_there_is_replaced_only_on_demand() {
        let here = Here::with(b"old");
        let write = |path: &str, replace| {
            write(&here.granted(), &Write { path: path.to_owned(), text: "new".to_owned(), replace })
        };
        assert!(write("it", false).unwrap_err().to_string().contains("`replace`"));
        assert_eq!(here.text(), "old");
        assert_eq!(write("it", true).unwrap().bytes, 3);
        assert_eq!(here.text(), "new");
        write("a/b/c", false).unwrap();
        assert!(here.0.path().join("a/b/c").is_file());
        assert!(write("a", true).unwrap_err().to_string().contains("directory"));
        assert!(write("../x", true).is_err());
    }

    #[test]
    fn a_passage_is_replaced_where_it_is_clear_which() {
        let here = Here::with(b"one two two");
        assert!(here.edit("three", "x", false).unwrap_err().to_string().contains("not in"));
        assert!(here.edit("two", "x", false).unwrap_err().to_string().contains("2 times"));
        assert!(here.edit("", "x", true).is_err());
        assert_eq!(here.text(), "one two two");
        assert_eq!(here.edit("one", "1", false).unwrap().changes, Some(1));
        assert_eq!(here.edit("two", "2", true).unwrap().changes, Some(2));
        assert_eq!(here.text(), "1 2 2");
    }

    #[test]
    fn what_would_grow_too_large_or_is_no_text_stays_as_it_is() {
        let here = Here::with(&vec![b'x'; 100_000]);
        assert!(here.edit("x", &"y".repeat(1000), true).unwrap_err().to_string().contains("at most"));
        assert_eq!(here.text().len(), 100_000);
        for bytes in [&b"a\xffb"[..], b"a\0b"] {
            let here = Here::with(bytes);
            assert!(here.edit("a", "b", false).is_err());
            assert!(here.patch("@@ -1 +1 @@\n-a\n+b\n").is_err());
        }
    }

    #[test]
    fn a_patch_is_applied_whole_or_not_at_all() {
        let here = Here::with(b"a\nb\nc\nd\n");
        let changed =
            here.patch("--- it\n+++ it\n@@ -1,2 +1,2 @@\n-a\n+A\n b\n@@ -4 +4 @@\n-d\n+D\n").unwrap();
        assert_eq!((changed.changes, here.text()), (Some(2), "A\nb\nc\nD\n".to_owned()));
        let refused = here.patch("@@ -1,2 +1,2 @@\n-A\n+x\n b\n@@ -4 +4 @@\n-other\n+y\n");
        assert!(refused.unwrap_err().to_string().contains("does not fit"));
        assert_eq!(here.text(), "A\nb\nc\nD\n");
        for text in ["", "no diff", "@@ -1 +1 @@\n", "@@ -99999999999999999999 +1 @@\n-a\n", "--- a\n+++ b\n"]
        {
            assert!(matches!(here.patch(text), Err(ToolError::InvalidInput(_))), "{text:?}");
        }
    }

    #[test]
    fn what_a_diff_says_becomes_what_it_was_made_of() {
        let line = |seed: u64| ["a\n", "b\n", "c\n", "\n"][usize::try_from(seed % 4).unwrap()];
        for seed in 0..200_u64 {
            let text = |salt: u64| -> String {
                (0..12)
                    .map(|n| line((seed + salt).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(n * 5)))
                    .collect()
            };
            let (old, new) = (text(1), text(2));
            if old == new {
                continue;
            }
            let here = Here::with(old.as_bytes());
            here.patch(&diffy::create_patch(&old, &new).to_string()).unwrap();
            assert_eq!(here.text(), new);
        }
    }
}
