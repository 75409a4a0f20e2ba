//! What `host new` and `host init` write: a tool of each language, with what it is written with.
//!
//! Owns the files of the templates and that nothing in their way is lost. All of it is part of the program, so it works
//! where the repository of host is not.

mod name;
mod plan;
pub(super) mod workspace;

pub(super) use name::ToolName;
pub(super) use plan::Plan;

use std::collections::BTreeSet;
use std::path::Path;

use include_dir::{Dir, include_dir};

use super::exit::Misuse;
use super::say;
use crate::document::{FileError, read_text};
use crate::sandbox::WIT;
use crate::toolbox::Language;

static PYTHON: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/cli/template/python");
static JAVASCRIPT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/cli/template/js");
static TYPESCRIPT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/cli/template/ts");
static GO: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/cli/template/go");
static C: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/cli/template/c");

/// A file's path below a directory, and what is in it.
pub(super) type NewFile = (String, Vec<u8>);

/// A larger file is none that a person wrote.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// All files of a tool that stands on its own, by where they go in its directory.
pub(super) fn tool_files(name: &ToolName, language: Language) -> Vec<NewFile> {
    let folder = match language {
        Language::Rust => return workspace::standalone(name),
        Language::Python => &PYTHON,
        Language::JavaScript => &JAVASCRIPT,
        Language::TypeScript => &TYPESCRIPT,
        Language::Go => &GO,
        Language::C => &C,
    };
    let files = workspace::files_of(folder, "").into_iter();
    let mut files: Vec<NewFile> = files.map(|(path, bytes)| (path, named(&bytes, name))).collect();
    files.push(("wit/tool.wit".to_owned(), WIT.into()));
    files
}

/// What git is not to keep of a tool.
pub(super) fn ignored(language: Language) -> &'static [&'static str] {
    match language {
        Language::Rust => &["/target"],
        Language::Python => &["/.venv", "__pycache__"],
        Language::JavaScript | Language::TypeScript => &["/node_modules"],
        Language::Go | Language::C => &["/.venv"],
    }
}

/// A template's text with the tool's name in it.
fn named(text: &[u8], name: &ToolName) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    text.replace("my-tool", name.as_str()).replace("my_tool", &name.function()).into()
}

/// Has `.gitignore` of a directory say what git is not to keep.
pub(super) fn ignore(root: &Path, lines: &[&str], plan: &mut Plan) -> anyhow::Result<()> {
    let path = root.join(".gitignore");
    let text = match read(&path) {
        Ok(text) => text,
        Err(FileError::Missing) => String::new(),
        Err(error) => {
            let why = format!("cannot read {}: {error}; nothing was written", path.display());
            return Err(Misuse(why).into());
        }
    };
    let there: BTreeSet<&str> = text.lines().map(str::trim_end).collect();
    let missing: Vec<&str> = lines.iter().copied().filter(|line| !there.contains(line)).collect();
    if !missing.is_empty() {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        plan.extend(".gitignore", format!("{text}{end}{}\n", missing.join("\n")).into());
    }
    Ok(())
}

/// Reads a file. What is no file counts as missing here: it stands in the way of the one that is to be written, and a
/// pipe would have to be waited for.
pub(super) fn read(path: &Path) -> Result<String, FileError> {
    if path.is_file() { read_text(path, FILE_BYTES_MAX) } else { Err(FileError::Missing) }
}

/// Writes what is planned, unless something is in the way; that has been said then.
pub(super) fn write(plan: &Plan, root: &Path, force: bool) -> anyhow::Result<bool> {
    let unreadable = |error: std::io::Error| Misuse(format!("{error}; nothing was written"));
    let obstacles = plan.obstacles().map_err(unreadable)?;
    let in_the_way = obstacles.iter().filter(|obstacle| !(force && obstacle.can_be_replaced()));
    let in_the_way: Vec<String> = in_the_way.map(ToString::to_string).collect();
    if in_the_way.is_empty() {
        plan.carry_out().map_err(|error| anyhow::anyhow!("{error}; nothing was written"))?;
        return Ok(true);
    }
    let all = obstacles.iter().all(plan::Obstacle::can_be_replaced);
    say("error: this is there already; nothing was written");
    for line in in_the_way {
        say(format_args!("  {line}"));
    }
    if all {
        say(format_args!("choose another directory, or replace what is listed: --force"));
    } else {
        let dir = root.display();
        say(format_args!(
            "choose another directory, or move away what is in the way in {dir}; --force replaces files alone"
        ));
    }
    Ok(false)
}

/// Adds a tool to a workspace of tools, whose directory is given, beside the SDK that is there.
pub(super) fn add_to_workspace(
    root: &Path,
    below: &str,
    name: &ToolName,
    plan: &mut Plan,
) -> anyhow::Result<()> {
    let manifest = root.join(below).join("Cargo.toml");
    let text =
        read(&manifest).map_err(|error| Misuse(format!("cannot read {}: {error}", manifest.display())))?;
    let extended = workspace::with_member(&text, name).ok_or_else(|| {
        let path = manifest.display();
        Misuse(format!(
            "{path} has no list of members; nothing was written\n  add one to its [workspace]: members = [\"sdk\", \"sdk-macros\"]"
        ))
    })?;
    if extended != text {
        plan.extend(&format!("{below}Cargo.toml"), extended.into());
    }
    for (path, bytes) in workspace::crate_files(name, workspace::TOOL) {
        plan.write(&format!("{below}{path}"), bytes);
    }
    Ok(())
}
