//! Where what a TOML file says stands in its text: the headers, the keys, the values and the comments.
//!
//! The parser of values forgets how they were written. What changes a file in place asks here, so that it can leave
//! everything else as it is. It reads texts that were found to be TOML before; of any other it says what it sees.

use std::collections::HashMap;
use std::ops::Range;

use toml_parser::Source;
use toml_parser::parser::{Event, EventKind, parse_document};

/// A file, piece by piece, in the order of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) headers: Vec<Header>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) comments: Vec<Range<usize>>,
}

/// `[a.b]` or `[[a.b]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The keys of the table, and the places in the lists on the way to it.
    pub(crate) path: Vec<String>,
    /// From bracket to bracket.
    pub(crate) span: Range<usize>,
}

/// `a.b = 1`, on a line or in a table between braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The keys from the top of the file down to the value, and the places in the lists on the way to it.
    pub(crate) path: Vec<String>,
    /// Those of them that are written here: the last ones.
    pub(crate) keys: Vec<Range<usize>>,
    pub(crate) value: Range<usize>,
    /// The entry whose value it is a part of; `None` if it has a line of its own.
    pub(crate) within: Option<usize>,
    /// The comma behind it.
    pub(crate) comma: Option<Range<usize>>,
}

impl Entry {
    /// The place of the first of its keys.
    pub(crate) fn start(&self) -> usize {
        self.keys.first().map_or(self.value.start, |key| key.start)
    }

    /// Whether it stands at this path; `*` fits any key and any place.
    pub(crate) fn is_at(&self, path: &[&str]) -> bool {
        self.path.len() == path.len() && self.is_below(path)
    }

    /// Whether it stands at this path or below.
    pub(crate) fn is_below(&self, path: &[&str]) -> bool {
        self.path.len() >= path.len()
            && self.path.iter().zip(path).all(|(key, wanted)| *wanted == "*" || key == wanted)
    }

    /// The first of its own keys that is inside of the table at a path of that length, if that table is not named by
    /// other keys alone.
    pub(crate) fn key_in(&self, length: usize) -> Option<usize> {
        length.checked_sub(self.path.len() - self.keys.len()).filter(|at| *at < self.keys.len())
    }
}

impl Layout {
    pub(crate) fn of(text: &str) -> Self {
        let source = Source::new(text);
        let tokens = source.lex().into_vec();
        let mut events: Vec<Event> = Vec::new();
        parse_document(&tokens, &mut |event: Event| events.push(event), &mut ());
        let mut walk =
            Walk { source, layout: Self::default(), events: Vec::new(), at: 0, lists: HashMap::new() };
        for event in events {
            match event.kind() {
                EventKind::Comment => walk.layout.comments.push(span(&event)),
                EventKind::Whitespace | EventKind::Newline | EventKind::KeySep | EventKind::Error => {}
                _ => walk.events.push(event),
            }
        }
        walk.document();
        walk.layout
    }
}

fn span(event: &Event) -> Range<usize> {
    event.span().start()..event.span().end()
}

/// The way through what the parser says.
struct Walk<'i> {
    source: Source<'i>,
    layout: Layout,
    events: Vec<Event>,
    at: usize,
    /// How many items each list of tables has so far.
    lists: HashMap<Vec<String>, usize>,
}

impl Walk<'_> {
    fn next(&mut self) -> Option<Event> {
        let event = self.events.get(self.at).copied();
        self.at += 1;
        event
    }

    fn document(&mut self) {
        let mut table: Vec<String> = Vec::new();
        while let Some(event) = self.next() {
            match event.kind() {
                EventKind::StdTableOpen | EventKind::ArrayTableOpen => table = self.header(&event),
                EventKind::SimpleKey => self.entry(&table, &event, None),
                _ => {}
            }
        }
    }

    fn header(&mut self, open: &Event) -> Vec<String> {
        let mut path: Vec<String> = Vec::new();
        let mut end = span(open).end;
        while let Some(event) = self.next() {
            end = span(&event).end;
            if event.kind() != EventKind::SimpleKey {
                break;
            }
            // Below a list of tables, a header means the last of them.
            path.extend(
                self.lists.get(&path).and_then(|count| count.checked_sub(1)).map(|at| at.to_string()),
            );
            path.push(self.key(&event));
        }
        if open.kind() == EventKind::ArrayTableOpen {
            let count = self.lists.entry(path.clone()).or_default();
            *count += 1;
            path.push((*count - 1).to_string());
        }
        self.layout.headers.push(Header { path: path.clone(), span: span(open).start..end });
        path
    }

    fn entry(&mut self, table: &[String], first: &Event, within: Option<usize>) {
        let (mut path, mut keys) = (table.to_vec(), Vec::new());
        let mut key = Some(*first);
        while let Some(event) = key.filter(|event| event.kind() == EventKind::SimpleKey) {
            path.push(self.key(&event));
            keys.push(span(&event));
            key = self.next();
        }
        let number = self.layout.entries.len();
        let value = span(first).end..span(first).end;
        self.layout.entries.push(Entry { path: path.clone(), keys, value, within, comma: None });
        let value = self.value(&path, number);
        if let Some(entry) = self.layout.entries.get_mut(number) {
            entry.value = value;
        }
    }

    fn value(&mut self, path: &[String], number: usize) -> Range<usize> {
        let Some(open) = self.next() else { return 0..0 };
        let start = span(&open).start;
        match open.kind() {
            EventKind::ArrayOpen => start..self.list(path, number),
            EventKind::InlineTableOpen => start..self.inline_table(path, number),
            _ => span(&open),
        }
    }

    /// Where the list ends.
    fn list(&mut self, path: &[String], number: usize) -> usize {
        let mut count: usize = 0;
        while let Some(event) = self.next() {
            match event.kind() {
                EventKind::ArrayClose => return span(&event).end,
                EventKind::ValueSep => count += 1,
                _ => {
                    self.at -= 1;
                    let path = [path, &[count.to_string()]].concat();
                    self.value(&path, number);
                }
            }
        }
        self.source.input().len()
    }

    /// Where the table ends.
    fn inline_table(&mut self, path: &[String], number: usize) -> usize {
        let mut last = None;
        while let Some(event) = self.next() {
            match event.kind() {
                EventKind::InlineTableClose => return span(&event).end,
                EventKind::SimpleKey => {
                    last = Some(self.layout.entries.len());
                    self.entry(path, &event, Some(number));
                }
                _ => {
                    if let Some(entry) = last.and_then(|last: usize| self.layout.entries.get_mut(last)) {
                        entry.comma = Some(span(&event));
                    }
                }
            }
        }
        self.source.input().len()
    }

    fn key(&self, event: &Event) -> String {
        let mut key = String::new();
        if let Some(raw) = self.source.get(event) {
            raw.decode_key(&mut key, &mut ());
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# first
a = 1 # one
b.\"c d\" = { e = [{ f = 'x' }, { f = 'y', g.h = 2 }], }
[t]
k = []
[[l]]
m = 1
[[l]]
[l.n]
o = 2
";

    #[test]
    fn every_key_has_its_way_and_its_place() {
        let layout = Layout::of(TEXT);
        let said = |entry: &Entry| (entry.path.join("/"), &TEXT[entry.start()..entry.value.end]);
        let entries: Vec<_> = layout.entries.iter().map(said).collect();
        let expected = [
            ("a", "a = 1"),
            ("b/c d", "b.\"c d\" = { e = [{ f = 'x' }, { f = 'y', g.h = 2 }], }"),
            ("b/c d/e", "e = [{ f = 'x' }, { f = 'y', g.h = 2 }]"),
            ("b/c d/e/0/f", "f = 'x'"),
            ("b/c d/e/1/f", "f = 'y'"),
            ("b/c d/e/1/g/h", "g.h = 2"),
            ("t/k", "k = []"),
            ("l/0/m", "m = 1"),
            ("l/1/n/o", "o = 2"),
        ];
        assert_eq!(entries, expected.map(|(path, text)| (path.to_owned(), text)));
        let headers: Vec<_> =
            layout.headers.iter().map(|it| (it.path.join("/"), &TEXT[it.span.clone()])).collect();
        let expected = [("t", "[t]"), ("l/0", "[[l]]"), ("l/1", "[[l]]"), ("l/1/n", "[l.n]")];
        assert_eq!(headers, expected.map(|(path, text)| (path.to_owned(), text)));
        let comments: Vec<&str> = layout.comments.iter().map(|it| &TEXT[it.clone()]).collect();
        assert_eq!(comments, ["# first", "# one"]);
        let within: Vec<_> = layout.entries.iter().map(|entry| entry.within).collect();
        assert_eq!(within, [None, None, Some(1), Some(2), Some(2), Some(2), None, None, None]);
        let commas: Vec<bool> = layout.entries.iter().map(|entry| entry.comma.is_some()).collect();
        assert_eq!(commas, [false, false, true, false, true, false, false, false, false]);
    }
}
