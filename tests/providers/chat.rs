//! `OpenAI` chat completions, and what compatible servers make of them.

use host::config::RemoteConfig;
use host::message::{
    Arguments, ErrorKind, Json, Message, Origin, Reply, Rules, Stop, Tokens, ToolOutcome, ToolSpec,
};
use host::model::{ModelError, ModelRequest, connect};
use serde_json::{Value, json};
use wiremock::Request;

use super::{
    CHAT, KEY, Server, api, ask, call, config, header, list, model, reply_to, result, rule, sent_back, spec,
    tool, tool_result, value, whole,
};

/// What the provider checks: every call has a name, an id of its own, arguments that are an object in a text, and is
/// answered once, right after the message that makes it.
pub(super) fn rules(request: &Request, body: &Value) -> Result<(), String> {
    rule(request.url.path().ends_with("/chat/completions"), "not the path of chat completions")?;
    let key = header(request, "authorization");
    rule(key.is_empty() || key == format!("Bearer {KEY}"), "the key is not in the header")?;
    let mut open: Vec<String> = Vec::new();
    for message in list(&body["messages"], "messages")? {
        let role = message["role"].as_str().unwrap_or_default();
        rule(matches!(role, "system" | "user" | "assistant" | "tool"), "a message has no role")?;
        if role == "tool" {
            let id = message["tool_call_id"].as_str().ok_or("a result has no tool_call_id")?;
            let place = open.iter().position(|it| it == id).ok_or("a result answers no call")?;
            open.remove(place);
            continue;
        }
        rule(open.is_empty(), "a call is not answered by the messages that follow it")?;
        let Some(calls) = message.get("tool_calls") else {
            let content = &message["content"];
            rule(content.is_string() || content.is_array(), "content: expected a string, got null")?;
            continue;
        };
        rule(!list(calls, "tool_calls")?.is_empty(), "tool_calls is empty")?;
        for call in list(calls, "tool_calls")? {
            let id = call["id"].as_str().filter(|id| !id.is_empty()).ok_or("a call has no id")?;
            rule(!open.iter().any(|it| it == id), "two calls have one id")?;
            rule(
                call["function"]["name"].as_str().is_some_and(|name| !name.is_empty()),
                "a call has no name",
            )?;
            let arguments = call["function"]["arguments"].as_str().ok_or("arguments are not a text")?;
            rule(
                matches!(serde_json::from_str(arguments), Ok(Value::Object(_))),
                "arguments are not an object",
            )?;
            open.push(id.to_owned());
        }
    }
    let tools = body["tools"].as_array().into_iter().flatten();
    let strict: Vec<bool> = tools.map(|tool| tool["function"]["strict"] == true).collect();
    rule(strict.iter().all(|it| *it == strict[0]), "Tools with mixed values for 'strict' are not allowed")?;
    rule(open.is_empty(), "a call is not answered")
}

/// A body with one choice: a message and why it ended.
pub(super) fn completion(message: &str, finish_reason: &str) -> String {
    format!(
        r#"{{"id":"c1","object":"chat.completion","model":"m","usage":{{"prompt_tokens":11,"completion_tokens":7,
        "total_tokens":18}},"choices":[{{"index":0,"finish_reason":"{finish_reason}","message":{message}}}]}}"#
    )
}

async fn reply(body: &str) -> Result<Reply, ModelError> {
    reply_to(CHAT, rules, whole(body), false).await
}

pub(super) async fn back(reply: &Reply) -> String {
    sent_back(CHAT, rules, reply, whole(&completion(r#"{"content":"ok"}"#, "stop")), false).await
}

pub(super) fn message_at(body: &str, place: usize) -> Value {
    value(body)["messages"][place].clone()
}

#[tokio::test]
async fn a_request_is_exactly_what_was_asked_for() {
    let server = Server::start(rules, vec![whole(&completion(r#"{"content":"ok"}"#, "stop"))]).await;
    let open =
        r#"{"type":"object","required":["q"],"properties":{"q":{"type":"string"},"a":{"type":"number"}}}"#;
    let closed = r#"{"type":"object","additionalProperties":false,"required":["q"],"properties":{"q":{"type":"string"}}}"#;
    let tools = [spec("web__search", open), spec("zoom", closed)];
    let said = Reply {
        text: "Looking.".into(),
        calls: vec![call("a", "web__search", r#"{"q":"x"}"#), call("b", "web__search", r#"{"q":"y"}"#)],
        ..Reply::default()
    };
    let failed = ToolOutcome::error(ErrorKind::Timeout, "after 5 s");
    let messages = [
        Message::User("find x and y".into()),
        Message::Assistant(said),
        result("a", "web__search", 0),
        tool_result("b", "web__search", failed),
        Message::User("go on".into()),
    ];
    let request = ModelRequest {
        instructions: "Be brief.",
        temperature: Some(0.25),
        max_tokens: Some(512),
        ..ask(&messages, &tools)
    };
    let model = model(CHAT, &format!("{}/v1/", server.uri()), false);
    let reply = model.ask(&request).await.unwrap();
    assert_eq!((reply.text.as_str(), &reply.stop), ("ok", &Stop::End));
    assert_eq!(reply.tokens, Tokens { input: 11, output: 7 });

    let requests = server.server.received_requests().await.unwrap();
    let [sent] = &requests[..] else { panic!("one request, not {}", requests.len()) };
    assert_eq!((sent.method.as_str(), sent.url.path()), ("POST", "/v1/chat/completions"));
    assert_eq!(header(sent, "authorization"), format!("Bearer {KEY}"));
    assert_eq!(header(sent, "content-type"), "application/json");
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "web__search", "arguments": arguments}});
    assert_eq!(
        serde_json::from_slice::<Value>(&sent.body).unwrap(),
        json!({
            "model": "test-model",
            "temperature": 0.25,
            "max_tokens": 512,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "find x and y"},
                {"role": "assistant", "content": "Looking.",
                    "tool_calls": [call("a", r#"{"q":"x"}"#), call("b", r#"{"q":"y"}"#)]},
                {"role": "tool", "tool_call_id": "a", "content": r#"{"result":0}"#},
                {"role": "tool", "tool_call_id": "b", "content": "error (timed out): after 5 s"},
                {"role": "user", "content": "go on"},
            ],
            // One of them is not strict, so that none is.
            "tools": [
                {"type": "function", "function": {
                    "name": "web__search", "description": "Does web__search.", "parameters": value(open),
                }},
                {"type": "function", "function": {
                    "name": "zoom", "description": "Does zoom.", "parameters": value(closed),
                }},
            ],
        })
    );
    // Not only the same schema, but its members in the order in which the tool's author wrote them.
    let body = String::from_utf8_lossy(&sent.body);
    assert!(body.contains(open) && body.contains(closed), "{body}");
    // What is shown is what was sent.
    assert_eq!(model.written(&request).unwrap(), body);
}

#[tokio::test]
async fn nothing_is_sent_that_was_not_asked_for() {
    let server = Server::start(rules, vec![whole(&completion(r#"{"content":"ok"}"#, "stop"))]).await;
    let remote = RemoteConfig::new(api(CHAT), "m", &server.uri());
    let more = Json::parse(r#"{"reasoning_effort":"low"}"#.into()).unwrap();
    for extra in [None, Some(more)] {
        let model = connect(&config(RemoteConfig { extra, ..remote.clone() })).unwrap();
        model.ask(&ask(&[Message::User("hi".into())], &[])).await.unwrap();
    }
    for request in server.server.received_requests().await.unwrap() {
        assert!(!request.headers.contains_key("authorization"));
    }
    let plain = r#"{"messages":[{"role":"user","content":"hi"}],"model":"m"}"#;
    let more = r#"{"messages":[{"role":"user","content":"hi"}],"model":"m","reasoning_effort":"low"}"#;
    assert_eq!(server.bodies().await, [plain, more]);
}

#[tokio::test]
async fn reasoning_and_parallel_calls_come_back_byte_for_byte() {
    // Spacing, number forms, unknown members and member order that no re-encoding would keep.
    let message = r#"{ "tool_calls" : [
        {"type":"function","id":"functions.two:0","function":{"arguments":"{ \"n\": 1.50, \"a\":1e2 }","name":"two"},
         "extra_content":{"google":{"thought_signature":"c2ln"}}},
        {"id":"call_a","type":"function","function":{"name":"one","arguments":"{}"}} ],
        "role":"assistant", "content":null, "refusal":null, "reasoning_content":"First \u00e9…",
        "reasoning_details":[{"type":"reasoning.encrypted","data":"b64==","index":0,"weight":1.0E+2}] }"#;
    let reply = reply(&completion(message, "tool_calls")).await.unwrap();
    assert_eq!(reply.text, "");
    assert_eq!(reply.stop, Stop::ToolCalls);
    let calls = [call("functions.two:0", "two", r#"{"a":100.0,"n":1.5}"#), call("call_a", "one", "{}")];
    assert_eq!(reply.calls, calls);

    let body = back(&reply).await;
    assert!(body.contains(message), "{body}");
    let failed = "error (timed out): after 5 s";
    let answer = |id: &str, content: &str| json!({"role":"tool","tool_call_id":id,"content":content});
    assert_eq!(message_at(&body, 2), answer("functions.two:0", "{\"result\":0}"));
    assert_eq!(message_at(&body, 3), answer("call_a", failed));
}

#[tokio::test]
async fn what_one_model_said_goes_to_another_in_plain_words() {
    let message = r#"{"role":"assistant","content":"Hm.","reasoning_content":"secret thoughts","tool_calls":[
        {"id":"1","type":"function","function":{"name":"t","arguments":"{\"q\":\"a\"}"}}]}"#;
    let reply = reply(&completion(message, "tool_calls")).await.unwrap();
    let origin = reply.origin.clone().unwrap();
    assert_eq!((origin.provider.as_str(), origin.name.as_str()), ("openai", "test-model"));
    let call = json!({"id": "1", "type": "function", "function": {"name": "t", "arguments": r#"{"q":"a"}"#}});
    let provider = Origin { provider: "anthropic".into(), ..origin.clone() };
    for elsewhere in [provider, Origin { name: "another-model".into(), ..origin }] {
        let body = back(&Reply { origin: Some(elsewhere), ..reply.clone() }).await;
        assert!(!body.contains("secret thoughts"), "{body}");
        assert_eq!(
            message_at(&body, 1),
            json!({"role": "assistant", "content": "Hm.", "tool_calls": [call]})
        );
    }
    // What was recorded before replies said where they come from was a chat completion.
    let body = back(&Reply { origin: None, ..reply }).await;
    assert!(body.contains(message), "{body}");
}

#[tokio::test]
async fn nothing_said_is_an_empty_text_where_no_call_goes_along() {
    for message in [
        r#"{"role":"assistant","content":null,"reasoning_content":"Hm."}"#,
        r#"{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"","arguments":"{}"}}]}"#,
        r#"{"role":"assistant","tool_calls":[]}"#,
    ] {
        let reply = reply(&completion(message, "stop")).await.unwrap();
        assert_eq!(message_at(&back(&reply).await, 1)["content"], "", "{message}");
    }
}

#[test]
fn openai_itself_is_told_which_tools_are_strict() {
    let closed = r#"{"type":"object","additionalProperties":false,"required":["q"],"properties":{"q":{"type":"string"}}}"#;
    let strict = |base_url: &str, tools: &[ToolSpec]| {
        let messages = [Message::User("hi".into())];
        let written = model(CHAT, base_url, false).written(&ask(&messages, tools)).unwrap();
        let tools = value(&written)["tools"].as_array().unwrap().clone();
        tools.iter().map(|tool| tool["function"]["strict"] == true).collect::<Vec<_>>()
    };
    let mixed = [tool("open"), spec("closed", closed)];
    assert_eq!(strict("https://api.openai.com/v1", &mixed), [false, true]);
    assert_eq!(strict("https://api.cerebras.ai/v1", &mixed), [false, false]);
    assert_eq!(strict("https://api.cerebras.ai/v1", &mixed[1..]), [true]);
}

#[tokio::test]
async fn malformed_arguments_are_kept_and_go_back_as_an_object() {
    let message = r#"{"role":"assistant","content":"Hm.","tool_calls":[
        {"id":"1","type":"function","function":{"name":"t","arguments":"{\"q\": \"ab"}},
        {"id":"2","type":"function","function":{"name":"t","arguments":""}},
        {"id":"3","type":"function","function":{"name":"t","arguments":"[1]"}},
        {"id":"4","type":"function","function":{"name":"t","arguments":"{\"ok\": true}"}},
        {"id":"5","type":"function","function":{"name":"t"}}]}"#;
    let reply = reply(&completion(message, "tool_calls")).await.unwrap();
    let arguments: Vec<Arguments> = reply.calls.iter().map(|call| call.arguments.clone()).collect();
    assert_eq!(arguments[0], Arguments::Malformed(r#"{"q": "ab"#.into()));
    assert_eq!(arguments[1], Arguments::Json(Json::empty_object()));
    assert_eq!(arguments[2], Arguments::parse("[1]"));
    assert_eq!(arguments[3], Arguments::parse(r#"{"ok":true}"#));

    let assistant = message_at(&back(&reply).await, 1);
    assert_eq!(assistant["content"], "Hm.");
    let sent =
        |index: usize| assistant["tool_calls"][index]["function"]["arguments"].as_str().unwrap().to_owned();
    assert_eq!(sent(0), r#"{"malformed_arguments":"{\"q\": \"ab"}"#);
    assert_eq!(sent(1), "{}");
    assert_eq!(sent(2), r#"{"malformed_arguments":"[1]"}"#);
    assert_eq!(sent(3), r#"{"ok": true}"#);
    assert_eq!((&arguments[4], sent(4).as_str()), (&Arguments::parse("{}"), "{}"));
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
    let reply = reply(&completion(message, "tool_calls")).await.unwrap();
    let ids: Vec<&str> = reply.calls.iter().map(|call| &*call.id).collect();
    assert_eq!(ids, ["call_3_0", "same", "call_3_2", "call_3_3_", "call_3_3"]);
    for (n, call) in reply.calls.iter().enumerate() {
        assert_eq!(call.arguments, Arguments::parse(&format!("{{\"n\":{n}}}")));
    }
    let body = back(&reply).await;
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
    let body = back(&Reply { calls, ..Reply::default() }).await;
    let assistant = message_at(&body, 1);
    for n in 0..3 {
        assert_eq!(message_at(&body, 2 + n)["tool_call_id"], assistant["tool_calls"][n]["id"]);
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
        ("eos_token", Stop::Other("eos_token".into())),
        ("", Stop::Other("unknown".into())),
    ] {
        let reply = reply(&completion(plain, word)).await.unwrap();
        assert_eq!((reply.text.as_str(), reply.stop), ("a", stop), "{word}");
    }
    // A server that never says why it stopped may still sum up.
    assert!(reply(&completion(plain, "")).await.unwrap().is_summary(Rules::NOW));
    assert!(!reply(&completion(plain, "eos_token")).await.unwrap().is_summary(Rules::NOW));
    let refused = r#"{"role":"assistant","content":null,"refusal":"I can't."}"#;
    let refusal = reply(&completion(refused, "stop")).await.unwrap();
    assert_eq!((refusal.text.as_str(), refusal.stop), ("I can't.", Stop::Refusal));
    let cut = r#"{"role":"assistant","content":"","tool_calls":[
        {"id":"1","type":"function","function":{"name":"t","arguments":"{\"q\":"}}]}"#;
    let cut = reply(&completion(cut, "length")).await.unwrap();
    assert_eq!(cut.stop, Stop::MaxTokens);
    assert_eq!(cut.calls[0].arguments, Arguments::Malformed(r#"{"q":"#.into()));
}

#[tokio::test]
async fn servers_may_leave_out_what_does_not_matter() {
    let reply =
        reply(r#"{"choices":[{"index":1,"message":{"content":"a","tool_calls":[]}}]}"#).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.tokens), ("a", Tokens::default()));
    assert_eq!(message_at(&back(&reply).await, 1), json!({"content": "a", "role": "assistant"}));
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
    ] {
        match reply(body).await {
            Err(ModelError::Malformed { url, reason }) => {
                assert!(url.starts_with("http://127.0.0.1:"), "{url}");
                assert!(!reason.is_empty());
            }
            other => panic!("{body}: {other:?}"),
        }
    }
    let error = reply("<!doctype html><title>Log in</title>").await.unwrap_err().to_string();
    assert!(error.contains("a page of HTML, \"Log in\"") && !error.contains('<'), "{error}");
}
