//! A tool in JavaScript or TypeScript: one file with all that it imports, and the engine `QuickJS` around it.

use std::path::Path;

use super::contract::Contract;
use super::program::Programs;
use super::work::Work;
use super::{BuildError, Language};

/// The package.json that `host new` writes has what is needed.
pub(super) const INSTALL: &str = "npm install";

/// What has npm and node.
const INSTALL_NODE: &str = "sudo apt install nodejs npm && npm install";

pub(super) async fn build(
    path: &Path,
    language: Language,
    scratch: &Path,
    made: &Path,
    work: &Work<'_>,
) -> Result<(), BuildError> {
    let programs = Programs::of(path, language);
    let contract = Contract::of(path, scratch, &["tool"])?;
    if programs.find("node").is_none() {
        return Err(programs.missing("node", INSTALL_NODE));
    }
    let mut bundle = programs.command("esbuild", INSTALL)?;
    let mut componentize = programs.command("componentize-qjs", INSTALL)?;
    let whole = scratch.join("tool.js");
    bundle.args([language.file(), "--bundle", "--format=esm", "--log-level=warning"]);
    // What the world imports is there when the component runs.
    bundle.args(["--external:host:*", "--external:wasi:*"]);
    bundle.arg(format!("--outfile={}", whole.display()));
    programs.compile(&mut bundle, work).await?;
    componentize.arg("--wit").arg(&contract.directory).args(["--world", &contract.world]);
    // The host calls functions that are not async.
    componentize.arg("--js").arg(&whole).arg("--sync").arg("--output").arg(made);
    programs.compile(&mut componentize, work).await
}
