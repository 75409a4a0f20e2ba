//! What is the same for all providers: keys, failures, connections.

use host::config::RemoteConfig;
use host::grants::SecretSource;
use host::message::{Message, ModelFailure};
use host::model::{ModelError, connect};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use wiremock::ResponseTemplate;

use super::{CHAT, KEY, Server, api, ask, config, model as connected, no_rules};

fn model(base_url: &str) -> std::sync::Arc<dyn host::model::Model> {
    connected(CHAT, base_url, false)
}

async fn failure(answer: ResponseTemplate) -> (ModelError, usize) {
    let server = Server::start(no_rules, vec![answer]).await;
    let error = model(&server.uri()).ask(&ask(&[Message::User("hi".into())], &[])).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(KEY), "{error:?}");
    (error, server.bodies().await.len())
}

#[tokio::test]
async fn a_refused_key_is_told_apart_and_not_repeated() {
    for code in [401, 403] {
        let body = json!({"error": {"message": format!("Incorrect API key: {KEY}"), "type": "auth"}});
        let (error, requests) = failure(ResponseTemplate::new(code).set_body_json(body)).await;
        assert_eq!(requests, 1);
        match error {
            ModelError::Unauthorized { status, message, .. } => {
                assert_eq!((status, message.as_str()), (code, "Incorrect API key: [API key]"));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_http_failure_says_what_the_provider_said_and_when_to_try_again() {
    let overloaded = ResponseTemplate::new(500).insert_header("retry-after", "2");
    let long = format!("overloaded {}", "x".repeat(5000));
    let (error, requests) = failure(overloaded.set_body_json(json!({"error": {"message": long}}))).await;
    assert_eq!(requests, 1, "the provider must not retry by itself");
    match error {
        ModelError::Status { status: 500, message, retry_after_ms: Some(2000), .. } => {
            assert!(message.starts_with("overloaded xxx") && message.len() < 2100, "{}", message.len());
        }
        other => panic!("{other:?}"),
    }
    let limited =
        ResponseTemplate::new(429).insert_header("retry-after", "9").insert_header("retry-after-ms", "250");
    match failure(limited.set_body_string("slow down")).await.0 {
        ModelError::Status { status: 429, message, retry_after_ms, .. } => {
            assert_eq!((message.as_str(), retry_after_ms), ("slow down", Some(250)));
        }
        other => panic!("{other:?}"),
    }
    let spent =
        json!({"error": {"type": "insufficient_quota", "code": "insufficient_quota", "message": "x"}});
    let (error, _) = failure(ResponseTemplate::new(429).set_body_json(spent)).await;
    assert!(!ModelFailure::from(error).may_pass, "waiting mends no quota");
    let (error, requests) = failure(ResponseTemplate::new(307).insert_header("location", "/elsewhere")).await;
    assert!(matches!(error, ModelError::Status { status: 307, .. }), "{error:?}");
    assert_eq!(requests, 1, "a redirect must not be followed");
}

#[tokio::test]
async fn no_connection_is_unreachable() {
    // Bound and dropped: nobody listens on this port now.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let unreachable = |error: ModelError, port: u16| match error {
        ModelError::Unreachable { url, reason } => {
            assert_eq!(url, format!("http://127.0.0.1:{port}/v1"));
            reason
        }
        other => panic!("{other:?}"),
    };
    let messages = [Message::User("hi".into())];
    let base = format!("http://127.0.0.1:{port}/v1");
    let reason = unreachable(model(&base).ask(&ask(&messages, &[])).await.unwrap_err(), port);
    assert!(reason.to_lowercase().contains("refused"), "{reason}");

    // A server that breaks off in the middle of its answer.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 4096]).await.unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"choices\"").await.unwrap();
    });
    let base = format!("http://127.0.0.1:{port}/v1");
    let error = model(&base).ask(&ask(&messages, &[])).await.unwrap_err();
    assert!(matches!(error, ModelError::CutOff { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("no whole answer came from {base}: the connection broke")), "{text}");
    server.await.unwrap();

    // One that hangs up without a word was reached, too.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 4096]).await.unwrap();
    });
    let error = model(&base).ask(&ask(&messages, &[])).await.unwrap_err();
    assert!(matches!(error, ModelError::CutOff { .. }), "{error:?}");
    server.await.unwrap();

    // A server that does not speak TLS.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}/v1", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let error = model(&base).ask(&ask(&messages, &[])).await.unwrap_err();
    assert!(matches!(error, ModelError::Unreachable { .. }), "{error:?}");
    server.await.unwrap();
}

#[tokio::test]
async fn dropping_the_future_closes_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let model = model(&format!("http://{}", listener.local_addr().unwrap()));
    let asked = tokio::spawn(async move {
        let messages = [Message::User("hi".into())];
        model.ask(&ask(&messages, &[])).await.map(drop)
    });
    let (mut socket, _) = listener.accept().await.unwrap();
    assert!(socket.read(&mut [0; 4096]).await.unwrap() > 0, "the request has arrived and gets no answer");
    asked.abort();
    let closed = async { while socket.read(&mut [0; 4096]).await.is_ok_and(|bytes| bytes > 0) {} };
    tokio::time::timeout(crate::support::PATIENCE, closed).await.unwrap();
}

#[test]
fn a_bad_setting_is_named_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    let set_up = |base_url: &str, key| {
        let remote = RemoteConfig { key, ..RemoteConfig::new(api(CHAT), "m", base_url) };
        match connect(&config(remote)) {
            Err(error @ (ModelError::Setup(_) | ModelError::Secret { .. })) => error.to_string(),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it connects"),
        }
    };
    for base_url in ["localhost", "ftp://host/v1", "https://host/#x", "https://me:pw@host/"] {
        let message = set_up(base_url, None);
        assert!(message.contains("base_url"), "{message}");
    }
    let file = || Some(SecretSource::File(key.clone()));
    let message = set_up("https://host/v1", file());
    assert!(message.contains("cannot read") && message.contains("api_key_file"), "{message}");
    for (content, said) in
        [("\n", "is empty"), ("sk-1\nsk-2", "line break"), (&*"k".repeat(9000), "more than")]
    {
        std::fs::write(&key, content).unwrap();
        let message = set_up("https://host/v1", file());
        assert!(message.contains(said) && !message.contains("sk-1"), "{message}");
    }
}
