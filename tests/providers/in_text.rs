//! What servers leave in the text of replies, where agent.toml says so: reasoning between tags, and tool calls.

use std::sync::Mutex;

use host::config::{InText, ReasoningTags, RemoteConfig, TextCalls};
use host::message::{Arguments, Message, Reply, Stop};
use host::model::{ModelRequest, connect};
use proptest::prelude::*;
use serde_json::json;
use wiremock::ResponseTemplate;

use super::chat::{completion, message_at, rules};
use super::chat_streams::stream;
use super::ollama::{self, lines};
use super::{CHAT, OLLAMA, Rules, Server, api, ask, call, config, model, no_rules, result, tool, whole};

/// A turn as Qwen 3 writes it.
const TEXT: &str = "<think>\nTwo of them.\n</think>\n\nLet me see.\n<tool_call>\n{\"name\": \"t\", \"arguments\": {\"q\": \"</think>\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"t\", \"arguments\": {\"q\": 1";

fn qwen() -> InText {
    let reasoning = ReasoningTags { open: "<think>".to_owned(), close: "</think>".to_owned() };
    InText { reasoning: Some(reasoning), calls: Some(TextCalls::Hermes) }
}

/// What a model with these settings replies, and what is heard of it.
async fn replied(
    provider: &str,
    rules: Rules,
    in_text: InText,
    answers: Vec<ResponseTemplate>,
    stream: bool,
    messages: &[Message],
) -> (Reply, String) {
    let server = Server::start(rules, answers).await;
    let remote =
        RemoteConfig { in_text, stream, ..RemoteConfig::new(api(provider), "test-model", &server.uri()) };
    let heard = Mutex::new(String::new());
    let hear = |text: &str| heard.lock().unwrap().push_str(text);
    let tools = [tool("t")];
    let request = ModelRequest { heard: &hear, ..ask(messages, &tools) };
    let reply = connect(&config(remote)).unwrap().ask(&request).await.unwrap();
    (reply, heard.into_inner().unwrap())
}

fn hi() -> [Message; 1] {
    [Message::User("hi".into())]
}

fn said(text: &str, reason: &str) -> ResponseTemplate {
    whole(&completion(&json!({ "role": "assistant", "content": text }).to_string(), reason))
}

fn streamed(pieces: &[&str], reason: &str) -> ResponseTemplate {
    let deltas: Vec<String> = pieces.iter().map(|piece| json!({ "content": piece }).to_string()).collect();
    stream(&deltas.iter().map(String::as_str).collect::<Vec<_>>(), Some(reason))
}

/// What the text comes to, however it is sent.
fn is_read(reply: &Reply) {
    let broken = Arguments::Malformed("{\"name\": \"t\", \"arguments\": {\"q\": 1".to_owned());
    assert_eq!((reply.text.as_str(), &reply.stop), ("Let me see.", &Stop::ToolCalls));
    assert_eq!(reply.calls.len(), 2);
    assert_eq!(reply.calls[0], call("call_3_0", "t", r#"{"q":"</think>"}"#));
    assert_eq!(
        (&*reply.calls[1].id, &*reply.calls[1].name, &reply.calls[1].arguments),
        ("call_3_1", "t", &broken)
    );
}

#[tokio::test]
async fn reasoning_and_calls_are_told_from_what_is_said() {
    let (reply, ..) = replied(CHAT, rules, qwen(), vec![said(TEXT, "stop")], false, &hi()).await;
    is_read(&reply);
    let message = json!({ "role": "assistant", "content": TEXT }).to_string();
    let answer = format!(
        r#"{{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{message},"done":true,"done_reason":"stop"}}"#
    );
    let (reply, ..) = replied(OLLAMA, ollama::rules, qwen(), vec![whole(&answer)], false, &hi()).await;
    is_read(&reply);
    // Without being asked for, a text is a text.
    let (reply, ..) = replied(CHAT, rules, InText::default(), vec![said(TEXT, "stop")], false, &hi()).await;
    assert_eq!((reply.text.as_str(), reply.calls, reply.stop), (TEXT, vec![], Stop::End));
    // A reply that was cut off is one; its calls are not made.
    let (reply, ..) = replied(CHAT, rules, qwen(), vec![said(TEXT, "length")], false, &hi()).await;
    assert_eq!((reply.calls.len(), reply.stop), (2, Stop::MaxTokens));
}

#[tokio::test]
async fn a_stream_is_read_alike_and_no_part_of_a_tag_is_heard() {
    for size in [1, 2, 3, 7, 1000] {
        let chars: Vec<char> = TEXT.chars().collect();
        let pieces: Vec<String> = chars.chunks(size).map(|piece| piece.iter().collect()).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let answer = streamed(&pieces, "stop");
        let (reply, heard) = replied(CHAT, rules, qwen(), vec![answer], true, &hi()).await;
        is_read(&reply);
        assert_eq!(heard.trim(), "Let me see.", "in pieces of {size}");
    }
    let lines = lines(&[
        r#"{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"<thi"},"done":false}"#,
        r#"{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"nk>Hm.</think>So <"},"done":false}"#,
        r#"{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":" that."},"done":true,"done_reason":"stop"}"#,
    ]);
    let (reply, heard) = replied(OLLAMA, ollama::rules, qwen(), vec![lines], true, &hi()).await;
    assert_eq!((reply.text.as_str(), heard.as_str(), reply.calls), ("So < that.", "So < that.", vec![]));
}

#[tokio::test]
async fn calls_from_a_text_go_back_as_calls_and_what_was_said_alone_as_it_came() {
    let text =
        "<think>Hm.</think>Let me see.<tool_call>{\"name\":\"t\",\"arguments\":{\"q\":\"x\"}}</tool_call>";
    let (reply, _) = replied(CHAT, rules, qwen(), vec![said(text, "stop")], false, &hi()).await;
    let recorded: Reply = serde_json::from_str(&serde_json::to_string(&reply).unwrap()).unwrap();
    assert_eq!(recorded, reply);
    let origin = reply.origin.clone();
    let thought = "<think>Hm.</think>It is x.";
    let (answer, ..) = replied(CHAT, rules, qwen(), vec![said(thought, "stop")], false, &hi()).await;
    assert_eq!(answer.text, "It is x.");
    let next = Server::start(rules, vec![said("So.", "stop")]).await;
    let here = |reply: &Reply| {
        let origin = origin.clone().map(|origin| host::message::Origin { base_url: next.uri(), ..origin });
        Message::Assistant(Reply { origin, ..reply.clone() })
    };
    let id = &reply.calls[0].id;
    let messages = [
        Message::User("hi".into()),
        here(&reply),
        result(id, "t", 0),
        here(&answer),
        Message::User("And?".into()),
    ];
    model(CHAT, &next.uri(), false).ask(&ask(&messages, &[tool("t")])).await.unwrap();
    let sent = next.bodies().await.remove(0);
    let called = message_at(&sent, 1);
    assert_eq!(called["content"], "Let me see.", "{sent}");
    assert_eq!(
        called["tool_calls"][0]["function"],
        json!({ "name": "t", "arguments": "{\"q\":\"x\"}" }),
        "{sent}"
    );
    assert_eq!(message_at(&sent, 2)["tool_call_id"], called["tool_calls"][0]["id"], "{sent}");
    assert_eq!(message_at(&sent, 3)["content"], thought, "the server gets back what it said: {sent}");
}

#[tokio::test]
async fn each_call_has_an_id_of_its_own_in_a_conversation() {
    let one = "<tool_call>{\"name\":\"t\",\"arguments\":{}}</tool_call>";
    let (first, _) = replied(CHAT, rules, qwen(), vec![said(one, "stop")], false, &hi()).await;
    let messages =
        [Message::User("hi".into()), Message::Assistant(first.clone()), result(&first.calls[0].id, "t", 0)];
    let (second, ..) =
        replied(CHAT, rules, qwen(), vec![said(&one.repeat(2), "stop")], false, &messages).await;
    let ids: Vec<&str> = first.calls.iter().chain(&second.calls).map(|call| &*call.id).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[1] != ids[2], "{ids:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// However a text is cut and whatever it is, a stream of it is read as the whole of it.
    #[test]
    fn a_stream_is_the_whole(parts in prop::collection::vec(prop::sample::select(vec!["<think>", "</think>", "<tool_call>", "</tool_call>", "{\"name\":\"t\"", "}", "<", "So ", "\"", "\n"]), 1..9)) {
        let text = parts.concat();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (one, other, heard) = runtime.block_on(async {
            let (one, ..) = replied(CHAT, no_rules, qwen(), vec![said(&text, "stop")], false, &hi()).await;
            let answer = streamed(&parts, "stop");
            let (other, heard) = replied(CHAT, no_rules, qwen(), vec![answer], true, &hi()).await;
            (one, other, heard)
        });
        prop_assert_eq!((&one.text, &one.calls), (&other.text, &other.calls));
        prop_assert!(!heard.contains("<tool_call>"), "{}", heard);
    }
}
