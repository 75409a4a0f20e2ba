//! What is wrong with an agent.toml, or a file like it, and how it is shown.
//!
//! Owns the look of a message: which line, which characters, what to do. Which problems there are is decided by `form`
//! and whoever knows what the values mean, what of a file may be shown by `shown`. Its invariant is that any text can
//! be shown: spans are cut to the text, and what is shown of it is bounded.

use std::ops::Range;
use std::path::{Path, PathBuf};

use miette::{Diagnostic, LabeledSpan, SourceCode};

use super::excerpt::Excerpt;
use super::shown::shown;
use crate::message::is_unseen;

/// More problems than this are one mistake made often.
const PROBLEMS_SHOWN_MAX: usize = 20;
/// Text quoted from the file in a message; a line holds no more.
const QUOTE_CHARS_MAX: usize = 60;

/// What is wrong with a file: one or more problems, each with its place.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", self.summary())]
pub struct ConfigError {
    path: PathBuf,
    /// In the order in which they stand in the file; never empty.
    problems: Vec<Placed>,
}

/// A problem, and where it is.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", self.in_file())]
struct Placed {
    /// The name of the file; `None` if the problem itself names it, or is about no file.
    file: Option<String>,
    problem: Problem,
    /// `None` if it is about the file as a whole.
    place: Option<Place>,
}

/// Where a problem is.
#[derive(Clone, Debug)]
struct Place {
    /// From 1.
    line: usize,
    /// In characters, from 1.
    column: usize,
    excerpt: Excerpt,
}

/// One thing that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
    /// The bytes of the file it is about; `None` if it is about the file as a whole.
    pub span: Option<Range<usize>>,
    /// What somebody else said about it, in lines: a compiler.
    pub details: Option<String>,
}

impl Problem {
    pub(crate) fn new(span: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into(), span: Some(span), details: None }
    }
}

impl ConfigError {
    /// An error about a file whose text is not at hand.
    pub(crate) fn of_file(path: &Path, message: String, help: &str) -> Self {
        let problem = Problem { message, help: help.to_owned(), span: None, details: None };
        Self { path: path.to_owned(), problems: vec![Placed { file: None, problem, place: None }] }
    }

    /// An error about places in a text. Beyond [`PROBLEMS_SHOWN_MAX`] problems, only their number is kept.
    pub(crate) fn of_text(path: &Path, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.span.as_ref().map_or(0, |span| span.start));
        let hidden = problems.len().saturating_sub(PROBLEMS_SHOWN_MAX);
        problems.truncate(PROBLEMS_SHOWN_MAX);
        let (name, shown) = (path.to_string_lossy(), shown(text));
        let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let placed = |mut problem: Problem| {
            let place = problem.span.as_mut().map(|span| {
                *span = within(text, span);
                let (line, column) = place(text, span.start);
                Place { line, column, excerpt: Excerpt::new(&name, &shown, span, (line, column)) }
            });
            Placed { file: Some(file.clone()), problem, place }
        };
        let mut problems: Vec<Placed> = problems.into_iter().map(placed).collect();
        if hidden > 0 {
            let (message, help) =
                (format!("and {hidden} more problems"), "correct those above first".to_owned());
            let problem = Problem { message, help, span: None, details: None };
            problems.push(Placed { file: None, problem, place: None });
        }
        Self { path: path.to_owned(), problems }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything that is wrong, without the text: a line for each problem.
    #[must_use]
    pub fn in_lines(&self) -> String {
        let lines =
            self.problems.iter().map(|Placed { problem: Problem { message, help, .. }, place, .. }| {
                let place = place.as_ref().map(|place| format!("line {}: ", place.line)).unwrap_or_default();
                let help = if help.is_empty() { String::new() } else { format!(" ({help})") };
                format!("{place}{message}{help}")
            });
        lines.collect::<Vec<_>>().join("\n  ")
    }

    /// Everything that is wrong.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().map(|placed| &placed.problem)
    }

    /// Everything that is wrong, each with its place, to be shown one after the other.
    pub fn shown(&self) -> impl Iterator<Item = (&dyn Diagnostic, &Problem)> {
        self.problems.iter().map(|placed| (placed as &dyn Diagnostic, &placed.problem))
    }

    /// The only problem, if there is one alone: it is shown without a headline.
    fn alone(&self) -> Option<&Placed> {
        if let [problem] = self.problems.as_slice() { Some(problem) } else { None }
    }

    fn summary(&self) -> String {
        let file = self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy();
        match self.alone() {
            None => format!("{file} has several problems"),
            Some(placed) => placed.in_file(),
        }
    }
}

impl Placed {
    /// The problem, behind the place at which it is.
    fn in_file(&self) -> String {
        let Self { file, problem, place } = self;
        match (file, place) {
            (None, _) => problem.to_string(),
            (Some(file), None) => format!("{file}: {problem}"),
            (Some(file), Some(Place { line, column, .. })) => format!("{file}:{line}:{column}: {problem}"),
        }
    }
}

impl Diagnostic for ConfigError {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.alone()?.help()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.alone()?.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.alone()?.labels()
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        if self.alone().is_some() {
            return None;
        }
        Some(Box::new(self.problems.iter().map(|problem| problem as &dyn Diagnostic)))
    }
}

impl Diagnostic for Placed {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        let help = &self.problem.help;
        (!help.is_empty()).then(|| Box::new(help) as Box<dyn std::fmt::Display + 'a>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.place.as_ref().map(|place| &place.excerpt as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.place.as_ref()?.excerpt.span();
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some("here".to_owned()), span))))
    }
}

/// Line and column of a byte, both from 1.
pub(crate) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The part of a span that is on its first line and in the text, between whole characters. What stands at
/// the end of a file is shown at its last character, because past it there is no line to show.
fn within(text: &str, span: &Range<usize>) -> Range<usize> {
    let mut start = text.floor_char_boundary(span.start.min(text.len()));
    if start == text.len() {
        start = text.trim_end().char_indices().next_back().map_or(0, |(at, _)| at);
    }
    let line_end = text[start..].find(['\n', '\r']).map_or(text.len(), |at| start + at);
    start..text.ceil_char_boundary(span.end.min(line_end)).max(start)
}

/// Text from the file as a message quotes it: on one line, of bounded length, without control characters.
pub(crate) fn quote(text: &str) -> String {
    let mut chars = text.chars();
    let mut quoted: String = chars.by_ref().take(QUOTE_CHARS_MAX).map(seen).collect();
    if chars.next().is_some() {
        quoted.push('…');
    }
    quoted
}

/// A character as it can be seen, on one line.
fn seen(c: char) -> String {
    if is_unseen(c) { c.escape_unicode().to_string() } else { c.escape_debug().to_string() }
}

/// Which of the allowed names was probably meant.
pub(crate) fn meant<'a>(found: &str, allowed: &[&'a str]) -> Option<&'a str> {
    /// Names less alike than this are not worth suggesting.
    const LIKENESS_MIN: f64 = 0.75;
    // Nothing longer than a quotation is a typing error, and comparing takes time by length.
    let short: String = found.chars().take(QUOTE_CHARS_MAX).flat_map(char::to_lowercase).collect();
    let likeness = |name: &&str| strsim::jaro_winkler(&short, &name.to_lowercase());
    let best = allowed.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    best.filter(|name| likeness(name) >= LIKENESS_MIN)
}

/// Says which of the allowed names was probably meant, and which there are.
pub(crate) fn suggest(found: &str, allowed: &[&str]) -> String {
    let list = allowed.join(", ");
    match meant(found, allowed) {
        Some(name) => format!("did you mean `{name}`? Allowed here: {list}"),
        None => format!("allowed here: {list}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions() {
        let allowed = ["max_turns", "wall_time"];
        assert_eq!(
            suggest("max_turn", &allowed),
            "did you mean `max_turns`? Allowed here: max_turns, wall_time"
        );
        assert!(suggest("Wall-Time", &allowed).starts_with("did you mean `wall_time`?"));
        assert_eq!(suggest("colour", &allowed), "allowed here: max_turns, wall_time");
        assert_eq!(suggest("x", &[]), "allowed here: ");
    }

    #[test]
    fn spans_stay_on_their_line_and_in_the_text() {
        assert_eq!(within("a = 1\nb", &(4..7)), 4..5);
        assert_eq!(within("é", &(1..1)), 0..2);
        assert_eq!(within("a =\n", &(4..4)), 2..3);
        assert_eq!(within("", &(7..9)), 0..0);
    }

    #[test]
    fn places_count_characters_from_one() {
        assert_eq!(place("", 0), (1, 1));
        assert_eq!(place("a\nüb", 4), (2, 2));
        assert_eq!(place("a", 9), (1, 2));
    }

    #[test]
    fn a_quotation_is_short_and_on_one_line() {
        assert_eq!(quote("a\x1b\nb"), "a\\u{1b}\\nb");
        assert_eq!(quote(&"x".repeat(61)), format!("{}…", "x".repeat(60)));
    }

    #[test]
    fn many_problems_are_counted_not_shown() {
        let problems = vec![Problem::new(0..1, "wrong", "do right"); PROBLEMS_SHOWN_MAX + 5];
        let error = ConfigError::of_text(Path::new("agent.toml"), "x", problems);
        assert_eq!(error.problems().count(), PROBLEMS_SHOWN_MAX + 1);
        assert_eq!(error.problems().last().map(|last| last.message.as_str()), Some("and 5 more problems"));
    }
}
