//! A file that a command writes: an answer, a component.
//!
//! Whether the file can be written is found out before the work begins, and what was there before stays until the work is
//! done. An answer that cannot be written in the end is still recorded.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::NamedTempFile;

use super::exit::Misuse;
use crate::message::RunId;

/// Like any file that a program writes: what the umask of its user leaves of it.
const MODE: u32 = 0o666;

/// A file for the final answer, instead of stdout.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Output {
    /// Write the final answer to this file, instead of printing it. The file is replaced as a whole, and only when the
    /// answer is there.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A file that is replaced as a whole.
#[derive(Clone, Debug)]
pub(super) struct OutputFile {
    path: PathBuf,
    directory: PathBuf,
}

impl Output {
    /// The file, which can be written as far as can be known now; none if the answer goes to stdout.
    pub(super) fn checked(&self) -> Result<Option<OutputFile>, Misuse> {
        self.output.as_deref().map(OutputFile::at).transpose()
    }
}

impl OutputFile {
    /// The file that `--output` names, which can be written as far as can be known now.
    pub(super) fn at(path: &Path) -> Result<Self, Misuse> {
        Self::there(path).map_err(|Misuse(why)| Misuse(format!("--output: {why}")))
    }

    /// The file at a path, which can be written as far as can be known now.
    pub(super) fn there(path: &Path) -> Result<Self, Misuse> {
        let cannot = |why: &str| Misuse(format!("cannot write {}: {why}", path.display()));
        // Through a link, so that the file is replaced and not the link; what is not there yet is made.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if fs::metadata(&path).is_ok_and(|there| !there.is_file()) {
            return Err(cannot("it is there, and is not a regular file"));
        }
        let (Some(directory), Some(_)) = (path.parent(), path.file_name()) else {
            return Err(cannot("it is not the path of a file"));
        };
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let file = Self { directory: directory.to_owned(), path };
        file.beside().map_err(|error| cannot(&format!("nothing can be made in its directory: {error}")))?;
        Ok(file)
    }

    /// Puts the answer of a run there, whole or not at all.
    pub(super) fn write(&self, run: RunId, answer: &str) -> anyhow::Result<()> {
        self.replace(format!("{answer}\n").as_bytes()).with_context(|| {
            let path = self.path.display();
            format!("cannot write the answer to {path}; it is recorded: host resume {run} --output FILE")
        })
    }

    /// Puts these bytes there, whole or not at all.
    pub(super) fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.beside()?;
        if let Ok(before) = fs::metadata(&self.path) {
            file.as_file().set_permissions(before.permissions())?;
        }
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }

    /// An empty file in the same directory, which is gone again unless it takes the place of the other.
    fn beside(&self) -> io::Result<NamedTempFile> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".host-output-").permissions(Permissions::from_mode(MODE)).tempfile_in(&self.directory)
    }
}
