//! The tools of a request as a provider takes them.
//!
//! Every provider takes a [`Subset`] of JSON Schema, and refuses the whole request for one tool outside of it. Tools come
//! from elsewhere, so that each is rewritten on its way out: what means the same is written in the one way that all
//! providers take, properties go by other names where they have to, and a rule that the provider does not take is told
//! the model in words. Nothing that fits a tool's own schema is ruled out by what is sent, and the host checks each input
//! against the tool's own schema in any case. What is recorded of a run has the tool's own schema, too.
//!
//! What cannot be rewritten is an error that names the tool, the rule and the provider, before a request is sent.
//! [`check`] knows the rules, and nothing of how schemas are rewritten.

mod check;
mod fit;
mod keys;
mod plain;
mod root;
mod subset;
#[cfg(test)]
mod tests;
mod walk;

pub(in crate::model) use subset::{
    ANTHROPIC, ANTHROPIC_ANSWER, COMPATIBLE, GEMINI, OLLAMA, OLLAMA_ANSWER, OPENAI_CHAT, OPENAI_RESPONSES,
    Subset, is_regular,
};

use std::collections::HashMap;

use serde_json::Value;

use super::BoxError;
use crate::message::{Arguments, Json, ToolSpec};
use keys::Renamed;
use subset::Keys;

/// What stands at the end of a description that goes on elsewhere.
const GOES_ON: &str = " [It goes on in the description of the parameters.]";

/// A tool as it is sent.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) schema: Value,
}

/// The tools of a request as they are sent; the error says which one cannot be, and why.
pub(super) fn offer(tools: &[ToolSpec], subset: &Subset) -> Result<Vec<Offered>, BoxError> {
    let server = subset.server;
    if let Some(max) = subset.tools_max.filter(|max| tools.len() > *max) {
        let number = tools.len();
        return Err(format!(
            "{server} takes at most {max} tools, and this agent offers {number}: offer fewer with `include` in \
             [tools.NAME], or give some to an agent that is called like a tool"
        )
        .into());
    }
    tools.iter().map(|tool| one(tool, subset)).collect()
}

fn one(tool: &ToolSpec, subset: &Subset) -> Result<Offered, BoxError> {
    let (name, server) = (&tool.name, subset.server);
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    if subset.letter_first && !name.starts_with(letter) {
        return Err(format!(
            "{server} does not take the tool `{name}`: its name has to begin with a letter or _; give it a `prefix` \
             in [tools.NAME]"
        )
        .into());
    }
    let (own, renamed) = renamed(tool, subset);
    let mut schema = fit::input(&own, &renamed, subset);
    let description = shortened(&tool.description, &mut schema, subset);
    check::input(&schema, subset).map_err(|check::Broken { rule, at }| {
        let at = if at.is_empty() { "at its root".to_owned() } else { format!("at {at}") };
        format!(
            "{server} does not take the tool `{name}`: its input-schema breaks a rule {at}: {rule}; mend the tool, or \
             leave it out with `include` in [tools.NAME]"
        )
    })?;
    Ok(Offered { name: name.clone(), description, schema })
}

/// The schema of an answer that the provider holds the model to, as it is sent. Its names are its own, because an answer
/// is passed on as the text that it is.
pub(super) fn answer(schema: &Json, subset: &Subset) -> Result<Value, BoxError> {
    let sent = fit::answer(&schema.to_value(), subset);
    check::answer(&sent, subset).map_err(|check::Broken { rule, at }| {
        let (server, at) = (subset.server, if at.is_empty() { "its root".to_owned() } else { at });
        format!(
            "{server} cannot hold an answer to `output_schema`, which breaks a rule at {at}: {rule}; mend it, or take \
             `structured_output` out: the answer is checked in any case"
        )
    })?;
    Ok(sent)
}

/// A description that is not too long, the rest of which is in that of the parameters.
fn shortened(description: &str, schema: &mut Value, subset: &Subset) -> String {
    let max = subset.description_chars_max.unwrap_or(usize::MAX);
    let (Some(_), Value::Object(root)) = (description.char_indices().nth(max), schema) else {
        return description.to_owned();
    };
    let kept = max.saturating_sub(GOES_ON.chars().count());
    let cut = description.char_indices().nth(kept).map_or(description.len(), |(at, _)| at);
    // Between two words, if there is a gap in the last part.
    let cut = description[..cut].rfind(char::is_whitespace).filter(|at| *at > cut / 2).unwrap_or(cut);
    let (first, rest) = description.split_at(cut);
    let rest = format!(
        "[The tool's description goes on:]{}{rest}",
        if rest.starts_with(char::is_whitespace) { "" } else { " " }
    );
    keys::say(root, &rest);
    format!("{first}{GOES_ON}")
}

/// The arguments of calls, between what a tool takes and what the provider is shown of it.
pub(super) struct Calls {
    /// The other names of properties, of each tool that has any.
    renamed: HashMap<String, Renamed>,
}

impl Calls {
    pub(super) fn new(tools: &[ToolSpec], subset: &Subset) -> Self {
        let some = tools.iter().filter(|_| subset.keys != Keys::All);
        let renamed = some.map(|tool| (tool.name.clone(), renamed(tool, subset).1));
        Self { renamed: renamed.filter(|(_, renamed)| !renamed.is_empty()).collect() }
    }

    /// Arguments as the tool takes them.
    pub(super) fn back(&self, tool: &str, arguments: Arguments) -> Arguments {
        match (self.renamed.get(tool), &arguments) {
            (Some(renamed), Arguments::Json(json)) => {
                let mut value = json.to_value();
                renamed.back(&mut value);
                Arguments::Json(Json::canonical(&value))
            }
            (Some(_), Arguments::Malformed(_)) | (None, _) => arguments,
        }
    }

    /// Arguments as the provider is shown them.
    pub(super) fn there(&self, tool: &str, arguments: &mut Value) {
        if let Some(renamed) = self.renamed.get(tool) {
            renamed.there(arguments);
        }
    }
}

/// A tool's schema, written plainly, and the other names of its properties.
fn renamed(tool: &ToolSpec, subset: &Subset) -> (Value, Renamed) {
    let mut schema = tool.input_schema.to_value();
    plain::rewrite(&mut schema);
    let renamed = Renamed::of(&schema, subset.keys);
    (schema, renamed)
}
