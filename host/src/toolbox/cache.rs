use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wasmtime::Engine;
use wasmtime::component::Component;

use super::build::Strangers;
use super::compile::{CompileError, Compiler};
use super::seal::{Sealer, open_own};
use super::{Progress, Tell};
use crate::message::Digest;
use crate::registry::Store;
use crate::sandbox::Metering;
use crate::trust::Trust;

/// Compiled components on disk, so that only the first start of a tool compiles it.
///
/// The key is the component's SHA-256 and the engine's compatibility hash: another wasmtime, another
/// setting or another processor is another file. Compiled code is trusted code, so the directory has mode
/// 0700, and a file is only used if this user owns it and its seal shows that this host wrote it, for this
/// very component and engine.
#[derive(Clone, Debug)]
pub struct ComponentCache {
    directory: PathBuf,
    sealer: Sealer,
    compiler: Compiler,
    is_offline: bool,
    trust: Trust,
    strangers: Strangers,
}

/// Why a component could not be compiled, or its compiled form not kept.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The directory cannot be made or written.
    #[error("cannot use the cache {}: {reason}\n  choose another directory with --cache DIR", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no compiled component.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

impl CacheError {
    /// What the component has that only comes with WASI 0.3. The compiler says it in words only; tests have it say
    /// them.
    pub(super) fn needs_wasi_0_3(&self) -> Option<&'static str> {
        self.says("component model async")
            .then_some("functions that are async")
            .or_else(|| self.says("component model error-context").then_some("error contexts"))
    }

    /// Whether the component throws exceptions of WebAssembly, which this host does not have.
    pub(super) fn needs_exceptions(&self) -> bool {
        ["exception handling", "exceptions support", "exceptions proposal"].iter().any(|it| self.says(it))
    }

    fn says(&self, words: &str) -> bool {
        matches!(self, Self::Compile(CompileError::Invalid(why)) if why.contains(words))
    }
}

impl ComponentCache {
    /// The cache in a directory, which is made with mode 0700 if it does not exist.
    pub fn open(directory: &Path, compiler: Compiler) -> Result<Self, CacheError> {
        let unusable = |reason: String| CacheError::Unusable { path: directory.to_owned(), reason };
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| unusable(error.to_string()))?;
        let metadata = fs::metadata(directory).map_err(|error| unusable(error.to_string()))?;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(unusable(format!("it belongs to user {}", metadata.uid())));
        }
        let permissions = metadata.permissions().mode() & 0o777;
        if permissions & 0o077 != 0 {
            return Err(unusable(format!("others may use it (mode {permissions:o}); `chmod 700` it")));
        }
        let sealer = Sealer::open(directory).map_err(unusable)?;
        let (directory, trust, strangers) = (directory.to_owned(), Trust::default(), Strangers::Refuse);
        Ok(Self { directory, sealer, compiler, is_offline: false, trust, strangers })
    }

    /// The same, which fetches nothing if it is to stay offline.
    #[must_use]
    pub fn offline(self, is_offline: bool) -> Self {
        Self { is_offline, ..self }
    }

    /// Whether nothing is to be fetched.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.is_offline
    }

    /// The same, which takes no component from elsewhere unless these rules are met, too.
    #[must_use]
    pub fn trusting(self, more: &Trust) -> Self {
        Self { trust: self.trust.and(more), ..self }
    }

    /// The rules that components from elsewhere have to meet.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The same, with what becomes of sources that are outside of the project of their agent: they are not built, unless
    /// it is said here or was allowed before.
    #[must_use]
    pub fn with_strangers(self, strangers: Strangers) -> Self {
        Self { strangers, ..self }
    }

    /// What becomes of such sources.
    #[must_use]
    pub fn strangers(&self) -> &Strangers {
        &self.strangers
    }

    /// The components that were fetched.
    #[must_use]
    pub fn store(&self) -> Store {
        Store::in_cache(&self.directory)
    }

    /// Where the cache is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The compiled form of a component of this name, which only what is told of it has: from the cache, or compiled now
    /// and kept.
    pub async fn load(
        &self,
        engine: &Engine,
        metering: Metering,
        (bytes, digest): (&[u8], Digest),
        name: &str,
        tell: &Tell<'_>,
    ) -> Result<Component, CacheError> {
        let hash = compatibility(engine);
        let path = self.directory.join(format!("{digest}-{hash:016x}.cwasm"));
        match self.read(&path, engine, digest, hash) {
            Kept::Sealed(component) => return Ok(*component),
            Kept::Foreign => {
                let path = path.display();
                tell(Progress::Said(&format!("{path} was not written by this host; it is replaced")));
            }
            Kept::Nothing => {}
        }
        let clock = Instant::now();
        let code = told(&format!("compiling {name}"), tell, self.compiler.compile(bytes, metering)).await?;
        let component =
            load(engine, &code).map_err(|error| CompileError::Unloadable(format!("{error:#}")))?;
        let sealed = self.sealer.seal(digest, hash, &code);
        self.write(&path, &sealed).map_err(|error| CacheError::Unusable {
            path: self.directory.clone(),
            reason: error.to_string(),
        })?;
        let ms = clock.elapsed().as_millis();
        tell(Progress::Said(&format!("compiled {name} in {ms} ms (kept for the next start)")));
        Ok(component)
    }

    /// Reads a file once, so that what is checked is what is used.
    fn read(&self, path: &Path, engine: &Engine, digest: Digest, hash: u64) -> Kept {
        let mut file = Vec::new();
        match open_own(path).and_then(|mut opened| opened.read_to_end(&mut file)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Kept::Nothing,
            Err(_) => return Kept::Foreign,
            Ok(_) => {}
        }
        let component = self.sealer.open_sealed(digest, hash, &file).and_then(|code| load(engine, code).ok());
        component.map_or(Kept::Foreign, |component| Kept::Sealed(Box::new(component)))
    }

    /// Writes a file whole or not at all, readable by its owner alone.
    fn write(&self, path: &Path, compiled: &[u8]) -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        file.write_all(compiled)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }
}

/// Tells that some work goes on, until it has ended or is given up.
async fn told<T>(what: &str, tell: &Tell<'_>, work: impl Future<Output = T>) -> T {
    /// How often it is told.
    const TICK: Duration = Duration::from_secs(1);
    struct Ends<'t>(&'t Tell<'t>);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            (self.0)(Progress::Ended);
        }
    }
    let _ends = Ends(tell);
    let mut work = std::pin::pin!(work);
    loop {
        tell(Progress::Now(what));
        if let Ok(done) = tokio::time::timeout(TICK, &mut work).await {
            return done;
        }
    }
}

/// What else than the component decides on its compiled form.
fn compatibility(engine: &Engine) -> u64 {
    use std::hash::{Hash as _, Hasher as _};
    #[allow(
        deprecated,
        reason = "the keyless SipHash is stable from one start to the next, which is all it is for"
    )]
    let mut hasher = std::hash::SipHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// What is at the place of a compiled component.
enum Kept {
    Nothing,
    Foreign,
    Sealed(Box<Component>),
}

/// Makes a component of compiled code, if this engine takes it.
#[allow(unsafe_code, reason = "compiled code can only be loaded on trust")]
fn load(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the code comes from `Engine::precompile_component`: either straight from the compiler, which is
    // this host's own program, or from a file with this host's seal over exactly these bytes. wasmtime checks
    // version and settings in its header.
    unsafe { Component::deserialize(engine, code) }
}
