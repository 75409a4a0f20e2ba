//! Paths as agent.toml has them: relative to the file, with `~` for the home directory and with variables.
//!
//! A variable that is not set, or is empty, is a mistake: the path would lead somewhere else. So is one that keeps a
//! secret, because paths are shown.

use std::path::{Path, PathBuf};

use shellexpand::LookupError;
use toml::Spanned;

use super::validate::Check;
use crate::document::quote;

/// Why a path leads nowhere: what is wrong, and what to do.
pub(super) struct PathError {
    message: String,
    help: String,
}

impl Check<'_> {
    /// A path, absolute. An empty one would mean the directory itself.
    pub(super) fn path(&mut self, key: &str, raw: &Spanned<PathBuf>) -> Option<PathBuf> {
        if raw.get_ref().as_os_str().is_empty() {
            self.problem(raw.span(), format!("{key} is empty"), "write a path, relative to this file");
            return None;
        }
        match self.absolute(raw.get_ref()) {
            Ok(path) => Some(path),
            Err(PathError { message, help }) => {
                self.problem(raw.span(), format!("{key}: {message}"), help);
                None
            }
        }
    }

    /// What a path stands for.
    pub(super) fn absolute(&self, written: &Path) -> Result<PathBuf, PathError> {
        let text = written.to_string_lossy();
        let refuse = |message: String, help: &str| PathError { message, help: help.to_owned() };
        if text.starts_with('~') && text != "~" && !text.starts_with("~/") {
            let message = format!("\"{}\" begins with the home directory of somebody else", quote(&text));
            return Err(refuse(message, "write the path itself, or ./~ for a file whose name begins so"));
        }
        let expanded = shellexpand::full_with_context(
            &text,
            || etcetera::home_dir().ok().map(|home| home.to_string_lossy().into_owned()),
            |name| self.value_in_path(name).map(Some),
        );
        let expanded = expanded.map_err(|LookupError { cause, .. }| cause)?;
        if expanded.starts_with('~') && text.starts_with('~') {
            return Err(refuse(
                "there is no home directory".to_owned(),
                "set HOME, or write the path itself",
            ));
        }
        Ok(self.directory.join(&*expanded))
    }

    fn value_in_path(&self, name: &str) -> Result<String, PathError> {
        let refuse = |why: &str, help: &str| {
            let message = format!("the variable {} {why}", quote(name));
            Err(PathError { message, help: help.to_owned() })
        };
        if self.kept_variables.iter().any(|kept| kept == name) {
            return refuse("keeps a secret, and paths are shown", "keep the path in a variable of its own");
        }
        match std::env::var(name) {
            Ok(value) if value.is_empty() => refuse(
                "is empty, so that the path would lead somewhere else",
                "set it, or write the path itself",
            ),
            Ok(value) => Ok(value),
            Err(std::env::VarError::NotPresent) => {
                refuse("is not set", "set it, or write $$ for a dollar sign that is meant")
            }
            Err(std::env::VarError::NotUnicode(_)) => refuse("is not UTF-8", "write the path itself"),
        }
    }
}
