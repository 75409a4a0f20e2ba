//! The image manifest of a component, and the config that goes with it, as `wkg` and others write and read them.

use serde::{Deserialize, Serialize};
#[cfg(feature = "registry")]
use serde_json::Value;
#[cfg(feature = "registry")]
use wasmparser::{Parser, Payload};

use crate::message::Digest;

/// Media types.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
#[cfg(feature = "registry")]
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const LAYER: &str = "application/wasm";

/// How the media types of signatures begin: one for each version of their form.
#[cfg(feature = "registry")]
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";

/// The names of imports and exports that the config tells of, at most.
#[cfg(feature = "registry")]
const NAMES_MAX: usize = 1000;

/// As much of a manifest as matters here. What else is in it is kept by its digest alone.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

/// What a manifest says of something that belongs to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

/// Bytes that a manifest names: the one layer that is the component, or a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) sha256: Digest,
    pub(crate) bytes: u64,
}

/// The layer that a manifest names as the component. The error says what is wrong with the manifest.
pub(crate) fn layer_of(manifest: &[u8]) -> Result<Layer, String> {
    // serde_json goes 128 levels deep, and no deeper.
    let manifest: Manifest =
        serde_json::from_slice(manifest).map_err(|error| format!("it does not read: {error}"))?;
    if manifest.schema_version != 2 {
        return Err(format!("its schema version is {}, and has to be 2", manifest.schema_version));
    }
    match manifest.media_type.as_deref() {
        None | Some(MANIFEST) => {}
        Some(INDEX | DOCKER_LIST) => {
            return Err("it is an index of several manifests; name one of them by its digest".to_owned());
        }
        Some(other) => return Err(format!("its media type is {other}, and has to be {MANIFEST}")),
    }
    let mut components = manifest.layers.iter().filter(|layer| layer.media_type == LAYER);
    let layer = match (components.next(), components.next()) {
        (Some(layer), None) => layer,
        (Some(_), Some(_)) => return Err(format!("it has more than one layer of the type {LAYER}")),
        (None, _) => {
            let types: Vec<&str> = manifest.layers.iter().take(8).map(|it| it.media_type.as_str()).collect();
            let types = if types.is_empty() { "no layers".to_owned() } else { types.join(", ") };
            return Err(format!("it has no layer of the type {LAYER}, but {types}"));
        }
    };
    layer.layer().ok_or_else(|| "the digest of its layer is no SHA-256".to_owned())
}

impl Descriptor {
    fn layer(&self) -> Option<Layer> {
        let sha256 = self.digest.strip_prefix("sha256:").and_then(|it| it.parse().ok())?;
        Some(Layer { sha256, bytes: self.size })
    }
}

/// What refers to a manifest, as a registry lists it.
#[cfg(feature = "registry")]
#[derive(Debug, Deserialize)]
struct Index {
    manifests: Vec<Referrer>,
}

/// One thing that refers to a manifest.
#[cfg(feature = "registry")]
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Referrer {
    artifact_type: Option<String>,
    digest: String,
}

/// The digests of the manifests in a list that are signatures, or that may be, because the list does not say what they are.
#[cfg(feature = "registry")]
pub(super) fn signatures_in(index: &[u8]) -> Result<Vec<Digest>, String> {
    let index: Index = serde_json::from_slice(index).map_err(|error| format!("it does not read: {error}"))?;
    let may_be = |it: &&Referrer| it.artifact_type.as_ref().is_none_or(|kind| kind.starts_with(BUNDLE));
    let digests = index.manifests.iter().filter(may_be);
    Ok(digests.filter_map(|it| it.digest.strip_prefix("sha256:")?.parse().ok()).collect())
}

/// The layers of a manifest that are signatures.
#[cfg(feature = "registry")]
pub(super) fn bundles_of(manifest: &[u8]) -> Result<Vec<Layer>, String> {
    let manifest: Manifest =
        serde_json::from_slice(manifest).map_err(|error| format!("it does not read: {error}"))?;
    let bundles = manifest.layers.iter().filter(|layer| layer.media_type.starts_with(BUNDLE));
    Ok(bundles.filter_map(Descriptor::layer).collect())
}

/// What is pushed beside a component.
#[cfg(feature = "registry")]
#[derive(Debug)]
pub(super) struct Written {
    pub(super) config: Vec<u8>,
    pub(super) manifest: Vec<u8>,
}

/// The config and the manifest of a component. The same component gives the same bytes: there is no time in them.
#[cfg(feature = "registry")]
pub(super) fn written(component: &[u8], sha256: Digest) -> Result<Written, serde_json::Error> {
    let (imports, exports) = names(component);
    let config = serde_json::json!({
        "created": "1970-01-01T00:00:00Z",
        "author": Value::Null,
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [format!("sha256:{sha256}")],
        "component": { "exports": exports, "imports": imports, "target": Value::Null },
    });
    let config = serde_json::to_vec(&config)?;
    let descriptor = |media_type: &str, sha256: Digest, size: usize| Descriptor {
        media_type: media_type.to_owned(),
        digest: format!("sha256:{sha256}"),
        size: size as u64,
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST.to_owned()),
        config: Some(descriptor(CONFIG, Digest::of(&config), config.len())),
        layers: vec![descriptor(LAYER, sha256, component.len())],
    };
    Ok(Written { manifest: serde_json::to_vec(&manifest)?, config })
}

/// What a component imports and exports, by name, as far as it reads.
#[cfg(feature = "registry")]
fn names(component: &[u8]) -> (Vec<String>, Vec<String>) {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component).map_while(Result::ok) {
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(section.into_iter().map_while(Result::ok).map(|it| it.name.name.to_owned()));
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                exports.extend(section.into_iter().map_while(Result::ok).map(|it| it.name.name.to_owned()));
            }
            _ => {}
        }
    }
    imports.truncate(NAMES_MAX);
    exports.truncate(NAMES_MAX);
    (imports, exports)
}

/// Checks that bytes are a component: a version, and the layer 1. The error says what they are instead.
#[cfg(feature = "registry")]
pub(super) fn is_component(bytes: &[u8]) -> Result<(), &'static str> {
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', _, _, 0, 0]) => Err("it is a core module, whatever its media type says"),
        Some(_) | None => Err("it does not begin with the bytes `\\0asm`"),
    }
}

#[cfg(all(test, feature = "registry"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn what_is_written_reads_and_is_the_same_each_time() {
        let component = b"\0asm\x0d\0\x01\0";
        let sha256 = Digest::of(component);
        let one = written(component, sha256).unwrap();
        assert_eq!(layer_of(&one.manifest).unwrap(), Layer { sha256, bytes: 8 });
        assert_eq!(one.manifest, written(component, sha256).unwrap().manifest);
        let config: Value = serde_json::from_slice(&one.config).unwrap();
        assert_eq!((&config["os"], &config["architecture"]), (&"wasip2".into(), &"wasm".into()));
    }

    #[test]
    fn a_manifest_of_something_else_says_what_it_is() {
        let layer =
            |kind: &str| format!(r#"{{"mediaType":"{kind}","digest":"sha256:{}","size":1}}"#, "0".repeat(64));
        let with = |layers: &str| format!(r#"{{"schemaVersion":2,"layers":[{layers}]}}"#);
        let (wasm, tar) = (layer(LAYER), layer("application/vnd.oci.image.layer.v1.tar+gzip"));
        assert!(layer_of(with(&wasm).as_bytes()).is_ok());
        assert!(layer_of(with(&format!("{tar},{wasm}")).as_bytes()).is_ok());
        for (manifest, said) in [
            (with(""), "no layers"),
            (with(&tar), "tar+gzip"),
            (with(&format!("{wasm},{wasm}")), "more than one"),
            (with(&wasm.replace("sha256:", "sha512:")), "no SHA-256"),
            (with(&wasm).replace(":2,", ":1,"), "schema version is 1"),
            (format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[]}}"#), "index"),
            ("[".repeat(100_000), "does not read"),
            (with(&format!("{wasm},{}", "[".repeat(100_000))), "does not read"),
            (
                format!(r#"{{"schemaVersion":2,"other":{}{}}}"#, "[".repeat(9000), "]".repeat(9000)),
                "no layers",
            ),
            ("null".to_owned(), "does not read"),
        ] {
            let error = layer_of(manifest.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{said}: {error}");
        }
    }
}
