//! `host fmt`: the new spellings of agent.toml, in the place of the older ones.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use similar::TextDiff;

use super::errors::say_problems;
use super::exit::{Exit, Misuse};
use super::output::OutputFile;
use super::words::{counted, one_line};
use super::{print, say};
use crate::config::{Config, ConfigError, Respelled};
use crate::message::clean;

/// A file is small; beyond this time a longer diff does.
const DIFF_TIME_MAX: Duration = Duration::from_secs(2);

/// How many lines of the file are shown around a change.
const CONTEXT_LINES: usize = 2;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The files, or the directories that they are in.
    #[arg(value_name = "AGENT.TOML|DIR", default_value = "agent.toml")]
    agents: Vec<PathBuf>,
    /// Change nothing. Print what would change as a diff, and exit with 1 if there is something.
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut wrong = false;
    let mut files = Vec::new();
    for path in &args.agents {
        match respelled(path) {
            Ok(file) => files.push(file),
            Err(error) => {
                say_problems(&error);
                wrong = true;
            }
        }
    }
    // Nothing is written unless all of it can be.
    if wrong {
        return Ok(Exit::Usage);
    }
    let mut differs = false;
    for (config, respelled) in &files {
        differs |= !respelled.changes.is_empty();
        if args.check { show(config, respelled)? } else { write(config, respelled)? }
    }
    Ok(if args.check && differs { Exit::Failure } else { Exit::Ok })
}

fn respelled(path: &Path) -> Result<(Config, Respelled), ConfigError> {
    let config = Config::load(path)?;
    let respelled = config.respelled()?;
    Ok((config, respelled))
}

/// Shows what would change.
fn show(config: &Config, respelled: &Respelled) -> anyhow::Result<()> {
    let path = config.path.display();
    if respelled.changes.is_empty() {
        say(format_args!("{path}: no older spellings"));
        return Ok(());
    }
    let diff = TextDiff::configure()
        .timeout(DIFF_TIME_MAX)
        .diff_lines(config.text.as_str(), respelled.text.as_str())
        .unified_diff()
        .context_radius(CONTEXT_LINES)
        .header(&path.to_string(), &path.to_string())
        .to_string();
    let diff = diff.trim_end_matches('\n');
    // A file from elsewhere must not steer the terminal; a program gets the diff as it is.
    print(&if io::stdout().is_terminal() { clean(diff) } else { diff.into() })?;
    say(format_args!("{path}: {}", counted(respelled.changes.len(), "older spelling")));
    Ok(())
}

/// Puts the file with new spellings in the place of the other.
fn write(config: &Config, respelled: &Respelled) -> anyhow::Result<()> {
    let path = config.path.display();
    if respelled.changes.is_empty() {
        say(format_args!("{path}: no older spellings"));
        return Ok(());
    }
    let file = OutputFile::there(&config.path)?;
    let bytes = std::fs::read(&config.path).with_context(|| format!("cannot read {path}"))?;
    // A mark at the beginning is no part of the text, and stays.
    let mark = bytes.len().saturating_sub(config.text.as_str().len());
    if bytes.get(mark..) != Some(config.text.as_str().as_bytes()) {
        return Err(Misuse(format!("{path} was changed meanwhile\n  try again")).into());
    }
    let written = [&bytes[..mark], respelled.text.as_bytes()].concat();
    file.replace(&written).with_context(|| format!("cannot write {path}"))?;
    say(format_args!("{path}: {} changed", counted(respelled.changes.len(), "spelling")));
    for change in &respelled.changes {
        say(format_args!("  line {}: {} is now {}", change.line, one_line(&change.old), change.new));
    }
    Ok(())
}
