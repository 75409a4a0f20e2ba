//! The form of an answer that the provider itself holds the model to, as each of them is asked for it.

use host::config::RemoteConfig;
use host::message::{Json, Message};
use host::model::{Model, ModelError, ModelRequest, connect};
use serde_json::{Value, json};
use std::sync::Arc;

use super::{
    ALL, ANTHROPIC, CHAT, GEMINI, OLLAMA, RESPONSES, Server, api, ask, config, no_rules, tool, value, whole,
};

/// Schemas that `OpenAI` can hold a model to to the letter, and that it cannot.
const STRICT: &str = r#"{"type":"object","additionalProperties":false,"required":["b","a"],"properties":{"b":{"type":"string"},"a":{"type":"integer"}}}"#;
const LOOSE: &str = r#"{"type":"object","required":["b"],"properties":{"b":{"type":"string"},"a":{"type":"integer","default":1}}}"#;

/// Where the schema stands in a request, and what says that there is one.
fn place(provider: &str) -> (&'static str, &'static str, Value) {
    match provider {
        CHAT => ("/response_format/json_schema/schema", "/response_format/type", json!("json_schema")),
        RESPONSES => ("/text/format/schema", "/text/format/type", json!("json_schema")),
        ANTHROPIC => ("/output_config/format/schema", "/output_config/format/type", json!("json_schema")),
        GEMINI => (
            "/generationConfig/responseJsonSchema",
            "/generationConfig/responseMimeType",
            json!("application/json"),
        ),
        _ => ("/format", "/format/type", json!("object")),
    }
}

fn held(
    provider: &str,
    uri: &str,
    structured_output: bool,
    extra: Option<Value>,
) -> Result<Arc<dyn Model>, ModelError> {
    let extra = extra.map(|extra| Json::canonical(&extra));
    let remote = RemoteConfig::new(api(provider), "m", uri);
    connect(&config(RemoteConfig { structured_output, extra, ..remote }))
}

/// The request for a reply of this form, with two settings that the host does not know.
async fn request(provider: &str, schema: Option<&str>, structured_output: bool) -> String {
    let server = Server::start(no_rules, vec![whole("{}")]).await;
    let extra = json!({
        "text": { "verbosity": "low" }, "output_config": { "effort": "low" }, "generationConfig": { "topK": 3 },
    });
    let model = held(provider, &server.uri(), structured_output, Some(extra)).unwrap();
    let schema = schema.map(|schema| Json::parse(schema.to_owned()).unwrap());
    let messages = [Message::User("hi".into())];
    let tools = [tool("t")];
    let _ = model.ask(&ModelRequest { form: schema.as_ref(), ..ask(&messages, &tools) }).await;
    server.bodies().await.remove(0)
}

#[tokio::test]
async fn each_is_asked_in_its_own_words_and_settings_beside_it_stay() {
    for provider in ALL {
        let body = request(provider, Some(STRICT), true).await;
        let (at, kind_at, kind) = place(provider);
        let sent = value(&body);
        assert_eq!(sent.pointer(at), Some(&value(STRICT)), "{provider}: {body}");
        assert_eq!(sent.pointer(kind_at), Some(&kind), "{provider}: {body}");
        assert!(body.contains(STRICT), "{provider}: as its author wrote it: {body}");
        for setting in [r#""verbosity":"low""#, r#""effort":"low""#, r#""topK":3"#] {
            assert!(body.contains(setting), "{provider}: {setting} is gone: {body}");
        }
    }
}

#[tokio::test]
async fn a_form_needs_no_other_setting_beside_it() {
    for provider in ALL {
        let server = Server::start(no_rules, vec![whole("{}")]).await;
        let schema = Json::parse(STRICT.to_owned()).unwrap();
        let messages = [Message::User("hi".into())];
        let model = held(provider, &server.uri(), true, None).unwrap();
        let _ = model.ask(&ModelRequest { form: Some(&schema), ..ask(&messages, &[]) }).await;
        let sent = value(&server.bodies().await.remove(0));
        assert_eq!(sent.pointer(place(provider).0), Some(&value(STRICT)), "{provider}: {sent}");
    }
}

#[tokio::test]
async fn openai_says_strict_only_where_the_schema_is() {
    for (provider, at) in [(CHAT, "/response_format/json_schema"), (RESPONSES, "/text/format")] {
        for (schema, strict) in [(STRICT, true), (LOOSE, false)] {
            let body = request(provider, Some(schema), true).await;
            let sent = value(&body).pointer(at).cloned().unwrap();
            assert_eq!((&sent["strict"], &sent["name"]), (&json!(strict), &json!("answer")), "{body}");
            assert_eq!(sent["schema"], value(schema));
        }
    }
}

#[tokio::test]
async fn none_is_asked_for_that_was_not_wanted() {
    for provider in ALL {
        for (schema, wanted) in [(Some(STRICT), false), (None, true)] {
            let body = request(provider, schema, wanted).await;
            let (at, kind_at, _) = place(provider);
            let sent = value(&body);
            assert_eq!((sent.pointer(at), sent.pointer(kind_at)), (None, None), "{provider}: {body}");
        }
    }
}

#[test]
fn two_forms_of_an_answer_are_refused_before_anything_is_sent() {
    for (provider, extra, member) in [
        (CHAT, json!({"response_format": {"type": "json_object"}}), "response_format.type"),
        (RESPONSES, json!({"text": {"format": {"type": "text"}}}), "text.format"),
        (RESPONSES, json!({"text": "x"}), "text"),
        (ANTHROPIC, json!({"output_config": {"format": {}}}), "output_config.format"),
        (
            GEMINI,
            json!({"generationConfig": {"responseMimeType": "text/plain"}}),
            "generationConfig.responseMimeType",
        ),
        (OLLAMA, json!({"format": "json"}), "format"),
    ] {
        let Err(error) = held(provider, "http://localhost:1", true, Some(extra.clone())) else {
            panic!("{provider} takes {extra}")
        };
        let said = error.to_string();
        assert!(said.contains(&format!("`extra` in [model] has `{member}`")), "{said}");
        assert!(held(provider, "http://localhost:1", false, Some(extra)).is_ok(), "{provider}");
    }
}

#[tokio::test]
async fn a_rule_that_is_not_held_is_told_and_what_cannot_be_held_is_refused_before_anything_is_sent() {
    let counted = r#"{"type":"object","additionalProperties":false,"required":["n"],"properties":{
        "n":{"type":"integer","minimum":1},"m":{"type":"string","pattern":"^(?!a)b$"}}}"#;
    for (provider, minimum, pattern) in [
        (CHAT, true, false),
        (RESPONSES, true, false),
        (ANTHROPIC, false, false),
        (GEMINI, true, false),
        (OLLAMA, true, false),
    ] {
        let body = request(provider, Some(counted), true).await;
        let sent = value(&body).pointer(place(provider).0).cloned().unwrap();
        let (n, m) = (&sent["properties"]["n"], &sent["properties"]["m"]);
        assert_eq!(
            (n.get("minimum").is_some(), m.get("pattern").is_some()),
            (minimum, pattern),
            "{provider}: {sent}"
        );
        let told =
            |schema: &Value| schema["description"].as_str().is_some_and(|it| it.contains("has to fit"));
        assert_eq!((told(n), told(m)), (!minimum, !pattern), "{provider}: {sent}");
    }
    let open = Json::parse(LOOSE.to_owned()).unwrap();
    let model = held(ANTHROPIC, "http://localhost:1", true, None).unwrap();
    let said = model.takes(&[], Some(&open)).unwrap_err().to_string();
    assert!(said.contains("Anthropic cannot hold an answer to `output_schema`"), "{said}");
    assert!(
        said.contains("`additionalProperties` = false") && said.contains("`structured_output`"),
        "{said}"
    );
    held(ANTHROPIC, "http://localhost:1", false, None).unwrap().takes(&[], Some(&open)).unwrap();
    for provider in [CHAT, RESPONSES, GEMINI, OLLAMA] {
        held(provider, "http://localhost:1", true, None).unwrap().takes(&[], Some(&open)).unwrap();
    }
}
