//! A run in one file that can be carried anywhere: JSON lines, gzipped where it is kept.
//!
//! Owns the form of that file. The first line says whose run it is and how it stands, then comes a line an
//! event, in the order of slots, and the last line is the SHA-256 of all before it. In a gzip file the first
//! line stands in the header as well, as its comment, so that a listing of many runs unpacks none of them.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read as _, Write};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use flate2::{Compression, GzBuilder};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::earlier::{self, Link};
use super::run::PROMPT_CHARS_MAX;
use super::{Entry, Event, JournalError, RunSummary, Seq, io_error, runs};
use crate::message::{Digest, RunId, Slot, from_json_line, json_line};

/// The version of the form that this host writes, and the newest it reads.
const VERSION: u8 = 2;

/// The version of a file that holds all of the run: every host reads it.
const WHOLE: u8 = 1;

/// Compressing faster saves more time than compressing better saves space.
const COMPRESSION: Compression = Compression::fast();

/// What a gzip file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// No first line is longer; what claims to be is none.
const HEAD_BYTES_MAX: u64 = 64 * 1024;

/// A run as it is in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct RunFile {
    /// Whose it is and how it stands.
    pub summary: RunSummary,
    /// Everything that happened, in the order of slots.
    pub entries: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    /// Also tells such a file from any other.
    host_run: u8,
    #[serde(flatten)]
    summary: RunSummary,
}

#[derive(Serialize)]
struct LineOut<'a> {
    slot: &'a Slot,
    event: &'a Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Seq>,
}

/// What a line ends with in which characters were escaped that a reader might end a line at, or nobody sees.
#[derive(Serialize)]
struct Escaped {
    escaped: Vec<usize>,
}

#[derive(Deserialize)]
struct LineIn {
    slot: Slot,
    event: Event,
    /// Older hosts did not write it.
    #[serde(default)]
    seq: Option<Seq>,
    /// The places in the line of the escapes that were characters.
    #[serde(default)]
    escaped: Vec<usize>,
}

impl LineIn {
    /// Reads a line; what is kept as the text it was written in is that text again.
    fn read(line: &[u8]) -> Result<Self, String> {
        let read = |line: &[u8]| serde_json::from_slice::<Self>(line).map_err(|error| error.to_string());
        let this = read(line)?;
        if this.escaped.is_empty() {
            return Ok(this);
        }
        let text = str::from_utf8(line).ok().and_then(|line| from_json_line(line, &this.escaped));
        read(text.ok_or("it has no escapes where it says that it has")?.as_bytes())
    }
}

#[derive(Serialize, Deserialize)]
struct Last {
    sha256: Digest,
}

impl RunFile {
    /// A run with its prompt as short as a listing shows it.
    #[must_use]
    pub fn new(summary: &RunSummary, entries: Vec<Entry>) -> Self {
        let prompt = summary.prompt.chars().take(PROMPT_CHARS_MAX).collect();
        Self { summary: RunSummary { prompt, ..summary.clone() }, entries }
    }

    /// The run with all that was said before it, and no word of the runs that hold it as well.
    pub(super) fn alone(&self) -> Cow<'_, Self> {
        if self.summary.before.is_none() && !self.entries.iter().any(earlier::is_linked) {
            return Cow::Borrowed(self);
        }
        let entries = self.entries.iter().map(|entry| earlier::alone(entry).into_owned()).collect();
        Cow::Owned(Self { summary: RunSummary { before: None, ..self.summary.clone() }, entries })
    }

    /// Writes the lines of a file that stands alone.
    pub fn write(&self, to: &mut impl Write) -> std::io::Result<()> {
        self.alone().write_kept(to)
    }

    /// Writes the lines as they are.
    fn write_kept(&self, to: &mut impl Write) -> std::io::Result<()> {
        let mut to = Hashed { to, sha256: Sha256::new() };
        writeln!(to, "{}", self.head()?)?;
        for Entry { slot, event, seq, .. } in &self.entries {
            let json = serde_json::to_string(&LineOut { slot, event, seq: *seq })?;
            let (line, escaped) = json_line(&json);
            match line.strip_suffix('}') {
                Some(open) if !escaped.is_empty() => {
                    let more = serde_json::to_string(&Escaped { escaped })?;
                    writeln!(to, "{open},{}", more.trim_start_matches('{'))?;
                }
                Some(_) | None => writeln!(to, "{line}")?,
            }
        }
        let Hashed { to, sha256 } = to;
        let last = Last { sha256: Digest::from_bytes(sha256.finalize().into()) };
        writeln!(to, "{}", serde_json::to_string(&last)?)
    }

    /// Writes the lines as they are, gzipped.
    pub(super) fn write_gzip(&self, file: &File) -> std::io::Result<()> {
        let head = self.head()?;
        let gzip = GzBuilder::new().comment(head).write(BufWriter::new(file), COMPRESSION);
        let mut to = BufWriter::new(gzip);
        self.write_kept(&mut to)?;
        to.into_inner().map_err(std::io::IntoInnerError::into_error)?.finish()?.flush()
    }

    fn head(&self) -> std::io::Result<String> {
        let host_run = if self.summary.before.is_some() { VERSION } else { WHOLE };
        let json = serde_json::to_string(&Head { host_run, summary: self.summary.clone() })?;
        Ok(json_line(&json).0.into_owned())
    }

    /// Reads a file, gzipped or not, and checks all of it. What was said before the run and is held by other runs is read
    /// from their files, which stand beside this one.
    pub fn read(path: &Path) -> Result<Self, JournalError> {
        let Self { summary, mut entries } = Self::read_kept(path)?;
        let beside = path.parent().unwrap_or(path);
        earlier::resolve(summary.run, &mut entries, beside, |run| {
            let file = runs::sealed_path(beside, run);
            if file.is_file() { Self::read_link(run, &file) } else { Ok(None) }
        })?;
        Ok(Self { summary, entries })
    }

    /// Reads the lines of a file that came from elsewhere, and checks all of them. `name` is what it is called in errors.
    pub fn from_bytes(bytes: &[u8], name: &Path) -> Result<Self, JournalError> {
        let Self { summary, mut entries } = Self::read_lines(bytes, name, |_| false)?;
        earlier::resolve(summary.run, &mut entries, name, |_| Ok(None))?;
        Ok(Self { summary, entries })
    }

    /// The same as it is kept: without what the runs before hold.
    pub(super) fn read_kept(path: &Path) -> Result<Self, JournalError> {
        Self::read_lines(open(path)?, path, |_| false)
    }

    /// Reads what a file says of how the run began and ended, as it is kept, and nothing more: what follows is not checked.
    pub(super) fn read_outline(path: &Path) -> Result<Self, JournalError> {
        Self::read_lines(open(path)?, path, |slot| *slot != Slot::RUN)
    }

    /// What was said before the run, as it is kept with it.
    pub(super) fn read_link(run: RunId, path: &Path) -> Result<Option<Link>, JournalError> {
        Ok(Link::of(run, &Self::read_outline(path)?.entries))
    }

    /// Reads lines to the last one, or up to an event at a slot that is enough.
    fn read_lines(
        mut lines: impl BufRead,
        path: &Path,
        is_enough: impl Fn(&Slot) -> bool,
    ) -> Result<Self, JournalError> {
        let mut sha256 = Sha256::new();
        let mut number = 0;
        let mut summary: Option<RunSummary> = None;
        let mut entries = Vec::new();
        loop {
            let mut line = Vec::new();
            number += 1;
            let damaged = |reason: String| damaged(path, number, reason);
            lines.read_until(b'\n', &mut line).map_err(|error| damaged(error.to_string()))?;
            if line.pop() != Some(b'\n') {
                return Err(damaged("the file is cut short".to_owned()));
            }
            match &summary {
                None => summary = Some(read_head(&line, path)?),
                Some(read) => {
                    if let Ok(Last { sha256: expected }) = serde_json::from_slice(&line) {
                        if expected != Digest::from_bytes(sha256.finalize().into()) {
                            return Err(damaged("the checksum does not fit what stands above it".to_owned()));
                        }
                        let more = lines.fill_buf().map_err(|error| damaged(error.to_string()))?;
                        if !more.is_empty() {
                            return Err(damaged("something follows the checksum".to_owned()));
                        }
                        return Ok(Self { summary: read.clone(), entries });
                    }
                    let LineIn { slot, event, seq, .. } =
                        LineIn::read(&line).map_err(|error| damaged(format!("not an event: {error}")))?;
                    if is_enough(&slot) {
                        return Ok(Self { summary: read.clone(), entries });
                    }
                    entries.push(Entry { run: read.run, slot, event, seq });
                }
            }
            sha256.update(&line);
            sha256.update(b"\n");
        }
    }

    /// Reads who a gzipped file is of, and nothing more.
    pub(super) fn read_summary(path: &Path) -> Result<RunSummary, JournalError> {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        let gzip = flate2::bufread::GzDecoder::new(BufReader::with_capacity(1024, file.take(HEAD_BYTES_MAX)));
        let comment = gzip.header().and_then(flate2::GzHeader::comment);
        read_head(comment.unwrap_or_default(), path)
    }
}

/// The lines of a file, unpacked.
fn open(path: &Path) -> Result<Box<dyn BufRead>, JournalError> {
    let unreadable = |error: std::io::Error| unreadable(path, &error);
    let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
    let is_gzip = file.fill_buf().map_err(unreadable)?.starts_with(&GZIP);
    Ok(if is_gzip { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) })
}

fn read_head(line: &[u8], path: &Path) -> Result<RunSummary, JournalError> {
    #[derive(Deserialize)]
    struct Version {
        host_run: u8,
    }
    let damaged = |error: serde_json::Error| {
        damaged(path, 1, format!("it does not begin as a recorded run does: {error}"))
    };
    let Version { host_run } = serde_json::from_slice(line).map_err(damaged)?;
    if !(WHOLE..=VERSION).contains(&host_run) {
        return Err(JournalError::Version { place: path.display().to_string(), version: host_run });
    }
    let Head { summary, .. } = serde_json::from_slice(line).map_err(damaged)?;
    Ok(summary)
}

struct Hashed<'a, W> {
    to: &'a mut W,
    sha256: Sha256,
}

impl<W: Write> Write for Hashed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.sha256.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

fn damaged(path: &Path, line: usize, reason: String) -> JournalError {
    JournalError::Corrupt { place: format!("{}, line {line}", path.display()), reason }
}

fn unreadable(path: &Path, error: &std::io::Error) -> JournalError {
    io_error(path, error)
}
