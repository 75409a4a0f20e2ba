//! Sends HTTP requests: to the hosts, with the methods and with the secrets that agent.toml grants it, and
//! nowhere else. It has no list of its own; the host decides on each request.

#[tool_sdk::component]
mod fetch {
    use std::collections::BTreeMap;

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
        body: String,
    }

    /// Sends one HTTP request and returns the response: status, content type and body as text. Redirects are
    /// not followed; send another request to the location if it is wanted. Only some sites are allowed.
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
            Ok(Response { status, body: body.to_owned(), content_type, location })
        })
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
                "this tool may not send this request; whoever runs the agent decides where it may",
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
        fn secrets_are_named_between_braces() {
            let fill = |value| filled(value, |name| (name == "KEY").then(|| "k".to_owned()));
            assert_eq!(fill("plain $KEY"), Ok("plain $KEY".to_owned()));
            assert_eq!(fill("Bearer ${KEY}; ${KEY}."), Ok("Bearer k; k.".to_owned()));
            assert!(matches!(fill("${OTHER}"), Err(ToolError::InvalidInput(said)) if said.contains("OTHER")));
            assert!(matches!(fill("${KEY"), Err(ToolError::InvalidInput(_))));
        }
    }
}
