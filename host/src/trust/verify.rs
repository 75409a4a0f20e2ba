//! What a bundle of Sigstore proves.
//!
//! Whatever the root of trust names has to vouch: where it names transparency logs, the signature is in one of them; where it
//! names logs of certificates, the certificate is in one. The time of a signature by an identity is always proven, and the
//! certificate was valid then. A statement counts as a signature only if it is of a kind that says nothing against the
//! component: the result of a scan for vulnerabilities is signed, too.

use sigstore_verify::crypto::{KeyAlgorithm, SigningScheme, sha256, verify_signature};
use sigstore_verify::trust_root::{SigstoreInstance, TrustedRoot};
use sigstore_verify::types::{Bundle, DerPublicKey, HashAlgorithm, SignatureContent, Statement};
use sigstore_verify::{PublicKeyVerificationPolicy, VerificationPolicy, Verifier};

use super::{Proof, Root, Signer, ring};
use crate::trust::signer::named;

/// The kinds of statements that are signatures, or say where something was built, by how their names begin.
const STATEMENTS: [&str; 3] = [
    "https://sigstore.dev/cosign/sign/",
    "https://slsa.dev/provenance/",
    "https://in-toto.io/attestation/release/",
];

const PAYLOAD: &str = "application/vnd.in-toto+json";

/// Whether a signer signed one of the candidates.
pub(super) fn proof(signer: &Signer, bundle: &str, candidates: &[&[u8]]) -> Result<Proof, String> {
    ring::install();
    let bundle = read(bundle)?;
    let (about, candidate) = meant(&bundle, candidates)?;
    let signer = ring::about(hashed(&bundle, candidate), || match signer {
        Signer::Key { key, log, root } => {
            let der = DerPublicKey::new(key.der.clone());
            if *log {
                let verifier = verifier(&trusted(root)?)?;
                let policy = PublicKeyVerificationPolicy::new(der);
                verifier.verify(candidate, &bundle, &policy).map_err(|error| by_key(&error.to_string()))?;
            } else {
                by_key_alone(&bundle, &der, candidate)?;
            }
            Ok(key.fingerprint())
        }
        Signer::Identity { identity, issuer, root } => {
            let (who, vouched_by) = certified(&bundle, candidate, &trusted(root)?)?;
            if !identity.is(&who) || *issuer != vouched_by {
                return Err(format!("{} signed it, and not {}", named(&who, &vouched_by), signer));
            }
            Ok(named(&who, &vouched_by))
        }
    })?;
    Ok(Proof { signer, about })
}

/// The identity of whoever signed one of the candidates, and who vouches for it.
pub(super) fn whoever(bundle: &str, candidates: &[&[u8]]) -> Result<(String, String), String> {
    ring::install();
    let bundle = read(bundle)?;
    let (_, candidate) = meant(&bundle, candidates)?;
    if bundle.signing_certificate().is_none() {
        return Err("a key signed it, and it does not say which".to_owned());
    }
    ring::about(hashed(&bundle, candidate), || {
        let of = |root| certified(&bundle, candidate, &trusted(root)?);
        of(&Root::Sigstore).or_else(|why| of(&Root::GitHub).map_err(|_| why))
    })
}

/// What Sigstore asks about by its hash: a file that is signed itself.
fn hashed<'a>(bundle: &Bundle, candidate: &'a [u8]) -> Option<&'a [u8]> {
    matches!(bundle.content, SignatureContent::MessageSignature(_)).then_some(candidate)
}

/// Checks that a key is one whose signatures can be verified.
pub(super) fn check_key(der: &[u8]) -> Result<(), String> {
    match KeyAlgorithm::from_spki(&DerPublicKey::new(der.to_vec())) {
        Ok(KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::Ed25519 | KeyAlgorithm::Rsa) => {
            Ok(())
        }
        Ok(other) => Err(format!("keys of the kind {other:?} are not known here")),
        Err(error) => Err(error.to_string()),
    }
}

/// Checks that a root of trust can be used.
pub(super) fn check_root(json: &str) -> Result<(), String> {
    ring::install();
    let root = TrustedRoot::from_json(json).map_err(|error| error.to_string())?;
    verifier(&root).map(|_| ())
}

fn read(bundle: &str) -> Result<Bundle, String> {
    Bundle::from_json(bundle).map_err(|error| format!("the bundle does not read: {error}"))
}

fn trusted(root: &Root) -> Result<TrustedRoot, String> {
    let read = match root {
        Root::Sigstore => TrustedRoot::from_embedded(SigstoreInstance::PublicGood),
        Root::GitHub => TrustedRoot::from_embedded(SigstoreInstance::GitHub),
        Root::File { json, .. } => TrustedRoot::from_json(json),
    };
    read.map_err(|error| format!("the root of trust {root} does not read: {error}"))
}

fn verifier(root: &TrustedRoot) -> Result<Verifier, String> {
    Verifier::new(root).map_err(|error| error.to_string())
}

/// Who signed, by a certificate that a root of trust vouches for.
fn certified(bundle: &Bundle, candidate: &[u8], root: &TrustedRoot) -> Result<(String, String), String> {
    if bundle.signing_certificate().is_none() {
        return Err("a key signed it, and no identity".to_owned());
    }
    // Who it is may be anybody here; the caller compares it.
    let mut policy = VerificationPolicy::any_identity();
    if root.ctlogs.is_empty() {
        policy = policy.skip_sct();
    }
    if root.tlogs.is_empty() {
        policy = policy.skip_tlog_unsafe();
    }
    let verified = verifier(root)?.verify(candidate, bundle, &policy);
    let result = verified.map_err(|error| by_certificate(error.to_string()))?;
    match (result.certificate_verified(), result.identity(), result.issuer()) {
        (true, Some(identity), Some(issuer)) => Ok((identity.as_str().to_owned(), issuer.to_owned())),
        (true, _, _) => Err("its certificate names no identity, or not who vouches for it".to_owned()),
        (false, _, _) => Err("its certificate was not verified".to_owned()),
    }
}

/// What to say where a certificate is of no use. What is said of it otherwise is for whoever wrote the verifier.
fn by_certificate(error: String) -> String {
    let plain = [
        ("CertExpired", "its certificate had expired when it was made"),
        ("CertNotValidYet", "its certificate was not yet valid when it was made"),
        ("UnknownIssuer", "its certificate is by nobody whom the root of trust knows"),
    ];
    let plain = plain.into_iter().find(|(sign, _)| error.contains(sign));
    plain.map_or(error, |(_, said)| said.to_owned())
}

/// What to say where a key did not sign, or not so that a log has it.
fn by_key(error: &str) -> String {
    let unlogged = ["inclusion proof", "inclusion promise", "signing time"];
    if unlogged.iter().any(|it| error.contains(it)) && error.contains("Bundle error") {
        return format!("it is in no transparency log ({error}); a rule takes that with `log = false`");
    }
    error.to_owned()
}

/// Verifies the signature of a key and nothing else: the key alone decides.
fn by_key_alone(bundle: &Bundle, key: &DerPublicKey, candidate: &[u8]) -> Result<(), String> {
    if bundle.signing_certificate().is_some() {
        return Err("an identity signed it, and no key".to_owned());
    }
    let algorithm = KeyAlgorithm::from_spki(key).map_err(|error| error.to_string())?;
    let verified = match &bundle.content {
        SignatureContent::DsseEnvelope(envelope) => {
            let scheme = algorithm.default_signing_scheme();
            verify_signature(key, &envelope.pae(), &envelope.signature.sig, scheme)
        }
        SignatureContent::MessageSignature(message) => {
            let scheme: SigningScheme = match &message.message_digest {
                Some(digest) => algorithm.resolve_signing_scheme(digest.algorithm),
                None => Ok(algorithm.default_signing_scheme()),
            }
            .map_err(|error| error.to_string())?;
            verify_signature(key, candidate, &message.signature, scheme)
        }
        _ => return Err("it is a signature of a kind that is not known here".to_owned()),
    };
    verified.map_err(|error| error.to_string())
}

/// The candidate that a bundle is about, by what it says; whether that is true is to be verified.
fn meant<'a>(bundle: &Bundle, candidates: &[&'a [u8]]) -> Result<(usize, &'a [u8]), String> {
    let claim = claim(&bundle.content)?;
    let found = candidates.iter().enumerate().find(|(_, bytes)| claim.is_about(bytes));
    found.map(|(at, bytes)| (at, *bytes)).ok_or_else(|| "it is a signature of something else".to_owned())
}

/// What a bundle says that it is about.
enum Claim<'b> {
    Statement(Statement),
    Sha256(&'b [u8]),
    /// It does not say, so that it can be about the component alone.
    Nothing,
}

impl Claim<'_> {
    fn is_about(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Statement(statement) => statement.matches_sha256(&sha256(bytes)),
            Self::Sha256(digest) => *digest == sha256(bytes).as_bytes(),
            Self::Nothing => true,
        }
    }
}

fn claim(content: &SignatureContent) -> Result<Claim<'_>, String> {
    match content {
        SignatureContent::DsseEnvelope(envelope) => {
            if envelope.payload_type != PAYLOAD {
                return Err(format!("it signs something of the type {}", envelope.payload_type));
            }
            let statement: Statement = serde_json::from_slice(envelope.payload.as_bytes())
                .map_err(|error| format!("its statement does not read: {error}"))?;
            if !STATEMENTS.iter().any(|kind| statement.predicate_type.starts_with(kind)) {
                return Err(format!("it is no signature, but a statement {}", statement.predicate_type));
            }
            Ok(Claim::Statement(statement))
        }
        SignatureContent::MessageSignature(message) => match &message.message_digest {
            Some(digest) if digest.algorithm == HashAlgorithm::Sha2256 => {
                Ok(Claim::Sha256(digest.digest.as_bytes()))
            }
            Some(_) | None => Ok(Claim::Nothing),
        },
        _ => Err("it is a signature of a kind that is not known here".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// The two roots that are built in are of use.
    #[test]
    fn what_is_believed_by_default_reads() {
        ring::install();
        for root in [Root::Sigstore, Root::GitHub] {
            verifier(&trusted(&root).unwrap()).unwrap();
        }
        let logs = |root| trusted(&root).map(|root| (root.tlogs.len(), root.ctlogs.len())).unwrap();
        assert_ne!(logs(Root::Sigstore), (0, 0), "a signature has to be logged");
        assert_eq!(logs(Root::GitHub), (0, 0), "here its time is proven by a clock alone");
    }

    fn whatever() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            "[A-Za-z0-9+/]{0,40}={0,2}",
            Just("application/vnd.dev.sigstore.bundle.v0.3+json".to_owned()),
            Just(PAYLOAD.to_owned()),
        ];
        let leaf =
            prop_oneof![text.prop_map(Value::from), any::<i64>().prop_map(Value::from), Just(Value::Null)];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::vec(
                    (
                        prop::sample::select(vec![
                            "certificate",
                            "rawBytes",
                            "publicKey",
                            "hint",
                            "tlogEntries",
                            "payload",
                            "sig",
                            "signatures",
                            "payloadType",
                            "messageDigest",
                            "signature",
                            "digest",
                        ]),
                        inner
                    ),
                    0..4
                )
                .prop_map(|members| {
                    members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Value>()
                }),
            ]
        })
    }

    proptest! {
        /// A bundle is a stranger's: whatever it says, it proves nothing, and is told why.
        #[test]
        fn whatever_a_bundle_says_is_refused_in_words(text in ".{0,200}", a in whatever(), b in whatever()) {
            let kind = "application/vnd.dev.sigstore.bundle.v0.3+json";
            for bundle in [
                text,
                json!({ "mediaType": kind, "verificationMaterial": a, "dsseEnvelope": b }).to_string(),
                json!({ "mediaType": kind, "verificationMaterial": a, "messageSignature": b }).to_string(),
            ] {
                prop_assert!(whoever(&bundle, &[b"component"]).is_err());
            }
        }
    }
}
