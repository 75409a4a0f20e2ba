//! `host replay --rerun`: the recorded calls of a tool, made again, and what comes out differently.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::ensure;
use serde::Serialize;

use super::exit::{Exit, Misuse};
use super::plain::Plain;
use super::words::headline;
use super::{print, print_json};
use crate::engine::{Difference, Reran, Reruns};
use crate::journal::{Entry, JournalError};
use crate::message::RunId;
use crate::session::diff;

/// Which tool, and where its new version is.
#[derive(Clone, Debug)]
pub(super) struct Which {
    pub(super) tool: String,
    pub(super) component: Option<PathBuf>,
}

impl FromStr for Which {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (tool, component) = match text.split_once('=') {
            None => (text, None),
            Some((tool, path)) => (tool, Some(PathBuf::from(path))),
        };
        let named = !tool.is_empty() && component.as_ref().is_none_or(|path| path != Path::new(""));
        ensure!(named, "write it as TOOL or TOOL=FILE");
        Ok(Self { tool: tool.to_owned(), component })
    }
}

/// What became of the calls of one run.
#[derive(Serialize)]
struct Report {
    run: RunId,
    #[serde(flatten)]
    calls: Calls,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Calls {
    /// They were made again.
    Made(Made),
    /// None was.
    NotMade { failed: String },
}

/// What calls came to that were made again.
#[derive(Serialize)]
pub(super) struct Made {
    /// The agent's name.
    pub(super) agent: String,
    /// How many came out as recorded.
    pub(super) same: usize,
    pub(super) different: Vec<Difference>,
}

/// Makes the calls of the given runs again and prints what differs. Runs that did not call the tool do not count.
pub(super) async fn run(
    tool: &str,
    mut reruns: Reruns<'_>,
    runs: impl Iterator<Item = (RunId, Result<Vec<Entry>, JournalError>)>,
    json: bool,
) -> anyhow::Result<Exit> {
    let mut reports = Vec::new();
    for (run, entries) in runs {
        let calls = match entries {
            Ok(entries) if entries.is_empty() => None,
            Ok(entries) => reruns.again(run, entries).await.map_err(Plain::plain).transpose(),
            Err(error) => Some(Err(error.into())),
        };
        let failed = |error: anyhow::Error| Calls::NotMade { failed: format!("{error:#}") };
        let made = |Reran { agent, same, different }| Calls::Made(Made { agent, same, different });
        reports.extend(calls.map(|calls| Report { run, calls: calls.map_or_else(failed, made) }));
    }
    if reports.is_empty() {
        return Err(
            Misuse(format!("no call of `{tool}` is recorded; `host runs show RUN` lists calls")).into()
        );
    }
    print_reports(&reports, json)
}

/// Prints what became of the calls of one run.
pub(super) fn report(run: RunId, made: Made, json: bool) -> anyhow::Result<Exit> {
    print_reports(&[Report { run, calls: Calls::Made(made) }], json)
}

fn print_reports(reports: &[Report], json: bool) -> anyhow::Result<Exit> {
    if json {
        print_json(&reports)?;
    } else {
        show(reports)?;
    }
    let exit = |report: &Report| match &report.calls {
        Calls::NotMade { .. } => Exit::Failure,
        Calls::Made(Made { different, .. }) if different.is_empty() => Exit::Ok,
        Calls::Made(_) => Exit::Divergence,
    };
    let exits: Vec<Exit> = reports.iter().map(exit).collect();
    let worst = [Exit::Failure, Exit::Divergence].into_iter().find(|exit| exits.contains(exit));
    Ok(worst.unwrap_or(Exit::Ok))
}

/// The differences, and then a line for each run.
fn show(reports: &[Report]) -> anyhow::Result<()> {
    let mut lines = vec![format!("{:26}  {:>6}  {:>6}  {:>6}  agent", "run", "calls", "same", "differ")];
    let (mut all_same, mut all_differ) = (0, 0);
    for Report { run, calls } in reports {
        let (agent, same, different) = match calls {
            Calls::Made(Made { agent, same, different }) => (agent, same, different),
            Calls::NotMade { failed } => {
                lines.push(format!("{run}  not made again: {failed}"));
                continue;
            }
        };
        for Difference { slot, request, recorded, now } in different {
            print(&format!("run {run}  {}", headline(slot, request)))?;
            print(&diff(["recorded", "now"], recorded, now))?;
        }
        let (calls, differ) = (same + different.len(), different.len());
        lines.push(format!("{run}  {calls:>6}  {same:>6}  {differ:>6}  {agent}"));
        all_same += same;
        all_differ += differ;
    }
    let calls = all_same + all_differ;
    lines.push(format!("{:26}  {calls:>6}  {all_same:>6}  {all_differ:>6}", "all"));
    print(&lines.join("\n"))
}
