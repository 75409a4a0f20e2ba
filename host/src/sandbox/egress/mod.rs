//! The only way out of a guest: one HTTP request at a time, each decided on, recorded, and sent to an address
//! that was checked.
//!
//! A request goes through [`crate::grants::allow`], gets its placeholders swapped for the secrets granted for
//! that very site, and is sent over a connection of its own to an address that [`connect`] resolved and
//! checked: nothing is resolved a second time, no redirect is followed, no proxy is asked. The answer comes
//! back masked and bounded. A denial is an error for the guest and a line for the person.

mod body;
mod connect;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::record::{CallRecord, RequestRecord};
use super::state::Policy;
use crate::grants::{Allowed, Limit, NetworkGrant, Placeholders, Refusal, Wanted, Within, allow};
use crate::message::{Denial, Remedy};
use body::Outgoing;

/// What drives a connection in the background until the response has ended.
type Drive = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// How long a connection may take if the guest does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// The requests of one call.
#[derive(Clone)]
pub(super) struct Egress {
    policy: Arc<Policy>,
    record: CallRecord,
    placeholders: Arc<Placeholders>,
}

impl WasiHttpHooks for Egress {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Drive,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Drive), Error>> + Send> {
        let egress = self.clone();
        Box::new(async move { egress.send(request, options).await })
    }
}

impl Egress {
    pub(super) fn new(policy: Arc<Policy>, record: CallRecord, placeholders: Placeholders) -> Self {
        Self { policy, record, placeholders: Arc::new(placeholders) }
    }

    async fn send(
        &self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<(Response<WasiBody>, Drive), Error> {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string();
        let max = self.policy.limits.http_requests_max;
        let Some(record) = self.record.request(parts.method.as_str(), &url, max) else {
            self.record.exceed(Limit::HttpRequests);
            return Err(Error::HttpRequestDenied);
        };
        let record = Arc::new(record);
        let body = Outgoing::new(body, self.capped(), Arc::clone(&record));
        let sent = self.exchange(parts, body, options.unwrap_or_default(), &record).await;
        if let Err(error) = &sent {
            record.update(|record| record.error = Some(error.to_string()));
        }
        sent
    }

    async fn exchange(
        &self,
        mut parts: Parts,
        body: Outgoing,
        options: RequestOptions,
        record: &Arc<RequestRecord>,
    ) -> Result<(Response<WasiBody>, Drive), Error> {
        let policy = Arc::clone(&self.policy);
        let allowed = self.decide(&parts).map_err(|denial| {
            self.record.deny(denial);
            Error::HttpRequestDenied
        })?;
        let body = self.with_secrets(&mut parts, body, &allowed, record).await?;
        let addresses = connect::resolve(&allowed).await?;
        connect::check(&addresses, &allowed).map_err(|refused| {
            self.record.deny(self.private_denial(&parts.method, &allowed, &refused));
            Error::DestinationIpProhibited
        })?;
        let timeout = options.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        let (mut sender, connection, address) = connect::open(&addresses, &allowed, timeout).await?;
        record.update(|record| record.address = Some(address.to_string()));
        parts.headers.insert(HOST, header(allowed.authority().as_bytes())?);
        let drive = wasmtime_wasi::runtime::spawn(connection);
        let answer = sender.send_request(Request::from_parts(parts, body));
        let answer = match options.first_byte_timeout {
            Some(timeout) => {
                tokio::time::timeout(timeout, answer).await.map_err(|_| Error::HttpResponseTimeout)?
            }
            None => answer.await,
        };
        let (mut parts, incoming) = answer?.into_parts();
        record.update(|record| record.status = Some(parts.status.as_u16()));
        let stream = policy.masker.stream();
        if !policy.masker.is_idle() {
            mask_headers(&mut parts.headers, &policy.masker);
            // A masked body has another length.
            parts.headers.remove(CONTENT_LENGTH);
        }
        let body = body::Incoming::new(
            incoming,
            stream,
            self.capped(),
            Arc::clone(record),
            options.between_bytes_timeout,
        );
        // Kept until the answer has been read; dropping it ends the connection.
        Ok((Response::from_parts(parts, body.boxed_unsync()), Box::new(drive)))
    }

    /// Whether a request is granted, and what it may take along.
    fn decide(&self, parts: &Parts) -> Result<Allowed<'_>, Denial> {
        let authority = parts.uri.authority().map_or("", |authority| authority.as_str());
        let wanted = Wanted {
            method: parts.method.as_str(),
            scheme: parts.uri.scheme_str().unwrap_or_default(),
            authority,
            path_and_query: parts.uri.path_and_query().map_or("", |path| path.as_str()),
        };
        let grants = &self.policy.grants.network;
        let decided = allow(grants, &wanted).and_then(|allowed| {
            let others =
                parts.headers.get_all(HOST).iter().any(|host| host.as_bytes() != authority.as_bytes());
            if others { Err(Refusal::Malformed("the Host header names another host")) } else { Ok(allowed) }
        });
        decided.map_err(|refusal| {
            let what = format!("{} {}: {refusal}", parts.method, parts.uri);
            self.denial(what, NetworkGrant::missing(grants, &wanted, &refusal))
        })
    }

    /// A denial, with the lines of agent.toml that grant what is missing.
    fn denial(&self, what: String, missing: Option<NetworkGrant>) -> Denial {
        let grant = missing.map(|grant| grant.in_toml(&self.policy.tool)).unwrap_or_default();
        Denial { what, grant, remedy: Remedy::Add }
    }

    fn private_denial(&self, method: &Method, allowed: &Allowed<'_>, refused: &connect::Private) -> Denial {
        let connect::Private { address, kind } = refused;
        let what = format!(
            "{}://{}: it leads to {address}, a {kind} address",
            allowed.scheme.as_str(),
            allowed.authority()
        );
        let (methods, secrets) = (vec![method.to_string()], Vec::new());
        let missing = |site| NetworkGrant { site, methods, secrets, allow_private: true };
        self.denial(what, allowed.site().parse().ok().map(missing))
    }

    /// Swaps placeholders for what is granted for this site, in headers, query and body.
    async fn with_secrets(
        &self,
        parts: &mut Parts,
        body: Outgoing,
        allowed: &Allowed<'_>,
        record: &Arc<RequestRecord>,
    ) -> Result<WasiBody, Error> {
        let (placeholders, granted, secrets) = (&self.placeholders, &allowed.secrets, &self.policy.secrets);
        let said: Vec<&[u8]> =
            std::iter::once(parts.uri.path_and_query().map_or(&b""[..], |it| it.as_str().as_bytes()))
                .chain(parts.headers.values().map(HeaderValue::as_bytes))
                .collect();
        for name in said.iter().flat_map(|text| placeholders.strayed(text, granted)) {
            let site = format!("{}://{}", allowed.scheme.as_str(), allowed.authority());
            let what = format!(
                "the secret {name} for {site}, which it is not granted for; the placeholder was sent"
            );
            let (methods, secrets) = (vec![parts.method.to_string()], vec![name.to_owned()]);
            let allow_private = allowed.allow_private;
            let missing = |site| NetworkGrant { site, methods, secrets, allow_private };
            self.record.deny(self.denial(what, allowed.site().parse().ok().map(missing)));
        }
        let path = swapped_query(parts.uri.path_and_query().map_or("/", |it| it.as_str()), |query| {
            placeholders.swap(query, granted, secrets, Within::Query).into_owned()
        });
        // Origin form: what is addressed stands in the Host header, not in the request line.
        parts.uri = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;
        if granted.is_empty() {
            return Ok(body.boxed_unsync());
        }
        for value in parts.headers.values_mut() {
            let swapped = placeholders.swap_header(value.as_bytes(), granted, secrets);
            *value = header(&swapped)?;
        }
        // What comes back compressed could not be searched for secrets.
        parts.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let whole = body.collect().await.map_err(|_| {
            self.record.exceed(Limit::HttpBody);
            // It was gathered here, and nothing of it went out.
            record.update(|record| record.sent_bytes = 0);
            Error::HttpRequestBodySize(Some(self.policy.limits.http_body_bytes_max))
        })?;
        let whole = whole.to_bytes();
        let swapped =
            Bytes::from(placeholders.swap(&whole, granted, secrets, within(&parts.headers)).into_owned());
        record.update(|record| record.sent_bytes = swapped.len() as u64);
        if parts.headers.contains_key(CONTENT_LENGTH) {
            parts.headers.insert(CONTENT_LENGTH, swapped.len().into());
        }
        Ok(Full::new(swapped).map_err(Error::from).boxed_unsync())
    }

    fn capped(&self) -> body::Cap {
        body::Cap::new(self.policy.limits.http_body_bytes_max, self.record.clone())
    }
}

/// The path and query with the query changed.
fn swapped_query(path_and_query: &str, swap: impl Fn(&[u8]) -> Vec<u8>) -> String {
    match path_and_query.split_once('?') {
        Some((path, query)) => format!("{path}?{}", String::from_utf8_lossy(&swap(query.as_bytes()))),
        None => path_and_query.to_owned(),
    }
}

/// How a value is written in a body of this type.
fn within(headers: &HeaderMap) -> Within {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "application/json" || kind.ends_with("+json") {
        Within::Json
    } else if kind == "application/x-www-form-urlencoded" {
        Within::Query
    } else {
        Within::Plain
    }
}

fn mask_headers(headers: &mut HeaderMap, masker: &crate::grants::Masker) {
    for value in headers.values_mut() {
        let text = String::from_utf8_lossy(value.as_bytes());
        let shown = masker.text(&text);
        if shown != text {
            // A label is plain ASCII, so this fails for no header that came in.
            *value =
                HeaderValue::from_bytes(shown.as_bytes()).unwrap_or(HeaderValue::from_static("[secret]"));
        }
    }
}

/// A header that carries a secret never shows in `Debug` output.
fn header(value: &[u8]) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_bytes(value).map_err(|_| Error::HttpProtocolError)?;
    value.set_sensitive(true);
    Ok(value)
}
