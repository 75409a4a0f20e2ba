use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::message::Digest;

/// What guests are compiled for.
const TARGET: &str = "wasm32-wasip2";

/// A guest's stack. The linker's default of 1 MiB has to be zeroed or unmapped after every call; with this
/// one a call costs about half.
const STACK_BYTES: u32 = 64 * 1024;

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
    /// The crate makes no component.
    #[error("{} builds, but makes no component\n  its Cargo.toml needs [lib] crate-type = [\"cdylib\"]", .0.display())]
    NoComponent(PathBuf),
}

/// Builds a crate into a component, unless the one built last is newer than everything it is made from.
/// `notes` is a directory in which the host remembers where cargo put it. Dropping the future ends cargo, and whatever
/// it started.
pub async fn build(path: &Path, notes: &Path, say: &(dyn Fn(&str) + Sync)) -> Result<Built, BuildError> {
    if !path.join("Cargo.toml").is_file() {
        return Err(BuildError::NotACrate(path.to_owned()));
    }
    let note = notes.join(format!("{}.artifact", Digest::of(path.as_os_str().as_encoded_bytes())));
    if let Some(artifact) = fresh_artifact(&note, path) {
        return Ok(Built { artifact, freshness: Freshness::Fresh });
    }
    let sysroot = ensure_target(say).await?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    say(&format!("building {name} for {TARGET} …"));
    let (began, clock) = (SystemTime::now(), Instant::now());
    let artifact = cargo_build(path, &sysroot).await?;
    say(&format!("built {name} in {:.1} s", clock.elapsed().as_secs_f64()));
    // Without the note the next start asks cargo again, which costs time and nothing else.
    let _ = write_note(&note, &artifact, as_of(path, began));
    Ok(Built { artifact, freshness: Freshness::Rebuilt })
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// The moment whose sources a build that began then has seen. A lock file that cargo wrote meanwhile is part
/// of what was built.
fn as_of(path: &Path, began: SystemTime) -> SystemTime {
    path.ancestors()
        .filter_map(|directory| modified(&directory.join("Cargo.lock")))
        .fold(began, SystemTime::max)
}

/// Remembers where cargo put a component, and as of when: the file's own time of change.
fn write_note(note: &Path, artifact: &Path, began: SystemTime) -> std::io::Result<()> {
    let mut file = File::create(note)?;
    file.write_all(artifact.as_os_str().as_encoded_bytes())?;
    file.set_modified(began)
}

/// The component built last, if nothing it is made from changed since: neither a file that cargo recorded
/// for it nor a manifest.
fn fresh_artifact(note: &Path, path: &Path) -> Option<PathBuf> {
    let built = modified(note)?;
    let artifact = PathBuf::from(std::fs::read_to_string(note).ok()?);
    let dep_info = std::fs::read_to_string(artifact.with_extension("d")).ok()?;
    let older = |path: &Path| modified(path).is_some_and(|at| at <= built);
    let manifests = path.ancestors().flat_map(|dir| [dir.join("Cargo.toml"), dir.join("Cargo.lock")]);
    let fresh = artifact.is_file()
        && sources(&dep_info).iter().all(|source| older(source))
        && manifests.filter(|manifest| manifest.exists()).all(|manifest| older(&manifest));
    fresh.then_some(artifact)
}

/// The files in a dep-info file: `artifact: source source …`, with spaces in names escaped.
fn sources(dep_info: &str) -> Vec<PathBuf> {
    let Some((_, list)) = dep_info.lines().next().and_then(|line| line.split_once(": ")) else {
        return Vec::new();
    };
    let placeholder = "\u{0}";
    let words = list.replace("\\ ", placeholder);
    words.split_whitespace().map(|word| PathBuf::from(word.replace(placeholder, " "))).collect()
}

/// Installs the target if it is missing, and says where the toolchain lies.
async fn ensure_target(say: &(dyn Fn(&str) + Sync)) -> Result<PathBuf, BuildError> {
    let start =
        |program| move |error: std::io::Error| BuildError::Start { program, reason: error.to_string() };
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
    say(&format!("installing the target {TARGET} (rustup target add {TARGET}) …"));
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]).kill_on_drop(true);
    let added = rustup.output().await.map_err(start("rustup"))?;
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

/// cargo at work, and all the processes that it started: a group of their own, which ends together.
struct Cargo(Child);

impl Cargo {
    fn start(path: &Path, sysroot: &Path) -> std::io::Result<Self> {
        let cargo = Command::new("cargo")
            .args(["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"])
            .current_dir(path)
            // Flags meant for the machine this runs on have no place in a guest.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET")
            .arg("--config")
            .arg(format!("target.{TARGET}.rustflags={}", flags(sysroot)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self(cargo))
    }
}

/// What rustc is told besides what the crate itself says, as a TOML array.
fn flags(sysroot: &Path) -> String {
    let mut flags = super::paths::remapping(sysroot);
    flags.push(format!("-Clink-arg=-zstack-size={STACK_BYTES}"));
    toml::Value::from(flags).to_string()
}

impl Drop for Cargo {
    fn drop(&mut self) {
        // It has an id until its end was waited for, so the group is no other one.
        let group = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(group) = group {
            // Where it has just ended there is nothing to stop.
            let _ = kill_process_group(group, Signal::TERM);
        }
    }
}

async fn cargo_build(path: &Path, sysroot: &Path) -> Result<PathBuf, BuildError> {
    let start = |error: std::io::Error| BuildError::Start { program: "cargo", reason: error.to_string() };
    let mut cargo = Cargo::start(path, sysroot).map_err(start)?;
    let (stdout, stderr) = (cargo.0.stdout.take(), cargo.0.stderr.take());
    let manifest = path.join("Cargo.toml").canonicalize().unwrap_or_default();
    let mut artifact = None;
    let hear = async {
        let Some(stdout) = stdout else { return };
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(message) = serde_json::from_str::<CargoMessage>(&line) else { continue };
            let ours =
                message.reason == "compiler-artifact" && message.manifest_path.as_ref() == Some(&manifest);
            let wasm = message
                .filenames
                .into_iter()
                .find(|name| name.extension().is_some_and(|kind| kind == "wasm"));
            artifact = wasm.filter(|_| ours).or(artifact.take());
        }
    };
    let mut said = Vec::new();
    let listen = async {
        if let Some(mut stderr) = stderr {
            // What cannot be read of it is not shown.
            let _ = stderr.read_to_end(&mut said).await;
        }
    };
    // Both pipes are emptied at the same time, so that cargo never waits for us.
    tokio::join!(hear, listen);
    let status = cargo.0.wait().await.map_err(start)?;
    if !status.success() {
        let output = String::from_utf8_lossy(&said).into_owned();
        return Err(BuildError::Compiler { path: path.to_owned(), output });
    }
    artifact.ok_or_else(|| BuildError::NoComponent(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dep_info_names_with_spaces_are_kept_whole() {
        let text = "/t/a.wasm: /src/my\\ tool/lib.rs /src/x.rs\n\n/src/x.rs:\n";
        assert_eq!(sources(text), [PathBuf::from("/src/my tool/lib.rs"), PathBuf::from("/src/x.rs")]);
    }
}
