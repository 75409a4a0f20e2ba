//! Who has to have signed what comes from elsewhere.
//!
//! Owns [`Rule`]s, which say for the sources that fit a [`Pattern`] who may have signed: a key, or an identity together
//! with the issuer that vouches for it. Rules stand in `[trust]` of agent.toml, and in the user's own trust.toml. Every rule
//! that fits a source has to be met, so that a rule only ever asks for more. host.lock keeps what proves a signature, and
//! [`check`] verifies it at every start, without a network, before anything of the component is compiled; [`gather`]
//! chooses what is kept. Does not fetch, and does not know Sigstore: `verify` does, behind the feature `signatures`.
//! Invariant: a valid signature of somebody whom the rule does not name is worth nothing, and so is a statement that is no
//! signature. It fails with a [`TrustError`], which says who was asked for and what is wrong with each signature there is.

mod error;
mod file;
mod pattern;
#[cfg(feature = "signatures")]
mod ring;
mod signer;
#[cfg(feature = "signatures")]
mod verify;
#[cfg(not(feature = "signatures"))]
#[path = "absent.rs"]
mod verify;

pub use error::TrustError;
pub(crate) use file::{RawTrust, rules};
#[cfg(feature = "cli")]
pub(crate) use file::{TRUST_FILE, parse_own};
pub use pattern::Pattern;
pub use signer::{Identity, PublicKey, Root, Signer};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::message::{Digest, clean};
use crate::registry::{BUNDLE_BYTES_MAX, Layer, LockedSignature, Remote, layer_of};

/// As much is shown of what is wrong with a signature, in characters.
const SAID_CHARS_MAX: usize = 300;

/// The rules that are kept to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    rules: Vec<Arc<Rule>>,
}

/// Who may have signed what comes from some sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The sources.
    pub source: Pattern,
    /// Who may have signed: one of them is enough.
    pub signers: Vec<Signer>,
    /// The file in which the rule stands.
    pub file: PathBuf,
}

/// A component, and what signatures of it can be about.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// Where it comes from.
    pub source: &'a Remote,
    /// The component.
    pub component: &'a [u8],
    /// SHA-256 of it.
    pub sha256: Digest,
    /// SHA-256 of the manifest that names it, if it comes from an OCI registry.
    pub manifest: Option<Digest>,
}

/// What was found out about a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Proof {
    /// Who made it, in the words of host.lock.
    signer: String,
    /// Which of the candidates it is about.
    about: usize,
}

impl Trust {
    /// These rules.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules: rules.into_iter().map(Arc::new).collect() }
    }

    /// The user's own rules; none, if there is no file.
    pub fn read(path: &Path) -> Result<Self, crate::document::ConfigError> {
        file::read_own(path)
    }

    /// These rules and others.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self { rules: self.rules.iter().chain(&other.rules).cloned().collect() }
    }

    /// All rules.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(Arc::as_ref)
    }

    /// The rules about a source.
    #[must_use]
    pub fn about(&self, source: &Remote) -> Self {
        Self { rules: self.rules.iter().filter(|rule| rule.source.fits(source)).cloned().collect() }
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The files that the rules name: keys and roots of trust.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.rules().flat_map(|rule| &rule.signers).flat_map(Signer::files)
    }
}

impl Rule {
    /// Who is asked for.
    fn wanted(&self) -> String {
        self.signers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", or ")
    }

    /// The signer among those of the rule whose signature this is, or why it is of no use.
    fn proof(&self, bundle: &str, candidates: &[&[u8]]) -> Result<Proof, String> {
        let mut reasons: Vec<String> = Vec::new();
        for signer in &self.signers {
            match proof(signer, bundle, candidates) {
                Ok(proof) => return Ok(proof),
                Err(reason) if reasons.contains(&reason) => {}
                Err(reason) => reasons.push(reason),
            }
        }
        Err(reasons.join("; and "))
    }
}

/// Whether a signer signed one of the candidates, by what a bundle proves.
fn proof(signer: &Signer, bundle: &str, candidates: &[&[u8]]) -> Result<Proof, String> {
    if bundle.len() as u64 > BUNDLE_BYTES_MAX {
        return Err(format!("a bundle of {} bytes is longer than {BUNDLE_BYTES_MAX}", bundle.len()));
    }
    verify::proof(signer, bundle, candidates).map_err(|why| said(&why))
}

/// Checks that what host.lock keeps meets every rule about the source.
pub fn check(trust: &Trust, signed: &Signed<'_>, kept: &[LockedSignature]) -> Result<(), TrustError> {
    for rule in trust.about(signed.source).rules() {
        let mut reasons = Vec::new();
        let met = kept.iter().any(|signature| {
            let proof = signed.proven(rule, signature);
            let named = proof.and_then(|proof| {
                if proof.signer == signature.signer {
                    return Ok(());
                }
                Err(said(&format!("{} made it, and host.lock says another signer", proof.signer)))
            });
            named.map_err(|why| reasons.push(why)).is_ok()
        });
        if !met {
            return Err(TrustError::kept(signed.source, rule, reasons));
        }
    }
    Ok(())
}

/// The signatures to keep, so that every rule about the source is met: of those that are kept already as many as are of
/// use, then of the bundles that were found.
pub fn gather(
    trust: &Trust,
    signed: &Signed<'_>,
    manifest: Option<&str>,
    (kept, bundles): (&[LockedSignature], &[String]),
) -> Result<Vec<LockedSignature>, TrustError> {
    let found = bundles.iter().map(|bundle| LockedSignature {
        signer: String::new(),
        manifest: manifest.map(str::to_owned),
        bundle: bundle.clone(),
    });
    let candidates: Vec<LockedSignature> = kept.iter().cloned().chain(found).collect();
    let mut chosen: Vec<LockedSignature> = Vec::new();
    for rule in trust.about(signed.source).rules() {
        let mut reasons = Vec::new();
        let proven = candidates.iter().find_map(|signature| {
            let proof = signed.proven(rule, signature).map_err(|why| reasons.push(why)).ok()?;
            // The component is the first candidate, and needs no manifest.
            let manifest = signature.manifest.clone().filter(|_| proof.about > 0);
            Some(LockedSignature { signer: proof.signer, manifest, bundle: signature.bundle.clone() })
        });
        let Some(proven) = proven else { return Err(TrustError::found(signed.source, rule, reasons)) };
        if !chosen.iter().any(|it| it.bundle == proven.bundle && it.signer == proven.signer) {
            chosen.push(proven);
        }
    }
    Ok(chosen)
}

/// Who signed a component, whoever that is, and what is to be said of a signature that proves nothing. It is for people to
/// look at, and no reason to trust.
pub fn whoever(
    signed: &Signed<'_>,
    manifest: Option<&str>,
    bundle: &str,
) -> Result<(String, String), String> {
    if bundle.len() as u64 > BUNDLE_BYTES_MAX {
        return Err(format!("a bundle of {} bytes is longer than {BUNDLE_BYTES_MAX}", bundle.len()));
    }
    let manifest = manifest.map(|text| signed.manifest(text)).transpose()?;
    let candidates: Vec<&[u8]> = std::iter::once(signed.component).chain(manifest).collect();
    let who = verify::whoever(bundle, &candidates).map_err(|why| said(&why))?;
    Ok((said(&who.0), said(&who.1)))
}

impl Signed<'_> {
    /// What a signature proves of the component, by a rule.
    fn proven(&self, rule: &Rule, signature: &LockedSignature) -> Result<Proof, String> {
        let manifest = signature.manifest.as_deref().map(|text| self.manifest(text)).transpose()?;
        let candidates: Vec<&[u8]> = std::iter::once(self.component).chain(manifest).collect();
        rule.proof(&signature.bundle, &candidates)
    }

    /// The bytes of a manifest, if it is the one that names the component: a signature of it is one of the component.
    fn manifest<'t>(&self, text: &'t str) -> Result<&'t [u8], String> {
        let bytes = text.as_bytes();
        if self.manifest != Some(Digest::of(bytes)) {
            return Err("it is about another manifest than the one that is pinned".to_owned());
        }
        let layer = layer_of(bytes).map_err(|why| format!("the manifest that is signed: {why}"))?;
        if layer != (Layer { sha256: self.sha256, bytes: self.component.len() as u64 }) {
            return Err("the manifest that is signed names another component".to_owned());
        }
        Ok(bytes)
    }
}

/// What a stranger's file led to, in one line: it does not steer a terminal, and is not long.
fn said(text: &str) -> String {
    let line = clean(text).replace(['\n', '\t'], " ");
    line.chars().take(SAID_CHARS_MAX).collect()
}
