//! How a provider is reached: headers, addresses with a query, proxies, redirects, and how long it is waited for.

use std::time::Duration;

use host::config::{Connection, Header, HeaderText, Proxy, RemoteConfig};
use host::grants::SecretSource;
use host::message::{Message, ModelFailure};
use host::model::{ModelError, connect};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use wiremock::ResponseTemplate;

use super::chat::completion;
use super::{ANTHROPIC, CHAT, GEMINI, KEY, Server, api, ask, config, header, no_rules, whole};
use crate::secure::Secure;
use crate::support::{Agent, Ran};

fn ok() -> ResponseTemplate {
    whole(&completion(r#"{"content":"ok"}"#, "stop"))
}

async fn asked(remote: RemoteConfig) -> Result<(), ModelError> {
    let messages = [Message::User("hi".into())];
    connect(&config(remote))?.ask(&ask(&messages, &[])).await.map(drop)
}

fn secret(dir: &tempfile::TempDir, value: &str) -> SecretSource {
    let file = dir.path().join("secret");
    std::fs::write(&file, format!("{value}\n")).unwrap();
    SecretSource::File(file)
}

#[tokio::test]
async fn headers_go_along_with_every_request_and_replace_the_hosts_own() {
    let dir = tempfile::tempdir().unwrap();
    let source = secret(&dir, KEY);
    let header_of = |name: &str, value: HeaderText| Header { name: name.into(), value };
    let bearer = HeaderText::Secret { prefix: "Bearer ".into(), source: source.clone() };
    let plain = HeaderText::Plain("my agent".into());
    let headers = vec![header_of("x-title", plain), header_of("authorization", bearer)];
    let connection = Connection { headers, ..Connection::default() };
    for provider in [CHAT, ANTHROPIC] {
        let server = Server::start(no_rules, vec![ok()]).await;
        let remote = RemoteConfig {
            connection: connection.clone(),
            ..RemoteConfig::new(api(provider), "m", &server.uri())
        };
        let _ = asked(remote).await;
        let sent = server.server.received_requests().await.unwrap().remove(0);
        assert_eq!(header(&sent, "x-title"), "my agent");
        assert_eq!(header(&sent, "authorization"), format!("Bearer {KEY}"));
        assert!(!sent.headers.contains_key("x-api-key"), "an empty key is none");
    }
    // A server that repeats it does not make it known.
    let refuses =
        ResponseTemplate::new(400).set_body_json(json!({"error": {"message": format!("bad {KEY}")}}));
    let server = Server::start(no_rules, vec![refuses]).await;
    let error = asked(RemoteConfig { connection, ..RemoteConfig::new(api(CHAT), "m", &server.uri()) }).await;
    let said = format!("{:?}", error.unwrap_err());
    assert!(said.contains("bad [API key]") && !said.contains(KEY), "{said}");
}

#[test]
fn a_header_whose_value_is_not_there_is_named() {
    let source = SecretSource::Env("HOST_TEST_NO_SUCH_VARIABLE".into());
    let headers =
        vec![Header { name: "api-key".into(), value: HeaderText::Secret { prefix: String::new(), source } }];
    let connection = Connection { headers, ..Connection::default() };
    let remote = RemoteConfig { connection, ..RemoteConfig::new(api(CHAT), "m", "http://127.0.0.1:1") };
    let Err(error @ ModelError::Secret { .. }) = connect(&config(remote)) else { panic!("it connects") };
    let said = error.to_string();
    assert!(said.contains("HOST_TEST_NO_SUCH_VARIABLE is not set") && said.contains("`api-key`"), "{said}");
}

#[tokio::test]
async fn the_query_of_an_address_comes_after_the_path() {
    let server = Server::start(no_rules, vec![ok()]).await;
    let deployment = format!("{}/openai/deployments/gpt?api-version=2024-10-21", server.uri());
    asked(RemoteConfig::new(api(CHAT), "m", &deployment)).await.unwrap();
    let stream = RemoteConfig {
        stream: true,
        ..RemoteConfig::new(api(GEMINI), "g", &format!("{}?a=b", server.uri()))
    };
    let _ = asked(stream).await;
    let sent = server.server.received_requests().await.unwrap();
    assert_eq!(sent[0].url.path(), "/openai/deployments/gpt/chat/completions");
    assert_eq!(sent[0].url.query(), Some("api-version=2024-10-21"));
    assert_eq!(sent[1].url.query(), Some("alt=sse&a=b"));
}

#[tokio::test]
async fn a_redirect_says_where_to_and_what_to_write() {
    for (location, said) in [
        ("/v2/chat/completions", "base_url = \\\"ADDRESS/v2\\\""),
        ("https://new.example.com/v1/chat/completions?x=1", "base_url = \\\"https://new.example.com/v1\\\""),
        (
            "https://login.example.com/",
            "it sends requests on to https://login.example.com/; `base_url` in [model]",
        ),
    ] {
        let redirect = ResponseTemplate::new(308).insert_header("location", location);
        let server = Server::start(no_rules, vec![redirect]).await;
        let error =
            asked(RemoteConfig::new(api(CHAT), "m", &format!("{}/v1", server.uri()))).await.unwrap_err();
        assert!(
            !ModelFailure::from(
                asked(RemoteConfig::new(api(CHAT), "m", &format!("{}/v1", server.uri()))).await.unwrap_err()
            )
            .may_pass
        );
        let text = error.to_string().replace('"', "\\\"");
        assert!(text.contains("308") && text.contains(&said.replace("ADDRESS", &server.uri())), "{text}");
    }
}

/// A proxy that answers every request in the same way.
async fn proxy(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = socket.read(&mut request).await.unwrap();
        socket.write_all(answer.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    (address, asked)
}

fn through(proxy: &str, base_url: &str) -> RemoteConfig {
    let proxy = Proxy::At(proxy.parse().unwrap());
    let connection = Connection { proxy, ..Connection::default() };
    RemoteConfig { connection, ..RemoteConfig::new(api(CHAT), "m", base_url) }
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_and_not_the_server() {
    const NO: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 9\r\n\r\nnot there";
    const PASSWORD: &str = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
    for (answer, base_url, said, passes) in [
        (NO, "https://api.example.com/v1", "unsuccessful", true),
        (PASSWORD, "https://api.example.com/v1", "authorization required", false),
        (NO, "http://api.example.com/v1", "HTTP 403", false),
        (PASSWORD, "http://api.example.com/v1", "HTTP 407", false),
    ] {
        let (address, request) = proxy(answer).await;
        let error = asked(through(&address, base_url)).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("cannot reach {base_url} through the proxy {address}")), "{text}");
        assert!(text.contains(said), "{text}");
        assert!(matches!(error, ModelError::Proxy { .. }));
        assert_eq!(ModelFailure::from(error).may_pass, passes, "{text}");
        let request = request.await.unwrap();
        let begins =
            if base_url.starts_with("https") { "CONNECT api.example.com:443 " } else { "POST http://api." };
        assert!(request.starts_with(begins), "{request}");
    }
    // One that is down.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let down = format!("http://127.0.0.1:{port}");
    let text = asked(through(&down, "https://api.example.com/v1")).await.unwrap_err().to_string();
    assert!(text.contains(&format!("through the proxy {down}")) && text.contains("refused"), "{text}");
}

#[tokio::test]
async fn how_long_is_waited_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = socket.read(&mut request).await.unwrap();
            if String::from_utf8_lossy(&request[..length]).contains("\"stream\":true") {
                let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: wait\n\n";
                socket.write_all(head).await.unwrap();
            }
            open.push(socket);
        }
    });
    let connection = Connection {
        timeout: Duration::from_millis(70),
        idle_timeout: Duration::from_millis(30),
        ..Connection::default()
    };
    let whole = RemoteConfig { connection, ..RemoteConfig::new(api(CHAT), "m", &base) };
    let said = asked(whole.clone()).await.unwrap_err().to_string();
    assert!(said.contains("nothing, or no end of it, within 70ms, the `timeout`"), "{said}");
    let connection = Connection { timeout: Duration::from_mins(5), ..whole.connection.clone() };
    let streamed = RemoteConfig { stream: true, connection, ..whole };
    let said = asked(streamed).await.unwrap_err().to_string();
    assert!(said.contains("nothing more of it for 30ms, the `idle_timeout`"), "{said}");
    server.abort();
}

/// A server that answers every request with this head, and then with these pieces again and again, without an end.
async fn dripping(
    head: &'static str,
    pieces: &'static [&'static str],
) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 8192]).await.unwrap();
        let _ = socket.write_all(head.as_bytes()).await;
        for piece in pieces.iter().cycle() {
            if socket.write_all(piece.as_bytes()).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    (base, server)
}

const BEGUN: &str = "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"So\"}}]}\n\n";

#[tokio::test]
async fn an_answer_that_never_ends_is_not_waited_for_whatever_comes_of_it() {
    const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    const BEGINS: &str = concat!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
        "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"So\"}}]}\n\n"
    );
    const WHOLE: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
    const FAILED: &str = "HTTP/1.1 503 Busy\r\ncontent-type: application/json\r\n\r\n";
    let ms = Duration::from_millis;
    let never = Duration::from_hours(1);
    for (head, pieces, timeout, idle_timeout, said) in [
        (EVENTS, &[": still there\n\n"][..], never, ms(50), "nothing more of it for 50ms"),
        (EVENTS, &[": still there\n\n"], ms(60), never, "nothing, or no end of it, within 60ms"),
        (EVENTS, &["x"], never, ms(50), "nothing more of it for 50ms"),
        (BEGINS, &["data: : ping\n\n", "\n"], never, ms(50), "nothing more of it for 50ms"),
        (
            BEGINS,
            &["event: ping\ndata: {\"type\":\"ping\"}\n\n"],
            never,
            ms(50),
            "nothing more of it for 50ms",
        ),
        (EVENTS, &[BEGUN], never, ms(50), "nothing more of it for 50ms"),
        (WHOLE, &[" "], ms(60), never, "nothing, or no end of it, within 60ms"),
        (FAILED, &[" "], ms(60), never, "answered HTTP 503"),
    ] {
        let (base, server) = dripping(head, pieces).await;
        let connection = Connection { timeout, idle_timeout, ..Connection::default() };
        let remote = RemoteConfig { stream: true, connection, ..RemoteConfig::new(api(CHAT), "m", &base) };
        let error = asked(remote).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(said) && !text.contains("cannot reach"), "{pieces:?}: {text}");
        assert!(ModelFailure::from(error).may_pass);
        server.abort();
    }
}

/// The binary itself, with what the environment and agent.toml say.
#[test]
fn an_agent_goes_through_the_proxy_of_its_environment_or_of_its_own() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    // A server that takes requests for every address, as a proxy of HTTP does.
    let server = runtime.block_on(Server::start(no_rules, vec![ok()]));
    let agent = |more: &str| {
        Agent::raw(&format!(
            "version = 1\n[agent]\nprompt = \"go on\"\n[model]\nprovider = \"openai\"\nname = \"m\"\n\
             base_url = \"http://model.invalid/v1\"\nheaders = {{ X-Team = \"blue\", api-key = {{ env = \"THE_KEY\" }} }}\n\
             retry = {{ max_attempts = 1 }}\n{more}\n"
        ))
    };
    let run = |agent: &Agent, proxy: &str| {
        let mut command = agent.command(&["run"]);
        for name in
            ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "NO_PROXY", "no_proxy"]
        {
            command.env_remove(name);
        }
        let output = command.env("http_proxy", proxy).env("THE_KEY", KEY).output().unwrap();
        crate::support::Ran::from(output)
    };
    let own = format!("proxy = \"{}\"", server.uri());
    assert_eq!(run(&agent(""), &server.uri()).ok().stdout, "ok\n");
    assert_eq!(run(&agent(&own), "http://127.0.0.1:1").ok().stdout, "ok\n");
    let around = run(&agent("proxy = \"none\""), &server.uri());
    around.exits(4).says("cannot reach http://model.invalid/v1");
    assert!(!around.stderr.contains("through the proxy"), "{}", around.stderr);
    run(&agent(""), "http://127.0.0.1:1").exits(4).says("through the proxy http://127.0.0.1:1");
    let sent = runtime.block_on(server.server.received_requests()).unwrap();
    assert_eq!(sent.len(), 2);
    for request in &sent {
        assert_eq!((header(request, "x-team"), header(request, "api-key")), ("blue", KEY));
    }
}

#[test]
fn a_model_is_asked_over_https_by_whom_the_machine_trusts() {
    let service = Secure::start("localhost", &completion(r#"{"content":"over TLS"}"#, "stop"));
    let agent = Agent::raw(&format!(
        "version = 1\n[agent]\nprompt = \"go on\"\n[model]\nprovider = \"openai\"\nname = \"m\"\n\
         base_url = \"https://localhost:{}\"\nretry = {{ max_attempts = 1 }}",
        service.port
    ));
    let trusted = agent.dir.path().join("trusted.pem");
    std::fs::write(&trusted, &service.certificate).unwrap();
    let run = |certificates| -> Ran {
        let mut run = agent.command(&["run"]);
        run.env("OPENAI_API_KEY", KEY).env("SSL_CERT_FILE", certificates).output().unwrap().into()
    };
    assert_eq!(run(&trusted).ok().stdout, "over TLS\n");
    let request = service.requests.recv_timeout(Duration::from_mins(1)).unwrap();
    assert!(request.starts_with("localhost POST /chat/completions HTTP/1.1\r\n"), "{request}");
    // Somebody else's certificate: nothing is sent, the key least of all.
    let stranger = Secure::start("localhost", "");
    std::fs::write(&trusted, &stranger.certificate).unwrap();
    run(&trusted).exits(4).says("certificate");
    assert!(service.requests.try_recv().is_err());
}
