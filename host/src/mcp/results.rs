//! From what a call came to, to the result of the protocol; and the whole of a result that was cut.

use std::path::Path;

use rmcp::model::{CallToolResult, ContentBlock, Resource};
use serde_json::Value;

use crate::blocking::blocking;
use crate::engine::Engine;
use crate::journal::{Event, manifest};
use crate::message::{Outcome, RunId, Slot, ToolEntry, ToolOutcome, ToolResult};

/// Where the whole output of a call is.
const SCHEME: &str = "host://runs/";
const OUTPUT: &str = "/output";

/// The same for any run.
pub(crate) const TEMPLATE: &str = "host://runs/{run}/output";

/// The only call of a client's run.
fn slot() -> Slot {
    Slot::tool(0, 0)
}

/// What a call came to.
pub(crate) fn of(run: RunId, result: &ToolResult, entry: &ToolEntry) -> CallToolResult {
    let mut told = plain(result, entry);
    if is_cut(result) {
        let whole = Resource::new(format!("{SCHEME}{run}{OUTPUT}"), "output")
            .with_description("The whole output.")
            .with_mime_type("application/json");
        told.content.push(ContentBlock::resource_link(whole));
    }
    told
}

fn is_cut(result: &ToolResult) -> bool {
    matches!(&result.outcome, ToolOutcome::Output(json) if json.as_str().len() as u64 > result.shown_bytes_max)
}

/// The same without a way to what is cut.
pub(crate) fn plain(result: &ToolResult, entry: &ToolEntry) -> CallToolResult {
    let json = match &result.outcome {
        ToolOutcome::Output(json) => json,
        ToolOutcome::Error(error) => return failed(error.to_string()),
    };
    let value = json.to_value();
    let text = match &value {
        // A text needs no quotes to be read.
        Value::String(text) if !is_cut(result) => text.clone(),
        _ => result.model_text(),
    };
    let mut told = CallToolResult::success(vec![ContentBlock::text(text)]);
    // Who was told the form of an output has to get it in that form, however long it is.
    let has_form = entry.spec.output_schema.is_some();
    told.structured_content = (has_form && value.is_object()).then_some(value);
    told
}

/// What the client reads of a failure.
pub(crate) fn failed(why: String) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(why)])
}

/// The run whose output is meant.
pub(crate) fn run_of(uri: &str) -> Option<RunId> {
    uri.strip_prefix(SCHEME)?.strip_suffix(OUTPUT)?.parse().ok()
}

/// The whole output of a call that was made by this agent.
pub(crate) async fn whole(engine: &Engine, run: RunId, agent: &Path) -> Result<String, String> {
    let (engine, agent) = (engine.clone(), agent.to_string_lossy().into_owned());
    let entries = blocking(move || engine.runs().read(run)).await.map_err(|error| error.to_string())?;
    // What other agents did is not this client's to read.
    if manifest(&entries).is_none_or(|manifest| manifest.config != agent) {
        return Err(format!("run {run} is no call of this agent's"));
    }
    let slot = slot();
    let output =
        entries.iter().rev().filter(|entry| entry.slot == slot).find_map(|entry| match &entry.event {
            Event::Finished(finished) => match &finished.outcome {
                Outcome::Tool(ToolOutcome::Output(json)) => Some(json.as_str().to_owned()),
                Outcome::Tool(ToolOutcome::Error(_))
                | Outcome::Run(_)
                | Outcome::Model(_)
                | Outcome::NoReply(_)
                | Outcome::Decision(_) => None,
            },
            Event::Started(_) | Event::Failed(_) => None,
        });
    output.ok_or_else(|| format!("run {run} has no output"))
}
