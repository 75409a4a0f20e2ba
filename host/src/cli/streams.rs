//! stdout and stderr, as the command writes to them.
//!
//! stdout has results, stderr what is said along the way. Invariant: nothing that is written here ends the process. What
//! nobody can read on stderr is dropped: the reader went away, or the disk is full, and the work goes on. A result that
//! cannot be written is an error, unless its reader has seen enough.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Says a line on stderr.
pub(super) fn say(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints a result. A reader that went away (`host runs | head`) is no failure.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    match deliver(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Prints a result that is of use only if it arrives.
pub(super) fn deliver(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}
