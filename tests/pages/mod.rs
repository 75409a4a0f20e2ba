//! The pages of `host serve` and of `host ui`, and the file that a run is shared as.

mod browser;
mod clicking;
mod drawn;
mod letting_in;

use crate::serve::server::{Answer, Server};

/// What a browser keeps of an answer, to send it along.
pub fn cookie(answer: &Answer) -> String {
    let line = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    line.split(';').next().unwrap().to_owned()
}

/// The second secret that stands in the forms of a page.
pub fn csrf(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap_or_else(|| panic!("no form in {page}"));
    rest.split('"').next().unwrap().to_owned()
}

/// Sends a form as a browser does.
pub fn fill(server: &Server, path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let mut request = format!("POST {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", server.address());
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = body.len();
    request.push_str(&format!(
        "content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n{body}"
    ));
    server.send(request.as_bytes())
}
