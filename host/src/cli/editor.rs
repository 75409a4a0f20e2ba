//! A text that the person changes in an editor of theirs: what `VISUAL` or `EDITOR` names.

use std::ffi::OsString;
use std::io::Write as _;

use anyhow::{Context as _, ensure};

use crate::document::read_text;

/// No input of a call is longer.
const TEXT_BYTES_MAX: u64 = 16 << 20;

/// The person's editor, as a shell runs it.
pub(super) struct Editor(OsString);

impl Editor {
    /// The one that the environment names; none if it names none.
    pub(super) fn of_environment() -> Option<Self> {
        let named = |variable| std::env::var_os(variable).filter(|command| !command.is_empty());
        named("VISUAL").or_else(|| named("EDITOR")).map(Self)
    }

    /// Has a text changed. The file goes away with it, and only this user can read it.
    pub(super) async fn change(&self, text: &str) -> anyhow::Result<String> {
        let mut file = tempfile::Builder::new().prefix("host-").suffix(".json").tempfile()?;
        writeln!(file, "{text}")?;
        let name = || self.0.to_string_lossy().into_owned();
        // As git does it: the variable may hold options, too.
        let mut command = OsString::from("exec ");
        command.push(&self.0);
        command.push(" \"$@\"");
        let mut shell = tokio::process::Command::new("sh");
        shell.arg("-c").arg(command).arg("editor").arg(file.path()).kill_on_drop(true);
        let ended = shell.status().await.with_context(|| format!("cannot start the editor `{}`", name()))?;
        ensure!(ended.success(), "the editor `{}` failed: {ended}", name());
        Ok(read_text(file.path(), TEXT_BYTES_MAX)?)
    }
}
