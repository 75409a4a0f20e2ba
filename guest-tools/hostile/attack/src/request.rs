//! Requests over `wasi:http`, with nothing tidied up on the way.

use serde_json::Value;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingBody, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

use crate::text;

/// A response: its status, how many bytes its body had, and the first of them.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The `Location` header, if there is one.
    pub location: Option<String>,
    /// Bytes of the body.
    pub bytes: usize,
    /// The beginning of the body.
    pub body: String,
}

/// Sends what the input says: `method`, `url`, `headers` (an object) and `body`. In each of them `{SECRET}`
/// stands for the environment variable of that name, and `{KEY}` for the call's idempotency key.
pub fn send(input: &Value) -> Result<Answer, String> {
    let filled = |text: &str| {
        let secret = std::env::var("SECRET").unwrap_or_else(|_| "{SECRET}".to_owned());
        let key = || crate::bindings::host::tool::context::current().idempotency_key;
        let text = text.replace("{SECRET}", &secret);
        if text.contains("{KEY}") { text.replace("{KEY}", &key()) } else { text }
    };
    let headers = Fields::new();
    for (name, value) in input.get("headers").and_then(Value::as_object).into_iter().flatten() {
        let value = filled(value.as_str().unwrap_or_default());
        headers
            .append(name, value.as_bytes())
            .map_err(|error| format!("denied: header {name}: {error:?}"))?;
    }
    let url = filled(text(input, "url"));
    let (scheme, rest) = url.split_once("://").ok_or("the url has no scheme")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let request = OutgoingRequest::new(headers);
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let method = match text(input, "method") {
        "" | "GET" => Method::Get,
        "POST" => Method::Post,
        "CONNECT" => Method::Connect,
        other => Method::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(|()| "denied: method")?;
    request.set_scheme(Some(&scheme)).map_err(|()| "denied: scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "denied: authority")?;
    let path = input.get("path").and_then(Value::as_str).unwrap_or(path);
    request.set_path_with_query(Some(path)).map_err(|()| "denied: path")?;
    let body = request.body().map_err(|()| "no body")?;
    let answer = outgoing_handler::handle(request, None).map_err(|error| format!("denied: {error:?}"))?;
    write(&body, filled(text(input, "body")).as_bytes())?;
    OutgoingBody::finish(body, None).map_err(|error| format!("denied: {error:?}"))?;
    answer.subscribe().block();
    let response = answer.get().ok_or("no answer")?.map_err(|()| "taken twice")?;
    let response = response.map_err(|error| format!("denied: {error:?}"))?;
    let location =
        response.headers().get("location").first().map(|it| String::from_utf8_lossy(it).into_owned());
    let status = response.status();
    let (bytes, body) = read(&response.consume().map_err(|()| "no body")?)?;
    Ok(Answer { status, location, bytes, body })
}

/// Writes a body, as far as it is taken.
pub fn write(body: &OutgoingBody, bytes: &[u8]) -> Result<(), String> {
    let stream = body.write().map_err(|()| "no stream")?;
    for chunk in bytes.chunks(4096) {
        stream.blocking_write_and_flush(chunk).map_err(|error| format!("denied: {error:?}"))?;
    }
    Ok(())
}

/// Reads a body to its end, and keeps its beginning.
fn read(body: &IncomingBody) -> Result<(usize, String), String> {
    const KEPT: usize = 2000;
    let stream = body.stream().map_err(|()| "no stream")?;
    let (mut bytes, mut kept) = (0, Vec::new());
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(chunk) => {
                bytes += chunk.len();
                kept.extend(chunk.iter().take(KEPT.saturating_sub(kept.len())));
            }
            Err(StreamError::Closed) => return Ok((bytes, String::from_utf8_lossy(&kept).into_owned())),
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(format!("denied after {bytes} bytes: {}", error.to_debug_string()));
            }
        }
    }
}
