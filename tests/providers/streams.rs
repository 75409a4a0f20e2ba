//! What comes piece by piece, for all providers alike.

use host::message::{Message, ModelFailure, Reply, Stop};
use host::model::ModelError;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use wiremock::ResponseTemplate;

use super::chat_streams::stream as chat_stream;
use super::{
    ALL, ANTHROPIC, CHAT, GEMINI, OLLAMA, RESPONSES, Rules, Server, anthropic, ask, chat, events, gemini,
    model, no_rules, ollama, reply_to, responses, tool, value,
};

/// The id of a call, and its arguments if it states any.
type Called<'a> = (&'a str, Option<&'a str>);

pub(super) fn rules(provider: &str) -> Rules {
    match provider {
        CHAT => chat::rules,
        RESPONSES => responses::rules,
        ANTHROPIC => anthropic::rules,
        GEMINI => gemini::rules,
        _ => ollama::rules,
    }
}

pub(super) async fn back(provider: &str, reply: &Reply) -> String {
    match provider {
        CHAT => chat::back(reply).await,
        RESPONSES => responses::back(reply).await,
        ANTHROPIC => anthropic::back(reply).await,
        GEMINI => gemini::back(reply).await,
        _ => ollama::back(reply).await,
    }
}

fn texts(list: &[Value]) -> Vec<String> {
    list.iter().map(Value::to_string).collect()
}

fn strs(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

/// The stream of a reply that only makes calls of the tool `t`.
fn calls(provider: &str, calls: &[Called<'_>]) -> ResponseTemplate {
    match provider {
        CHAT => {
            let parts = calls.iter().enumerate().map(|(index, (id, arguments))| {
                let mut function = json!({"name": "t"});
                if let Some(arguments) = arguments {
                    function["arguments"] = json!(arguments);
                }
                json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]})
            });
            chat_stream(&strs(&texts(&parts.collect::<Vec<_>>())), Some("tool_calls"))
        }
        RESPONSES => responses_stream(calls),
        ANTHROPIC => anthropic_stream(calls),
        GEMINI => {
            let parts = calls.iter().map(|(id, arguments)| {
                let mut call = json!({"id": id, "name": "t"});
                if let Some(arguments) = arguments {
                    call["args"] = serde_json::from_str(arguments).unwrap_or(json!({}));
                }
                json!({ "functionCall": call }).to_string()
            });
            let parts: Vec<String> = parts.collect();
            events(&[&gemini::answer(&strs(&parts), "STOP").replace('\n', "")])
        }
        _ => {
            let list = calls.iter().map(|(id, arguments)| {
                let mut function = json!({"name": "t"});
                if let Some(arguments) = arguments {
                    function["arguments"] = serde_json::from_str(arguments).unwrap_or(json!({}));
                }
                json!({ "id": id, "function": function })
            });
            let message = json!({"role": "assistant", "content": "", "tool_calls": list.collect::<Vec<_>>()});
            let line = json!({"model": "m", "message": message, "done": false}).to_string();
            ollama::lines(&[&line, &ollama::answer(r#"{"role":"assistant","content":""}"#, "stop")])
        }
    }
}

fn responses_stream(calls: &[Called<'_>]) -> ResponseTemplate {
    let mut stream = Vec::new();
    let mut items = Vec::new();
    for (index, (id, arguments)) in calls.iter().enumerate() {
        let item = json!({"id": format!("fc_{index}"), "type": "function_call", "call_id": id, "name": "t"});
        let mut done = item.clone();
        if let Some(arguments) = arguments {
            done["arguments"] = json!(arguments);
        }
        stream.push(json!({"type": "response.output_item.added", "output_index": index, "item": item}));
        if let Some(arguments) = arguments.filter(|text| !text.is_empty()) {
            stream.push(json!({"type": "response.function_call_arguments.delta", "output_index": index, "item_id": format!("fc_{index}"), "delta": arguments}));
        }
        stream.push(json!({"type": "response.output_item.done", "output_index": index, "item": done}));
        items.push(done);
    }
    let response = responses::response(&strs(&texts(&items)), "");
    stream.push(json!({"type": "response.completed", "response": value(&response)}));
    events(&strs(&texts(&stream)))
}

fn anthropic_stream(calls: &[Called<'_>]) -> ResponseTemplate {
    let message = json!({"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": null, "usage": {"input_tokens": 1, "output_tokens": 1}});
    let mut stream = vec![json!({"type": "message_start", "message": message})];
    for (index, (id, arguments)) in calls.iter().enumerate() {
        let block = json!({"type": "tool_use", "id": id, "name": "t", "input": {}});
        stream.push(json!({"type": "content_block_start", "index": index, "content_block": block}));
        if let Some(arguments) = arguments {
            let delta = json!({"type": "input_json_delta", "partial_json": arguments});
            stream.push(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        stream.push(json!({"type": "content_block_stop", "index": index}));
    }
    stream.push(
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}}),
    );
    stream.push(json!({"type": "message_stop"}));
    events(&strs(&texts(&stream)))
}

#[tokio::test]
async fn a_stream_is_asked_for() {
    for provider in ALL {
        let server = Server::start(no_rules, vec![calls(provider, &[("a", Some("{}"))])]).await;
        let messages = [Message::User("hi".into())];
        model(provider, &server.uri(), true).ask(&ask(&messages, &[tool("t")])).await.unwrap();
        let request = server.server.received_requests().await.unwrap().remove(0);
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        if provider == GEMINI {
            assert!(request.url.path().ends_with(":streamGenerateContent"), "{}", request.url);
            assert_eq!(request.url.query(), Some("alt=sse"));
        } else {
            assert_eq!(body["stream"], true, "{provider}");
        }
    }
}

#[tokio::test]
async fn calls_without_arguments_have_an_empty_object() {
    for provider in ALL {
        for arguments in [Some(""), None] {
            let stream = calls(provider, &[("a", arguments), ("b", Some(r#"{"q":"x"}"#))]);
            let reply = reply_to(provider, rules(provider), stream, true).await.unwrap();
            let expected = [super::call("a", "t", "{}"), super::call("b", "t", r#"{"q":"x"}"#)];
            assert_eq!(reply.calls, expected, "{provider}, {arguments:?}");
            assert_eq!(reply.stop, Stop::ToolCalls, "{provider}");
            back(provider, &reply).await;
        }
    }
}

#[tokio::test]
async fn calls_with_one_id_are_told_apart() {
    for provider in ALL {
        let stream = calls(provider, &[("a", Some(r#"{"q":"x"}"#)), ("a", Some(r#"{"q":"y"}"#))]);
        let reply = reply_to(provider, rules(provider), stream, true).await.unwrap();
        let expected = [super::call("a", "t", r#"{"q":"x"}"#), super::call("call_3_1", "t", r#"{"q":"y"}"#)];
        assert_eq!(reply.calls, expected, "{provider}");
        back(provider, &reply).await;
    }
}

/// The stream of a reply that begins to speak and then refuses to.
fn refusal(provider: &str) -> ResponseTemplate {
    match provider {
        CHAT => {
            chat_stream(&[r#"{"role":"assistant","refusal":"I "}"#, r#"{"refusal":"can't."}"#], Some("stop"))
        }
        RESPONSES => {
            let item = r#"{"id":"m","type":"message","role":"assistant","status":"completed","content":[{"type":"refusal","refusal":"I can't."}]}"#;
            let delta = r#"{"type":"response.refusal.delta","item_id":"m","output_index":0,"content_index":0,"delta":"I can't."}"#;
            let added = r#"{"type":"response.output_item.added","output_index":0,"item":{"id":"m","type":"message","role":"assistant","status":"in_progress","content":[]}}"#;
            let done = format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{item}}}"#);
            let end =
                json!({"type": "response.completed", "response": value(&responses::response(&[item], ""))});
            events(&[added, delta, &done, &end.to_string()])
        }
        ANTHROPIC => events(&[
            r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1}}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"I can't."}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"refusal"},"usage":{"output_tokens":7}}"#,
            r#"{"type":"message_stop"}"#,
        ]),
        _ => {
            let said = gemini::answer(&[r#"{"text":"I can't."}"#], "SAFETY").replace('\n', "");
            events(&[&said])
        }
    }
}

#[tokio::test]
async fn a_refusal_is_one_in_pieces_too() {
    for provider in [CHAT, RESPONSES, ANTHROPIC, GEMINI] {
        let reply = reply_to(provider, rules(provider), refusal(provider), true).await.unwrap();
        assert_eq!((reply.text.as_str(), reply.stop), ("I can't.", Stop::Refusal), "{provider}");
    }
}

/// The beginning of each provider's stream.
fn beginning(provider: &str) -> String {
    let event = match provider {
        CHAT => r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"So"}}]}"#,
        RESPONSES => r#"{"type":"response.created","response":{"id":"r","object":"response","status":"in_progress","output":[]}}"#,
        ANTHROPIC => r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        GEMINI => r#"{"candidates":[{"content":{"parts":[{"text":"So"}],"role":"model"},"index":0}]}"#,
        _ => return "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"So\"},\"done\":false}\n".into(),
    };
    format!("data: {event}\n\n")
}

#[tokio::test]
async fn a_connection_that_is_reset_may_be_there_again() {
    for provider in ALL {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 8192]).await.unwrap();
            let kind = if provider == OLLAMA { "application/x-ndjson" } else { "text/event-stream" };
            let begun = beginning(provider);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{begun}\r\n",
                begun.len()
            );
            socket.write_all(head.as_bytes()).await.unwrap();
            // Closed with nothing to wait for, it is reset.
            socket.set_zero_linger().unwrap();
        });
        let messages = [Message::User("hi".into())];
        let error = model(provider, &base, true).ask(&ask(&messages, &[tool("t")])).await.unwrap_err();
        assert!(matches!(error, ModelError::CutOff { .. }), "{provider}: {error:?}");
        assert!(ModelFailure::from(error).may_pass);
        server.await.unwrap();
    }
}
