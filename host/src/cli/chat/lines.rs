//! Where prompts come from: a person's terminal, or a pipe.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};

use anyhow::{Context as _, bail, ensure};

use super::editing::Editing;

/// No model's context holds more.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// A text, of more than one line if it was pasted, or if its lines end with a backslash.
    Text(String),
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D, or the end of the pipe.
    End,
}

/// Where texts are typed.
pub(super) enum Lines {
    /// At a terminal.
    Edited(Editing),
    /// Elsewhere, one after the other.
    Piped,
}

impl Lines {
    /// The next text.
    pub(super) async fn next(&self) -> anyhow::Result<Typed> {
        match self {
            Self::Edited(editing) => editing.next().await,
            Self::Piped => tokio::task::spawn_blocking(piped).await?,
        }
    }
}

/// The next text on stdin.
fn piped() -> anyhow::Result<Typed> {
    let mut stdin = std::io::stdin().lock();
    if stdin_is_typed_at() {
        let mut stderr = std::io::stderr().lock();
        let _ = write!(stderr, "> ").and_then(|()| stderr.flush());
    }
    let mut bytes = Vec::new();
    loop {
        let room = (TEXT_BYTES_MAX + 1 - bytes.len()) as u64;
        let count = (&mut stdin).take(room).read_until(b'\n', &mut bytes).context("cannot read stdin")?;
        ensure!(bytes.len() <= TEXT_BYTES_MAX, "a prompt on stdin is longer than 1 MiB");
        if count == 0 || !bytes.ends_with(b"\\\n") {
            break;
        }
    }
    if bytes.is_empty() {
        return Ok(Typed::End);
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Typed::Text(text)),
        Err(_) => bail!("a line on stdin is not UTF-8 text"),
    }
}

fn stdin_is_typed_at() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}
