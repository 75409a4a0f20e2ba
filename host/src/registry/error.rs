//! Why a component cannot be fetched or pushed, and what to do about it.

use std::path::PathBuf;

use crate::message::Digest;

/// Why a component cannot be fetched or pushed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The host was told to stay offline.
    #[error(
        "{from} is not in the store, and nothing is fetched offline\n  run `host check` once without --offline and HOST_OFFLINE"
    )]
    Offline {
        /// What is wanted.
        from: String,
    },
    /// This build has no client.
    #[error(
        "{from} is not in the store, and this program was built without the feature `registry`, which fetches it\n  build it with that feature, or name the path of a file"
    )]
    NoClient {
        /// What is wanted.
        from: String,
    },
    /// The client cannot be set up.
    #[error("cannot set up HTTPS: {reason}\n  check the certificates that this machine trusts")]
    Setup {
        /// Why.
        reason: String,
    },
    /// Nobody answers, or the connection breaks.
    #[error(
        "the connection to {url} failed: {reason}\n  check the name, the network and the proxy, and try again"
    )]
    Unreachable {
        /// Who was asked.
        url: String,
        /// What the system says.
        reason: String,
    },
    /// It takes too long.
    #[error("{url} took longer than {seconds} s\n  try again, or fetch the file yourself and name its path")]
    Slow {
        /// Who was asked.
        url: String,
        /// How long it may take.
        seconds: u64,
    },
    /// The answer is no success.
    #[error("{url} answered {status}{said}\n  {help}")]
    Status {
        /// Who was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What it says, after a colon; empty if it says nothing.
        said: String,
        /// What to do.
        help: &'static str,
    },
    /// A login is needed, or the one that is there is refused.
    #[error(
        "{registry} {said}\n  log in with `docker login {registry}`, or set DOCKER_CONFIG to the directory of a config.json that has the login"
    )]
    Login {
        /// The registry.
        registry: String,
        /// What it says.
        said: String,
    },
    /// The credentials that docker's configuration names cannot be had.
    #[error(
        "docker's login for {registry} cannot be read: {reason}\n  log in again with `docker login {registry}`"
    )]
    Credentials {
        /// The registry.
        registry: String,
        /// Why.
        reason: String,
    },
    /// A redirect that is not followed.
    #[error("{url} redirects to {to}, which is not followed: {why}\n  name the address where the file is")]
    Redirect {
        /// Who redirects.
        url: String,
        /// Where to.
        to: String,
        /// Why it is not followed.
        why: &'static str,
    },
    /// The body is longer than it may be.
    #[error("{what} at {url} is longer than {bytes_max} bytes; the rest was not read\n  {help}")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// Where it is.
        url: String,
        /// How long it may be.
        bytes_max: u64,
        /// What to do.
        help: &'static str,
    },
    /// The body ends too early.
    #[error(
        "{url} ended after {bytes} bytes of {expected}\n  try again; if it stays so, the registry is damaged"
    )]
    Truncated {
        /// Where it is.
        url: String,
        /// What came.
        bytes: u64,
        /// What was said to come.
        expected: u64,
    },
    /// The bytes are others than the name says.
    #[error(
        "{url} gave other bytes than it should: their SHA-256 is {found}, and {wanted} was asked for\n  nothing of it was kept; the registry, or something on the way to it, is damaged or hostile"
    )]
    OtherBytes {
        /// Where they came from.
        url: String,
        /// What was asked for.
        wanted: Digest,
        /// What came.
        found: Digest,
    },
    /// What is named is there no more, or is something else than what is pinned.
    #[error(
        "{from} is not what host.lock pins: {why}\n  if the change is wanted, take it with `host update`"
    )]
    Moved {
        /// The reference.
        from: String,
        /// What is different.
        why: String,
    },
    /// The manifest is no component's.
    #[error(
        "the manifest of {from} cannot be used: {why}\n  name an artifact that holds one WebAssembly component, as `host publish` and `wkg oci push` make it"
    )]
    Manifest {
        /// The reference.
        from: String,
        /// What is wrong.
        why: String,
    },
    /// The bytes are no component.
    #[error("{from} is no component: {why}\n  ask whoever publishes it for a component of WASI 0.2")]
    NoComponent {
        /// The reference.
        from: String,
        /// What it is.
        why: &'static str,
    },
    /// A reference that cannot be pushed to.
    #[error("{name} cannot be pushed to: {why}\n  write oci://REGISTRY/REPOSITORY:TAG")]
    Target {
        /// The reference.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// The store cannot be read or written.
    #[error("cannot use the store {}: {reason}\n  choose another cache with --cache DIR", path.display())]
    Store {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
}
