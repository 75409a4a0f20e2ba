//! `host wit`: the contract between host and tool, as a package of the interface language.

use std::path::PathBuf;

use anyhow::Context as _;
use wit_parser::Resolve;

use super::exit::Exit;
use super::output::OutputFile;
use super::{print, say};
use crate::sandbox::WIT;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to write it: a directory, a .wit file, or a .wasm file for the package in its binary form. Without it, the text
    /// is printed.
    #[arg(value_name = "DIR|FILE")]
    to: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let Some(to) = &args.to else {
        print(WIT.trim_end())?;
        return Ok(Exit::Ok);
    };
    let extension = to.extension().and_then(|it| it.to_str());
    let (file, bytes) = match extension {
        Some("wasm") => {
            (to.clone(), package().context("the contract cannot be encoded; please report this as a bug")?)
        }
        Some("wit") => (to.clone(), WIT.into()),
        Some(_) | None => {
            let unmade = || format!("cannot make {}", to.display());
            std::fs::create_dir_all(to).with_context(unmade)?;
            (to.join("tool.wit"), WIT.into())
        }
    };
    let unwritten = || format!("cannot write {}", file.display());
    OutputFile::at(&file)?.replace(&bytes).with_context(unwritten)?;
    say(format_args!("wrote {}", file.display()));
    Ok(Exit::Ok)
}

/// The package in the form that registries of components have.
fn package() -> anyhow::Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let id = resolve.push_str("tool.wit", WIT).map_err(|error| anyhow::anyhow!("{error:#}"))?;
    wit_component::encode(&resolve, id).map_err(|error| anyhow::anyhow!("{error:#}"))
}
