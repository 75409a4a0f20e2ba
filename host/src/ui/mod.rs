//! Pages: a run, and what is around it, as HTML.
//!
//! Owns how things look in a browser: the pages of a server ([`crate::server`] says where they are and who may see them)
//! and the file that a run is shared as. Derives nothing: a run comes as a [`Timeline`]. Invariants: whatever a guest, a
//! model or a service said is text on a page, in which nothing is hidden or reordered (`text`); no page has a script or a
//! style in it, but for the file, whose own ones are named by their digests in its policy; nothing is loaded from
//! elsewhere.

mod assets;
mod bars;
mod chat;
mod detail;
mod facts;
mod file;
mod json;
mod text;
mod whole;

pub(crate) use assets::{VERSION, asset};
pub(crate) use bars::{Which, Window, bars, drawn, words as stand};
pub(crate) use chat::{chat, chat_from};
pub(crate) use detail::{detail, diff_lines};
pub(crate) use facts::{facts, moment, state};
pub use file::file;
pub(crate) use json::shown as json;
pub(crate) use text::{beginning, block, line};
pub(crate) use whole::whole;

use maud::{Markup, html};

use crate::engine::timeline::Timeline;
use crate::message::{RunId, Slot};

/// Where what is said of a slot can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linked {
    /// Beside the timeline, or, without the script, on a page of its own.
    Beside(RunId),
    /// On a page of its own.
    Page(RunId),
    /// Further down in the same file.
    Anchor,
}

impl Linked {
    fn to(self, slot: &Slot) -> String {
        match self {
            Self::Beside(run) | Self::Page(run) => format!("/ui/runs/{run}/at/{}", path(slot)),
            Self::Anchor => format!("#{}", anchor(slot)),
        }
    }
}

/// A slot as a part of a path: `tool(0,1)/call(2)` is `tool-0-1.call-2`.
pub(crate) fn path(slot: &Slot) -> String {
    let text = slot.to_string();
    let parts = text.split('/').map(|step| step.trim_end_matches(')').replace(['(', ','], "-"));
    parts.collect::<Vec<String>>().join(".")
}

/// The slot of such a part of a path.
pub(crate) fn slot(path: &str) -> Option<Slot> {
    let step = |step: &str| match step.split_once('-') {
        Some((noun, numbers)) => format!("{noun}({})", numbers.replace('-', ",")),
        None => step.to_owned(),
    };
    path.split('.').map(step).collect::<Vec<String>>().join("/").parse().ok()
}

fn anchor(slot: &Slot) -> String {
    format!("at-{}", path(slot))
}

/// What a timeline is looked at with. Without the script it does nothing, and is not shown.
pub(crate) fn tools() -> Markup {
    html! {
        div.tools role="toolbar" aria-label="Timeline" hidden {
            button type="button" data-zoom="in" { "Zoom in" }
            button type="button" data-zoom="out" { "Zoom out" }
            button type="button" data-zoom="left" { "Earlier" }
            button type="button" data-zoom="right" { "Later" }
            button type="button" data-zoom="fit" { "Whole run" }
            label { input type="checkbox" data-critical; " only what the run waited for" }
        }
        p.note { "A dark edge: the run waited for it. A thin line: not yet at work, or between two attempts. A grey field: nothing was done, drawn shorter than it was." }
    }
}

/// What a page of a run is called in the browser.
pub(crate) fn title(timeline: &Timeline<'_>) -> String {
    format!("{} · {}", timeline.manifest.agent, timeline.state.word())
}

#[cfg(test)]
mod tests;
