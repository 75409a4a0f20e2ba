//! A service that knows nothing of this host: it answers HTTP requests, has settings, and logs. The tests call it.

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    missing_docs,
    dead_code,
    reason = "they are generated"
)]
mod bindings;

use bindings::wasi::config::store;
use bindings::wasi::logging::logging::{Level, log};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Service;

wasip2::http::proxy::export!(Service);

impl Guest for Service {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        match path {
            "/echo" => {
                let text = format!("{:?} {}", request.method(), request.authority().unwrap_or_default());
                let of_caller = request.headers().get("x-caller").pop().unwrap_or_default();
                let mut body = body_of(&request);
                body.extend_from_slice(text.as_bytes());
                respond(out, 200, &[("x-caller", &of_caller), ("x-two", b"1"), ("x-two", b"2")], &body);
            }
            "/setting" => match store::get(query) {
                Ok(Some(value)) => respond(out, 200, &[], value.as_bytes()),
                Ok(None) | Err(_) => respond(out, 404, &[], b""),
            },
            "/settings" => {
                let all = store::get_all().unwrap_or_default();
                let lines: Vec<String> =
                    all.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
                respond(out, 200, &[], lines.join("\n").as_bytes());
            }
            "/log" => {
                log(Level::Critical, "service", "it is logged");
                log(Level::Debug, "", "and this");
                respond(out, 204, &[], b"");
            }
            "/bytes" => respond(out, 200, &[], &[0xff, 0xfe]),
            "/error" => {
                ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some("on purpose".to_owned()))));
            }
            "/nothing" => {}
            "/kept" => std::mem::forget(out),
            "/unfinished" => {
                let response = OutgoingResponse::new(Fields::new());
                let body = response.body();
                ResponseOutparam::set(out, Ok(response));
                std::mem::forget(body);
            }
            "/flood" => respond(out, 200, &[], &vec![b'x'; 4 << 20]),
            "/panic" => panic!("nobody expected this"),
            _ => respond(out, 404, &[], b"there is nothing"),
        }
    }
}

fn body_of(request: &IncomingRequest) -> Vec<u8> {
    let Ok(body) = request.consume() else { return Vec::new() };
    let Ok(stream) = body.stream() else { return Vec::new() };
    let mut bytes = Vec::new();
    while let Ok(more) = stream.blocking_read(64 * 1024) {
        bytes.extend(more);
    }
    bytes
}

fn respond(out: ResponseOutparam, status: u16, headers: &[(&str, &[u8])], bytes: &[u8]) {
    let fields = Fields::new();
    for (name, value) in headers {
        let _ = fields.append(name, value);
    }
    let response = OutgoingResponse::new(fields);
    let _ = response.set_status_code(status);
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    if let Ok(stream) = body.write() {
        for chunk in bytes.chunks(4096) {
            if stream.blocking_write_and_flush(chunk).is_err() {
                return;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}
