//! The pages of one run: its timeline, one thing in it, the conversation, a request as it was sent, and the file.

use axum::extract::{Path, Query};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::super::problem::{Kind, Problem};
use super::super::tokens::Scope;
use super::door::Visit;
use super::page::{Tab, is_part, page, part};
use super::read::Read;
use super::{Site, State, acts, menu};
use crate::engine::sent;
use crate::engine::timeline::{Span, Timeline};
use crate::journal::RunState;
use crate::message::{RunId, Slot, Step};
use crate::session::diff;
use crate::ui::{self, Linked, Which, Window};

/// Which lines of a timeline are shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Lines {
    from: Option<usize>,
    /// Only those that the run waited for.
    critical: bool,
}

/// A run over time.
pub(super) async fn show(
    axum::extract::State(site): State,
    visit: Visit,
    Path(run): Path<String>,
    Query(Lines { from, critical }): Query<Lines>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let read = Read::of(&site, &visit.caller, &run).await?;
    let which = if critical { Which::Critical } else { Which::All };
    let draw = move |site: &Site| {
        if is_part(&headers) {
            let window = Window::From(from.unwrap_or_default());
            let linked = Linked::Beside(read.summary.run);
            return Ok(part(&ui::drawn(&read.timeline()?, window, which, linked)));
        }
        timeline(site, &visit, &read, from)
    };
    site.drawn(draw).await
}

fn timeline(site: &Site, visit: &Visit, read: &Read, from: Option<usize>) -> Result<Response, Problem> {
    let id = read.summary.run;
    if read.summary.state == RunState::Queued && read.known.entries().is_empty() {
        let body = html! { (top(read, "")) p { "The run has not begun: it waits for its moment, its session or a place." } };
        return Ok(page(visit, Tab::Runs, &read.summary.agent, &body));
    }
    let timeline = read.timeline()?;
    // What goes on is told as it happens; what has ended, or is not read from its beginning, stays as it is.
    let is_live = !timeline.state.has_ended() && from.is_none();
    let window = from.map_or(if is_live { Window::Last } else { Window::From(0) }, Window::From);
    let body = html! {
        (top(read, ""))
        div hx-ext=[is_live.then_some("sse")] sse-connect=[is_live.then(|| format!("/ui/runs/{id}/changes"))]
            sse-close="ended" {
            div.facts-of id="facts" sse-swap="facts" { (ui::facts(&timeline, Linked::Page(id))) }
            div id="waits" sse-swap="waits" { (acts::waits(site, visit, read)) }
            section {
                h2 { "Timeline" }
                (ui::tools())
                div.split {
                    div id="bars" sse-swap="bars" { (ui::bars(&timeline, window, Linked::Beside(id))) }
                    aside.panel id="panel" tabindex="-1" aria-label="What is recorded of one line" {}
                }
            }
            div id="menu" sse-swap="menu" { (menu::menu(site, visit, &read.known)) }
        }
    };
    Ok(page(visit, Tab::Runs, &ui::title(&timeline), &body))
}

/// The head of every page of a run.
pub(super) fn top(read: &Read, at: &str) -> Markup {
    let run = read.summary.run;
    let current = |of: &str| (of == at).then_some("page");
    html! {
        h1 { (ui::line(&read.summary.agent)) " " small { (run) } }
        nav aria-label="Of this run" {
            a href=(format!("/ui/runs/{run}")) aria-current=[current("")] { "Timeline" }
            a href=(format!("/ui/runs/{run}/chat")) aria-current=[current("chat")] { "Conversation" }
            a href=(format!("/ui/compare?one={run}")) { "Compare" }
            a href=(format!("/ui/runs/{run}/file")) download=(format!("{run}.html")) { "As a file" }
        }
    }
}

/// One thing in a run: beside the timeline, or on a page of its own.
pub(super) async fn at(
    axum::extract::State(site): State,
    visit: Visit,
    Path((run, slot)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let read = Read::of(&site, &visit.caller, &run).await?;
    let draw = move |site: &Site| {
        let timeline = read.timeline()?;
        let span = span_at(&timeline, &slot)?;
        let id = read.summary.run;
        let detail = html! {
            (ui::detail(&timeline, span, Linked::Page(id)))
            (granted(site, &read, span))
            (acts::at(site, &visit, &read, span))
        };
        if is_part(&headers) {
            let close = format!("/ui/runs/{id}");
            return Ok(part(&html! { a.close href=(close) data-close { "Close" } (detail) }));
        }
        let body = html! { (top(&read, "at")) article.panel { (detail) } };
        Ok(page(&visit, Tab::Runs, &ui::title(&timeline), &body))
    };
    site.drawn(draw).await
}

/// All of one thing in a run as plain text.
pub(super) async fn whole(
    axum::extract::State(site): State,
    visit: Visit,
    Path((run, slot)): Path<(String, String)>,
    Query(Lines { from, .. }): Query<Lines>,
) -> Result<Response, Problem> {
    let read = Read::of(&site, &visit.caller, &run).await?;
    let draw = move |_: &Site| {
        let timeline = read.timeline()?;
        let span = span_at(&timeline, &slot)?;
        let at = ui::slot(&slot).unwrap_or(Slot::RUN);
        let text = ui::whole(read.summary.run, &at, span, from.unwrap_or_default());
        let body = html! { (top(&read, "whole")) h2 { (at) } (text) };
        Ok(page(&visit, Tab::Runs, &ui::title(&timeline), &body))
    };
    site.drawn(draw).await
}

fn span_at<'t, 'a>(timeline: &'t Timeline<'a>, path: &str) -> Result<&'t Span<'a>, Problem> {
    let slot = ui::slot(path);
    let found = slot.and_then(|slot| timeline.at(&slot));
    found.ok_or_else(|| Problem::new(Kind::Missing, "nothing is recorded there").at("path"))
}

/// What the tool of a call may reach, if it is served as it was then.
fn granted(site: &Site, read: &Read, span: &Span<'_>) -> Markup {
    let words = || {
        let ask = span.ask()?;
        let agent = site.server()?.agents.get(&read.summary.agent)?.agent;
        let tool = agent.tools().iter().find(|tool| tool.spec.name == ask.name)?;
        let is_same = ask.target.is_some_and(|target| target.grants == tool.grants);
        let config =
            agent.config().tools.iter().find(|config| config.name == tool.source).filter(|_| is_same)?;
        Some(config.reach_in_words())
    };
    html! {
        @if let Some(words) = words() {
            section { h3 { "What it may reach" } ul { @for line in words { li { (ui::line(&line)) } } } }
        }
    }
}

/// A run as a conversation.
pub(super) async fn chat(
    axum::extract::State(site): State,
    visit: Visit,
    Path(run): Path<String>,
    Query(Lines { from, .. }): Query<Lines>,
) -> Result<Response, Problem> {
    let read = Read::of(&site, &visit.caller, &run).await?;
    let draw = move |_: &Site| {
        let timeline = read.timeline()?;
        let said = ui::chat_from(&timeline, Linked::Page(read.summary.run), from.unwrap_or_default());
        let body = html! { (top(&read, "chat")) (said) };
        Ok(page(&visit, Tab::Runs, &ui::title(&timeline), &body))
    };
    site.drawn(draw).await
}

/// A run as one file.
pub(super) async fn file(
    axum::extract::State(site): State,
    visit: Visit,
    Path(run): Path<String>,
) -> Result<Response, Problem> {
    let read = Read::of(&site, &visit.caller, &run).await?;
    let name = format!("attachment; filename=\"{}.html\"", read.summary.run);
    let draw = move |_: &Site| Ok(ui::file(&read.timeline()?).into_response());
    let mut response = site.drawn(draw).await?;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.extend(HeaderValue::from_str(&name).ok().map(|name| (header::CONTENT_DISPOSITION, name)));
    Ok(response)
}

/// A request as it was sent, and in what it differs from the one before.
pub(super) async fn request(
    axum::extract::State(site): State,
    visit: Visit,
    Path((run, slot)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let read = Read::of(&site, &visit.caller, &run).await?;
    let slot =
        ui::slot(&slot).ok_or_else(|| Problem::new(Kind::Missing, "nothing is recorded there").at("path"))?;
    let id = read.summary.run;
    let sent = written(id, &read, &slot).await?;
    let before = match before(&slot) {
        Some(before) => written(id, &read, &before).await.ok().map(|sent| (before, sent)),
        None => None,
    };
    let draw = move |_: &Site| {
        let differs = before.map(|(before, sent_before)| {
            let names = [before.to_string(), slot.to_string()];
            let names = [names[0].as_str(), names[1].as_str()];
            (before, diff(names, &json(&sent_before), &json(&sent)))
        });
        let body = html! {
            (top(&read, "request"))
            h2 { "The request at " (slot) }
            p.note { "It is made again from what is recorded. The key is in no record." }
            @if let Some((before, diff)) = differs {
                details open { summary { "In what it differs from the one at " (before) } (ui::diff_lines(&diff)) }
            }
            h3 { "Body" }
            (ui::json(&sent))
        };
        Ok(page(&visit, Tab::Runs, "request", &body))
    };
    site.drawn(draw).await
}

async fn written(id: RunId, read: &Read, slot: &Slot) -> Result<String, Problem> {
    let sent = sent::sent(id, read.known.entries(), slot, None).await;
    sent.map_err(|error| Problem::new(Kind::Missing, error.to_string()))
}

/// The request of the turn before.
fn before(slot: &Slot) -> Option<Slot> {
    match slot.steps().last()? {
        Step::Model { turn } => Some(slot.run().model_of(turn.checked_sub(1)?)),
        Step::Summary { .. } | Step::Tool { .. } | Step::Call { .. } | Step::Approval => None,
    }
}

fn json(sent: &str) -> serde_json::Value {
    serde_json::from_str(sent).unwrap_or_default()
}

/// Whether somebody may do this to a run.
pub(super) fn may(site: &Site, visit: &Visit, scope: Scope) -> bool {
    site.behind.is_some() && visit.caller.0.has(scope)
}
