//! What a segment says of a run besides its events: that the run goes on here, how it stands, that it is gone.
//!
//! A note is a key and value like a chunk of an event: the key is the run and `ff`, with which no event's key goes
//! on, and the value is a version and JSON text. The checksum of the commit that it stands in covers it.

use serde::{Deserialize, Serialize};

use super::format::{self, KeyValue};
use super::{JournalError, RunSummary};
use crate::message::RunId;

/// What follows the run in the key of a note.
const NOTE: u8 = 0xff;

/// The version this host writes, and the newest it reads.
const VERSION: u8 = 1;

/// What a note says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Note {
    /// From here on the run is written in this segment.
    Claimed(Claimed),
    /// How the run stands.
    Summary(RunSummary),
    /// Nothing that is recorded of the run counts any more.
    Gone,
}

/// That a run goes on in a segment, and where all of it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claimed {
    /// Counts the claims of the run, from 1: the last one says where the run is.
    pub(super) term: u32,
    /// The other segments that hold something of the run.
    pub(super) from: Vec<u32>,
}

/// The bytes of a note.
pub(super) fn encode(run: RunId, note: &Note) -> Result<KeyValue, JournalError> {
    let mut key = format::run_prefix(run).to_vec();
    key.push(NOTE);
    let mut value = vec![VERSION];
    serde_json::to_writer(&mut value, note).map_err(|error| JournalError::Corrupt {
        place: format!("run {run}"),
        reason: format!("a note cannot be written as JSON: {error}"),
    })?;
    Ok((key, value))
}

/// Whether a key is that of a note, and not of an event.
pub(super) fn is_note(key: &[u8]) -> bool {
    key.get(format::run_prefix(RunId::from_bytes([0; 16])).len()) == Some(&NOTE)
}

/// Reads a note; none if it is not one that this host knows.
pub(super) fn decode(value: &[u8]) -> Option<Note> {
    let (version, json) = value.split_first()?;
    (*version == VERSION).then(|| serde_json::from_slice(json).ok()).flatten()
}
