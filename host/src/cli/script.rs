//! What the model replied in a run, as a script.

use std::path::Path;

use anyhow::Context as _;

use super::exit::Exit;
use super::print;
use super::screen::Screen;
use crate::cases::Recording;
use crate::journal::{Entry, Runs};
use crate::message::{RunId, clean};

pub(super) fn run((id, entries): (RunId, Vec<Entry>)) -> anyhow::Result<Exit> {
    print(text(id, entries)?.trim_end())?;
    Ok(Exit::Ok)
}

/// Writes the script of a run that has just been carried out; one that has not ended is told of.
pub(super) fn write(runs: &dyn Runs, id: RunId, file: &Path, screen: &Screen) -> anyhow::Result<()> {
    let later = format!("later: host runs script {id} > {}", file.display());
    let entries = runs.read(id)?;
    if crate::journal::ending(&entries).is_none() {
        screen.say(&format!("the run has not ended, so no script was written; {later}"));
        return Ok(());
    }
    let text = text(id, entries)?;
    std::fs::write(file, text).with_context(|| format!("cannot write {}; {later}", file.display()))?;
    screen.say(&format!("wrote {}", file.display()));
    Ok(())
}

fn text(id: RunId, entries: Vec<Entry>) -> anyhow::Result<String> {
    let recording = Recording::of(id, entries)?;
    let script = recording.script_with_results(Path::new("script.toml")).to_toml()?;
    // A comment may have no control characters.
    let asked = clean(&recording.manifest.prompt).replace('\n', "\n#   ");
    Ok(format!("# What the model replied in run {id}, which was asked:\n#   {asked}\n\n{script}"))
}
