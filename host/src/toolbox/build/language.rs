use std::fmt;
use std::path::Path;

use super::{BuildError, c, go, python, rust, script};

/// What a tool is written in, which its first file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Language {
    /// A crate.
    Rust,
    /// Made by componentize-py.
    Python,
    /// Made by esbuild and componentize-qjs.
    #[cfg_attr(feature = "cli", value(name = "js"))]
    JavaScript,
    /// The same.
    #[cfg_attr(feature = "cli", value(name = "ts"))]
    TypeScript,
    /// Made by go.
    Go,
    /// Made by zig, or by clang of wasi-sdk.
    C,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Rust, Self::Python, Self::JavaScript, Self::TypeScript, Self::Go, Self::C];

    /// The file that says it.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Python => "tool.py",
            Self::JavaScript => "tool.js",
            Self::TypeScript => "tool.ts",
            Self::Go => "go.mod",
            Self::C => "tool.c",
        }
    }

    /// The command that installs its compiler, typed in the directory of the tool.
    #[must_use]
    pub fn install(self) -> &'static str {
        match self {
            Self::Rust => rust::INSTALL,
            Self::Python => python::INSTALL,
            Self::JavaScript | Self::TypeScript => script::INSTALL,
            Self::Go => go::INSTALL,
            Self::C => c::INSTALL,
        }
    }

    /// The languages that the files of a directory say.
    pub fn said_by(path: &Path) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |language| path.join(language.file()).is_file())
    }

    /// The language of the tool in a directory.
    pub fn of(path: &Path) -> Result<Self, BuildError> {
        let mut said = Self::said_by(path);
        match (said.next(), said.next()) {
            (None, _) => Err(BuildError::NoSource(path.to_owned())),
            (Some(language), None) => Ok(language),
            (Some(one), Some(other)) => {
                Err(BuildError::TwoLanguages { path: path.to_owned(), files: [one.file(), other.file()] })
            }
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::JavaScript => "JavaScript",
            Self::TypeScript => "TypeScript",
            Self::Go => "Go",
            Self::C => "C",
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn one_file_says_the_language_and_two_are_refused() {
        for language in Language::ALL {
            let dir = tempfile::tempdir().unwrap();
            let none = Language::of(dir.path()).unwrap_err().to_string();
            assert!(none.contains("has no source of a tool") && none.contains(language.file()), "{none}");
            std::fs::write(dir.path().join(language.file()), "").unwrap();
            assert_eq!(Language::of(dir.path()).unwrap(), language);
            let other = Language::ALL.into_iter().find(|other| *other != language).unwrap();
            std::fs::write(dir.path().join(other.file()), "").unwrap();
            let two = Language::of(dir.path()).unwrap_err().to_string();
            assert!(two.contains(language.file()) && two.contains(other.file()), "{two}");
        }
    }
}
