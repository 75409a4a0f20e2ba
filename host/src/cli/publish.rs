//! `host publish`: a component into an OCI registry.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::exit::{Exit, Misuse};
use super::places::Places;
use super::streams::{print, say};
use crate::registry::{Client, Remote};
use crate::toolbox::COMPONENT_BYTES_MAX;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The component. `host build` makes one of a source.
    #[arg(value_name = "WASM")]
    file: PathBuf,
    /// Where to: `oci://REGISTRY/REPOSITORY:TAG`. A tag that is there already then means this component.
    #[arg(value_name = "REF")]
    to: String,
}

pub(super) async fn run(args: Args, places: &Places) -> anyhow::Result<Exit> {
    let target = |why: &str| Misuse(format!("{}: {why}\n  write oci://REGISTRY/REPOSITORY:TAG", args.to));
    let remote: Remote = args.to.parse().map_err(|error| target(&format!("{error}")))?;
    let Remote::Oci(name) = remote else {
        return Err(target("only an OCI registry can be pushed to").into());
    };
    if places.is_offline() {
        return Err(Misuse(
            "nothing is pushed offline\n  run the command without --offline and HOST_OFFLINE".to_owned(),
        )
        .into());
    }
    let component = read(&args.file)?;
    let published = Client::default().publish(&component, &name).await?;
    say(format_args!("pushed {} as {name}, with sha256 {}", args.file.display(), published.sha256));
    print(&name.at(published.manifest).to_string())?;
    Ok(Exit::Ok)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    if path.is_dir() {
        let message = format!(
            "{shown} is a directory\n  build a component of the tool: host build {shown} --output FILE.wasm"
        );
        return Err(Misuse(message).into());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
    file.take(COMPONENT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {shown}"))?;
    Ok(bytes)
}
