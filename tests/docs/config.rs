//! agent.toml, table by table, made of its JSON Schema.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

/// A table of agent.toml that is still to be described.
struct Table<'a> {
    /// How its header is written: `[model.retry]`, `[[approval.ask]]`.
    header: String,
    /// The keys down to it.
    path: String,
    schema: &'a Value,
}

/// What was described so far.
#[derive(Default)]
struct Described {
    /// Where each definition was described first.
    tables: HashMap<String, String>,
    /// The older spellings: where each is, and what stands for it now.
    older: Vec<String>,
}

/// A section for each table, of a file that has no older spellings.
pub(super) fn tables_of_today(schema: &Value) -> String {
    let (page, described) = sections(schema);
    assert!(described.older.is_empty(), "{:?}", described.older);
    page
}

fn sections(schema: &Value) -> (String, Described) {
    let mut described = Described::default();
    let root = Table { header: "Top level".to_owned(), path: String::new(), schema };
    let mut page = String::new();
    section(&root, schema, &mut described, &mut page);
    (page, described)
}

/// A section for each table, in the order of the schema, and one for what is older.
pub(super) fn tables(schema: &Value) -> String {
    let (mut page, described) = sections(schema);
    let older = described.older.join("\n");
    write!(
        page,
        "## Older spellings\n\nThey go on working, and `host fmt` writes the new ones. Both spellings of one thing in one \
         file are an error.\n\n| table | older | meaning |\n| --- | --- | --- |\n{older}\n\
         | `[model]` | `structured_output` | The older place of `structured_output` in `[agent]`. |\n"
    )
    .unwrap();
    page
}

fn section<'a>(table: &Table<'a>, root: &'a Value, described: &mut Described, page: &mut String) {
    let title = if table.path.is_empty() { table.header.clone() } else { format!("`{}`", table.header) };
    let about = text(&table.schema["description"]);
    write!(page, "## {title}\n\n{about}\n\n| key | value | meaning |\n| --- | --- | --- |\n").unwrap();
    // Of keys that say the same, the first is the one of today.
    let required = [&table.schema["required"], &table.schema["anyOf"][0]["required"]];
    let required = required.map(|keys| keys.as_array().into_iter().flatten().filter_map(Value::as_str));
    let required: Vec<&str> = required.into_iter().flatten().collect();
    let mut below = Vec::new();
    for (key, of_key) in properties(table.schema) {
        let older = older_words(key, of_key, root);
        let is_older = is_older(of_key).then(|| (format!("`{key}`"), text(&of_key["description"])));
        let rows =
            is_older.iter().chain(&older).map(|(key, now)| format!("| `{}` | {key} | {now} |", table.header));
        described.older.extend(rows);
        if is_older.is_some() {
            continue;
        }
        let child = child(table, key, of_key, root);
        let value = match &child {
            Some(child) => linked(child, described),
            None => value(of_key, root),
        };
        let needed = if required.contains(&key.as_str()) { "Required. " } else { "" };
        let meaning = format!("{needed}{}{}", text(&of_key["description"]), choices(of_key, root));
        writeln!(page, "| `{key}` | {} | {} |", value.replace('|', "\\|"), meaning.replace('|', "\\|"))
            .unwrap();
        below.extend(child.filter(|child| !described.tables.contains_key(&name(child.schema))).inspect(
            |child| {
                described.tables.insert(name(child.schema), child.header.clone());
            },
        ));
    }
    page.push('\n');
    for child in below {
        section(&child, root, described, page);
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flat_map(Map::iter)
}

/// The table below a key, if there is one.
fn child<'a>(table: &Table<'a>, key: &str, schema: &'a Value, root: &'a Value) -> Option<Table<'a>> {
    let path = if table.path.is_empty() { key.to_owned() } else { format!("{}.{key}", table.path) };
    let of = resolved(schema, root);
    let (path, list, schema) = if let Some(of) = as_table(of, root) {
        (path, false, of)
    } else if let Some(of) = as_table(resolved(&of["items"], root), root) {
        (path, true, of)
    } else if let Some(of) = as_table(resolved(&of["additionalProperties"], root), root) {
        (format!("{path}.NAME"), false, of)
    } else {
        return None;
    };
    let header = if list { format!("[[{path}]]") } else { format!("[{path}]") };
    Some(Table { header, path, schema })
}

/// The table that a value is, or may be.
fn as_table<'a>(schema: &'a Value, root: &'a Value) -> Option<&'a Value> {
    let kinds = schema["oneOf"].as_array().into_iter().flatten().map(|kind| resolved(kind, root));
    std::iter::once(schema).chain(kinds).find(|schema| schema["properties"].is_object())
}

fn is_older(schema: &Value) -> bool {
    schema["deprecated"] == true
}

/// The older words that a key takes, and what stands for each now.
fn older_words(key: &str, schema: &Value, root: &Value) -> Vec<(String, String)> {
    let words =
        resolved(schema, root)["oneOf"].as_array().into_iter().flatten().filter(|word| is_older(word));
    words.map(|word| (format!("`{key} = {}`", word["const"]), text(&word["description"]))).collect()
}

/// A table's own section, or the one where the same table was described before.
fn linked(table: &Table<'_>, described: &Described) -> String {
    let at = described.tables.get(&name(table.schema)).unwrap_or(&table.header);
    let anchor: String = at.chars().filter(|c| c.is_alphanumeric() || "_-".contains(*c)).collect();
    let keys = if *at == table.header { String::new() } else { format!(": the keys of `{at}`") };
    format!("[`{}`](#{}){keys}", table.header, anchor.to_lowercase())
}

/// What tells one definition from another: all that it says.
fn name(schema: &Value) -> String {
    schema.to_string()
}

fn resolved<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|to| to.strip_prefix("#/$defs/"));
    name.map_or(schema, |name| &root["$defs"][name])
}

/// What may stand behind a key, with an example.
fn value(schema: &Value, root: &Value) -> String {
    let of = resolved(schema, root);
    let mut value = kind(of, root);
    let bound = |key| of[key].as_number().map(ToString::to_string);
    // What TOML can write is no bound that anybody meets.
    let most = bound("maximum").filter(|most| *most != i64::MAX.to_string());
    match (bound("minimum"), most) {
        (Some(least), Some(most)) if least == most => return least,
        (Some(least), Some(most)) => write!(value, ", {least} to {most}"),
        (Some(least), None) => write!(value, ", {least} or more"),
        (None, Some(most)) => write!(value, ", {most} or less"),
        (None, None) => Ok(()),
    }
    .unwrap();
    let example = schema["examples"].get(0).or_else(|| of["examples"].get(0));
    let example = example.map(|example| toml::Value::try_from(example).unwrap().to_string());
    let described = text(&schema["description"]);
    // A description that has the example says more about it: that it is the default, say.
    match example.filter(|example| !described.contains(example.trim_matches('"'))) {
        Some(example) => format!("{value}, such as `{example}`"),
        None => value,
    }
}

fn kind(schema: &Value, root: &Value) -> String {
    if let Some(kinds) = schema["anyOf"].as_array() {
        let kinds: Vec<String> = kinds.iter().map(|schema| kind(resolved(schema, root), root)).collect();
        return kinds.join(" or ");
    }
    match schema["type"].as_str() {
        _ if schema["oneOf"].is_array() => "one of the words on the right".to_owned(),
        Some("array") => match resolved(&schema["items"], root) {
            items if items["oneOf"].is_array() => "list of the words on the right".to_owned(),
            items => format!("list of {}s", kind(items, root)),
        },
        Some("object") => match schema["properties"].as_object() {
            Some(keys) => {
                let keys: Vec<String> = keys.keys().map(|key| format!("{key} = …")).collect();
                format!("`{{ {} }}`", keys.join(", "))
            }
            None => "table".to_owned(),
        },
        Some("boolean") => "`true` or `false`".to_owned(),
        Some(kind) => kind.to_owned(),
        None => "any value".to_owned(),
    }
}

/// The words that a key takes, each with what it means.
fn choices(schema: &Value, root: &Value) -> String {
    let of = resolved(schema, root);
    let words = of["oneOf"].as_array().or_else(|| resolved(&of["items"], root)["oneOf"].as_array());
    let mut said = String::new();
    for word in words.into_iter().flatten().filter(|word| word["const"].is_string() && !is_older(word)) {
        write!(said, "<br>`{}`: {}", word["const"], text(&word["description"])).unwrap();
    }
    said
}

/// A description in one line, without what Markdown would take for more.
fn text(description: &Value) -> String {
    description.as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}
