use std::collections::HashMap;
use std::path::Path;

use globset::{Glob, GlobMatcher};
use serde_json::Value;

use super::ToolboxReason;
use crate::config::ToolConfig;
use crate::message::{Digest, Json, ToolEntry, ToolSpec, clean};
use crate::sandbox::{Refused, SCHEMA_BYTES_MAX, ToolDefinition};
use crate::schema::Schema;

/// The bounds that `wit/tool.wit` sets for what a component tells of itself.
pub(super) const TOOLS_MAX: usize = 128;
const NAME_CHARS_MAX: usize = 64;
const DESCRIPTION_BYTES_MAX: usize = 4 * 1024;

/// The tools of a component as the agent offers them: checked, filtered by `include`, with the prefix. With them come
/// the exports of the component that are no tools.
pub(super) fn entries(
    tool: &ToolConfig,
    component: Digest,
    (listed, refused): (Vec<ToolDefinition>, &[Refused]),
    path: &Path,
) -> Result<Vec<ToolEntry>, ToolboxReason> {
    let refuse = |reason: String| ToolboxReason::Listing { path: path.to_owned(), reason };
    if listed.is_empty() {
        return Err(refuse("it lists no tools".to_owned()));
    }
    if let Some(Refused { path, why, .. }) = refused.iter().find(|it| tool.include.contains(&it.path)) {
        return Err(ToolboxReason::NoTool { export: path.clone(), why: why.clone() });
    }
    if let Some(name) = tool.describe.keys().find(|name| !listed.iter().any(|it| it.name == **name)) {
        return Err(ToolboxReason::DescribesNothing { name: name.clone(), names: names(&listed) });
    }
    let include = Choice::new("include", &tool.include, &listed)?;
    let chosen: Vec<ToolDefinition> =
        listed.into_iter().filter(|it| tool.include.is_empty() || include.names(it)).collect();
    if chosen.len() > TOOLS_MAX {
        return Err(ToolboxReason::TooMany { path: path.to_owned(), count: chosen.len() });
    }
    let shown_bytes_max = tool.limits.shown_bytes_max;
    let grants = match &tool.command {
        None => Digest::of_json(&(&tool.grants, &tool.limits)),
        Some(command) => Digest::of_json(&(&tool.grants, &tool.limits, command)),
    };
    let mut exports: HashMap<String, String> = HashMap::new();
    let mut entries: Vec<ToolEntry> = Vec::new();
    for mut definition in chosen {
        check_name(&definition.name, &tool.prefix).map_err(refuse)?;
        let (name, export) = (definition.name.clone(), definition.export.clone());
        match exports.insert(name.clone(), export.clone()) {
            Some(other) if other != export => {
                return Err(ToolboxReason::Ambiguous { name, exports: [other, export] });
            }
            Some(_) => return Err(refuse(format!("it lists the tool `{name}` twice"))),
            None => {}
        }
        if let Some(description) = tool.describe.get(&name) {
            definition.description.clone_from(description);
        }
        let spec = spec(definition, &tool.prefix).map_err(refuse)?;
        entries.push(ToolEntry {
            builtin: None,
            agent: None,
            spec,
            source: tool.name.clone(),
            export,
            component,
            grants,
            hidden: tool.hidden,
            max_repeats: tool.max_repeats,
            shown_bytes_max,
        });
    }
    Ok(entries)
}

/// The tools of a list that can be offered, and those that cannot, with the reason.
pub(super) fn sorted_out(
    tool: &ToolConfig,
    listed: Vec<ToolDefinition>,
) -> (Vec<ToolDefinition>, Vec<Refused>) {
    let mut refused = Vec::new();
    let mut can_be_offered = |definition: &ToolDefinition| {
        let mut told = definition.clone();
        if let Some(description) = tool.describe.get(&told.name) {
            told.description.clone_from(description);
        }
        let fits = check_name(&told.name, &tool.prefix).and_then(|()| spec(told, &tool.prefix));
        let Err(why) = fits else { return true };
        refused.push(Refused { path: definition.export.clone(), why, hidden: false });
        false
    };
    let offered = listed.into_iter().filter(|it| can_be_offered(it)).collect();
    (offered, refused)
}

/// The tools that the patterns of a key name.
pub(super) struct Choice(Vec<GlobMatcher>);

impl Choice {
    /// Each of the patterns has to name something: one that does not is a mistake.
    pub(super) fn new(
        key: &'static str,
        globs: &[String],
        listed: &[ToolDefinition],
    ) -> Result<Self, ToolboxReason> {
        let nothing =
            |glob: &String| ToolboxReason::Pattern { key, glob: glob.clone(), names: names(listed) };
        let compile = |glob: &String| {
            let pattern = Self(vec![Glob::new(glob).map_err(|_| nothing(glob))?.compile_matcher()]);
            if listed.iter().any(|it| pattern.names(it)) { Ok(pattern) } else { Err(nothing(glob)) }
        };
        let patterns = globs.iter().map(compile).collect::<Result<Vec<_>, _>>()?;
        Ok(Self(patterns.into_iter().flat_map(|pattern| pattern.0).collect()))
    }

    /// Whether a tool is named, by what models call it or by its place among the component's exports.
    pub(super) fn names(&self, tool: &ToolDefinition) -> bool {
        self.0.iter().any(|pattern| pattern.is_match(&tool.name) || pattern.is_match(&tool.export))
    }
}

/// The names in a list, as far as an error tells them.
fn names(listed: &[ToolDefinition]) -> Vec<String> {
    let mut names: Vec<String> = listed.iter().take(TOOLS_MAX).map(|it| it.name.clone()).collect();
    if listed.len() > TOOLS_MAX {
        names.push("and more".to_owned());
    }
    names
}

fn check_name(name: &str, prefix: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(format!(
            "it lists a tool named {name:?}; a name has only the characters A-Z a-z 0-9 _ -"
        ));
    }
    let chars = prefix.len() + name.len();
    if chars > NAME_CHARS_MAX {
        return Err(format!(
            "the tool name `{prefix}{name}` has {chars} characters; at most {NAME_CHARS_MAX} are allowed"
        ));
    }
    Ok(())
}

fn spec(definition: ToolDefinition, prefix: &str) -> Result<ToolSpec, String> {
    let ToolDefinition { name, description, input_schema, output_schema, .. } = definition;
    if description.len() > DESCRIPTION_BYTES_MAX {
        let bytes = description.len();
        return Err(format!(
            "the description of `{name}` has {bytes} bytes; at most {DESCRIPTION_BYTES_MAX} are allowed"
        ));
    }
    let input_schema = schema(&name, "input-schema", input_schema)?;
    let is_object = input_schema.to_value().get("type").is_some_and(|kind| kind == "object");
    if !is_object {
        return Err(format!("the input-schema of `{name}` is not of type `object`"));
    }
    let output_schema = output_schema.map(|text| schema(&name, "output-schema", text)).transpose()?;
    let description = clean(&description).into_owned();
    Ok(ToolSpec { name: format!("{prefix}{name}"), description, input_schema, output_schema })
}

fn schema(tool: &str, which: &str, text: String) -> Result<Json, String> {
    if text.len() > SCHEMA_BYTES_MAX {
        let bytes = text.len();
        return Err(format!(
            "the {which} of `{tool}` has {bytes} bytes; at most {SCHEMA_BYTES_MAX} are allowed"
        ));
    }
    let json = Json::parse(text).map_err(|error| format!("the {which} of `{tool}` is not JSON: {error}"))?;
    Schema::new(&json).compile().map_err(|error| format!("the {which} of `{tool}` is {error}"))?;
    Ok(without_hidden(json))
}

/// A schema whose texts, which the model reads like a description, have no hidden characters.
fn without_hidden(schema: Json) -> Json {
    let value = schema.to_value();
    let cleaned = cleaned(value.clone());
    if cleaned == value { schema } else { Json::canonical(&cleaned) }
}

fn cleaned(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(&text).into_owned()),
        Value::Array(items) => items.into_iter().map(cleaned).collect(),
        Value::Object(entries) => {
            entries.into_iter().map(|(key, value)| (clean(&key).into_owned(), cleaned(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}
