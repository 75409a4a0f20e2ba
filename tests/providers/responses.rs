//! `OpenAI` responses.

use host::message::{Arguments, Message, Origin, Reply, Stop, Tokens};
use host::model::{ModelError, ModelRequest};
use serde_json::{Value, json};
use wiremock::Request;

use super::{
    KEY, RESPONSES, Server, ask, call, events, header, list, model, named, reply_to, result, rule, sent_back,
    spec, tool, value, whole,
};

/// What the provider checks: nothing is stored, so reasoning is encrypted and followed by what it led to; every call
/// is answered once, after it; every function says whether it is strict.
pub(super) fn rules(request: &Request, body: &Value) -> Result<(), String> {
    rule(request.url.path() == "/responses", "not the path of responses")?;
    rule(header(request, "authorization") == format!("Bearer {KEY}"), "the key is not in the header")?;
    rule(body["store"] == false, "what is stored cannot be kept from others")?;
    // A model that does not reason is not asked for reasoning, and takes none of another's.
    let reasons = !body["model"].as_str().is_some_and(|name| name.starts_with("gpt-4"));
    let included =
        body["include"].as_array().is_some_and(|it| it.contains(&json!("reasoning.encrypted_content")));
    rule(!reasons || included, "reasoning would not come back")?;
    rule(reasons || !included, "Encrypted content is not supported with this model.")?;
    let tools = body["tools"].as_array().into_iter().flatten();
    let strict: Vec<&Value> = tools.map(|tool| &tool["strict"]).collect();
    rule(strict.iter().all(|it| *it == strict[0]), "Tools with mixed values for 'strict' are not allowed")?;
    for tool in body["tools"].as_array().into_iter().flatten() {
        rule(tool["type"] == "function" && tool["name"].is_string(), "a tool is not a function")?;
        rule(tool["strict"].is_boolean(), "a function does not say whether it is strict, and would be")?;
    }
    let mut open: Vec<&str> = Vec::new();
    let items = list(&body["input"], "input")?;
    for (place, item) in items.iter().enumerate() {
        match item["type"].as_str().unwrap_or("message") {
            "message" => rule(item["role"].is_string(), "a message has no role")?,
            "reasoning" => {
                rule(reasons, "reasoning of another model")?;
                rule(
                    item["encrypted_content"].is_string(),
                    "reasoning without its content is not known here",
                )?;
                let next = items.get(place + 1).map(|next| next["type"].as_str().unwrap_or_default());
                rule(
                    matches!(next, Some("function_call" | "message" | "reasoning")),
                    "reasoning led to nothing",
                )?;
            }
            "function_call" => {
                let id =
                    item["call_id"].as_str().filter(|id| !id.is_empty()).ok_or("a call has no call_id")?;
                rule(id.len() <= 64 && !open.contains(&id), "a call_id is too long or taken")?;
                let arguments = item["arguments"].as_str().ok_or("arguments are not a text")?;
                rule(serde_json::from_str::<Value>(arguments).is_ok_and(|it| it.is_object()), "no object")?;
                rule(item["status"] != "incomplete", "an incomplete call")?;
                open.push(id);
            }
            "function_call_output" => {
                let id = item["call_id"].as_str().unwrap_or_default();
                let place = open.iter().position(|it| *it == id).ok_or("an output answers no call")?;
                open.remove(place);
                let texts = item["output"].as_array().into_iter().flatten();
                let plain =
                    item["output"].is_string() || texts.clone().all(|part| part["type"] == "input_text");
                rule(plain && (item["output"].is_string() || texts.count() > 0), "an output is not a text")?;
            }
            other => return Err(format!("an item of type {other}")),
        }
    }
    rule(open.is_empty(), "No tool output found for function call")
}

pub(super) const REASONING: &str =
    r#"{ "id":"rs_1", "type":"reasoning", "summary":[], "encrypted_content":"gAAAA\u002b==", "extra":1.50 }"#;
pub(super) const COMMENTARY: &str = r#"{"id":"msg_1","type":"message","status":"completed","role":"assistant","phase":"commentary","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"Let me see."}]}"#;
const CALL_A: &str = r#"{"id":"fc_1","type":"function_call","status":"completed","arguments":"{ \"q\":\"x\" }","call_id":"call_a","name":"t"}"#;
const CALL_B: &str = r#"{"id":"fc_2","type":"function_call","status":"completed","arguments":"","call_id":"call_b","name":"t"}"#;

pub(super) fn response(items: &[&str], more: &str) -> String {
    format!(
        r#"{{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"m","output":[{}],{more}
        "usage":{{"input_tokens":11,"output_tokens":7,"total_tokens":18}}}}"#,
        items.join(",")
    )
}

async fn reply(body: &str) -> Result<Reply, ModelError> {
    reply_to(RESPONSES, rules, whole(body), false).await
}

pub(super) async fn back(reply: &Reply) -> String {
    let ok = response(
        &[
            r#"{"id":"m","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"ok","annotations":[]}]}"#,
        ],
        "",
    );
    sent_back(RESPONSES, rules, reply, whole(&ok), false).await
}

#[tokio::test]
async fn reasoning_phases_and_calls_go_back_byte_for_byte() {
    let items = [REASONING, COMMENTARY, CALL_A, CALL_B];
    let reply = reply(&response(&items, "")).await.unwrap();
    assert_eq!((reply.text.as_str(), &reply.stop), ("Let me see.", &Stop::ToolCalls));
    assert_eq!(reply.calls, [call("call_a", "t", r#"{"q":"x"}"#), call("call_b", "t", "{}")]);
    assert_eq!(reply.tokens, Tokens { input: 11, output: 7 });
    let body = back(&reply).await;
    for item in [REASONING, COMMENTARY, CALL_A] {
        assert!(body.contains(item), "{item}\nis not in\n{body}");
    }
    let input = value(&body)["input"].clone();
    // Arguments that are none become an object, or the provider would refuse the conversation.
    assert_eq!((&input[4]["call_id"], &input[4]["arguments"]), (&json!("call_b"), &json!("{}")));
    assert_eq!((&input[5]["call_id"], &input[6]["call_id"]), (&json!("call_a"), &json!("call_b")));
}

#[tokio::test]
async fn a_request_says_what_is_strict_and_stores_nothing() {
    let server = Server::start(rules, vec![whole(&response(&[COMMENTARY], ""))]).await;
    let closed = r#"{"type":"object","additionalProperties":false,"required":["q"],"properties":{"q":{"type":"string"}}}"#;
    let tools = [tool("open"), spec("closed", closed)];
    let messages = [Message::User("hi".into())];
    let request = ModelRequest { instructions: "Be brief.", max_tokens: Some(9), ..ask(&messages, &tools) };
    model(RESPONSES, &server.uri(), false).ask(&request).await.unwrap();
    let body = server.bodies().await.remove(0);
    let sent = value(&body);
    assert_eq!((&sent["instructions"], &sent["max_output_tokens"]), (&json!("Be brief."), &json!(9)));
    assert_eq!((&sent["tools"][0]["name"], &sent["tools"][0]["strict"]), (&json!("open"), &json!(false)));
    // The other one could be strict, and is not because not all are.
    assert_eq!((&sent["tools"][1]["name"], &sent["tools"][1]["strict"]), (&json!("closed"), &json!(false)));
    assert!(body.contains(closed), "{body}");
    let itself = model(RESPONSES, "https://api.openai.com/v1", false).written(&request).unwrap();
    let strict = |index: usize| value(&itself)["tools"][index]["strict"].clone();
    assert_eq!((strict(0), strict(1)), (json!(false), json!(true)));
}

#[test]
fn reasoning_is_asked_for_of_models_that_may_reason() {
    let include = |name: &str, extra: Option<Value>| {
        let messages = [Message::User("hi".into())];
        let model = named(RESPONSES, name, "https://api.openai.com/v1", false, extra);
        value(&model.written(&ask(&messages, &[])).unwrap()).get("include").cloned()
    };
    let encrypted = Some(json!(["reasoning.encrypted_content"]));
    for name in
        ["o1", "o3-mini", "o4-mini", "gpt-5", "gpt-5.1-codex", "gpt-oss-120b", "my-model", "openai/gpt-5"]
    {
        assert_eq!(include(name, None), encrypted, "{name}");
    }
    for name in [
        "gpt-4o",
        "gpt-4o-mini",
        "gpt-4.1",
        "gpt-4",
        "gpt-4-turbo",
        "gpt-3.5-turbo",
        "chatgpt-4o-latest",
        "ft:gpt-4o:me::1",
        "openai/gpt-4.1",
    ] {
        assert_eq!(include(name, None), None, "{name}");
        assert_eq!(include(name, Some(json!({"store": false}))), None, "{name}");
    }
    let logprobs = json!({"include": ["message.output_text.logprobs"]});
    let both = json!(["message.output_text.logprobs", "reasoning.encrypted_content"]);
    assert_eq!(include("gpt-5", Some(logprobs.clone())), Some(both.clone()));
    assert_eq!(include("gpt-5", Some(json!({ "include": both }))), Some(both));
    assert_eq!(include("gpt-5", Some(json!({ "include": [] }))), None, "nothing was asked for");
    assert_eq!(include("gpt-4.1", Some(logprobs)), Some(json!(["message.output_text.logprobs"])));
}

#[tokio::test]
async fn what_one_model_reasoned_is_nothing_to_another() {
    let said = reply(&response(&[REASONING, COMMENTARY, CALL_A], "")).await.unwrap();
    let server = Server::start(rules, vec![whole(&response(&[COMMENTARY], ""))]).await;
    let origin =
        said.origin.clone().map(|origin| Origin { name: "gpt-5".into(), base_url: server.uri(), ..origin });
    let said = Reply { origin, ..said };
    let messages = [Message::User("hi".into()), Message::Assistant(said), result("call_a", "t", 0)];
    for name in ["gpt-4.1", "gpt-5"] {
        named(RESPONSES, name, &server.uri(), false, None).ask(&ask(&messages, &[tool("t")])).await.unwrap();
    }
    let bodies = server.bodies().await;
    assert!(
        !bodies[0].contains("gAAAA") && bodies[0].contains("Let me see.") && bodies[0].contains("call_a")
    );
    for item in [REASONING, COMMENTARY, CALL_A] {
        assert!(bodies[1].contains(item), "its own goes back byte for byte: {}", bodies[1]);
    }
}

#[tokio::test]
async fn parallel_calls_are_merged_from_their_pieces() {
    let added = |index: usize, id: &str| {
        format!(
            r#"{{"type":"response.output_item.added","output_index":{index},"item":{{"id":"fc_{id}","type":"function_call","status":"in_progress","arguments":"","call_id":"call_{id}","name":"t"}}}}"#
        )
    };
    let delta = |index: usize, id: &str, text: &str| {
        format!(
            r#"{{"type":"response.function_call_arguments.delta","item_id":"fc_{id}","output_index":{index},"delta":{}}}"#,
            json!(text)
        )
    };
    let items = |id: &str| {
        format!(
            r#"{{"id":"fc_{id}","type":"function_call","status":"completed","arguments":"{{\"q\":\"{id}\"}}","call_id":"call_{id}","name":"t"}}"#
        )
    };
    let (a, b) = (items("a"), items("b"));
    let end = format!(
        r#"{{"type":"response.completed","response":{}}}"#,
        response(&[&a, &b], "").replace('\n', "")
    );
    let stream = [
        added(0, "a"),
        added(1, "b"),
        delta(1, "b", "{\"q\":"),
        delta(0, "a", "{\"q\":\"a"),
        delta(1, "b", "\"b\"}"),
        delta(0, "a", "\"}"),
        format!(r#"{{"type":"response.output_item.done","output_index":1,"item":{b}}}"#),
        format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{a}}}"#),
        end,
    ];
    let reply =
        reply_to(RESPONSES, rules, events(&stream.each_ref().map(String::as_str)), true).await.unwrap();
    assert_eq!(reply.calls, [call("call_a", "t", r#"{"q":"a"}"#), call("call_b", "t", r#"{"q":"b"}"#)]);
    back(&reply).await;
}

#[tokio::test]
async fn refusals_and_answers_that_were_cut_off_are_told_apart() {
    let refused = r#"{"id":"m","type":"message","role":"assistant","status":"completed","content":[{"type":"refusal","refusal":"I can't."}]}"#;
    let refusal = reply(&response(&[refused], "")).await.unwrap();
    assert_eq!((refusal.text.as_str(), refusal.stop), ("I can't.", Stop::Refusal));
    let incomplete = |reason: &str, items: &[&str]| {
        response(items, &format!(r#""incomplete_details":{{"reason":"{reason}"}},"#))
            .replace(r#""status":"completed","model""#, r#""status":"incomplete","model""#)
    };
    let cut = CALL_A.replace("completed", "incomplete").replace(r#" \"x\" }"#, "");
    let cut = reply(&incomplete("max_output_tokens", &[&cut])).await.unwrap();
    assert_eq!(cut.stop, Stop::MaxTokens);
    let sent = value(&back(&cut).await);
    assert_eq!(sent["input"][1]["status"], "completed");
    let filtered = reply(&incomplete("content_filter", &[COMMENTARY])).await.unwrap();
    assert_eq!(filtered.stop, Stop::Refusal);
}

#[tokio::test]
async fn a_stream_gives_what_a_whole_answer_gives() {
    let items = [REASONING, COMMENTARY, CALL_A];
    let done = |index: usize, item: &str| {
        format!(r#"{{"type":"response.output_item.done","output_index":{index},"item":{item}}}"#)
    };
    let mut stream = vec![
        r#"{"type":"response.created","response":{"id":"resp_1","object":"response","status":"in_progress","output":[]}}"#.to_owned(),
        r#"{"type":"response.output_item.added","output_index":1,"item":{"id":"msg_1","type":"message","role":"assistant","status":"in_progress","content":[]}}"#.to_owned(),
        r#"{"type":"response.output_text.delta","item_id":"msg_1","output_index":1,"content_index":0,"delta":"Let me "}"#.to_owned(),
        r#"{"type":"response.output_text.delta","item_id":"msg_1","output_index":1,"content_index":0,"delta":"see."}"#.to_owned(),
    ];
    stream.extend(items.iter().enumerate().map(|(index, item)| done(index, item)));
    let end =
        format!(r#"{{"type":"response.completed","response":{}}}"#, response(&items, "").replace('\n', ""));
    let whole = stream.iter().map(String::as_str).chain([end.as_str()]).collect::<Vec<_>>();
    let streamed = reply_to(RESPONSES, rules, events(&whole), true).await.unwrap();
    let plain = reply(&response(&items, "")).await.unwrap();
    assert_eq!((&streamed.text, &streamed.calls), (&plain.text, &plain.calls));
    assert_eq!((streamed.stop, streamed.tokens), (plain.stop, plain.tokens));
    let items = |reply: &Option<host::message::Json>| value(reply.as_ref().unwrap().as_str());
    assert_eq!(items(&streamed.items), items(&plain.items));

    let cut: Vec<&str> = stream.iter().map(String::as_str).collect();
    match reply_to(RESPONSES, rules, events(&cut), true).await {
        Err(ModelError::CutOff { reason, .. }) => assert!(reason.contains("broke off"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let failed = r#"{"type":"response.failed","response":{"id":"r","object":"response","status":"failed","error":{"code":"server_error","message":"The model is overloaded"},"output":[]}}"#;
    let failed: Vec<&str> = cut.iter().copied().chain([failed]).collect();
    match reply_to(RESPONSES, rules, events(&failed), true).await {
        Err(ModelError::Status { status: 500, message, .. }) => {
            assert_eq!(message, "The model is overloaded");
        }
        other => panic!("{other:?}"),
    }
    let limited = r#"{"type":"error","code":"rate_limit_exceeded","message":"slow down","param":null}"#;
    match reply_to(RESPONSES, rules, events(&[limited]), true).await {
        Err(ModelError::Status { status: 429, message, .. }) => assert_eq!(message, "slow down"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn calls_with_one_id_are_told_apart() {
    let reply = reply(&response(&[CALL_A, CALL_A], "")).await.unwrap();
    let ids: Vec<&str> = reply.calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids, ["call_a", "call_3_1"]);
    assert_eq!(reply.calls[0].arguments, Arguments::parse(r#"{"q":"x"}"#));
    back(&reply).await;
}
