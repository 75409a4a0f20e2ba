//! Everything that is recorded of one thing as plain text, in pages: what is too long to stand beside the timeline.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::path;
use super::text::{SHOWN_BYTES_MAX, written};
use crate::engine::timeline::{Attempt, Span};
use crate::message::{Decision, Outcome, Reply, RunId, Slot, ToolCall, ToolOutcome, Trace};

/// A page of it, from this byte on.
pub(crate) fn whole(run: RunId, slot: &Slot, span: &Span<'_>, from: usize) -> Markup {
    let all = recorded(span);
    let from = all.floor_char_boundary(from);
    let until = all.floor_char_boundary(from.saturating_add(SHOWN_BYTES_MAX));
    let to = |from: usize| format!("/ui/runs/{run}/whole/{}?from={from}", path(slot));
    html! {
        nav.pages aria-label="Pages of this text" {
            @if from > 0 { a href=(to(from.saturating_sub(SHOWN_BYTES_MAX))) { "Earlier" } " " }
            "Bytes " (from) " to " (until) " of " (all.len())
            @if until < all.len() { " " a href=(to(until)) { "Later" } }
        }
        pre { (written(all.get(from..until).unwrap_or_default(), true)) }
    }
}

/// The input, what came of it, and what was noted meanwhile.
fn recorded(span: &Span<'_>) -> String {
    let mut all = String::new();
    if let Some(input) = span.input() {
        part(&mut all, "Input", input);
    }
    for attempt in &span.attempts {
        let came = attempt.outcome().map(outcome).unwrap_or_default();
        part(&mut all, &format!("Attempt {}", attempt.number), &came);
        if let Some((_, trace)) = attempt.noted() {
            noted(&mut all, attempt, trace);
        }
    }
    all
}

fn part(all: &mut String, head: &str, text: &str) {
    let apart = if all.is_empty() { "" } else { "\n" };
    // Writing to a string cannot fail.
    let _ = writeln!(all, "{apart}== {head}\n{text}");
}

fn noted(all: &mut String, attempt: &Attempt<'_>, trace: &Trace) {
    let Trace { log, http, denials } = trace;
    let lines = |lines: Vec<String>| lines.join("\n");
    let of = format!("of attempt {}", attempt.number);
    if !denials.is_empty() {
        let denied = denials.iter().map(|it| format!("{}\n{}", it.what, it.grant)).collect();
        part(all, &format!("Denials {of}"), &lines(denied));
    }
    if !http.is_empty() {
        part(all, &format!("Requests {of}"), &lines(http.iter().map(ToString::to_string).collect()));
    }
    if !log.is_empty() {
        let line = |line: &crate::message::LogLine| format!("{} | {}", line.from, line.text);
        part(all, &format!("Log {of}"), &lines(log.iter().map(line).collect()));
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Model(reply) => replied(reply),
        Outcome::NoReply(failure) => failure.message.clone(),
        Outcome::Tool(ToolOutcome::Output(output)) => output.as_str().to_owned(),
        Outcome::Tool(ToolOutcome::Error(error)) => error.to_string(),
        Outcome::Decision(Decision::Approved { input }) => input
            .as_ref()
            .map_or_else(|| "approved".to_owned(), |input| format!("approved with {}", input.as_str())),
        Outcome::Decision(Decision::Denied { reason }) => {
            format!("denied: {}", reason.as_deref().unwrap_or_default())
        }
        Outcome::Run(ending) => serde_json::to_string(ending).unwrap_or_default(),
    }
}

fn replied(reply: &Reply) -> String {
    let call =
        |ToolCall { name, arguments, .. }: &ToolCall| format!("calls {name} {}", arguments.as_written());
    let calls = reply.calls.iter().map(call);
    std::iter::once(reply.text.clone())
        .filter(|text| !text.is_empty())
        .chain(calls)
        .collect::<Vec<_>>()
        .join("\n")
}
