//! The certificate by which the server speaks HTTPS.

use std::path::Path;
use std::sync::Arc;

use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::ServeError;
use super::settings::Tls;

/// What the server encrypts by.
pub(super) fn config(tls: &Tls) -> Result<RustlsConfig, ServeError> {
    read(tls).map(RustlsConfig::from_config)
}

/// The same as the files have it now.
pub(super) fn read(tls: &Tls) -> Result<Arc<ServerConfig>, ServeError> {
    let unusable = |path: &Path, reason: String| ServeError::Certificate { path: path.to_owned(), reason };
    let of_certificate = |error: rustls::pki_types::pem::Error| unusable(&tls.certificate, error.to_string());
    let chain = CertificateDer::pem_file_iter(&tls.certificate).map_err(of_certificate)?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(of_certificate)?;
    let key =
        PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| unusable(&tls.key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| unusable(&tls.certificate, error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
