//! Ollama's own interface.

use host::message::{Message, ModelFailure, Reply, Stop, Tokens};
use host::model::{ModelError, ModelRequest};
use serde_json::{Value, json};
use wiremock::{Request, ResponseTemplate};

use super::{OLLAMA, Server, ask, call, list, model, reply_to, rule, sent_back, tool, value, whole};

/// What the server checks: arguments are an object, and a result names its tool.
pub(super) fn rules(request: &Request, body: &Value) -> Result<(), String> {
    rule(request.url.path() == "/api/chat", "not the path of chat")?;
    rule(body["stream"].is_boolean(), "it streams unless it is told not to")?;
    for message in list(&body["messages"], "messages")? {
        rule(message["content"].is_string(), "content is not a text")?;
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            rule(call["function"]["arguments"].is_object(), "arguments are not an object")?;
        }
        rule(
            message["role"] != "tool" || message["tool_name"].is_string(),
            "a result does not name its tool",
        )?;
    }
    Ok(())
}

const MESSAGE: &str = r#"{ "role":"assistant","content":"Let me see.","thinking":"Two citi\u0065s.","tool_calls":[{"function":{"name":"t","arguments":{ "q":"x", "n":1.50 }}},{"id":"call_9","function":{"index":1,"name":"t","arguments":{}}}] }"#;

pub(super) fn answer(message: &str, reason: &str) -> String {
    format!(
        r#"{{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{message},"done":true,"done_reason":"{reason}","prompt_eval_count":11,"eval_count":7}}"#
    )
}

pub(super) fn lines(lines: &[&str]) -> ResponseTemplate {
    let body: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
    ResponseTemplate::new(200).set_body_raw(body, "application/x-ndjson")
}

pub(super) async fn back(reply: &Reply) -> String {
    let ok = whole(&answer(r#"{"role":"assistant","content":"ok"}"#, "stop"));
    sent_back(OLLAMA, rules, reply, ok, false).await
}

#[tokio::test]
async fn thinking_and_calls_go_back_byte_for_byte() {
    let reply = reply_to(OLLAMA, rules, whole(&answer(MESSAGE, "stop")), false).await.unwrap();
    assert_eq!((reply.text.as_str(), &reply.stop), ("Let me see.", &Stop::ToolCalls));
    assert_eq!(reply.calls, [call("call_3_0", "t", r#"{"n":1.5,"q":"x"}"#), call("call_9", "t", "{}")]);
    assert_eq!(reply.tokens, Tokens { input: 11, output: 7 });
    let body = back(&reply).await;
    assert!(body.contains(MESSAGE), "{body}");
    let messages = value(&body)["messages"].clone();
    assert_eq!(
        (&messages[2]["tool_name"], &messages[3]["content"]),
        (&json!("t"), &json!("error (timed out): after 5 s"))
    );
}

#[tokio::test]
async fn a_request_has_options_and_tools() {
    let server =
        Server::start(rules, vec![whole(&answer(r#"{"role":"assistant","content":"ok"}"#, "stop"))]).await;
    let (messages, tools) = ([Message::User("hi".into())], [tool("a")]);
    let request = ModelRequest { instructions: "Be brief.", max_tokens: Some(9), ..ask(&messages, &tools) };
    model(OLLAMA, &server.uri(), false).ask(&request).await.unwrap();
    let body = value(&server.bodies().await[0]);
    assert_eq!(body["messages"][0], json!({"role": "system", "content": "Be brief."}));
    assert_eq!((&body["stream"], &body["options"]["num_predict"]), (&json!(false), &json!(9)));
    assert_eq!(body["tools"][0]["function"]["parameters"], tools[0].input_schema.to_value());
}

#[tokio::test]
async fn a_stream_of_lines_gives_what_a_whole_answer_gives() {
    let line = |message: &str| format!(r#"{{"model":"m","message":{message},"done":false}}"#);
    let began = [
        line(r#"{"role":"assistant","content":"","thinking":"Two "}"#),
        line(r#"{"role":"assistant","content":"","thinking":"cities."}"#),
        line(r#"{"role":"assistant","content":"Let me "}"#),
        line(r#"{"role":"assistant","content":"see."}"#),
        line(
            r#"{"role":"assistant","content":"","tool_calls":[{"function":{"name":"t","arguments":{"q":"x"}}}]}"#,
        ),
    ];
    let began: Vec<&str> = began.iter().map(String::as_str).collect();
    let end = answer(r#"{"role":"assistant","content":""}"#, "stop");
    let all: Vec<&str> = began.iter().copied().chain([end.as_str()]).collect();
    let reply = reply_to(OLLAMA, rules, lines(&all), true).await.unwrap();
    assert_eq!((reply.text.as_str(), &reply.stop), ("Let me see.", &Stop::ToolCalls));
    assert_eq!(reply.calls, [call("call_3_0", "t", r#"{"q":"x"}"#)]);
    assert_eq!(reply.tokens, Tokens { input: 11, output: 7 });
    let message = value(&back(&reply).await)["messages"][1].clone();
    assert_eq!((&message["thinking"], &message["content"]), (&json!("Two cities."), &json!("Let me see.")));

    match reply_to(OLLAMA, rules, lines(&began), true).await {
        Err(ModelError::CutOff { reason, .. }) => assert!(reason.contains("broke off"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let failed: Vec<&str> = began
        .iter()
        .copied()
        .chain([r#"{"error":"an error was encountered while running the model"}"#])
        .collect();
    let error = reply_to(OLLAMA, rules, lines(&failed), true).await.unwrap_err();
    assert!(error.to_string().contains("an error was encountered"), "{error}");
    assert!(ModelFailure::from(error).may_pass);
    let long = answer(r#"{"role":"assistant","content":"and"}"#, "length");
    let cut = reply_to(OLLAMA, rules, whole(&long), false).await.unwrap();
    assert_eq!(cut.stop, Stop::MaxTokens);
}
