//! Google Gemini.

use host::message::{Message, ModelFailure, Reply, Stop, Tokens};
use host::model::{ModelError, ModelRequest};
use serde_json::{Value, json};
use wiremock::Request;

use super::{
    GEMINI, KEY, Server, ask, call, events, header, list, model, no_rules, reply_to, rule, sent_back, tool,
    value, whole,
};

/// What the provider checks: as many results as calls, together in the content that follows, in order, with an id only
/// if the call had one; the key in no address.
pub(super) fn rules(request: &Request, body: &Value) -> Result<(), String> {
    let path = request.url.path();
    rule(path.starts_with("/v1beta/models/test-model:"), format!("the path {path}"))?;
    rule(request.url.query_pairs().all(|(name, _)| name != "key"), "the key is in the address")?;
    rule(header(request, "x-goog-api-key") == KEY, "the key is not in the header")?;
    let mut open: Vec<&Value> = Vec::new();
    for content in list(&body["contents"], "contents")? {
        let role = content["role"].as_str().unwrap_or_default();
        rule(matches!(role, "user" | "model"), "Please use a valid role: user, model.")?;
        let parts = list(&content["parts"], "parts")?;
        rule(!parts.is_empty(), "contents.parts must not be empty")?;
        let results: Vec<&Value> = parts.iter().filter_map(|part| part.get("functionResponse")).collect();
        rule(
            results.len() == open.len(),
            "Please ensure that the number of function response parts is equal to the number of function call parts",
        )?;
        for (call, result) in open.drain(..).zip(results) {
            rule(call["name"] == result["name"], "a result has another name than its call")?;
            rule(call.get("id") == result.get("id"), "a result has another id than its call")?;
            rule(result["response"].is_object(), "a response is not an object")?;
        }
        open = parts.iter().filter_map(|part| part.get("functionCall")).collect();
        rule(open.is_empty() || role == "model", "a call is not the model's")?;
    }
    rule(open.is_empty(), "a call is not answered")
}

const THOUGHT: &str = r#"{ "text":"Two citi\u0065s.", "thought":true }"#;
const TEXT: &str = r#"{"text":"Let me see."}"#;
const CALL_A: &str =
    r#"{"functionCall":{"name":"t","args":{ "q":"x", "n":1.50 }},"thoughtSignature":"CpcBAdHtim9+/w=="}"#;
const CALL_B: &str = r#"{"functionCall":{"name":"t","args":{}}}"#;

pub(super) fn answer(parts: &[&str], finish: &str) -> String {
    format!(
        r#"{{"candidates":[{{"content":{{"parts":[{}],"role":"model"}},"finishReason":"{finish}","index":0}}],
        "usageMetadata":{{"promptTokenCount":11,"candidatesTokenCount":5,"thoughtsTokenCount":2,"totalTokenCount":18}},
        "modelVersion":"test-model","responseId":"r1"}}"#,
        parts.join(",")
    )
}

async fn reply(body: &str) -> Result<Reply, ModelError> {
    reply_to(GEMINI, rules, whole(body), false).await
}

pub(super) async fn back(reply: &Reply) -> String {
    sent_back(GEMINI, rules, reply, whole(&answer(&[TEXT], "STOP")), false).await
}

#[tokio::test]
async fn calls_without_ids_are_told_apart_and_signatures_go_back_byte_for_byte() {
    let parts = [THOUGHT, TEXT, CALL_A, CALL_B];
    let reply = reply(&answer(&parts, "STOP")).await.unwrap();
    assert_eq!((reply.text.as_str(), &reply.stop), ("Let me see.", &Stop::ToolCalls));
    assert_eq!(reply.calls, [call("call_3_0", "t", r#"{"n":1.5,"q":"x"}"#), call("call_3_1", "t", "{}")]);
    assert_eq!(reply.tokens, Tokens { input: 11, output: 7 });
    let body = back(&reply).await;
    assert!(body.contains(&format!(r#"{{"role":"model","parts":[{}]}}"#, parts.join(","))), "{body}");
    let results = value(&body)["contents"][2]["parts"].clone();
    assert_eq!(results[0]["functionResponse"]["response"], json!({"result": "{\"result\":0}"}));
    assert_eq!(results[1]["functionResponse"]["response"], json!({"error": "error (timed out): after 5 s"}));
}

#[tokio::test]
async fn ids_go_back_where_they_came() {
    let with = |id: &str| CALL_A.replace(r#""name""#, &format!(r#""id":"{id}","name""#));
    let reply = reply(&answer(&[&with("one"), &with("one"), CALL_B], "STOP")).await.unwrap();
    let ids: Vec<&str> = reply.calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids, ["one", "call_3_1", "call_3_2"]);
    back(&reply).await;
}

#[tokio::test]
async fn a_request_has_instructions_and_tools() {
    let server = Server::start(rules, vec![whole(&answer(&[TEXT], "STOP"))]).await;
    let (messages, tools) = ([Message::User("hi".into())], [tool("a"), tool("b")]);
    let request = ModelRequest {
        instructions: "Be brief.",
        max_tokens: Some(9),
        temperature: Some(0.5),
        ..ask(&messages, &tools)
    };
    model(GEMINI, &server.uri(), false).ask(&request).await.unwrap();
    let body = value(&server.bodies().await[0]);
    assert_eq!(body["systemInstruction"]["parts"][0]["text"], "Be brief.");
    assert_eq!(body["generationConfig"], json!({"temperature": 0.5, "maxOutputTokens": 9}));
    let declared = &body["tools"][0]["functionDeclarations"];
    assert_eq!((&declared[0]["name"], &declared[1]["name"]), (&json!("a"), &json!("b")));
    assert_eq!(declared[0]["parametersJsonSchema"], tools[0].input_schema.to_value());
}

#[tokio::test]
async fn a_malformed_call_is_a_failure_that_may_pass() {
    let body = r#"{"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL","finishMessage":"Malformed function call: print(t(","index":0}],"usageMetadata":{"promptTokenCount":11}}"#;
    for (answer, stream) in [(whole(body), false), (events(&[body]), true)] {
        let error = reply_to(GEMINI, rules, answer, stream).await.unwrap_err();
        let failure = ModelFailure::from(error);
        assert!(failure.may_pass, "{failure:?}");
        assert!(
            failure.message.contains("MALFORMED_FUNCTION_CALL: Malformed function call: print(t("),
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn the_reason_to_stop_is_told() {
    for (word, stop) in [
        ("STOP", Stop::End),
        ("MAX_TOKENS", Stop::MaxTokens),
        ("SAFETY", Stop::Refusal),
        ("PROHIBITED_CONTENT", Stop::Refusal),
        ("RECITATION", Stop::Refusal),
    ] {
        let reply = reply(&answer(&[TEXT], word)).await.unwrap();
        assert_eq!((reply.text.as_str(), reply.stop), ("Let me see.", stop), "{word}");
    }
    let blocked =
        r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":11}}"#;
    let refusal = reply(blocked).await.unwrap();
    assert_eq!(refusal.stop, Stop::Refusal);
    assert!(refusal.text.contains("PROHIBITED_CONTENT"), "{}", refusal.text);
}

#[tokio::test]
async fn a_stream_gives_what_a_whole_answer_gives() {
    let chunk = |parts: &str, rest: &str| {
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{parts}],"role":"model"}},"index":0{rest}}}],"usageMetadata":{{"promptTokenCount":11,"candidatesTokenCount":5,"thoughtsTokenCount":2}}}}"#
        )
    };
    let chunks = [
        chunk(r#"{"text":"Two ","thought":true}"#, ""),
        chunk(r#"{"text":"cities.","thought":true}"#, ""),
        chunk(r#"{"text":"Let me "}"#, ""),
        chunk(r#"{"text":"see."}"#, ""),
        chunk(CALL_A, ""),
        chunk(CALL_B, r#","finishReason":"STOP""#),
    ];
    let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
    let reply = reply_to(GEMINI, rules, events(&chunks), true).await.unwrap();
    assert_eq!((reply.text.as_str(), &reply.stop), ("Let me see.", &Stop::ToolCalls));
    assert_eq!(reply.calls.len(), 2);
    assert_eq!(reply.tokens, Tokens { input: 11, output: 7 });
    let sent = value(&back(&reply).await)["contents"][1]["parts"].clone();
    assert_eq!(sent[0], json!({"text": "Two cities.", "thought": true}));
    assert_eq!(sent[2]["thoughtSignature"], "CpcBAdHtim9+/w==");

    match reply_to(GEMINI, rules, events(&chunks[..4]), true).await {
        Err(ModelError::CutOff { reason, .. }) => assert!(reason.contains("broke off"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let overloaded = r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#;
    let failed: Vec<&str> = chunks[..2].iter().copied().chain([overloaded]).collect();
    match reply_to(GEMINI, no_rules, events(&failed), true).await {
        Err(ModelError::Status { status: 503, message, .. }) => {
            assert_eq!(message, "The model is overloaded.");
        }
        other => panic!("{other:?}"),
    }
}
