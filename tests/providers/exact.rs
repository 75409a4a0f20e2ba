//! Arguments come and go as they were written, for all providers alike: every digit of their numbers, whatever their
//! depth, in one piece or in several.

use host::message::{Arguments, Reply};
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::chat::completion;
use super::chat_streams::stream as chat_stream;
use super::streams::{back, rules};
use super::{
    ALL, ANTHROPIC, CHAT, GEMINI, RESPONSES, anthropic, events, gemini, ollama, reply_to, responses, whole,
};

/// The same number as text in JSON, in quotes.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// An answer that calls the tool `t` with these arguments.
fn answer(provider: &str, arguments: &str) -> ResponseTemplate {
    whole(&match provider {
        CHAT => {
            let function = format!(r#"{{"name":"t","arguments":{}}}"#, quoted(arguments));
            let call = format!(r#"{{"id":"a","type":"function","function":{function}}}"#);
            completion(
                &format!(r#"{{"role":"assistant","content":null,"tool_calls":[{call}]}}"#),
                "tool_calls",
            )
        }
        RESPONSES => responses::response(&[&item(&quoted(arguments))], ""),
        ANTHROPIC => {
            let block = format!(r#"{{"type":"tool_use","id":"a","name":"t","input":{arguments}}}"#);
            anthropic::message(&[&block], "tool_use")
        }
        GEMINI => gemini::answer(&[&part(arguments)], "STOP"),
        _ => ollama::answer(&message(arguments), "stop"),
    })
}

fn item(arguments: &str) -> String {
    format!(
        r#"{{"id":"fc_1","type":"function_call","status":"completed","arguments":{arguments},"call_id":"a","name":"t"}}"#
    )
}

fn part(arguments: &str) -> String {
    format!(r#"{{"functionCall":{{"name":"t","args":{arguments}}}}}"#)
}

fn message(arguments: &str) -> String {
    format!(
        r#"{{"role":"assistant","content":"","tool_calls":[{{"function":{{"name":"t","arguments":{arguments}}}}}]}}"#
    )
}

/// The same in pieces.
fn stream(provider: &str, arguments: &str) -> ResponseTemplate {
    let cut = arguments.len() / 2;
    let pieces = [&arguments[..cut], &arguments[cut..]];
    match provider {
        CHAT => {
            let delta = |call: Value| json!({"tool_calls": [call]}).to_string();
            let first = json!({"index": 0, "id": "a", "type": "function", "function": {"name": "t", "arguments": pieces[0]}});
            let second = json!({"index": 0, "function": {"arguments": pieces[1]}});
            chat_stream(&[&delta(first), &delta(second)], Some("tool_calls"))
        }
        RESPONSES => {
            let piece = |delta: &str| {
                json!({"type": "response.function_call_arguments.delta", "output_index": 0, "item_id": "fc_1", "delta": delta}).to_string()
            };
            let done = item(&quoted(arguments));
            let response = responses::response(&[&done], "").replace('\n', "");
            events(&[
                &format!(
                    r#"{{"type":"response.output_item.added","output_index":0,"item":{}}}"#,
                    item("\"\"")
                ),
                &piece(pieces[0]),
                &piece(pieces[1]),
                &format!(
                    r#"{{"type":"response.function_call_arguments.done","output_index":0,"item_id":"fc_1","arguments":{}}}"#,
                    quoted(arguments)
                ),
                &format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{done}}}"#),
                &format!(r#"{{"type":"response.completed","response":{response}}}"#),
            ])
        }
        ANTHROPIC => {
            let piece = |text: &str| {
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": text}}).to_string()
            };
            events(&[
                r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1}}}"#,
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"t","input":{}}}"#,
                &piece(pieces[0]),
                &piece(pieces[1]),
                r#"{"type":"content_block_stop","index":0}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":7}}"#,
                r#"{"type":"message_stop"}"#,
            ])
        }
        GEMINI => events(&[&gemini::answer(&[&part(arguments)], "STOP").replace('\n', "")]),
        _ => {
            let line = format!(r#"{{"model":"m","message":{},"done":false}}"#, message(arguments));
            ollama::lines(&[&line, &ollama::answer(r#"{"role":"assistant","content":""}"#, "stop")])
        }
    }
}

async fn replies(provider: &str, arguments: &str) -> [Reply; 2] {
    let whole = reply_to(provider, rules(provider), answer(provider, arguments), false).await.unwrap();
    let streamed = reply_to(provider, rules(provider), stream(provider, arguments), true).await.unwrap();
    [whole, streamed]
}

#[tokio::test]
async fn every_digit_comes_and_goes() {
    let wei = r#"{"wei":1000000000000000000001,"e":1E2,"f":5.0}"#;
    for provider in ALL {
        for reply in replies(provider, wei).await {
            let [call] = &reply.calls[..] else { panic!("{provider}: {} calls", reply.calls.len()) };
            let Arguments::Json(json) = &call.arguments else { panic!("{provider}: {call:?}") };
            assert_eq!(json.as_str(), r#"{"e":100,"f":5,"wei":1000000000000000000001}"#, "{provider}");
            for back in [back(provider, &reply).await, back(provider, &Reply { items: None, ..reply }).await]
            {
                assert!(
                    back.contains("1000000000000000000001") && !back.contains("kept-"),
                    "{provider}: {back}"
                );
            }
        }
    }
}

#[tokio::test]
async fn what_is_nested_too_deeply_is_the_models_to_mend() {
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for provider in ALL {
        for reply in replies(provider, &deep).await {
            let [call] = &reply.calls[..] else { panic!("{provider}: {} calls", reply.calls.len()) };
            assert!(call.arguments == Arguments::Malformed(deep.clone()), "{provider}");
            // Any parser reads what goes back.
            let back = back(provider, &reply).await;
            assert!(
                back.contains("malformed_arguments") && serde_json::from_str::<Value>(&back).is_ok(),
                "{provider}"
            );
        }
    }
}

#[tokio::test]
async fn what_no_tool_got_is_not_what_the_model_made() {
    for provider in ALL {
        let [reply, _] = replies(provider, r#"{"a":1,"a":2}"#).await;
        assert!(matches!(&reply.calls[0].arguments, Arguments::Malformed(_)), "{provider}");
        let plain = Reply { items: None, ..reply };
        let back = back(provider, &plain).await;
        assert!(back.contains("malformed_arguments"), "{provider}: {back}");
    }
}
