//! The head of a run: what it is, how it stands, and what it used.

use maud::{Markup, html};

use super::{Linked, text};
use crate::engine::timeline::{Attempt, Span, Stand, Timeline};
use crate::journal::RunState;
use crate::message::{Ending, Fork, Manifest, Moment, Tokens, Used, duration};

/// How a run stands, as a word in its colour.
pub(crate) fn state(state: RunState) -> Markup {
    let class = match state {
        RunState::Answered => "good",
        RunState::Failed | RunState::Refused | RunState::Limited | RunState::Unfit | RunState::Empty => "bad",
        RunState::Suspended => "waits",
        RunState::Interrupted => "doubt",
        RunState::Running => "live",
        RunState::Queued => "due",
        RunState::Cancelled => "off",
    };
    html! { span.state.(class) { (state.word()) } }
}

/// What a run is, how it stands, and what it used.
pub(crate) fn facts(timeline: &Timeline<'_>, linked: Linked) -> Markup {
    let Manifest { model, prompt, session, forked, said, .. } = timeline.manifest;
    let used = &timeline.used;
    let Tokens { input, output } = used.tokens;
    html! {
        dl.facts {
            div { dt { "State" } dd { (state(timeline.state)) } }
            div { dt { "Model" } dd { (text::line(&format!("{}/{}", model.provider, model.name))) } }
            div { dt { "Began" } dd { (moment(timeline.run.started_ms())) } }
            div { dt { "Took" } dd { (duration(timeline.own_us()))
                @if timeline.stints.len() > 1 { ", in " (timeline.stints.len()) " processes" } } }
            div { dt { "Used" } dd { (counted(used.turns, "turn")) ", " (counted(used.tool_calls, "tool call")) } }
            @if used.tokens != Tokens::default() {
                div { dt { "Tokens" } dd { (input) " in, " (output) " out" } }
            }
            @if let Some(cost) = used.cost_usd { div { dt { "Cost" } dd { (format!("{cost:.6} USD")) } } }
            (budgets(timeline))
            @if let Some(session) = session { div { dt { "Session" } dd { (text::line(session.as_str())) } } }
            @if let Some(Fork { run, turn }) = forked {
                div { dt { "Forked" } dd {
                    "from " a href=(format!("/ui/runs/{run}")) { (run) } " at turn " (turn)
                    @if let Linked::Page(own) = linked { "; " a href=(format!("/ui/compare?one={run}&other={own}")) { "compare the two" } }
                } }
            }
        }
        section.said { h2 { "Asked" } div.text { (text::block(prompt)) } }
        @for word in said { section.said { h2 { "Said before turn " (word.turn) } div.text { (text::block(&word.text)) } } }
        (answer(timeline, linked))
    }
}

/// How much is used of what the run may use.
#[allow(clippy::cast_precision_loss, reason = "a part in a picture is no more exact than that")]
fn budgets(timeline: &Timeline<'_>) -> Markup {
    let Manifest { max_turns, budgets, .. } = timeline.manifest;
    let Used { turns, tool_calls, tokens, cost_usd, .. } = &timeline.used;
    let all_tokens = tokens.input.saturating_add(tokens.output);
    let of = |what, used: f64, max: Option<f64>, shown: String| max.map(|max| (what, used, max, shown));
    let calls = budgets.max_tool_calls;
    let total = budgets.max_total_tokens;
    let cost = cost_usd.unwrap_or_default();
    let all = [
        of("turns", f64::from(*turns), Some(f64::from(*max_turns)), format!("{turns} of {max_turns} turns")),
        of(
            "calls",
            f64::from(*tool_calls),
            calls.map(f64::from),
            format!("{tool_calls} of {} tool calls", calls.unwrap_or_default()),
        ),
        of(
            "tokens",
            all_tokens as f64,
            total.map(|total| total as f64),
            format!("{all_tokens} of {} tokens", total.unwrap_or_default()),
        ),
        of("cost", cost, budgets.max_cost_usd, {
            format!("{cost:.4} of {:.4} USD", budgets.max_cost_usd.unwrap_or_default())
        }),
    ];
    html! {
        div { dt { "Budget" } dd.budget {
            @for (what, used, max, shown) in all.into_iter().flatten() {
                span { meter min="0" max=(max) high=(max * 0.8) value=(used.min(max)) aria-label=(what) {} " " (shown) }
            }
        } }
    }
}

fn answer(timeline: &Timeline<'_>, linked: Linked) -> Markup {
    let answer = match timeline.ending {
        Some(Ending::Answer(answer) | Ending::Unfit { answer, .. }) => Some(answer),
        Some(Ending::Refused(_) | Ending::Limit(_) | Ending::Empty(_) | Ending::Cancelled(_)) | None => None,
    };
    html! {
        @if let Some(answer) = answer { section.said { h2 { "Answered" } div.text { (text::block(answer)) } } }
        @if let Some(reason) = timeline.reason() {
            section.said.bad { h2 { "Why it " (why(timeline)) } div.text { (text::block(&reason)) } }
        }
        @for revival in &timeline.revivals {
            p { "It was " (text::line(&revival.cancelled.to_string())) " at " (moment(revival.cancelled_ms))
                ", and went on at " (moment(revival.at_ms)) "." }
        }
        (troubles(timeline, linked))
    }
}

fn why(timeline: &Timeline<'_>) -> &'static str {
    match timeline.state {
        RunState::Limited => "was stopped",
        RunState::Unfit => "is of no use",
        RunState::Refused => "was refused",
        RunState::Empty => "has no answer",
        RunState::Cancelled => "was cancelled",
        RunState::Queued
        | RunState::Running
        | RunState::Interrupted
        | RunState::Suspended
        | RunState::Answered => "stands still",
        RunState::Failed => "failed",
    }
}

/// The calls that failed or were denied something: what somebody looks for first.
fn troubles(timeline: &Timeline<'_>, linked: Linked) -> Markup {
    // Of the request that was given up it is said above why.
    let gave_up = timeline.gave_up().and_then(Span::slot);
    let is_trouble = |span: &&Span<'_>| {
        matches!(span.stand, Stand::Failed | Stand::InDoubt | Stand::GivenUp) && span.slot() != gave_up
            || span.denials().next().is_some()
    };
    let found: Vec<_> =
        timeline.spans.iter().filter(|span| span.slot().is_some()).filter(is_trouble).take(20).collect();
    html! {
        @if !found.is_empty() {
            section.troubles {
                h2 { "What went wrong" }
                ul {
                    @for span in found {
                        li {
                            b { (text::beginning(&span.name, 60)) } " "
                            @if let Some(slot) = span.slot() { small { a href=(linked.to(slot)) { (slot) } } ": " }
                            @match span.attempts.last().and_then(Attempt::failure) {
                                Some(failure) => span.text { (text::block(text::cut(failure, 300).0)) },
                                None => (super::bars::words(span)),
                            }
                            @for denial in span.denials().take(3) { (super::detail::denied(denial)) }
                        }
                    }
                }
            }
        }
    }
}

/// A moment as a machine and a person read it.
pub(crate) fn moment(ms: u64) -> Markup {
    // As RFC 3339 has it for a machine, and with a blank for a person.
    let shown = Moment(ms).to_the_second().replace('T', " ").replace('Z', " UTC");
    html! { time datetime=(Moment(ms).to_the_millisecond()) { (shown) } }
}

fn counted(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
