//! A `source` of agent.toml, as a component's bytes.
//!
//! A component from elsewhere is the one that host.lock pins: from the store, or fetched by its digest. A tag is never
//! asked for here.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::{COMPONENT_BYTES_MAX, ComponentCache, Owner, Progress, Tell, ToolboxReason, build};
use crate::blocking::blocking;
use crate::config::Source;
use crate::registry::{FetchError, Locked, LockedSignature, Pin, Remote};
use crate::trust::{self, Signed};

/// The bytes of a component, and what it is called where it is told of.
pub(super) async fn component(
    source: &Source,
    locked: Option<&Locked>,
    owner: Owner<'_>,
    cache: &ComponentCache,
    tell: &Tell<'_>,
) -> Result<(PathBuf, Vec<u8>), ToolboxReason> {
    match source {
        Source::Local(path) => {
            let path = locate(path, owner, cache, tell).await?;
            let bytes = read(&path)?;
            Ok((path, bytes))
        }
        // It has no component.
        Source::Server(server) => Err(ToolboxReason::Missing(server.at.to_string().into())),
        Source::Remote(remote) => {
            let (pin, signatures) = pin(remote, locked)?;
            let name = PathBuf::from(remote.to_string());
            let bytes = pinned(&pin, cache, tell).await?;
            let bytes = signed(pin, signatures, cache, bytes).await?;
            let bytes = checked(&name, bytes)?;
            Ok((name, bytes))
        }
    }
}

/// What host.lock pins of a reference, if it is about this very reference.
fn pin<'a>(
    remote: &Remote,
    locked: Option<&'a Locked>,
) -> Result<(Pin, &'a [LockedSignature]), ToolboxReason> {
    let Some(locked) = locked else { return Err(ToolboxReason::NotLocked(remote.to_string())) };
    let pin = locked.pin();
    if pin.source != *remote {
        let (written, locked) = (remote.to_string(), pin.source.to_string());
        return Err(ToolboxReason::LockedOther { written, locked });
    }
    if let Remote::Oci(name) = remote
        && (pin.manifest.is_none() || name.digest.is_some() && name.digest != pin.manifest)
    {
        let why = "the manifest that it pins is not the one that the reference names".to_owned();
        return Err(FetchError::Moved { from: remote.to_string(), why }.into());
    }
    Ok((pin, &locked.signatures))
}

/// The same bytes, if they are signed as the rules ask: fresh or from the store, they are verified alike.
async fn signed(
    pin: Pin,
    signatures: &[LockedSignature],
    cache: &ComponentCache,
    bytes: Vec<u8>,
) -> Result<Vec<u8>, ToolboxReason> {
    let trust = cache.trust().about(&pin.source);
    if trust.is_empty() {
        return Ok(bytes);
    }
    let signatures = signatures.to_vec();
    // It takes some milliseconds for each signature.
    blocking(move || {
        let Pin { source, sha256, manifest, .. } = &pin;
        let signed = Signed { source, component: &bytes, sha256: *sha256, manifest: *manifest };
        trust::check(&trust, &signed, &signatures)?;
        Ok(bytes)
    })
    .await
}

/// Exactly the pinned bytes: from the store, or fetched and kept there.
async fn pinned(pin: &Pin, cache: &ComponentCache, tell: &Tell<'_>) -> Result<Vec<u8>, ToolboxReason> {
    let store = cache.store();
    if let Some(bytes) = store.read(pin.sha256)? {
        return Ok(bytes);
    }
    let from = pin.source.to_string();
    if cache.is_offline() {
        return Err(FetchError::Offline { from }.into());
    }
    if store.path(pin.sha256).exists() {
        let path = store.path(pin.sha256);
        tell(Progress::Said(&format!("{} is damaged, and is fetched again", path.display())));
    }
    tell(Progress::Said(&format!("fetching {from}")));
    let fetched = crate::registry::Client::default().fetch_pinned(pin).await?;
    store.keep(&fetched.bytes, fetched.sha256)?;
    Ok(fetched.bytes)
}

/// The component file a source stands for; a tool's source is built first, if it changed.
async fn locate(
    source: &Path,
    owner: Owner<'_>,
    cache: &ComponentCache,
    tell: &Tell<'_>,
) -> Result<PathBuf, ToolboxReason> {
    match std::fs::metadata(source) {
        Ok(metadata) if metadata.is_dir() => Ok(build(source, owner, cache, tell).await?.artifact),
        Ok(_) => Ok(source.to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(ToolboxReason::Missing(source.to_owned()))
        }
        Err(error) => Err(ToolboxReason::Unreadable { path: source.to_owned(), reason: error.to_string() }),
    }
}

/// The bytes of a component file.
fn read(path: &Path) -> Result<Vec<u8>, ToolboxReason> {
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
    checked(path, bytes)
}

/// Bytes that are a component's, as far as their beginning says.
fn checked(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>, ToolboxReason> {
    // The preamble is `\0asm`, a version, and the layer: 0 for a core module, 1 for a component.
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(bytes),
        Some([0, b'a', b's', b'm', _, _, 0, 0]) => Err(ToolboxReason::CoreModule(path.to_owned())),
        Some(_) | None => Err(ToolboxReason::NotWasm(path.to_owned())),
    }
}
