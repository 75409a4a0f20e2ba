//! `OpenAI` chat completions, and what compatible servers make of them.

use host::config::{Api, RemoteConfig};
use host::message::{Arguments, ErrorKind, Json, Message, Reply, Stop, Tokens, ToolOutcome};
use host::model::{ModelError, ModelRequest, connect};
use serde_json::{Value, json};
use wiremock::Request;

use super::{
    KEY, Server, ask, call, config, events, header, list, model, no_rules, reply_to, result, rule, sent_back,
    spec, tool, tool_result, value, whole,
};

/// What the provider checks: every call has a name, an id of its own, arguments that are an object in a text, and is
/// answered once, right after the message that makes it.
fn rules(request: &Request, body: &Value) -> Result<(), String> {
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
        let Some(calls) = message.get("tool_calls") else { continue };
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
    reply_to(Api::OpenAi, rules, whole(body), false).await
}

async fn back(reply: &Reply) -> String {
    sent_back(Api::OpenAi, rules, reply, whole(&completion(r#"{"content":"ok"}"#, "stop")), false).await
}

fn message_at(body: &str, place: usize) -> Value {
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
    let model = model(Api::OpenAi, &format!("{}/v1/", server.uri()), false);
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
            // Strict only where the schema is one that the provider can hold to.
            "tools": [
                {"type": "function", "function": {
                    "name": "web__search", "description": "Does web__search.", "parameters": value(open),
                }},
                {"type": "function", "function": {
                    "name": "zoom", "description": "Does zoom.", "parameters": value(closed), "strict": true,
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
    let (name, base_url) = ("m".to_owned(), server.uri());
    let remote = RemoteConfig {
        api: Api::OpenAi,
        name,
        base_url,
        key: None,
        stream: false,
        structured_output: false,
        extra: None,
    };
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
async fn what_one_provider_said_goes_to_another_in_plain_words() {
    let message = r#"{"role":"assistant","content":"Hm.","reasoning_content":"secret thoughts","tool_calls":[
        {"id":"1","type":"function","function":{"name":"t","arguments":"{\"q\":\"a\"}"}}]}"#;
    let reply = reply(&completion(message, "tool_calls")).await.unwrap();
    let origin = reply.origin.clone().unwrap();
    assert_eq!((origin.provider.as_str(), origin.name.as_str()), ("openai", "test-model"));
    let elsewhere = host::message::Origin { provider: "anthropic".into(), ..origin };
    let body = back(&Reply { origin: Some(elsewhere), ..reply.clone() }).await;
    assert!(!body.contains("secret thoughts"), "{body}");
    let call = json!({"id": "1", "type": "function", "function": {"name": "t", "arguments": r#"{"q":"a"}"#}});
    assert_eq!(message_at(&body, 1), json!({"role": "assistant", "content": "Hm.", "tool_calls": [call]}));
    // What was recorded before replies said where they come from was a chat completion.
    let body = back(&Reply { origin: None, ..reply }).await;
    assert!(body.contains(message), "{body}");
}

#[tokio::test]
async fn malformed_arguments_are_kept_and_go_back_as_an_object() {
    let message = r#"{"role":"assistant","content":"Hm.","tool_calls":[
        {"id":"1","type":"function","function":{"name":"t","arguments":"{\"q\": \"ab"}},
        {"id":"2","type":"function","function":{"name":"t","arguments":""}},
        {"id":"3","type":"function","function":{"name":"t","arguments":"[1]"}},
        {"id":"4","type":"function","function":{"name":"t","arguments":"{\"ok\": true}"}}]}"#;
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
        ("insufficient_system_resource", Stop::Other("insufficient_system_resource".into())),
        ("", Stop::Other("unknown".into())),
    ] {
        let reply = reply(&completion(plain, word)).await.unwrap();
        assert_eq!((reply.text.as_str(), reply.stop), ("a", stop), "{word}");
    }
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
    let reply = model(Api::OpenAi, &server.uri(), true).ask(&request).await.unwrap();
    let sent = value(&server.bodies().await[0]);
    assert_eq!((&sent["stream"], &sent["stream_options"]["include_usage"]), (&json!(true), &json!(true)));
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
    match reply_to(Api::OpenAi, rules, events(&[began]), true).await {
        Err(ModelError::Unreachable { reason, .. }) => {
            assert_eq!(reason, "the answer broke off before its end");
        }
        other => panic!("{other:?}"),
    }
    let failed = r#"{"error":{"message":"The server had an error","type":"server_error","code":null}}"#;
    match reply_to(Api::OpenAi, rules, events(&[began, failed]), true).await {
        Err(ModelError::Status { status: 500, message, .. }) => {
            assert_eq!(message, "The server had an error");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_read_all_the_same() {
    let body = completion(r#"{"role":"assistant","content":"whole"}"#, "stop");
    let reply = reply_to(Api::OpenAi, rules, whole(&body), true).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.stop), ("whole", Stop::End));
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
        r#"{"error":{"message":"no such model"}}"#,
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
    assert!(error.contains("<title>Log in"), "{error}");
    let error = reply(r#"{"error":{"message":"no such model"}}"#).await.unwrap_err().to_string();
    assert!(error.contains("no such model"), "{error}");
}

#[tokio::test]
async fn a_failure_inside_a_success_is_a_failure() {
    let answer = whole(r#"{"error":{"code":502,"message":"upstream is down"}}"#);
    match reply_to(Api::OpenAi, no_rules, answer, false).await {
        Err(ModelError::Status { status: 502, message, .. }) => assert_eq!(message, "upstream is down"),
        other => panic!("{other:?}"),
    }
}
