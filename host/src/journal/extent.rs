//! Places in the segments of a journal, and what stands there of a run.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::format::{self, KeyValue};
use super::frame::{self, Damage, Found};
use super::segment::{Begun, begun, damaged};
use super::{JournalError, io_error, note, places};
use crate::message::RunId;

/// Whole commits that follow each other in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub(super) struct Extent {
    /// Where the first one begins, in bytes.
    pub(super) offset: u64,
    /// How long they are together, in bytes.
    pub(super) length: u64,
}

impl From<(u64, u64)> for Extent {
    fn from((offset, length): (u64, u64)) -> Self {
        Self { offset, length }
    }
}

impl From<Extent> for (u64, u64) {
    fn from(Extent { offset, length }: Extent) -> Self {
        (offset, length)
    }
}

impl Extent {
    /// Where the commit behind it begins.
    pub(super) fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }

    /// The commits of it that begin at a place or after it; one of them begins there if the place is in the middle.
    pub(super) fn after(self, from: u64) -> Option<Self> {
        let offset = self.offset.max(from);
        let length = self.end().checked_sub(offset).filter(|length| *length > 0)?;
        Some(Self { offset, length })
    }
}

/// The segments of a directory, open to be read.
#[derive(Debug)]
pub(super) struct Segments<'a> {
    directory: &'a Path,
    open: HashMap<u32, File>,
}

impl<'a> Segments<'a> {
    pub(super) fn new(directory: &'a Path) -> Self {
        Self { directory, open: HashMap::new() }
    }

    /// The payloads of commits, as they are found; none if the segment is not there (any more).
    pub(super) fn read(
        &mut self,
        number: u32,
        extent: Extent,
        mut visit: impl FnMut(&[u8]) -> Result<(), Damage>,
    ) -> Result<Option<()>, JournalError> {
        let path = places::log(self.directory, number);
        let file = match self.open.entry(number) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(vacant) => match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                opened => {
                    let file = opened.map_err(|error| io_error(&path, &error))?;
                    if begun(&file, number, &path)? == Begun::Never {
                        return Err(damaged(&path, 0, "it does not begin as a segment of the journal does"));
                    }
                    vacant.insert(file)
                }
            },
        };
        let mut bytes = vec![0; usize::try_from(extent.length).unwrap_or_default()];
        let changed = |at| damaged(&path, at, "a commit is not what was written");
        match file.read_exact_at(&mut bytes, extent.offset) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(changed(extent.offset)),
            read => read.map_err(|error| io_error(&path, &error))?,
        }
        let mut at = 0;
        while at < bytes.len() {
            match frame::read(&bytes, at) {
                Found::Frame { payload, end, .. } if end <= bytes.len() => {
                    visit(payload).map_err(|Damage| changed(extent.offset + at as u64))?;
                    at = end;
                }
                Found::Frame { .. } | Found::Nothing | Found::Torn | Found::Damaged(_) => {
                    return Err(changed(extent.offset + at as u64));
                }
            }
        }
        Ok(Some(()))
    }
}

/// A segment is not there that holds something of a run.
pub(super) fn missing(directory: &Path, segment: u32, run: RunId) -> JournalError {
    damaged(&places::log(directory, segment), 0, &format!("it is missing, and run {run} goes on from it"))
}

/// What stands of a run at these places, in the order of keys. What was carried forward may be there twice.
pub(super) fn fetch(
    directory: &Path,
    run: RunId,
    places: &[(u32, Extent)],
) -> Result<Vec<KeyValue>, JournalError> {
    let prefix = format::run_prefix(run);
    let mut segments = Segments::new(directory);
    let mut pairs: Vec<KeyValue> = Vec::new();
    for (segment, extent) in places {
        let found = segments.read(*segment, *extent, |payload| {
            let of_run = |(key, _): &(&[u8], &[u8])| key.starts_with(&prefix) && !note::is_note(key);
            let found = frame::pairs(payload)?.into_iter().filter(of_run);
            pairs.extend(found.map(|(key, value)| (key.to_vec(), value.to_vec())));
            Ok(())
        })?;
        found.ok_or_else(|| missing(directory, *segment, run))?;
    }
    pairs.sort_unstable();
    pairs.dedup();
    match pairs.windows(2).find(|two| two[0].0 == two[1].0) {
        Some(two) => Err(format::written_twice(&two[0].0)),
        None => Ok(pairs),
    }
}
