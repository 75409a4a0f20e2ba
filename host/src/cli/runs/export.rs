//! `host runs export`: a run as one file, for `host` or for a browser.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context as _;

use crate::cli::exit::Exit;
use crate::engine::timeline::Followed;
use crate::journal::RunFile;
use crate::message::Moment;
use crate::ui;

/// Writes a run: as a page, or else as JSON lines.
pub(in crate::cli) fn export(run: &RunFile, html: bool, output: Option<PathBuf>) -> anyhow::Result<Exit> {
    let page = html.then(|| page(run)).transpose()?;
    let write = |mut to: &mut dyn Write| match &page {
        Some(page) => to.write_all(page.as_bytes()),
        None => run.write(&mut to),
    };
    match output {
        None => {
            let mut stdout = std::io::stdout().lock();
            write(&mut stdout).and_then(|()| stdout.flush()).context("cannot write to stdout")?;
        }
        Some(path) => {
            let written = File::create(&path).and_then(|file| {
                let mut to = BufWriter::new(file);
                write(&mut to)?;
                // What a disk says only when it is asked to keep what it was given is an error like any other.
                let file = to.into_inner().map_err(std::io::IntoInnerError::into_error)?;
                if file.metadata()?.is_file() { file.sync_all() } else { Ok(()) }
            });
            written.with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(Exit::Ok)
}

fn page(run: &RunFile) -> anyhow::Result<String> {
    let RunFile { summary, entries } = run;
    let read = Followed::recorded(summary.run, entries.clone(), summary.state)?;
    Ok(ui::file(&read.timeline(Moment::now().0)?))
}
