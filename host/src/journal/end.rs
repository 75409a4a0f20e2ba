//! What says that a segment is over: `N.end`, made once, when nothing more is written to the segment.
//!
//! It says how far the segment goes, and what it holds of which run, so that nobody has to read it again. While it is
//! empty, somebody has taken the segment's process for dead and is about to find out how far it came.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::parts::Parts;
use super::segment::{self, Begun, Reached, begun};
use super::{JournalError, crash_point, io_error, places, sync_directory, write_whole};
use crate::message::Digest;

/// The version of the form that this host writes, and the newest it reads.
const VERSION: u8 = 1;

/// How far a segment goes, and what it holds.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct End {
    /// Also tells such a file from any other.
    #[serde(rename = "host_end")]
    version: u8,
    segment: u32,
    /// Where the segment ends, in bytes.
    #[serde(rename = "end")]
    pub(super) at: u64,
    pub(super) runs: Parts,
}

#[derive(Deserialize)]
struct Version {
    host_end: u8,
}

impl End {
    pub(super) fn new(segment: u32, at: u64, runs: Parts) -> Self {
        Self { version: VERSION, segment, at, runs }
    }

    /// Writes it, whole or not at all; it is on disk when this returns. The lock of the directory is held meanwhile.
    pub(super) fn write(&self, directory: &Path, holder: u32) -> Result<(), JournalError> {
        let path = places::end(directory, self.segment);
        let write = |mut file: &File| {
            let json = serde_json::to_vec(self)?;
            file.write_all(&json)?;
            writeln!(file, "\n{}", Digest::of(&json))?;
            file.sync_all()
        };
        let written = write_whole(&path, &places::part(directory, holder, &self.segment.to_string()), write);
        written.and_then(|()| sync_directory(directory)).map_err(|error| io_error(&path, &error))
    }

    /// Reads it; none if there is none, or none yet.
    pub(super) fn read(directory: &Path, segment: u32) -> Result<Option<Self>, JournalError> {
        let path = places::end(directory, segment);
        let damaged = |reason: &str| {
            let place = path.display().to_string();
            JournalError::Corrupt { place, reason: reason.to_owned() }
        };
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| io_error(&path, &error))?,
        };
        if bytes.is_empty() {
            return Ok(None);
        }
        let (json, digest) = bytes
            .strip_suffix(b"\n")
            .and_then(|bytes| bytes.iter().rposition(|byte| *byte == b'\n').map(|at| bytes.split_at(at)))
            .ok_or_else(|| damaged("it is cut short"))?;
        if digest[1..] != *Digest::of(json).to_string().as_bytes() {
            return Err(damaged("the checksum does not fit"));
        }
        let version = serde_json::from_slice::<Version>(json).map_err(|error| damaged(&error.to_string()))?;
        if version.host_end != VERSION {
            let place = path.display().to_string();
            return Err(JournalError::Version { place, version: version.host_end });
        }
        let read: Self = serde_json::from_slice(json).map_err(|error| damaged(&error.to_string()))?;
        if read.segment != segment {
            return Err(damaged("it is that of another segment"));
        }
        Ok(Some(Self { runs: read.runs.measured(), ..read }))
    }
}

/// Ends the segment of a process that died, whatever it still tries to write; none if it was never begun, and is gone
/// now. The lock of the directory is held meanwhile.
pub(super) fn fence(directory: &Path, segment: u32, holder: u32) -> Result<Option<End>, JournalError> {
    let path = places::end(directory, segment);
    let mark = File::options().write(true).create_new(true).mode(0o600).open(&path);
    match mark.and_then(|_| sync_directory(directory)) {
        // Who made it did not come to an end.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => made.map_err(|error| io_error(&path, &error))?,
    }
    crash_point("journal-before-end");
    // From here on its process tells nobody that anything is safe.
    let mut runs = Parts::default();
    let reached = segment::read_on(directory, segment, Reached::START, None, |extent, payload| {
        runs.add_payload(extent, payload)
    })?;
    let log = places::log(directory, segment);
    let Some(reached) = reached else {
        remove(directory, segment).map_err(|error| io_error(&log, &error))?;
        return Ok(None);
    };
    segment::secure(&log, reached).map_err(|error| io_error(&log, &error))?;
    let end = End::new(segment, reached.end, runs);
    end.write(directory, holder)?;
    Ok(Some(end))
}

/// Removes a segment and its end: the segment first, so that whoever still writes to it finds one of the two changed.
pub(super) fn remove(directory: &Path, segment: u32) -> std::io::Result<()> {
    for path in [places::log(directory, segment), places::end(directory, segment)] {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        crash_point("journal-between-removals");
    }
    Ok(())
}

/// The number of the process that wrote a segment; none if that cannot be told.
pub(super) fn writer(directory: &Path, segment: u32) -> Option<u32> {
    let path = places::log(directory, segment);
    match begun(&File::open(&path).ok()?, segment, &path) {
        Ok(Begun::By(holder)) => Some(holder),
        Ok(Begun::Never) | Err(_) => None,
    }
}
