//! A component that answers HTTP requests, `wasi:http/incoming-handler`: a tool that takes a request and gives the
//! response. Nothing is listened to: the request comes from the call alone.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, Error, WasiHttpView as _};

use super::guest::table;
use super::prepared::ToolDefinition;
use super::state::{Policy, State};
use super::verdict;
use crate::grants::{Limit, METHODS};
use crate::message::{ErrorKind, Json, ToolOutcome};

/// What such a component exports, without the version.
pub(super) const HANDLER: &str = "wasi:http/incoming-handler";

/// Whom the request is for, as far as the component can see. It is nobody's address.
const AUTHORITY: &str = "localhost";

/// The request, as the model says it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

/// The response, as the model reads it.
#[derive(Debug, Serialize)]
struct Answered {
    status: u16,
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

/// The tool that a handler is.
pub(super) fn definition(policy: &Policy) -> ToolDefinition {
    let input = serde_json::json!({
        "type": "object",
        "properties": {
            "method": { "type": "string", "enum": METHODS, "description": "GET if there is none." },
            "path": { "type": "string", "pattern": "^/", "description": "The path, with its query; / if there is none." },
            "headers": { "type": "object", "additionalProperties": { "type": "string" } },
            "body": { "type": "string" },
        },
        "additionalProperties": false,
    });
    let output = serde_json::json!({
        "type": "object",
        "properties": {
            "status": { "type": "integer" },
            "headers": { "type": "object", "additionalProperties": { "type": "string" } },
            "body": { "type": "string" },
            "body_base64": { "type": "string", "contentEncoding": "base64", "description": "A body that is no text." },
        },
        "required": ["status", "headers"],
    });
    ToolDefinition {
        name: policy.tool.clone(),
        export: HANDLER.to_owned(),
        description: format!("Answers an HTTP request as the service `{}` does.", policy.tool),
        input_schema: Json::canonical(&input).as_str().to_owned(),
        output_schema: Some(Json::canonical(&output).as_str().to_owned()),
    }
}

/// Has the component answer one request.
pub(super) async fn answer(
    pre: &ProxyPre<State>,
    store: &mut Store<State>,
    input: &Json,
) -> wasmtime::Result<ToolOutcome> {
    let request = match request(input) {
        Ok(request) => request,
        Err(why) => return Ok(ToolOutcome::error(ErrorKind::InvalidInput, why)),
    };
    let proxy = pre.instantiate_async(&mut *store).await?;
    let (sender, receiver) = oneshot::channel();
    let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
    let out = store.data_mut().http().new_response_outparam(sender)?;
    let bytes_max = store.data().policy.limits.output_bytes_max;
    let record = store.data().record.clone();
    let call = async {
        let called = proxy.wasi_http_incoming_handler().call_handle(&mut *store, request, out).await;
        // What the component still holds of the response, nobody finishes any more: it would be waited for.
        store.data_mut().table = table();
        called
    };
    let (called, answered) = futures::join!(call, read(receiver, bytes_max));
    called?;
    let limits = &store.data().policy.limits;
    Ok(match answered {
        Ok(answered) => match serde_json::to_string(&answered) {
            Ok(json) => verdict::written(json, limits),
            Err(error) => ToolOutcome::error(ErrorKind::InvalidOutput, error.to_string()),
        },
        Err(Unanswered::TooLong) => {
            record.exceed(Limit::Output);
            verdict::limited(Limit::Output, limits)
        }
        Err(unanswered) => verdict::failed(unanswered.to_string()),
    })
}

fn request(input: &Json) -> Result<Request<Full<Bytes>>, String> {
    let Asked { method, path, headers, body } =
        serde_json::from_str(input.as_str()).map_err(|error| format!("the input is no request: {error}"))?;
    let method = method.as_deref().unwrap_or("GET");
    let method = METHODS.contains(&method).then(|| Method::from_bytes(method.as_bytes()).ok()).flatten();
    let method = method.ok_or_else(|| format!("`method` is none of {}", METHODS.join(", ")))?;
    let path = path.as_deref().unwrap_or("/");
    if !path.starts_with('/') {
        return Err("`path` does not begin with /".to_owned());
    }
    let mut request = Request::builder().method(method).uri(format!("http://{AUTHORITY}{path}"));
    for (name, value) in headers {
        let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no header"))?;
        if DEFAULT_FORBIDDEN_HEADERS.contains(&known) {
            return Err(format!("the header `{name}` is about a connection, and there is none"));
        }
        let value = HeaderValue::from_str(&value)
            .map_err(|_| format!("the header `{name}` cannot have this value"))?;
        request = request.header(known, value);
    }
    request.body(Full::new(Bytes::from(body))).map_err(|error| format!("the input is no request: {error}"))
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("the component gave no response")]
    NoResponse,
    #[error("the component gave an error instead of a response: {0}")]
    Error(ErrorCode),
    #[error("the component did not finish its response: {0}")]
    Unfinished(Error),
    #[error("the response is too long")]
    TooLong,
}

/// Reads the response while the component makes it.
async fn read(
    response: oneshot::Receiver<Result<Response<HyperOutgoingBody>, ErrorCode>>,
    bytes_max: u64,
) -> Result<Answered, Unanswered> {
    let response = response.await.map_err(|_| Unanswered::NoResponse)?.map_err(Unanswered::Error)?;
    let (head, mut body) = response.into_parts();
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let all = headers.entry(name.as_str().to_owned()).or_default();
        *all = if all.is_empty() { value.into_owned() } else { format!("{all}, {value}") };
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Unanswered::Unfinished)?.into_data() else { continue };
        if (bytes.len() + data.len()) as u64 > bytes_max {
            return Err(Unanswered::TooLong);
        }
        bytes.extend_from_slice(&data);
    }
    let (body, body_base64) = match String::from_utf8(bytes) {
        Ok(text) => ((!text.is_empty()).then_some(text), None),
        Err(error) => (None, Some(BASE64_STANDARD.encode(error.as_bytes()))),
    };
    Ok(Answered { status: head.status.as_u16(), headers, body, body_base64 })
}
