//! Two runs side by side, and in what they differ.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::Query;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::super::problem::Problem;
use super::State;
use super::door::Visit;
use super::page::{Tab, page};
use super::read::Read;
use crate::engine::changes::between;
use crate::engine::timeline::{Span, Timeline};
use crate::message::{Request, Slot};
use crate::session::diff;
use crate::ui::{self, Linked, Window};

/// So many places are shown in which two runs differ.
const PLACES_MAX: usize = 200;

/// Which runs are compared.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Which {
    one: String,
    other: String,
}

/// Compares two runs.
pub(super) async fn compare(
    axum::extract::State(site): State,
    visit: Visit,
    Query(Which { one, other }): Query<Which>,
) -> Result<Response, Problem> {
    let form = html! {
        h1 { "Compare two runs" }
        form.filter method="get" action="/ui/compare" {
            label { "One run" input name="one" value=(one) required size="30"; }
            label { "The other" input name="other" value=(other) required size="30" placeholder="its id, or last"; }
            button.do type="submit" { "Compare" }
        }
    };
    if one.trim().is_empty() || other.trim().is_empty() {
        return Ok(page(&visit, Tab::Other, "Compare", &form));
    }
    let (one, other) = (
        Read::of(&site, &visit.caller, one.trim()).await?,
        Read::of(&site, &visit.caller, other.trim()).await?,
    );
    let sides = [(&one, one.timeline()?), (&other, other.timeline()?)];
    let changes = between(sides[0].1.manifest, sides[1].1.manifest, &one.entries);
    let body = html! {
        (form)
        section {
            h2 { "In what they differ" }
            @if !changes.is_empty() { ul { @for line in changes { li { (ui::line(&line)) } } } }
            (places(&sides[0].1, &sides[1].1))
        }
        div.sides {
            @for (read, timeline) in &sides {
                section {
                    h2 { a href=(format!("/ui/runs/{}", read.summary.run)) { (read.summary.run) } }
                    (ui::facts(timeline))
                    (ui::bars(timeline, Window::From(0), Linked::Page(read.summary.run)))
                }
            }
        }
    };
    Ok(page(&visit, Tab::Other, "Compare", &body))
}

fn places(one: &Timeline<'_>, other: &Timeline<'_>) -> Markup {
    let by_slot = |timeline: &Timeline<'_>| -> BTreeMap<Slot, usize> {
        let spans = timeline.spans.iter().enumerate();
        spans.filter_map(|(index, span)| Some((span.slot()?.clone(), index))).collect()
    };
    let (ones, others) = (by_slot(one), by_slot(other));
    let slots: BTreeSet<&Slot> = ones.keys().chain(others.keys()).collect();
    let names = [one.run.to_string(), other.run.to_string()];
    let mut same = 0;
    let mut found = Vec::new();
    for slot in slots {
        let span = |of: &BTreeMap<Slot, usize>, timeline: &Timeline<'_>| {
            of.get(slot).map(|index| (*index, timeline.run))
        };
        let (here, there) = (span(&ones, one), span(&others, other));
        let part =
            match (here.and_then(|(at, _)| one.spans.get(at)), there.and_then(|(at, _)| other.spans.get(at)))
            {
                (Some(here), Some(there)) => differs(here, there, [&names[0], &names[1]]),
                (Some(_), None) => Some(html! { p { "only in " (names[0]) } }),
                (None, Some(_)) => Some(html! { p { "only in " (names[1]) } }),
                (None, None) => None,
            };
        match part {
            Some(part) => found.push((slot, part)),
            None => same += 1,
        }
    }
    html! {
        @for (slot, part) in found.iter().take(PLACES_MAX) { details open[found.len() < 20] { summary { code { (slot) } } (part) } }
        @if found.len() > PLACES_MAX { p.note { "… and " (found.len() - PLACES_MAX) " places more" } }
        p.note { (same) " places are the same." }
    }
}

/// In what one place of two runs differs; `None` if it does not.
fn differs(one: &Span<'_>, other: &Span<'_>, names: [&str; 2]) -> Option<Markup> {
    let mut found = Vec::new();
    // What a model is asked follows from what came before.
    if let (Some(one @ Request::Tool(_)), Some(other @ Request::Tool(_))) = (one.request(), other.request()) {
        found.push(diff(names, one, other));
    }
    found.push(diff(names, &one.outcome(), &other.outcome()));
    found.retain(|diff| !diff.is_empty());
    (!found.is_empty()).then(|| html! { @for diff in &found { (ui::diff_lines(diff)) } })
}
