//! The signature of a delivery, by the Standard Webhooks specification: HMAC-SHA256 over its id, the time and the body.
//!
//! Invariant: no key is shown, whatever is printed.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::Sha256;

/// What a secret begins with, so that it is known for what it is.
const PREFIX: &str = "whsec_";
/// The specification asks for 192 to 512 bits.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Secrets come with and without the padding of base64.
const PADDING: DecodePaddingMode = DecodePaddingMode::Indifferent;

/// A key that deliveries are signed with.
#[derive(Clone)]
pub(in super::super) struct Key(Arc<SecretSlice<u8>>);

/// Why a text is no secret of webhooks. Never says the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum KeyError {
    /// It looks otherwise.
    #[error("the secret does not begin with {PREFIX}")]
    Prefix,
    /// What follows is not base64.
    #[error("the secret has something other than base64 behind {PREFIX}")]
    Base64,
    /// It is too short to be safe, or too long to be one.
    #[error("the secret has {0} bytes; it has to have {min} to {max}", min = KEY_BYTES.start(), max = KEY_BYTES.end())]
    Bytes(usize),
}

impl Key {
    /// Reads a secret as it is handed out: `whsec_` and base64.
    pub(in super::super) fn read(text: &str) -> Result<Self, KeyError> {
        let base64 = text.trim().strip_prefix(PREFIX).ok_or(KeyError::Prefix)?;
        let decoder =
            GeneralPurpose::new(&ALPHABET, GeneralPurposeConfig::new().with_decode_padding_mode(PADDING));
        let key = decoder.decode(base64).map_err(|_| KeyError::Base64)?;
        if !KEY_BYTES.contains(&key.len()) {
            return Err(KeyError::Bytes(key.len()));
        }
        Ok(Self(Arc::new(key.into())))
    }

    fn sign(&self, id: &str, at_s: u64, body: &[u8]) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).ok()?;
        mac.update(format!("{id}.{at_s}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    }
}

/// The value of the header `webhook-signature`: a signature by each key. `at_s` is the time of the attempt, in seconds
/// since 1970-01-01T00:00:00Z.
pub(super) fn signature(keys: &[Key], id: &str, at_s: u64, body: &[u8]) -> String {
    // HMAC takes keys of any length, so that none is left out.
    keys.iter().filter_map(|key| key.sign(id, at_s, body)).collect::<Vec<_>>().join(" ")
}

impl PartialEq for Key {
    /// Whether a configuration names the same key as before. What somebody sends is never compared with it.
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// The example by which implementations of the specification are compared.
    #[test]
    fn a_signature_is_that_of_other_implementations() {
        let key = Key::read(SECRET).unwrap();
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
        let one = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signature(std::slice::from_ref(&key), id, 1_614_265_330, body), one);
        let other = Key::read(&format!("whsec_{}", STANDARD.encode([7; 64]))).unwrap();
        let both = signature(&[other.clone(), key], id, 1_614_265_330, body);
        assert_eq!(both.split(' ').nth(1), Some(one));
        assert_eq!(both.split(' ').next(), Some(signature(&[other], id, 1_614_265_330, body).as_str()));
    }

    #[test]
    fn a_text_that_is_no_secret_is_refused_and_not_repeated() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![1; bytes]));
        for (text, expected) in [
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(), KeyError::Prefix),
            ("whsec_not base64 at all".to_owned(), KeyError::Base64),
            (of(23), KeyError::Bytes(23)),
            (of(65), KeyError::Bytes(65)),
            ("whsec_".to_owned(), KeyError::Bytes(0)),
        ] {
            let error = Key::read(&text).unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().contains(text.trim_start_matches(PREFIX)) || text == PREFIX);
        }
        for good in [of(24), of(64), of(25).trim_end_matches('=').to_owned(), format!(" {}\n", of(32))] {
            assert!(!format!("{:?}", Key::read(&good).unwrap()).contains(&good[6..12]), "{good}");
        }
    }
}
