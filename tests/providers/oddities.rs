//! What servers write that no documentation has: each is read as a person would read it, or asked for again.

use host::message::{Arguments, ModelFailure, Reply, Stop};
use host::model::ModelError;
use serde_json::json;
use wiremock::ResponseTemplate;

use super::chat::{back, completion, message_at, rules};
use super::chat_streams::stream;
use super::ollama::lines;
use super::{ALL, ANTHROPIC, CHAT, GEMINI, OLLAMA, RESPONSES, call, events, no_rules, reply_to, whole};

async fn streamed(deltas: &[&str], reason: Option<&str>) -> Result<Reply, ModelError> {
    reply_to(CHAT, rules, stream(deltas, reason), true).await
}

/// A piece of a call of the tool `t`.
fn piece(head: &str, arguments: &str) -> String {
    json!({"tool_calls": [{"function": {"arguments": arguments}}]}).to_string().replacen(
        "{\"function\":{",
        &format!("{{{head}\"function\":{{\"name\":\"t\","),
        1,
    )
}

/// A piece that only goes on with the call of this number.
fn more(index: u32, arguments: &str) -> String {
    json!({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}).to_string()
}

fn strs(deltas: &[String]) -> Vec<&str> {
    deltas.iter().map(String::as_str).collect()
}

const X: &str = r#"{"q":"x"}"#;
const Y: &str = r#"{"q":"y"}"#;
const A: &str = "\"index\":0,\"id\":\"a\",";
const B: &str = "\"index\":0,\"id\":\"b\",";

#[tokio::test]
async fn arguments_are_read_however_they_grow() {
    for deltas in [
        vec![piece(A, "{}"), more(0, X)],
        vec![piece(A, "{}"), more(0, r#"{"q""#), more(0, r#":"x"}"#)],
        vec![piece(A, r#"{"q""#), more(0, r#"{"q":"#), more(0, X)],
        vec![piece(A, r#"{"q""#), more(0, r#":"x"}"#), more(0, X)],
        vec![piece(A, r#"{"q""#), piece(A, r#":"x"}"#)],
        vec![piece(A, X), piece(A, X)],
        vec![piece(A, r#"{"q""#), piece(B, r#":"x"}"#)],
        vec![
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"t","arguments":{}}}]}"#.into(),
            more(0, X),
        ],
    ] {
        let reply = streamed(&strs(&deltas), Some("tool_calls")).await.unwrap();
        assert_eq!(reply.calls, [call("a", "t", X)], "{deltas:?}");
        assert_eq!(reply.stop, Stop::ToolCalls);
        let sent = message_at(&back(&reply).await, 1);
        assert_eq!(sent["tool_calls"][0]["function"], json!({"name": "t", "arguments": X}), "{sent}");
    }
}

#[tokio::test]
async fn another_id_is_another_call_whatever_its_number() {
    let two = [call("a", "t", X), call("b", "t", Y)];
    for deltas in [
        vec![piece(A, X), piece(B, Y)],
        vec![piece(A, r#"{"q":"#), more(0, "\"x\"}"), piece(B, "{}"), more(0, Y)],
        vec![piece("\"id\":\"a\",", X), piece("\"id\":\"b\",", Y)],
        vec![
            piece("\"id\":\"a\",", r#"{"q""#),
            piece("\"id\":\"b\",", r#"{"q""#),
            piece("\"id\":\"a\",", ":\"x\"}"),
            piece("\"id\":\"b\",", ":\"y\"}"),
        ],
    ] {
        let reply = streamed(&strs(&deltas), Some("tool_calls")).await.unwrap();
        assert_eq!(reply.calls, two, "{deltas:?}");
        let sent = message_at(&back(&reply).await, 1);
        assert_eq!(sent["tool_calls"].as_array().unwrap().len(), 2, "{sent}");
    }
    // Without any id it is what came that tells them apart.
    let reply = streamed(&strs(&[piece("", X), piece("", Y)]), Some("tool_calls")).await.unwrap();
    assert_eq!(reply.calls, [call("call_3_0", "t", X), call("call_3_1", "t", Y)]);
}

async fn asked_again(answer: ResponseTemplate, stream: bool) -> String {
    let error = reply_to(CHAT, rules, answer, stream).await.unwrap_err();
    let failure = ModelFailure::from(error);
    assert!(failure.may_pass, "{failure:?}");
    failure.message
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_asked_for_again() {
    let twice = stream(&strs(&[piece(A, X), more(0, Y)]), Some("tool_calls"));
    assert!(asked_again(twice, true).await.contains("in more than one way"));
    let torn = stream(&strs(&[piece(A, r#"{"q""#), piece(B, Y)]), Some("tool_calls"));
    assert!(asked_again(torn, true).await.contains("in more than one way"));
}

#[tokio::test]
async fn half_a_call_is_no_call_where_nobody_says_that_it_ends() {
    let half = piece(A, r#"{"q":"#);
    assert!(asked_again(stream(&[&half], None), true).await.contains("in the middle of a tool call"));
    // With a reason it is what the model wrote, and it is told so.
    let reply = streamed(&[&half], Some("tool_calls")).await.unwrap();
    assert_eq!(reply.calls[0].arguments, Arguments::Malformed(r#"{"q":"#.into()));
    assert_eq!(streamed(&[&half], Some("length")).await.unwrap().stop, Stop::MaxTokens);
    for nothing in
        [&[][..], &["{}"], &[r#"{"role":"assistant","content":""}"#], &[r#"{"reasoning_content":"Hm"}"#]]
    {
        asked_again(stream(nothing, None), true).await;
    }
    assert_eq!(streamed(&["{\"content\":\"So.\"}"], None).await.unwrap().text, "So.");
}

#[tokio::test]
async fn a_comment_is_no_data() {
    let chunk = |rest: &str| {
        format!(
            "{{\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\ndata: : ping\ndata: {rest}}}]}}"
        )
    };
    let said = chunk(r#""delta":{"content":"So."}"#);
    let end = chunk(r#""delta":{},"finish_reason":"stop""#);
    let body = format!(
        ": ping\n\ndata: : OPENROUTER PROCESSING\n\ndata:{said}\r\n\r\ndata: : ping\n\ndata: {end}\n\ndata:[DONE] \n\n"
    );
    let answer = ResponseTemplate::new(200).set_body_raw(body, "text/event-stream");
    let reply = reply_to(CHAT, rules, answer, true).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.stop), ("So.", Stop::End));
}

/// A stream of each provider in which these are the pieces of the text, each as JSON writes it.
fn said(provider: &str, pieces: &[&str]) -> ResponseTemplate {
    let each = |form: &dyn Fn(&str) -> String| pieces.iter().map(|piece| form(piece)).collect::<Vec<_>>();
    match provider {
        CHAT => stream(&strs(&each(&|text| format!(r#"{{"content":"{text}"}}"#))), Some("stop")),
        ANTHROPIC => {
            let mut all = vec![
                r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1}}}"#.to_owned(),
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#.to_owned(),
            ];
            all.extend(each(&|text| {
                format!(r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}"#)
            }));
            all.push(r#"{"type":"content_block_stop","index":0}"#.to_owned());
            all.push(
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}"#
                    .to_owned(),
            );
            all.push(r#"{"type":"message_stop"}"#.to_owned());
            events(&strs(&all))
        }
        GEMINI => {
            let mut all = each(&|text| {
                format!(
                    r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}],"role":"model"}},"index":0}}]}}"#
                )
            });
            all.push(r#"{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}]}"#.to_owned());
            events(&strs(&all))
        }
        RESPONSES => {
            let item = |text: &str| {
                format!(
                    r#"{{"id":"m","type":"message","role":"assistant","status":"completed","content":[{{"type":"output_text","text":"{text}","annotations":[]}}]}}"#
                )
            };
            let mut all = vec![r#"{"type":"response.output_item.added","output_index":0,"item":{"id":"m","type":"message","role":"assistant","status":"in_progress","content":[]}}"#.to_owned()];
            all.extend(each(&|text| {
                format!(r#"{{"type":"response.output_text.delta","item_id":"m","output_index":0,"content_index":0,"delta":"{text}"}}"#)
            }));
            let item = item(&pieces.concat());
            all.push(format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{item}}}"#));
            all.push(format!(r#"{{"type":"response.completed","response":{{"id":"r","object":"response","status":"completed","model":"m","output":[{item}],"usage":{{"input_tokens":1,"output_tokens":1,"total_tokens":2}}}}}}"#));
            events(&strs(&all))
        }
        _ => {
            let mut all = each(&|text| {
                format!(r#"{{"model":"m","message":{{"role":"assistant","content":"{text}"}},"done":false}}"#)
            });
            all.push(super::ollama::answer(r#"{"role":"assistant","content":""}"#, "stop"));
            lines(&strs(&all))
        }
    }
}

#[tokio::test]
async fn half_a_character_is_made_whole_or_shown_as_one_that_is_not() {
    for provider in ALL {
        for (pieces, expected) in [
            (&[r"ok \ud83d", r"\ude00 end"][..], "ok 😀 end"),
            (&[r"broken \ud83d emoji"], "broken \u{fffd} emoji"),
            (&[r"a \ud83d", r"b", r"\ude00"], "a \u{fffd}b\u{fffd}"),
            (&[r"cut \ud83d"], "cut \u{fffd}"),
        ] {
            let reply = reply_to(provider, no_rules, said(provider, pieces), true).await;
            assert_eq!(reply.unwrap().text, expected, "{provider}: {pieces:?}");
        }
    }
}

#[tokio::test]
async fn half_a_character_in_a_whole_answer_too() {
    let broken = r#"{"role":"assistant","content":"broken \ud83d emoji"}"#;
    for (provider, body) in [
        (CHAT, completion(broken, "stop")),
        (OLLAMA, super::ollama::answer(broken, "stop")),
        (GEMINI, super::gemini::answer(&[r#"{"text":"broken \ud83d emoji"}"#], "STOP")),
    ] {
        let reply = reply_to(provider, no_rules, whole(&body), false).await.unwrap();
        assert_eq!(reply.text, "broken \u{fffd} emoji", "{provider}");
        let items = reply.items.unwrap();
        assert!(items.as_str().contains("ufffd"), "what goes back can be read: {items}");
    }
    // Bytes that are no text at all are shown as such, too.
    let mut body = completion(r#"{"role":"assistant","content":"a?b"}"#, "stop").into_bytes();
    let at = body.windows(3).position(|bytes| bytes == b"a?b").unwrap() + 1;
    body[at] = 0xff;
    let answer = ResponseTemplate::new(200).set_body_raw(body, "application/json");
    assert_eq!(reply_to(CHAT, rules, answer, false).await.unwrap().text, "a\u{fffd}b");
}

#[tokio::test]
async fn half_a_character_in_arguments_is_no_reason_to_refuse_the_call() {
    let called = r#"{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"t","arguments":"{\"q\":\"x \\ud83d\"}"}}]}"#;
    let expected = [call("a", "t", "{\"q\":\"x \u{fffd}\"}")];
    let reply = reply_to(CHAT, rules, whole(&completion(called, "tool_calls")), false).await.unwrap();
    assert_eq!(reply.calls, expected);
    let sent = message_at(&back(&reply).await, 1);
    assert!(!sent.to_string().contains("malformed"), "{sent}");
    let deltas = [piece(A, r#"{"q":"x \ud83d"#), more(0, "\"}")];
    assert_eq!(streamed(&strs(&deltas), Some("tool_calls")).await.unwrap().calls, expected);
    // Cut between the halves of the inner text, they meet by themselves.
    let deltas = [piece(A, r#"{"q":"\ud83d"#), more(0, r#"\ude00"}"#)];
    let reply = streamed(&strs(&deltas), Some("tool_calls")).await.unwrap();
    assert_eq!(reply.calls, [call("a", "t", r#"{"q":"😀"}"#)]);
}

#[tokio::test]
async fn what_cannot_be_read_may_be_readable_the_next_time() {
    for body in ["<html>Bad gateway</html>", "{\"choices\":[{\"mess", "{}"] {
        asked_again(whole(body), false).await;
    }
}

#[tokio::test]
async fn a_whole_answer_in_one_event_is_read_as_one() {
    for (arguments, expected) in [
        ("{\"q\":1e0}", Arguments::parse("{\"q\":1}")),
        ("[1", Arguments::Malformed("[1".into())),
        ("", Arguments::parse("")),
    ] {
        let call = json!({"id": "a", "type": "function", "function": {"name": "t", "arguments": arguments}});
        let message = json!({"role": "assistant", "content": null, "tool_calls": [call]}).to_string();
        let answer = completion(&message, "tool_calls").replace('\n', "");
        let reply = reply_to(CHAT, rules, events(&[&answer, "[DONE]"]), true).await.unwrap();
        assert_eq!(reply.calls[0].arguments, expected, "{reply:?}");
        let sent = message_at(&back(&reply).await, 1)["tool_calls"][0]["function"]["arguments"].clone();
        let sent: serde_json::Value = serde_json::from_str(sent.as_str().unwrap()).unwrap();
        assert!(sent.is_object(), "the provider takes it back: {sent}");
    }
}
