//! The provider for chat completions, against a real HTTP server on the loopback interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::time::Duration;

use host::message::{Arguments, ErrorKind, Json, Message, Reply, Stop, Tokens, ToolCall, ToolOutcome};
use host::message::{SHOWN_BYTES_MAX, ToolResult, ToolSpec};
use host::model::{Model as _, ModelError, ModelRequest, OpenAi};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

const KEY: &str = "sk-secret-of-the-tests";

fn model(base_url: &str) -> OpenAi {
    OpenAi::new(base_url, "test-model", Some(KEY.into())).unwrap()
}

fn ask(messages: &[Message]) -> ModelRequest<'_> {
    ModelRequest {
        turn: 3,
        attempt: 1,
        instructions: "",
        messages,
        tools: &[],
        temperature: None,
        max_tokens: None,
    }
}

/// A server that gives every request the same answer.
async fn server(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

/// What a model replies when the server answers with this body.
async fn reply_to(body: &str) -> Result<Reply, ModelError> {
    let server = server(ResponseTemplate::new(200).set_body_raw(body, "application/json")).await;
    model(&server.uri()).ask(&ask(&[Message::User("hi".into())])).await
}

/// A body with one choice: a message and why it ended.
fn completion(message: &str, finish_reason: &str) -> String {
    format!(
        r#"{{"id":"c1","object":"chat.completion","model":"m","usage":{{"prompt_tokens":11,"completion_tokens":7,
        "total_tokens":18}},"choices":[{{"index":0,"finish_reason":"{finish_reason}","message":{message}}}]}}"#
    )
}

/// The body of the request that sends a reply back with a result for each of its calls.
async fn sent_back(reply: Reply) -> String {
    let results: Vec<Message> = reply
        .calls
        .iter()
        .enumerate()
        .map(|(index, call)| result(&call.id, &call.name, &format!("{{\"result\":{index}}}")))
        .collect();
    let messages = [vec![Message::User("hi".into()), Message::Assistant(reply)], results].concat();
    let server =
        server(ResponseTemplate::new(200).set_body_string(completion(r#"{"content":"ok"}"#, "stop"))).await;
    model(&server.uri()).ask(&ask(&messages)).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    String::from_utf8(requests[0].body.clone()).unwrap()
}

fn result(id: &str, name: &str, output: &str) -> Message {
    tool_result(id, name, ToolOutcome::Output(Json::parse(output.to_owned()).unwrap()))
}

fn tool_result(id: &str, name: &str, outcome: ToolOutcome) -> Message {
    let (call_id, name) = (id.to_owned(), name.to_owned());
    Message::Tool(ToolResult { call_id, name, outcome, shown_bytes_max: SHOWN_BYTES_MAX })
}

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: Arguments::parse(arguments) }
}

fn message_at(body: &str, place: usize) -> Value {
    serde_json::from_str::<Value>(body).unwrap()["messages"][place].clone()
}

#[tokio::test]
async fn a_request_is_exactly_what_was_asked_for() {
    let server =
        server(ResponseTemplate::new(200).set_body_string(completion(r#"{"content":"ok"}"#, "stop"))).await;
    let schema =
        r#"{"type":"object","required":["q"],"properties":{"q":{"type":"string"},"a":{"type":"number"}}}"#;
    let tools = [ToolSpec {
        name: "web__search".into(),
        description: "Searches.".into(),
        input_schema: Json::parse(schema.into()).unwrap(),
        output_schema: None,
    }];
    let said = Reply {
        text: "Looking.".into(),
        calls: vec![call("a", "web__search", r#"{"q":"x"}"#), call("b", "web__search", r#"{"q":"y"}"#)],
        ..Reply::default()
    };
    let failed = ToolOutcome::error(ErrorKind::Timeout, "after 5 s");
    let messages = [
        Message::User("find x and y".into()),
        Message::Assistant(said),
        result("a", "web__search", r#"{"hits":[]}"#),
        tool_result("b", "web__search", failed),
        Message::User("go on".into()),
    ];
    let request = ModelRequest {
        turn: 1,
        attempt: 1,
        instructions: "Be brief.",
        messages: &messages,
        tools: &tools,
        temperature: Some(0.25),
        max_tokens: Some(512),
    };
    let reply = model(&format!("{}/v1/", server.uri())).ask(&request).await.unwrap();
    assert_eq!((reply.text.as_str(), &reply.stop), ("ok", &Stop::End));
    assert_eq!(reply.tokens, Tokens { input: 11, output: 7 });

    let requests = server.received_requests().await.unwrap();
    let [request] = &requests[..] else { panic!("one request, not {}", requests.len()) };
    assert_eq!((request.method.as_str(), request.url.path()), ("POST", "/v1/chat/completions"));
    assert_eq!(request.headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(request.headers["content-type"], "application/json");
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "web__search", "arguments": arguments}});
    assert_eq!(
        serde_json::from_slice::<Value>(&request.body).unwrap(),
        json!({
            "model": "test-model",
            "temperature": 0.25,
            "max_tokens": 512,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "find x and y"},
                {"role": "assistant", "content": "Looking.",
                    "tool_calls": [call("a", r#"{"q":"x"}"#), call("b", r#"{"q":"y"}"#)]},
                {"role": "tool", "tool_call_id": "a", "content": r#"{"hits":[]}"#},
                {"role": "tool", "tool_call_id": "b", "content": "error (timed out): after 5 s"},
                {"role": "user", "content": "go on"},
            ],
            "tools": [{"type": "function", "function": {
                "name": "web__search",
                "description": "Searches.",
                "parameters": serde_json::from_str::<Value>(schema).unwrap(),
            }}],
        })
    );
    // Not only the same schema, but its members in the order in which the tool's author wrote them.
    assert!(String::from_utf8_lossy(&request.body).contains(schema));
}

#[tokio::test]
async fn nothing_is_sent_that_was_not_asked_for() {
    let server =
        server(ResponseTemplate::new(200).set_body_string(completion(r#"{"content":"ok"}"#, "stop"))).await;
    for key in [None, Some("".into())] {
        let model = OpenAi::new(&server.uri(), "m", key).unwrap();
        model.ask(&ask(&[Message::User("hi".into())])).await.unwrap();
    }
    for request in server.received_requests().await.unwrap() {
        assert!(!request.headers.contains_key("authorization"));
        let body = String::from_utf8(request.body).unwrap();
        assert_eq!(body, r#"{"messages":[{"role":"user","content":"hi"}],"model":"m"}"#);
    }
}

#[tokio::test]
async fn reasoning_and_parallel_calls_come_back_byte_for_byte() {
    // Spacing, number forms, unknown members and member order that no re-encoding would keep.
    let message = r#"{ "tool_calls" : [
        {"type":"function","id":"call_b","function":{"arguments":"{ \"n\": 1.50, \"a\":1e2 }","name":"two"},
         "extra_content":{"google":{"thought_signature":"c2ln"}}},
        {"id":"call_a","type":"function","function":{"name":"one","arguments":"{}"}} ],
        "role":"assistant", "content":null, "refusal":null, "reasoning_content":"First \u00e9…",
        "reasoning_details":[{"type":"reasoning.encrypted","data":"b64==","index":0,"weight":1.0E+2}] }"#;
    let reply = reply_to(&completion(message, "tool_calls")).await.unwrap();
    assert_eq!(reply.text, "");
    assert_eq!(reply.stop, Stop::ToolCalls);
    assert_eq!(reply.calls, [call("call_b", "two", r#"{"a":100.0,"n":1.5}"#), call("call_a", "one", "{}")]);

    // As it would be after a crash: from the journal.
    let recorded = serde_json::from_str(&serde_json::to_string(&reply).unwrap()).unwrap();
    let body = sent_back(recorded).await;
    assert!(body.contains(message), "{body}");
    assert_eq!(
        message_at(&body, 2),
        json!({"role":"tool","tool_call_id":"call_b","content":"{\"result\":0}"})
    );
    assert_eq!(
        message_at(&body, 3),
        json!({"role":"tool","tool_call_id":"call_a","content":"{\"result\":1}"})
    );
}

#[tokio::test]
async fn malformed_arguments_are_kept_and_go_back_as_an_object() {
    let message = r#"{"role":"assistant","content":"Hm.","tool_calls":[
        {"id":"1","type":"function","function":{"name":"t","arguments":"{\"q\": \"ab"}},
        {"id":"2","type":"function","function":{"name":"t","arguments":""}},
        {"id":"3","type":"function","function":{"name":"t","arguments":"[1]"}},
        {"id":"4","type":"function","function":{"name":"t","arguments":"{\"ok\": true}"}}]}"#;
    let reply = reply_to(&completion(message, "tool_calls")).await.unwrap();
    let arguments: Vec<Arguments> = reply.calls.iter().map(|call| call.arguments.clone()).collect();
    assert_eq!(arguments[0], Arguments::Malformed(r#"{"q": "ab"#.into()));
    assert_eq!(arguments[1], Arguments::Json(Json::empty_object()));
    assert_eq!(arguments[2], Arguments::parse("[1]"));
    assert_eq!(arguments[3], Arguments::parse(r#"{"ok":true}"#));

    let assistant = message_at(&sent_back(reply).await, 1);
    assert_eq!(assistant["content"], "Hm.");
    let sent =
        |index: usize| assistant["tool_calls"][index]["function"]["arguments"].as_str().unwrap().to_owned();
    assert_eq!(sent(0), r#"{"malformed_arguments":"{\"q\": \"ab"}"#);
    assert_eq!(sent(1), "{}");
    assert_eq!(sent(2), r#"{"malformed_arguments":"[1]"}"#);
    assert_eq!(sent(3), r#"{"ok": true}"#);
}

#[tokio::test]
async fn calls_without_an_id_of_their_own_get_one() {
    let message = r#"{"role":"assistant","content":"","tool_calls":[
        {"id":"","type":"function","function":{"name":"t","arguments":"{\"n\":0}"}},
        {"id":"same","type":"function","function":{"name":"t","arguments":"{\"n\":1}"}},
        {"id":"same","type":"function","function":{"name":"t","arguments":"{\"n\":2}"}},
        {"type":"function","function":{"name":"t","arguments":"{\"n\":3}"}},
        {"id":"call_3_3","type":"function","function":{"name":"t","arguments":"{\"n\":4}"}},
        {"id":"nameless","type":"function","function":{"name":"","arguments":"{\"n\":5}"}}]}"#;
    let reply = reply_to(&completion(message, "tool_calls")).await.unwrap();
    let ids: Vec<&str> = reply.calls.iter().map(|call| &*call.id).collect();
    assert_eq!(ids, ["call_3_0", "same", "call_3_2", "call_3_3_", "call_3_3"]);
    for (n, call) in reply.calls.iter().enumerate() {
        assert_eq!(call.arguments, Arguments::parse(&format!("{{\"n\":{n}}}")));
    }
    let body = sent_back(reply.clone()).await;
    let assistant = message_at(&body, 1);
    assert_eq!(assistant["tool_calls"].as_array().unwrap().len(), 5);
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(assistant["tool_calls"][n]["id"], **id);
        assert_eq!(message_at(&body, 2 + n)["tool_call_id"], **id);
    }
}

#[tokio::test]
async fn a_reply_from_elsewhere_gets_ids_that_pair_its_results() {
    let calls = vec![call("", "t", "{}"), call("x", "t", "nonsense"), call("x", "t", "{}")];
    let body = sent_back(Reply { calls, ..Reply::default() }).await;
    let assistant = message_at(&body, 1);
    let ids: Vec<String> =
        (0..3).map(|n| assistant["tool_calls"][n]["id"].as_str().unwrap().to_owned()).collect();
    assert!(ids.iter().all(|id| !id.is_empty()) && ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    for (n, id) in ids.iter().enumerate() {
        let expected = json!({"role": "tool", "tool_call_id": id, "content": format!("{{\"result\":{n}}}")});
        assert_eq!(message_at(&body, 2 + n), expected);
    }
    assert_eq!(assistant["tool_calls"][1]["function"]["arguments"], r#"{"malformed_arguments":"nonsense"}"#);
}

#[tokio::test]
async fn the_reason_to_stop_is_told() {
    let plain = r#"{"role":"assistant","content":"a"}"#;
    for (word, stop) in [
        ("stop", Stop::End),
        ("length", Stop::MaxTokens),
        ("tool_calls", Stop::ToolCalls),
        ("content_filter", Stop::Refusal),
        ("refusal", Stop::Refusal),
        ("insufficient_system_resource", Stop::Other("insufficient_system_resource".into())),
        ("", Stop::Other("unknown".into())),
    ] {
        let reply = reply_to(&completion(plain, word)).await.unwrap();
        assert_eq!((reply.text.as_str(), reply.stop), ("a", stop), "{word}");
    }
    let refused = r#"{"role":"assistant","content":null,"refusal":"I can't."}"#;
    let reply = reply_to(&completion(refused, "stop")).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.stop), ("I can't.", Stop::Refusal));
    let cut = r#"{"role":"assistant","content":"","tool_calls":[
        {"id":"1","type":"function","function":{"name":"t","arguments":"{\"q\":"}}]}"#;
    let reply = reply_to(&completion(cut, "length")).await.unwrap();
    assert_eq!(reply.stop, Stop::MaxTokens);
    assert_eq!(reply.calls[0].arguments, Arguments::Malformed(r#"{"q":"#.into()));
}

#[tokio::test]
async fn servers_may_leave_out_what_does_not_matter() {
    let reply =
        reply_to(r#"{"choices":[{"index":1,"message":{"content":"a","tool_calls":[]}}]}"#).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.tokens), ("a", Tokens::default()));
    assert_eq!(message_at(&sent_back(reply).await, 1), json!({"content": "a", "role": "assistant"}));
}

#[tokio::test]
async fn what_is_no_completion_is_malformed() {
    for body in [
        "<!doctype html><title>Log in</title>",
        "",
        "{",
        "[]",
        "[[]]",
        "null",
        "{}",
        r#"{"choices":[]}"#,
        r#"{"choices":null}"#,
        r#"{"choices":[null]}"#,
        r#"{"choices":[[1]]}"#,
        r#"[[{"message":{}}]]"#,
        r#"{"choices":[{"message":null}]}"#,
        r#"{"choices":[{"message":"text"}]}"#,
        r#"{"error":{"message":"no such model"}}"#,
    ] {
        match reply_to(body).await {
            Err(ModelError::Malformed { url, reason }) => {
                assert!(url.starts_with("http://127.0.0.1:"), "{url}");
                assert!(!reason.is_empty());
            }
            other => panic!("{body}: {other:?}"),
        }
    }
    let error = reply_to("<!doctype html><title>Log in</title>").await.unwrap_err().to_string();
    assert!(error.contains("<title>Log in"), "{error}");
    let error = reply_to(r#"{"error":{"message":"no such model"}}"#).await.unwrap_err().to_string();
    assert!(error.contains("no such model"), "{error}");
}

#[tokio::test]
async fn a_failure_inside_a_success_is_a_failure() {
    match reply_to(r#"{"error":{"code":502,"message":"upstream is down"}}"#).await {
        Err(ModelError::Status { status: 502, message, .. }) => assert_eq!(message, "upstream is down"),
        other => panic!("{other:?}"),
    }
}

async fn failure(answer: ResponseTemplate) -> (ModelError, usize) {
    let server = server(answer).await;
    let error = model(&server.uri()).ask(&ask(&[Message::User("hi".into())])).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(KEY), "{error:?}");
    (error, server.received_requests().await.unwrap().len())
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
    let reason = unreachable(model(&base).ask(&ask(&messages)).await.unwrap_err(), port);
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
    unreachable(model(&base).ask(&ask(&messages)).await.unwrap_err(), port);
    server.await.unwrap();

    // A server that does not speak TLS.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}/v1", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let error = model(&base).ask(&ask(&messages)).await.unwrap_err();
    assert!(matches!(error, ModelError::Unreachable { .. }), "{error:?}");
    server.await.unwrap();
}

#[tokio::test]
async fn dropping_the_future_closes_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let model = model(&format!("http://{}", listener.local_addr().unwrap()));
    let asked = tokio::spawn(async move {
        let messages = [Message::User("hi".into())];
        model.ask(&ask(&messages)).await.map(drop)
    });
    let (mut socket, _) = listener.accept().await.unwrap();
    assert!(socket.read(&mut [0; 4096]).await.unwrap() > 0, "the request has arrived and gets no answer");
    asked.abort();
    let closed = async { while socket.read(&mut [0; 4096]).await.is_ok_and(|bytes| bytes > 0) {} };
    tokio::time::timeout(Duration::from_secs(5), closed).await.expect("the client must close the connection");
}

#[test]
fn a_bad_setting_is_named_before_anything_is_sent() {
    for base_url in
        ["localhost", "ftp://host/v1", "https://host/v1?key=1", "https://host/#x", "https://me:pw@host/"]
    {
        match OpenAi::new(base_url, "m", None) {
            Err(ModelError::Setup(message)) => assert!(message.contains("base_url"), "{message}"),
            other => panic!("{base_url}: {other:?}"),
        }
    }
    let error = OpenAi::new("https://host/v1", "m", Some("sk-1\nsk-2".into())).unwrap_err();
    assert!(matches!(&error, ModelError::Setup(text) if !text.contains("sk-1")), "{error:?}");
    assert!(!format!("{:?}", model("https://host/v1")).contains(KEY));
}
