//! Two runs side by side, and in what they differ.

use axum::extract::Query;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::super::problem::Problem;
use super::State;
use super::door::Visit;
use super::page::{Tab, page};
use super::read::Read;
use crate::engine::compare::{Comparison, Difference, Found};
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
    site.drawn(move |_| differ(&visit, &form, &one, &other)).await
}

fn differ(visit: &Visit, form: &Markup, one: &Read, other: &Read) -> Result<Response, Problem> {
    let sides = [(one, one.timeline()?), (other, other.timeline()?)];
    let compared = Comparison::of(&sides[0].1, &sides[1].1, one.known.entries());
    let body = html! {
        (form)
        section { h2 { "In what they differ" } (differences(&compared)) }
        div.sides {
            @for (read, timeline) in &sides {
                section {
                    h2 { (ui::line(&read.summary.agent)) " " small { a href=(format!("/ui/runs/{}", read.summary.run)) { (read.summary.run) } } }
                    (ui::facts(timeline, Linked::Page(read.summary.run)))
                    (ui::bars(timeline, Window::From(0), Linked::Page(read.summary.run)))
                }
            }
        }
    };
    Ok(page(visit, Tab::Other, "Compare", &body))
}

fn differences(compared: &Comparison<'_>) -> Markup {
    let Comparison { changes, ending, places, same } = compared;
    html! {
        @if !changes.is_empty() { ul { @for line in changes { li { (ui::line(line)) } } } }
        @if !ending.is_empty() { details open { summary { "the end" } (ui::diff_lines(ending)) } }
        @for Difference { slot, found, .. } in places.iter().take(PLACES_MAX) {
            details open[places.len() < 20] {
                summary { code { (slot) } }
                @match found {
                    Found::OnlyIn(run) => p { "only in " (run) },
                    Found::Lines(diffs) => { @for diff in diffs { (ui::diff_lines(diff)) } }
                }
            }
        }
        @if places.len() > PLACES_MAX { p.note { "… and " (places.len() - PLACES_MAX) " places more" } }
        p.note { @if *same == 1 { "One request, call or end is" } @else { (same) " requests, calls and ends are" } " the same in both." }
    }
}
