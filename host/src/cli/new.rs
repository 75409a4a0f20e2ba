//! `host new`: a tool of its own, in one of six languages, that builds and can be called at once.
//!
//! Owns what is said of it. Invariant: a file that is there is not touched, unless the person says so.

use std::path::{Path, PathBuf};

use super::exit::{Exit, Misuse};
use super::say;
use super::template::{self, Plan, ToolName};
use crate::message::shell_word;
use crate::toolbox::Language;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The tool's name, or a path whose last part it is: the directory that is written.
    #[arg(value_name = "NAME")]
    path: PathBuf,
    /// What it is written in.
    #[arg(long, value_name = "LANG", default_value = "rust")]
    lang: Language,
    /// Replace files that are there already.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let Args { path, lang, force } = args;
    let name = name(path, *lang)?;
    if let Some(other) = Language::said_by(path).find(|other| other != lang) {
        return Err(Misuse(format!(
            "{} has a tool in {other}: {}\n  a tool has a directory of its own: choose another name",
            path.display(),
            other.file()
        ))
        .into());
    }
    // A crate beside the SDK shares it.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let shares = *lang == Language::Rust
        && ["Cargo.toml", "sdk/Cargo.toml"].iter().all(|file| parent.join(file).is_file());
    let root = if shares { parent } else { path };
    let mut plan = Plan::new(root);
    if shares {
        template::add_to_workspace(root, "", &name, &mut plan)?;
    } else {
        for (file, bytes) in template::tool_files(&name, *lang) {
            plan.write(&file, bytes);
        }
        template::ignore(root, template::ignored(*lang), &mut plan)?;
    }
    if !template::write(&plan, root, *force)? {
        return Ok(Exit::Usage);
    }
    told(path, &name, *lang);
    Ok(Exit::Ok)
}

/// What is said of a tool that was written.
fn told(path: &Path, name: &ToolName, language: Language) {
    let (shown, word) = (path.display(), shell_word(&path.to_string_lossy()));
    // A compiler that is not that of the whole machine, as a rule, is in the directory of the tool.
    let (source, is_in_the_directory) = match language {
        Language::Rust => ("src/lib.rs", false),
        Language::Go => ("tool.go", false),
        Language::C => (language.file(), false),
        Language::Python | Language::JavaScript | Language::TypeScript => (language.file(), true),
    };
    say(format_args!("wrote a tool in {language}: {}", path.join(source).display()));
    if is_in_the_directory {
        say(format_args!("first:     (cd {word} && {})", language.install()));
    }
    say(format_args!("call it:   host call {word} text=hello"));
    say(format_args!("build it:  host build {word}"));
    say(format_args!("for an agent, add to its agent.toml:"));
    say(format_args!("  [tools.{}]\n  source = \"{shown}\"", name.as_str()));
}

/// The name that a path ends in.
fn name(path: &Path, language: Language) -> Result<ToolName, Misuse> {
    let shown = path.display();
    let text = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
        Misuse(format!("`{shown}` does not end in a name\n  type: host new NAME --lang LANG"))
    })?;
    ToolName::of(text, language)
        .map_err(|error| Misuse(format!("`{shown}` cannot be a tool's name: {error}")))
}
