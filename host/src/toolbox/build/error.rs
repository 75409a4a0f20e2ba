//! Why a tool could not be built, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::Language;
use super::rust::TARGET;
use crate::message::shell_word;

/// Why a tool could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The directory has no source.
    #[error(
        "{} has no source of a tool: none of {}\n  name a .wasm file or the directory of a tool; `host new` writes one",
        .0.display(), Language::ALL.map(Language::file).join(", ")
    )]
    NoSource(PathBuf),
    /// The directory has several.
    #[error("{} has {} and {}: what is the tool written in?\n  a tool has a directory of its own: remove one of them, or move it away", path.display(), files[0], files[1])]
    TwoLanguages {
        /// The directory.
        path: PathBuf,
        /// What says one language each.
        files: [&'static str; 2],
    },
    /// A source that the agent's project does not have, and that nobody allowed.
    #[error(
        "{} is outside of the agent's project, {}: building it runs its code with your rights\n  look at it, and then allow it once and for all: host build {} (or, for all of this command, say --trust-build)",
        source_dir.display(), project.display(), shell_word(&source_dir.to_string_lossy())
    )]
    Stranger {
        /// The directory of the source.
        source_dir: PathBuf,
        /// The agent's project.
        project: PathBuf,
    },
    /// A compiler is missing.
    #[error("{} is a tool in {language}, and `{program}` is not installed\n  install it: {install}", path.display())]
    Missing {
        /// The tool.
        path: PathBuf,
        /// What it is written in.
        language: Language,
        /// What is missing.
        program: &'static str,
        /// A command.
        install: String,
    },
    /// A program cannot be started.
    #[error("cannot run `{program}`: {reason}\n  make it a program that you may run, or install it anew")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        reason: String,
    },
    /// The target is missing and cannot be installed.
    #[error("the target {TARGET} is not installed and `rustup target add {TARGET}` failed:\n{0}")]
    Target(String),
    /// The compiler refused.
    #[error("{} does not build:\n{output}", path.display())]
    Compiler {
        /// The tool.
        path: PathBuf,
        /// What the compiler said.
        output: String,
    },
    /// The interface beside it is wrong.
    #[error("{} is no interface to build the tool by: {reason}\n  `host wit` writes the one of this host", path.display())]
    Wit {
        /// The directory of the interface.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What the compiler made does not fit the interface.
    #[error("{} builds, but makes no component: {reason}\n  it has to export what its `wit` says, as the files that `host new` writes do", path.display())]
    Unfit {
        /// The tool.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// More files than a tool has.
    #[error("{} cannot be read as a tool: {reason}\n  a tool has a directory of its own", path.display())]
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What was built cannot be kept.
    #[error("cannot use {}: {reason}\n  choose another directory with --cache DIR", path.display())]
    Keep {
        /// Where.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The crate makes no component.
    #[error("{} builds, but makes no component\n  its Cargo.toml needs [lib] crate-type = [\"cdylib\"]", .0.display())]
    NoComponent(PathBuf),
}

impl BuildError {
    /// A program that could not be started; one that is not there has a command that installs it.
    pub(super) fn started(
        path: &Path,
        language: Language,
        (program, install): (&'static str, &str),
        error: &io::Error,
    ) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            return Self::Missing { path: path.to_owned(), language, program, install: install.to_owned() };
        }
        Self::Start { program: program.to_owned(), reason: error.to_string() }
    }
}
