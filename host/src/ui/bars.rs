//! The timeline of a run: a table with a line for each span and a bar in each line, so that whoever sees no bars reads
//! the same.

use std::ops::Range;

use maud::{Markup, html};

use super::{Linked, anchor, text};
use crate::engine::timeline::{Attempt, Axis, Came, Fold, Kind, Place, Span, Stand, Timeline};
use crate::message::{ErrorKind, Outcome, ToolOutcome, duration};

/// A bar is at least so wide, as a part of the whole: whatever happened can be seen.
const WIDTH_MIN: f64 = 0.002;
/// The deepest level that is set in.
const DEPTH_MAX: usize = 8;
/// So many lines are on a page.
const LINES: usize = 150;

/// The lines that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// All of them.
    All,
    /// Those from this one on, as many as fit on a page.
    From(usize),
    /// The last ones, as many as fit on a page.
    Last,
}

impl Window {
    fn of(self, count: usize) -> Range<usize> {
        let from = match self {
            Self::All => return 0..count,
            Self::From(from) => from.min(count),
            Self::Last => count.saturating_sub(LINES),
        };
        from..from.saturating_add(LINES).min(count)
    }
}

/// A timeline, or some lines of it.
///
/// Of a long one that has a page, it is said how many lines there are and where they can be had: the script scrolls it as
/// if all of them were there.
pub(crate) fn bars(timeline: &Timeline<'_>, window: Window, linked: Linked) -> Markup {
    drawn(timeline, window, Which::All, linked)
}

/// The lines that are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// All of them.
    All,
    /// Those that the run waited for.
    Critical,
}

/// The same of those lines that are meant.
pub(crate) fn drawn(timeline: &Timeline<'_>, window: Window, which: Which, linked: Linked) -> Markup {
    let is_meant = |index: &usize| {
        which == Which::All || timeline.spans.get(*index).is_some_and(|span| span.is_critical)
    };
    let lines: Vec<usize> = (0..timeline.spans.len()).filter(is_meant).collect();
    let range = window.of(lines.len());
    let shown = lines.get(range.clone()).unwrap_or_default();
    let around = shown.first().map(|first| timeline.around(*first)).unwrap_or_default();
    let at = match linked {
        Linked::Beside(run) if timeline.spans.len() > LINES => Some(format!("/ui/runs/{run}")),
        Linked::Beside(_) | Linked::Page(_) | Linked::Anchor => None,
    };
    let is_long = at.is_some();
    html! {
        @if range.start > 0 {
            (elsewhere(range.start.saturating_sub(LINES), "Earlier lines", linked))
        }
        // A line leads to what stands beside the timeline, where there is something beside it.
        div.timeline hx-target=[matches!(linked, Linked::Beside(_)).then_some("#panel")]
            data-lines=[is_long.then_some(lines.len())] data-part=[is_long.then_some(LINES)] data-from=[is_long.then_some(range.start)] data-at=[at] {
            table.bars aria-label="What happened, in the order in which a run goes"
                aria-rowcount=[is_long.then_some(lines.len() + 1)] {
                thead {
                    tr {
                        th scope="col" { "What" }
                        th.axis scope="col" { span.unseen { "When" } (ticks(&timeline.axis)) }
                        th.took scope="col" { "Took" }
                        th.stand scope="col" { "State" }
                    }
                }
                tbody {
                    @for index in around {
                        @if let Some(span) = timeline.spans.get(index) { (row(timeline, span, linked, "around", None)) }
                    }
                    @for (line, index) in range.clone().zip(shown) {
                        @if let Some(span) = timeline.spans.get(*index) {
                            (row(timeline, span, linked, "line", is_long.then_some(line)))
                        }
                    }
                }
            }
        }
        @if range.end < lines.len() {
            (elsewhere(range.end, "Later lines", linked))
        }
        (folds(timeline))
    }
}

/// The way to other lines.
fn elsewhere(from: usize, words: &str, linked: Linked) -> Markup {
    match linked {
        Linked::Beside(run) | Linked::Page(run) => html! {
            p.elsewhere { a href=(format!("/ui/runs/{run}?from={from}")) { (words) } " (from line " (from + 1) ")" }
        },
        Linked::Anchor => html! {},
    }
}

fn percent(part: f64) -> String {
    format!("{:.3}%", part * 100.0)
}

/// The moments above the bars.
fn ticks(axis: &Axis) -> Markup {
    html! {
        div.ticks { svg aria-hidden="true" focusable="false" width="100%" height="18" {
            @for tick in axis.ticks() {
                line x1=(percent(tick.at)) x2=(percent(tick.at)) y1="12" y2="18" {}
                text x=(percent(tick.at)) y="10" text-anchor=(if tick.at > 0.93 { "end" } else { "start" }) {
                    (duration(tick.us))
                }
            }
        } }
    }
}

/// What is drawn shorter than it was, in words.
fn folds(timeline: &Timeline<'_>) -> Markup {
    let folds = timeline.axis.folds();
    html! {
        @if !folds.is_empty() {
            ul.folds {
                @for Fold { from_us, until_us, why } in folds {
                    li { "After " (duration(*from_us)) ": " (duration(until_us - from_us)) ", drawn shorter; " (why) "." }
                }
            }
        }
    }
}

/// A line. Where others are left out, it says which it is.
fn row(timeline: &Timeline<'_>, span: &Span<'_>, linked: Linked, class: &str, line: Option<usize>) -> Markup {
    let depth = format!("d{}", span.depth.min(DEPTH_MAX));
    html! {
        tr class=(format!("{class} {}", class_of_row(span))) aria-rowindex=[line.map(|line| line + 2)] {
            th.what.(depth) scope="row" { (name(span, linked)) }
            td.bar { (bar(&timeline.axis, span)) }
            td.took { @if span.stand != Stand::Due { (duration(span.took_us())) } }
            td.stand { (stand(span)) }
        }
    }
}

fn class_of_row(span: &Span<'_>) -> String {
    let mut class = format!("k-{} s-{}", span.kind.word(), class_of(span.stand));
    if span.is_critical {
        class.push_str(" critical");
    }
    if span.is_shared {
        class.push_str(" shared");
    }
    class
}

/// The class of what stands so.
pub(super) fn class_of(stand: Stand) -> &'static str {
    match stand {
        Stand::Done => "good",
        Stand::Failed | Stand::GivenUp => "bad",
        Stand::Waits(_) => "waits",
        Stand::InDoubt => "doubt",
        Stand::Again | Stand::GoesOn => "live",
        Stand::CutOff | Stand::Stopped => "off",
        Stand::Due => "due",
    }
}

fn name(span: &Span<'_>, linked: Linked) -> Markup {
    let words = match span.kind {
        Kind::Turn => html! { (span.name) },
        Kind::Model => html! { "model" },
        Kind::Summary => html! { "summary" },
        Kind::Approval => html! { "approval" },
        Kind::Tool | Kind::Agent | Kind::Person | Kind::Sleep => text::beginning(&span.name, 60),
    };
    match &span.place {
        Place::Turn { .. } => words,
        Place::At(slot) => {
            let to = linked.to(slot);
            let id = format!("row-{}", anchor(slot));
            html! {
                @match linked {
                    Linked::Beside(_) => a id=(id) href=(to) hx-get=(to) { (words) },
                    Linked::Page(_) | Linked::Anchor => a id=(id) href=(to) { (words) },
                }
                " " small { (slot) }
            }
        }
    }
}

/// How a span stands, with what is worth a look: a retry, a denial, who decided.
fn stand(span: &Span<'_>) -> Markup {
    let denied = span.denials().count();
    html! {
        span.mark aria-hidden="true" { (mark(span.stand)) }
        " " (words(span))
        @if let Some(tries) = span.tries() { " " span.tag { "attempt " (tries) } }
        @if denied > 0 { " " span.tag.warn { (denied) " denied" } }
        @if let Some((Some(by), _)) = span.said_by() { " " span.tag { "by " (text::beginning(&by.name, 24)) } }
        @if span.is_shared { " " span.tag { "of the run before" } }
    }
}

/// A sign for how a span stands, of those that every font has.
fn mark(stand: Stand) -> char {
    match stand {
        Stand::Waits(_) => '‖',
        Stand::Again => '»',
        Stand::Done
        | Stand::Failed
        | Stand::InDoubt
        | Stand::GivenUp
        | Stand::GoesOn
        | Stand::CutOff
        | Stand::Stopped
        | Stand::Due => stand.mark(),
    }
}

/// How a span stands: of a failure, which kind it is.
pub(crate) fn words(span: &Span<'_>) -> &'static str {
    match (span.kind, span.outcome()) {
        (Kind::Approval, Some(_)) => {
            if span.stand == Stand::Done {
                "approved"
            } else {
                "denied"
            }
        }
        (_, Some(Outcome::Tool(ToolOutcome::Error(error)))) => ErrorKind::as_str(error.kind),
        _ => span.stand.word(),
    }
}

fn bar(axis: &Axis, span: &Span<'_>) -> Markup {
    let encloses = matches!(span.kind, Kind::Turn | Kind::Agent);
    html! {
        svg aria-hidden="true" focusable="false" width="100%" height="20" {
            @for fold in axis.folds() { (rect(axis, "fold", fold.from_us, fold.until_us, "0", "20")) }
            @if encloses || span.attempts.is_empty() {
                (rect(axis, "whole", span.began_us, span.until_us, "8", "4"))
            } @else {
                (rect(axis, "pause", span.began_us, span.until_us, "9", "2"))
                @for attempt in &span.attempts {
                    (rect(axis, came(span, attempt), attempt.works_from_us(), attempt.until_us, "4", "12"))
                }
            }
        }
    }
}

/// The class of the bar of an attempt.
fn came(span: &Span<'_>, attempt: &Attempt<'_>) -> &'static str {
    match attempt.came {
        Came::Failed(_) => "bad",
        Came::CutOff => "off",
        Came::Finished(_) | Came::Open => class_of(span.stand),
    }
}

fn rect(axis: &Axis, class: &str, from_us: u64, until_us: u64, y: &str, height: &str) -> Markup {
    let from = axis.at(from_us).min(1.0 - WIDTH_MIN);
    let width = (axis.at(until_us) - from).max(WIDTH_MIN);
    html! { rect class=(class) x=(percent(from)) width=(percent(width)) y=(y) height=(height) rx="2" {} }
}
