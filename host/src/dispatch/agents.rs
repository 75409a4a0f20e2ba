//! Agents that are tools of other agents: what a model is told of one, and who carries its run out.
//!
//! How an agent runs is not known here, as it is not known how a component does. An agent is called by a model alone:
//! no tool can call one, so that no instance is held while an agent waits for instances of its own.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::json;

use crate::message::{
    Digest, ErrorKind, Json, Manifest, Retry, SHOWN_BYTES_MAX, ToolEntry, ToolOutcome, ToolSpec,
};
use crate::session::{Attempt, Conduct, Done, Doubt, Execution, Reach, SessionError};

/// Carries out the runs of agents that are called like tools.
pub trait AgentRunner: Send + Sync {
    /// Carries a run out, below the slot of the attempt. What ends it without an answer is the call's outcome, and
    /// what it used goes with it; it fails where the whole run cannot go on.
    fn call<'a>(
        &'a self,
        agent: &'a ToolEntry,
        input: &'a Json,
        attempt: &'a Attempt,
        session: &'a Arc<dyn Execution>,
    ) -> BoxFuture<'a, Result<Done<ToolOutcome>, SessionError>>;
}

/// For runs that call no agents.
#[derive(Debug)]
pub struct NoAgents;

impl AgentRunner for NoAgents {
    fn call<'a>(
        &'a self,
        agent: &'a ToolEntry,
        _input: &'a Json,
        _attempt: &'a Attempt,
        _session: &'a Arc<dyn Execution>,
    ) -> BoxFuture<'a, Result<Done<ToolOutcome>, SessionError>> {
        let message = format!("the agent `{}` is not loaded; please report this as a bug", agent.spec.name);
        Box::pin(async { Ok(ToolOutcome::error(ErrorKind::Failed, message).into()) })
    }
}

/// How an agent is called. What it did is recorded below the call, so a call that was interrupted goes on.
pub(super) const BELOW: Conduct<'static> =
    Conduct { reach: Reach::Pure, doubt: Doubt::GoOn, retry: Retry::NEVER, room: None };

/// What an agent is called with.
#[derive(serde::Deserialize)]
struct Task {
    prompt: String,
}

/// The agent as a run knows it that can call it, by the name of its table and the prefix.
#[must_use]
pub fn entry(table: &str, prefix: &str, description: &str, manifest: Manifest) -> ToolEntry {
    let object = |property: &str, of: serde_json::Value| {
        Json::canonical(&json!({
            "type": "object",
            "properties": { property: of },
            "required": [property],
            "additionalProperties": false,
        }))
    };
    let text = |what: &str| json!({ "type": "string", "description": what });
    let answer = manifest.output_schema.as_ref().map_or_else(|| text("What it answered."), Json::to_value);
    let told = "What it is to do, with all it has to know for that: it sees nothing of this conversation.";
    ToolEntry {
        spec: ToolSpec {
            name: format!("{prefix}{table}"),
            description: description.to_owned(),
            input_schema: object("prompt", text(told)),
            output_schema: Some(object("answer", answer)),
        },
        source: table.to_owned(),
        export: table.to_owned(),
        component: Digest::of_json(&manifest.identity()),
        grants: Digest::of(b""),
        hidden: false,
        max_repeats: None,
        builtin: None,
        agent: Some(Box::new(manifest)),
        shown_bytes_max: SHOWN_BYTES_MAX,
    }
}

/// The prompt in the input of a call.
pub fn prompt(input: &Json) -> Result<String, ToolOutcome> {
    let task = serde_json::from_str(input.as_str()).map(|Task { prompt }| prompt);
    task.map_err(|error| ToolOutcome::error(ErrorKind::InvalidInput, error.to_string()))
}
