//! Runs as they are named on the command line, and what is recorded of them.

use std::path::Path;

use crate::journal::{Entry, JournalError, RunFile, RunState, Runs};
use crate::message::RunId;

/// The run of a name (its id, the beginning of it, or `last`), or the one in a file.
pub(super) fn read(runs: &dyn Runs, name: &str) -> Result<(RunId, Vec<Entry>), JournalError> {
    if is_file(name) {
        let RunFile { summary, entries } = RunFile::read(Path::new(name))?;
        return Ok((summary.run, entries));
    }
    let id = runs.find(name)?;
    Ok((id, runs.read(id)?))
}

/// The same, with how the run stands.
pub(super) fn read_with_state(
    runs: &dyn Runs,
    name: &str,
) -> Result<(RunId, Vec<Entry>, RunState), JournalError> {
    if is_file(name) {
        let RunFile { summary, entries } = RunFile::read(Path::new(name))?;
        return Ok((summary.run, entries, summary.state));
    }
    let id = runs.find(name)?;
    // How it stands is looked at first: what has ended since is read to its end.
    let state = runs.summary(id)?.map_or(RunState::Interrupted, |summary| summary.state);
    Ok((id, runs.read(id)?, state))
}

/// Whether a run is named by its file.
fn is_file(name: &str) -> bool {
    name.contains('/') || [".jsonl", ".jsonl.gz"].iter().any(|end| name.ends_with(end))
}
