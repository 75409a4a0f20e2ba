//! `host inspect`: what a component is, before anything of it is granted or run.
//!
//! What a component says of itself is shown as text and never trusted: control characters and hidden ones are left out.

use std::fmt::Write as _;
use std::path::PathBuf;

use indicatif::BinaryBytes;
use serde_json::{Value, json};

use super::elsewhere::{Looking, print_lines};
use super::exit::{Exit, Misuse};
use super::places::Places;
use super::screen::{Format, Screen};
use super::signed::{BundleArg, Signers};
use super::target::Target;
use super::words::{counted, one_line};
use super::{print, print_json};
use crate::config::{Source, scheme, table_name};
use crate::message::{clean, toml_string};
use crate::sandbox::{Import, Need, Role, ToolDefinition};
use crate::toolbox::Inspection;
use crate::trust::Trust;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A .wasm component, the directory of a tool, an https:// URL, or `oci://REGISTRY/REPOSITORY:TAG`.
    #[arg(value_name = "WASM|DIR|REF")]
    target: PathBuf,
    #[command(flatten)]
    bundle: BundleArg,
    /// Print its world alone, in the interface language WIT.
    #[arg(long, conflicts_with = "json")]
    wit: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let screen = Screen::new(Format::Text);
    let looking = Looking::new(places, &screen, &Trust::default())?;
    let (inspection, signers) = match Target::of(&args.target)? {
        Target::Component(path) | Target::Tool(path) => {
            args.bundle.is_of_use(false)?;
            (looking.at(&Source::Local(path), None).await?, None)
        }
        Target::Remote(remote) => {
            let found = looking.now(&remote, args.bundle.offered(None).and_look()).await?;
            (found.inspection, Some(found.signers))
        }
        Target::Agent(path) => {
            let path = path.display();
            let message =
                format!("{path} is no component\n  what an agent's tools may do says: host check {path}");
            return Err(Misuse(message).into());
        }
    };
    if args.json {
        print_json(&report(&inspection, signers.as_ref()))?;
    } else if args.wit {
        print(clean(&inspection.wit).trim_end())?;
    } else {
        print_lines(&described(&inspection))?;
        print_lines(&signers.map(|it| it.lines()).unwrap_or_default())?;
        let (target, text) = (&args.target, args.target.to_string_lossy());
        if inspection.tools.is_empty() {
            print("\nno agent can use it: it has no tool")?;
        } else if scheme(&text).is_some() {
            print(&format!("\nto use it, pin it and write it into agent.toml with: host add {text}"))?;
        } else {
            // What is to be pasted is not broken into lines of another length.
            print(&format!("\nto use it, add to agent.toml:\n\n{}", table(&inspection, target)))?;
        }
    }
    Ok(Exit::Ok)
}

fn report(inspection: &Inspection, signers: Option<&Signers>) -> Value {
    let Inspection { path, bytes, digest, role, tools, refused, imports, missing, producers, wit } =
        inspection;
    let schema = |text: &String| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()));
    let tool = |tool: &ToolDefinition| {
        json!({
            "name": tool.name,
            "export": tool.export,
            "description": tool.description,
            "input_schema": schema(&tool.input_schema),
            "output_schema": tool.output_schema.as_ref().map(schema),
        })
    };
    let import = |import: &Import| {
        let grant = match import.need {
            Need::Grant(key) | Need::Table(key) => Some(key),
            Need::Nothing | Need::Never => None,
        };
        let missing: Vec<&str> = missing_of(import, missing).collect();
        json!({ "name": import.name, "grant": grant, "missing": missing })
    };
    json!({
        "path": path,
        "bytes": bytes,
        "sha256": digest,
        "signers": signers.map(Signers::report),
        "world": match role {
            Some(Role::Tools) => Some("host:tool/tool"),
            Some(Role::Functions) => Some("typed"),
            Some(Role::Program) => Some("wasi:cli/command"),
            Some(Role::Handler) => Some("wasi:http/proxy"),
            None => None,
        },
        "tools": tools.iter().map(tool).collect::<Vec<_>>(),
        "refused": refused
            .iter()
            .map(|it| json!({ "export": it.path, "why": it.why, "hidden": it.hidden }))
            .collect::<Vec<_>>(),
        "imports": imports.iter().map(import).collect::<Vec<_>>(),
        "producers": producers,
        "wit": wit,
    })
}

/// What this host does not have of an import.
fn missing_of<'a>(import: &'a Import, missing: &'a [String]) -> impl Iterator<Item = &'a str> {
    let own = |item: &'a String| {
        let rest = item.strip_prefix(&import.name)?;
        (rest.is_empty()).then_some("").or_else(|| rest.strip_prefix('#'))
    };
    missing.iter().filter_map(own)
}

/// What there is to know of a component, in words.
pub(super) fn described(inspection: &Inspection) -> Vec<String> {
    let Inspection { path, bytes, digest, role, tools, refused, imports, missing, producers, .. } =
        inspection;
    let world = match role {
        Some(Role::Tools) => "it is of the world host:tool/tool",
        Some(Role::Functions) => "its exports are its tools",
        Some(Role::Program) => "it is a program, wasi:cli/command",
        Some(Role::Handler) => "it answers HTTP requests, wasi:http/incoming-handler",
        None => "it exports no tool",
    };
    let mut lines = vec![
        format!("{}: a component of {}; {world}", path.display(), BinaryBytes(*bytes)),
        format!("  sha256 {digest}"),
    ];
    for (field, values) in producers {
        let values: Vec<String> = values.iter().map(|it| one_line(it)).collect();
        lines.push(format!("  {}: {}", one_line(field), values.join(", ")));
    }
    lines.push(format!("\n{}", counted(tools.len(), "tool")));
    for tool in tools {
        let from =
            if tool.export == tool.name { String::new() } else { format!(", the export {}", tool.export) };
        lines.push(format!("  {}{}", one_line(&tool.name), one_line(&from)));
        lines.push(format!("    {}", one_line(tool.description.lines().next().unwrap_or_default())));
        lines.push(format!("    input: {}", one_line(&tool.input_schema)));
        if let Some(schema) = &tool.output_schema {
            lines.push(format!("    output: {}", one_line(schema)));
        }
    }
    for (hidden, heading) in [(false, "exports that cannot be called"), (true, "exports that are for others")]
    {
        let mut those = refused.iter().filter(|it| it.hidden == hidden).peekable();
        if those.peek().is_some() {
            lines.push(format!("\n{heading}"));
        }
        lines.extend(those.map(|it| format!("  {}: {}", one_line(&it.path), one_line(&it.why))));
    }
    lines.push(format!("\n{}", counted(imports.len(), "import")));
    for import in imports {
        let lacks: Vec<&str> = missing_of(import, missing).collect();
        let need = match (lacks.as_slice(), import.need) {
            ([], Need::Nothing) => "needs no grant".to_owned(),
            ([], Need::Grant(key)) => format!("is of use where `{key}` is granted"),
            ([], Need::Table(key)) => format!("is of use with [tools.NAME.{key}]"),
            ([], Need::Never) => "is there, and can be granted to no tool".to_owned(),
            ([""], _) => "is not there: a call that uses it fails".to_owned(),
            (items, _) => format!("is not there, so that a call that uses it fails: {}", items.join(", ")),
        };
        lines.push(format!("  {} {}", one_line(&import.name), one_line(&need)));
    }
    lines.iter().flat_map(|it| it.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The table of agent.toml that offers the component's tools and grants them nothing, with what could be granted.
fn table(inspection: &Inspection, target: &std::path::Path) -> String {
    let name = table_name(&inspection.path.file_stem().unwrap_or_default().to_string_lossy());
    let mut text = format!(
        "[tools.{name}]\nsource = {}\nsha256 = \"{}\"",
        toml_string(&target.to_string_lossy()),
        inspection.digest
    );
    // Writing to a string cannot fail.
    if let Some(chosen) = inspection.chosen() {
        let chosen: Vec<String> = chosen.iter().map(|it| toml_string(it)).collect();
        let why = "# Several exports have one name; these are the first of each name.";
        let _ = write!(text, "\n{why}\ninclude = [{}]", chosen.join(", "));
    }
    let more = [called(inspection, &name), settings(inspection, &name), permissions(inspection, &name)];
    for more in more.into_iter().flatten() {
        let _ = write!(text, "\n\n{more}");
    }
    text
}

/// How a program could be called otherwise, as the lines of a table that is not there.
pub(super) fn called(inspection: &Inspection, name: &str) -> Option<String> {
    let lines = "# The model says its arguments and its standard input. To say how they are made from an input of its own:\n";
    let example = "# description = \"…\"\n# args = [\"-n\", \"{{ pattern }}\"]\n# stdin = \"{{ text }}\"\n\
                   # input = { type = \"object\", properties = { pattern = { type = \"string\" }, text = { type = \"string\" } } }";
    (inspection.role == Some(Role::Program)).then(|| format!("{lines}# [tools.{name}.command]\n{example}"))
}

/// What a component could be told by name, as the lines of a table that is not there.
pub(super) fn settings(inspection: &Inspection, name: &str) -> Option<String> {
    let asks = inspection.imports.iter().any(|it| it.need == Need::Table("config"));
    asks.then(|| {
        format!("# It asks for settings by their names:\n# [tools.{name}.config]\n# name = \"value\"")
    })
}

/// What could be granted to a component, as the lines of a table in which nothing is.
pub(super) fn permissions(inspection: &Inspection, name: &str) -> Option<String> {
    let grants: Vec<&str> = [
        ("dirs", "# dirs = [{ path = \"./data\", guest = \"/data\", access = \"read\" }]"),
        ("env", "# env = [\"NAME\"]"),
        ("network", "# network = [\"https://api.example.com\"]"),
        ("calls", "# calls = [\"other_tool\"]"),
    ]
    .into_iter()
    .filter(|(key, _)| inspection.imports.iter().any(|it| it.need == Need::Grant(key)))
    .map(|(_, line)| line)
    .collect();
    (!grants.is_empty()).then(|| {
        format!(
            "# It is granted nothing. What it could use, where a call is denied it:\n# [tools.{name}.permissions]\n{}",
            grants.join("\n")
        )
    })
}
