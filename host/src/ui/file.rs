//! A run as one file: a page with everything in it, that loads nothing and sends nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::assets::{SCRIPT, STYLE};
use super::bars::Window;
use super::detail::promised;
use super::{Linked, anchor, bars, chat, detail, facts, text, title};
use crate::engine::timeline::Timeline;

/// A run as one self-contained page of HTML. It has all that is recorded of the run, but for what is longer than is shown
/// of a text.
#[must_use]
pub fn file(timeline: &Timeline<'_>) -> String {
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; base-uri 'none'; form-action 'none'",
        digest(STYLE),
        digest(SCRIPT)
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (text::line(&title(timeline))) }
                style { (PreEscaped(STYLE)) }
            }
            body.file {
                main id="main" {
                    (head(timeline))
                    (facts(timeline, Linked::Anchor))
                    section { h2 { "Timeline" } (super::tools()) (bars(timeline, Window::All, Linked::Anchor)) }
                    section.details { (details(timeline)) }
                    section {
                        h2 { "Tools" }
                        @for tool in timeline.manifest.tools.iter() {
                            section.card { h3 { (text::line(&tool.spec.name)) } (promised(tool)) }
                        }
                    }
                    section { h2 { "Conversation" } (chat(timeline, Linked::Anchor)) }
                }
                footer { "Run " (timeline.run) ", as host " (env!("CARGO_PKG_VERSION")) " recorded it." }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn head(timeline: &Timeline<'_>) -> Markup {
    html! { h1 { (text::line(&timeline.manifest.agent)) " " small { (timeline.run) } } }
}

/// What is recorded of each span. It is shown when its line is followed.
fn details(timeline: &Timeline<'_>) -> Markup {
    html! {
        @for span in &timeline.spans {
            @if let Some(slot) = span.slot() {
                article.panel id=(anchor(slot)) tabindex="-1" {
                    a.close href=(format!("#row-{}", anchor(slot))) { "Close" }
                    (detail(timeline, span, Linked::Anchor))
                }
            }
        }
    }
}

/// How a policy names a text that may stand in the page.
fn digest(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}
