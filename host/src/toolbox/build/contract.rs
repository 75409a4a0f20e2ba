//! The interface that a tool is built by: the one in its directory `wit`, or else the one of this host.
//!
//! Owns the step from a core module, which compilers of Go and C make, to a component.

use std::fs;
use std::path::{Path, PathBuf};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageId, Resolve, WorldId};

use super::BuildError;
use crate::sandbox::WIT;
use crate::toolbox::COMPONENT_BYTES_MAX;

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
    /// the system is adapted. A module that says its world itself, as generated code does, is taken at its word.
    pub(super) fn component(&self, mut module: Vec<u8>) -> Result<Vec<u8>, String> {
        let mut encode = || {
            if !says_its_world(&module) {
                embed_component_metadata(&mut module, &self.resolve, self.id, StringEncoding::UTF8)?;
            }
            ComponentEncoder::default()
                // A runtime that has not begun cannot be asked for memory: Go's is such a one.
                .realloc_via_memory_grow(true)
                .module(&module)?
                .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?
                .encode()
        };
        encode().map_err(|error| format!("{error:#}"))
    }
}

/// Whether a core module has a section with its world in it.
fn says_its_world(module: &[u8]) -> bool {
    Parser::new(0).parse_all(module).map_while(Result::ok).any(
        |payload| matches!(payload, Payload::CustomSection(it) if it.name().starts_with("component-type")),
    )
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
        let bytes = fs::metadata(&core).map_err(|error| error.to_string())?.len();
        if bytes > COMPONENT_BYTES_MAX {
            return Err(format!("it has {bytes} bytes, and at most {COMPONENT_BYTES_MAX} are taken"));
        }
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
    fn a_module_that_says_its_world_itself_is_taken_at_its_word() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("wit")).unwrap();
        let text = "package a:b;\nworld sums { export add: func(a: u32, b: u32) -> u32; }\n";
        fs::write(dir.path().join("wit/it.wit"), text).unwrap();
        let sums = Contract::of(dir.path(), dir.path(), &["tool"]).unwrap();
        let text =
            "(module (memory (export \"memory\") 1) (func (export \"add\") (param i32 i32) (result i32)
            local.get 0 local.get 1 i32.add))";
        let mut module = wat::parse_str(text).unwrap();
        let made = sums.component(module.clone()).unwrap();
        embed_component_metadata(&mut module, &sums.resolve, sums.id, StringEncoding::UTF8).unwrap();
        let other = tempfile::tempdir().unwrap();
        let contract = Contract::of(other.path(), other.path(), &["tool"]).unwrap();
        assert_eq!(contract.component(module).unwrap(), made);
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
