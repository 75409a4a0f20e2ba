//! Why a component is not trusted, and what to do about it.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::Rule;
use crate::registry::Remote;

/// Why a component is not trusted: who had to have signed it, and what is wrong with each signature that there is.
#[derive(Debug, thiserror::Error)]
#[error(
    "{source_name} is not signed as {} asks: {wanted}{}\n  {}",
    file.display(), said(reasons), help(*kept, reasons)
)]
pub struct TrustError {
    /// Where the component comes from.
    pub source_name: String,
    /// The file in which the rule stands.
    pub file: PathBuf,
    /// Who has to have signed.
    pub wanted: String,
    /// What is wrong with each signature.
    pub reasons: Vec<String>,
    /// Whether it is about what host.lock keeps, and not about what was found.
    pub kept: bool,
}

impl TrustError {
    /// Of what host.lock keeps, nothing is of use.
    pub(super) fn kept(source: &Remote, rule: &Rule, reasons: Vec<String>) -> Self {
        Self { kept: true, ..Self::found(source, rule, reasons) }
    }

    /// Of what was found, nothing is of use.
    pub(super) fn found(source: &Remote, rule: &Rule, reasons: Vec<String>) -> Self {
        let (file, wanted) = (rule.file.clone(), rule.wanted());
        Self { source_name: source.to_string(), file, wanted, reasons, kept: false }
    }

    /// The same, with what was passed over.
    #[must_use]
    pub fn and(mut self, passed_over: Vec<String>) -> Self {
        self.reasons.extend(passed_over);
        self
    }
}

/// The lines of reasons, at most so many.
fn said(reasons: &[String]) -> String {
    const REASONS_MAX: usize = 8;
    let mut text = String::new();
    for reason in reasons.iter().take(REASONS_MAX) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  a signature is of no use: {reason}");
    }
    if reasons.len() > REASONS_MAX {
        let _ = write!(text, "\n  and {} more", reasons.len() - REASONS_MAX);
    }
    text
}

fn help(kept: bool, reasons: &[String]) -> &'static str {
    match (kept, reasons.is_empty()) {
        (true, true) => "host.lock keeps no signature of it: look for one with `host update`",
        (true, false) => "look for another one with `host update`",
        (false, true) => {
            "no signature was found: ask whoever publishes it, or name the file that has it with --bundle"
        }
        (false, false) => "ask whoever publishes it, or change the rule if the signer is another one by now",
    }
}
