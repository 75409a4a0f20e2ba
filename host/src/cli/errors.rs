//! How errors and warnings look: what is wrong, the lines of the file with the place in them, and what to do.
//!
//! All of them look alike, whether a file is to blame or not. On a terminal lines are broken between words to its width;
//! elsewhere, as in a log, they are not broken at all. What somebody else said, such as a compiler, stays as it is.

use std::fmt;

use console::Term;
use miette::{
    Diagnostic, LabeledSpan, MietteHandler, MietteHandlerOpts, ReportHandler as _, Severity, SourceCode,
};
use textwrap::{WordSeparator, WordSplitter};

use super::say;
use crate::config::ConfigError;

/// An error without a place in a file.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Plain<'a> {
    message: &'a str,
    help: Option<&'a str>,
}

impl Diagnostic for Plain<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
}

/// A problem that stops nothing.
#[derive(Debug)]
struct Warning<'a>(&'a dyn Diagnostic);

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0, f)
    }
}

impl std::error::Error for Warning<'_> {}

impl Diagnostic for Warning<'_> {
    fn severity(&self) -> Option<Severity> {
        Some(Severity::Warning)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.0.labels()
    }
}

/// Says everything that is wrong with a file.
pub(super) fn say_problems(error: &ConfigError) {
    for (problem, what) in error.shown() {
        say(Shown(problem).to_string().trim_end());
        if let Some(details) = &what.details {
            say(details.trim_end());
        }
    }
}

/// Says what is not as it should be with a file that can be used all the same.
pub(super) fn say_warnings(error: &ConfigError) {
    for (problem, _) in error.shown() {
        say(Shown(&Warning(problem)).to_string().trim_end());
    }
}

/// Says an error that is about no place in a file. What to do stands in its second line, set in; more lines than that
/// are what somebody else said.
pub(super) fn say_error(text: &str) {
    let (message, rest) = text.split_once('\n').unwrap_or((text, ""));
    let help = rest.strip_prefix("  ").filter(|help| !help.contains('\n'));
    say(Shown(&Plain { message, help }).to_string().trim_end());
    if help.is_none() && !rest.is_empty() {
        say(rest);
    }
}

struct Shown<'a>(&'a dyn Diagnostic);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        handler().debug(self.0, f)
    }
}

fn handler() -> MietteHandler {
    let term = Term::stderr();
    let options = MietteHandlerOpts::new()
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_lines(term.is_term());
    let options = if term.is_term() { options.width(usize::from(term.size().1)) } else { options };
    options.build()
}
