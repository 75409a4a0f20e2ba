//! Sends HTTP requests: to the hosts, with the methods and with the secrets that agent.toml grants it, and
//! nowhere else. It has no list of its own; the host decides on each request.

#[tool_sdk::component]
mod fetch {
    use std::collections::BTreeMap;

    use htmd::HtmlToMarkdown;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use tool_sdk::ToolError;
    use wstd::http::error::ErrorCode;
    use wstd::http::{Body, Client, Error};

    /// The request to send.
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Request {
        /// The absolute URL, such as `https://api.github.com/zen`.
        url: String,
        /// The method; GET if none is given.
        #[serde(default)]
        method: Method,
        /// Headers by name. `${NAME}` in a value stands for the secret NAME, as in `Bearer ${GITHUB_TOKEN}`.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// The body, as text.
        #[serde(default)]
        body: String,
        /// Whether a page in HTML is given as it came. Otherwise it is given as Markdown, which is shorter and says the
        /// same to a reader.
        #[serde(default)]
        raw: bool,
    }

    /// An HTTP method.
    #[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
    #[serde(rename_all = "UPPERCASE")]
    pub enum Method {
        #[default]
        Get,
        Head,
        Post,
        Put,
        Patch,
        Delete,
    }

    /// What came back.
    #[derive(Serialize, JsonSchema)]
    pub struct Response {
        status: u16,
        #[serde(skip_serializing_if = "Option::is_none")]
        content_type: Option<String>,
        /// Where a redirect leads. It is not followed.
        #[serde(skip_serializing_if = "Option::is_none")]
        location: Option<String>,
        /// Whether `body` is Markdown that was made of HTML.
        #[serde(skip_serializing_if = "is_false")]
        is_markdown: bool,
        body: String,
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
    fn is_false(value: &bool) -> bool {
        !value
    }

    /// Sends one HTTP request and returns the response: status, content type and body as text. A page in HTML comes as
    /// Markdown, unless `raw` is true. Redirects are not followed; send another request to the location if it is wanted.
    /// Only some sites are allowed.
    pub fn fetch(request: Request) -> Result<Response, ToolError> {
        let mut head = wstd::http::Request::builder().method(name(request.method)).uri(&request.url);
        for (name, value) in &request.headers {
            head = head.header(name, filled(value, |name| std::env::var(name).ok())?);
        }
        let wanted = head
            .body(Body::from(request.body))
            .map_err(|error| ToolError::InvalidInput(format!("this is not a request: {error}")))?;
        wstd::runtime::block_on(async {
            let mut response = Client::new().send(wanted).await.map_err(|error| failure(&error))?;
            let header = |name| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
            let (content_type, location) = (header("content-type"), header("location"));
            let status = response.status().as_u16();
            let body = response.body_mut().contents().await.map_err(|error| failure(&error))?;
            let body = std::str::from_utf8(body).map_err(|_| {
                let kind = content_type.as_deref().unwrap_or("an unnamed type");
                ToolError::Failed(format!("the body is {} bytes of {kind}, which is not text", body.len()))
            })?;
            let is_markdown = !request.raw && content_type.as_deref().is_some_and(is_html);
            let body = if is_markdown { markdown(body)? } else { body.to_owned() };
            Ok(Response { status, content_type, location, is_markdown, body })
        })
    }

    fn is_html(content_type: &str) -> bool {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml")
    }

    /// A page as Markdown, without what a reader does not see.
    fn markdown(html: &str) -> Result<String, ToolError> {
        let converter =
            HtmlToMarkdown::builder().skip_tags(vec!["script", "style", "noscript", "template", "svg"]);
        converter
            .build()
            .convert(html)
            .map_err(|error| ToolError::Failed(format!("the page is no HTML ({error}); ask with raw = true")))
    }

    fn name(method: Method) -> &'static str {
        match method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    /// A header's value with secrets for their names. What a secret looks like here is up to the host: it is a
    /// placeholder, which becomes the secret on the way to a site that it is granted for.
    fn filled(value: &str, secret: impl Fn(&str) -> Option<String>) -> Result<String, ToolError> {
        let mut parts = value.split("${");
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part
                .split_once('}')
                .ok_or_else(|| ToolError::invalid_input(format!("there is no }} after ${{ in {value:?}")))?;
            filled += &secret(name).ok_or_else(|| {
                ToolError::invalid_input(format!("no secret {name:?} is granted to this tool"))
            })?;
            filled += rest;
        }
        Ok(filled)
    }

    fn failure(error: &Error) -> ToolError {
        let Some(code) = error.downcast_ref::<ErrorCode>() else {
            return ToolError::Failed(format!("{error:#}"));
        };
        match code {
            ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => ToolError::failed(
                "this tool may not send this request; whoever runs the agent decides where it may send one",
            ),
            ErrorCode::DnsTimeout
            | ErrorCode::DestinationUnavailable
            | ErrorCode::ConnectionRefused
            | ErrorCode::ConnectionTerminated
            | ErrorCode::ConnectionTimeout
            | ErrorCode::ConnectionReadTimeout
            | ErrorCode::ConnectionWriteTimeout
            | ErrorCode::HttpResponseTimeout
            | ErrorCode::HttpResponseIncomplete => {
                ToolError::transient(format!("the request failed: {code:?}"))
            }
            _ => ToolError::failed(format!("the request failed: {code:?}")),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_page_is_what_a_reader_sees_of_it() {
            let html = "<html><head><title>T</title><style>p { color: red }</style></head><body><script>x()</script>\
                        <h1>Head</h1><p>Some <b>bold</b> <a href=\"/there\">words</a>.</p>\
                        <ul><li>one<li>two</ul><table><tr><th>a<th>b<tr><td>1<td>2</table>";
            let text = markdown(html).unwrap_or_default();
            for part in ["# Head", "Some **bold** [words](/there).", "one", "| a | b |", "| 1 | 2 |"] {
                assert!(text.contains(part), "{part}: {text}");
            }
            assert!(!text.contains("x()") && !text.contains("color"), "{text}");
            for kind in ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"] {
                assert!(is_html(kind), "{kind}");
            }
            assert!(!is_html("text/plain; a=text/html"));
        }

        #[test]
        fn secrets_are_named_between_braces() {
            let fill = |value| filled(value, |name| (name == "KEY").then(|| "k".to_owned()));
            assert_eq!(fill("plain $KEY"), Ok("plain $KEY".to_owned()));
            assert_eq!(fill("Bearer ${KEY}; ${KEY}."), Ok("Bearer k; k.".to_owned()));
            assert!(matches!(fill("${OTHER}"), Err(ToolError::InvalidInput(said)) if said.contains("OTHER")));
            assert!(matches!(fill("${KEY"), Err(ToolError::InvalidInput(_))));
        }
    }
}
