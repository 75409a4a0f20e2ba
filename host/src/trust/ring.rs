//! The cryptography of Sigstore, done by ring, which this program has anyhow.
//!
//! ring takes the message that was signed, and nothing that was hashed by others. Sigstore asks about a hash where a file was
//! signed and no statement about it: the message is then one that [`about`] was told of.

use std::cell::RefCell;
use std::sync::{Arc, Once};

use ring::digest::{self, Context, SHA256, SHA384, SHA512};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use sigstore_verify::crypto::{CryptoProvider, Error, HashContext, SigningScheme, install_default_provider};
use sigstore_verify::types::HashAlgorithm;

thread_local! {
    /// The message whose hash may be asked about on this thread.
    static MESSAGE: RefCell<Option<Arc<[u8]>>> = const { RefCell::new(None) };
}

/// Verifies something about a message, if its hash may be asked about.
pub(super) fn about<T>(message: Option<&[u8]>, work: impl FnOnce() -> T) -> T {
    install();
    MESSAGE.set(message.map(Into::into));
    let done = work();
    MESSAGE.set(None);
    done
}

/// Has Sigstore use ring. It has to be done before anything is asked of it.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    // Where a program that embeds this one has chosen another, that one is used.
    INSTALLED.call_once(|| {
        let _ = install_default_provider(&Ring);
    });
}

#[derive(Debug)]
struct Ring;

struct Hashing(Context);

impl HashContext for Hashing {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self: Box<Self>) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

impl CryptoProvider for Ring {
    fn hash(&self, algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>, Error> {
        Ok(Box::new(Hashing(Context::new(hash(algorithm)?))))
    }

    fn verify_raw(
        &self,
        scheme: SigningScheme,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        let key = UnparsedPublicKey::new(algorithm(scheme)?, key);
        key.verify(message, signature).map_err(|_| invalid(scheme))
    }

    fn verify_prehashed(
        &self,
        scheme: SigningScheme,
        key: &[u8],
        hashed: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        let unknown = || Error::UnsupportedAlgorithm(format!("{} has no hash of its own", scheme.name()));
        let hash = hash(scheme.hash_algorithm().ok_or_else(unknown)?)?;
        let message = MESSAGE.with_borrow(Clone::clone);
        let message = message.filter(|message| digest::digest(hash, message).as_ref() == hashed);
        match message {
            Some(message) => self.verify_raw(scheme, key, &message, signature),
            None => Err(Error::Verification("the signature is about something else".to_owned())),
        }
    }
}

fn invalid(scheme: SigningScheme) -> Error {
    Error::Verification(format!("{} signature invalid", scheme.name()))
}

fn hash(algorithm: HashAlgorithm) -> Result<&'static digest::Algorithm, Error> {
    match algorithm {
        HashAlgorithm::Sha2256 => Ok(&SHA256),
        HashAlgorithm::Sha2384 => Ok(&SHA384),
        HashAlgorithm::Sha2512 => Ok(&SHA512),
        other => Err(Error::UnsupportedAlgorithm(format!("{other} is not known here"))),
    }
}

fn algorithm(scheme: SigningScheme) -> Result<&'static dyn VerificationAlgorithm, Error> {
    Ok(match scheme {
        SigningScheme::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
        SigningScheme::EcdsaP256Sha384 => &signature::ECDSA_P256_SHA384_ASN1,
        SigningScheme::EcdsaP384Sha256 => &signature::ECDSA_P384_SHA256_ASN1,
        SigningScheme::EcdsaP384Sha384 => &signature::ECDSA_P384_SHA384_ASN1,
        SigningScheme::Ed25519 => &signature::ED25519,
        SigningScheme::RsaPssSha256 => &signature::RSA_PSS_2048_8192_SHA256,
        SigningScheme::RsaPssSha384 => &signature::RSA_PSS_2048_8192_SHA384,
        SigningScheme::RsaPssSha512 => &signature::RSA_PSS_2048_8192_SHA512,
        SigningScheme::RsaPkcs1Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        SigningScheme::RsaPkcs1Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        SigningScheme::RsaPkcs1Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        other => {
            return Err(Error::UnsupportedAlgorithm(format!("{} is not known here", other.name())));
        }
    })
}
