use std::ops::Range;
use std::path::{Path, PathBuf};

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

/// What is wrong with an agent.toml: one or more problems, each with its place.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", self.summary())]
pub struct ConfigError {
    path: PathBuf,
    source_text: Option<NamedSource<String>>,
    first: Problem,
    others: Vec<ConfigError>,
}

/// One thing that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
    /// The bytes of the file it is about; none if it is about the file as a whole.
    pub span: Option<Range<usize>>,
}

impl ConfigError {
    pub(super) fn unreadable(path: &Path, reason: &str) -> Self {
        let first = Problem {
            message: format!("cannot read {}: {reason}", path.display()),
            help: "give the path of an agent.toml; `host init DIR` writes a new one".to_owned(),
            span: None,
        };
        Self { path: path.to_owned(), source_text: None, first, others: Vec::new() }
    }

    /// Everything that is wrong.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        std::iter::once(&self.first).chain(self.others.iter().map(|other| &other.first))
    }

    /// The line and column a problem is at, both from 1.
    fn place(&self) -> Option<(usize, usize)> {
        let text = self.source_text.as_ref()?.inner();
        let before = text.get(..self.first.span.as_ref()?.start)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
    }

    fn summary(&self) -> String {
        match self.place() {
            Some((line, column)) => format!("{}:{line}:{column}: {}", self.path.display(), self.first.message),
            None => self.first.message.clone(),
        }
    }
}

impl Diagnostic for ConfigError {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        Some(Box::new(&self.first.help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source_text.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.first.span.clone()?;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some("here".to_owned()), span))))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.others.iter().map(|other| other as &dyn Diagnostic)))
    }
}

/// The file that errors are about.
pub(super) struct Source<'a> {
    text: &'a str,
    path: &'a Path,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str, path: &'a Path) -> Self {
        Self { text, path }
    }

    /// An error for at least one problem; they are shown in the order in which they stand in the file.
    pub(super) fn problems(&self, mut problems: Vec<Problem>) -> ConfigError {
        problems.sort_by_key(|problem| problem.span.as_ref().map_or(0, |span| span.start));
        let named = NamedSource::new(self.path.to_string_lossy(), self.text.to_owned()).with_language("TOML");
        let one = |first| ConfigError {
            path: self.path.to_owned(),
            source_text: Some(named.clone()),
            first,
            others: Vec::new(),
        };
        let mut errors = problems.into_iter().map(one);
        let first = errors.next().unwrap_or_else(|| ConfigError::unreadable(self.path, "it is not valid"));
        ConfigError { others: errors.collect(), ..first }
    }

    pub(super) fn toml_error(&self, error: &toml::de::Error) -> ConfigError {
        let message = error.message().to_owned();
        let help = unknown_key_help(&message).unwrap_or_else(|| {
            "`host schema` prints the form of the file; editors check it by the `#:schema` line".to_owned()
        });
        self.problems(vec![Problem { message, help, span: error.span() }])
    }
}

/// Help for a key, or a variant, that serde does not know. serde puts both it and what was expected between
/// backticks, in every version so far; a wording without them only gives less help.
fn unknown_key_help(message: &str) -> Option<String> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let found = quoted.next()?;
    let allowed: Vec<&str> = quoted.collect();
    Some(suggest(found, &allowed))
}

/// Says which of the allowed names was probably meant, and which there are.
pub(super) fn suggest(found: &str, allowed: &[&str]) -> String {
    /// Names less alike than this are not worth suggesting.
    const LIKENESS_MIN: f64 = 0.7;
    let list = allowed.join(", ");
    let likeness = |name: &&str| strsim::jaro_winkler(found, name);
    let best = allowed.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match best.filter(|name| likeness(name) >= LIKENESS_MIN) {
        Some(name) => format!("did you mean `{name}`? Allowed here: {list}"),
        None => format!("allowed here: {list}"),
    }
}
