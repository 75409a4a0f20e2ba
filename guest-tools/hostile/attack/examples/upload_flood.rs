//! Sends a body without end.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, Method, OutgoingRequest, Scheme};

attack::attack!(|input| {
    let request = OutgoingRequest::new(Fields::new());
    let authority = attack::text(input, "authority");
    let _ = request.set_method(&Method::Post);
    let _ = request.set_scheme(Some(&Scheme::Http));
    let _ = request.set_authority(Some(authority));
    let _ = request.set_path_with_query(Some(attack::text(input, "path")));
    let body = request.body().map_err(|()| "no body")?;
    let _answer = outgoing_handler::handle(request, None).map_err(|error| format!("denied: {error:?}"))?;
    let stream = body.write().map_err(|()| "no stream")?;
    loop {
        stream.blocking_write_and_flush(&[b'x'; 4096]).map_err(|error| format!("denied: {error:?}"))?;
    }
});
