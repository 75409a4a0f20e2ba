//! What was said before, as it is in every request: the same bytes each time, and calls that can be told apart.

use std::collections::{BTreeMap, HashSet};

use host::message::{Arguments, Message, Origin, Reply, ToolCall};
use host::model::{Model, ModelRequest};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::chat::{completion, rules};
use super::{
    ALL, ANTHROPIC, CHAT, GEMINI, OLLAMA, RESPONSES, Server, anthropic, ask, call, model, result, sent_back,
    tool, value, whole,
};

/// The member of a request that holds the conversation.
fn conversation(provider: &str) -> &'static str {
    match provider {
        RESPONSES => "input",
        GEMINI => "contents",
        _ => "messages",
    }
}

fn calling(id: &str) -> Reply {
    Reply { text: "Let me see.".into(), calls: vec![call(id, "t", r#"{"q":"x"}"#)], ..Reply::default() }
}

#[test]
fn what_was_sent_is_sent_again_as_the_same_bytes() {
    let messages = [
        Message::User("hi".into()),
        Message::Assistant(calling("a")),
        result("a", "t", 0),
        Message::Assistant(calling("b")),
        result("b", "t", 1),
    ];
    let tools = [tool("t"), tool("u")];
    for provider in ALL {
        let model = model(provider, "http://127.0.0.1:1", false);
        let members = |count: usize| -> BTreeMap<String, Box<RawValue>> {
            let request = ModelRequest { instructions: "Be brief.", ..ask(&messages[..count], &tools) };
            serde_json::from_str(&model.written(&request).unwrap()).unwrap()
        };
        let (mut first, mut second) = (members(3), members(5));
        let taken = |members: &mut BTreeMap<String, Box<RawValue>>| {
            let text = members.remove(conversation(provider)).unwrap();
            serde_json::from_str::<Vec<Box<RawValue>>>(text.get()).unwrap()
        };
        let (before, after) = (taken(&mut first), taken(&mut second));
        for (name, member) in &first {
            assert_eq!(member.get(), second[name].get(), "{provider}: {name}");
        }
        assert_eq!(first.len(), second.len(), "{provider}");
        // Anthropic's mark for its cache stands in the last message, wherever that is, and is not part of what is cached.
        let same = before.len() - usize::from(provider == ANTHROPIC);
        assert!(after.len() > before.len() && same > 0, "{provider}");
        for (before, after) in before.iter().zip(&after).take(same) {
            assert_eq!(before.get(), after.get(), "{provider}");
        }
    }
}

/// The ids of all calls in a request for a chat completion, which the server takes.
async fn sent_ids(model: &dyn Model, server: &Server, messages: &[Message]) -> Vec<String> {
    model.ask(&ask(messages, &[tool("t")])).await.unwrap();
    let body = value(server.bodies().await.last().unwrap());
    let messages = body["messages"].as_array().unwrap().clone();
    let calls = messages.iter().filter_map(|message| message["tool_calls"].as_array()).flatten();
    calls.map(|call| call["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn ids_that_were_made_up_do_not_repeat_over_the_runs_of_a_conversation() {
    let server = Server::start(rules, vec![whole(&completion(r#"{"content":"ok"}"#, "stop"))]).await;
    let model = model(CHAT, &server.uri(), false);
    let own =
        Origin { provider: CHAT.into(), name: "test-model".into(), base_url: server.uri(), streamed: false };
    let items = r#"{"role":"assistant","content":null,"tool_calls":[{"id":"call_0_0","type":"function","function":{"name":"t","arguments":"{}"}}]}"#;
    let items = Some(host::message::Json::parse(items.into()).unwrap());
    let echoed =
        Reply { items, origin: Some(own), calls: vec![call("call_0_0", "t", "{}")], ..Reply::default() };
    let turn = |reply: &Reply, id: &str| {
        [Message::User("hi".into()), Message::Assistant(reply.clone()), result(id, "t", 0)]
    };
    let plain = calling("call_0_0");
    let messages = [
        turn(&plain, "call_0_0"),
        turn(&echoed, "call_0_0"),
        turn(&plain, "call_0_0"),
        turn(&calling(""), ""),
    ]
    .concat();
    let ids = sent_ids(model.as_ref(), &server, &messages).await;
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 4, "{ids:?}");
    assert_eq!(ids[1], "call_0_0", "what is stored stays as it is");
    assert_eq!(sent_ids(model.as_ref(), &server, &messages).await, ids, "and none is random");
}

#[tokio::test]
async fn an_id_is_made_up_beside_those_that_were_before() {
    let message = r#"{"role":"assistant","content":"","tool_calls":[{"type":"function","function":{"name":"t","arguments":"{}"}}]}"#;
    let server = Server::start(rules, vec![whole(&completion(message, "tool_calls"))]).await;
    let earlier = ToolCall { id: "call_3_0".into(), name: "t".into(), arguments: Arguments::parse("{}") };
    let earlier = Reply { calls: vec![earlier], ..Reply::default() };
    let messages = [Message::User("hi".into()), Message::Assistant(earlier), result("call_3_0", "t", 0)];
    let reply = model(CHAT, &server.uri(), false).ask(&ask(&messages, &[tool("t")])).await.unwrap();
    assert_eq!(reply.calls[0].id, "call_3_0_");
}

#[tokio::test]
async fn an_id_that_another_provider_would_not_take_is_replaced() {
    let body = anthropic::back(&calling("functions.t:0")).await;
    let messages = value(&body)["messages"].clone();
    assert_eq!(messages[1]["content"][1]["id"], messages[2]["content"][0]["tool_use_id"]);
    let ok = whole(r#"{"message":{"role":"assistant","content":"ok"},"done":true,"done_reason":"stop"}"#);
    let body = sent_back(OLLAMA, super::ollama::rules, &calling("functions.t:0"), ok, false).await;
    let sent: Value = value(&body)["messages"][1]["tool_calls"][0]["function"]["arguments"].clone();
    assert_eq!(sent, json!({"q": "x"}));
}
