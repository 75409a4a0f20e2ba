//! Runs as they are named on the command line, and what is recorded of them.

use std::collections::BTreeMap;
use std::path::Path;

use super::exit::Misuse;
use crate::config::Config;
use crate::journal::{self, Entry, JournalError, RunFile, RunState, RunsDir, Status};
use crate::message::{Manifest, Request, RunId, Slot};

/// The run of a name (its id, the beginning of it, or `last`), or the one in a file.
pub(super) fn read(runs: &RunsDir, name: &str) -> Result<(RunId, Vec<Entry>), JournalError> {
    if is_file(name) {
        let RunFile { summary, entries } = RunFile::read(Path::new(name))?;
        return Ok((summary.run, entries));
    }
    let id = runs.find(name)?;
    Ok((id, runs.read(id)?))
}

/// The same, with how the run stands.
pub(super) fn read_with_state(
    runs: &RunsDir,
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

/// What the run was begun with, or last carried on with.
pub(super) fn manifest(run: RunId, entries: &[Entry]) -> Result<&Manifest, JournalError> {
    journal::manifest(entries).ok_or(JournalError::NotBegun { run })
}

/// The configuration that a run goes on with: the one it was begun with, or one that is given.
pub(super) fn config(manifest: &Manifest, given: Option<&Path>) -> anyhow::Result<Config> {
    let begun_with = Path::new(&manifest.config);
    if given.is_none() && !begun_with.exists() {
        let path = begun_with.display();
        return Err(Misuse(format!(
            "the agent of this run is not at {path} any more\n  if it was moved, say where it is now: --config AGENT.TOML"
        ))
        .into());
    }
    Ok(Config::load(given.unwrap_or(begun_with))?)
}

/// The agent that did what is recorded at a slot: the run's own, or one that was called like a tool.
pub(super) fn agent_at<'a>(
    slot: &Slot,
    manifest: &'a Manifest,
    slots: &BTreeMap<Slot, Status>,
) -> &'a Manifest {
    slot.callers().fold(manifest, |manifest, caller| {
        let request = match slots.get(&caller) {
            Some(
                Status::Started { started, .. }
                | Status::Failed { started, .. }
                | Status::Finished { started, .. },
            ) => Some(&started.request),
            Some(Status::Absent) | None => None,
        };
        let name = match request {
            Some(Request::Tool(ask)) => Some(ask.name.as_str()),
            Some(Request::Run(_) | Request::Model(_) | Request::Approval(_)) | None => None,
        };
        let called = name.and_then(|name| manifest.tool(name)).and_then(|tool| tool.agent.as_deref());
        called.unwrap_or(manifest)
    })
}
