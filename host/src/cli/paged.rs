//! Results that are longer than the terminal is high: a pager shows them, as in git.
//!
//! `HOST_PAGER` names it, or else `PAGER`; without either it is `less`, if that is there. It is asked to end by itself if
//! all fits, and to let colours through. The pager takes the place of this process, so that a key, or a signal, is meant
//! for one program alone.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal as _, Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use console::Term;

use super::print;

/// What is run where nothing is named.
const USUAL: &str = "if command -v less > /dev/null; then exec less; else exec cat; fi";
/// What `less` is asked for, unless somebody asked for something else: see its manual.
const LESS: &str = "FRX";

/// Prints a result with which the work of this process is done. On a terminal that has less rows a pager shows it.
pub(super) fn page(text: &str) -> anyhow::Result<()> {
    let is_seen = io::stdout().is_terminal() && io::stdin().is_terminal();
    let rows = usize::from(Term::stdout().size().0);
    if !is_seen || text.lines().count() < rows {
        return print(text);
    }
    let mut command = OsString::from("exec ");
    match named("HOST_PAGER").or_else(|| named("PAGER")) {
        // Who names an empty one wants none.
        Some(pager) if pager.is_empty() => return print(text),
        Some(pager) => command.push(pager),
        None => command = USUAL.into(),
    }
    let Ok(file) = kept(text) else { return print(text) };
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).stdin(file);
    if named("LESS").is_none() {
        shell.env("LESS", LESS);
    }
    // It comes back only if there is no shell.
    let _ = shell.exec();
    print(text)
}

fn named(variable: &str) -> Option<OsString> {
    std::env::var_os(variable)
}

/// A file without a name that has the text.
fn kept(text: &str) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    writeln!(file, "{text}")?;
    file.rewind()?;
    Ok(file)
}
