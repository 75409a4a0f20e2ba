//! What differs between a run as it is recorded and as agent.toml would have it now, in a person's words.

use crate::journal::{Entry, Event};
use crate::message::{Manifest, Message, Request, SessionKey, ToolEntry};

/// A line for each thing that changed, with the recorded calls that it touches; none if nothing did.
pub(crate) fn between(recorded: &Manifest, now: &Manifest, entries: &[Entry]) -> Vec<String> {
    let mut changes = Vec::new();
    let mut differ = |what: &str, differs: bool| {
        if differs {
            changes.push(what.to_owned());
        }
    };
    differ("the name of the agent", recorded.agent != now.agent);
    differ("the instructions", recorded.instructions != now.instructions);
    differ("the form of the answer", recorded.output_schema != now.output_schema);
    differ("the parameters", recorded.parameters != now.parameters);
    differ("the prompt", recorded.prompt != now.prompt);
    differ("the pictures of the prompt", recorded.images != now.images);
    differ("the session, or what was said in it before", said_before(recorded) != said_before(now));
    differ("what a person said in between", recorded.said != now.said);
    differ("max_turns", recorded.max_turns != now.max_turns);
    differ("max_calls_per_turn", recorded.max_calls_per_turn != now.max_calls_per_turn);
    differ("compact_at_tokens", recorded.compact_at_tokens != now.compact_at_tokens);
    differ("the budgets", recorded.budgets != now.budgets);
    differ("which calls are to be approved", recorded.approvals != now.approvals);
    differ("the fallbacks", recorded.fallbacks != now.fallbacks);
    differ("the model for summaries", recorded.summary != now.summary);
    if recorded.model != now.model {
        let (before, after) = (&recorded.model, &now.model);
        changes.push(format!(
            "the model: {}/{} was, {}/{} is, or its settings differ",
            before.provider, before.name, after.provider, after.name
        ));
    }
    for before in &recorded.tools {
        let name = &before.spec.name;
        let after = now.tools.iter().find(|tool| tool.spec.name == *name);
        changes.extend(after.map_or_else(
            || vec![format!("the tool {name} is gone{}", touched(name, entries))],
            |after| tool(before, after, entries),
        ));
    }
    let known = |tool: &&ToolEntry| recorded.tools.iter().any(|before| before.spec.name == tool.spec.name);
    changes.extend(
        now.tools
            .iter()
            .filter(|tool| !known(tool))
            .map(|tool| format!("the tool {} is new", tool.spec.name)),
    );
    changes
}

fn said_before(manifest: &Manifest) -> (Option<&SessionKey>, &[Message]) {
    (manifest.session.as_ref(), &manifest.earlier)
}

fn tool(before: &ToolEntry, after: &ToolEntry, entries: &[Entry]) -> Vec<String> {
    let name = &before.spec.name;
    let mut changes = Vec::new();
    if let (Some(before), Some(after)) = (&before.agent, &after.agent) {
        let below = between(before, after, &[]);
        changes.extend(below.into_iter().map(|change| format!("in the agent {name}: {change}")));
    } else if before.component != after.component {
        let (was, is) = (before.component.short(), after.component.short());
        changes.push(format!("the component of {name}: {was} was, {is} is{}", touched(name, entries)));
    }
    if before.grants != after.grants {
        changes.push(format!("what {name} is granted, or its limits{}", touched(name, entries)));
    }
    if before.spec != after.spec {
        changes.push(format!("what the model is told of {name}: its description or schemas"));
    }
    if before.hidden != after.hidden {
        changes.push(format!("whether the model is offered {name}"));
    }
    if before.max_repeats != after.max_repeats {
        changes.push(format!("how often {name} may be called alike"));
    }
    if before.source != after.source || before.shown_bytes_max != after.shown_bytes_max {
        changes.push(format!("the table of {name}, or how much of its output the model is shown"));
    }
    changes
}

/// The recorded calls of a tool.
fn touched(name: &str, entries: &[Entry]) -> String {
    let mut slots: Vec<String> = entries
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::Started(started) => match &started.request {
                Request::Tool(ask) if ask.name == name => Some(entry.slot.to_string()),
                Request::Tool(_)
                | Request::Approval(_)
                | Request::Model(_)
                | Request::Api(_)
                | Request::Run(_) => None,
            },
            Event::Failed(_) | Event::Finished(_) => None,
        })
        .collect();
    slots.dedup();
    if slots.is_empty() {
        ", which was never called".to_owned()
    } else {
        format!(", called at {}", slots.join(", "))
    }
}
