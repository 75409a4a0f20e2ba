//! Replies that are none: a run is not over with them, and does not end well.

use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::served::{FAST, Served};
use crate::sessions::said;
use crate::support::{Agent, outcome};

pub fn completion(message: &Value, reason: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({
        "id": "c", "object": "chat.completion", "model": "m",
        "usage": {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11},
        "choices": [{"index": 0, "finish_reason": reason, "message": message}],
    }))
}

fn ollama(message: &Value, reason: &str) -> ResponseTemplate {
    let done = json!({"model": "m", "message": message, "done": true, "done_reason": reason});
    ResponseTemplate::new(200).set_body_json(done)
}

/// All the ways in which servers say nothing.
fn nothing() -> Vec<(&'static str, ResponseTemplate)> {
    let legacy =
        json!({"role": "assistant", "content": null, "function_call": {"name": "t", "arguments": "{}"}});
    vec![
        ("openai", completion(&json!({"role": "assistant", "content": ""}), "stop")),
        ("openai", completion(&json!({"role": "assistant", "content": null}), "stop")),
        ("openai", completion(&json!({"role": "assistant", "content": " \n"}), "stop")),
        (
            "openai",
            completion(&json!({"role": "assistant", "content": "", "reasoning_content": "Hm."}), "stop"),
        ),
        ("openai", completion(&legacy, "function_call")),
        ("ollama", ollama(&json!({"role": "assistant", "content": ""}), "load")),
        ("ollama", ollama(&json!({"role": "assistant", "content": "", "thinking": "Hm."}), "stop")),
    ]
}

fn says(provider: &str, text: &str) -> ResponseTemplate {
    let message = json!({"role": "assistant", "content": text});
    if provider == "ollama" { ollama(&message, "stop") } else { completion(&message, "stop") }
}

#[test]
fn a_reply_that_says_nothing_is_asked_for_once_more() {
    for (provider, empty) in nothing() {
        let served = Served::new(provider, vec![empty, says(provider, "the end")], FAST);
        assert_eq!(served.agent.host(&["run"]).ok().stdout, "the end\n", "{provider}");
        let sent = served.sent();
        assert_eq!(sent.len(), 2);
        let last = sent[1]["messages"].as_array().unwrap().last().unwrap();
        assert!(last["content"].as_str().unwrap().starts_with("Your last reply was empty"), "{last}");
        assert_eq!(served.agent.host(&["replay", "last"]).ok().stdout, "the end\n");
    }
}

#[test]
fn a_model_that_says_nothing_twice_has_not_answered() {
    for (provider, empty) in nothing() {
        let served = Served::new(provider, vec![empty], FAST);
        let ran = served.agent.host(&["run", "--output", "answer.txt"]);
        ran.exits(1).says("there is no answer: the model's reply was empty, and empty again");
        assert_eq!(ran.stdout, "");
        assert!(!served.agent.dir.path().join("answer.txt").exists());
        assert_eq!(served.sent().len(), 2);
        let shown = served.agent.show();
        let why = outcome(&shown, "run")["run"]["empty"].as_str().unwrap().to_owned();
        let reason = provider == "ollama" && shown.iter().any(|it| it.to_string().contains("\"load\""));
        assert_eq!(why.contains("ended with `load`"), reason, "{why}");
        served.agent.host(&["replay", "last"]).exits(1);
        assert!(served.agent.host(&["runs"]).ok().stdout.contains("empty"));
    }
}

#[test]
fn what_is_empty_is_no_answer_of_a_form_or_of_an_agent_or_of_a_case() {
    let script = "[[reply]]\ntext = \"\"\n[[reply]]\ntext = \"\"";
    let formed = Agent::raw(
        "version = 1\n[agent]\nprompt = \"go on\"\noutput_schema = { type = \"object\" }\n[model]\n\
         provider = \"scripted\"\nscript = \"script.toml\"",
    );
    std::fs::write(formed.dir.path().join("script.toml"), script).unwrap();
    formed.host(&["run"]).exits(1).says("there is no answer");
    // Who calls a tool in between goes on.
    let calls = "[[reply]]\ncalls = [{ name = \"echo\", input = { value = 1 } }]\n";
    let again = format!("[[reply]]\n{calls}[[reply]]\n[[reply]]\ntext = \"the end\"");
    assert_eq!(Agent::scripted(&again).guest("hostile").host(&["run"]).ok().stdout, "the end\n");

    let agent = Agent::scripted(script);
    let tests = agent.dir.path().join("tests");
    std::fs::create_dir(&tests).unwrap();
    std::fs::write(tests.join("empty.toml"), format!("{script}\n[expect]\nending = \"empty\"")).unwrap();
    agent.host(&["test"]).ok();
    std::fs::write(tests.join("empty.toml"), script).unwrap();
    agent.host(&["test"]).exits(1);
}

#[test]
fn a_conversation_does_not_go_on_from_nothing() {
    let agent = Agent::scripted("[[reply]]\n[[reply]]");
    agent.host(&["run", "--session", "ada"]).exits(1);
    std::fs::write(agent.dir.path().join("script.toml"), "[[reply]]\ntext = \"yes\"").unwrap();
    agent.host(&["run", "agent.toml", "And now?", "--session", "ada"]).ok();
    assert_eq!(said(&agent), ["user: go on", "user: And now?"]);
    let shown = agent.host(&["sessions", "show", "ada"]).ok().stdout.clone();
    assert!(shown.contains("(empty) the model's reply was empty"), "{shown}");
}

#[test]
fn a_reply_that_cannot_be_read_is_asked_for_again() {
    let garbled = ResponseTemplate::new(200).set_body_raw("{\"choices\":[{\"mess", "application/json");
    let served = Served::new("openai", vec![garbled.clone(), says("openai", "the end")], FAST);
    let ran = served.agent.host(&["run"]);
    assert_eq!(ran.ok().stdout, "the end\n");
    ran.says("again in");
    assert_eq!(served.agent.host(&["replay", "last"]).ok().stdout, "the end\n");
    let served = Served::new("openai", vec![garbled], FAST);
    served.agent.host(&["run"]).exits(4).says("is not a reply").says("host resume");
    assert_eq!(served.sent().len(), 3);
}
