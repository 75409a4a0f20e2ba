//! A table, laid out to a width: columns beside each other where they fit, and else one cell below the other.

use console::{Style, measure_text_width, pad_str};
use pulldown_cmark::Alignment;

use super::flow::Flow;

/// What stands between two columns, and what below the head.
const BETWEEN: &str = " │ ";
const CROSSING: &str = "─┼─";
const BETWEEN_WIDTH: usize = 3;

/// A column is not made narrower than this: no word fits into less.
const COLUMN_WIDTH_MIN: usize = 8;

/// A table as it is read, row by row; the head is the first one.
#[derive(Debug, Default)]
pub(super) struct Table {
    alignments: Vec<Alignment>,
    rows: Vec<Vec<Flow>>,
}

impl Table {
    pub(super) fn new(alignments: Vec<Alignment>) -> Self {
        Self { alignments, rows: Vec::new() }
    }

    pub(super) fn begin_row(&mut self) {
        self.rows.push(Vec::new());
    }

    pub(super) fn push(&mut self, cell: Flow) {
        if let Some(row) = self.rows.last_mut() {
            row.push(cell);
        }
    }

    /// Whether it is the head that is read.
    pub(super) fn is_in_head(&self) -> bool {
        self.rows.len() <= 1
    }

    /// The lines of the table, each no wider than `width`.
    pub(super) fn lines(self, width: usize, base: &Style) -> Vec<String> {
        match self.widths(width) {
            Some(widths) => self.side_by_side(&widths, base),
            None => self.one_below_the_other(width, base),
        }
    }

    /// How wide the columns are that fit beside each other: the wide ones give way first. None if they do not fit.
    fn widths(&self, width: usize) -> Option<Vec<usize>> {
        let columns = self.alignments.len();
        let room = width.checked_sub(BETWEEN_WIDTH * columns.saturating_sub(1))?;
        let natural = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(Flow::width).max().unwrap_or_default().max(1)
        };
        let natural: Vec<usize> = (0..columns).map(natural).collect();
        let fits = |most: usize| natural.iter().map(|width| (*width).min(most)).sum::<usize>() <= room;
        let widest = natural.iter().copied().max()?;
        let most =
            if fits(widest) { widest } else { (COLUMN_WIDTH_MIN..=room).rev().find(|it| fits(*it))? };
        Some(natural.into_iter().map(|width| width.min(most)).collect())
    }

    fn side_by_side(self, widths: &[usize], base: &Style) -> Vec<String> {
        let dim = base.clone().dim();
        let between = dim.apply_to(BETWEEN).to_string();
        let mut lines = Vec::new();
        for (number, row) in self.rows.into_iter().enumerate() {
            let mut cells: Vec<Vec<String>> =
                row.into_iter().zip(widths).map(|(cell, width)| cell.lines(*width)).collect();
            cells.resize(widths.len(), Vec::new());
            let height = cells.iter().map(Vec::len).max().unwrap_or_default();
            for line in 0..height {
                let cells =
                    cells.iter().zip(widths).zip(&self.alignments).map(|((cell, width), alignment)| {
                        let text = cell.get(line).map_or("", String::as_str);
                        pad_str(text, *width, padded(*alignment), None).into_owned()
                    });
                lines.push(cells.collect::<Vec<_>>().join(&between).trim_end().to_owned());
            }
            if number == 0 {
                let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
                lines.push(dim.apply_to(rule.join(CROSSING)).to_string());
            }
        }
        lines
    }

    fn one_below_the_other(self, width: usize, base: &Style) -> Vec<String> {
        let dim = base.clone().dim();
        let mut rows = self.rows.into_iter();
        let head = rows.next().unwrap_or_default();
        if rows.len() == 0 {
            return head.into_iter().flat_map(|cell| cell.lines(width)).collect();
        }
        let mut lines = Vec::new();
        for row in rows {
            if !lines.is_empty() {
                lines.push(dim.apply_to("─".repeat(width.min(COLUMN_WIDTH_MIN))).to_string());
            }
            for (column, cell) in row.into_iter().enumerate() {
                let mut name = head.get(column).cloned().unwrap_or_default();
                name.push(base, ":");
                lines.extend(name.lines(width));
                // What a cell says is set in, as far as there is room.
                let by = if width > COLUMN_WIDTH_MIN { 2 } else { 0 };
                lines.extend(cell.lines(width - by).iter().map(|line| " ".repeat(by) + line));
            }
        }
        debug_assert!(lines.iter().all(|line| measure_text_width(line) <= width.max(2)), "{lines:?}");
        lines
    }
}

fn padded(alignment: Alignment) -> console::Alignment {
    match alignment {
        Alignment::None | Alignment::Left => console::Alignment::Left,
        Alignment::Center => console::Alignment::Center,
        Alignment::Right => console::Alignment::Right,
    }
}
