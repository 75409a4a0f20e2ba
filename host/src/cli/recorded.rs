//! Runs as they are named on the command line, and what is recorded of them.

use std::path::Path;

use crate::journal::{self, Entry, JournalError, RunFile, RunsDir};
use crate::message::{Manifest, RunId};

/// The run of a name (its id, the beginning of it, or `last`), or the one in a file.
pub(super) fn read(runs: &RunsDir, name: &str) -> Result<(RunId, Vec<Entry>), JournalError> {
    let is_file = name.contains('/') || [".jsonl", ".jsonl.gz"].iter().any(|end| name.ends_with(end));
    if is_file {
        let RunFile { summary, entries } = RunFile::read(Path::new(name))?;
        return Ok((summary.run, entries));
    }
    let id = runs.find(name)?;
    Ok((id, runs.read(id)?))
}

/// What the run was begun with, or last carried on with.
pub(super) fn manifest(run: RunId, entries: &[Entry]) -> Result<&Manifest, JournalError> {
    journal::manifest(entries).ok_or(JournalError::NotBegun { run })
}
