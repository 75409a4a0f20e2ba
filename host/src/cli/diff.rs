//! `host runs diff`: two runs, slot by slot: what each asked its tools, and what came of everything.

use std::collections::{BTreeMap, BTreeSet};

use super::exit::Exit;
use super::words::{counted, headline};
use super::{print, say};
use crate::engine::changes::between;
use crate::engine::recorded_manifest;
use crate::journal::{Entry, Finished, Started, Status, statuses};
use crate::message::{Outcome, Request, RunId, Slot};
use crate::session::{SessionError, diff};

/// What is compared of a slot.
struct Side {
    request: Request,
    outcome: Option<Outcome>,
}

pub(super) fn run(one: (RunId, Vec<Entry>), other: (RunId, Vec<Entry>)) -> anyhow::Result<Exit> {
    let manifests = (recorded_manifest(one.0, &one.1)?, recorded_manifest(other.0, &other.1)?);
    let mut lines = between(manifests.0, manifests.1, &one.1);
    let ids = [one.0, other.0];
    let (one, other) = (sides(one.1)?, sides(other.1)?);
    let slots: BTreeSet<&Slot> = one.keys().chain(other.keys()).collect();
    let mut same = 0;
    for slot in slots {
        match differences(slot, one.get(slot), other.get(slot), ids) {
            found if found.is_empty() => same += 1,
            found => lines.extend(found),
        }
    }
    for line in &lines {
        print(line.trim_end())?;
    }
    say(format_args!("{} the same", counted(same, "slot")));
    Ok(if lines.is_empty() { Exit::Ok } else { Exit::Divergence })
}

fn sides(entries: Vec<Entry>) -> Result<BTreeMap<Slot, Side>, SessionError> {
    let slots = statuses(entries).map_err(|(slot, error)| SessionError::Order { slot, error })?;
    let side = |(slot, status)| match status {
        Status::Absent => None,
        Status::Started { started, .. } | Status::Failed { started, .. } => {
            Some((slot, Side { request: started.request, outcome: None }))
        }
        Status::Finished { started: Started { request, .. }, finished: Finished { outcome, .. }, .. } => {
            Some((slot, Side { request, outcome: Some(outcome) }))
        }
    };
    Ok(slots.into_iter().filter_map(side).collect())
}

fn differences(slot: &Slot, one: Option<&Side>, other: Option<&Side>, ids: [RunId; 2]) -> Vec<String> {
    let only = |side: &Side, run| vec![format!("{}  only in run {run}", headline(slot, &side.request))];
    let (one, other) = match (one, other) {
        (Some(one), Some(other)) => (one, other),
        (Some(one), None) => return only(one, ids[0]),
        (None, Some(other)) => return only(other, ids[1]),
        (None, None) => return Vec::new(),
    };
    let names = ids.map(|run| run.to_string());
    let names = [names[0].as_str(), names[1].as_str()];
    let mut found = Vec::new();
    // What a model is asked follows from what came before it, and what a run is was compared before.
    if let (Request::Tool(_), Request::Tool(_)) = (&one.request, &other.request) {
        found.push(diff(names, &one.request, &other.request));
    }
    found.push(diff(names, &one.outcome, &other.outcome));
    found.retain(|diff| !diff.is_empty());
    if !found.is_empty() {
        found.insert(0, headline(slot, &one.request));
    }
    found
}
