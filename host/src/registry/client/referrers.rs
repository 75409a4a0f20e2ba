//! The signatures of a manifest: what a registry has that refers to it.
//!
//! A registry lists what refers to a manifest by an API, or, where it has none, whoever pushes keeps the list below the tag
//! `sha256-DIGEST`. Anybody who may push can add to either list, so nothing in it ends the search: what is of no use is
//! passed over, and told if nothing else is found.

use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Method, StatusCode};

use super::http::Ask;
use super::{MANIFEST_BYTES_MAX, Session};
use crate::message::{Digest, clean};
use crate::registry::manifest::{INDEX, MANIFEST, bundles_of, signatures_in};
use crate::registry::{BUNDLE_BYTES_MAX, FetchError};

/// So many things that refer to a manifest are looked at.
const REFERRERS_MAX: usize = 32;

const WHOEVER_SIGNED: &str = "ask whoever signed it for a smaller one";

/// The signatures that were found, unverified.
#[derive(Debug, Default)]
pub struct FoundSignatures {
    /// Bundles of Sigstore, which are JSON.
    pub bundles: Vec<String>,
    /// What looked like a signature and is of no use, and why.
    pub passed_over: Vec<String>,
}

impl Session<'_> {
    /// What refers to a manifest and is a signature.
    pub(super) async fn signatures(&self, manifest: Digest) -> Result<FoundSignatures, FetchError> {
        let mut found = FoundSignatures::default();
        for list in [format!("referrers/sha256:{manifest}"), format!("manifests/sha256-{manifest}")] {
            let Some(body) = self.listed(&list, INDEX).await? else { continue };
            let digests = match signatures_in(&body) {
                Ok(digests) => digests,
                Err(why) => {
                    found.passed_over.push(format!("the list at {list}: {}", clean(&why)));
                    continue;
                }
            };
            if digests.len() > REFERRERS_MAX {
                let more = digests.len() - REFERRERS_MAX;
                found
                    .passed_over
                    .push(format!("{more} more than the first {REFERRERS_MAX} in the list at {list}"));
            }
            for digest in digests.into_iter().take(REFERRERS_MAX) {
                if let Err(why) = self.bundles(digest, &mut found).await? {
                    found.passed_over.push(format!("sha256:{digest}: {}", clean(&why)));
                }
            }
            if !found.bundles.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    /// Adds the signatures of one thing that refers to the manifest. The inner error is what is wrong with it.
    async fn bundles(
        &self,
        digest: Digest,
        found: &mut FoundSignatures,
    ) -> Result<Result<(), String>, FetchError> {
        let Some(body) = self.listed(&format!("manifests/sha256:{digest}"), MANIFEST).await? else {
            return Ok(Err("it is not there".to_owned()));
        };
        if Digest::of(&body) != digest {
            return Ok(Err("it is another manifest than its digest says".to_owned()));
        }
        let layers = match bundles_of(&body) {
            Ok(layers) => layers,
            Err(why) => return Ok(Err(why)),
        };
        for layer in layers {
            if layer.bytes > BUNDLE_BYTES_MAX {
                let bytes = layer.bytes;
                return Ok(Err(format!("its bundle of {bytes} bytes is longer than {BUNDLE_BYTES_MAX}")));
            }
            let bundle = match self.blob(layer, "the bundle").await {
                Ok(bundle) => bundle,
                Err(
                    error @ (FetchError::OtherBytes { .. }
                    | FetchError::TooLong { .. }
                    | FetchError::Truncated { .. }),
                ) => return Ok(Err(error.to_string().lines().next().unwrap_or_default().to_owned())),
                Err(error) => return Err(error),
            };
            match String::from_utf8(bundle) {
                Ok(bundle) => found.bundles.push(bundle),
                Err(_) => return Ok(Err("its bundle is no text".to_owned())),
            }
        }
        Ok(Ok(()))
    }

    /// A document of the registry; `None` if it is not there, or if the registry does not know what is asked.
    async fn listed(&self, path: &str, kind: &'static str) -> Result<Option<Vec<u8>>, FetchError> {
        let ask = Ask::new(Method::GET, self.url(path)?).with(ACCEPT, HeaderValue::from_static(kind));
        let response = self.ask(ask).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
                return Err(self.refused(response).await);
            }
            StatusCode::NOT_IMPLEMENTED => return Ok(None),
            status if status.is_server_error() => return Err(self.refused(response).await),
            _ => return Ok(None),
        }
        let body = self.http.body(response, MANIFEST_BYTES_MAX, "the list of signatures", WHOEVER_SIGNED);
        body.await.map(Some)
    }
}
