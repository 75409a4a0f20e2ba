//! `host tools list`: the tools that come with host.
//!
//! Owns what is said of them. They lie in the repository of host, and are no part of the program: whoever has the
//! repository, or built components of it, has them.

use serde::Serialize;

use super::exit::{Exit, Misuse};
use super::{print, print_json, say};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print the lines for agent.toml of this tool alone.
    name: Option<String>,
    /// Print JSON.
    #[arg(long, conflicts_with = "name")]
    json: bool,
}

/// A component on the shelf.
#[derive(Debug, Serialize)]
struct Kept {
    name: &'static str,
    does: &'static str,
    tools: &'static [&'static str],
    /// What it can use of what agent.toml grants, in words.
    grants: &'static str,
    /// Where its source is in the repository.
    source: &'static str,
    /// What stands in agent.toml besides the source.
    #[serde(skip)]
    lines: &'static str,
}

const ALONE: &str = "no grant";

const SHELF: [Kept; 9] = [
    Kept {
        name: "files",
        does: "Lists, reads, searches, writes and patches the files that agent.toml grants.",
        tools: &["list_files", "read_file", "search_files", "write_file", "edit_file", "patch_file"],
        grants: "dirs: the directories that it reads, or writes",
        source: "guest-tools/shelf/files",
        lines: "include = [\"list_files\", \"read_file\", \"search_files\"]    # without this line also write_file, \
                edit_file, patch_file\n\n\
                [tools.files.permissions]\n\
                dirs = [{ path = \"./work\", guest = \"/work\", access = \"read\" }]   # or \"write\"\n",
    },
    Kept {
        name: "calc",
        does: "Computes exactly, with integers and fractions of any size within bounds.",
        tools: &["calculate"],
        grants: ALONE,
        source: "guest-tools/shelf/calc",
        lines: "",
    },
    Kept {
        name: "json",
        does: "Queries and changes JSON by jq programs.",
        tools: &["query_json"],
        grants: ALONE,
        source: "guest-tools/shelf/json",
        lines: "",
    },
    Kept {
        name: "text",
        does: "Finds, replaces, splits and counts in text.",
        tools: &["find_text", "replace_text", "split_text", "count_text"],
        grants: ALONE,
        source: "guest-tools/shelf/text",
        lines: "",
    },
    Kept {
        name: "diff",
        does: "Compares two texts.",
        tools: &["diff_texts"],
        grants: ALONE,
        source: "guest-tools/shelf/diff",
        lines: "",
    },
    Kept {
        name: "time",
        does: "Tells, converts and computes times in all zones.",
        tools: &["time_now", "convert_time", "add_time", "time_between"],
        grants: ALONE,
        source: "guest-tools/shelf/time",
        lines: "",
    },
    Kept {
        name: "javascript",
        does: "Runs JavaScript that the model writes, without files and network.",
        tools: &["run_javascript"],
        grants: ALONE,
        source: "guest-tools/shelf/javascript",
        lines: "",
    },
    Kept {
        name: "python",
        does: "Runs Python that the model writes, without files and network.",
        tools: &["run_python"],
        grants: ALONE,
        source: "guest-tools/shelf/python",
        lines: "",
    },
    Kept {
        name: "fetch",
        does: "Sends HTTP requests to where agent.toml grants it.",
        tools: &["fetch"],
        grants: "network: the sites, with methods and secrets",
        source: "guest-tools/fetch",
        lines: "\n[[tools.fetch.permissions.network]]\n\
                url = \"https://api.github.com\"\n\
                methods = [\"GET\"]\n",
    },
];

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    if args.json {
        print_json(&SHELF)?;
        return Ok(Exit::Ok);
    }
    let Some(name) = &args.name else {
        for Kept { name, does, tools, grants, .. } in &SHELF {
            print(&format!(
                "{name:<11} {does}\n{:<11} tools: {}\n{:<11} uses: {grants}",
                "",
                tools.join(", "),
                ""
            ))?;
        }
        say(
            "`host tools list NAME` prints the lines for agent.toml; `source` there is a directory of host's repository",
        );
        return Ok(Exit::Ok);
    };
    let kept = SHELF.iter().find(|kept| kept.name == name).ok_or_else(|| {
        let names: Vec<_> = SHELF.iter().map(|kept| kept.name).collect();
        Misuse(format!("no tool {name:?} comes with host\n  there are {}", names.join(", ")))
    })?;
    print(kept.block().trim_end())?;
    say(
        "`source` is a path to the tool's directory in host's repository, or to a component that was built of it",
    );
    Ok(Exit::Ok)
}

impl Kept {
    /// The lines for agent.toml.
    fn block(&self) -> String {
        let Self { name, source, lines, .. } = self;
        format!("[tools.{name}]\nsource = \"{source}\"\n{lines}")
    }
}
