//! Chat completions that come piece by piece.

use host::message::{Message, Reply, Stop, Tokens};
use host::model::{ModelError, ModelRequest};
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::chat::{back, completion, message_at, rules};
use super::{CHAT, Server, ask, call, events, model, reply_to, tool, value, whole};

/// A stream of such deltas that ends for this reason, if for any.
pub(super) fn stream(deltas: &[&str], reason: Option<&str>) -> ResponseTemplate {
    let chunk = |delta: &str, reason: &Value| {
        format!(
            r#"{{"id":"c","object":"chat.completion.chunk","choices":[{{"index":0,"delta":{delta},"finish_reason":{reason}}}]}}"#
        )
    };
    let mut chunks: Vec<String> = deltas.iter().map(|delta| chunk(delta, &Value::Null)).collect();
    chunks.extend(reason.map(|reason| chunk("{}", &json!(reason))));
    chunks.push("[DONE]".to_owned());
    events(&chunks.iter().map(String::as_str).collect::<Vec<_>>())
}

async fn streamed(deltas: &[&str], reason: Option<&str>) -> Reply {
    reply_to(CHAT, rules, stream(deltas, reason), true).await.unwrap()
}

#[tokio::test]
async fn parallel_calls_are_merged_by_their_index_from_a_stream() {
    let chunk = |delta: &str| {
        format!(r#"{{"id":"c","object":"chat.completion.chunk","choices":[{{"index":0,"delta":{delta}}}]}}"#)
    };
    let part = |index: u32, rest: &str| chunk(&format!(r#"{{"tool_calls":[{{"index":{index},{rest}}}]}}"#));
    let stream = [
        chunk(r#"{"role":"assistant","content":"Let me "}"#),
        chunk(r#"{"content":"see.","reasoning_content":"Two cities."}"#),
        part(0, r#""id":"call_a","type":"function","function":{"name":"t","arguments":""}"#),
        part(1, r#""id":"call_b","type":"function","function":{"name":"t","arguments":""}"#),
        part(1, r#""function":{"arguments":"{\"q\":"}"#),
        part(0, r#""function":{"arguments":"{\"q\":\"x"}"#),
        part(1, r#""function":{"arguments":"\"y\"}"}"#),
        part(0, r#""function":{"arguments":"\"}"}"#),
        r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#.to_owned(),
        r#"{"id":"c","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}"#.to_owned(),
        "[DONE]".to_owned(),
    ];
    let stream: Vec<&str> = stream.iter().map(String::as_str).collect();
    let server = Server::start(rules, vec![events(&stream)]).await;
    let heard = std::sync::Mutex::new(Vec::new());
    let hear = |text: &str| heard.lock().unwrap().push(text.to_owned());
    let (messages, tools) = ([Message::User("hi".into())], [tool("t")]);
    let request = ModelRequest { heard: &hear, ..ask(&messages, &tools) };
    let reply = model(CHAT, &server.uri(), true).ask(&request).await.unwrap();
    let sent = value(&server.bodies().await[0]);
    assert_eq!((&sent["stream"], sent.get("stream_options")), (&json!(true), None));
    assert_eq!(heard.into_inner().unwrap(), ["Let me ", "see."]);
    assert_eq!((reply.text.as_str(), &reply.stop), ("Let me see.", &Stop::ToolCalls));
    assert_eq!(reply.calls, [call("call_a", "t", r#"{"q":"x"}"#), call("call_b", "t", r#"{"q":"y"}"#)]);
    assert_eq!(reply.tokens, Tokens { input: 11, output: 7 });

    let assistant = message_at(&back(&reply).await, 1);
    assert_eq!(assistant["reasoning_content"], "Two cities.");
    let arguments = |index: usize| assistant["tool_calls"][index]["function"]["arguments"].clone();
    assert_eq!((arguments(0), arguments(1)), (json!(r#"{"q":"x"}"#), json!(r#"{"q":"y"}"#)));
    assert!(assistant["tool_calls"][0].get("index").is_none(), "an index is only for streams: {assistant}");
}

#[tokio::test]
async fn a_stream_that_breaks_off_or_fails_is_asked_for_again() {
    let began = r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"So"}}]}"#;
    match reply_to(CHAT, rules, events(&[began]), true).await {
        Err(ModelError::CutOff { reason, .. }) => {
            assert_eq!(reason, "the answer broke off before its end");
        }
        other => panic!("{other:?}"),
    }
    let failed = r#"{"error":{"message":"The server had an error","type":"server_error","code":null}}"#;
    match reply_to(CHAT, rules, events(&[began, failed]), true).await {
        Err(ModelError::Status { status: 500, message, .. }) => {
            assert_eq!(message, "The server had an error");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_read_all_the_same() {
    let body = completion(r#"{"role":"assistant","content":"whole"}"#, "stop");
    let reply = reply_to(CHAT, rules, whole(&body), true).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.stop), ("whole", Stop::End));
}

#[tokio::test]
async fn done_is_an_end_also_without_a_reason() {
    let said = streamed(&[r#"{"role":"assistant","content":"So."}"#], None).await;
    assert_eq!((said.text.as_str(), said.stop), ("So.", Stop::End));
    let part = r#"{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"t","arguments":"{\"q\":\"x\"}"}}]}"#;
    let called = streamed(&[part], None).await;
    assert_eq!((called.calls, called.stop), (vec![call("a", "t", r#"{"q":"x"}"#)], Stop::ToolCalls));
}

#[tokio::test]
async fn reasoning_details_are_put_together() {
    let detail = |kind: &str, rest: &str| {
        format!(r#"{{"reasoning_details":[{{"type":"reasoning.{kind}","index":0,{rest}}}]}}"#)
    };
    let deltas = [
        detail("text", r#""text":"Two ""#),
        detail("text", r#""text":"cities.""#),
        detail("text", r#""text":"","signature":"c2ln""#),
        detail("encrypted", r#""data":"b64==""#),
        r#"{"content":"Let me see."}"#.to_owned(),
    ];
    let reply = streamed(&deltas.each_ref().map(String::as_str), Some("stop")).await;
    let message = message_at(&back(&reply).await, 1);
    assert_eq!(
        message["reasoning_details"],
        json!([
            {"type": "reasoning.text", "index": 0, "text": "Two cities.", "signature": "c2ln"},
            {"type": "reasoning.encrypted", "index": 0, "data": "b64=="},
        ])
    );
}

#[tokio::test]
async fn what_cannot_be_put_together_goes_back_in_plain_words() {
    let thinking = |text: &str| {
        format!(r#"{{"content":[{{"type":"thinking","thinking":[{{"type":"text","text":"{text}"}}]}}]}}"#)
    };
    let parts = [thinking("Two "), thinking("cities.")];
    let lists = streamed(&parts.each_ref().map(String::as_str), Some("stop")).await;
    assert_eq!((lists.text.as_str(), &lists.items), ("", &None));
    let uncommon =
        [r#"{"reasoning_text":"Two "}"#, r#"{"reasoning_text":"cities."}"#, r#"{"content":"Let me see."}"#];
    let uncommon = streamed(&uncommon, Some("stop")).await;
    assert_eq!((uncommon.text.as_str(), &uncommon.items), ("Let me see.", &None));
    assert_eq!(message_at(&back(&uncommon).await, 1), json!({"role": "assistant", "content": "Let me see."}));
    // As a whole it is what was said.
    let message = r#"{"role":"assistant","content":"a","reasoning_text":"Two cities."}"#;
    let plain = reply_to(CHAT, rules, whole(&completion(message, "stop")), false).await.unwrap();
    assert!(back(&plain).await.contains(message));
}
