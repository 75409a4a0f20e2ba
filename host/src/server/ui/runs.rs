//! The list of runs: what waits for a person first.

use std::sync::Arc;

use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::super::problem::{Kind, Problem};
use super::super::tokens::Scope;
use super::acts;
use super::door::Visit;
use super::glance::{Glance, Glances};
use super::page::{Tab, is_part, page, part};
use super::run::may;
use super::{Site, State};
use crate::engine::timeline::{Followed, Stand, Timeline};
use crate::engine::{self, Engine, Page, RunWaits};
use crate::journal::{JournalError, RunState, RunSummary};
use crate::message::{Digest, RunId};
use crate::session::{SessionError, Wants};
use crate::ui;

/// So many runs are on a page.
const LIMIT: usize = 50;
/// So many runs are read for a filter that a list cannot answer, before the page says how far it came.
const READ_MAX: usize = 500;
/// So many of the runs that wait are shown first.
const WAITING_MAX: usize = 20;
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
    fn has(&self, timeline: &Timeline<'_>) -> bool {
        let holds = |text: &str, part: &str| text.to_lowercase().contains(&part.trim().to_lowercase());
        let tool = self.tool.trim().is_empty()
            || timeline.spans.iter().any(|span| span.ask().is_some() && holds(&span.name, &self.tool));
        let failed = |span: &crate::engine::timeline::Span<'_>| {
            matches!(span.stand, Stand::Failed | Stand::GivenUp)
                && (holds(ui::stand(span), &self.error)
                    || span.attempts.iter().any(|it| it.failure().is_some_and(|why| holds(why, &self.error))))
                || span.denials().any(|denial| holds(&format!("denied: {}", denial.what), &self.error))
        };
        let error = self.error.trim().is_empty()
            || timeline.reason().is_some_and(|reason| holds(&reason, &self.error))
            || timeline.spans.iter().any(failed);
        let least = self.least_cost().unwrap_or_default();
        tool && error && least.is_none_or(|least| timeline.used.cost_usd.is_some_and(|cost| cost >= least))
    }

    /// The least cost of those that are meant, in US dollars.
    fn least_cost(&self) -> Result<Option<f64>, Problem> {
        let text = self.cost.trim();
        let least = (!text.is_empty()).then(|| text.parse::<f64>()).transpose();
        let least = least.ok().filter(|least| least.is_none_or(f64::is_finite));
        least.ok_or_else(|| {
            Problem::new(Kind::Malformed, format!("the least cost is no number: {text}"))
                .at("cost")
                .help("write US dollars, such as 0.05")
        })
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
    runs: Vec<(RunSummary, Option<Glance>)>,
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
    which.least_cost()?;
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
    let (which, glances) = (which.clone(), Arc::clone(&site.glances));
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
                let looks = Looks { engine, which: &which, glances: &glances };
                let (is_meant, glance) = looks.at(&run).unwrap_or_else(|error| {
                    unreadable.push(error.to_string());
                    (!which.looks_inside(), None)
                });
                if !is_meant {
                    continue;
                }
                if runs.len() == LIMIT {
                    next = runs.last().map(|(run, _): &(RunSummary, Option<Glance>)| run.run);
                    break;
                }
                runs.push((run, glance));
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
    glances: &'a Glances,
}

impl Looks<'_> {
    /// Whether a run is meant, and what is seen of it, unless it has not begun or is just going on.
    fn at(&self, run: &RunSummary) -> Result<(bool, Option<Glance>), SessionError> {
        let looks_inside = self.which.looks_inside();
        if !looks_inside {
            let goes_on = matches!(run.state, RunState::Queued | RunState::Running);
            let known = self.glances.get(run.run, run.state);
            if goes_on || known.is_some() {
                return Ok((true, known));
            }
        }
        let entries = self.engine.runs().read(run.run)?;
        let known = Followed::recorded(run.run, entries, run.state)?;
        // What stands still is drawn as far as it went: a list that says the same is not sent again.
        let Ok(timeline) = known.timeline(0) else { return Ok((!looks_inside, None)) };
        let glance = Glance::of(&timeline);
        self.glances.keep(run.run, run.state, glance.clone());
        Ok((!looks_inside || self.which.has(&timeline), Some(glance)))
    }
}

fn filter(site: &Site, visit: &Visit, which: &Which) -> Markup {
    html! {
        form.filter method="get" action="/ui" {
            label { "Asked" input type="search" name="text" value=(which.text); }
            label { "Agent (whole name)" input name="agent" value=(which.agent) list="agents"; }
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
            @let has_sessions = found.runs.iter().any(|(run, _)| run.session.is_some());
            div.wide { table.list {
                thead { tr {
                    th scope="col" { "Began" } th scope="col" { "State" } th scope="col" { "Agent" } th scope="col" { "Asked" }
                    th scope="col" { "Took" }
                    @if has_sessions { th scope="col" { "Session" } }
                    th scope="col" { "Cost" } th scope="col" { "Run" }
                } }
                tbody { @for (run, glance) in &found.runs { (line(run, glance.as_ref(), has_sessions)) } }
            } }
        }
        @if let Some(next) = found.next {
            p { a href=(which.link(next)) { "Older runs" }
                @if which.looks_inside() { " " span.note { "(the newest " (READ_MAX) " were looked through)" } } }
        }
    }
}

fn line(run: &RunSummary, glance: Option<&Glance>, has_session: bool) -> Markup {
    let RunSummary { run, agent, prompt, started_ms, state, session, .. } = run;
    html! {
        tr {
            td { (ui::moment(*started_ms)) }
            td { (ui::state(*state)) @if let Some(glance) = glance { (glance.reason()) } }
            td { (ui::line(agent)) }
            th.prompt scope="row" {
                a id=(format!("run-{run}")) href=(format!("/ui/runs/{run}")) {
                    @if prompt.trim().is_empty() { "nothing was asked" } @else { (ui::beginning(prompt, 160)) }
                }
                @if let Some(glance) = glance { (glance.marks()) }
            }
            td.took data-label="Took" { @if let Some(glance) = glance { (glance.took()) } }
            @if has_session {
                td data-label="Session" { @if let Some(session) = session {
                    a href=(format!("/ui/sessions/{}", session.as_str())) { (ui::line(session.as_str())) }
                } }
            }
            td data-label="Cost (USD)" { @if let Some(cost) = glance.and_then(|glance| glance.cost_usd) { (format!("{cost:.4}")) } }
            td { code { (run) } }
        }
    }
}
