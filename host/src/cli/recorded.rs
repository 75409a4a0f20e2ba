//! Runs as they are named on the command line, and what is recorded of them.

use std::path::Path;

use super::places::Places;
use super::remote::{self, At};
use crate::journal::{Entry, JournalError, RunFile, RunState, RunSummary, Runs};
use crate::message::RunId;

/// A run, what is recorded of it, and how it stands.
pub(super) type Read = (RunId, Vec<Entry>, RunState);

/// The run of a name (its id, the beginning of it, or `last`), or the one in a file.
pub(super) fn read(runs: &dyn Runs, name: &str) -> Result<(RunId, Vec<Entry>), JournalError> {
    if is_file(name) {
        let RunFile { summary, entries } = RunFile::read(Path::new(name))?;
        return Ok((summary.run, entries));
    }
    let id = runs.find(name)?;
    Ok((id, runs.read(id)?))
}

/// The same of the server that is named, if one is.
pub(super) async fn read_at(at: &At, places: &Places, name: &str) -> anyhow::Result<(RunId, Vec<Entry>)> {
    let (id, entries, _) = read_with_state(at, places, name).await?;
    Ok((id, entries))
}

/// The same, with how the run stands. Of one that never began there is nothing.
pub(super) async fn read_with_state(at: &At, places: &Places, name: &str) -> anyhow::Result<Read> {
    if let Some(RunFile { summary, entries }) = elsewhere(at, name).await? {
        return Ok((summary.run, entries, summary.state));
    }
    let (id, entries, summary) = here(places, name)?;
    Ok((id, entries, summary.map_or(RunState::Interrupted, |summary| summary.state)))
}

/// The same, as a file has it; an error if it never began.
pub(super) async fn file_at(at: &At, places: &Places, name: &str) -> anyhow::Result<RunFile> {
    if let Some(file) = elsewhere(at, name).await? {
        return Ok(file);
    }
    let (id, entries, summary) = here(places, name)?;
    Ok(RunFile::new(&summary.ok_or(JournalError::NotBegun { run: id })?, entries))
}

/// The run in a file, or of a server, if one of them is named.
async fn elsewhere(at: &At, name: &str) -> anyhow::Result<Option<RunFile>> {
    match at.named()? {
        _ if is_file(name) => Ok(Some(RunFile::read(Path::new(name))?)),
        Some(remote) => Ok(Some(remote::file(&remote, name).await?)),
        None => Ok(None),
    }
}

/// A run of this machine. How it stands is looked at first: what has ended since is read to its end.
fn here(places: &Places, name: &str) -> anyhow::Result<(RunId, Vec<Entry>, Option<RunSummary>)> {
    let runs = places.runs()?;
    let id = runs.find(name)?;
    let summary = runs.summary(id)?;
    Ok((id, runs.read(id)?, summary))
}

/// Whether a run is named by its file.
pub(super) fn is_file(name: &str) -> bool {
    name.contains('/') || [".jsonl", ".jsonl.gz"].iter().any(|end| name.ends_with(end))
}
