//! Where the final answer goes.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::exit::Misuse;

/// A file for the final answer, instead of stdout.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Output {
    /// Write the final answer to this file, instead of printing it. The file is replaced as a whole, and only when the
    /// answer is there.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Output {
    /// The file, if it can be written: better to know before the run than after it.
    pub(super) fn checked(&self) -> anyhow::Result<Option<PathBuf>> {
        let Some(path) = &self.output else { return Ok(None) };
        let path = std::path::absolute(path)?;
        let unwritable = || Misuse(format!("--output: cannot write {}", path.display()));
        if path.is_dir() {
            return Err(Misuse(format!("--output: {} is a directory", path.display())).into());
        }
        tempfile::Builder::new().tempfile_in(directory(&path)).with_context(unwritable)?;
        Ok(Some(path))
    }
}

/// Replaces the file, whole or not at all.
pub(super) fn write(path: &Path, answer: &str) -> anyhow::Result<()> {
    let unwritable = || format!("cannot write the answer to {}", path.display());
    let mut file = tempfile::NamedTempFile::new_in(directory(path)).with_context(unwritable)?;
    let text = if answer.ends_with('\n') { answer.to_owned() } else { format!("{answer}\n") };
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).with_context(unwritable)?;
    file.persist(path).with_context(unwritable)?;
    Ok(())
}

fn directory(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}
