//! What happened in a run, attempt by attempt: what was asked for, what came of it, and what was noted meanwhile.

use console::Term;

use crate::cli::layout::{LongWord, laid_out, width_of};
use crate::cli::moment::duration;
use crate::cli::words::{self, Channel, denial, headline, one_line, result};
use crate::engine::timeline::{Attempt, Came, Span, Stand, Timeline};
use crate::journal::{Failed, Finished, RunState};
use crate::message::{Slot, Trace, Usage};

/// The column at which what happened stands.
const EFFECTS: usize = 14;

/// The lines of all attempts of a run, with what the tools logged if that is wanted.
pub(super) fn effects(timeline: &Timeline<'_>, log: bool) -> Vec<String> {
    let width = width_of(&Term::stdout());
    let spans = timeline.spans.iter().filter_map(|span| Some((span, span.slot()?)));
    let lines = spans.flat_map(|(span, slot)| Effect { timeline, span, slot, log }.lines());
    lines.map(|line| laid_out(&line, width, EFFECTS, LongWord::Broken)).collect()
}

/// What is recorded at a slot.
struct Effect<'a> {
    timeline: &'a Timeline<'a>,
    span: &'a Span<'a>,
    slot: &'a Slot,
    log: bool,
}

impl Effect<'_> {
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.span.attempts.iter().flat_map(|attempt| self.attempt(attempt)).collect();
        // An attempt that failed, and was to be followed by another.
        let failed = self.span.attempts.last().filter(|it| matches!(it.came, Came::Failed(_)));
        if let Some(attempt) = failed.filter(|_| self.span.stand == Stand::Stopped) {
            lines.extend(self.open(attempt));
        }
        lines
    }

    fn attempt(&self, attempt: &Attempt<'_>) -> Vec<String> {
        match attempt.came {
            Came::Failed(failed) => self.failed(attempt, failed),
            Came::Finished(finished) => self.finished(attempt, finished),
            Came::CutOff => {
                self.unfinished("✗", "stopped", attempt, "its process ended first; no result was recorded")
            }
            Came::Open => self.open(attempt),
        }
    }

    fn failed(&self, attempt: &Attempt<'_>, failed: &Failed) -> Vec<String> {
        let Failed { attempt: number, retry_ms, gave_up, outcome, usage, trace, .. } = failed;
        let (time, mark) = (duration(usage.wall_us), mark(if *gave_up { "✗" } else { "↻" }));
        let again = duration(retry_ms.saturating_mul(1000));
        let next = if *gave_up { "given up".to_owned() } else { format!("again after {again}") };
        let mut lines = vec![
            format!("{mark} {time:>10}  {} (attempt {number})", headline(self.slot, attempt.request)),
            format!("              → {}; {next}", result(outcome).1),
        ];
        lines.extend(self.noted(usage, trace));
        lines
    }

    fn finished(&self, attempt: &Attempt<'_>, finished: &Finished) -> Vec<String> {
        let Finished { outcome, usage, trace, settled, by, .. } = finished;
        let (good, result) = result(outcome);
        let mark = mark(if good { "✓" } else { "✗" });
        let settled = match by {
            Some(by) if *settled => format!(" (settled by {})", one_line(&by.to_string())),
            Some(by) => format!(" (by {})", one_line(&by.to_string())),
            None if *settled => " (settled by a person)".to_owned(),
            None => String::new(),
        };
        let mut lines = vec![
            format!("{mark} {:>10}  {}{settled}", duration(attempt.took_us()), self.headline(attempt)),
            format!("              → {result}"),
        ];
        lines.extend(self.noted(usage, trace));
        lines
    }

    /// An attempt of which no result is recorded, and after which no other came.
    fn open(&self, attempt: &Attempt<'_>) -> Vec<String> {
        match self.span.stand {
            Stand::Stopped => {
                let why = self.stopped_by();
                self.unfinished("✗", "stopped", attempt, &format!("{why} first; no result was recorded"))
            }
            Stand::Waits(_) => {
                let why = "nobody has decided yet, or the moment has not come";
                self.unfinished("⧖", "waits", attempt, why)
            }
            Stand::GoesOn => vec![line("…", "goes on", &self.headline(attempt))],
            Stand::InDoubt => self.unfinished("?", "in doubt", attempt, "no result was recorded"),
            Stand::CutOff | Stand::Done | Stand::Failed | Stand::Again | Stand::GivenUp | Stand::Due => {
                self.unfinished("✗", "stopped", attempt, "its process ended first; no result was recorded")
            }
        }
    }

    /// What ended before it.
    fn stopped_by(&self) -> &'static str {
        let has_ended = |caller: &Slot| self.timeline.at(caller).is_some_and(|it| it.outcome().is_some());
        if self.slot.callers().any(|caller| has_ended(&caller)) {
            "its caller ended"
        } else if self.timeline.state == RunState::Cancelled {
            "the run was cancelled"
        } else {
            "the run ended"
        }
    }

    fn unfinished(&self, mark: &str, word: &str, attempt: &Attempt<'_>, why: &str) -> Vec<String> {
        vec![line(mark, word, &self.headline(attempt)), format!("              → {why}")]
    }

    fn headline(&self, attempt: &Attempt<'_>) -> String {
        let headline = headline(self.slot, attempt.request);
        if self.span.attempts.len() > 1 {
            format!("{headline} (attempt {})", attempt.number)
        } else {
            headline
        }
    }

    /// What an attempt consumed, requested and was denied, and what it logged.
    fn noted(&self, usage: &Usage, trace: &Trace) -> Vec<String> {
        let indented = |line: String| format!("              {line}");
        let logged = trace.log.iter().filter(|_| self.log);
        let said = logged.map(|line| one_line(&format!("{} | {}", line.from, line.text)));
        let used = usage.used.map(|used| format!("used {}", words::used(&used)));
        consumed(usage)
            .into_iter()
            .chain(used)
            .chain(trace.http.iter().map(|record| one_line(&record.to_string())))
            .chain(trace.denials.iter().flat_map(|it| denial(it, Channel::Stdout)))
            .chain(said)
            .map(indented)
            .collect()
    }
}

fn line(sign: &str, word: &str, headline: &str) -> String {
    format!("{} {word:>10}  {headline}", mark(sign))
}

/// The mark of what came of something.
fn mark(mark: &str) -> String {
    let style = Channel::Stdout.style();
    let style = match mark {
        "✓" => style.green(),
        "✗" => style.red(),
        _ => style.yellow(),
    };
    style.apply_to(mark).to_string()
}

/// What a call consumed; nothing is said of what a model request did.
fn consumed(usage: &Usage) -> Option<String> {
    let Usage { wall_us: _, cpu_us, memory_bytes, fuel, in_bytes, out_bytes, used: _ } = usage;
    let bytes = |n: &u64| indicatif::BinaryBytes(*n);
    let fuel = if *fuel > 0 { format!(", fuel {fuel}") } else { String::new() };
    (*memory_bytes > 0).then(|| {
        format!(
            "cpu {}, memory {}, in {}, out {}{fuel}",
            duration(*cpu_us),
            bytes(memory_bytes),
            bytes(in_bytes),
            bytes(out_bytes)
        )
    })
}
