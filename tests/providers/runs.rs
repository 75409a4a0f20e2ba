//! Whole runs of the real binary against a provider.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::anthropic::message;
use super::chat::completion;
use super::chat_streams::stream;
use super::responses::{COMMENTARY, REASONING};
use super::{KEY, anthropic, events, ollama, responses, value, whole};
use crate::served::{FAST, Served};
use crate::support::has_ended;

const RETRY: &str = "retry = { max_attempts = 2, initial_delay = \"1ms\" }\n";

const KEY_FILE: &str = "api_key_file = \"key\"";

const SEARCH: &str =
    r#"{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{ "query":"x" }}"#;
const FOUND: &str = r#"{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[ {"encrypted_content":"b64=="} ]}"#;

#[test]
fn a_turn_that_pauses_goes_on_from_what_it_said() {
    let paused = message(&[SEARCH, FOUND], "pause_turn");
    let ended = message(&[r#"{"type":"text","text":"the end"}"#], "end_turn");
    let run = Served::strictly(anthropic::rules, "anthropic", vec![whole(&paused), whole(&ended)], KEY_FILE);
    assert_eq!(run.host(&["run"]).ok().stdout, "the end\n");
    let sent = run.bodies();
    assert_eq!(sent.len(), 2);
    let said = format!(r#"{{"role":"assistant","content":[{SEARCH},{FOUND}]}}"#);
    assert!(sent[1].contains(&said), "{}", sent[1]);
    assert_eq!(value(&sent[1])["messages"].as_array().unwrap().len(), 2, "nothing is said in between");
    assert_eq!(run.host(&["replay", "last"]).ok().stdout, "the end\n");
}

#[test]
fn a_full_context_window_is_a_limit() {
    let full = message(&[r#"{"type":"text","text":"It is so that"}"#], "model_context_window_exceeded");
    let run = Served::strictly(anthropic::rules, "anthropic", vec![whole(&full)], KEY_FILE);
    run.host(&["run"]).exits(5).says("fills the model's context window").says("It is so that");
}

#[test]
fn a_refusal_ends_the_run_and_no_call_is_made() {
    let call = r#"{"type":"tool_use","id":"toolu_a","name":"get_weather","input":{"city":"Paris"}}"#;
    let refused = message(&[r#"{"type":"text","text":"I'd rather not."}"#, call], "refusal");
    let run =
        Served::strictly(anthropic::rules, "anthropic", vec![whole(&refused)], KEY_FILE).guest("weather");
    run.host(&["run"]).exits(1).says("the model refused: I'd rather not.");
    let shown = run.agent.show();
    assert!(has_ended(&shown, "model(0)") && !has_ended(&shown, "tool(0,0)"), "{shown:#?}");
    assert_eq!(run.sent().len(), 1);
    run.host(&["replay", "last"]).exits(1).says("the model refused");
}

#[test]
fn a_failure_in_the_middle_of_a_stream_is_asked_about_again() {
    let began = r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"So"}}]}"#;
    let gone = r#"{"id":"c","object":"chat.completion.chunk","error":{"code":502,"message":"went away"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#;
    let whole = stream(&[r#"{"role":"assistant","content":"the end"}"#], Some("stop"));
    let line = r#"{"model":"m","message":{"role":"assistant","content":"So"},"done":false}"#;
    let failed = ollama::lines(&[line, r#"{"error":"the runner has stopped"}"#]);
    let said = ollama::lines(&[&ollama::answer(r#"{"role":"assistant","content":"the end"}"#, "stop")]);
    for (provider, failed, said, message) in [
        ("openai", events(&[began, gone, "[DONE]"]), whole.clone(), "went away"),
        ("openai", events(&[began]), whole, "broke off"),
        ("ollama", failed, said, "the runner has stopped"),
    ] {
        let run = Served::new(provider, vec![failed, said], &format!("stream = true\n{RETRY}"));
        let ran = run.host(&["run"]);
        assert!(ran.ok().stdout.ends_with("the end\n"), "{}", ran.stdout);
        ran.says("again in");
        assert_eq!(run.sent().len(), 2, "{message}");
        let failures = run.agent.show()[1]["failures"].to_string();
        assert!(failures.contains(message), "{failures}");
    }
}

#[test]
fn another_provider_stands_in_for_a_stream_that_fails() {
    let failed = events(&[r#"{"error":{"message":"not now","type":"server_error"}}"#]);
    let text = |index: usize, text: &str| {
        json!({"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}})
            .to_string()
    };
    let said = events(&[
        r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"c","content":[],"stop_reason":null,"usage":{"input_tokens":8,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        &text(0, "the "),
        &text(0, "end"),
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}"#,
        r#"{"type":"message_stop"}"#,
    ]);
    let model = format!(
        "stream = true\n{RETRY}[[model.fallback]]\nprovider = \"anthropic\"\nname = \"c\"\n\
         base_url = \"URI\"\nstream = true\n"
    );
    let run = Served::new("openai", vec![failed.clone(), failed, said], &model);
    assert!(run.host(&["run"]).ok().stdout.ends_with("the end\n"));
    let sent = run.sent();
    let models: Vec<&Value> = sent.iter().map(|body| &body["model"]).collect();
    assert_eq!(models, ["m", "m", "c"]);
    assert!(sent.iter().all(|body| body["stream"] == true));
    assert!(run.host(&["replay", "last"]).ok().stdout.ends_with("the end\n"));
}

#[test]
fn a_model_of_the_same_provider_stands_in_without_what_the_first_one_reasoned() {
    let call = r#"{"id":"fc_1","type":"function_call","status":"completed","arguments":"{\"city\":\"Paris\"}","call_id":"call_a","name":"get_weather"}"#;
    let refused = ResponseTemplate::new(404).set_body_json(json!({"error": {"message": "no such model"}}));
    let answers = vec![
        whole(&responses::response(&[REASONING, call], "")),
        refused,
        whole(&responses::response(&[COMMENTARY], "")),
    ];
    let model = "api_key_file = \"key\"\n[[model.fallback]]\nprovider = \"openai-responses\"\nname = \"gpt-4.1\"\n\
                 base_url = \"URI\"\napi_key_file = \"key\"\n";
    let run = Served::strictly(responses::rules, "openai-responses", answers, model).guest("weather");
    assert_eq!(run.host(&["run"]).ok().stdout, "Let me see.\n");
    let sent = run.bodies();
    assert_eq!(sent.len(), 3);
    assert!(sent[1].contains(REASONING) && !sent[2].contains("gAAAA"), "{}", sent[2]);
    assert_eq!((value(&sent[1]).get("include").is_some(), value(&sent[2]).get("include")), (true, None));
    assert_eq!(run.host(&["replay", "last"]).ok().stdout, "Let me see.\n");
}

/// Every byte that is kept below a directory, unpacked where it is packed.
fn kept(place: &Path, found: &mut Vec<u8>) {
    for entry in std::fs::read_dir(place).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            kept(&path, found);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(found).unwrap();
        }
        found.extend(bytes);
    }
}

#[test]
fn a_key_goes_into_the_header_and_nowhere_else() {
    let echo = format!("you sent {KEY}, {KEY} and nothing else");
    let refused = ResponseTemplate::new(503)
        .insert_header("x-key", KEY)
        .set_body_json(json!({"error": {"message": echo}, "key": KEY}));
    let failed =
        events(&[&json!({"error": {"message": echo, "type": "server_error"}, "key": KEY}).to_string()]);
    let said = whole(&completion(r#"{"role":"assistant","content":"the end"}"#, "stop"));
    for key in ["api_key_file = \"key\"", "api_key_env = \"THE_KEY\""] {
        for (last, code) in [(said.clone(), 0), (whole(&format!("what is {KEY}?")), 4)] {
            let model = format!("{key}\nstream = true\n{FAST}");
            let answers = vec![refused.clone(), failed.clone(), last];
            let run = Served::new("openai", answers, &model);
            let mut printed = String::new();
            for args in [
                &["run"][..],
                &["runs", "show", "last"],
                &["runs", "show", "last", "--json"],
                &["runs", "request", "last"],
                &["journal", "export", "last", "-o", "run.jsonl"],
            ] {
                let ran = run.host(args);
                ran.exits(if args == ["run"] { code } else { 0 });
                printed.extend([ran.stdout, ran.stderr]);
            }
            assert!(printed.contains("[API key]"), "the failures are shown: {printed}");
            let requests = run.requests();
            assert_eq!(requests.len(), 3);
            for request in &requests {
                assert_eq!(super::header(request, "authorization"), format!("Bearer {KEY}"));
            }
            let mut bytes = std::fs::read(run.agent.dir.path().join("run.jsonl")).unwrap();
            kept(&run.agent.state(), &mut bytes);
            assert!(bytes.windows(9).any(|it| it == b"[API key]"), "the failures are recorded");
            for place in [printed.as_bytes(), &bytes] {
                assert!(!place.windows(KEY.len()).any(|it| it == KEY.as_bytes()), "the key is somewhere");
            }
        }
    }
}
