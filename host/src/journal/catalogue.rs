//! What a listing says of runs that are one file each, kept together so that it opens none of those.
//!
//! A cache: a line of JSON a run, with the size and the time of its file. A file that was changed since, or has no
//! line, is read; a line that cannot be read is passed over. Nothing depends on it.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{JournalError, RunFile, RunSummary, runs, write_whole};
use crate::message::RunId;

const CATALOGUE: &str = "catalogue";

/// So many files are read as soon as the catalogue is written, so for fewer it is not.
const MISSING_MIN: usize = 100;

/// The catalogue in a directory of runs.
#[derive(Debug)]
pub(super) struct Catalogue {
    path: PathBuf,
    lines: HashMap<RunId, Line>,
    /// How many lines there were.
    read: usize,
    missing: Vec<Line>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    bytes: u64,
    modified_ns: i64,
    #[serde(flatten)]
    summary: RunSummary,
}

impl Line {
    fn fits(&self, metadata: &Metadata) -> bool {
        (self.bytes, self.modified_ns) == (metadata.len(), modified_ns(metadata))
    }
}

fn modified_ns(metadata: &Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

impl Catalogue {
    /// Reads what there is of it.
    pub(super) fn read(directory: &Path) -> Self {
        let path = directory.join(CATALOGUE);
        // What is not there, or cannot be read, is read from the files themselves.
        let text = std::fs::read(&path).unwrap_or_default();
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let read = lines.clone().count();
        let lines = lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok());
        let lines = lines.map(|line| (line.summary.run, line)).collect();
        Self { path, lines, read, missing: Vec::new() }
    }

    /// What the file of a run says of it, by what was kept or by the file; none if there is no such file any more.
    pub(super) fn summary(&mut self, run: RunId) -> Result<Option<RunSummary>, JournalError> {
        let directory = self.path.parent().unwrap_or(&self.path);
        let file = runs::sealed_path(directory, run);
        let metadata = match std::fs::metadata(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(|error| super::io_error(&file, &error))?,
        };
        if let Some(line) = self.lines.get(&run).filter(|line| line.fits(&metadata)) {
            return Ok(Some(line.summary.clone()));
        }
        let summary = RunFile::read_summary(&file)?;
        let (bytes, modified_ns) = (metadata.len(), modified_ns(&metadata));
        self.missing.push(Line { bytes, modified_ns, summary: summary.clone() });
        Ok(Some(summary))
    }

    /// Keeps what was read of files, if it was much. `listed` are the runs that there are.
    pub(super) fn keep(mut self, listed: usize, number: u32) {
        if self.missing.len() < MISSING_MIN {
            return;
        }
        // Where it cannot be written everything is as before.
        let _ = if self.read > 2 * listed { self.rewrite(number) } else { self.append() };
    }

    fn append(&self) -> std::io::Result<()> {
        let mut file = File::options().append(true).create(true).mode(0o600).open(&self.path)?;
        // What a process that died wrote last may have no end.
        file.write_all(format!("\n{}", text(self.missing.iter())?).as_bytes())
    }

    fn rewrite(&mut self, number: u32) -> std::io::Result<()> {
        for line in std::mem::take(&mut self.missing) {
            self.lines.insert(line.summary.run, line);
        }
        let text = text(self.lines.values())?;
        let by = self.path.with_extension(format!("{number}.part"));
        write_whole(&self.path, &by, |mut file| file.write_all(text.as_bytes()))
    }
}

fn text<'a>(lines: impl Iterator<Item = &'a Line>) -> std::io::Result<String> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&serde_json::to_string(line)?);
        text.push('\n');
    }
    Ok(text)
}
