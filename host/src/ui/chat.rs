//! A run as a conversation, with the calls folded.

use maud::{Markup, html};

use super::bars::{class_of, words};
use super::{Linked, json, text};
use crate::engine::timeline::{Attempt, Kind, Span, Timeline};
use crate::message::{Ending, Message, Outcome, Slot, ToolOutcome};

/// So many spans are shown: a longer conversation is read in parts.
const SPANS_MAX: usize = 1_000;

/// A run as a conversation: its beginning, if it is long.
pub(crate) fn chat(timeline: &Timeline<'_>, linked: Linked) -> Markup {
    chat_from(timeline, linked, 0)
}

/// The same from this request or call of the run's own on.
pub(crate) fn chat_from(timeline: &Timeline<'_>, linked: Linked, from: usize) -> Markup {
    let manifest = timeline.manifest;
    let own =
        |span: &&Span<'_>| span.slot().is_some_and(|slot| slot.run() == Slot::RUN && slot.steps().len() == 1);
    let spans: Vec<&Span<'_>> = timeline.spans.iter().filter(own).collect();
    html! {
        div.chat {
            @if !manifest.instructions.is_empty() {
                details.system { summary { "Instructions" } div.text { (text::block(&manifest.instructions)) } }
            }
            @for message in &manifest.earlier { (before(message)) }
            article.user { h3 { "Person" } div.text { (text::block(&manifest.prompt)) } }
            @if from > 0 { (elsewhere(linked, from.saturating_sub(SPANS_MAX), "Earlier")) }
            @for span in spans.iter().skip(from).take(SPANS_MAX) {
                @let turn = span.slot().and_then(|slot| slot.steps().last().copied());
                @for said in manifest.said.iter().filter(|said| is_model_of(turn, said.turn)) {
                    article.user { h3 { "Person" } div.text { (text::block(&said.text)) } }
                }
                (said(span, linked))
            }
            @if spans.len() > from.saturating_add(SPANS_MAX) {
                p.note { "… and " (spans.len() - from - SPANS_MAX) " more" }
                (elsewhere(linked, from + SPANS_MAX, "Later"))
            }
            @if let Some(Ending::Answer(_)) = timeline.ending {} @else if let Some(reason) = timeline.reason() {
                article.bad { h3 { "End" } div.text { (text::block(&reason)) } }
            }
        }
    }
}

/// The way to another part of the conversation.
fn elsewhere(linked: Linked, from: usize, words: &str) -> Markup {
    match linked {
        Linked::Beside(run) | Linked::Page(run) => {
            html! { p { a href=(format!("/ui/runs/{run}/chat?from={from}")) { (words) } } }
        }
        Linked::Anchor => html! {},
    }
}

fn is_model_of(step: Option<crate::message::Step>, of: u32) -> bool {
    matches!(step, Some(crate::message::Step::Model { turn }) if turn == of)
}

fn before(message: &Message) -> Markup {
    html! {
        @match message {
            Message::User(words) => article.user { h3 { "Person, before" } div.text { (text::block(words)) } },
            Message::Image(image) => article.user { h3 { "Person, before" } p { (image.in_words()) } },
            Message::Assistant(reply) => article.model { h3 { "Model, before" } div.text { (text::block(&reply.text)) } },
            Message::Tool(result) => {
                details.call { summary { (text::line(&result.name)) } div.text { (text::block(&result.model_text())) } }
            }
        }
    }
}

fn said(span: &Span<'_>, linked: Linked) -> Markup {
    match span.kind {
        Kind::Model => html! {
            @if let Some(reply) = span.reply() {
                @if !reply.text.is_empty() { article.model { h3 { "Model" } div.text { (text::block(&reply.text)) } } }
            } @else {
                article.model { h3 { "Model, " (words(span)) }
                    @if let Some(heard) = span.heard { div.text { (text::block(heard)) } }
                    @if let Some(failure) = span.attempts.last().and_then(Attempt::failure) {
                        div.text.bad { (text::block(failure)) }
                    }
                }
            }
        },
        Kind::Summary => html! {
            @if let Some(reply) = span.reply() {
                details.system { summary { "Summary of what was said" } div.text { (text::block(&reply.text)) } }
            }
        },
        Kind::Tool | Kind::Agent | Kind::Person | Kind::Sleep => html! {
            details.call {
                summary {
                    b { (text::beginning(&span.name, 60)) } " "
                    span.state.(class_of(span.stand)) { (words(span)) } " "
                    @if let Some(input) = span.input() { code { (text::beginning(input, 120)) } }
                }
                @if let Some(input) = span.input() { h4 { "Input" } (json::shown(input)) }
                @match span.outcome() {
                    Some(Outcome::Tool(ToolOutcome::Output(output))) => { h4 { "Output" } (json::shown(output.as_str())) }
                    Some(Outcome::Tool(ToolOutcome::Error(error))) => div.text.bad { (text::block(&error.message)) },
                    Some(Outcome::Run(_) | Outcome::Model(_) | Outcome::NoReply(_) | Outcome::Decision(_)) | None => {}
                }
                @if let Some(slot) = span.slot() { p { a href=(linked.to(slot)) { "All of it" } } }
            }
        },
        Kind::Turn | Kind::Approval => html! {},
    }
}
