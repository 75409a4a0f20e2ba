//! A crate, built into a component by cargo.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;
use tokio::process::Command;

use super::kept::as_of;
use super::process::{Heard, cargo};
use super::work::Work;
use super::workspace::Workspace;
use super::{BuildError, Language, STACK_BYTES, Source};
use crate::toolbox::paths::remapping;
use crate::toolbox::{Progress, Tell};

/// What guests are compiled for.
pub(super) const TARGET: &str = "wasm32-wasip2";

/// Tells what is made as JSON on stdout; what compilers say goes to stderr, for people.
const MESSAGES: &str = "--message-format=json-render-diagnostics";

/// The target directory that all agents share, below the host's cache.
const SHARED: &str = "target";

/// What installs cargo and rustc.
pub(super) const INSTALL: &str = "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh";

impl BuildError {
    /// That cargo could not be started for a crate.
    pub(super) fn cargo(path: &Path, error: &io::Error) -> Self {
        Self::started(path, Language::Rust, ("cargo", INSTALL), error)
    }
}

/// Builds it, and keeps what was made.
pub(super) async fn build_now(
    Source { path, kept, .. }: &Source<'_>,
    cache: &Path,
    sysroot: &Path,
    work: &Work<'_>,
) -> Result<PathBuf, BuildError> {
    let workspace = Workspace::of(path, &cache.join(SHARED), work).await?;
    let unusable =
        |error: io::Error| BuildError::Keep { path: workspace.target.clone(), reason: error.to_string() };
    let _locked = workspace.lock(work).await.map_err(unusable)?;
    workspace.make_room(work).await;
    workspace.take_over(path, work).await?;
    let began = SystemTime::now();
    let made = cargo_build(path, &workspace.target, sysroot, work).await?;
    kept.keep(&made, as_of(path, began)).map_err(unusable)
}

/// Installs the target if it is missing, and says where the toolchain lies.
pub(super) async fn ensure_target(path: &Path, tell: &Tell<'_>) -> Result<PathBuf, BuildError> {
    let start = |program| {
        move |error: io::Error| BuildError::started(path, Language::Rust, (program, INSTALL), &error)
    };
    let found = Command::new("rustc")
        .args(["--print=sysroot", "--print=target-libdir", "--target", TARGET])
        .kill_on_drop(true)
        .output()
        .await
        .map_err(start("rustc"))?;
    let printed = String::from_utf8_lossy(&found.stdout);
    let mut lines = printed.lines().map(PathBuf::from);
    let (sysroot, directory) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if found.status.success() && directory.is_dir() {
        return Ok(sysroot);
    }
    // Two processes that install it at once take each other's download away.
    let _installing = directory.ancestors().find(|path| path.is_dir()).map(locked);
    if found.status.success() && directory.is_dir() {
        return Ok(sysroot);
    }
    tell(Progress::Began(&format!(
        "installing what Rust needs to compile for WebAssembly (rustup target add {TARGET}) …"
    )));
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]).kill_on_drop(true);
    let added = rustup.output().await;
    tell(Progress::Ended);
    let added = added.map_err(start("rustup"))?;
    if added.status.success() {
        return Ok(sysroot);
    }
    Err(BuildError::Target(String::from_utf8_lossy(&added.stderr).into_owned()))
}

/// A directory that this process alone changes, as far as the others ask too; where that cannot be had, it is gone
/// on without.
fn locked(path: &Path) -> std::io::Result<File> {
    let directory = File::open(path)?;
    directory.lock()?;
    Ok(directory)
}

/// What cargo says in its JSON messages, as far as it matters here.
#[derive(Deserialize)]
struct CargoMessage {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// What rustc is told besides what the crate itself says, as a TOML array. By now every crate is downloaded: what lies
/// where is the same for the next build, which takes over what this one compiled.
fn flags(sysroot: &Path) -> String {
    let mut flags = remapping(sysroot);
    flags.push(format!("-Clink-arg=-zstack-size={STACK_BYTES}"));
    toml::Value::from(flags).to_string()
}

/// Has cargo build a crate, and gives the component that it says it made.
async fn cargo_build(
    path: &Path,
    target: &Path,
    sysroot: &Path,
    work: &Work<'_>,
) -> Result<PathBuf, BuildError> {
    let manifest = path.join("Cargo.toml");
    let (mut artifact, mut said) = (None, String::new());
    let hear = |heard: Heard<'_>| {
        let Heard::Line(line) = heard else { return };
        let Ok(message) = serde_json::from_str::<CargoMessage>(line) else { return };
        let ours = message.reason == "compiler-artifact" && message.manifest_path.as_ref() == Some(&manifest);
        let is_wasm = |name: &PathBuf| name.extension().is_some_and(|kind| kind == "wasm");
        let wasm = message.filenames.into_iter().find(is_wasm);
        artifact = wasm.filter(|_| ours).or(artifact.take());
    };
    let directory = target.to_string_lossy();
    let flags = format!("target.{TARGET}.rustflags={}", flags(sysroot));
    let args =
        ["build", "--release", "--target", TARGET, "--target-dir", &directory, MESSAGES, "--config", &flags];
    let status = cargo(path, &args, hear, |heard| work.hears(heard, &mut said)).await;
    if !status.map_err(|error| BuildError::cargo(path, &error))?.success() {
        return Err(BuildError::Compiler { path: path.to_owned(), output: said });
    }
    artifact.ok_or_else(|| BuildError::NoComponent(path.to_owned()))
}
