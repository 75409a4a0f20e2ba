//! A tool crate, built into a component by cargo.
//!
//! Owns when a crate is built again, and that what is used is what was built from it. Does not know what a component
//! is for. It fails with a [`BuildError`], which has the compiler's own words. Dropping a build ends cargo and whatever
//! it started.

mod cargo;
mod kept;
mod room;
mod work;
mod workspace;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;
use tokio::process::Command;

use super::{Progress, Tell};
use cargo::{Heard, cargo};
use kept::{Kept, as_of};
use work::Work;
use workspace::Workspace;

/// What guests are compiled for.
const TARGET: &str = "wasm32-wasip2";

/// A guest's stack. The linker's default of 1 MiB has to be zeroed or unmapped after every call; with this
/// one a call costs about half.
const STACK_BYTES: u32 = 64 * 1024;

/// Tells what is made as JSON on stdout; what compilers say goes to stderr, for people.
const MESSAGES: &str = "--message-format=json-render-diagnostics";

/// The target directory that all agents share, below the host's cache.
const SHARED: &str = "target";

/// A crate that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// The component.
    pub artifact: PathBuf,
    /// Whether the compiler had to run.
    pub freshness: Freshness,
}

/// Whether a component is newer than all it is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It was: nothing was built.
    Fresh,
    /// It was not.
    Rebuilt,
}

/// Why a crate could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The directory is not a crate.
    #[error("{} has no Cargo.toml\n  `source` is a .wasm file or a crate directory", .0.display())]
    NotACrate(PathBuf),
    /// A program is missing or cannot be started.
    #[error("cannot run `{program}`: {reason}\n  building a crate needs a Rust toolchain (rustup)")]
    Start {
        /// cargo, rustc or rustup.
        program: &'static str,
        /// What the system said.
        reason: String,
    },
    /// The target is missing and cannot be installed.
    #[error("the target {TARGET} is not installed and `rustup target add {TARGET}` failed:\n{0}")]
    Target(String),
    /// The compiler refused.
    #[error("{} does not build:\n{output}", path.display())]
    Compiler {
        /// The crate.
        path: PathBuf,
        /// What cargo and rustc said.
        output: String,
    },
    /// What was built cannot be kept.
    #[error("cannot use {}: {reason}\n  choose another directory with --cache DIR", path.display())]
    Keep {
        /// Where.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The crate makes no component.
    #[error("{} builds, but makes no component\n  its Cargo.toml needs [lib] crate-type = [\"cdylib\"]", .0.display())]
    NoComponent(PathBuf),
}

impl BuildError {
    fn cargo(error: &io::Error) -> Self {
        Self::Start { program: "cargo", reason: error.to_string() }
    }
}

/// Builds a crate into a component, unless the one built last is newer than everything it is made from. `cache` is the
/// host's own directory, where components are kept and crates are built. Dropping the future ends cargo, and whatever it
/// started.
pub async fn build(path: &Path, cache: &Path, tell: &Tell<'_>) -> Result<Built, BuildError> {
    if !path.join("Cargo.toml").is_file() {
        return Err(BuildError::NotACrate(path.to_owned()));
    }
    let unusable = |error: io::Error| BuildError::Keep { path: cache.to_owned(), reason: error.to_string() };
    let path = &path.canonicalize().map_err(unusable)?;
    let kept = Kept::of(path, cache).map_err(unusable)?;
    if let Some(artifact) = kept.fresh(path) {
        return Ok(Built { artifact, freshness: Freshness::Fresh });
    }
    let sysroot = ensure_target(tell).await?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let work = Work::begin(&name, tell);
    let built = work.ticking(build_now(path, cache, (&kept, &sysroot), &work)).await;
    let seconds = work.end().as_secs_f64();
    let artifact = built?;
    tell(Progress::Said(&format!("built {name} in {seconds:.1} s")));
    Ok(Built { artifact, freshness: Freshness::Rebuilt })
}

async fn build_now(
    path: &Path,
    cache: &Path,
    (kept, sysroot): (&Kept, &Path),
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
async fn ensure_target(tell: &Tell<'_>) -> Result<PathBuf, BuildError> {
    let start = |program| move |error: io::Error| BuildError::Start { program, reason: error.to_string() };
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
    let mut flags = super::paths::remapping(sysroot);
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
    if !status.map_err(|error| BuildError::cargo(&error))?.success() {
        return Err(BuildError::Compiler { path: path.to_owned(), output: said });
    }
    artifact.ok_or_else(|| BuildError::NoComponent(path.to_owned()))
}
