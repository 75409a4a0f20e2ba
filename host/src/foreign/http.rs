//! A server that listens: requests to its address, with the secrets that it is given.

use std::collections::{BTreeMap, HashMap};

use reqwest::Client;
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;

use super::{START_TIME, ServerError};
use crate::grants::Secrets;

/// The longest message of a server, in bytes.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// So many requests are sent to a server at once.
const REQUESTS_AT_ONCE_MAX: usize = 64;

pub(super) fn transport(
    url: &str,
    bearer: Option<&str>,
    headers: &BTreeMap<String, String>,
    secrets: &Secrets,
) -> Result<StreamableHttpClientTransport<Client>, ServerError> {
    let value = |name: &str| secrets.value(name).ok_or_else(|| ServerError::Secret(name.to_owned()));
    let mut sent = HashMap::new();
    for (header, secret) in headers {
        let unfit =
            |_| ServerError::Setup(format!("the secret {secret} cannot be sent as the header {header}"));
        let name = HeaderName::from_bytes(header.as_bytes())
            .map_err(|_| ServerError::Setup(format!("{header} is not the name of a header")))?;
        let mut text = HeaderValue::from_str(value(secret)?).map_err(unfit)?;
        text.set_sensitive(true);
        sent.insert(name, text);
    }
    let mut config = StreamableHttpClientTransportConfig::with_uri(url)
        .custom_headers(sent)
        .max_concurrent_requests(REQUESTS_AT_ONCE_MAX);
    config.max_json_response_size = MESSAGE_BYTES_MAX;
    config.max_sse_event_size = MESSAGE_BYTES_MAX;
    // What a server did of a request that it does not remember is not known: the request is not sent again.
    config.reinit_on_expired_session = false;
    config.auth_header = bearer.map(value).transpose()?.map(str::to_owned);
    let setup = |reason: String| ServerError::Setup(format!("cannot set up HTTPS: {reason}"));
    let client = crate::tls::client().map_err(setup)?.connect_timeout(START_TIME);
    // No proxy leads back to this machine.
    let client = if url.starts_with("http:") { client.no_proxy() } else { client };
    let client = client.build().map_err(|error| setup(error.to_string()))?;
    Ok(StreamableHttpClientTransport::with_client(client, config))
}
