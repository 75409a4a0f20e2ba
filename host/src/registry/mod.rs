//! Components from elsewhere: what a reference means, what is pinned of it, and where its bytes are kept.
//!
//! A [`Remote`] is an `https` URL, or a name in an OCI registry. [`Lock`] is host.lock, which says which bytes a tool of an
//! agent has. [`Store`] keeps those bytes by their digest. [`Client`] fetches and pushes them; it needs the feature
//! `registry`, without which every fetch fails with [`FetchError::NoClient`]. Invariant: bytes that leave this module have
//! the digest that was asked for, and no reading of foreign bytes is unbounded in time, size or depth.

#[cfg(feature = "registry")]
mod client;
mod error;
mod lock;
mod manifest;
#[cfg(not(feature = "registry"))]
mod no_client;
mod reference;
mod store;

#[cfg(feature = "registry")]
pub use client::{Client, FoundSignatures, Published, Timeouts};
pub use error::FetchError;
pub use lock::{LOCK_FILE, Lock, LockError, Locked, LockedServer, LockedSignature, LockedTool};
pub(crate) use manifest::{Layer, layer_of};
#[cfg(not(feature = "registry"))]
pub(crate) use no_client::Client;
pub use reference::{OciName, Remote, RemoteError};
pub use store::{Removed, Store};

use crate::message::Digest;

/// A component larger than this is refused before anything reads it: a Python tool has about 40 MB.
pub const COMPONENT_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// A signature longer than this is refused before anything reads it: one has about 10 kB.
pub const BUNDLE_BYTES_MAX: u64 = 512 * 1024;

/// A component that was fetched.
#[derive(Debug)]
pub struct Fetched {
    /// The component.
    pub bytes: Vec<u8>,
    /// SHA-256 of it.
    pub sha256: Digest,
    /// SHA-256 of the manifest that names it, if it comes from an OCI registry. What is signed is this.
    pub manifest: Option<Digest>,
    /// That manifest.
    pub manifest_text: Option<Vec<u8>>,
}

/// Which bytes a tool has, and how to get them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Where they come from.
    pub source: Remote,
    /// SHA-256 of them.
    pub sha256: Digest,
    /// How many they are.
    pub bytes: u64,
    /// SHA-256 of the manifest that names them, if they come from an OCI registry.
    pub manifest: Option<Digest>,
}
