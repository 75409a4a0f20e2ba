use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime};

use serde::Deserialize;

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
/// `notes` is a directory in which the host remembers where cargo put it.
pub fn build(path: &Path, notes: &Path, say: &(dyn Fn(&str) + Sync)) -> Result<Built, BuildError> {
    if !path.join("Cargo.toml").is_file() {
        return Err(BuildError::NotACrate(path.to_owned()));
    }
    let note = notes.join(format!("{}.artifact", Digest::of(path.as_os_str().as_encoded_bytes())));
    if let Some(artifact) = fresh_artifact(&note, path) {
        return Ok(Built { artifact, freshness: Freshness::Fresh });
    }
    ensure_target(say)?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    say(&format!("building {name} for {TARGET} …"));
    let (began, clock) = (SystemTime::now(), Instant::now());
    let artifact = cargo_build(path)?;
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

/// Installs the target if it is missing.
fn ensure_target(say: &(dyn Fn(&str) + Sync)) -> Result<(), BuildError> {
    let start =
        |program| move |error: std::io::Error| BuildError::Start { program, reason: error.to_string() };
    let found = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(start("rustc"))?;
    let directory = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
    if found.status.success() && directory.is_dir() {
        return Ok(());
    }
    // Two processes that install it at once take each other's download away.
    let _installing = directory.ancestors().find(|path| path.is_dir()).map(locked);
    if found.status.success() && directory.is_dir() {
        return Ok(());
    }
    say(&format!("installing the target {TARGET} (rustup target add {TARGET}) …"));
    let added = Command::new("rustup").args(["target", "add", TARGET]).output().map_err(start("rustup"))?;
    if added.status.success() {
        return Ok(());
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

fn cargo_build(path: &Path) -> Result<PathBuf, BuildError> {
    let start = |error: std::io::Error| BuildError::Start { program: "cargo", reason: error.to_string() };
    let mut cargo = Command::new("cargo")
        .args(["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"])
        .current_dir(path)
        // Flags meant for the machine this runs on have no place in a guest.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .env("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", format!("-C link-arg=-zstack-size={STACK_BYTES}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(start)?;
    // Both pipes are emptied at the same time, so that cargo never waits for us.
    let stderr = cargo.stderr.take();
    let said = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.map(|mut pipe| pipe.read_to_string(&mut text)).transpose().map(|_| text)
    });
    let manifest = path.join("Cargo.toml").canonicalize().unwrap_or_default();
    let mut artifact = None;
    for line in
        cargo.stdout.take().into_iter().flat_map(|pipe| BufReader::new(pipe).lines()).map_while(Result::ok)
    {
        let Ok(message) = serde_json::from_str::<CargoMessage>(&line) else { continue };
        let ours = message.reason == "compiler-artifact" && message.manifest_path.as_ref() == Some(&manifest);
        let wasm =
            message.filenames.into_iter().find(|name| name.extension().is_some_and(|kind| kind == "wasm"));
        artifact = wasm.filter(|_| ours).or(artifact);
    }
    let status = cargo.wait().map_err(start)?;
    let output = said.join().ok().and_then(Result::ok).unwrap_or_default();
    if !status.success() {
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
