//! The source of a tool, built into a component by the compiler of its language.
//!
//! Owns when a tool is built again, and that what is used is what was built from it. Does not know what a component
//! is for. It fails with a [`BuildError`], which has the compiler's own words. Dropping a build ends the compiler and
//! whatever it started. Invariant: nothing is run for a source that neither its agent's project has nor a person allowed.

mod c;
mod contract;
mod error;
mod go;
mod kept;
mod language;
mod print;
mod process;
mod program;
mod python;
mod room;
mod rust;
mod script;
mod trust;
mod work;
mod workspace;

pub use error::BuildError;
pub use language::Language;
pub use trust::{Owner, Project, Stranger, Strangers};

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{ComponentCache, Progress, Tell};
use kept::Kept;
use work::Work;

/// A guest's stack. The linker's default of 1 MiB has to be zeroed or unmapped after every call; with this
/// one a call costs about half.
const STACK_BYTES: u32 = 64 * 1024;

/// A tool that was built.
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

/// What there is to know of a source when it is built.
struct Source<'a> {
    /// Its directory, without links.
    path: &'a Path,
    name: String,
    language: Language,
    /// What its files are, as [`print`] has it. For a crate cargo knows.
    print: Option<String>,
    kept: Kept,
}

impl<'a> Source<'a> {
    fn at(path: &'a Path, language: Language, cache: &Path) -> Result<Self, BuildError> {
        let print = match language {
            Language::Rust => None,
            Language::Python | Language::JavaScript | Language::TypeScript | Language::Go | Language::C => {
                Some(print::of(path, language)?)
            }
        };
        let kept = Kept::of(path, cache).map_err(|error| unusable(cache, &error))?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { path, name, language, print, kept })
    }

    /// The component built last, unless something changed since.
    fn fresh(&self) -> Option<PathBuf> {
        match &self.print {
            None => self.kept.fresh(self.path),
            Some(print) => self.kept.fresh_as(print),
        }
    }
}

/// Builds the source in a directory into a component, unless the one built last is newer than everything it is made from.
/// The cache is where components are kept and crates are built. Dropping the future ends the compiler, and whatever it
/// started.
pub async fn build(
    path: &Path,
    owner: Owner<'_>,
    cache: &ComponentCache,
    tell: &Tell<'_>,
) -> Result<Built, BuildError> {
    let language = Language::of(path)?;
    let path = &path.canonicalize().map_err(|error| unusable(path, &error))?;
    // What changes from now on is built the next time.
    let source = Source::at(path, language, cache.directory())?;
    if let Some(artifact) = source.fresh() {
        return Ok(Built { artifact, freshness: Freshness::Fresh });
    }
    trust::admit(path, owner, cache).await?;
    let sysroot = match language {
        Language::Rust => Some(rust::ensure_target(path, tell).await?),
        Language::Python | Language::JavaScript | Language::TypeScript | Language::Go | Language::C => None,
    };
    let work = Work::begin(&source.name, tell);
    let sysroot = sysroot.unwrap_or_default();
    let built = work.ticking(build_now(&source, cache.directory(), &sysroot, &work)).await;
    let seconds = work.end().as_secs_f64();
    let artifact = built?;
    tell(Progress::Said(&format!("built {} in {seconds:.1} s", source.name)));
    Ok(Built { artifact, freshness: Freshness::Rebuilt })
}

/// Builds it. What is no crate is built in a directory of its own, which is removed afterwards.
async fn build_now(
    source: &Source<'_>,
    cache: &Path,
    sysroot: &Path,
    work: &Work<'_>,
) -> Result<PathBuf, BuildError> {
    let scratch = TempDir::with_prefix("host-build-").map_err(|error| unusable(&env::temp_dir(), &error))?;
    let made = scratch.path().join(format!("{}.wasm", source.name));
    let (path, scratch) = (source.path, scratch.path());
    match source.language {
        Language::Rust => return rust::build_now(source, cache, sysroot, work).await,
        Language::Python => python::build(path, scratch, &made, work).await?,
        Language::JavaScript => script::build(path, Language::JavaScript, scratch, &made, work).await?,
        Language::TypeScript => script::build(path, Language::TypeScript, scratch, &made, work).await?,
        Language::Go => go::build(path, scratch, &made, work).await?,
        Language::C => c::build(path, scratch, &made, work).await?,
    }
    let print = source.print.as_deref().unwrap_or_default();
    source.kept.keep_as(&made, print).map_err(|error| unusable(cache, &error))
}

fn unusable(path: &Path, error: &io::Error) -> BuildError {
    BuildError::Keep { path: path.to_owned(), reason: error.to_string() }
}
