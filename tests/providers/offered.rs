//! Tools as each provider is offered them: rewritten where it would refuse them, and their calls as the tools take them.

use host::config::RemoteConfig;
use host::message::{Arguments, Json, Message, Origin, Reply, ToolSpec};
use host::model::connect;
use serde_json::{Value, json};

use super::{
    ALL, ANTHROPIC, CHAT, GEMINI, OLLAMA, RESPONSES, Server, anthropic, api, ask, config, events, model,
    result, rule, spec, tool, value, whole,
};
use crate::support::{Agent, root};

const OPENAI: &str = "https://api.openai.com/v1";

fn offered(provider: &str, base_url: &str, tools: &[ToolSpec]) -> Vec<(Value, Value)> {
    let written =
        model(provider, base_url, false).written(&ask(&[Message::User("hi".into())], tools)).unwrap();
    let body = value(&written);
    let list = match provider {
        GEMINI => body["tools"][0]["functionDeclarations"].clone(),
        _ => body["tools"].clone(),
    };
    let schema = |tool: &Value| match provider {
        CHAT | OLLAMA => tool["function"]["parameters"].clone(),
        RESPONSES => tool["parameters"].clone(),
        ANTHROPIC => tool["input_schema"].clone(),
        _ => tool["parametersJsonSchema"].clone(),
    };
    list.as_array().unwrap().iter().map(|tool| (schema(tool), tool.clone())).collect()
}

#[test]
fn a_tool_without_parameters_says_so() {
    let none = spec("now", r#"{"additionalProperties":false,"description":"…","type":"object"}"#);
    for provider in ALL {
        let (schema, _) = offered(provider, "http://127.0.0.1:1", std::slice::from_ref(&none)).remove(0);
        assert_eq!((&schema["type"], &schema["properties"]), (&json!("object"), &json!({})), "{provider}");
    }
    for provider in [CHAT, RESPONSES] {
        let (schema, tool) = offered(provider, OPENAI, std::slice::from_ref(&none)).remove(0);
        assert_eq!(schema["required"], json!([]), "{provider}");
        assert!(tool.to_string().contains("\"strict\":true"), "{tool}");
    }
}

#[test]
fn a_pattern_that_is_refused_is_told_in_words() {
    let lookaround = spec(
        "mail",
        r#"{"type":"object","properties":{"a":{"type":"string","pattern":"^(?!\\.)[a-z.]+@[a-z]+$"}},"required":["a"],"additionalProperties":false}"#,
    );
    for (provider, base_url) in [(CHAT, OPENAI), (RESPONSES, OPENAI), (CHAT, "http://127.0.0.1:1")] {
        let (schema, _) = offered(provider, base_url, std::slice::from_ref(&lookaround)).remove(0);
        let a = &schema["properties"]["a"];
        assert_eq!(a.get("pattern"), None, "{schema}");
        assert!(a["description"].as_str().unwrap().contains("(?!"), "{schema}");
    }
    let (schema, _) = offered(ANTHROPIC, "http://127.0.0.1:1", &[lookaround]).remove(0);
    assert_eq!(schema["properties"]["a"]["pattern"], "^(?!\\.)[a-z.]+@[a-z]+$");
    // One that OpenAI takes, and of which servers that make a grammar of it are known to refuse some.
    let plain = spec("p", r#"{"type":"object","properties":{"a":{"type":"string","pattern":"\\S"}}}"#);
    let pattern = |base_url| {
        let (schema, _) = offered(CHAT, base_url, std::slice::from_ref(&plain)).remove(0);
        schema["properties"]["a"].get("pattern").cloned()
    };
    assert_eq!(pattern(OPENAI), Some(json!("\\S")));
    assert_eq!(pattern("http://127.0.0.1:8080/v1"), None);
}

const FILTER: &str = r#"{"type":"object","properties":{"filter[status]":{"type":"string"},
    "list":{"type":"array","items":{"type":"object","properties":{"$top":{"type":"integer"}}}}},
    "required":["filter[status]"],"additionalProperties":false}"#;

/// What Anthropic checks of tools.
fn rules(_: &wiremock::Request, body: &Value) -> Result<(), String> {
    fn keys(schema: &Value) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let legal = (1..=64).contains(&key.len()) && key.chars().all(plain);
            rule(legal, "Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'")?;
            keys(property)?;
            keys(&property["items"])?;
        }
        Ok(())
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        keys(&tool["input_schema"])?;
        for keyword in ["oneOf", "allOf", "anyOf"] {
            rule(
                tool["input_schema"].get(keyword).is_none(),
                "input_schema does not support oneOf, allOf, or anyOf at the top level",
            )?;
        }
    }
    Ok(())
}

const CALL: &str = r#"{"type":"tool_use","id":"toolu_a","name":"find","input":{ "filter_status_":"open", "list":[{"_top":1.50}] }}"#;

#[tokio::test]
async fn members_go_by_names_that_the_provider_takes_and_come_back() {
    let find = spec("find", FILTER);
    let answer = anthropic::message(&[CALL], "tool_use");
    let server = Server::start(rules, vec![whole(&answer)]).await;
    let model = model(ANTHROPIC, &server.uri(), false);
    let tools = [find.clone()];
    let reply = model.ask(&ask(&[Message::User("hi".into())], &tools)).await.unwrap();
    assert_eq!(
        reply.calls[0].arguments,
        Arguments::parse(r#"{"filter[status]":"open","list":[{"$top":1.50}]}"#)
    );
    let (schema, _) = offered(ANTHROPIC, &server.uri(), &tools).remove(0);
    assert_eq!(schema["required"], json!(["filter_status_"]));
    let said = schema["properties"]["filter_status_"]["description"].as_str().unwrap();
    assert!(said.contains("`filter[status]`"), "{said}");

    // The model's own words go back as they came; those of another model in the names that this one knows.
    let id = reply.calls[0].id.clone();
    let messages = |reply: &Reply| {
        [Message::User("hi".into()), Message::Assistant(reply.clone()), result(&id, "find", 0)]
    };
    model.ask(&ask(&messages(&reply), &tools)).await.unwrap();
    let elsewhere =
        Origin { provider: CHAT.into(), name: "m".into(), base_url: OPENAI.into(), streamed: false };
    model.ask(&ask(&messages(&Reply { origin: Some(elsewhere), ..reply }), &tools)).await.unwrap();
    let bodies = server.bodies().await;
    assert!(bodies[1].contains(CALL), "{}", bodies[1]);
    let input = &value(&bodies[2])["messages"][1]["content"][0]["input"];
    assert_eq!(input["filter_status_"], "open");
    assert_eq!(input["list"][0].as_object().unwrap().keys().collect::<Vec<_>>(), ["_top"]);
}

#[tokio::test]
async fn they_come_back_from_a_stream_too() {
    let piece = |text: &str| {
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": text}})
            .to_string()
    };
    let pieces = [
        json!({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "model": "m",
            "content": [], "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 1}}})
        .to_string(),
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"toolu_a","name":"find","input":{}}}"#.to_owned(),
        piece(r#"{"filter_sta"#),
        piece(r#"tus_":"open"}"#),
        r#"{"type":"content_block_stop","index":0}"#.to_owned(),
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":2}}"#.to_owned(),
        r#"{"type":"message_stop"}"#.to_owned(),
    ];
    let server = Server::start(rules, vec![events(&pieces.each_ref().map(String::as_str))]).await;
    let tools = [spec("find", FILTER)];
    let reply =
        model(ANTHROPIC, &server.uri(), true).ask(&ask(&[Message::User("hi".into())], &tools)).await.unwrap();
    assert_eq!(reply.calls[0].arguments, Arguments::parse(r#"{"filter[status]":"open"}"#));
    assert!(reply.items.unwrap().as_str().contains("filter_status_"));
}

#[test]
fn more_tools_than_a_provider_takes_are_refused_before_anything_is_sent() {
    let tools: Vec<ToolSpec> = (0..513).map(|number| tool(&format!("t{number}"))).collect();
    let takes = |provider: &str, base_url: &str, tools: &[ToolSpec]| {
        connect(&config(RemoteConfig::new(api(provider), "m", base_url))).unwrap().takes(tools, None)
    };
    for (provider, base_url, max) in
        [(CHAT, OPENAI, 128), (RESPONSES, OPENAI, 128), (GEMINI, "http://127.0.0.1:1", 512)]
    {
        takes(provider, base_url, &tools[..max]).unwrap();
        let error = takes(provider, base_url, &tools[..=max]).unwrap_err().to_string();
        assert!(error.contains(&format!("takes at most {max} tools")), "{error}");
        assert!(error.contains(&format!("offers {}", max + 1)) && error.contains("include"), "{error}");
    }
    for (provider, base_url) in [(CHAT, "http://127.0.0.1:1"), (ANTHROPIC, "http://127.0.0.1:1")] {
        takes(provider, base_url, &tools).unwrap();
    }
    let error = takes(GEMINI, "http://127.0.0.1:1", &[tool("3d")]).unwrap_err().to_string();
    assert!(error.contains("Gemini does not take the tool `3d`") && error.contains("prefix"), "{error}");
}

#[test]
fn the_recorded_tool_is_the_tools_own() {
    // What is offered is written anew for each request; the spec that is recorded has no part in it.
    let find = spec("find", FILTER);
    let before = find.clone();
    offered(ANTHROPIC, "http://127.0.0.1:1", std::slice::from_ref(&find));
    assert_eq!(find, before);
    assert_eq!(find.input_schema, Json::parse(FILTER.to_owned()).unwrap());
}

#[test]
fn what_cannot_be_offered_is_found_by_check_and_at_the_start() {
    let weather = root().join("guest-tools/weather").to_str().unwrap().to_owned();
    let agent = Agent::raw(&format!(
        "version = 1\n[agent]\nprompt = \"go on\"\n[model]\nprovider = \"openai\"\nname = \"m\"\n\
         base_url = \"http://127.0.0.1:1/v1\"\n[[model.fallback]]\nprovider = \"gemini\"\nname = \"g\"\n\
         base_url = \"http://127.0.0.1:1\"\n[tools.weather]\nsource = {weather:?}\nprefix = \"1_\"\n"
    ));
    for args in [&["check"][..], &["run"]] {
        let ran = agent.host(args);
        ran.exits(2).says("Gemini does not take the tool `1_").says("prefix").says("the model is gemini/g");
    }
    assert_eq!(agent.host(&["runs"]).ok().stdout.matches("running").count(), 0);
}
