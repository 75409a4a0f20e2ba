//! A tool in C: all files of its directory but the tests, compiled by zig or by the clang of wasi-sdk.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::contract::{Contract, encode};
use super::program::Programs;
use super::work::Work;
use super::{BuildError, Language, STACK_BYTES};

/// zig has a compiler of C, and the library for WebAssembly.
pub(super) const INSTALL: &str = "python3 -m venv .venv && .venv/bin/pip install ziglang";

/// Where wasi-sdk is, unless this variable says something else.
const WASI_SDK: (&str, &str) = ("WASI_SDK_PATH", "/opt/wasi-sdk");

/// zig by its own name, and as Python's package installs it.
const ZIG: [&str; 2] = ["zig", "python-zig"];

pub(super) async fn build(
    path: &Path,
    scratch: &Path,
    made: &Path,
    work: &Work<'_>,
) -> Result<(), BuildError> {
    let programs = Programs::of(path, Language::C);
    let contract = Contract::of(path, scratch, &["orchestrator", "tool"])?;
    let core = scratch.join("core.wasm");
    let mut command = compiler(&programs).ok_or_else(|| programs.missing("zig", INSTALL))?;
    command.args(["-mexec-model=reactor", "-Os", "-Wall", "-Wl,--strip-all"]);
    command.arg(format!("-Wl,-z,stack-size={STACK_BYTES}"));
    let files = files(path)
        .map_err(|error| BuildError::Unreadable { path: path.to_owned(), reason: error.to_string() })?;
    command.arg("-o").arg(&core).args(files);
    programs.compile(&mut command, work).await?;
    encode(path, contract, core, made).await
}

/// The compiler, told what it compiles for.
fn compiler(programs: &Programs<'_>) -> Option<Command> {
    let (variable, usual) = WASI_SDK;
    let sdk = env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    let clang = sdk.unwrap_or_else(|| PathBuf::from(usual)).join("bin/clang");
    if clang.is_file() {
        let mut command = programs.of_path(&clang);
        command.arg("--target=wasm32-wasip1");
        return Some(command);
    }
    let zig = ZIG.into_iter().find_map(|name| programs.find(name))?;
    let mut command = programs.of_path(&zig);
    command.args(["cc", "-target", "wasm32-wasi"]);
    Some(command)
}

/// The files to compile, by their names, so that each build is the same.
fn files(path: &Path) -> std::io::Result<Vec<OsString>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        let is_source = text.ends_with(".c") && !text.ends_with("_test.c");
        // What wit-bindgen writes beside its sources, which do not link without it.
        let is_generated = text.ends_with("_component_type.o");
        if (is_source || is_generated) && !text.starts_with(['.', '-']) {
            files.push(name);
        }
    }
    files.sort_unstable();
    Ok(files)
}
