//! Puts more headers into a request than the host's own map holds.

use wasip2::http::types::Fields;

attack::attack!(|_| {
    let headers = Fields::new();
    for n in 0..100_000_u32 {
        if let Err(error) = headers.append(&format!("x-{n}"), b"v") {
            return Err(format!("denied after {n}: {error:?}"));
        }
    }
    Ok(attack::breach("100,000 headers"))
});
