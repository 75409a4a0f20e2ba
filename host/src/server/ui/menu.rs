//! What can be done with a run as a whole: the forms below its timeline. What comes of them, `acts` knows.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::super::api::again;
use super::super::tokens::Scope;
use super::Site;
use super::door::Visit;
use super::run::may;
use crate::engine::timeline::Followed;
use crate::journal::{Entry, Event, RunState};
use crate::message::{Request as Asked, Step, is_unseen};

/// What can be done with a run as a whole. While it goes on, nothing here changes: somebody may be writing.
pub(super) fn menu(site: &Site, visit: &Visit, known: &Followed) -> Markup {
    let (run, state, entries) = (known.run(), known.state(), known.entries());
    if !may(site, visit, Scope::Admin) {
        return html! {};
    }
    let act = |name: &str| format!("/ui/runs/{run}/{name}");
    let turns = entries.iter().filter_map(|entry| match entry.slot.steps() {
        [Step::Model { turn }] => Some(*turn),
        _ => None,
    });
    let last = if state == RunState::Running { None } else { turns.max() };
    let called: BTreeSet<&str> = last.iter().flat_map(|_| entries).filter_map(called).collect();
    let stands = matches!(state, RunState::Interrupted | RunState::Failed);
    html! {
        section {
            h2 { "What can be done" }
            div.actions {
                @if stands {
                    form method="post" action=(act("resume")) data-sure="Go on with this run?" {
                        (visit.csrf())
                        label { input type="checkbox" name="accept_changes" value="true"; " although the agent has changed " }
                        button.do type="submit" { "Resume" }
                    }
                }
                @if !state.has_ended() {
                    details { summary { "Cancel" }
                        form.fields method="post" action=(act("cancel")) data-sure="End this run for good?" {
                            (visit.csrf())
                            label { "Why" input name="reason" maxlength="2000"; }
                            p { button.danger type="submit" { "Cancel the run" } }
                        }
                    }
                } @else {
                    form method="post" action=(act("replay")) { (visit.csrf()) button type="submit" { "Verify by a replay" } }
                }
                details { summary { "Fork" }
                    form.fields method="post" action=(act("fork")) {
                        (visit.csrf())
                        label { "From turn; the first one is 0" @if let Some(last) = last { ", the last one " (last) }
                            input type="number" name="turn" min="0" max=[last] value=(last.unwrap_or_default()) required; }
                        label { "What is said before that turn; at turn 0, what is asked instead" textarea name="prompt" {} }
                        p { button.do type="submit" { "Fork" } }
                    }
                }
                details { summary { "Call a tool again" }
                    form.fields method="post" action=(act("rerun")) {
                        (visit.csrf())
                        label { "Tool" input name="tool" required list="called"; }
                        datalist id="called" { @for name in called { option value=(name) {} } }
                        @let others = site.server().map(|server| again::components(server)).unwrap_or_default();
                        @if !others.is_empty() {
                            label { "Its component"
                                select name="component" {
                                    option value="" { "the one that agent.toml names" }
                                    @for name in others { option { (name) } }
                                }
                            }
                        }
                        label { span { input type="checkbox" name="allow_effects" value="true"; " even if its calls take effect once more" } }
                        p.note { "The recorded calls of the tool are made again, with its component as it is now, or with another one. Nothing is recorded." }
                        p { button type="submit" { "Call it again" } }
                    }
                }
            }
        }
    }
}

/// The tool that was called there, if its name can be shown as it is: a model may call what it likes.
fn called(entry: &Entry) -> Option<&str> {
    match &entry.event {
        Event::Started(started) => match &started.request {
            Asked::Tool(ask) => Some(ask.name.as_str()).filter(|name| !name.contains(is_unseen)),
            Asked::Run(_) | Asked::Model(_) | Asked::Api(_) | Asked::Approval(_) => None,
        },
        Event::Failed(_) | Event::Finished(_) => None,
    }
}
