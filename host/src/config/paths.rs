//! Paths as agent.toml has them: relative to the file, with `~` for the home directory and with variables.
//!
//! A variable that is not set, or is empty, is a mistake: the path would lead somewhere else. So is one that keeps a
//! secret, because paths are shown.

use std::path::{Path, PathBuf};

use shellexpand::LookupError;
use toml::Spanned;

use super::Source;
use super::validate::Check;
use crate::document::{Problem, quote};
use crate::message::spelled_out;
use crate::registry::RemoteError;
use crate::trust::{RawTrust, Trust, rules};

/// Why a path leads nowhere: what is wrong, and what to do.
pub(super) struct PathError {
    message: String,
    help: String,
}

/// The scheme of a URL; none if the text is none.
pub(crate) fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let is_one = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_one.then_some(scheme)
}

/// What to do where a URL cannot be written.
fn instead(scheme: &str) -> &'static str {
    match scheme.to_ascii_lowercase().as_str() {
        "file" => "write the path alone, without file://",
        _ => "fetch the file first, and write the path of the file",
    }
}

/// Where a path leads to, with what a terminal would not show.
pub(super) fn looked_for_at(path: &Path) -> String {
    format!("it is looked for at {}", spelled_out(&path.to_string_lossy()))
}

impl Check<'_> {
    /// A path, absolute. An empty one would mean the directory itself.
    pub(super) fn path(&mut self, key: &str, raw: &Spanned<PathBuf>) -> Option<PathBuf> {
        if raw.get_ref().as_os_str().is_empty() {
            self.problem(raw.span(), format!("{key} is empty"), "write a path, relative to this file");
            return None;
        }
        if let Some(scheme) = scheme(&raw.get_ref().to_string_lossy()) {
            let message = format!("{key}: {scheme}:// is not supported yet; it has to be a path");
            self.problem(raw.span(), message, instead(scheme));
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

    /// Where a component is: a path, or a reference to elsewhere.
    pub(super) fn source(&mut self, raw: &Spanned<PathBuf>) -> Option<Source> {
        let text = raw.get_ref().to_string_lossy();
        match scheme(&text) {
            None | Some("file") => self.path("source", raw).map(Source::Local),
            Some(_) => match text.parse() {
                Ok(remote) => Some(Source::Remote(remote)),
                Err(RemoteError { message, help }) => {
                    self.problem(raw.span(), format!("source = \"{}\": {message}", quote(&text)), help);
                    None
                }
            },
        }
    }

    /// Who has to have signed what comes from elsewhere.
    pub(super) fn trust(&mut self, raw: RawTrust, file: &Path) -> Trust {
        let absolute =
            |path: &Path| self.absolute(path).map_err(|PathError { message, help }| (message, help));
        let (trust, problems) = rules(raw, file, &absolute);
        for Problem { span, message, help, .. } in problems {
            self.problem(span.unwrap_or_default(), message, help);
        }
        self.files.extend(trust.files().map(Path::to_owned));
        trust
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

#[cfg(test)]
mod tests {
    use super::scheme;

    #[test]
    fn a_url_has_a_scheme_and_a_path_has_none() {
        for (text, expected) in [
            ("oci://registry.example/a/b:1", Some("oci")),
            ("https://example.com/x.wasm", Some("https")),
            ("file:///x", Some("file")),
            ("git+ssh://x", Some("git+ssh")),
            ("tools/greet", None),
            ("./oci://x", None),
            ("a b://x", None),
            ("://x", None),
            ("C:/x", None),
            ("1x://y", None),
        ] {
            assert_eq!(scheme(text), expected, "{text}");
        }
    }
}
