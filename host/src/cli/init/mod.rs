//! `host init`: a new agent, offline, with a tool crate that builds and runs at once; or one more tool.
//!
//! Owns what a new agent consists of. Invariant: a file that is there is not touched, unless the person says so; but
//! `.gitignore` gets the lines that it lacks, and the workspace `tools` one more member.

use std::path::{Path, PathBuf};

use super::exit::Exit;
use super::say;
use super::template::{self, Plan, ToolName, ignore, workspace, write};
use crate::message::shell_word as quoted;

/// The new agent's own files, by where they go.
const FILES: [(&str, &str); 3] = [
    ("agent.toml", include_str!("agent.toml")),
    ("script.toml", include_str!("script.toml")),
    ("tests/greets-both.toml", include_str!("case.toml")),
];
const GREET: &str = include_str!("greet.rs");

/// What git is not to keep. The host builds elsewhere; this is where cargo does, if it is asked by hand.
const IGNORED: [&str; 1] = ["/tools/target"];

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
    ignore(root, &IGNORED, &mut plan)?;
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
    let (manifest, sdk) = (root.join("tools/Cargo.toml"), root.join("tools/sdk/Cargo.toml"));
    if manifest.is_file() && sdk.is_file() {
        template::add_to_workspace(root, "tools/", tool, &mut plan)?;
    } else {
        // Without the SDK beside it, it is not a workspace of such tools: what is there stands in the way.
        for (path, bytes) in workspace::files(tool, workspace::TOOL) {
            plan.write(&path, bytes);
        }
        ignore(root, &IGNORED, &mut plan)?;
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

/// A path below a directory, as a person would write it.
fn shown(root: &Path, path: &str) -> String {
    if root == Path::new(".") { path.to_owned() } else { root.join(path).display().to_string() }
}
