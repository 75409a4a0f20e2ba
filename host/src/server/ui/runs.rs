//! The list of runs: what waits for a person first.

use std::sync::Arc;

use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::super::problem::Problem;
use super::super::tokens::Scope;
use super::acts;
use super::door::Visit;
use super::page::{Tab, is_part, page, part};
use super::run::may;
use super::{Costs, Site, State};
use crate::engine::timeline::{Followed, Stand, Timeline};
use crate::engine::{self, Engine, Page, RunWaits};
use crate::journal::{JournalError, RunState, RunSummary, used};
use crate::message::{Digest, RunId};
use crate::session::{SessionError, Wants};
use crate::ui;

/// So many runs are on a page.
const LIMIT: usize = 50;
/// So many runs are read for a filter that a list cannot answer, before the page says how far it came.
const READ_MAX: usize = 500;
/// So many of the runs that wait are shown first.
const WAITING_MAX: usize = 20;
/// The costs of so many runs are kept.
const COSTS_MAX: usize = 20_000;
/// How often a list is looked at again.
const AGAIN: &str = "every 3s";
/// The states that there are, as a filter has them.
const STATES: [RunState; 11] = [
    RunState::Running,
    RunState::Suspended,
    RunState::Queued,
    RunState::Interrupted,
    RunState::Failed,
    RunState::Answered,
    RunState::Refused,
    RunState::Limited,
    RunState::Unfit,
    RunState::Empty,
    RunState::Cancelled,
];

/// Which runs are listed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Which {
    text: String,
    agent: String,
    state: String,
    session: String,
    tool: String,
    error: String,
    cost: String,
    before: String,
    /// The digest of the list that the page has.
    seen: String,
}

impl Which {
    fn query(&self, visit: &Visit) -> engine::Query {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        engine::Query {
            agent: given(&self.agent),
            agents: visit.caller.0.agents.clone(),
            state: serde_json::from_value(self.state.clone().into()).ok(),
            session: self.session.trim().parse().ok(),
            text: given(&self.text),
            before: self.before.parse::<RunId>().ok(),
            ..engine::Query::default()
        }
    }

    /// Whether runs have to be read to find those that are meant.
    fn looks_inside(&self) -> bool {
        [&self.tool, &self.error, &self.cost].into_iter().any(|text| !text.trim().is_empty())
    }

    /// Whether a run is meant, by what is recorded of it.
    fn has(&self, timeline: &Timeline<'_>, cost: Option<f64>) -> bool {
        let holds = |text: &str, part: &str| text.to_lowercase().contains(&part.trim().to_lowercase());
        let tool = self.tool.trim().is_empty()
            || timeline.spans.iter().any(|span| span.ask().is_some() && holds(&span.name, &self.tool));
        let failed = |span: &crate::engine::timeline::Span<'_>| {
            matches!(span.stand, Stand::Failed | Stand::GivenUp)
                && span.attempts.iter().any(|it| it.failure().is_some_and(|why| holds(why, &self.error)))
                || span.denials().any(|denial| holds(&denial.what, &self.error))
        };
        let error = self.error.trim().is_empty()
            || timeline.reason().is_some_and(|reason| holds(&reason, &self.error))
            || timeline.spans.iter().any(failed);
        let least = self.cost.trim().parse::<f64>().ok();
        tool && error && least.is_none_or(|least| cost.is_some_and(|cost| cost >= least))
    }

    fn link(&self, before: RunId) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.pairs() {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.append_pair("before", &before.to_string());
        format!("/ui?{}", query.finish())
    }

    fn pairs(&self) -> [(&'static str, &str); 7] {
        let Self { text, agent, state, session, tool, error, cost, .. } = self;
        [
            ("text", text),
            ("agent", agent),
            ("state", state),
            ("session", session),
            ("tool", tool),
            ("error", error),
            ("cost", cost),
        ]
    }
}

/// What was found.
struct Found {
    runs: Vec<(RunSummary, Option<f64>)>,
    next: Option<RunId>,
    unreadable: Vec<String>,
}

/// The runs.
pub(super) async fn list(
    axum::extract::State(site): State,
    visit: Visit,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    visit.caller.may(Scope::Read)?;
    let is_first = which.before.is_empty();
    let waiting = if is_first { waiting(&site, &visit).await? } else { Vec::new() };
    let found = found(&site, &visit, &which).await?;
    let shown = html! {
        (waits(&site, &visit, &waiting))
        (table(&site, &found, &which))
    };
    let digest = Digest::of(shown.0.as_bytes()).short();
    if is_part(&headers) && which.seen == digest {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut again = which.clone();
    again.seen = digest;
    let fields = again.pairs().into_iter().chain([("seen", again.seen.as_str())]);
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let live = html! {
        div id="list" hx-get=[is_first.then(|| format!("/ui?{query}"))] hx-trigger=[is_first.then_some(AGAIN)]
            hx-swap="outerHTML" { (shown) }
    };
    if is_part(&headers) {
        return Ok(part(&live));
    }
    let body = html! { h1 { "Runs" } (filter(&site, &visit, &which)) (live) };
    Ok(page(&visit, Tab::Runs, "Runs", &body))
}

async fn waiting(site: &Site, visit: &Visit) -> Result<Vec<RunWaits>, Problem> {
    let query = engine::Query {
        agents: visit.caller.0.agents.clone(),
        limit: Some(WAITING_MAX),
        ..engine::Query::default()
    };
    let mut waits = site.engine.waiting(&query).await?.items;
    waits.retain(|run| run.waiting.iter().any(|it| !matches!(it.wants, Wants::Moment(_))));
    Ok(waits)
}

async fn found(site: &Site, visit: &Visit, which: &Which) -> Result<Found, Problem> {
    let query = which.query(visit);
    let sees_all = visit.caller.0.agents.is_none();
    let _turn = site.turn().await?;
    let (which, costs) = (which.clone(), Arc::clone(&site.costs));
    let stands = |found: &mut Found| {
        for (run, _) in &mut found.runs {
            if let Some(state) = site.server().and_then(|server| server.scheduler.stands(run.run)) {
                run.state = state;
            }
        }
    };
    let mut found = site
        .engine
        .blocking(move |engine| {
            let limit = if which.looks_inside() { READ_MAX } else { LIMIT };
            let Page { items, mut next, unreadable } =
                engine.list_now(&engine::Query { limit: Some(limit), ..query })?;
            let mut unreadable: Vec<String> =
                unreadable.into_iter().map(|(_, error)| error.to_string()).collect();
            let mut runs = Vec::new();
            for run in items {
                let looks = Looks { engine, which: &which, costs: &costs };
                let (is_meant, cost) = looks.at(&run).unwrap_or_else(|error| {
                    unreadable.push(error.to_string());
                    (!which.looks_inside(), None)
                });
                if !is_meant {
                    continue;
                }
                if runs.len() == LIMIT {
                    next = runs.last().map(|(run, _): &(RunSummary, Option<f64>)| run.run);
                    break;
                }
                runs.push((run, cost));
            }
            // Whose it is that cannot be read, nobody knows.
            unreadable.retain(|_| sees_all);
            Ok::<_, JournalError>(Found { runs, next, unreadable })
        })
        .await?;
    stands(&mut found);
    Ok(found)
}

/// What is looked up in the record of a run that is listed.
struct Looks<'a> {
    engine: &'a Engine,
    which: &'a Which,
    costs: &'a Costs,
}

impl Looks<'_> {
    /// Whether a run is meant, and what it cost, if it has ended.
    fn at(&self, run: &RunSummary) -> Result<(bool, Option<f64>), SessionError> {
        let known = self.costs.lock().get(&run.run).copied();
        // One that was cancelled may go on, and cost more.
        let is_final = run.state.has_ended() && run.state != RunState::Cancelled;
        let looks_inside = self.which.looks_inside();
        if let Some(cost) = known.filter(|_| !looks_inside) {
            return Ok((true, cost));
        }
        if !looks_inside && !run.state.has_ended() {
            return Ok((true, None));
        }
        let entries = self.engine.runs().read(run.run)?;
        let cost = used(&entries).and_then(|used| used.cost_usd);
        if is_final {
            let mut costs = self.costs.lock();
            if costs.len() >= COSTS_MAX {
                costs.clear();
            }
            costs.insert(run.run, cost);
        }
        if !looks_inside {
            return Ok((true, cost));
        }
        let known = Followed::recorded(run.run, entries, run.state)?;
        let is_meant = known.timeline(0).is_ok_and(|timeline| self.which.has(&timeline, cost));
        Ok((is_meant, cost))
    }
}

fn filter(site: &Site, visit: &Visit, which: &Which) -> Markup {
    html! {
        form.filter method="get" action="/ui" {
            label { "Asked" input type="search" name="text" value=(which.text); }
            label { "Agent" input name="agent" value=(which.agent) list="agents"; }
            datalist id="agents" { @for agent in site.agents(visit) { option value=(agent) {} } }
            label { "State" select name="state" {
                option value="" { "any" }
                @for state in STATES { option value=(state.word()) selected[state.word() == which.state] { (state.word()) } }
            } }
            label { "Session" input name="session" value=(which.session) size="12"; }
            label { "Tool" input name="tool" value=(which.tool) size="12"; }
            label { "Error or denial" input name="error" value=(which.error) size="14"; }
            label { "Cost from (USD)" input name="cost" value=(which.cost) size="7" inputmode="decimal"; }
            button.do type="submit" { "Find" }
        }
    }
}

/// What waits for a person.
fn waits(site: &Site, visit: &Visit, waiting: &[RunWaits]) -> Markup {
    html! {
        @if !waiting.is_empty() {
            section id="waiting" {
                h2 { "Waits for somebody" }
                @for RunWaits { run, waiting } in waiting {
                    p { a id=(format!("waits-{}", run.run)) href=(format!("/ui/runs/{}", run.run)) { (ui::line(&run.agent)) ": " (ui::beginning(&run.prompt, 100)) } }
                    (acts::waiting(may(site, visit, Scope::Decide), visit, run.run, waiting))
                }
            }
        }
    }
}

fn table(site: &Site, found: &Found, which: &Which) -> Markup {
    html! {
        @for error in &found.unreadable { p.trouble { (ui::block(error)) } }
        @if found.runs.is_empty() {
            p { "There are no runs like that." @if site.behind.is_none() { " They are read from this machine's state directory." } }
        } @else {
            div.wide { table.list {
                thead { tr {
                    th scope="col" { "Began" } th scope="col" { "State" } th scope="col" { "Agent" } th scope="col" { "Asked" }
                    th scope="col" { "Session" } th scope="col" { "Cost" } th scope="col" { "Run" }
                } }
                tbody {
                    @for (RunSummary { run, agent, prompt, started_ms, state, session, .. }, cost) in &found.runs {
                        tr {
                            td { (ui::moment(*started_ms)) }
                            td { (ui::state(*state)) }
                            td { (ui::line(agent)) }
                            th.prompt scope="row" { a id=(format!("run-{run}")) href=(format!("/ui/runs/{run}")) {
                                @if prompt.trim().is_empty() { "nothing was asked" } @else { (ui::beginning(prompt, 160)) } } }
                            td { @if let Some(session) = session { a href=(format!("/ui/sessions/{}", session.as_str())) { (ui::line(session.as_str())) } } }
                            td { @if let Some(cost) = cost { (format!("{cost:.4}")) } }
                            td { code { (run) } }
                        }
                    }
                }
            } }
        }
        @if let Some(next) = found.next {
            p { a href=(which.link(next)) { "Older runs" }
                @if which.looks_inside() { " " span.note { "(the newest " (READ_MAX) " were looked through)" } } }
        }
    }
}
