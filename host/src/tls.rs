//! TLS for every connection that this process opens: to a model, to a site that a tool asks, to a collector.
//!
//! The configuration is made once a process, because it reads every certificate that the machine trusts. What cannot be
//! read fails each connection with the reason, and never makes it an unencrypted connection.

use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt as _;

/// Trusts what the system trusts. The error is the reason why this machine's certificates cannot be used.
pub(crate) fn config() -> Result<Arc<ClientConfig>, String> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    CONFIG.get_or_init(|| read().map(Arc::new).map_err(|error| error.to_string())).clone()
}

/// What sends requests by that configuration, says who it is, and goes nowhere that it was not sent: a redirected POST
/// would arrive as a GET without a body, and with the secrets at somebody else's.
pub(crate) fn client() -> Result<reqwest::ClientBuilder, String> {
    let mut tls = config().map(Arc::unwrap_or_clone)?;
    tls.alpn_protocols = ["h2", "http/1.1"].map(Vec::from).to_vec();
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("host/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none()))
}

/// Trusts nobody: for connections that are not encrypted, for which nothing need be read.
#[cfg(feature = "cli")]
pub(crate) fn of_nobody() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

fn read() -> Result<ClientConfig, rustls::Error> {
    // Ring builds in a tenth of the time that aws-lc takes, which rustls would choose.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_platform_verifier()?.with_no_client_auth())
}
