//! A Sigstore of a test's own: who issues certificates, who keeps a log, and who signs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use host::message::Digest;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber, SigningKey as _, date_time_ymd,
};
use serde_json::{Value, json};

use super::fake::BUNDLE;

pub const IDENTITY: &str = "https://github.com/example/tools/.github/workflows/release.yml@refs/tags/v1";
pub const ISSUER: &str = "https://issuer.example";

/// Within the day on which the certificates are valid.
const NOON: i64 = 1_704_110_400;

/// What signatures are made by, and what vouches for them.
pub struct Sigstore {
    authority: CertifiedIssuer<'static, KeyPair>,
    log: KeyPair,
    /// The log of certificates, if there is one.
    certificates: Option<KeyPair>,
}

/// A signature to be made.
#[derive(Clone, Debug)]
pub struct Signature {
    pub identity: String,
    pub issuer: String,
    /// When it was logged, in seconds after noon of the day on which the certificate is valid.
    pub logged_s: i64,
    /// The kind of the statement.
    pub kind: &'static str,
    /// Whether it is in the log.
    pub in_log: bool,
}

impl Default for Signature {
    fn default() -> Self {
        Self {
            identity: IDENTITY.to_owned(),
            issuer: ISSUER.to_owned(),
            logged_s: 0,
            kind: "https://sigstore.dev/cosign/sign/v1",
            in_log: true,
        }
    }
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// A value of DER: its tag, its length, and what it is.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ 0..=127 => vec![u8::try_from(short).unwrap()],
        long => [&[0x82][..], &u16::try_from(long).unwrap().to_be_bytes()].concat(),
    };
    [&[tag][..], &length, content].concat()
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", base64(der))
}

fn id(key: &KeyPair) -> Digest {
    Digest::of(&key.subject_public_key_info())
}

fn bytes_of(digest: Digest) -> Vec<u8> {
    let hex = digest.to_string();
    (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

impl Sigstore {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2040, 1, 1);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { authority, log: KeyPair::generate().unwrap(), certificates: None }
    }

    /// The same with a log of certificates.
    pub fn logging_certificates(self) -> Self {
        Self { certificates: Some(KeyPair::generate().unwrap()), ..self }
    }

    /// What is believed by whoever believes in it.
    pub fn root(&self) -> String {
        let log = |key: &KeyPair| {
            json!({
                "baseUrl": "https://log.example",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": base64(key.subject_public_key_info()),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": { "start": "2020-01-01T00:00:00Z" }
                },
                "logId": { "keyId": base64(bytes_of(id(key))) }
            })
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(&self.log)],
            "ctlogs": self.certificates.iter().map(log).collect::<Vec<_>>(),
            "certificateAuthorities": [{
                "uri": "https://authority.example",
                "certChain": { "certificates": [{ "rawBytes": base64(self.authority.der()) }] },
                "validFor": { "start": "2020-01-01T00:00:00Z" }
            }]
        })
        .to_string()
    }

    /// The bundle of a statement about some bytes, signed by an identity.
    pub fn attest(&self, bytes: &[u8], signature: &Signature) -> Value {
        let key = KeyPair::generate().unwrap();
        let certificate = self.certificate(&key, signature);
        let material = json!({ "certificate": { "rawBytes": base64(&certificate) } });
        self.statement(bytes, &key, (material, &pem("CERTIFICATE", &certificate)), signature)
    }

    /// The same, signed by a key.
    pub fn attest_by(&self, key: &KeyPair, bytes: &[u8], signature: &Signature) -> Value {
        let material = json!({ "publicKey": { "hint": "a key" } });
        self.statement(bytes, key, (material, &key.public_key_pem()), signature)
    }

    fn statement(
        &self,
        bytes: &[u8],
        key: &KeyPair,
        (mut material, verifier): (Value, &str),
        signature: &Signature,
    ) -> Value {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "digest": { "sha256": Digest::of(bytes).to_string() } }],
            "predicateType": signature.kind,
            "predicate": {}
        })
        .to_string();
        let kind = "application/vnd.in-toto+json";
        let signed = format!("DSSEv1 {} {kind} {} {statement}", kind.len(), statement.len());
        let made = base64(key.sign(signed.as_bytes()).unwrap());
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": { "algorithm": "sha256", "value": Digest::of(b"of another spelling").to_string() },
                "payloadHash": { "algorithm": "sha256", "value": Digest::of(statement.as_bytes()).to_string() },
                "signatures": [{ "signature": made, "verifier": base64(verifier) }]
            }
        });
        material["tlogEntries"] = self.entries("dsse", &body, signature);
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": material,
            "dsseEnvelope": {
                "payload": base64(&statement), "payloadType": kind, "signatures": [{ "sig": made, "keyid": "" }]
            }
        })
    }

    /// The bundle of a signature of the bytes themselves, by an identity.
    pub fn sign_file(&self, bytes: &[u8], signature: &Signature) -> Value {
        let key = KeyPair::generate().unwrap();
        let certificate = self.certificate(&key, signature);
        let made = base64(key.sign(bytes).unwrap());
        let digest = Digest::of(bytes);
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": { "hash": { "algorithm": "sha256", "value": digest.to_string() } },
                "signature": {
                    "content": made, "publicKey": { "content": base64(pem("CERTIFICATE", &certificate)) }
                }
            }
        });
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {
                "certificate": { "rawBytes": base64(&certificate) },
                "tlogEntries": self.entries("hashedrekord", &body, signature)
            },
            "messageSignature": {
                "messageDigest": { "algorithm": "SHA2_256", "digest": base64(bytes_of(digest)) },
                "signature": made
            }
        })
    }

    /// What the log says of its only entry.
    fn entries(&self, kind: &str, body: &Value, signature: &Signature) -> Value {
        if !signature.in_log {
            return json!([]);
        }
        let (body, log) = (body.to_string(), bytes_of(id(&self.log)));
        let root = base64(bytes_of(Digest::of(&[&[0], body.as_bytes()].concat())));
        let head = format!("log.example\n1\n{root}\n");
        let head_signed = [&log[..4], &self.log.sign(head.as_bytes()).unwrap()].concat();
        let at = NOON + signature.logged_s;
        let promise = format!(
            r#"{{"body":"{}","integratedTime":{at},"logID":"{}","logIndex":0}}"#,
            base64(&body),
            id(&self.log)
        );
        json!([{
            "logIndex": "0",
            "logId": { "keyId": base64(&log) },
            "kindVersion": { "kind": kind, "version": "0.0.1" },
            "integratedTime": at.to_string(),
            "inclusionPromise": { "signedEntryTimestamp": base64(self.log.sign(promise.as_bytes()).unwrap()) },
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": root,
                "treeSize": "1",
                "hashes": [],
                "checkpoint": { "envelope": format!("{head}\n— log.example {}\n", base64(head_signed)) }
            },
            "canonicalizedBody": base64(&body)
        }])
    }

    /// A certificate for a key, with what the log of certificates says of it.
    fn certificate(&self, key: &KeyPair, signature: &Signature) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(signature.identity.as_str().try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        params.not_before = date_time_ymd(2024, 1, 1);
        params.not_after = date_time_ymd(2024, 1, 2);
        params.serial_number = Some(SerialNumber::from_slice(&[7; 8]));
        let issuer = der(0x0c, signature.issuer.as_bytes());
        let extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 8], issuer);
        params.custom_extensions = vec![extension];
        let made = params.signed_by(key, &self.authority).unwrap().der().to_vec();
        let Some(certificates) = &self.certificates else { return made };
        let told = der(0x04, &self.told(certificates, &made));
        let extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2], told);
        params.custom_extensions.push(extension);
        params.signed_by(key, &self.authority).unwrap().der().to_vec()
    }

    /// The list of what a log of certificates says of one: that it has it.
    fn told(&self, log: &KeyPair, certificate: &[u8]) -> Vec<u8> {
        // A sequence with a length of two bytes, and in it the one that is signed.
        let signed_len = usize::from(u16::from_be_bytes([certificate[6], certificate[7]])) + 4;
        let to_be_signed = &certificate[4..4 + signed_len];
        let time = 1_704_067_200_000_u64.to_be_bytes();
        let length = u32::try_from(to_be_signed.len()).unwrap().to_be_bytes();
        let authority = bytes_of(id(self.authority.key()));
        let about = [&[0, 0][..], &time, &[0, 1], &authority, &length[1..], to_be_signed, &[0, 0]].concat();
        let signature = log.sign(&about).unwrap();
        let bytes = u16::try_from(signature.len()).unwrap().to_be_bytes();
        let one = [&[0][..], &bytes_of(id(log)), &time, &[0, 0], &[4, 3], &bytes, &signature].concat();
        let of = |inner: &[u8]| [&u16::try_from(inner.len()).unwrap().to_be_bytes()[..], inner].concat();
        of(&of(&one))
    }
}
