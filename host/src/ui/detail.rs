//! All that is recorded of one thing in a run.

use bytesize::ByteSize;
use maud::{Markup, html};

use super::bars::{class_of, words};
use super::facts::moment;
use super::{Linked, json, text};
use crate::engine::timeline::{Attempt, Came, Kind, Span, Timeline};
use crate::message::{
    Arguments, Decision, Denial, HttpRecord, MessageRef, ModelAsk, Outcome, Remedy, Reply, Request, Slot,
    Tokens, ToolAsk, ToolEntry, ToolOutcome, Trace, Usage, duration,
};

/// So many log lines and requests are shown of an attempt.
const NOTED_MAX: usize = 500;

/// All that is recorded of a span.
pub(crate) fn detail(timeline: &Timeline<'_>, span: &Span<'_>, linked: Linked) -> Markup {
    html! {
        header {
            h2 { (span.kind.word()) " " span.name { (text::line(&span.name)) } }
            p {
                span.state.(class_of(span.stand)) { (words(span)) } " "
                @if let Some(slot) = span.slot() { code { (slot) } }
                ", began " (moment(timeline.moment_ms(span.began_us)))
                ", " (duration(span.began_us)) " into the run, took " (duration(span.took_us())) "."
                @if span.is_critical { " The run waited for it." }
            }
        }
        @if let Some((by, settled)) = span.said_by() {
            p { @if settled { "Settled" } @else { "Said" } " by "
                @match by { Some(by) => (text::line(&by.to_string())), None => "a person" } "." }
        }
        @if let Some(heard) = span.heard { section { h3 { "Heard so far" } div.text { (text::block(heard)) } } }
        @if let Some(request) = span.request() { (asked(timeline, span, request, linked)) }
        @if let Some(outcome) = span.outcome() { (came_to(outcome)) }
        @for attempt in &span.attempts { (tried(timeline, span, attempt)) }
        @if let Some(ask) = span.ask() { (tool(timeline, span, ask, linked)) }
        @if let (Linked::Page(run), Some(slot)) = (linked, span.slot()) {
            p { a href=(format!("/ui/runs/{run}/whole/{}", super::path(slot))) { "All of it as plain text" } }
        }
    }
}

fn asked(timeline: &Timeline<'_>, span: &Span<'_>, request: &Request, linked: Linked) -> Markup {
    match request {
        Request::Model(ask) => messages(timeline, span, ask, linked),
        Request::Api(ask) => html! {
            section {
                h3 { "Asked by the program, by " (ask.dialect) }
                @if let Some(after) = &ask.after {
                    p { "The first " (after.items) " items of the conversation are those of " code { (after.slot) } "." }
                }
                (json::shown(ask.body.as_str()))
            }
        },
        Request::Tool(ask) | Request::Approval(ask) => html! {
            section {
                h3 { "Input" }
                @match &ask.arguments {
                    Arguments::Json(input) => (json::shown(input.as_str())),
                    Arguments::Malformed(input) => { p { "It is no JSON." } pre { (text::block(input)) } }
                }
                @if let Some(id) = &ask.client_id { p { "The program made the call as " code { (text::line(id)) } "." } }
            }
        },
        Request::Run(_) => html! {},
    }
}

/// What a request has that the one before it had not.
fn messages(timeline: &Timeline<'_>, span: &Span<'_>, ask: &ModelAsk, linked: Linked) -> Markup {
    let at = |slot: &Slot| html! { a href=(linked.to(slot)) { (slot) } };
    html! {
        section {
            h3 { "Asked with " (ask.messages) " messages; new among them" }
            ul {
                @for message in &ask.appended {
                    li {
                        @match message {
                            MessageRef::Earlier => { "what was said in the runs before" }
                            MessageRef::Compacted(slot) => { "the summary at " (at(slot)) }
                            MessageRef::Prompt => { "the prompt: " (text::beginning(&timeline.manifest.prompt, 300)) }
                            MessageRef::Image(index) => { "picture " (index) (picture(timeline, *index)) }
                            MessageRef::Said(turn) => { "what was said before turn " (turn) }
                            MessageRef::At(slot) => { "what came of " (at(slot)) }
                            MessageRef::Note(words) => { "a word of the host: " (text::beginning(words, 300)) }
                            MessageRef::Told(told) => { "a word of the host: " (text::beginning(&told.text, 300)) }
                        }
                    }
                }
            }
            @if let (Linked::Page(run), Some(slot)) = (linked, span.slot()) {
                p { a href=(format!("/ui/runs/{run}/request/{}", super::path(slot))) { "The request as it was sent" }
                    ", and in what it differs from the one before" }
            }
        }
    }
}

fn picture(timeline: &Timeline<'_>, index: u32) -> Markup {
    let image = usize::try_from(index).ok().and_then(|index| timeline.manifest.images.get(index));
    html! {
        @if let Some(image) = image {
            br;
            img src=(format!("data:{};base64,{}", image.media_type.as_str(), image.data)) alt=(image.in_words());
        }
    }
}

fn came_to(outcome: &Outcome) -> Markup {
    html! {
        section {
            @match outcome {
                Outcome::Model(reply) => { h3 { "Reply" } (replied(reply)) }
                Outcome::NoReply(failure) => { h3 { "No reply" } div.text.bad { (text::block(&failure.message)) } }
                Outcome::Tool(ToolOutcome::Output(output)) => { h3 { "Output" } (json::shown(output.as_str())) }
                Outcome::Tool(ToolOutcome::Error(error)) => {
                    h3 { "Error: " (error.kind.as_str()) }
                    div.text.bad { (text::block(&error.message)) }
                }
                Outcome::Decision(Decision::Approved { input }) => {
                    h3 { "Approved" }
                    @if let Some(input) = input { p { "With another input:" } (json::shown(input.as_str())) }
                }
                Outcome::Decision(Decision::Denied { reason }) => {
                    h3 { "Denied" }
                    @if let Some(reason) = reason { div.text { (text::block(reason)) } }
                }
                Outcome::Run(_) => {}
            }
        }
    }
}

/// What a model replied.
pub(super) fn replied(reply: &Reply) -> Markup {
    let Tokens { input, output } = reply.tokens;
    html! {
        @if !reply.text.is_empty() { div.text { (text::block(&reply.text)) } }
        @for call in &reply.calls {
            details open {
                summary { "calls " b { (text::line(&call.name)) } }
                @match &call.arguments {
                    Arguments::Json(input) => (json::shown(input.as_str())),
                    Arguments::Malformed(input) => pre { (text::block(input)) },
                }
            }
        }
        @if reply.text.is_empty() && reply.calls.is_empty() { p { "It said nothing." } }
        p.note {
            (input) " tokens in, " (output) " out"
            @if let Some(origin) = &reply.origin { "; by " (text::line(&origin.to_string())) }
        }
    }
}

fn tried(timeline: &Timeline<'_>, span: &Span<'_>, attempt: &Attempt<'_>) -> Markup {
    let failure = if matches!(attempt.came, Came::Failed(_)) { attempt.failure() } else { None };
    let is_only = span.attempts.len() == 1 && failure.is_none();
    if is_only && attempt.noted().is_none_or(|(usage, trace)| trace.is_empty() && usage.memory_bytes == 0) {
        return html! {};
    }
    html! {
        section.attempt {
            h3 {
                "Attempt " (attempt.number) ": "
                @match attempt.came {
                    Came::Failed(failed) => {
                        "failed"
                        @if failed.gave_up { ", and given up" }
                        @else { ", again after " (duration(failed.retry_ms.saturating_mul(1000))) }
                    }
                    Came::Finished(_) => "ended",
                    Came::CutOff => "its process ended first",
                    Came::Open => (span.stand.word()),
                }
            }
            p.note { "Began " (moment(timeline.moment_ms(attempt.began_us))) ", took " (duration(attempt.took_us())) "." }
            @if let Some(failure) = failure { div.text.bad { (text::block(failure)) } }
            @if let Some((usage, trace)) = attempt.noted() { (noted(usage, trace)) }
        }
    }
}

fn noted(usage: &Usage, trace: &Trace) -> Markup {
    let bytes = |n: u64| ByteSize(n).display().iec().to_string();
    html! {
        @if usage.memory_bytes > 0 {
            dl.facts {
                div { dt { "Processor" } dd { (duration(usage.cpu_us)) } }
                div { dt { "Memory" } dd { (bytes(usage.memory_bytes)) } }
                div { dt { "In" } dd { (bytes(usage.in_bytes)) } }
                div { dt { "Out" } dd { (bytes(usage.out_bytes)) } }
                @if usage.fuel > 0 { div { dt { "Fuel" } dd { (usage.fuel) } } }
            }
        }
        @for denial in &trace.denials { (denied(denial)) }
        @if !trace.http.is_empty() {
            h4 { "Requests" }
            div.wide {
                table {
                    thead { tr { th scope="col" { "Request" } th scope="col" { "Came" } th scope="col" { "Sent" }
                        th scope="col" { "Received" } th scope="col" { "Took" } } }
                    tbody { @for record in trace.http.iter().take(NOTED_MAX) { (request(record)) } }
                }
            }
            (left_out(trace.http.len()))
        }
        @if !trace.log.is_empty() {
            h4 { "Log" }
            ol.log { @for line in trace.log.iter().take(NOTED_MAX) {
                li { span.from { (text::line(&line.from)) } " " (text::line(&line.text)) } } }
            (left_out(trace.log.len()))
        }
    }
}

fn left_out(count: usize) -> Markup {
    html! { @if count > NOTED_MAX { p.note { "… and " (count - NOTED_MAX) " more" } } }
}

pub(super) fn denied(denial: &Denial) -> Markup {
    let Denial { what, grant, remedy } = denial;
    let how = match remedy {
        Remedy::Add => "To grant it, add to agent.toml:",
        Remedy::Instead => "To grant it, let agent.toml say instead:",
        Remedy::FillIn => "To grant it, fill this in and add it to agent.toml:",
    };
    html! {
        div.denial {
            p { b { "Denied: " } (text::line(what)) }
            @if grant.is_empty() { p { "Nothing in agent.toml can grant this." } }
            @else { p { (how) } pre { (text::block(grant)) } }
        }
    }
}

fn request(record: &HttpRecord) -> Markup {
    let HttpRecord { method, url, address, status, error, sent_bytes, received_bytes, ms } = record;
    html! {
        tr {
            td { (text::line(method)) " " (text::line(url)) @if let Some(address) = address { br; small { "at " (text::line(address)) } } }
            td { @if let Some(status) = status { (status) " " } @if let Some(error) = error { (text::line(error)) } }
            td { (sent_bytes) " B" }
            td { (received_bytes) " B" }
            td { (ms) " ms" }
        }
    }
}

/// What exactly was called.
fn tool(timeline: &Timeline<'_>, span: &Span<'_>, ask: &ToolAsk, linked: Linked) -> Markup {
    let entry = timeline.manifest.tools.iter().find(|tool| tool.spec.name == ask.name);
    html! {
        section {
            h3 { "What was called" }
            dl.facts {
                @if let Some(target) = &ask.target {
                    div { dt { "Component" } dd { code { (target.component) } } }
                    div { dt { "Digest of its grants" } dd { code { (target.grants) } } }
                } @else { div { dt { "Component" } dd { "no tool has this name" } } }
            }
            // A file has them once, and not with each call.
            @if let Some(entry) = entry.filter(|_| span.kind != Kind::Approval && linked != Linked::Anchor) {
                (promised(entry))
            }
        }
    }
}

/// What a tool says of itself.
pub(super) fn promised(entry: &ToolEntry) -> Markup {
    html! {
        p { (text::block(&entry.spec.description)) }
        details { summary { "Schema of its input" } (json::shown(entry.spec.input_schema.as_str())) }
        @if let Some(schema) = &entry.spec.output_schema {
            details { summary { "Schema of its output" } (json::shown(schema.as_str())) }
        }
    }
}

/// The lines of a difference in unified form.
pub(crate) fn diff_lines(diff: &str) -> Markup {
    html! {
        pre.diff {
            @for line in diff.lines() {
                @match line.as_bytes().first() {
                    Some(b'+') => span.add { (text::block(line)) "\n" },
                    Some(b'-') => span.del { (text::block(line)) "\n" },
                    _ => { (text::block(line)) "\n" }
                }
            }
        }
    }
}
