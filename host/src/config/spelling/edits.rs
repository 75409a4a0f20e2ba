//! Changes of a text, made all at once.
//!
//! Owns how a line or a member of a table is put in or taken out, so that what stands around it stays: comments,
//! indentation, blank lines and the kind of line ends.

use std::ops::Range;

use super::{Respelled, Respelling};
use crate::document::{Entry, Header, Layout};

/// A text, and what is to be changed in it.
pub(super) struct Edits<'a> {
    pub(super) text: &'a str,
    pub(super) layout: &'a Layout,
    pub(super) changes: Vec<Respelling>,
    made: Vec<(Range<usize>, String)>,
}

impl<'a> Edits<'a> {
    pub(super) fn new(text: &'a str, layout: &'a Layout) -> Self {
        Self { text, layout, changes: Vec::new(), made: Vec::new() }
    }

    pub(super) fn replace(&mut self, span: Range<usize>, with: impl Into<String>) {
        self.made.push((span, with.into()));
    }

    pub(super) fn insert(&mut self, at: usize, text: String) {
        self.made.push((at..at, text));
    }

    /// The text with all edits.
    pub(super) fn done(mut self) -> Respelled {
        self.keep_columns();
        // Of several at one place, the first that was asked for comes first.
        self.made.sort_by_key(|(span, _)| (span.start, span.end));
        let (mut text, mut at) = (String::with_capacity(self.text.len()), 0);
        for (span, with) in &self.made {
            text.push_str(self.text.get(at..span.start).unwrap_or_default());
            text.push_str(with);
            at = at.max(span.end);
        }
        text.push_str(self.text.get(at..).unwrap_or_default());
        self.changes.sort_by_key(|change| change.line);
        Respelled { text, changes: self.changes }
    }

    /// Keeps comments behind values in their column, where what stands before them on their line became longer or
    /// shorter. One that is only a space away stays so.
    fn keep_columns(&mut self) {
        let mut paddings = Vec::new();
        for comment in &self.layout.comments {
            let line = self.line_start(comment.start);
            let before = &self.text[line..comment.start];
            let blank = before.len() - before.trim_end_matches(' ').len();
            if blank < 2 || blank == before.len() {
                continue;
            }
            let in_line =
                |span: &Range<usize>| span.start >= line && span.end <= comment.start && !span.is_empty();
            let changed = self.made.iter().filter(|(span, with)| in_line(span) && !with.contains('\n'));
            let (mut shorter, mut longer) = (0, 0);
            for (span, with) in changed.filter(|(_, with)| !with.is_empty()) {
                shorter += span.len().saturating_sub(with.len());
                longer += with.len().saturating_sub(span.len());
            }
            let wanted = (blank + shorter).saturating_sub(longer).max(1);
            if wanted != blank {
                paddings.push((comment.start - blank..comment.start, " ".repeat(wanted)));
            }
        }
        self.made.extend(paddings);
    }

    /// How the lines of the file end.
    pub(super) fn line_end(&self) -> &'static str {
        let first = self.text.find('\n').unwrap_or(0);
        if self.text[..first].ends_with('\r') { "\r\n" } else { "\n" }
    }

    pub(super) fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |end| end + 1)
    }

    /// Where the text of a line ends, before what ends it.
    pub(super) fn end_of_line(&self, at: usize) -> usize {
        let end = self.text[at..].find('\n').map_or(self.text.len(), |end| at + end);
        if self.text[..end].ends_with('\r') { end - 1 } else { end }
    }

    /// Where the next line begins.
    pub(super) fn next_line(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |end| at + end + 1)
    }

    /// Where the comments begin that stand right above a line, or the line itself.
    pub(super) fn comments_above(&self, line: usize) -> usize {
        let mut start = line;
        while let Some(end) = start.checked_sub(1) {
            let above = self.line_start(end);
            if !self.text[above..end].trim_start().starts_with('#') || !self.is_comment_line(above) {
                break;
            }
            start = above;
        }
        start
    }

    /// Whether a line is a comment and not a part of a text that looks like one.
    fn is_comment_line(&self, line: usize) -> bool {
        let begin =
            line + (self.text[line..].len() - self.text[line..].trim_start_matches([' ', '\t']).len());
        self.layout.comments.iter().any(|comment| comment.start == begin)
    }

    pub(super) fn has_comment(&self, span: &Range<usize>) -> bool {
        self.layout.comments.iter().any(|comment| span.contains(&comment.start))
    }

    /// The header under which a place is, and where its part of the file ends.
    pub(super) fn header_of(&self, at: usize) -> (Option<&'a Header>, usize) {
        let after = self.layout.headers.partition_point(|header| header.span.start <= at);
        let end = self.layout.headers.get(after).map_or(self.text.len(), |next| next.span.start);
        (after.checked_sub(1).and_then(|at| self.layout.headers.get(at)), end)
    }

    /// Takes a member out of a table between braces. Comments stay.
    pub(super) fn take_out(&mut self, entry: &Entry, before: Option<&Entry>) {
        let is_blank = |c: char| c == ' ' || c == '\t';
        let mut span = entry.start()..entry.value.end;
        match (&entry.comma, before.and_then(|before| before.comma.clone())) {
            (Some(comma), _) if !self.has_comment(&(span.end..comma.start)) => {
                span.end = comma.end;
                span.end +=
                    self.text[span.end..].len() - self.text[span.end..].trim_start_matches(is_blank).len();
            }
            (Some(comma), _) => self.replace(comma.clone(), ""),
            (None, comma) => {
                self.made.extend(comma.map(|comma| (comma, String::new())));
                span.start = self.text[..span.start].trim_end_matches(is_blank).len();
            }
        }
        self.replace(span, "");
    }

    /// Puts `key = value` behind an entry, in the same table: as a line, or as a member between braces.
    pub(super) fn put_behind(&mut self, entry: &Entry, text: &str) {
        if entry.within.is_some() {
            self.insert(entry.value.end, format!(", {text}"));
        } else {
            let indent = &self.text[self.line_start(entry.start())..entry.start()];
            let line = format!("{}{indent}{text}", self.line_end());
            self.insert(self.end_of_line(entry.value.end), line);
        }
    }
}
