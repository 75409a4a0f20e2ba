//! Markdown, drawn on a terminal: what a model says, as it is meant to be seen.
//!
//! Owns how headings, lists, code, tables and links look. The text is foreign: invariants are that no escape and no
//! control character of it arrives at the terminal, also where Markdown writes it as an entity; that what hides or
//! reorders text is left out; that the address of a link is always to be seen; and that no line is wider than the
//! terminal. It cannot fail: what is no Markdown is a paragraph.

mod flow;
mod frame;
mod table;

use std::borrow::Cow;

use console::{Style, measure_text_width};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::message::{clean, spelled_out};
use flow::Flow;
use frame::{Frame, prefix};
use table::Table;

/// Narrower than this, nothing is set in: what is left of a line would hold no word.
const ROOM_MIN: usize = 10;

/// A longer text is shown as it is: nobody reads it, and drawing it would take seconds.
const DRAWN_BYTES_MAX: usize = 256 * 1024;

/// Code is set in by so much, so that it is told from text also without colours.
const CODE_INDENT: usize = 2;

/// As wide as a tab is in code.
const TAB: &str = "    ";

/// The lines of a text, each no wider than `width`. `base` is the style of plain text, and says whether there are any
/// colours.
pub(in crate::cli) fn drawn(text: &str, width: usize, base: &Style) -> Vec<String> {
    let width = width.max(ROOM_MIN);
    let text = cleaned(text);
    let mut drawing = Drawing::new(width, base);
    if text.len() > DRAWN_BYTES_MAX {
        for line in text.lines() {
            drawing.flow.push(base, line);
            drawing.flow.end_line();
        }
        drawing.end_block();
        return drawing.lines;
    }
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    for event in Parser::new_ext(&text, options) {
        drawing.take(event);
    }
    drawing.end_block();
    drawing.lines
}

/// Foreign text, with nothing in it that a terminal could take for a command.
fn cleaned(text: &str) -> Cow<'_, str> {
    match clean(text) {
        Cow::Borrowed(text) if !text.contains(is_line_end) => Cow::Borrowed(text),
        text => Cow::Owned(text.replace(is_line_end, "\n")),
    }
}

/// Line ends that Markdown does not know, and some terminals do.
fn is_line_end(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// A link, or a picture, whose text is being read.
struct Link {
    address: String,
    text: String,
    is_picture: bool,
}

/// What is drawn so far.
struct Drawing {
    width: usize,
    lines: Vec<String>,
    frames: Vec<Frame>,
    /// The text of the block that is read.
    flow: Flow,
    /// The style of text, and of the text that it stands in.
    styles: Vec<Style>,
    base: Style,
    /// The number of the next item, of each list that is read.
    lists: Vec<Option<u64>>,
    links: Vec<Link>,
    table: Option<Table>,
    code: Option<String>,
    /// Whether a blank line comes before the next block.
    is_apart: bool,
}

impl Drawing {
    fn new(width: usize, base: &Style) -> Self {
        Self {
            width,
            lines: Vec::new(),
            frames: Vec::new(),
            flow: Flow::default(),
            styles: Vec::new(),
            base: base.clone(),
            lists: Vec::new(),
            links: Vec::new(),
            table: None,
            code: None,
            is_apart: false,
        }
    }

    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Code(text) => self.code(&text),
            // The last three are only read if they are asked for.
            Event::Text(text)
            | Event::Html(text)
            | Event::InlineHtml(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text)
            | Event::FootnoteReference(text) => self.text(&text),
            Event::SoftBreak => self.text(" "),
            Event::HardBreak => self.flow.end_line(),
            Event::Rule => {
                self.end_block();
                let rule = self.base.clone().dim().apply_to("─".repeat(self.room())).to_string();
                self.put([rule]);
                self.is_apart = true;
            }
            Event::TaskListMarker(is_done) => self.text(if is_done { "[x] " } else { "[ ] " }),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => {
                self.end_block();
                let style = self.base.clone().bold();
                self.styles.push(if level == HeadingLevel::H1 { style.underlined() } else { style });
            }
            Tag::BlockQuote(_) => {
                self.end_block();
                self.part();
                self.frames.push(Frame::Quote);
            }
            Tag::CodeBlock(_) => {
                self.end_block();
                self.code = Some(String::new());
            }
            Tag::List(first) => {
                self.end_block();
                self.lists.push(first);
            }
            Tag::Item => {
                self.end_block();
                self.begin_item();
            }
            Tag::Table(alignments) => {
                self.end_block();
                self.table = Some(Table::new(alignments));
            }
            Tag::TableHead | Tag::TableRow => self.table.iter_mut().for_each(Table::begin_row),
            Tag::Emphasis => self.styles.push(self.style().italic()),
            Tag::Strong => self.styles.push(self.style().bold()),
            Tag::Strikethrough => self.styles.push(self.style().strikethrough()),
            Tag::Link { dest_url, .. } => self.begin_link(&dest_url, false),
            Tag::Image { dest_url, .. } => self.begin_link(&dest_url, true),
            Tag::Paragraph | Tag::HtmlBlock => self.end_block(),
            // The head of a table has its style where its cells are read, and the others are not asked for.
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                self.styles.pop();
                self.end_block();
                self.is_apart = true;
            }
            TagEnd::Paragraph | TagEnd::HtmlBlock => {
                self.end_block();
                self.is_apart = true;
            }
            TagEnd::BlockQuote(_) => {
                self.end_block();
                self.frames.pop();
                self.is_apart = true;
            }
            TagEnd::CodeBlock => self.end_code(),
            TagEnd::List(_) => {
                self.end_block();
                self.lists.pop();
                self.is_apart |= self.lists.is_empty();
            }
            TagEnd::Item => {
                self.end_block();
                // An item that says nothing is still an item.
                if matches!(self.frames.last(), Some(Frame::Item { mark: Some(_), .. })) {
                    self.put([String::new()]);
                }
                self.frames.pop();
            }
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.flow);
                self.table.iter_mut().for_each(|table| table.push(cell.clone()));
            }
            TagEnd::Table => {
                if let Some(table) = self.table.take() {
                    let lines = table.lines(self.room(), &self.base);
                    self.put(lines);
                    self.is_apart = true;
                }
            }
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => {
                self.styles.pop();
            }
            TagEnd::Link | TagEnd::Image => self.end_link(),
            _ => {}
        }
    }

    /// The style of the text that comes next.
    fn style(&self) -> Style {
        let in_head = self.table.as_ref().is_some_and(Table::is_in_head);
        let style = self.styles.last().unwrap_or(&self.base).clone();
        if in_head { style.bold() } else { style }
    }

    fn text(&mut self, text: &str) {
        // An entity may stand for what is taken out of a text.
        let text = cleaned(text);
        if let Some(code) = &mut self.code {
            code.push_str(&text);
            return;
        }
        self.links.iter_mut().for_each(|link| link.text.push_str(&text));
        let style = self.style();
        self.flow.push(&style, &text);
    }

    fn code(&mut self, text: &str) {
        let text = cleaned(text);
        self.links.iter_mut().for_each(|link| link.text.push_str(&text));
        let style = self.style().cyan();
        self.flow.push(&style, &text);
    }

    fn begin_item(&mut self) {
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                let mark = format!("{number}. ");
                *number = number.saturating_add(1);
                mark
            }
            Some(None) | None => "• ".to_owned(),
        };
        let width = measure_text_width(&mark);
        self.frames.push(Frame::Item { mark: Some(mark), width });
    }

    fn begin_link(&mut self, address: &str, is_picture: bool) {
        if is_picture {
            self.text("[picture: ");
        }
        self.links.push(Link { address: spelled_out(address), text: String::new(), is_picture });
        self.styles.push(self.style().underlined());
    }

    /// Shows where a link leads, unless its text says so already.
    fn end_link(&mut self) {
        self.styles.pop();
        let Some(Link { address, text, is_picture }) = self.links.pop() else { return };
        if is_picture {
            self.text("]");
        }
        let is_said = text == address || address.strip_prefix("mailto:") == Some(text.as_str());
        if !is_said && !address.is_empty() {
            let dim = self.base.clone().dim();
            self.flow.push(&dim, &format!(" ({address})"));
        }
    }

    fn end_code(&mut self) {
        let Some(code) = self.code.take() else { return };
        let (room, style) = (self.room(), self.base.clone().cyan());
        let by = if room > ROOM_MIN { CODE_INDENT } else { 0 };
        let lines = code.trim_end_matches('\n').split('\n').flat_map(|line| {
            let rows = hard_broken(&line.replace('\t', TAB), room - by);
            rows.into_iter().map(|row| " ".repeat(by) + &painted(&style, &row))
        });
        self.put(lines.collect::<Vec<_>>());
        self.is_apart = true;
    }

    /// Ends the block whose text was read.
    fn end_block(&mut self) {
        if self.table.is_some() || self.flow.is_empty() {
            return;
        }
        let flow = std::mem::take(&mut self.flow);
        let lines = flow.lines(self.room());
        self.put(lines);
    }

    /// How wide a line may be that stands where the next one does.
    fn room(&self) -> usize {
        let taken: usize = self.frames.iter().map(Frame::width).sum();
        self.width.saturating_sub(taken).max(ROOM_MIN)
    }

    /// How wide the beginnings of lines may be together.
    fn prefix_width(&self) -> usize {
        self.width - self.width.min(self.room())
    }

    /// Puts a blank line before a block that stands apart.
    fn part(&mut self) {
        if std::mem::take(&mut self.is_apart) && !self.lines.is_empty() {
            let blank = prefix(self.frames.iter().map(|frame| frame.begins(false)), self.prefix_width());
            self.lines.push(painted(&self.base.clone().dim(), blank.trim_end()));
        }
    }

    /// Puts lines below what is drawn.
    fn put(&mut self, lines: impl IntoIterator<Item = String>) {
        self.part();
        let most = self.prefix_width();
        for line in lines {
            let begins = prefix(self.frames.iter().map(|frame| frame.begins(true)), most);
            self.frames.iter_mut().for_each(Frame::is_drawn);
            let begins = painted(&self.base.clone().dim(), &begins);
            self.lines.push(format!("{begins}{line}").trim_end().to_owned());
        }
    }
}

/// A text in a style; nothing has none.
fn painted(style: &Style, text: &str) -> String {
    if text.is_empty() { String::new() } else { style.apply_to(text).to_string() }
}

/// A line of code in rows: its blanks count, so that it is broken where a row is full.
fn hard_broken(line: &str, width: usize) -> Vec<String> {
    let (mut rows, mut row) = (Vec::new(), String::new());
    for c in line.chars() {
        row.push(c);
        if measure_text_width(&row) > width && row.chars().nth(1).is_some() {
            row.pop();
            rows.push(std::mem::replace(&mut row, c.to_string()));
        }
    }
    rows.push(row);
    rows
}

#[cfg(test)]
mod tests;
