//! `host init`: a new agent, offline, with a tool crate that builds and runs at once; or one more tool.
//!
//! Owns what a new agent consists of. Invariant: a file that is there is not touched, unless the person says so; but
//! `.gitignore` gets the lines that it lacks, and the workspace `tools` one more member.

mod name;
mod plan;
mod workspace;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::exit::{Exit, Misuse};
use super::say;
use crate::document::{FileError, read_text};
use name::ToolName;
use plan::Plan;

/// The new agent's own files, by where they go.
const FILES: [(&str, &str); 3] = [
    ("agent.toml", include_str!("agent.toml")),
    ("script.toml", include_str!("script.toml")),
    ("tests/greets-both.toml", include_str!("case.toml")),
];
const GREET: &str = include_str!("greet.rs");
const TOOL: &str = include_str!("tool.rs");

/// What git is not to keep. The host builds elsewhere; this is where cargo does, if it is asked by hand.
const IGNORED: [&str; 1] = ["/tools/target"];

/// A larger file is none that a person wrote.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to write it [default: my-agent; with --tool this directory]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Write a tool alone, into tools/NAME: of an agent that is there, or of none.
    #[arg(long, value_name = "NAME")]
    tool: Option<ToolName>,
    /// Replace files that are there already.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let Args { directory, tool, force } = args;
    match tool {
        None => new_agent(&named(directory.as_deref(), "my-agent"), *force),
        Some(tool) => new_tool(&named(directory.as_deref(), "."), tool, *force),
    }
}

fn named(directory: Option<&Path>, default: &str) -> PathBuf {
    directory.unwrap_or(Path::new(default)).to_owned()
}

fn new_agent(root: &Path, force: bool) -> anyhow::Result<Exit> {
    let mut plan = Plan::new(root);
    for (path, text) in FILES {
        plan.write(path, text.into());
    }
    for (path, bytes) in workspace::files(&ToolName::greet(), GREET) {
        plan.write(&path, bytes);
    }
    ignore(root, &mut plan)?;
    if !write(&plan, root, force)? {
        return Ok(Exit::Usage);
    }
    let agent = shown(root, "agent.toml");
    say(format_args!("wrote {agent}, and a tool in {}", shown(root, "tools/greet/src/lib.rs")));
    say(format_args!("run it:    host run {}", quoted(&root.display().to_string())));
    say(format_args!("test it:   host test {}", quoted(&root.display().to_string())));
    say(format_args!("call it:   host call {} greet name=Ada", quoted(&root.display().to_string())));
    Ok(Exit::Ok)
}

fn new_tool(root: &Path, tool: &ToolName, force: bool) -> anyhow::Result<Exit> {
    let mut plan = Plan::new(root);
    let name = tool.as_str();
    let manifest = root.join("tools/Cargo.toml");
    let has_sdk = root.join("tools/sdk/Cargo.toml").is_file();
    match read(&manifest) {
        Ok(text) if has_sdk => {
            let extended = workspace::with_member(&text, tool).ok_or_else(|| {
                let path = manifest.display();
                Misuse(format!(
                    "{path} has no list of members; nothing was written\n  add one to its [workspace]: members = [\"sdk\", \"sdk-macros\"]"
                ))
            })?;
            if extended != text {
                plan.extend("tools/Cargo.toml", extended.into());
            }
            for (path, bytes) in workspace::crate_files(tool, TOOL) {
                plan.write(&path, bytes);
            }
        }
        // Without the SDK beside it, it is not a workspace of such tools: what is there stands in the way.
        Ok(_) | Err(FileError::Missing) => {
            for (path, bytes) in workspace::files(tool, TOOL) {
                plan.write(&path, bytes);
            }
            ignore(root, &mut plan)?;
        }
        Err(error) => return Err(Misuse(format!("cannot read {}: {error}", manifest.display())).into()),
    }
    if !write(&plan, root, force)? {
        return Ok(Exit::Usage);
    }
    let folder = shown(root, &format!("tools/{name}"));
    say(format_args!("wrote a tool in {folder}/src/lib.rs"));
    say(format_args!("try it:    host call {} text=hello", quoted(&folder)));
    say(format_args!("for an agent, add to its agent.toml:"));
    say(format_args!("  [tools.{name}]\n  source = \"tools/{name}\""));
    Ok(Exit::Ok)
}

/// Has `.gitignore` say what git is not to keep.
fn ignore(root: &Path, plan: &mut Plan) -> anyhow::Result<()> {
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
    let missing: Vec<&str> = IGNORED.into_iter().filter(|line| !there.contains(line)).collect();
    if !missing.is_empty() {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        plan.extend(".gitignore", format!("{text}{end}{}\n", missing.join("\n")).into());
    }
    Ok(())
}

/// Reads a file. What is no file counts as missing here: it stands in the way of the one that is to be written, and a
/// pipe would have to be waited for.
fn read(path: &Path) -> Result<String, FileError> {
    if path.is_file() { read_text(path, FILE_BYTES_MAX) } else { Err(FileError::Missing) }
}

/// Writes what is planned, unless something is in the way; that has been said then.
fn write(plan: &Plan, root: &Path, force: bool) -> anyhow::Result<bool> {
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

/// A path below a directory, as a person would write it.
fn shown(root: &Path, path: &str) -> String {
    if root == Path::new(".") { path.to_owned() } else { root.join(path).display().to_string() }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./+@:,=%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
