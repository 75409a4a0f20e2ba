//! Where the server of a state directory is, for commands on this machine.
//!
//! A server holds the lock of its state directory for as long as it lives, and writes its address and a token of its own
//! beside it, for its owner alone to read. Invariant: one server serves a state directory; the file of one that died says
//! nothing, because nobody holds the lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::tokens::{Grant, Scope, Token};
use crate::message::Digest;

const FILE: &str = "server.json";
const LOCK: &str = "server.lock";
/// How long the lock is waited for, and how often is looked: a process that ends gives it back within milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
const TRY_EVERY: Duration = Duration::from_millis(10);
/// Nobody guesses 256 bits.
const TOKEN_BYTES: usize = 32;
/// What a token begins with, so that it is known for one wherever it turns up.
const TOKEN_PREFIX: &str = "host_";

/// Where a server is.
#[derive(Debug)]
pub struct Address {
    said: Said,
    path: PathBuf,
    /// Held as long as the server lives.
    _lock: File,
}

/// What the file of a server says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) pid: u32,
}

/// The state directory cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Another server has it.
    #[error("another server has {}{}", path.display(), at(.by.as_ref()))]
    Taken {
        /// The state directory.
        path: PathBuf,
        /// Its URL and its process, if they are known.
        by: Option<(String, u32)>,
    },
    /// It cannot be written to.
    #[error("cannot write {}: {reason}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

fn at(by: Option<&(String, u32)>) -> String {
    by.map_or_else(String::new, |(url, pid)| format!(": process {pid}, at {url}"))
}

impl Address {
    /// Claims a state directory for a server that listens there, and makes the token by which commands on this machine
    /// are known.
    ///
    /// A server that is just ending may still hold the lock, and so may a command that looks whether there is a server:
    /// both are waited for.
    pub(super) async fn claim(
        state: &Path,
        listen: SocketAddr,
        has_tls: bool,
    ) -> Result<(Self, Token), AddressError> {
        let path = state.join(FILE);
        let unwritable = |error: std::io::Error| AddressError::Unwritable {
            path: path.clone(),
            reason: error.to_string(),
        };
        fs::create_dir_all(state).map_err(unwritable)?;
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).mode(0o600).open(state.join(LOCK));
        let lock = lock.map_err(unwritable)?;
        let until = Instant::now() + PATIENCE;
        while let Err(error) = lock.try_lock() {
            match error {
                TryLockError::Error(error) => return Err(unwritable(error)),
                TryLockError::WouldBlock if Instant::now() < until => sleep(TRY_EVERY).await,
                TryLockError::WouldBlock => {
                    let by = read(&path).map(|said| (said.url, said.pid));
                    return Err(AddressError::Taken { path: state.to_owned(), by });
                }
            }
        }
        // What an earlier server left there that was killed is not to be taken for this one's.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(unwritable(error)),
            Ok(()) | Err(_) => {}
        }
        let (token, digest) = new_token().map_err(unwritable)?;
        let scheme = if has_tls { "https" } else { "http" };
        let said = Said { url: format!("{scheme}://{}", reached(listen)), token, pid: std::process::id() };
        write(&path, &said).map_err(unwritable)?;
        let scopes = vec![Scope::Run, Scope::Read, Scope::Decide, Scope::Admin];
        let grant = Arc::new(Grant { name: "this machine".to_owned(), scopes, agents: None });
        Ok((Self { said, path, _lock: lock }, Token { digest, grant }))
    }

    /// The server that serves a state directory, if one does.
    #[cfg(any(feature = "cli", test))]
    pub(crate) fn of(state: &Path) -> Option<Said> {
        let lock = File::open(state.join(LOCK)).ok()?;
        // Whoever gets the lock finds that nobody serves.
        if lock.try_lock_shared().is_ok() { None } else { read(&state.join(FILE)) }
    }

    /// The URL at which it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.said.url
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        // What stays of it says nothing without the lock.
        let _ = fs::remove_file(&self.path);
    }
}

/// A new token, and its digest.
pub(crate) fn new_token() -> std::io::Result<(String, Digest)> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    let token = format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let digest = Digest::of(token.as_bytes());
    Ok((token, digest))
}

/// The address by which this machine reaches a server: one that listens at every address is reached at its own.
fn reached(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn read(path: &Path) -> Option<Said> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn write(path: &Path, said: &Said) -> std::io::Result<()> {
    let part = path.with_extension("part");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(&serde_json::to_vec(said)?)?;
    fs::rename(part, path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn one_server_has_a_directory_and_is_found_while_it_lives() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(Address::of(state.path()), None);
        let (one, token) = Address::claim(state.path(), ([0, 0, 0, 0], 8080).into(), false).await.unwrap();
        assert_eq!(one.url(), "http://127.0.0.1:8080");
        let said = Address::of(state.path()).unwrap();
        assert_eq!((said.url.as_str(), Digest::of(said.token.as_bytes())), (one.url(), token.digest));
        let mode = fs::metadata(state.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = Address::claim(state.path(), ([127, 0, 0, 1], 1).into(), false).await;
        let other = other.unwrap_err().to_string();
        assert!(other.contains("http://127.0.0.1:8080"), "{other}");
        drop(one);
        assert_eq!(Address::of(state.path()), None);
        Address::claim(state.path(), ([127, 0, 0, 1], 1).into(), true).await.unwrap();
    }

    /// Commands look all the time whether there is a server, and hold the lock while they look.
    #[tokio::test]
    async fn who_looks_for_a_server_keeps_none_from_beginning() {
        let state = tempfile::tempdir().unwrap();
        let looks = File::create(state.path().join(LOCK)).unwrap();
        looks.lock_shared().unwrap();
        let claim = Address::claim(state.path(), ([127, 0, 0, 1], 1).into(), false);
        let (claimed, ()) = tokio::join!(claim, async {
            tokio::task::yield_now().await;
            drop(looks);
        });
        claimed.unwrap();
    }

    /// What a server left that was killed is of no use to anybody, and must not be taken for the word of the next one.
    #[tokio::test]
    async fn what_a_killed_server_left_is_gone_before_the_next_one_speaks() {
        let state = tempfile::tempdir().unwrap();
        let claim = || Address::claim(state.path(), ([127, 0, 0, 1], 1).into(), false);
        let (killed, _) = claim().await.unwrap();
        let left = fs::read(state.path().join(FILE)).unwrap();
        drop(killed);
        fs::write(state.path().join(FILE), &left).unwrap();
        assert_eq!(Address::of(state.path()), None);
        let (next, _) = claim().await.unwrap();
        let said = Address::of(state.path()).unwrap();
        assert_ne!(serde_json::to_vec(&said).unwrap(), left);
        drop(next);
    }
}
