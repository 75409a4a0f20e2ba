//! How time is laid out from left to right: in proportion, but for long times in which nothing was done, which are folded.
//!
//! A run that waited three days for a person would otherwise be two lines at the ends of an empty picture.

use std::fmt;

use super::span::{Came, Kind, Span, us_between};
use crate::journal::Stint;

/// Shorter times in which nothing was done are drawn as they are, in microseconds.
const FOLDED_MIN_US: u64 = 1_000_000;
/// The width of a fold, as a part of all that is drawn in proportion.
const FOLD_WIDTH: f64 = 0.07;
/// No more than so much of it is taken by all folds together.
const FOLDS_WIDTH_MAX: f64 = 0.35;
/// So many ticks there are at most, but for those at the ends of folds.
const TICKS_MAX: u64 = 8;

/// How far apart named moments stand at least, as a part of the whole.
const APART: f64 = 0.08;

/// Why nothing was done for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// A person was asked something.
    Person,
    /// A moment had not come yet.
    Moment,
    /// An attempt had failed, and the next one was not due yet.
    Pause,
    /// It was done in another run, from which this one was forked later.
    Forked,
    /// No process worked on the run.
    NoProcess,
    /// The host, or the program that carries the run out, was at work.
    Host,
}

/// A time in which nothing was done that is drawn shorter than it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fold {
    /// When it began, in microseconds since the run did.
    pub from_us: u64,
    /// When it ended.
    pub until_us: u64,
    /// Why nothing was done.
    pub why: Why,
}

/// A moment that is named on the axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tick {
    /// Where, from 0 to 1.
    pub at: f64,
    /// When, in microseconds since the run began.
    pub us: u64,
}

/// How time is laid out.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    length_us: u64,
    folds: Vec<Fold>,
    idle: Vec<Fold>,
    /// How wide a fold is drawn, in microseconds of what is drawn in proportion.
    fold_us: f64,
    /// How much is drawn, folds included, in the same microseconds.
    drawn_us: f64,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Person => "waited for a person",
            Self::Moment => "waited for a moment",
            Self::Pause => "waited before the next attempt",
            Self::Forked => "the run before ended, and this one was forked from it later",
            Self::NoProcess => "no process worked on it",
            Self::Host => "between calls",
        })
    }
}

impl Axis {
    pub(super) fn of(spans: &[Span<'_>], stints: &[Stint], began_ms: u64, length_us: u64) -> Self {
        let idle = idle(spans, stints, began_ms, length_us);
        let idle_us: u64 = idle.iter().map(|idle| idle.until_us - idle.from_us).sum();
        let busy_us = length_us.saturating_sub(idle_us);
        let is_long = |idle: &&Fold| {
            let us = idle.until_us - idle.from_us;
            us >= FOLDED_MIN_US && us > busy_us / 2
        };
        let folds: Vec<Fold> = idle.iter().filter(is_long).copied().collect();
        let folded_us: u64 = folds.iter().map(|fold| fold.until_us - fold.from_us).sum();
        let plain_us = float(length_us.saturating_sub(folded_us)).max(1.0);
        let count = float(folds.len() as u64);
        let width = if folds.is_empty() { 0.0 } else { FOLD_WIDTH.min(FOLDS_WIDTH_MAX / count) };
        let fold_us = plain_us * width;
        Self { length_us, idle, folds, fold_us, drawn_us: plain_us + fold_us * count }
    }

    /// The times that are drawn shorter than they were, the first one first.
    #[must_use]
    pub fn folds(&self) -> &[Fold] {
        &self.folds
    }

    /// All times in which nothing was done, those that are folded among them.
    #[must_use]
    pub fn idle(&self) -> &[Fold] {
        &self.idle
    }

    /// Where a time is drawn, from 0 to 1.
    #[must_use]
    pub fn at(&self, us: u64) -> f64 {
        let us = us.min(self.length_us);
        let mut drawn = float(us);
        for fold in self.folds.iter().take_while(|fold| fold.from_us < us) {
            let (length, within) = (fold.until_us - fold.from_us, us.min(fold.until_us) - fold.from_us);
            drawn -= float(within);
            drawn += self.fold_us * float(within) / float(length.max(1));
        }
        (drawn / self.drawn_us).clamp(0.0, 1.0)
    }

    /// The moments to name, as far as there is room for them: the end of each fold, the end of all, and round ones as far as
    /// the first fold.
    #[must_use]
    pub fn ticks(&self) -> Vec<Tick> {
        let first = self.folds.first().map_or(self.length_us, |fold| fold.from_us);
        // As many as fit where so much of the whole is left for them.
        let part = self.at(first);
        let step = round_step(first, part);
        let tick = |us| Tick { at: self.at(us), us };
        let plain = (0..=TICKS_MAX).map(|n| n.saturating_mul(step)).take_while(|us| *us <= first);
        let ends = self.folds.iter().map(|fold| fold.until_us).chain([self.length_us]);
        let mut ticks: Vec<Tick> = Vec::new();
        for tick in ends.chain(plain).map(tick) {
            if ticks.iter().all(|other| (tick.at - other.at).abs() >= APART) {
                ticks.push(tick);
            }
        }
        ticks.sort_by_key(|tick| tick.us);
        ticks
    }
}

/// A round step of which a few make up a length that is drawn over this part of the whole.
fn round_step(length_us: u64, part: f64) -> u64 {
    let count = if part > 0.6 {
        TICKS_MAX
    } else if part > 0.3 {
        TICKS_MAX / 2
    } else {
        1
    };
    let least = (length_us / count).max(1);
    // Decimal steps below a minute, and parts of an hour and a day above.
    let decimal = (0..8).flat_map(|power| [1, 2, 5].map(|n| n * 10_u64.pow(power)));
    let minutes = [15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 172_800, 604_800];
    let steps = decimal.filter(|us| *us <= 10_000_000).chain(minutes.map(|s: u64| s * 1_000_000));
    steps.into_iter().find(|step| *step >= least).unwrap_or(least)
}

/// The times in which nobody was at work, and why.
fn idle(spans: &[Span<'_>], stints: &[Stint], began_ms: u64, length_us: u64) -> Vec<Fold> {
    let mut work: Vec<(u64, u64)> = spans
        .iter()
        .filter(|span| span.is_work())
        .flat_map(|span| &span.attempts)
        .map(|attempt| (attempt.began_us, attempt.until_us))
        .collect();
    work.sort_unstable();
    let waits = waits(spans);
    let worked: Vec<(u64, u64)> = stints
        .iter()
        .map(|stint| (us_between(began_ms, stint.started_ms), us_between(began_ms, stint.until_ms)))
        .collect();
    let mut found = Vec::new();
    let mut free_us = 0;
    for (from_us, until_us) in work.into_iter().chain([(length_us, length_us)]) {
        if from_us > free_us {
            let why = why(free_us, from_us, &waits, &worked);
            found.push(Fold { from_us: free_us, until_us: from_us, why });
        }
        free_us = free_us.max(until_us);
    }
    found
}

/// What was waited for, and when.
fn waits(spans: &[Span<'_>]) -> Vec<(u64, u64, Why)> {
    let mut waits = Vec::new();
    for span in spans {
        let why = match span.kind {
            Kind::Approval | Kind::Person => Some(Why::Person),
            Kind::Sleep => Some(Why::Moment),
            Kind::Turn | Kind::Model | Kind::Summary | Kind::Tool | Kind::Agent => None,
        };
        if let Some(why) = why {
            waits.push((span.began_us, span.until_us, why));
        } else {
            let pairs = span.attempts.iter().zip(span.attempts.iter().skip(1));
            // After the last one, somebody has to go on with the run.
            let pauses = pairs.filter(|(one, _)| !matches!(one.came, Came::Failed(failed) if failed.gave_up));
            waits.extend(pauses.map(|(one, next)| (one.until_us, next.began_us, Why::Pause)));
        }
    }
    waits
}

/// Why nothing was done for a time: what was waited for during the most of it, or that no process was there.
fn why(from_us: u64, until_us: u64, waits: &[(u64, u64, Why)], worked: &[(u64, u64)]) -> Why {
    let within = |from: u64, until: u64| until.min(until_us).saturating_sub(from.max(from_us));
    let half = (until_us - from_us) / 2;
    let waited = waits.iter().filter(|(from, until, _)| within(*from, *until) > half).map(|(_, _, why)| *why);
    waited.min().unwrap_or_else(|| {
        if worked.first().is_some_and(|(from, _)| from_us < *from) {
            return Why::Forked;
        }
        let worked_us: u64 = worked.iter().map(|(from, until)| within(*from, *until)).sum();
        if worked_us < half { Why::NoProcess } else { Why::Host }
    })
}

#[allow(clippy::cast_precision_loss, reason = "a place in a picture is no more exact than that")]
fn float(us: u64) -> f64 {
    us as f64
}
