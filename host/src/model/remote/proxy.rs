//! What stands between the host and a provider: known beforehand, so that a failure can name it.

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;
use reqwest::header::HeaderValue;

use crate::model::{ModelError, Proxy};

/// What a proxy's connector says that wants a password.
pub(super) const PROXY_WANTS_PASSWORD: &str = "proxy authorization required";

/// A proxy that requests go through.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Between {
    address: String,
    /// What it is sent to be let through; it is not shown.
    password: Option<HeaderValue>,
}

impl Between {
    /// The proxy between the host and an address, if there is one.
    pub(super) fn of(setting: &Proxy, to: &Url) -> Result<Option<Self>, ModelError> {
        match setting {
            Proxy::Direct => Ok(None),
            Proxy::At(url) => {
                let address = url.as_str().trim_end_matches('/').to_owned();
                Ok(Some(Self { address, password: None }))
            }
            Proxy::Environment => {
                let to: Uri = to.as_str().parse().map_err(|error| {
                    ModelError::Setup(format!("`base_url` in [model] is not a URL: {error}"))
                })?;
                Ok(Matcher::from_env().intercept(&to).map(|found| {
                    let address = found.uri().to_string().trim_end_matches('/').to_owned();
                    Self { address, password: found.basic_auth().cloned() }
                }))
            }
        }
    }

    /// Where it is.
    pub(super) fn address(&self) -> String {
        self.address.clone()
    }

    /// What leads requests through it.
    pub(super) fn connector(&self) -> Result<reqwest::Proxy, ModelError> {
        let address = &self.address;
        if !(address.starts_with("http://") || address.starts_with("https://")) {
            return Err(ModelError::Setup(format!(
                "the proxy {address} is neither http nor https: set HTTPS_PROXY to another, or `proxy` in [model]"
            )));
        }
        let proxy = reqwest::Proxy::all(address)
            .map_err(|error| ModelError::Setup(format!("the proxy {address} cannot be used: {error}")))?;
        Ok(match &self.password {
            Some(password) => proxy.custom_http_auth(password.clone()),
            None => proxy,
        })
    }
}
