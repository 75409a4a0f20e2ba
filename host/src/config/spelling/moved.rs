//! Keys that belong to another table now.

use super::edits::Edits;
use super::{Respelling, SHOWN, SHOWN_NOW, STRUCTURED, STRUCTURED_NOW};
use crate::document::Entry;

/// Where a key can be put into a table: behind one of its entries.
struct Place<'a> {
    entry: &'a Entry,
    /// What the entry writes before its key in the table: `tools.web.`, or nothing below the header of the table.
    prefix: &'a str,
}

impl<'a> Edits<'a> {
    pub(super) fn move_shown(&mut self) {
        let layout = self.layout;
        for (number, entry) in layout.entries.iter().enumerate().filter(|(_, entry)| entry.is_at(SHOWN)) {
            let change = Respelling::new(self.text, entry.start(), "limits.shown", SHOWN_NOW);
            let tool: Vec<&str> = entry.path[..2].iter().map(String::as_str).collect();
            let value = &self.text[entry.value.clone()];
            let moved = match (entry.keys.as_slice(), entry.within.map(|table| &layout.entries[table])) {
                ([.., limits, shown], _) => {
                    self.replace(limits.start..shown.end, SHOWN_NOW);
                    true
                }
                (_, Some(table)) => self.out_of_braces(entry, number, table, value),
                (_, None) => match self.place(&tool, &["source", "agent"]) {
                    Some(place) => {
                        let key = format!("{}{SHOWN_NOW}", place.prefix);
                        self.move_line(entry, &place, &key);
                        self.drop_header(entry);
                        true
                    }
                    None => false,
                },
            };
            if moved {
                self.changes.push(change);
            }
        }
    }

    /// `limits = { shown = … }`
    fn out_of_braces(&mut self, entry: &Entry, number: usize, table: &Entry, value: &str) -> bool {
        let Some(key) = table.keys.last() else { return false };
        let beside = |other: &&Entry| other.within == entry.within && other.path != entry.path;
        if self.layout.entries.iter().any(|other| beside(&other)) || self.has_comment(&table.value) {
            let before = self.layout.entries[..number].iter().rfind(beside);
            self.take_out(entry, before);
            let prefix = &self.text[table.start()..key.start];
            self.put_behind(table, &format!("{prefix}{SHOWN_NOW} = {value}"));
        } else {
            self.replace(key.start..table.value.end, format!("{SHOWN_NOW} = {value}"));
        }
        true
    }

    pub(super) fn move_structured_output(&mut self) {
        let layout = self.layout;
        let Some(number) = layout.entries.iter().position(|entry| entry.is_at(STRUCTURED)) else { return };
        let entry = &layout.entries[number];
        let value = &self.text[entry.value.clone()];
        let line = format!("{STRUCTURED_NOW} = {value}");
        if let Some(place) = self.place(&["agent"], &["output_schema", "output_schema_file"]) {
            let key = format!("{}{STRUCTURED_NOW}", place.prefix);
            if entry.within.is_none() && place.entry.within.is_none() {
                self.move_line(entry, &place, &key);
            } else {
                self.put_behind(place.entry, &format!("{key} = {value}"));
                self.leave(entry, number);
            }
        } else if let Some(header) =
            layout.headers.iter().find(|it| it.path.first().is_some_and(|it| it == "agent"))
        {
            // The table is there by those below it alone.
            let at = self.comments_above(self.line_start(header.span.start));
            let end = self.line_end();
            self.insert(at, format!("[agent]{end}{line}{end}{end}"));
            self.leave(entry, number);
        } else {
            return;
        }
        let names = ["structured_output in [model]", "structured_output in [agent]"];
        self.changes.push(Respelling::new(self.text, entry.start(), names[0], names[1]));
        if value == "true" {
            self.say_no_to_fallbacks();
        }
    }

    /// Takes an entry out, and leaves comments where they are.
    fn leave(&mut self, entry: &Entry, number: usize) {
        if entry.within.is_some() {
            let before = self.layout.entries[..number].iter().rfind(|other| other.within == entry.within);
            self.take_out(entry, before);
            return;
        }
        let line = self.line_start(entry.start());
        let end = self.next_line(entry.value.end);
        if self.has_comment(&(entry.value.end..end)) {
            let comment =
                self.text[entry.value.end..].len() - self.text[entry.value.end..].trim_start().len();
            self.replace(entry.start()..entry.value.end + comment, "");
        } else {
            self.replace(line..end, "");
        }
    }

    /// What `[model]` said held for that model alone.
    fn say_no_to_fallbacks(&mut self) {
        let layout = self.layout;
        for provider in layout.entries.iter().filter(|it| it.is_at(&["model", "fallback", "*", "provider"])) {
            let own = ["model", "fallback", provider.path[2].as_str(), STRUCTURED_NOW];
            let is_scripted = self.text[provider.value.clone()].trim_matches(['"', '\'']) == "scripted";
            let Some(key) = provider.keys.last() else { continue };
            if !is_scripted && !layout.entries.iter().any(|entry| entry.is_at(&own)) {
                let prefix = &self.text[provider.start()..key.start];
                self.put_behind(provider, &format!("{prefix}{STRUCTURED_NOW} = false"));
            }
        }
    }

    /// A place in a table: behind the last line of one of these keys, or else behind the last line that the table has
    /// under one header.
    fn place(&self, table: &[&str], beside: &[&str]) -> Option<Place<'a>> {
        let layout = self.layout;
        let is_in = |entry: &&Entry| {
            entry.path.len() > table.len()
                && entry.is_below(table)
                && entry.key_in(table.len()).is_some()
                // What is in a list, or in another table between braces, is farther away.
                && entry.within.is_none_or(|outer| layout.entries[outer].path.len() <= table.len())
        };
        let named = |entry: &&Entry| beside.contains(&entry.path[table.len()].as_str());
        let beside = layout.entries.iter().filter(is_in).rfind(named);
        let first = beside.or_else(|| layout.entries.iter().find(is_in))?;
        let (_, end) = self.header_of(first.start());
        let last = || {
            let here = |entry: &&Entry| entry.start() < end && entry.within == first.within;
            layout.entries.iter().filter(is_in).rfind(here)
        };
        let entry = if beside.is_some() && table.len() == 1 { first } else { last().unwrap_or(first) };
        let key = entry.keys.get(entry.key_in(table.len())?)?;
        Some(Place { entry, prefix: &self.text[entry.start()..key.start] })
    }

    /// Moves a line, with the comments right above it and behind it.
    fn move_line(&mut self, entry: &Entry, place: &Place<'_>, key: &str) {
        let line = self.line_start(entry.start());
        let (start, end) = (self.comments_above(line), self.end_of_line(entry.value.end));
        let Some(last) = entry.keys.last() else { return };
        // A comment behind it stays in its column.
        let value = &self.text[last.end..entry.value.end];
        let behind = &self.text[entry.value.end..end];
        let blank = behind.len() - behind.trim_start_matches(' ').len();
        let wanted = (blank + last.end).saturating_sub(entry.start() + key.len());
        let blank = if blank < 2 || blank == behind.len() { blank } else { wanted.max(1) };
        let (above, blank) = (&self.text[start..entry.start()], " ".repeat(blank));
        let text = [above, key, value, &blank, behind.trim_start_matches(' ')].concat();
        self.replace(start..self.next_line(end), "");
        let at = self.end_of_line(place.entry.value.end);
        self.insert(at, format!("{}{text}", self.line_end()));
    }

    /// Takes the header out under which an entry stood that was moved, if nothing else belongs to it.
    fn drop_header(&mut self, entry: &Entry) {
        let (Some(header), body_end) = self.header_of(entry.start()) else { return };
        let is_other = |other: &&Entry| {
            let at = other.start();
            at > header.span.start && at < body_end && other.path != entry.path
        };
        if self.layout.entries.iter().any(|other| is_other(&other)) {
            return;
        }
        let line = self.line_start(header.span.start);
        let moved = self.comments_above(self.line_start(entry.start()))..self.next_line(entry.value.end);
        let next = self.comments_above(self.line_start(body_end.min(self.text.len()))).max(moved.end);
        let next = if body_end == self.text.len() { body_end } else { next };
        let has_comments = self.comments_above(line) < line
            || self.has_comment(&(header.span.end..moved.start))
            || self.has_comment(&(moved.end..next));
        if has_comments {
            return;
        }
        let mut start = line;
        if next == self.text.len() {
            // No blank lines are left at the end of the file.
            start = self.text[..line].trim_end().len();
            start = self.next_line(start);
        }
        self.replace(start..moved.start, "");
        self.replace(moved.end..next, "");
    }
}
