use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::message::Digest;

/// The key's file in the cache's directory.
const KEY_FILE: &str = "key";

/// Bytes of the key.
const KEY_BYTES: usize = 32;

/// Bytes of the seal at the beginning of a file.
const SEAL_BYTES: usize = 32;

/// What else a seal could be taken for.
const PURPOSE: &[u8] = b"host compiled component v1";

/// Tells the files that this host wrote from all others: HMAC-SHA256 with a key that only this user's host
/// has, over what the file is for and what is in it.
///
/// A sealed file is the seal, 32 bytes, and then the code. The key lies beside the files with mode 0600, so a
/// seal keeps out what was copied, planted or damaged; somebody who can act as this user could also replace
/// the host itself.
#[derive(Clone)]
pub(super) struct Sealer(Hmac<Sha256>);

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// The sealer of a directory; its key is made if there is none.
    pub(super) fn open(directory: &Path) -> Result<Self, String> {
        let path = directory.join(KEY_FILE);
        let read = match open_own(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make_key(directory).and_then(|()| open_own(&path))
            }
            opened => opened,
        };
        let mut key = [0; KEY_BYTES];
        read.and_then(|mut file| file.read_exact(&mut key)).map_err(|error| {
            format!("its key {}: {error}; remove it, and everything is compiled again", path.display())
        })?;
        Hmac::new_from_slice(&key).map(Self).map_err(|error| error.to_string())
    }

    /// What a file for this purpose holds.
    pub(super) fn seal(&self, component: Digest, engine: u64, code: &[u8]) -> Vec<u8> {
        let seal = self.mac(component, engine, code).finalize().into_bytes();
        [&seal[..], code].concat()
    }

    /// The code in a sealed file; none if this host did not write it, or not for this.
    pub(super) fn open_sealed<'f>(&self, component: Digest, engine: u64, file: &'f [u8]) -> Option<&'f [u8]> {
        let (seal, code) = file.split_at_checked(SEAL_BYTES)?;
        // Compares in constant time.
        self.mac(component, engine, code).verify_slice(seal).ok().map(|()| code)
    }

    fn mac(&self, component: Digest, engine: u64, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        // All but the code have fixed lengths, so nothing can be moved from one part to another.
        mac.update(PURPOSE);
        mac.update(component.as_bytes());
        mac.update(&engine.to_be_bytes());
        mac.update(code);
        mac
    }
}

/// Makes the key whole or not at all; if somebody else was faster, that one holds.
fn make_key(directory: &Path) -> std::io::Result<()> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(std::io::Error::other)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(&key)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(directory.join(KEY_FILE)) {
        Err(error) if error.error.kind() != ErrorKind::AlreadyExists => Err(error.error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Opens a regular file that belongs to this user and that nobody else may read or write.
pub(super) fn open_own(path: &Path) -> std::io::Result<File> {
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(no_follow).open(path)?;
    let metadata = file.metadata()?;
    let others = metadata.mode() & 0o077;
    let own = metadata.is_file() && metadata.uid() == rustix::process::geteuid().as_raw() && others == 0;
    if own {
        Ok(file)
    } else {
        Err(std::io::Error::other("it is not a file that only its owner, this user, can use"))
    }
}
