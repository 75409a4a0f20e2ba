//! The part of a file that is shown beside a mistake in it: its line, cut to what a person can look at, and the lines
//! around.
//!
//! A file may be one line of a megabyte. What prints excerpts counts columns in 16 bits and panics beyond, and a
//! window full of blanks shows nothing. So an excerpt is cut before it is printed.

use std::ops::Range;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

/// How many characters of a line are shown.
const LINE_CHARS_MAX: usize = 240;

/// How many characters of its line are shown before a mistake.
const BEFORE_CHARS_MAX: usize = 80;

/// What stands for a part of a line that is left out.
const CUT: char = '…';

/// Lines of a file, and the place of a mistake in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// The file.
    name: String,
    /// The lines, cut.
    text: String,
    /// How many there are.
    lines: usize,
    /// The place in the file of the first of them, from 0.
    first_line: usize,
    /// The place of the mistake in the file, from 1.
    place: (usize, usize),
    /// The bytes of `text` that the mistake is about.
    span: Range<usize>,
}

impl Excerpt {
    /// What is shown of a text around a span, which lies on one line of it. The place is that of the span.
    pub(super) fn new(name: &str, text: &str, span: &Range<usize>, place: (usize, usize)) -> Self {
        let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let end = line_end(text, span.start);
        let line = &text[start..end];
        let (from, to) = (span.start - start, span.end.clamp(span.start, end) - start);
        let mut excerpt = Self {
            name: name.to_owned(),
            text: String::new(),
            lines: 0,
            first_line: place.0.saturating_sub(1),
            place,
            span: 0..0,
        };
        if let Some(before) = start.checked_sub(1) {
            let start = text[..before].rfind('\n').map_or(0, |at| at + 1);
            excerpt.first_line = excerpt.first_line.saturating_sub(1);
            excerpt.push(&text[start..before]);
        }
        excerpt.push_around(line, from..to);
        if end < text.len() {
            excerpt.push(&text[end + 1..line_end(text, end + 1)]);
        }
        excerpt
    }

    /// The bytes of the excerpt that the mistake is about.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// A line beside that of the mistake.
    fn push(&mut self, line: &str) {
        let kept = after(line, 0, LINE_CHARS_MAX);
        self.text.push_str(&line[..kept]);
        self.end_line(kept < line.len());
    }

    /// The line of the mistake, of which both ends may be cut.
    fn push_around(&mut self, line: &str, span: Range<usize>) {
        let start = before(line, span.start, BEFORE_CHARS_MAX);
        let end = after(line, start, LINE_CHARS_MAX);
        if start > 0 {
            self.text.push(CUT);
        }
        let shift = |at: usize| self.text.len() + at.min(end) - start;
        self.span = shift(span.start)..shift(span.end);
        self.text.push_str(&line[start..end]);
        self.end_line(end < line.len());
    }

    fn end_line(&mut self, cut: bool) {
        if cut {
            self.text.push(CUT);
        }
        self.text.push('\n');
        self.lines += 1;
    }
}

impl SourceCode for Excerpt {
    /// All of it: it is what is to be shown, however many lines are asked for.
    fn read_span<'a>(
        &'a self,
        _: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        // Without lines around, only the place is asked for.
        let (line, column) = match (lines_before, lines_after) {
            (0, 0) => (self.place.0.saturating_sub(1), self.place.1.saturating_sub(1)),
            (_, _) => (self.first_line, 0),
        };
        let all = SourceSpan::from(0..self.text.len());
        let text = self.text.as_bytes();
        let contents = MietteSpanContents::new_named(self.name.clone(), text, all, line, column, self.lines);
        Ok(Box::new(contents.with_language("TOML")))
    }
}

/// Where the line ends on which a byte is.
fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |end| at + end)
}

/// The byte that is so many characters before another one.
fn before(line: &str, at: usize, chars: usize) -> usize {
    line[..at].char_indices().rev().take(chars).last().map_or(at, |(start, _)| start)
}

/// The byte that is so many characters after another one.
fn after(line: &str, at: usize, chars: usize) -> usize {
    line[at..].char_indices().nth(chars).map_or(line.len(), |(end, _)| at + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(text: &str, span: Range<usize>) -> (String, String) {
        let excerpt = Excerpt::new("a.toml", text, &span, (1, 1));
        let marked = excerpt.text[excerpt.span()].to_owned();
        (excerpt.text, marked)
    }

    #[test]
    fn a_line_is_shown_with_those_around() {
        let (text, marked) = excerpt("a\nbc\nd\ne", 2..4);
        assert_eq!((text.as_str(), marked.as_str()), ("a\nbc\nd\n", "bc"));
        assert_eq!(excerpt("", 0..0), ("\n".to_owned(), String::new()));
        assert_eq!(excerpt("a\n", 0..1), ("a\n\n".to_owned(), "a".to_owned()));
    }

    #[test]
    fn a_long_line_is_cut_around_the_mistake() {
        let long = "é".repeat(100_000);
        let (text, marked) = excerpt(&format!("{long}\n{long}XY{long}\n{long}"), 400_001..400_003);
        assert_eq!(marked, "XY");
        let lines: Vec<&str> = text.lines().collect();
        let cut = |n: usize| "é".repeat(n);
        assert_eq!(lines[0], format!("{}…", cut(LINE_CHARS_MAX)));
        assert_eq!(lines[1], format!("…{}XY{}…", cut(80), cut(LINE_CHARS_MAX - 82)));
        assert_eq!((lines[2], lines.len()), (lines[0], 3));
        let (_, marked) = excerpt(&long, 0..long.len());
        assert_eq!(marked, cut(LINE_CHARS_MAX), "of what is marked, too");
    }
}
