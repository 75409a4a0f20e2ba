//! A timeline on a terminal: a line for each span, with a bar over time.

use console::{Style, Term, measure_text_width, truncate_str};

use crate::cli::layout::width_of;
use crate::cli::words::{Channel, counted, one_line};
use crate::engine::timeline::{Came, Fold, Kind, Place, Span, Stand, Timeline};
use crate::message::duration;

/// The width where there is no terminal.
const WIDTH: usize = 100;
/// Narrower than this, nothing is drawn as it should be.
const WIDTH_MIN: usize = 30;
/// The widest that a name may be.
const NAME_MAX: usize = 44;
/// How wide a duration is.
const TOOK: usize = 8;

/// What the bar of something is made of that works, or that waits for a person or a moment.
pub(in crate::cli) const WORKS: char = '█';
pub(in crate::cli) const WAITS: char = '▒';

/// How wide a timeline is on a terminal.
pub(super) fn width(term: &Term) -> usize {
    width_of(term).unwrap_or(WIDTH).max(WIDTH_MIN)
}

/// The lines of a timeline.
pub(super) fn bars(timeline: &Timeline<'_>, width: usize) -> Vec<String> {
    let names: Vec<String> = timeline.spans.iter().map(name).collect();
    let longest = names.iter().map(|name| measure_text_width(name)).max().unwrap_or_default();
    let name_width = longest.min(NAME_MAX).min(width * 2 / 5);
    // A mark, a blank, the name, a blank, the bar, a blank, how long it took.
    let cells = width.saturating_sub(name_width + TOOK + 4).max(4);
    let mut lines = vec![ticks(timeline, name_width + 3, cells)];
    for (span, name) in timeline.spans.iter().zip(names) {
        let name = truncate_str(&name, name_width, "…").into_owned();
        let blanks = " ".repeat(name_width.saturating_sub(measure_text_width(&name)));
        let took = if span.stand == Stand::Due { String::new() } else { duration(span.took_us()) };
        let name = if span.is_critical { plain().bold().apply_to(name) } else { plain().apply_to(name) };
        let mark = style(span.stand).apply_to(span.stand.mark());
        lines.push(format!("{mark} {name}{blanks} {} {took:>TOOK$}", bar(timeline, span, cells)));
    }
    for Fold { from_us, until_us, why } in timeline.axis.folds() {
        let (from, took) = (duration(*from_us), duration(until_us - from_us));
        lines.push(format!("  ┄ after {from}: {took}, drawn shorter; {why}"));
    }
    lines
}

fn plain() -> Style {
    Channel::Stdout.style()
}

fn style(stand: Stand) -> Style {
    match stand {
        Stand::Done => plain().green(),
        Stand::Failed | Stand::GivenUp => plain().red(),
        Stand::Waits(_) => plain().yellow(),
        Stand::InDoubt => plain().magenta(),
        Stand::Again | Stand::GoesOn => plain().blue(),
        Stand::CutOff | Stand::Stopped | Stand::Due => plain().dim(),
    }
}

fn name(span: &Span<'_>) -> String {
    let blanks = "  ".repeat(span.depth);
    let name = match span.kind {
        Kind::Turn => span.name.to_string(),
        Kind::Model | Kind::Summary | Kind::Approval => span.kind.word().to_owned(),
        Kind::Tool | Kind::Agent | Kind::Person | Kind::Sleep => one_line(&span.name),
    };
    let again = span.tries().map_or_else(String::new, |tries| format!(" ({})", counted(tries, "attempt")));
    match &span.place {
        Place::Turn { .. } => format!("{blanks}{name}"),
        Place::At(_) => format!("{blanks}{name}{again}"),
    }
}

/// The cells of a bar, and how each looks.
fn bar(timeline: &Timeline<'_>, span: &Span<'_>, cells: usize) -> String {
    let mut drawn: Vec<(char, Option<Style>)> = vec![(' ', None); cells];
    let mut fill = |from_us: u64, until_us: u64, with: char, style: &Style| {
        let (from, until) = (cell(timeline.axis.at(from_us), cells), cell(timeline.axis.at(until_us), cells));
        let from = from.min(cells.saturating_sub(1));
        for place in drawn.iter_mut().take(until.max(from + 1)).skip(from) {
            *place = (with, Some(style.clone()));
        }
    };
    for Fold { from_us, until_us, .. } in timeline.axis.folds() {
        fill(*from_us, *until_us, '┄', &plain().dim());
    }
    if span.attempts.is_empty() || matches!(span.kind, Kind::Turn | Kind::Agent) {
        fill(span.began_us, span.until_us, '─', &plain().dim());
    } else {
        fill(span.began_us, span.until_us, '·', &plain().dim());
        for attempt in &span.attempts {
            let style = match attempt.came {
                Came::Failed(_) => plain().red(),
                Came::CutOff => plain().dim(),
                Came::Finished(_) | Came::Open => style(span.stand),
            };
            let with = if span.is_work() { WORKS } else { WAITS };
            fill(attempt.works_from_us(), attempt.until_us, with, &style);
        }
    }
    // Cells that look the same are written at once.
    let shown = |cells: &[(char, Option<Style>)]| {
        let text: String = cells.iter().map(|(with, _)| with).collect();
        match cells.first() {
            Some((_, Some(style))) => style.apply_to(text).to_string(),
            Some((_, None)) | None => text,
        }
    };
    drawn.chunk_by(|(_, one), (_, next)| one == next).map(shown).collect()
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part of a few hundred cells"
)]
/// The cell of a bar in which a part of the whole ends.
pub(in crate::cli) fn cell(part: f64, cells: usize) -> usize {
    (part * cells as f64).round() as usize
}

/// The moments above the bars.
fn ticks(timeline: &Timeline<'_>, before: usize, cells: usize) -> String {
    let mut line = " ".repeat(before);
    for tick in timeline.axis.ticks() {
        let (at, words) = (before + cell(tick.at, cells), duration(tick.us));
        let end = measure_text_width(&line);
        if (at == before || at > end) && at + words.len() <= before + cells {
            line.push_str(&" ".repeat(at.saturating_sub(end)));
            line.push_str(&words);
        }
    }
    plain().dim().apply_to(line).to_string()
}
