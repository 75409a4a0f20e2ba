//! Runs as they are named on the command line, and what is recorded of them.

use std::path::Path;

use crate::journal::{Entry, Event, JournalError, RunFile, RunsDir};
use crate::message::{Manifest, Request, RunId, Slot};

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
    let begun = entries.iter().rev().find_map(|entry| match &entry.event {
        Event::Started(started) if entry.slot == Slot::RUN => match &started.request {
            Request::Run(manifest) => Some(manifest),
            Request::Model(_) | Request::Tool(_) => None,
        },
        Event::Started(_) | Event::Failed(_) | Event::Finished(_) => None,
    });
    begun.ok_or(JournalError::NotBegun { run })
}
