//! A tool in Python: tool.py, with the interpreter around it.

use std::path::Path;

use super::contract::Contract;
use super::program::Programs;
use super::work::Work;
use super::{BuildError, Language};

/// What puts a module and the interpreter into a component.
const COMPILER: &str = "componentize-py";

/// The version that the template was tested with, in a place where no system forbids it.
pub(super) const INSTALL: &str =
    "python3 -m venv .venv && .venv/bin/pip install 'componentize-py>=0.25,<0.26'";

pub(super) async fn build(
    path: &Path,
    scratch: &Path,
    made: &Path,
    work: &Work<'_>,
) -> Result<(), BuildError> {
    let programs = Programs::of(path, Language::Python);
    let contract = Contract::of(path, scratch, &["tool"])?;
    let mut command = programs.command(COMPILER, INSTALL)?;
    command.arg("--quiet").arg("--wit-path").arg(&contract.directory).args(["--world", &contract.world]);
    command.args(["componentize", "tool", "--output"]).arg(made);
    programs.compile(&mut command, work).await
}
