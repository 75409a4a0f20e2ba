//! What is drawn at the bottom of the terminal while a run goes on: a line for each effect that has begun and not ended,
//! with the time it has taken, and below them the question that the person is asked, with what is typed.
//!
//! Invariant: nothing of it is left when the run has ended, and what is said stands above it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use parking_lot::{Mutex, MutexGuard};

use super::layout::width_of;
use super::runs::{WAITS, WORKS, cell};
use super::streams;
use super::typed;
use super::words::{Channel, one_line};
use crate::message::Slot;

/// Width of a line where there is no terminal to ask.
const WIDTH_WITHOUT_TERMINAL: usize = 160;

/// How often the elapsed time of running calls is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// How often what is typed is drawn.
const REDRAW_TYPED: Duration = Duration::from_millis(40);

/// Rows that are left beside the text that comes: for what was said last, and for other calls.
const ROWS_APART: usize = 8;

/// How wide the bar of an effect is, in columns.
const BAR: usize = 24;

/// A terminal that is narrower has no room for bars.
const WIDTH_WITH_BARS: usize = 80;

/// Where typing goes on. The cursor itself stands at the end of what is drawn.
const CARET: char = '▏';

/// What an effect does that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// It works.
    Works,
    /// It waits for the person, or for a moment.
    Waits,
}

/// The bottom of the terminal.
pub(super) struct Live {
    progress: MultiProgress,
    term: Term,
    /// Whether there is a terminal to draw on, whoever has it.
    is_wanted: bool,
    /// When the run began whose effects are drawn.
    began: Mutex<Instant>,
    running: Mutex<HashMap<Slot, ProgressBar>>,
    /// Whatever is drawn, or was.
    drawn: Mutex<Vec<ProgressBar>>,
    /// The question that stands.
    question: Mutex<Option<ProgressBar>>,
    /// What is said while another program has the terminal.
    held: Mutex<Option<Vec<String>>>,
}

impl Live {
    pub(super) fn new(is_wanted: bool) -> Self {
        let term = Term::stderr();
        let visible = is_wanted && term.is_term();
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self {
            progress: MultiProgress::with_draw_target(target),
            term,
            is_wanted: visible,
            began: Mutex::new(Instant::now()),
            running: Mutex::default(),
            drawn: Mutex::default(),
            question: Mutex::default(),
            held: Mutex::default(),
        }
    }

    /// Whether there is no terminal to draw on, or another program has it.
    pub(super) fn is_hidden(&self) -> bool {
        self.progress.is_hidden()
    }

    /// The width of the terminal; none without one.
    pub(super) fn terminal_width(&self) -> Option<usize> {
        if self.is_hidden() { None } else { width_of(&self.term) }
    }

    /// How long a line may be.
    pub(super) fn width(&self) -> usize {
        self.terminal_width().unwrap_or(WIDTH_WITHOUT_TERMINAL)
    }

    /// Says lines above what is drawn. Where nothing is, they are written as they are: what is drawn leaves the cursor
    /// behind its last line, and whoever writes next has to begin a new one.
    pub(super) fn say(&self, lines: &str) {
        if let Some(held) = &mut *self.held() {
            held.push(lines.to_owned());
            return;
        }
        // Held, so that nothing is drawn meanwhile.
        let mut drawn = self.drawn();
        drawn.retain(|bar| !bar.is_finished());
        // A terminal that went away is no reason to stop.
        let is_said = !self.is_hidden() && !drawn.is_empty() && self.progress.println(lines).is_ok();
        if !is_said {
            streams::say(lines);
        }
    }

    /// Takes in that a run begins, or goes on: bars are drawn over the time since.
    pub(super) fn run_begins(&self) {
        *self.began.lock() = Instant::now();
    }

    /// Draws a line for an effect, with a bar from when it began until now. While another program has the terminal it is
    /// not to be seen, and it is afterwards.
    pub(super) fn begin(&self, slot: &Slot, text: String, doing: Doing) {
        if self.is_wanted {
            let style = match doing {
                Doing::Works => "  {spinner} {wide_msg} {bar_over_time}{elapsed:>5}",
                Doing::Waits => "  ⧖ {wide_msg} waiting {bar_over_time}{elapsed:>5}",
            };
            let style = style_of(style).with_key("bar_over_time", self.bar_over_time(doing));
            self.running().insert(slot.clone(), self.drawn_line(text, style));
        }
    }

    /// What draws when, in the time of the run, an effect began.
    fn bar_over_time(
        &self,
        doing: Doing,
    ) -> impl Fn(&ProgressState, &mut dyn std::fmt::Write) + Clone + Send + Sync + 'static {
        let (term, began) = (self.term.clone(), *self.began.lock());
        move |state, line| {
            if usize::from(term.size().1) < WIDTH_WITH_BARS {
                return;
            }
            let run = began.elapsed().max(state.elapsed());
            let from =
                cell(1.0 - state.elapsed().as_secs_f64() / run.as_secs_f64().max(1e-9), BAR).min(BAR - 1);
            let (sign, style) = match doing {
                Doing::Works => (WORKS, Channel::Stderr.style().blue()),
                Doing::Waits => (WAITS, Channel::Stderr.style().yellow()),
            };
            let bar: String = std::iter::repeat_n(sign, BAR - from).collect();
            // Writing to a string cannot fail.
            let _ = write!(line, "{}{} ", " ".repeat(from), style.apply_to(bar));
        }
    }

    /// Draws a line with the time since, until it is cleared.
    pub(super) fn line(&self, text: String) -> ProgressBar {
        self.drawn_line(text, style_of("  {spinner} {wide_msg} {elapsed:>5}"))
    }

    fn drawn_line(&self, text: String, style: ProgressStyle) -> ProgressBar {
        let bar = ProgressBar::new_spinner();
        let bar = match &*self.question() {
            Some(question) => self.progress.insert_before(question, bar),
            None => self.progress.add(bar),
        };
        self.drawn().push(bar.clone());
        bar.set_style(style);
        bar.set_message(text);
        bar.enable_steady_tick(REDRAW);
        bar
    }

    /// Shows the end of what is heard so far on the line of an effect.
    pub(super) fn hear(&self, slot: &Slot, text: &str) {
        if let Some(bar) = self.running().get(slot) {
            bar.set_message(tail(&format!("{} {}", bar.message(), one_line(text)), self.width()));
        }
    }

    /// Shows lines where the line of an effect is: those that `lines` makes of the width of the terminal and the room
    /// in it, each time anew.
    pub(super) fn show(
        &self,
        slot: &Slot,
        lines: impl Fn(usize, usize) -> String + Clone + Send + Sync + 'static,
    ) {
        let Some(bar) = self.running().get(slot).cloned() else { return };
        let term = self.term.clone();
        let draw = move |_: &ProgressState, line: &mut dyn std::fmt::Write| {
            let (rows, columns) = term.size();
            let room = usize::from(rows).saturating_sub(ROWS_APART).max(1);
            // Writing to a string cannot fail.
            let _ = line.write_str(&lines(usize::from(columns), room));
        };
        bar.set_style(style_of("{lines}").with_key("lines", draw));
        bar.tick();
    }

    /// Takes away the line of an effect.
    pub(super) fn end(&self, slot: &Slot) {
        if let Some(bar) = self.running().remove(slot) {
            self.take_away(&bar);
        }
    }

    /// Takes away all that is drawn.
    pub(super) fn clear(&self) {
        // Whoever asks may be dropped later than the process ends.
        typed::give_back();
        if let Some(question) = self.question().take() {
            self.take_away(&question);
        }
        for (_, bar) in self.running().drain() {
            self.take_away(&bar);
        }
        self.give_back();
    }

    fn take_away(&self, bar: &ProgressBar) {
        bar.finish_and_clear();
        self.progress.remove(bar);
    }

    /// Asks the person for a line, below what goes on; none if there is no answer to be had. Dropping the future takes
    /// the question back.
    pub(super) async fn ask(&self, question: &str) -> Option<String> {
        let bar = self.progress.add(ProgressBar::new_spinner());
        self.drawn().push(bar.clone());
        bar.set_style(style_of("{msg}"));
        let room = self.width().saturating_sub(2);
        let drawn = |typed: &str| {
            bar.set_message(format!("{}{CARET}", tail(&format!("{question}{typed}"), room)));
            bar.tick();
        };
        *self.question() = Some(bar.clone());
        bar.enable_steady_tick(REDRAW_TYPED);
        let asked = Asked(self);
        let line = typed::line(drawn).await;
        drop(asked);
        if let Some(line) = &line {
            self.say(&format!("{question}{line}"));
        }
        line
    }

    /// Gives the terminal to another program until the guard is dropped.
    pub(super) fn lend(&self) -> Lent<'_> {
        *self.held() = Some(Vec::new());
        let _ = self.progress.clear();
        self.progress.set_draw_target(ProgressDrawTarget::hidden());
        Lent(self)
    }

    /// Goes on to say and to draw what was held back, if anything is.
    fn give_back(&self) {
        let Some(held) = self.held().take() else { return };
        self.progress.set_draw_target(ProgressDrawTarget::stderr());
        for lines in held {
            self.say(&lines);
        }
    }

    // Only what is drawn is in these; after a panic elsewhere it is as good as before.
    fn running(&self) -> MutexGuard<'_, HashMap<Slot, ProgressBar>> {
        self.running.lock()
    }

    fn drawn(&self) -> MutexGuard<'_, Vec<ProgressBar>> {
        self.drawn.lock()
    }

    fn question(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        self.question.lock()
    }

    fn held(&self) -> MutexGuard<'_, Option<Vec<String>>> {
        self.held.lock()
    }
}

/// A question that stands.
struct Asked<'a>(&'a Live);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(question) = self.0.question().take() {
            self.0.take_away(&question);
        }
    }
}

/// The terminal is another program's.
pub(super) struct Lent<'a>(&'a Live);

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// The templates are constants; the default style only looks plainer.
fn style_of(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// The end of a text, as much as fits.
fn tail(text: &str, width: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut from = chars.len().saturating_sub(width);
    while console::measure_text_width(&chars[from..].iter().collect::<String>()) > width {
        from += 1;
    }
    chars[from..].iter().collect()
}
