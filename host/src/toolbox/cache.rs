use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::message::Digest;

/// Compiled components on disk, so that only the first start of a tool compiles it.
///
/// The key is the component's SHA-256 and the engine's compatibility hash: another wasmtime, another
/// setting or another processor is another file. Compiled code is trusted code, so the directory has mode
/// 0700, and a directory or file that somebody else could have written is not read.
#[derive(Clone, Debug)]
pub struct ComponentCache {
    directory: PathBuf,
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
    /// The component is not valid.
    #[error("the component does not compile: {0}")]
    Compile(String),
}

impl ComponentCache {
    /// The cache in a directory, which is made with mode 0700 if it does not exist.
    pub fn open(directory: &Path) -> Result<Self, CacheError> {
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
        Ok(Self { directory: directory.to_owned() })
    }

    /// Where the cache is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The compiled form of a component: from the cache, or compiled now and kept.
    pub fn load(
        &self,
        engine: &Engine,
        bytes: &[u8],
        digest: Digest,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Component, CacheError> {
        let path = self.directory.join(format!("{digest}-{:016x}.cwasm", compatibility(engine)));
        if let Some(component) = read(engine, &path) {
            return Ok(component);
        }
        let clock = Instant::now();
        let compile = |error: wasmtime::Error| CacheError::Compile(format!("{error:#}"));
        let component = Component::from_binary(engine, bytes).map_err(compile)?;
        let compiled = component.serialize().map_err(compile)?;
        self.write(&path, &compiled).map_err(|error| CacheError::Unusable {
            path: self.directory.clone(),
            reason: error.to_string(),
        })?;
        say(&format!(
            "compiled {} in {} ms (kept for the next start)",
            digest.short(),
            clock.elapsed().as_millis()
        ));
        Ok(component)
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

/// Reads a compiled component, if there is one that this user wrote and this engine takes.
#[allow(unsafe_code, reason = "compiled code can only be loaded on trust")]
fn read(engine: &Engine, path: &Path) -> Option<Component> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let ours = metadata.is_file()
        && metadata.uid() == rustix::process::geteuid().as_raw()
        && metadata.permissions().mode() & 0o022 == 0;
    if !ours {
        return None;
    }
    // SAFETY: the file was written by `ComponentCache::write` from `Component::serialize`: it lies in a
    // directory of mode 0700 that belongs to this user, and is itself a regular file of this user that
    // nobody else may write. wasmtime checks version and settings in its header.
    unsafe { Component::deserialize_file(engine, path) }.ok()
}
