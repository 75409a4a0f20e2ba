//! Lines that match a regular expression. The time that a match takes is linear in the line, whatever the expression.

use regex::RegexBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tool_sdk::ToolError;

use crate::place::Granted;
use crate::read::{next_line, open};
use crate::walk::{Kind, Walk, glob};

/// A larger file is left out.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// What is read in one call.
const SEARCHED_BYTES_MAX: u64 = 256 << 20;

/// What is given of a line.
const SHOWN_BYTES_MAX: usize = 500;

/// A longer pattern is a mistake.
const PATTERN_BYTES_MAX: usize = 4 * 1024;

/// What a compiled pattern may take.
const COMPILED_BYTES_MAX: usize = 2 << 20;

/// How deep a pattern may nest, so that its parser does not use up the stack.
const NESTED_MAX: u32 = 50;

/// What to search for, and where.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// The regular expression, in the syntax of Rust's crate regex: without look-around and back-references.
    pub(crate) pattern: String,
    /// The directory or file to search.
    pub(crate) path: String,
    /// Only files whose path below the directory matches this glob, such as `**/*.rs`.
    pub(crate) glob: Option<String>,
    /// Take upper and lower case for the same.
    #[serde(default)]
    pub(crate) ignore_case: bool,
    /// How many matches at most.
    #[serde(default = "limit")]
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) limit: usize,
    /// Search what .gitignore names, too.
    #[serde(default)]
    pub(crate) ignored: bool,
}

fn limit() -> usize {
    100
}

/// What was found.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Found {
    pub(crate) matches: Vec<Match>,
    pub(crate) files_searched: u64,
    /// Files that were left out, because they are binary, too large or cannot be read.
    pub(crate) files_left_out: u64,
    /// Whether there may be more matches.
    pub(crate) is_cut: bool,
}

/// A line that matches.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Match {
    pub(crate) path: String,
    pub(crate) line: u64,
    pub(crate) text: String,
}

pub(crate) fn search(granted: &Granted, search: &Search) -> Result<Found, ToolError> {
    let root = granted.place(&search.path)?;
    if search.pattern.len() > PATTERN_BYTES_MAX {
        return Err(ToolError::invalid_input(format!("a pattern has at most {PATTERN_BYTES_MAX} bytes")));
    }
    let pattern = RegexBuilder::new(&search.pattern)
        .case_insensitive(search.ignore_case)
        .size_limit(COMPILED_BYTES_MAX)
        .nest_limit(NESTED_MAX)
        .build()
        .map_err(|error| ToolError::invalid_input(format!("this pattern cannot be used: {error}")))?;
    let wanted = search.glob.as_deref().map(glob).transpose()?;
    let mut searching =
        Searching { pattern, limit: search.limit.clamp(1, 1000), bytes: 0, found: Found::default() };
    if std::fs::metadata(&root).is_ok_and(|it| it.is_file()) {
        searching.file(&root);
        return Ok(searching.found);
    }
    let mut walk = Walk::below(&root, usize::MAX, search.ignored)?;
    for (path, kind) in walk.by_ref() {
        let below = path.strip_prefix(&root).unwrap_or(&path);
        let fits = kind == Kind::File && wanted.as_ref().is_none_or(|glob| glob.is_match(below));
        if fits && !searching.file(&path) {
            break;
        }
    }
    searching.found.is_cut |= walk.is_cut;
    Ok(searching.found)
}

struct Searching {
    pattern: regex::Regex,
    limit: usize,
    bytes: u64,
    found: Found,
}

impl Searching {
    /// Searches one file, and says whether to go on.
    fn file(&mut self, path: &std::path::Path) -> bool {
        let bytes = std::fs::metadata(path).map_or(u64::MAX, |metadata| metadata.len());
        if bytes > FILE_BYTES_MAX {
            self.found.files_left_out += 1;
            return true;
        }
        if self.bytes + bytes > SEARCHED_BYTES_MAX {
            self.found.is_cut = true;
            return false;
        }
        let Ok(mut file) = open(path) else {
            self.found.files_left_out += 1;
            return true;
        };
        self.bytes += bytes;
        self.found.files_searched += 1;
        let mut number = 0;
        while let Ok(Some(line)) = next_line(&mut file) {
            number += 1;
            let text = String::from_utf8_lossy(&line.bytes);
            if !self.pattern.is_match(text.trim_end_matches('\r')) {
                continue;
            }
            if self.found.matches.len() == self.limit {
                self.found.is_cut = true;
                return false;
            }
            let text = text.get(..text.floor_char_boundary(SHOWN_BYTES_MAX)).unwrap_or_default().to_owned();
            self.found.matches.push(Match { path: path.display().to_string(), line: number, text });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn found(files: &[(&str, &[u8])], pattern: &str, glob: Option<&str>) -> Result<Found, ToolError> {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        let (pattern, path, glob) = (pattern.to_owned(), ".".to_owned(), glob.map(str::to_owned));
        let asked = Search { pattern, path, glob, ignore_case: true, limit: 3, ignored: false };
        search(&Granted::only(dir.path()), &asked)
    }

    #[test]
    fn matches_have_path_line_and_text() {
        let files: [(&str, &[u8]); 3] = [("a.rs", b"x\nFN main\n"), ("b.txt", b"fn\n"), ("c.rs", b"fn\0")];
        let found = found(&files, "^fn", Some("*.rs")).unwrap();
        assert_eq!((found.matches.len(), found.files_searched, found.files_left_out), (1, 1, 1));
        let Match { path, line, text } = &found.matches[0];
        assert!(path.ends_with("/a.rs"));
        assert_eq!((*line, &text[..], found.is_cut), (2, "FN main", false));
    }

    #[test]
    fn more_matches_than_are_wanted_are_cut() {
        let found = found(&[("a", b"x\nx\nx\nx\n")], "x", None).unwrap();
        assert_eq!((found.matches.len(), found.is_cut), (3, true));
    }

    #[test]
    fn a_large_file_is_left_out() {
        let large = vec![b'x'; usize::try_from(FILE_BYTES_MAX).unwrap() + 1];
        let found = found(&[("a", &large)], "x", None).unwrap();
        assert_eq!((found.files_searched, found.files_left_out), (0, 1));
    }

    #[test]
    fn no_pattern_takes_long_and_one_that_is_too_large_is_refused() {
        let line = "a".repeat(8000);
        let found_none = found(&[("a", line.as_bytes())], "^(a+)+$!|(a|a)*b|(a*)*c", None).unwrap();
        assert!(found_none.matches.is_empty());
        let nested = format!("{}a{}", "(".repeat(200), ")".repeat(200));
        for pattern in ["(a{1000}){1000}", "(", &nested, &"x".repeat(5000)] {
            let refused = found(&[], pattern, None);
            assert!(matches!(refused, Err(ToolError::InvalidInput(_))), "{pattern:.20}");
        }
    }
}
