//! What is recorded of a run, found by slot.

use std::collections::BTreeMap;

use crate::journal::{self, Entry, JournalError, Status};
use crate::message::{Manifest, Request, RunId, Slot};

/// What the run was begun with, or last carried on with.
pub fn recorded_manifest(run: RunId, entries: &[Entry]) -> Result<&Manifest, JournalError> {
    journal::manifest(entries).ok_or(JournalError::NotBegun { run })
}

/// The agent that did what is recorded at a slot: the run's own, or one that was called like a tool.
#[must_use]
pub fn agent_at<'a>(slot: &Slot, manifest: &'a Manifest, slots: &BTreeMap<Slot, Status>) -> &'a Manifest {
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
            Some(Request::Run(_) | Request::Model(_) | Request::Api(_) | Request::Approval(_)) | None => None,
        };
        let called = name.and_then(|name| manifest.tool(name)).and_then(|tool| tool.agent.as_deref());
        called.unwrap_or(manifest)
    })
}
