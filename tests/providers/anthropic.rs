//! Anthropic messages.

use host::message::{Message, Reply, Stop, Tokens};
use host::model::{ModelError, ModelRequest};
use serde_json::{Value, json};
use wiremock::{Request, ResponseTemplate};

use super::{
    ANTHROPIC, KEY, Server, ask, call, events, header, list, model, reply_to, rule, sent_back, tool, value,
    whole,
};

/// What the provider checks: every `tool_use` is answered by a `tool_result` in the message that follows, all of them
/// together and before anything else; thinking is signed and stands first; no text is empty.
pub(super) fn rules(request: &Request, body: &Value) -> Result<(), String> {
    rule(request.url.path() == "/v1/messages", "not the path of messages")?;
    rule(header(request, "x-api-key") == KEY, "the key is not in the header")?;
    rule(header(request, "anthropic-version") == "2023-06-01", "no version")?;
    rule(body["max_tokens"].as_u64().is_some_and(|max| max > 0), "max_tokens: Field required")?;
    let mut open: Vec<&str> = Vec::new();
    for (place, message) in list(&body["messages"], "messages")?.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        rule(matches!(role, "user" | "assistant"), "a message has neither role")?;
        rule(place > 0 || role == "user", "the first message is not the user's")?;
        let blocks = list(&message["content"], "content")?;
        rule(!blocks.is_empty(), "messages: content is empty")?;
        let answers = blocks.iter().take_while(|block| block["type"] == "tool_result").count();
        for (index, block) in blocks.iter().enumerate() {
            match block["type"].as_str().unwrap_or_default() {
                "text" => {
                    let text = block["text"].as_str().unwrap_or_default();
                    rule(!text.trim().is_empty(), "messages: text content blocks must be non-empty")?;
                }
                "thinking" => rule(block["signature"].is_string(), "thinking: signature: Field required")?,
                "redacted_thinking" => rule(block["data"].is_string(), "redacted_thinking: data")?,
                "tool_use" => {
                    let id = block["id"].as_str().unwrap_or_default();
                    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                    rule(
                        !id.is_empty() && id.chars().all(legal),
                        "tool_use.id: String should match pattern",
                    )?;
                    rule(!open.contains(&id), "`tool_use` ids must be unique")?;
                    rule(block["input"].is_object(), "tool_use.input: Input should be a valid dictionary")?;
                    open.push(id);
                }
                "tool_result" => {
                    rule(role == "user" && index < answers, "tool_result blocks have to come first")?;
                    let id = block["tool_use_id"].as_str().unwrap_or_default();
                    let place = open.iter().position(|it| *it == id).ok_or("unexpected `tool_use_id`")?;
                    open.remove(place);
                    rule(block.get("is_error").is_none_or(Value::is_boolean), "is_error is not a boolean")?;
                }
                "server_tool_use" | "web_search_tool_result" => {}
                other => return Err(format!("a block of type {other}")),
            }
        }
        rule(
            role == "assistant" || open.is_empty(),
            "`tool_use` ids without `tool_result` blocks immediately after",
        )?;
    }
    rule(open.is_empty(), "a call is not answered")
}

const THINKING: &str =
    r#"{ "type":"thinking","thinking":"Two citi\u0065s.","signature":"EqQBCkYIARgC\/==" }"#;
const REDACTED: &str = r#"{"type":"redacted_thinking" ,"data":"EmwKAhgBEgy3va3pzix/LafPsn4a"}"#;
const TEXT: &str = r#"{"type":"text","text":"Let me see.","citations":null}"#;
const CALL_A: &str = r#"{"type":"tool_use","id":"toolu_a","name":"t","input":{ "q":"x", "n":1.50 }}"#;
const CALL_B: &str = r#"{"type":"tool_use","id":"toolu_b","name":"t","input":{}}"#;

pub(super) fn message(blocks: &[&str], stop_reason: &str) -> String {
    format!(
        r#"{{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{}],"stop_reason":"{stop_reason}",
        "stop_sequence":null,"usage":{{"input_tokens":8,"cache_read_input_tokens":3,"output_tokens":7}}}}"#,
        blocks.join(",")
    )
}

async fn reply(body: &str) -> Result<Reply, ModelError> {
    reply_to(ANTHROPIC, rules, whole(body), false).await
}

pub(super) async fn back(reply: &Reply) -> String {
    let ok = message(&[r#"{"type":"text","text":"ok"}"#], "end_turn");
    sent_back(ANTHROPIC, rules, reply, whole(&ok), false).await
}

#[tokio::test]
async fn thinking_signatures_and_calls_go_back_byte_for_byte() {
    let blocks = [THINKING, REDACTED, TEXT, CALL_A, CALL_B];
    let reply = reply(&message(&blocks, "tool_use")).await.unwrap();
    assert_eq!((reply.text.as_str(), &reply.stop), ("Let me see.", &Stop::ToolCalls));
    assert_eq!(reply.calls, [call("toolu_a", "t", r#"{"n":1.5,"q":"x"}"#), call("toolu_b", "t", "{}")]);
    assert_eq!(reply.tokens, Tokens { input: 11, output: 7 });
    let body = back(&reply).await;
    assert!(body.contains(&format!(r#"{{"role":"assistant","content":[{}]}}"#, blocks.join(","))), "{body}");
}

#[tokio::test]
async fn all_results_are_one_message_and_failures_are_marked() {
    let reply = reply(&message(&[CALL_A, CALL_B], "tool_use")).await.unwrap();
    let messages = value(&back(&reply).await)["messages"].clone();
    assert_eq!(messages.as_array().unwrap().len(), 3);
    let results = messages[2]["content"].as_array().unwrap();
    assert_eq!(
        (&results[0]["tool_use_id"], &results[1]["tool_use_id"]),
        (&json!("toolu_a"), &json!("toolu_b"))
    );
    assert_eq!((results[0].get("is_error"), &results[1]["is_error"]), (None, &json!(true)));
    assert_eq!(results[1]["content"][0]["text"], "error (timed out): after 5 s");
}

#[tokio::test]
async fn what_does_not_change_is_marked_for_the_cache() {
    let server = Server::start(rules, vec![whole(&message(&[TEXT], "end_turn"))]).await;
    let (messages, tools) = ([Message::User("hi".into())], [tool("a"), tool("b")]);
    let request = ModelRequest { instructions: "Be brief.", ..ask(&messages, &tools) };
    model(ANTHROPIC, &server.uri(), false).ask(&request).await.unwrap();
    let body = value(&server.bodies().await[0]);
    let ephemeral = json!({"type": "ephemeral"});
    assert_eq!(body["system"], json!([{"type": "text", "text": "Be brief.", "cache_control": ephemeral}]));
    assert_eq!(
        (body["tools"][0].get("cache_control"), &body["tools"][1]["cache_control"]),
        (None, &ephemeral)
    );
    assert_eq!(body["messages"][0]["content"][0]["cache_control"], ephemeral);
    assert_eq!(body["tools"][1]["input_schema"], tools[1].input_schema.to_value());
}

#[tokio::test]
async fn the_reason_to_stop_is_told() {
    for (word, stop) in [
        ("end_turn", Stop::End),
        ("stop_sequence", Stop::End),
        ("max_tokens", Stop::MaxTokens),
        ("model_context_window_exceeded", Stop::ContextWindow),
        ("pause_turn", Stop::Paused),
        ("refusal", Stop::Refusal),
        ("something_new", Stop::Other("something_new".into())),
    ] {
        let reply = reply(&message(&[TEXT], word)).await.unwrap();
        assert_eq!((reply.text.as_str(), reply.stop), ("Let me see.", stop), "{word}");
    }
    let silent = reply(&message(&[], "refusal")).await.unwrap();
    assert_eq!(silent.stop, Stop::Refusal);
    assert!(!silent.text.is_empty(), "a refusal says something");
}

#[tokio::test]
async fn what_the_provider_would_not_take_back_is_left_out_or_mended() {
    let empty = r#"{"type":"text","text":""}"#;
    let odd = r#"{"type":"tool_use","id":"functions.t:0","name":"t","input":{}}"#;
    let reply = reply(&message(&[empty, CALL_A, CALL_A, odd], "tool_use")).await.unwrap();
    let ids: Vec<&str> = reply.calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids, ["toolu_a", "call_3_1", "call_3_2"]);
    let body = back(&reply).await;
    assert!(body.contains(CALL_A) && !body.contains(empty), "{body}");
    // A reply of nothing is no message at all.
    let nothing =
        super::reply_to(ANTHROPIC, rules, whole(&message(&[empty], "end_turn")), false).await.unwrap();
    assert_eq!((nothing.text.as_str(), nothing.items), ("", None));
}

/// The events of a reply that thinks, says something and makes a call.
fn stream() -> Vec<&'static str> {
    vec![
        r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":8,"cache_read_input_tokens":3,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Two "}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"cities."}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQBCkYIARgC/=="}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Let me see."}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_a","name":"t","input":{}}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"q\":"}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"\"x\"}"}}"#,
        r#"{"type":"content_block_stop","index":2}"#,
        r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_b","name":"t","input":{}}}"#,
        r#"{"type":"content_block_stop","index":3}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":7}}"#,
        r#"{"type":"message_stop"}"#,
    ]
}

#[tokio::test]
async fn a_stream_gives_what_a_whole_answer_gives() {
    let reply = reply_to(ANTHROPIC, rules, events(&stream()), true).await.unwrap();
    assert_eq!((reply.text.as_str(), &reply.stop), ("Let me see.", &Stop::ToolCalls));
    assert_eq!(reply.calls, [call("toolu_a", "t", r#"{"q":"x"}"#), call("toolu_b", "t", "{}")]);
    assert_eq!(reply.tokens, Tokens { input: 11, output: 7 });
    let content = value(&back(&reply).await)["messages"][1]["content"].clone();
    assert_eq!(
        content,
        json!([
            {"type": "thinking", "thinking": "Two cities.", "signature": "EqQBCkYIARgC/=="},
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "toolu_a", "name": "t", "input": {"q": "x"}},
            {"type": "tool_use", "id": "toolu_b", "name": "t", "input": {}},
        ])
    );
}

#[tokio::test]
async fn pieces_that_come_in_turns_are_put_where_they_belong() {
    let mut stream = stream();
    let delta = |index: usize, text: &str| {
        format!(
            r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"input_json_delta","partial_json":{}}}}}"#,
            json!(text)
        )
    };
    let redacted = r#"{"type":"content_block_start","index":4,"content_block":{"type":"redacted_thinking","data":"EmwKAhgBEgy3va3pzix/LafPsn4a"}}"#;
    let pieces = [delta(3, "{\"q\":"), delta(2, "{\"q\":\"x"), delta(3, "\"y\"}"), delta(2, "\"}")];
    let (opened, closed) = (stream[14], stream.split_off(15));
    stream.truncate(11);
    stream.push(opened);
    stream.extend(pieces.iter().map(String::as_str));
    stream.push(r#"{"type":"content_block_stop","index":2}"#);
    stream.push(closed[0]);
    stream.extend([redacted, r#"{"type":"content_block_stop","index":4}"#]);
    stream.extend(&closed[1..]);
    let reply = reply_to(ANTHROPIC, rules, events(&stream), true).await.unwrap();
    assert_eq!(reply.calls, [call("toolu_a", "t", r#"{"q":"x"}"#), call("toolu_b", "t", r#"{"q":"y"}"#)]);
    let content = value(&back(&reply).await)["messages"][1]["content"].clone();
    assert_eq!(content[2]["input"], json!({"q": "x"}));
    assert_eq!(content[3]["input"], json!({"q": "y"}));
    assert_eq!(content[4], json!({"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix/LafPsn4a"}));
}

#[tokio::test]
async fn overload_in_the_middle_of_a_stream_may_pass_and_so_may_a_cut() {
    let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let began = &stream()[..9];
    let failed: Vec<&str> = began.iter().copied().chain([overloaded]).collect();
    match reply_to(ANTHROPIC, rules, events(&failed), true).await {
        Err(ModelError::Status { status: 529, message, .. }) => assert_eq!(message, "Overloaded"),
        other => panic!("{other:?}"),
    }
    match reply_to(ANTHROPIC, rules, events(began), true).await {
        Err(ModelError::CutOff { reason, .. }) => assert!(reason.contains("broke off"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let invalid = r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"}}"#;
    match reply_to(ANTHROPIC, rules, events(&[invalid]), true).await {
        Err(ModelError::Status { status: 400, .. }) => {}
        other => panic!("{other:?}"),
    }
    let body = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let answer = ResponseTemplate::new(529).insert_header("retry-after", "3").set_body_json(body);
    match reply_to(ANTHROPIC, rules, answer, false).await {
        Err(ModelError::Status { status: 529, retry_after_ms: Some(3000), .. }) => {}
        other => panic!("{other:?}"),
    }
}
