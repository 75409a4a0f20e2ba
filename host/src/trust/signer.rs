//! Who may have signed: a key, or an identity together with whoever vouches for it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;

use super::verify;
use crate::message::Digest;

/// The longest identity and issuer, in bytes.
const NAME_BYTES_MAX: usize = 2048;

/// Somebody who may have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// Whoever has the other half of a public key.
    Key {
        /// The key.
        key: PublicKey,
        /// Whether the signature has to be in a transparency log.
        log: bool,
        /// Whose logs and clocks are believed.
        root: Root,
    },
    /// Whoever an issuer vouches for.
    Identity {
        /// Who that is.
        identity: Identity,
        /// The issuer.
        issuer: String,
        /// Whose certificates, logs and clocks are believed.
        root: Root,
    },
}

/// A public key, from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The file.
    pub file: PathBuf,
    /// The key, as a `SubjectPublicKeyInfo` in DER.
    pub der: Vec<u8>,
}

/// An identity that certificates have: an address of mail, or the URI of a workflow. What stands behind its `@` may be
/// left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    text: String,
}

/// Whom to believe about certificates, logs and times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// The public instance of Sigstore, as it was when this program was built.
    Sigstore,
    /// The instance of GitHub, for private repositories, as it was when this program was built.
    GitHub,
    /// What a file says: a trusted root of Sigstore.
    File {
        /// The file.
        path: PathBuf,
        /// What it says.
        json: Arc<str>,
    },
}

impl PublicKey {
    /// The key in a text of the form PEM.
    pub fn from_pem(file: &Path, text: &str) -> Result<Self, String> {
        let key = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes())
            .map_err(|_| "it has no section `PUBLIC KEY`".to_owned())?;
        let der = key.as_ref().to_vec();
        verify::check_key(&der)?;
        Ok(Self { file: file.to_owned(), der })
    }

    /// The key in the words of host.lock.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("key sha256:{}", Digest::of(&self.der))
    }
}

impl Identity {
    /// The identity that a text is. The error says what is wrong, and what to write.
    pub fn parse(text: &str) -> Result<Self, (String, String)> {
        let wrong = |message: &str, help: &str| Err((message.to_owned(), help.to_owned()));
        if text.trim().is_empty() || text.len() > NAME_BYTES_MAX || text.contains(char::is_control) {
            return wrong("it is empty, too long, or has control characters", "write the whole identity");
        }
        if let Some(open) = text.find('*') {
            let before = text.get(..open).unwrap_or_default();
            // What is left open is the branch or the tag, and never who it is.
            let names_a_workflow = before.starts_with("https://")
                && before.split_once('@').is_some_and(|(workflow, _)| workflow.matches('/').count() >= 4);
            if open + 1 != text.len() || !names_a_workflow {
                return wrong(
                    "`*` would leave open who it is",
                    "write the whole identity; in that of a workflow `*` may stand last, behind the `@`, as in \
                     \"https://github.com/OWNER/REPOSITORY/.github/workflows/release.yml@refs/tags/*\"",
                );
            }
        }
        Ok(Self { text: text.to_owned() })
    }

    /// Whether somebody is who is meant.
    #[must_use]
    pub fn is(&self, somebody: &str) -> bool {
        match self.text.strip_suffix('*') {
            Some(beginning) => somebody.starts_with(beginning),
            None => self.text == somebody,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An identity and its issuer in the words of host.lock.
pub(super) fn named(identity: &str, issuer: &str) -> String {
    format!("{identity} ({issuer})")
}

impl Root {
    /// A root that a file has.
    pub fn from_json(path: &Path, json: &str) -> Result<Self, String> {
        verify::check_root(json)?;
        Ok(Self::File { path: path.to_owned(), json: json.into() })
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sigstore => f.write_str("sigstore"),
            Self::GitHub => f.write_str("github"),
            Self::File { path, .. } => path.display().fmt(f),
        }
    }
}

impl Signer {
    /// The files that it names.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let (key, root) = match self {
            Self::Key { key, root, .. } => (Some(key.file.as_path()), root),
            Self::Identity { root, .. } => (None, root),
        };
        let root = match root {
            Root::File { path, .. } => Some(path.as_path()),
            Root::Sigstore | Root::GitHub => None,
        };
        key.into_iter().chain(root)
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = match self {
            Self::Key { key, log, root } => {
                write!(f, "{} ({})", key.fingerprint(), key.file.display())?;
                if !log {
                    return f.write_str(", in no log");
                }
                root
            }
            Self::Identity { identity, issuer, root } => {
                f.write_str(&named(&identity.text, issuer))?;
                root
            }
        };
        match root {
            Root::Sigstore => Ok(()),
            Root::GitHub | Root::File { .. } => write!(f, ", by the root of trust {root}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn an_identity_leaves_open_what_stands_behind_the_at_alone() {
        let workflow = "https://github.com/example/tools/.github/workflows/release.yml";
        let identity = |text: &str| Identity::parse(text).unwrap();
        let tags = identity(&format!("{workflow}@refs/tags/*"));
        assert!(tags.is(&format!("{workflow}@refs/tags/v1")));
        assert!(!tags.is(&format!("{workflow}@refs/heads/main")));
        assert!(!tags.is(&format!("https://github.com/evil/tools/x@{workflow}@refs/tags/v1")));
        assert!(identity("me@example.com").is("me@example.com"));
        assert!(!identity("me@example.com").is("me@example.com.evil"));
        for text in [
            "*",
            "*@example.com",
            "me@*",
            "https://*",
            "https://github.com/*",
            "https://github.com/example/tools/*",
            "https://github.com@*",
            "https://github.com/a@*",
            "https://*@refs/tags/*",
            &format!("{workflow}@refs/*/v1"),
            "",
            "a\nb",
        ] {
            let (message, help) = Identity::parse(text).unwrap_err();
            assert!(!message.is_empty() && !help.is_empty(), "{text}");
        }
    }
}
