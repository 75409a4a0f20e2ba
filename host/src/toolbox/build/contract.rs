//! The interface that a tool is built by: the one in its directory `wit`, or else the one of this host.
//!
//! Owns the step from a core module, which compilers of Go and C make, to a component.

use std::fs;
use std::path::{Path, PathBuf};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageId, Resolve, WorldId};

use super::BuildError;
use crate::sandbox::WIT;

/// An interface, read.
pub(super) struct Contract {
    /// Where its files are.
    pub(super) directory: PathBuf,
    /// The name of the world.
    pub(super) world: String,
    resolve: Resolve,
    id: WorldId,
}

impl Contract {
    /// That of the tool in a directory. Of its worlds it is the first of these that is there, or else the only one.
    /// This host's own is written into the scratch directory, for compilers to read.
    pub(super) fn of(path: &Path, scratch: &Path, worlds: &[&str]) -> Result<Self, BuildError> {
        let mut directory = path.join("wit");
        if !directory.is_dir() {
            directory = scratch.join("wit");
            let written =
                fs::create_dir(&directory).and_then(|()| fs::write(directory.join("tool.wit"), WIT));
            written.map_err(|error| super::unusable(&directory, &error))?;
        }
        let wrong = |reason: String| BuildError::Wit { path: directory.clone(), reason };
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(&directory).map_err(|error| wrong(format!("{error:#}")))?;
        let id = world(&resolve, package, worlds).map_err(wrong)?;
        let name = resolve.worlds.get(id).map(|world| world.name.clone()).unwrap_or_default();
        Ok(Self { directory, world: name, resolve, id })
    }

    /// Makes a component of a core module that exports what the world says. What it imports of the older interface to
    /// the system is adapted.
    pub(super) fn component(&self, mut module: Vec<u8>) -> Result<Vec<u8>, String> {
        let encoded = embed_component_metadata(&mut module, &self.resolve, self.id, StringEncoding::UTF8)
            .and_then(|()| {
                ComponentEncoder::default()
                    // A runtime that has not begun cannot be asked for memory: Go's is such a one.
                    .realloc_via_memory_grow(true)
                    .module(&module)?
                    .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?
                    .encode()
            });
        encoded.map_err(|error| format!("{error:#}"))
    }
}

fn world(resolve: &Resolve, package: PackageId, worlds: &[&str]) -> Result<WorldId, String> {
    let named = resolve
        .packages
        .get(package)
        .and_then(|package| worlds.iter().find_map(|name| package.worlds.get(*name).copied()));
    match named {
        Some(world) => Ok(world),
        None => resolve.select_world(&[package], None).map_err(|error| format!("{error:#}")),
    }
}

/// Makes the component of a tool whose core module was compiled to a file.
pub(super) async fn encode(
    path: &Path,
    contract: Contract,
    core: PathBuf,
    made: &Path,
) -> Result<(), BuildError> {
    let to = made.to_owned();
    let encoded = tokio::task::spawn_blocking(move || {
        let module = fs::read(&core).map_err(|error| error.to_string())?;
        fs::write(&to, contract.component(module)?).map_err(|error| error.to_string())
    });
    let encoded = encoded.await.unwrap_or_else(|error| Err(error.to_string()));
    encoded.map_err(|reason| BuildError::Unfit { path: path.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn the_world_is_the_named_one_or_the_only_one() {
        let dir = tempfile::tempdir().unwrap();
        let of = |worlds: &[&str]| {
            let scratch = tempfile::tempdir().unwrap();
            Contract::of(dir.path(), scratch.path(), worlds).map(|contract| contract.world)
        };
        assert_eq!(of(&["orchestrator", "tool"]).unwrap(), "orchestrator");
        assert_eq!(of(&["tool"]).unwrap(), "tool");
        fs::create_dir(dir.path().join("wit")).unwrap();
        let write = |text: &str| fs::write(dir.path().join("wit/it.wit"), text).unwrap();
        write("package a:b;\nworld calc { export add: func(a: u32) -> u32; }\n");
        assert_eq!(of(&["tool"]).unwrap(), "calc");
        for wrong in ["package a:b;\nworld a {}\nworld b {}\n", "package a:b;\nworld {", ""] {
            write(wrong);
            let error = of(&["tool"]).unwrap_err().to_string();
            assert!(error.contains("wit is no interface") && error.contains("host wit"), "{error}");
        }
    }

    #[test]
    fn a_module_that_lacks_an_export_is_refused_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let contract = Contract::of(dir.path(), dir.path(), &["tool"]).unwrap();
        let empty = b"\0asm\x01\0\0\0".to_vec();
        let error = contract.component(empty).unwrap_err();
        assert!(error.contains("host:tool/tools"), "{error}");
        assert!(contract.component(b"nothing".to_vec()).is_err());
    }
}
