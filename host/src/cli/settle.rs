//! `--settle SLOT=HOW`: what a person says of calls that are in doubt.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};

use super::exit::Misuse;
use super::recorded;
use crate::document::without_mark;
use crate::journal::{Entry, Status, is_over, statuses};
use crate::message::{ErrorKind, Json, Manifest, Outcome, Request, Slot, ToolAsk, ToolEntry, ToolOutcome};
use crate::schema::{About, Schema};
use crate::session::{SessionError, Settlement, Settlements};

/// One decision, as it is written.
#[derive(Clone, Debug)]
pub(super) struct Settle {
    slot: Slot,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    Retry,
    Failed,
    Result(PathBuf),
}

impl FromStr for Settle {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (slot, how) = text.split_once('=').context("write it as SLOT=HOW, such as 'tool(0,1)=retry'")?;
        let how = match how.split_once(':') {
            None if how == "retry" => How::Retry,
            None if how == "failed" => How::Failed,
            Some(("result", file)) if !file.is_empty() => How::Result(file.into()),
            Some(_) | None => bail!("`{how}` is not `retry`, `failed` or `result:FILE`"),
        };
        Ok(Self { slot: slot.parse()?, how })
    }
}

impl How {
    /// Whether a decision has been carried out already: the host may have been killed after it wrote it down, and before
    /// anybody knew.
    fn was_said(&self, status: &Status) -> bool {
        let Status::Finished { finished, .. } = status else { return false };
        match (self, &finished.outcome) {
            (Self::Retry, _) => finished.attempt > 1 && !finished.settled,
            (Self::Failed, Outcome::Tool(ToolOutcome::Error(error))) => {
                finished.settled && error.kind == ErrorKind::InDoubt
            }
            (Self::Result(file), Outcome::Tool(ToolOutcome::Output(output))) => {
                finished.settled && read(file).is_ok_and(|json| json == *output)
            }
            (Self::Failed | Self::Result(_), _) => false,
        }
    }
}

/// The decisions on a run, each of which has to be about a call in doubt, or has to be what was said of one already.
pub(super) fn settlements(
    settle: &[Settle],
    entries: &[Entry],
    manifest: &Manifest,
) -> anyhow::Result<Settlements> {
    let mut settlements = Settlements::new();
    if settle.is_empty() {
        return Ok(settlements);
    }
    let slots =
        statuses(entries.iter().cloned()).map_err(|(slot, error)| SessionError::Order { slot, error })?;
    let tools = |slot: &Slot| recorded::agent_at(slot, manifest, &slots).tools.as_slice();
    // What waits, and what an agent does, is gone on with: nobody has to know whether it took effect.
    let goes_on = |slot: &Slot, ask: &ToolAsk| {
        let tool = tools(slot).iter().find(|tool| tool.spec.name == ask.name);
        tool.is_some_and(|tool| tool.builtin.is_some() || tool.agent.is_some())
    };
    let doubtful = |(slot, status)| {
        call_in_doubt(status)
            .filter(|ask| !goes_on(slot, ask))
            .filter(|_| !is_over(slot, &slots))
            .map(|ask| (slot, ask))
    };
    let in_doubt: BTreeMap<&Slot, &ToolAsk> = slots.iter().filter_map(doubtful).collect();
    for Settle { slot, how } in settle {
        if slots.get(slot).is_some_and(|status| how.was_said(status)) {
            continue;
        }
        let Some(ask) = in_doubt.get(slot) else {
            let there = match in_doubt.keys().map(ToString::to_string).collect::<Vec<_>>().as_slice() {
                [] => "nothing in this run is".to_owned(),
                slots => slots.join(", ") + " is",
            };
            return Err(Misuse(format!("{slot} is not in doubt; {there}")).into());
        };
        let settlement = match how {
            How::Retry => Settlement::Retry,
            How::Failed => Settlement::Failed,
            How::Result(file) => Settlement::Result(result(file, ask, tools(slot))?),
        };
        if settlements.insert(slot.clone(), settlement).is_some() {
            return Err(Misuse(format!("{slot} is settled twice")).into());
        }
    }
    Ok(settlements)
}

/// The call that began at a slot and of whose end nothing is known. A model request is asked again unasked.
fn call_in_doubt(status: &Status) -> Option<&ToolAsk> {
    match status {
        Status::Started { started, .. } => match &started.request {
            Request::Tool(ask) => Some(ask),
            Request::Run(_) | Request::Model(_) | Request::Approval(_) => None,
        },
        Status::Absent | Status::Failed { .. } | Status::Finished { .. } => None,
    }
}

/// The output in a file, which has to be one that the tool could have given.
pub(super) fn result(file: &Path, ask: &ToolAsk, tools: &[ToolEntry]) -> anyhow::Result<Json> {
    let json = read(file)?;
    let tool = tools.iter().find(|tool| tool.spec.name == ask.name);
    if let Some(schema) = tool.and_then(|tool| tool.spec.output_schema.as_ref()) {
        let checked = Schema::new(schema).check_now(About::OUTPUT, &json).map_err(anyhow::Error::msg);
        checked.with_context(|| unfit(file))?;
    }
    Ok(json)
}

fn read(file: &Path) -> anyhow::Result<Json> {
    let unreadable = || Misuse(format!("cannot read {}", file.display()));
    let text = without_mark(std::fs::read_to_string(file).with_context(unreadable)?);
    Json::parse(text).with_context(|| unfit(file))
}

fn unfit(file: &Path) -> Misuse {
    Misuse(format!("{} is not an output that this call could have given", file.display()))
}
