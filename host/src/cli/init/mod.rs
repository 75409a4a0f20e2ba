//! `host init`: a new agent, offline, with a tool crate that builds and runs at once.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use include_dir::{Dir, include_dir};

use super::exit::Exit;
use super::say;

/// The SDK goes along, so that a new tool depends on nothing that has to be found first.
static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-tools/sdk");
static SDK_MACROS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-tools/sdk-macros");
const WIT: &str = include_str!("../../../../wit/tool.wit");
const WORKSPACE: &str = include_str!("../../../../guest-tools/Cargo.toml");

/// The new agent's own files, by where they go.
const FILES: [(&str, &str); 6] = [
    ("agent.toml", include_str!("agent.toml")),
    ("script.toml", include_str!("script.toml")),
    ("tests/greets-both.toml", include_str!("case.toml")),
    (".gitignore", "/tools/target\n"),
    ("tools/greet/Cargo.toml", include_str!("greet.toml")),
    ("tools/greet/src/lib.rs", include_str!("greet.rs")),
];

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to write it.
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let root = &args.directory;
    let agent = root.join("agent.toml");
    let tools = root.join("tools");
    if let Some(path) = [&agent, &tools].into_iter().find(|path| path.exists()) {
        say(format_args!(
            "error: {} exists; nothing was written\n  choose another directory: host init DIR",
            path.display()
        ));
        return Ok(Exit::Usage);
    }
    for (path, text) in FILES {
        write(&root.join(path), text.as_bytes())?;
    }
    write(&root.join("wit/tool.wit"), WIT.as_bytes())?;
    write(&tools.join("Cargo.toml"), workspace().as_bytes())?;
    write_all(&SDK, &tools.join("sdk"))?;
    write_all(&SDK_MACROS, &tools.join("sdk-macros"))?;
    say(format_args!("wrote {}, and a tool in {}", agent.display(), tools.join("greet").display()));
    say(format_args!("run it:   host run {}", agent.display()));
    say(format_args!("test it:  host test {}", agent.display()));
    Ok(Exit::Ok)
}

/// The workspace of the first-party tools, with the new tool in it instead of them.
fn workspace() -> String {
    let members = |line: &str| line.starts_with("members = ");
    let lines = WORKSPACE
        .lines()
        .map(|line| if members(line) { "members = [\"greet\", \"sdk\", \"sdk-macros\"]" } else { line });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

fn write_all(directory: &Dir<'_>, to: &Path) -> anyhow::Result<()> {
    for file in directory.files() {
        write(&to.join(file.path()), file.contents())?;
    }
    directory.dirs().try_for_each(|directory| write_all(directory, to))
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(path, bytes))
        .with_context(|| format!("cannot write {}", path.display()))
}
