//! From a tool of an agent to a tool of the protocol.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::Value;

use crate::config::ToolConfig;
use crate::dispatch::ToolRunner as _;
use crate::engine::LoadedAgent;
use crate::grants::Effects;
use crate::message::{Json, ToolEntry};
use crate::session::{Doubt, Reach};

/// The tool, with what its grants say of what its calls can do.
pub(super) fn tool(agent: &LoadedAgent, entry: &ToolEntry) -> Tool {
    let spec = &entry.spec;
    let input = object(&spec.input_schema).unwrap_or_default();
    let mut tool = Tool::new(spec.name.clone(), spec.description.clone(), Arc::new(input));
    // Clients take no output but an object for one that has a schema.
    let output = spec.output_schema.as_ref().and_then(object);
    tool.output_schema = output.filter(is_object).map(Arc::new);
    tool.with_annotations(annotations(agent, entry))
}

/// What a client may take for granted of calls of the tool. What is not known is assumed to be the worst.
fn annotations(agent: &LoadedAgent, entry: &ToolEntry) -> ToolAnnotations {
    let configured = agent.config().tools.iter().find(|tool| tool.name == entry.source);
    let conduct = agent.toolbox().conduct(entry);
    let repeats = conduct.doubt == Doubt::Repeat;
    if configured.is_some_and(|tool| tool.source.server().is_some()) {
        // What a server of somebody else says of itself counts for nothing.
        let reads_only = conduct.reach == Reach::Pure;
        return ToolAnnotations::new()
            .read_only(reads_only)
            .destructive(!reads_only)
            .idempotent(repeats)
            .open_world(true);
    }
    let Some(ToolConfig { grants, .. }) = configured.filter(|_| entry.builtin.is_none()) else {
        // It asks a person, waits for a moment, or is an agent with tools of its own.
        let is_agent = entry.agent.is_some();
        return ToolAnnotations::new().read_only(!is_agent).open_world(is_agent);
    };
    let calls_others = !grants.calls.is_empty();
    let reads_only = grants.effects() != Effects::Writing && !calls_others;
    ToolAnnotations::new()
        .read_only(reads_only)
        .destructive(!reads_only)
        .idempotent(repeats && !calls_others)
        .open_world(!grants.network.is_empty() || calls_others)
}

fn object(schema: &Json) -> Option<JsonObject> {
    match schema.to_value() {
        Value::Object(schema) => Some(schema),
        _ => None,
    }
}

fn is_object(schema: &JsonObject) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object")
}
