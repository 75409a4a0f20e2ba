//! Whether a source may be built. Building runs its code with the rights of the host: build scripts, macros, the
//! configuration of compilers.
//!
//! Owns what belongs to an agent's own project, and what a person allowed. Invariant: what neither belongs to the project
//! nor was allowed is not built. A source is known by its path and by what the file system calls it, so that another
//! one that is moved there is asked about, too; one whose files change is not.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::kept::identity;
use super::{BuildError, unusable};
use crate::toolbox::ComponentCache;

/// What was allowed, below the host's cache.
const TRUSTED: &str = "trusted";

/// Who wants a source to be built.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'a> {
    /// A person, who named it. That is a yes.
    Person,
    /// An agent, which names it in agent.toml.
    Agent(&'a Project),
}

/// The directory with everything that was made together with an agent: the repository or the workspace that it is in, or
/// else its own directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project(PathBuf);

/// A source that is outside of the project of its agent.
#[derive(Clone, Copy, Debug)]
pub struct Stranger<'a> {
    /// Its directory.
    pub source: &'a Path,
    /// The agent's project.
    pub project: &'a Path,
}

/// What becomes of sources that are outside of the project of their agent, unless they were allowed before.
#[derive(Clone, Default)]
pub enum Strangers {
    /// They are not built.
    #[default]
    Refuse,
    /// They are built, and count as allowed from then on.
    Allow,
    /// Somebody is asked, on a thread that may wait.
    Ask(Arc<dyn Fn(Stranger<'_>) -> bool + Send + Sync>),
}

impl fmt::Debug for Strangers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refuse => "Refuse",
            Self::Allow => "Allow",
            Self::Ask(_) => "Ask",
        })
    }
}

impl Project {
    /// That of an agent.toml, or of what is in a directory.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let directory = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(&path) };
        let home = std::env::home_dir().and_then(|home| home.canonicalize().ok());
        // Everything of a person is below the home directory, also what is others' work; it is no project as a whole.
        let within =
            directory.ancestors().take_while(|at| at.parent().is_some() && Some(*at) != home.as_deref());
        let mut root = directory;
        for at in within {
            if at.join(".git").exists() {
                root = at;
                break;
            }
            if is_workspace(at) {
                root = at;
            }
        }
        Self(root.to_owned())
    }

    /// Whether a source belongs to it: what has a repository of its own within it does not.
    fn has(&self, source: &Path) -> bool {
        let Self(root) = self;
        let mut within = source.ancestors().take_while(|at| *at != root);
        source.starts_with(root) && !within.any(|at| at.join(".git").exists())
    }
}

/// Whether a directory is the root of a workspace of cargo's.
fn is_workspace(directory: &Path) -> bool {
    /// A larger manifest is none that a person wrote.
    const MANIFEST_BYTES_MAX: u64 = 1 << 20;
    let manifest = directory.join("Cargo.toml");
    let text = if manifest.is_file() {
        crate::document::read_text(&manifest, MANIFEST_BYTES_MAX).ok()
    } else {
        None
    };
    text.and_then(|text| text.parse::<toml::Table>().ok()).is_some_and(|it| it.contains_key("workspace"))
}

/// Lets a source be built, or says why it may not be.
pub(super) async fn admit(source: &Path, owner: Owner<'_>, cache: &ComponentCache) -> Result<(), BuildError> {
    let project = match owner {
        Owner::Agent(project) if project.has(source) => return Ok(()),
        Owner::Agent(Project(root)) => root,
        Owner::Person => return remember(source, cache.directory()),
    };
    let note = note(source, cache.directory()).map_err(|error| unusable(source, &error))?;
    if note.exists() {
        return Ok(());
    }
    let is_allowed = match cache.strangers() {
        Strangers::Refuse => false,
        Strangers::Allow => true,
        Strangers::Ask(ask) => {
            let (ask, source, project) = (Arc::clone(ask), source.to_owned(), project.clone());
            let asked =
                tokio::task::spawn_blocking(move || ask(Stranger { source: &source, project: &project }));
            asked.await.unwrap_or(false)
        }
    };
    if is_allowed {
        return remember(source, cache.directory());
    }
    Err(BuildError::Stranger { source_dir: source.to_owned(), project: project.clone() })
}

fn note(source: &Path, cache: &Path) -> io::Result<PathBuf> {
    Ok(cache.join(TRUSTED).join(identity(source)?))
}

/// Writes down that a source may be built.
fn remember(source: &Path, cache: &Path) -> Result<(), BuildError> {
    let written = || {
        let note = note(source, cache)?;
        fs::create_dir_all(cache.join(TRUSTED))?;
        // For whoever looks at it; the name is what counts.
        fs::write(note, format!("{}\n", source.display()))
    };
    written().map_err(|error| unusable(&cache.join(TRUSTED), &error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_project_is_the_repository_or_the_workspace_or_the_directory_alone() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let at = |path: &str| root.join(path);
        for made in [
            "repo/.git",
            "repo/agents/one",
            "repo/theirs/.git",
            "repo/theirs/tool",
            "space/agents",
            "alone/tool",
        ] {
            fs::create_dir_all(at(made)).unwrap();
        }
        fs::write(at("repo/agents/Cargo.toml"), "[workspace]\n").unwrap();
        fs::write(at("space/Cargo.toml"), "[workspace]\nmembers = []\n").unwrap();
        fs::write(at("alone/Cargo.toml"), "[package]\n").unwrap();
        fs::write(at("repo/agents/one/agent.toml"), "").unwrap();
        for (of, project) in [
            ("repo/agents/one/agent.toml", "repo"),
            ("space/agents", "space"),
            ("alone", "alone"),
            ("repo/theirs/tool", "repo/theirs"),
        ] {
            assert_eq!(Project::of(&at(of)), Project(at(project)), "{of}");
        }
        let repo = Project::of(&at("repo"));
        assert!(repo.has(&at("repo/agents")) && repo.has(&at("repo")));
        for other in ["alone", "repo/theirs", "repo/theirs/tool", "repository"] {
            assert!(!repo.has(&at(other)), "{other}");
        }
    }
}
