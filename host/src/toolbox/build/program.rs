//! Where compilers are found, and how one is run.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use tokio::process::Command;

use super::process::{Heard, run};
use super::work::Work;
use super::{BuildError, Language};
use crate::message::shell_word;

/// Where package managers put the programs that belong to a directory.
const OWN: [&str; 2] = [".venv/bin", "node_modules/.bin"];

/// The programs that a tool can be built by: those in its directory, then those of the machine.
pub(super) struct Programs<'a> {
    path: &'a Path,
    language: Language,
    directories: Vec<PathBuf>,
}

impl<'a> Programs<'a> {
    pub(super) fn of(path: &'a Path, language: Language) -> Self {
        let own = OWN.map(|directory| path.join(directory));
        let usual = env::var_os("PATH").unwrap_or_default();
        let directories = own.into_iter().chain(env::split_paths(&usual)).collect();
        Self { path, language, directories }
    }

    /// A program, if it is there.
    pub(super) fn find(&self, program: &str) -> Option<PathBuf> {
        self.directories.iter().map(|directory| directory.join(program)).find(|path| is_program(path))
    }

    /// A program, ready to be run in the tool's directory. One that is not there has a command that installs it, which
    /// is typed in that directory.
    pub(super) fn command(&self, program: &'static str, install: &str) -> Result<Command, BuildError> {
        self.find(program).map(|path| self.of_path(&path)).ok_or_else(|| self.missing(program, install))
    }

    /// The same of a program that was found.
    pub(super) fn of_path(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path);
        // It may start others that are in the tool's directory, too: node, for one.
        if let Ok(path) = env::join_paths(&self.directories) {
            command.env("PATH", path);
        }
        command
    }

    pub(super) fn missing(&self, program: &'static str, install: &str) -> BuildError {
        let install = format!("cd {} && {install}", shell_word(&self.path.to_string_lossy()));
        BuildError::Missing { path: self.path.to_owned(), language: self.language, program, install }
    }

    /// Runs a compiler. What it says is told, and is the error if it fails.
    pub(super) async fn compile(&self, command: &mut Command, work: &Work<'_>) -> Result<(), BuildError> {
        let said = Mutex::new(String::new());
        let hear = |heard: Heard<'_>| {
            if let Heard::Line(line) = heard {
                work.hears(Heard::Line(line), &mut said.lock());
            }
        };
        let status = run(command, hear, hear).await.map_err(|error| {
            let program: OsString = command.as_std().get_program().to_owned();
            BuildError::Start { program: program.to_string_lossy().into_owned(), reason: error.to_string() }
        })?;
        if status.success() {
            return Ok(());
        }
        Err(BuildError::Compiler { path: self.path.to_owned(), output: said.into_inner() })
    }
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}
