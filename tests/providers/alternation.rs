//! Roles alternate in what is sent, whatever was said in a row: many servers, and the templates of many models, refuse a
//! conversation in which they do not.

use host::config::RemoteConfig;
use host::message::{Image, Message, Reply, Words};
use host::model::{ModelRequest, connect};
use serde_json::{Value, json};

use super::{
    ALL, ANTHROPIC, CHAT, GEMINI, OLLAMA, RESPONSES, api, ask, call, config, model, result, tool, value,
};

/// The smallest picture that there is.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn user(text: &str) -> Message {
    Message::User(text.to_owned())
}

fn says(text: &str) -> Message {
    Message::Assistant(Reply { text: text.into(), ..Reply::default() })
}

fn calls() -> Message {
    Message::Assistant(Reply { calls: vec![call("a", "t", r#"{"q":"x"}"#)], ..Reply::default() })
}

/// Who speaks, in order, as a request to the provider has it.
fn roles(provider: &str, messages: &[Message]) -> Vec<String> {
    let written = model(provider, "http://127.0.0.1:1", false)
        .written(&ModelRequest { instructions: "Be brief.", ..ask(messages, &[tool("t")]) });
    let body = value(&written.unwrap());
    let conversation = match provider {
        RESPONSES => &body["input"],
        GEMINI => &body["contents"],
        _ => &body["messages"],
    };
    let role = |message: &Value| {
        let role = message["role"].as_str().or(message["type"].as_str()).unwrap_or_default();
        let result = message["parts"][0].get("functionResponse").is_some();
        if result { "result".to_owned() } else { role.to_owned() }
    };
    conversation.as_array().unwrap().iter().map(role).filter(|role| role != "system").collect()
}

#[test]
fn whatever_is_said_in_a_row_is_one_message() {
    let summary = || user(&Words::first().summed_up("We spoke of Oslo."));
    let conversations = [
        // After a compaction, and in a session whose last run a budget stopped.
        vec![user("Go."), summary(), calls(), result("a", "t", 0)],
        vec![user("Go."), user("And now?")],
        vec![user("a"), user("b"), user("c"), says("d"), user("e"), user("f")],
        vec![user("Go."), calls(), result("a", "t", 0), user("b"), user("c")],
    ];
    for provider in ALL {
        for messages in &conversations {
            let roles = roles(provider, messages);
            let doubled = roles.windows(2).any(|pair| pair[0] == pair[1]);
            assert!(!doubled, "{provider}: {roles:?}");
        }
    }
}

#[test]
fn nothing_that_was_said_is_lost() {
    let png = || Message::Image(Image { media_type: host::message::MediaType::Png, data: PNG.into() });
    let messages = [user("first"), png(), user("second"), user("third")];
    for provider in ALL {
        let written = model(provider, "http://127.0.0.1:1", false).written(&ask(&messages, &[])).unwrap();
        let at = |text: &str| written.find(text).unwrap_or_else(|| panic!("{provider}: {text} in {written}"));
        assert!(at("first") < at("second") && at("second") < at("third"), "{provider}: {written}");
        assert!(written.contains(PNG), "{provider}");
    }
    let written = model(CHAT, "http://127.0.0.1:1", false).written(&ask(&[user("a"), user("b")], &[]));
    assert_eq!(value(&written.unwrap())["messages"], json!([{"role": "user", "content": "a\n\nb"}]));
}

#[test]
fn where_results_are_said_too_the_next_word_goes_with_them() {
    let messages = [user("Go."), calls(), result("a", "t", 0), user("And now?")];
    let written = model(ANTHROPIC, "http://127.0.0.1:1", false).written(&ask(&messages, &[tool("t")]));
    let body = value(&written.unwrap());
    let last = body["messages"][2]["content"].as_array().unwrap();
    assert_eq!((&last[0]["type"], &last[1]["type"]), (&json!("tool_result"), &json!("text")));
    assert_eq!(roles(ANTHROPIC, &messages), ["user", "assistant", "user"]);
    // Elsewhere a result is not what a user says.
    assert_eq!(roles(CHAT, &messages), ["user", "assistant", "tool", "user"]);
    assert_eq!(roles(OLLAMA, &messages), ["user", "assistant", "tool", "user"]);
}

#[test]
fn what_was_left_out_is_not_sent_and_what_was_added_replaces() {
    let messages = [user("hi")];
    let tools = [super::spec("t", r#"{"type":"object","additionalProperties":false}"#)];
    for (provider, way, member) in [
        (CHAT, "tools.function.strict", "strict"),
        (RESPONSES, "include", "include"),
        (RESPONSES, "store", "store"),
        (ANTHROPIC, "tools.cache_control", "cache_control"),
        (GEMINI, "generationConfig.topK", "topK"),
        (OLLAMA, "think", "think"),
    ] {
        let extra = match provider {
            GEMINI => json!({"generationConfig": {"topK": 3, "topP": 0.5}}),
            OLLAMA => json!({"think": true}),
            _ => json!({}),
        };
        let extra = Some(host::message::Json::canonical(&extra));
        let remote = RemoteConfig { extra, ..RemoteConfig::new(api(provider), "m", "http://127.0.0.1:1") };
        let left_out = RemoteConfig { omit: vec![way.to_owned()], ..remote.clone() };
        let written = |remote| connect(&config(remote)).unwrap().written(&ask(&messages, &tools)).unwrap();
        let (with, without) = (written(remote), written(left_out));
        let count = |body: &str| body.matches(&format!("\"{member}\"")).count();
        assert!(count(&with) > count(&without), "{provider}: {with} {without}");
        assert!(without.contains("\"hi\""), "{without}");
    }
    // A stream of OpenAI's own says what it took, unless that is left out or said otherwise.
    let own = RemoteConfig { stream: true, ..RemoteConfig::new(api(CHAT), "m", "https://api.openai.com/v1") };
    let options = |remote: RemoteConfig| {
        value(&connect(&config(remote)).unwrap().written(&ask(&messages, &[])).unwrap())
            .get("stream_options")
            .cloned()
    };
    assert_eq!(options(own.clone()), Some(json!({"include_usage": true})));
    assert_eq!(options(RemoteConfig { omit: vec!["stream_options".into()], ..own.clone() }), None);
    let other = host::message::Json::parse(r#"{"stream_options":{"include_usage":false}}"#.into()).unwrap();
    assert_eq!(
        options(RemoteConfig { extra: Some(other.clone()), ..own }),
        Some(json!({"include_usage": false}))
    );
    let elsewhere =
        RemoteConfig { stream: true, ..RemoteConfig::new(api(CHAT), "m", "http://127.0.0.1:1/v1") };
    assert_eq!(options(elsewhere.clone()), None);
    assert_eq!(
        options(RemoteConfig { extra: Some(other), ..elsewhere }),
        Some(json!({"include_usage": false}))
    );
}

#[test]
fn only_what_every_compatible_server_knows_is_sent_to_one() {
    let (messages, tools) = ([user("hi")], [tool("t")]);
    for stream in [false, true] {
        for base_url in ["http://127.0.0.1:1", "https://gateway.example.com"] {
            let written = model(ANTHROPIC, base_url, stream).written(&ask(&messages, &tools)).unwrap();
            let body = value(&written);
            let mut members: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
            members.retain(|member| !["stream", "tool_choice"].contains(member));
            assert_eq!(members, ["max_tokens", "messages", "model", "tools"], "{written}");
            let of_tool: Vec<&str> =
                body["tools"][0].as_object().unwrap().keys().map(String::as_str).collect();
            assert!(
                of_tool
                    .iter()
                    .all(|it| ["name", "description", "input_schema", "cache_control"].contains(it)),
                "{written}"
            );
            let written = model(CHAT, base_url, stream).written(&ask(&messages, &tools)).unwrap();
            let body = value(&written);
            let mut members: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
            members.retain(|member| *member != "stream");
            assert_eq!(members, ["messages", "model", "tools"], "{written}");
        }
        let own =
            model(ANTHROPIC, "https://api.anthropic.com", stream).written(&ask(&messages, &tools)).unwrap();
        assert!(!own.contains("eager_input_streaming"), "{own}");
    }
}
