//! What is recorded, in a person's words, one line for each thing.

use std::fmt::Write as _;

use console::Style;

use crate::message::{
    Decision, Denial, Ending, Outcome, Remedy, Reply, Request, Slot, Tokens, ToolAsk, ToolOutcome, Used,
    clean, spelled_out,
};

/// As much of a text as is made ready for a line that a terminal cuts: more than any is wide. An output may have hundreds
/// of megabytes.
const TERMINAL_BYTES_MAX: usize = 16 << 10;

/// Where something is shown: colours are for a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// Among results.
    Stdout,
    /// Along the way.
    Stderr,
}

impl Channel {
    /// No style yet, of a text that is shown there.
    pub(super) fn style(self) -> Style {
        match self {
            Self::Stdout => Style::new().for_stdout(),
            Self::Stderr => Style::new().for_stderr(),
        }
    }
}

/// What was denied, and below it what would grant it.
pub(super) fn denial(denial: &Denial, channel: Channel) -> Vec<String> {
    let Denial { what, grant, remedy } = denial;
    let denied = channel.style().yellow().apply_to("denied");
    if grant.is_empty() {
        return vec![format!("{denied} | {}; nothing in agent.toml can grant this", one_line(what))];
    }
    let how = match remedy {
        Remedy::Add => "to grant it, add to agent.toml:",
        Remedy::Instead => "to grant it, let agent.toml say instead:",
        Remedy::FillIn => "to grant it, fill this in and add it to agent.toml:",
    };
    let first = format!("{denied} | {}; {how}", one_line(what));
    std::iter::once(first).chain(grant.lines().map(|line| format!("           {}", one_line(line)))).collect()
}

/// What is asked for, in one line.
pub(super) fn headline(slot: &Slot, request: &Request) -> String {
    headline_within(slot, request, usize::MAX)
}

/// What is asked for, in a line of a terminal.
pub(super) fn short_headline(slot: &Slot, request: &Request) -> String {
    headline_within(slot, request, TERMINAL_BYTES_MAX)
}

fn headline_within(slot: &Slot, request: &Request, bytes_max: usize) -> String {
    match request {
        Request::Run(manifest) => format!("{slot} {}", one_line(&manifest.agent)),
        Request::Model(ask) => format!("{slot} {}", counted(ask.messages as usize, "message")),
        Request::Api(ask) => format!("{slot} {} {}", ask.dialect, one_line(&ask.model)),
        Request::Tool(ask) | Request::Approval(ask) => format!("{slot} {}", call_within(ask, bytes_max)),
    }
}

/// What came of it, in one line, and whether that is good.
pub(super) fn result(outcome: &Outcome) -> (bool, String) {
    result_within(outcome, usize::MAX)
}

/// What came of it, in a line of a terminal, and whether that is good.
pub(super) fn short_result(outcome: &Outcome) -> (bool, String) {
    result_within(outcome, TERMINAL_BYTES_MAX)
}

fn result_within(outcome: &Outcome, bytes_max: usize) -> (bool, String) {
    let line = |text: &str| one_line(cut(text, bytes_max));
    match outcome {
        Outcome::Run(Ending::Answer(text)) => (true, format!("answer: {}", line(text))),
        Outcome::Run(Ending::Refused(text)) => (false, format!("refused: {}", line(text))),
        Outcome::Run(Ending::Unfit { why, .. }) => (false, format!("unfit: {}", line(why))),
        Outcome::Run(Ending::Empty(why)) => (false, format!("empty: {}", line(why))),
        Outcome::Run(Ending::Cancelled(cancelled)) => (false, line(&cancelled.to_string())),
        Outcome::Run(Ending::Limit(text)) => (false, format!("limit: {}", line(text))),
        Outcome::NoReply(failure) => (false, line(&failure.message)),
        Outcome::Model(reply) => (true, describe_reply(reply, line)),
        Outcome::Tool(ToolOutcome::Output(json)) => (true, line(json.as_str())),
        Outcome::Tool(ToolOutcome::Error(error)) => (false, line(&error.to_string())),
        Outcome::Decision(decision) => decided_within(decision, bytes_max),
    }
}

fn describe_reply(reply: &Reply, line: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    if !reply.calls.is_empty() {
        let names: Vec<String> = reply.calls.iter().map(|call| spelled_out(&call.name)).collect();
        // Writing to a string cannot fail.
        let _ = write!(text, "calls {}", names.join(", "));
    }
    if !reply.text.is_empty() {
        let separator = if text.is_empty() { "" } else { "; " };
        let _ = write!(text, "{separator}says {}", line(&reply.text));
    }
    if text.is_empty() { "says nothing".to_owned() } else { text }
}

/// As much of a text as so many bytes have, in whole characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// Text without line breaks and without anything a terminal could take for a command.
pub(super) fn one_line(text: &str) -> String {
    clean(&text.replace(['\n', '\r', '\t', '\u{85}', '\u{2028}', '\u{2029}'], " ")).into_owned()
}

/// The first line of a text, as far as it fits beside other things in a list.
pub(super) fn beginning(text: &str) -> String {
    console::truncate_str(&one_line(text.trim_start().lines().next().unwrap_or_default()), 60, "…")
        .into_owned()
}

/// Text below a word that stands before its first line: every other line is set in by so much, so that no line of it
/// looks like one of the host's.
pub(super) fn set_in(text: &str, by: usize) -> String {
    let line_break = format!("\n{}", " ".repeat(by));
    clean(&text.replace(['\r', '\u{85}', '\u{2028}', '\u{2029}'], "\n")).trim_end().replace('\n', &line_break)
}

/// So many of a thing: `1 tool`, `2 tools`.
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A decision in one line.
pub(super) fn decided(decision: &Decision) -> (bool, String) {
    decided_within(decision, usize::MAX)
}

fn decided_within(decision: &Decision, bytes_max: usize) -> (bool, String) {
    let line = |text: &str| one_line(cut(text, bytes_max));
    match decision {
        Decision::Approved { input: None } => (true, "approved".to_owned()),
        Decision::Approved { input: Some(input) } => {
            (true, format!("approved with {}", line(input.as_str())))
        }
        Decision::Denied { reason: None } => (false, "denied".to_owned()),
        Decision::Denied { reason: Some(reason) } => (false, format!("denied: {}", line(reason))),
    }
}

/// A call, with nothing in it that hides or reorders text: it may be what a person is to decide on.
pub(super) fn call(ask: &ToolAsk) -> String {
    call_within(ask, usize::MAX)
}

fn call_within(ask: &ToolAsk, bytes_max: usize) -> String {
    format!("{} {}", spelled_out(&ask.name), spelled_out(cut(ask.arguments.as_written(), bytes_max)))
}

/// What a run used. Tokens and cost are left out where nobody said how many tokens there were.
pub(super) fn used(it: &Used) -> String {
    let Used { turns, tool_calls, tokens, cost_usd, untold: _ } = it;
    let mut words = vec![counted(*turns as usize, "turn"), counted(*tool_calls as usize, "tool call")];
    if *tokens != Tokens::default() {
        let Tokens { input, output } = tokens;
        words.push(format!("{} tokens ({input} in, {output} out)", input.saturating_add(*output)));
        words.extend(cost_usd.map(|cost| format!("{cost:.6} USD")));
    }
    words.join(", ")
}
