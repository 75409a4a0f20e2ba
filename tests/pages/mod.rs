//! The pages of `host serve` and of `host ui`, and the file that a run is shared as.

mod browser;
mod clicking;
mod deciding;
mod drawn;
mod letting_in;
mod pictures;

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
    let mut head = vec![format!("POST {path} HTTP/1.1"), format!("host: {}", server.address())];
    head.push("connection: close".to_owned());
    head.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
    head.push("content-type: application/x-www-form-urlencoded".to_owned());
    head.push(format!("content-length: {}", body.len()));
    let request = format!("{}\r\n\r\n{body}", head.join("\r\n"));
    server.send(request.as_bytes())
}
