//! What an agent is tested by: cases, each a file, with the model's side, what is expected, and what came
//! instead.
//!
//! Owns the form of a case ([`schema`]), the answers of tools that a case gives itself ([`CaseTools`]), and
//! the comparison ([`Expected`]). Does not carry a case out: `host test` does, as a run like any other.
//! Invariant: a tool that could change something outside is not called unless a person allowed it. It fails
//! with a [`crate::document::ConfigError`] that shows the line of the case's file.

mod case;
mod compared;
mod expected;
mod raw;
mod recording;
mod tools;

pub use case::{Case, Stub};
pub use expected::{Content, EndingKind, Expected, ExpectedCall, ExpectedOutcome, TextCheck};
pub use recording::{Recording, Seen, SeenCall};
pub use tools::{CaseTools, NotMade, OutsideEffects, Refused};

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::document::schema_of;

/// The JSON Schema of a case, derived from the types that read it.
#[must_use]
pub fn schema() -> Value {
    schema_of::<raw::CaseFile>()
}

/// The files of a folder that are cases, by name. Folders in it are not looked into.
pub fn find(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "toml") && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// What a case is called: its file's name.
#[must_use]
pub fn name(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
