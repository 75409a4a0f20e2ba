//! Sessions, each with its runs; and what runs cost, over time.

use std::collections::BTreeMap;

use axum::extract::Path;
use axum::response::Response;
use maud::{Markup, html};

use super::super::api::sessions;
use super::super::problem::Problem;
use super::super::tokens::Scope;
use super::State;
use super::door::Visit;
use super::page::{Tab, page};
use crate::engine::Query;
use crate::journal::{JournalError, RunSummary, used};
use crate::message::{Moment, SessionKey, Tokens, Used};
use crate::ui;

/// So many runs are added up, the newest.
const RUNS_MAX: usize = 2_000;
/// So many days are drawn.
const DAYS_MAX: usize = 30;

/// The sessions.
pub(super) async fn list(axum::extract::State(site): State, visit: Visit) -> Result<Response, Problem> {
    visit.caller.may(Scope::Read)?;
    let keys = sessions::keys(&site.engine, &visit.caller.0).await?;
    let body = html! {
        h1 { "Sessions" }
        @if keys.is_empty() { p { "There are no sessions." } }
        ul { @for key in keys { li { a href=(format!("/ui/sessions/{}", key.as_str())) { (ui::line(key.as_str())) } } } }
    };
    Ok(page(&visit, Tab::Sessions, "Sessions", &body))
}

/// One session.
pub(super) async fn show(
    axum::extract::State(site): State,
    visit: Visit,
    Path(key): Path<String>,
) -> Result<Response, Problem> {
    visit.caller.may(Scope::Read)?;
    let session = key.parse::<SessionKey>().map_err(|_| sessions::unknown(&key))?;
    let runs = sessions::runs(&site.engine, &visit.caller.0, &session).await?;
    let runs: Vec<RunSummary> = runs.ok_or_else(|| sessions::unknown(&key))?;
    let body = html! {
        h1 { "Session " (ui::line(&key)) }
        @if runs.is_empty() { p { "No runs of it are kept." } }
        ol { @for RunSummary { run, agent, prompt, started_ms, state, .. } in &runs {
            li { (ui::moment(*started_ms)) " " (ui::state(*state)) " " (ui::line(agent)) ": "
                a href=(format!("/ui/runs/{run}")) { (ui::beginning(prompt, 200)) } }
        } }
    };
    Ok(page(&visit, Tab::Sessions, &key, &body))
}

/// What was used on one day, or by one agent.
#[derive(Clone, Copy, Default)]
struct Sum {
    runs: u32,
    tokens: Tokens,
    /// What those cost whose model has prices.
    cost_usd: Option<f64>,
}

impl Sum {
    fn add(&mut self, used: Option<&Used>) {
        self.runs += 1;
        if let Some(Used { tokens, cost_usd, .. }) = used {
            self.tokens = self.tokens.plus(*tokens);
            if let Some(cost) = cost_usd {
                *self.cost_usd.get_or_insert_default() += cost;
            }
        }
    }

    fn all_tokens(self) -> u64 {
        self.tokens.input.saturating_add(self.tokens.output)
    }
}

/// What runs cost.
pub(super) async fn costs(axum::extract::State(site): State, visit: Visit) -> Result<Response, Problem> {
    visit.caller.may(Scope::Read)?;
    let _turn = site.turn().await?;
    let agents = visit.caller.0.agents.clone();
    let sums = site.engine.blocking(move |engine| {
        let page = engine.list_now(&Query { agents, limit: Some(RUNS_MAX), ..Query::default() })?;
        let (mut days, mut agents) = (BTreeMap::<String, Sum>::new(), BTreeMap::<String, Sum>::new());
        for run in page.items {
            let entries = engine.runs().read(run.run).unwrap_or_default();
            let day = Moment(run.started_ms).to_the_second().chars().take(10).collect();
            days.entry(day).or_default().add(used(&entries));
            agents.entry(run.agent).or_default().add(used(&entries));
        }
        Ok::<_, JournalError>((days, agents, page.next.is_some()))
    });
    let (days, agents, is_cut) = sums.await?;
    let days: Vec<(String, Sum)> = days.into_iter().rev().take(DAYS_MAX).collect();
    let body = html! {
        h1 { "What runs cost" }
        p.note { "Runs that have ended, by what their ends say. A run has a cost if its model has prices in agent.toml."
            @if is_cut { " The newest " (RUNS_MAX) " runs are added up." } }
        h2 { "By day" }
        (plot(&days))
        (sums_table("Day", &days))
        h2 { "By agent" }
        (sums_table("Agent", &agents.into_iter().collect::<Vec<_>>()))
    };
    Ok(page(&visit, Tab::Costs, "Costs", &body))
}

fn sums_table(what: &str, sums: &[(String, Sum)]) -> Markup {
    html! {
        div.wide { table.list {
            thead { tr { th scope="col" { (what) } th scope="col" { "Runs" } th scope="col" { "Tokens in" }
                th scope="col" { "Tokens out" } th scope="col" { "Cost (USD)" } } }
            tbody { @for (name, sum) in sums {
                tr { th scope="row" { (ui::line(name)) } td data-label="Runs" { (sum.runs) }
                    td data-label="Tokens in" { (sum.tokens.input) } td data-label="Tokens out" { (sum.tokens.output) }
                    td data-label="Cost (USD)" { @if let Some(cost) = sum.cost_usd { (format!("{cost:.4}")) } } }
            } }
        } }
    }
}

/// A bar for each day, as high as its cost; or as its tokens, where nothing has a price.
#[allow(clippy::cast_precision_loss, reason = "a height in a picture is no more exact than that")]
fn plot(days: &[(String, Sum)]) -> Markup {
    let cost = |sum: &Sum| sum.cost_usd.unwrap_or_default();
    let is_priced = days.iter().any(|(_, sum)| cost(sum) > 0.0);
    let value = |sum: &Sum| if is_priced { cost(sum) } else { sum.all_tokens() as f64 };
    let most = days.iter().map(|(_, sum)| value(sum)).fold(f64::MIN_POSITIVE, f64::max);
    let width = 100.0 / days.len().max(1) as f64;
    html! {
        svg.plot role="img" aria-label=(if is_priced { "Cost of each day; the table below has the numbers" } else { "Tokens of each day; the table below has the numbers" }) {
            line x1="0" x2="100%" y1="85%" y2="85%" {}
            @for (place, (day, sum)) in days.iter().rev().enumerate() {
                @let height = value(sum) / most * 80.0;
                @let x = width * place as f64;
                rect x=(format!("{:.2}%", x + width * 0.1)) width=(format!("{:.2}%", width * 0.8)) y=(format!("{:.2}%", 85.0 - height)) height=(format!("{height:.2}%")) {}
                @if days.len() <= 10 { text x=(format!("{:.2}%", x + width / 2.0)) y="97%" text-anchor="middle" { (day) } }
            }
        }
    }
}
