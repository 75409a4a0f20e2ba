//! A `source` of agent.toml, as a component's bytes.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::{COMPONENT_BYTES_MAX, ComponentCache, Tell, ToolboxReason, build};

/// The component file a source stands for; a crate is built first, if it changed.
pub(super) async fn locate(
    source: &Path,
    cache: &ComponentCache,
    tell: &Tell<'_>,
) -> Result<PathBuf, ToolboxReason> {
    match std::fs::metadata(source) {
        Ok(metadata) if metadata.is_dir() => Ok(build(source, cache.directory(), tell).await?.artifact),
        Ok(_) => Ok(source.to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(ToolboxReason::Missing(source.to_owned()))
        }
        Err(error) => Err(ToolboxReason::Unreadable { path: source.to_owned(), reason: error.to_string() }),
    }
}

/// The bytes of a component file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ToolboxReason> {
    let unreadable = |error: std::io::Error| ToolboxReason::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let mut bytes = Vec::new();
    // What the system says beforehand of a device or a growing file means nothing.
    if size <= COMPONENT_BYTES_MAX {
        (&mut file).take(COMPONENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    }
    if size.max(bytes.len() as u64) > COMPONENT_BYTES_MAX {
        return Err(ToolboxReason::TooLarge { path: path.to_owned(), bytes: size });
    }
    // The preamble is `\0asm`, a version, and the layer: 0 for a core module, 1 for a component.
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(bytes),
        Some([0, b'a', b's', b'm', _, _, 0, 0]) => Err(ToolboxReason::CoreModule(path.to_owned())),
        Some(_) | None => Err(ToolboxReason::NotWasm(path.to_owned())),
    }
}
