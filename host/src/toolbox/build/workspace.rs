//! Which packages a crate is built with, and where.
//!
//! Owns the choice of the target directory. All agents share one, below the host's cache, so that what one of them had
//! compiled is there for the next. A workspace that says in its own `.cargo/config.toml` where it is built, inside of
//! itself, is built there, as if by hand.
//!
//! cargo knows a package of a workspace by its place in it, and a source that is older than the last build is not read
//! again. So in a directory that two workspaces share, `tools/greet` of the one would be taken for that of the other.
//! Invariant: what another workspace left of its own packages is cleared away before the build; packages from a registry
//! stay, and are what takes long.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::BuildError;
use super::kept::identity;
use super::process::{Heard, cargo};
use super::room::{self, Room};
use super::rust::TARGET;
use super::work::Work;
use crate::document::read_text;
use crate::toolbox::Progress;

/// Whose packages are in a shared directory.
const OWNER: &str = "built-last";

/// How often a directory is asked for that another process builds in.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A larger one is none that a person wrote.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// What `cargo metadata` says, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    /// None for one that is in a directory.
    source: Option<String>,
}

/// Where a crate is built.
pub(super) struct Workspace {
    /// The target directory.
    pub(super) target: PathBuf,
    root: PathBuf,
    /// Whether other workspaces are built there, too.
    is_shared: bool,
    /// The packages that are in directories.
    local: Vec<String>,
}

impl Workspace {
    /// That of the crate in a directory.
    pub(super) async fn of(path: &Path, shared: &Path, work: &Work<'_>) -> Result<Self, BuildError> {
        let (mut json, mut said) = (None, String::new());
        let args = ["metadata", "--format-version=1", "--filter-platform", TARGET];
        let hear = |heard: Heard<'_>| {
            if let Heard::Line(line) = heard {
                json = Some(line.to_owned());
            }
        };
        let status = cargo(path, &args, hear, |heard| work.hears(heard, &mut said)).await;
        let status = status.map_err(|error| BuildError::cargo(path, &error))?;
        let unfit = |output: String| BuildError::Compiler { path: path.to_owned(), output };
        let Some(json) = json.filter(|_| status.success()) else { return Err(unfit(said)) };
        let metadata: Metadata =
            serde_json::from_str(&json).map_err(|error| unfit(format!("cargo metadata says: {error}")))?;
        let Metadata { packages, workspace_root: root, target_directory } = metadata;
        let own = says_where(path, &root) && target_directory.starts_with(&root);
        let local = packages.into_iter().filter(|package| package.source.is_none()).map(|it| it.id).collect();
        let target = if own { target_directory } else { shared.to_owned() };
        Ok(Self { target, root, is_shared: !own, local })
    }

    /// Waits until no other host builds there; the directory is this one's as long as the file is open.
    pub(super) async fn lock(&self, work: &Work<'_>) -> io::Result<File> {
        if self.is_shared {
            fs::create_dir_all(&self.target)?;
        }
        let directory = File::open(if self.is_shared { &self.target } else { &self.root })?;
        let mut waits = false;
        loop {
            match directory.try_lock() {
                // Where there are no locks it is gone on without.
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(directory),
                Err(TryLockError::WouldBlock) if waits => {}
                Err(TryLockError::WouldBlock) => {
                    waits = true;
                    let target = self.target.display();
                    work.tell(Progress::Said(&format!("another host builds in {target}; waiting for it …")));
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Clears the shared directory if it has become too large. Where that fails, the build goes on in what is there.
    pub(super) async fn make_room(&self, work: &Work<'_>) {
        if !self.is_shared {
            return;
        }
        let target = self.target.clone();
        let made = tokio::task::spawn_blocking(move || room::make(&target, room::BYTES_MAX)).await;
        let (target, gib) = (self.target.display(), room::BYTES_MAX >> 30);
        let said = match made.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(Room::Enough) => return,
            Ok(Room::Cleared(_)) => {
                format!("{target} had more than {gib} GiB; it was cleared, so this build takes longer")
            }
            Ok(Room::InUse) => {
                format!("{target} has more than {gib} GiB; a cargo builds in it, so a later build clears it")
            }
            Err(error) => format!("cannot make room in {target}: {error}; the build goes on without"),
        };
        work.tell(Progress::Said(&said));
    }

    /// Clears away what another workspace left of its own packages.
    pub(super) async fn take_over(&self, path: &Path, work: &Work<'_>) -> Result<(), BuildError> {
        if !self.is_shared {
            return Ok(());
        }
        let owner = self.target.join(OWNER);
        let unusable = |error: io::Error| BuildError::Keep { path: owner.clone(), reason: error.to_string() };
        let name = format!("{}\n{}\n", self.root.display(), identity(&self.root).map_err(unusable)?);
        if fs::read_to_string(&owner).is_ok_and(|last| last == name) {
            return Ok(());
        }
        let target = self.target.to_string_lossy();
        let mut args = vec!["clean", "--release", "--target", TARGET, "--target-dir", &target];
        args.extend(self.local.iter().flat_map(|id| ["--package", id]));
        let mut said = String::new();
        // Its bars are about files that are removed, which is nothing to wait for.
        let hear = |heard: Heard<'_>| match heard {
            Heard::Line(_) => work.hears(heard, &mut said),
            Heard::Bar(_) => {}
        };
        let status =
            cargo(path, &args, |_| {}, hear).await.map_err(|error| BuildError::cargo(path, &error))?;
        if !status.success() {
            return Err(BuildError::Compiler { path: path.to_owned(), output: said });
        }
        fs::write(&owner, name).map_err(unusable)
    }
}

/// Whether a workspace says itself where it is built. What the person's own configuration says is about builds by hand.
fn says_where(path: &Path, root: &Path) -> bool {
    #[derive(Deserialize)]
    struct Config {
        build: Option<Build>,
    }
    #[derive(Deserialize)]
    struct Build {
        #[serde(rename = "target-dir")]
        target_dir: Option<String>,
    }
    let Ok(path) = path.canonicalize() else { return false };
    let within = path.ancestors().take_while(|directory| directory.starts_with(root));
    let files = within
        .flat_map(|directory| ["config.toml", "config"].map(|name| directory.join(".cargo").join(name)));
    let says = |file: PathBuf| {
        let text = if file.is_file() { read_text(&file, CONFIG_BYTES_MAX).ok() } else { None };
        let config = text.and_then(|text| toml::from_str::<Config>(&text).ok());
        config.and_then(|config| config.build?.target_dir).is_some()
    };
    files.into_iter().any(says)
}
