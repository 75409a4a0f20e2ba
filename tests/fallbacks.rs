//! Models that stand in for one that fails, and the requests that were sent to each.

use std::os::unix::process::ExitStatusExt as _;

use serde_json::{Value, json};
use wiremock::{Request, ResponseTemplate};

use crate::served::Served;
use crate::support::{outcome, root};

const WEATHER: &str = r#"{"city":"Paris"}"#;

pub fn failing(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({ "error": { "message": "not now" } }))
}

/// A chat completion that calls the tool, or says something.
pub fn completion(text: Option<&str>) -> ResponseTemplate {
    let call = json!({"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": WEATHER}});
    let message = match text {
        Some(text) => json!({"role": "assistant", "content": text}),
        None => {
            json!({"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [call]})
        }
    };
    let reason = if text.is_some() { "stop" } else { "tool_calls" };
    ResponseTemplate::new(200).set_body_json(json!({
        "id": "c", "object": "chat.completion", "model": "m",
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
        "choices": [{"index": 0, "finish_reason": reason, "message": message}],
    }))
}

/// A message of Anthropic's that calls the tool, or says something.
pub fn message(text: Option<&str>) -> ResponseTemplate {
    let call =
        json!({"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}});
    let thinking = json!({"type": "thinking", "thinking": "hm", "signature": "c2ln"});
    let (content, reason) = match text {
        Some(text) => (json!([{"type": "text", "text": text}]), "end_turn"),
        None => (json!([thinking, call]), "tool_use"),
    };
    ResponseTemplate::new(200).set_body_json(json!({
        "id": "m", "type": "message", "role": "assistant", "model": "c", "content": content, "stop_reason": reason,
        "stop_sequence": null, "usage": {"input_tokens": 1000, "output_tokens": 100},
    }))
}

const CHAT: &str = "/chat/completions";
const MESSAGES: &str = "/v1/messages";

/// An agent of a model behind chat completions, and of one behind Anthropic messages that stands in for it.
fn providers(openai: Vec<ResponseTemplate>, anthropic: Vec<ResponseTemplate>, more: &str) -> Served {
    Served::by_path(vec![(CHAT, openai), (MESSAGES, anthropic)], &two_models(more)).guest("weather")
}

fn two_models(more: &str) -> String {
    format!(
        "version = 1\n[agent]\nprompt = \"go on\"\ninstructions = \"Be brief.\"\n[model]\nprovider = \"openai\"\n\
         name = \"m\"\nbase_url = \"URI\"\nprices = {{ input = 1.0, output = 10.0 }}\n\
         retry = {{ max_attempts = 2, initial_delay = \"1ms\" }}\n[[model.fallback]]\nprovider = \"anthropic\"\n\
         name = \"c\"\nbase_url = \"URI\"\nmax_tokens = 77\nprices = {{ input = 3.0, output = 30.0 }}\n{more}"
    )
}

/// How often each was asked.
fn asked(providers: &Served) -> (usize, usize) {
    (providers.sent_to(CHAT).len(), providers.sent_to(MESSAGES).len())
}

#[test]
fn another_model_stands_in_when_attempts_are_used_up_or_of_no_use() {
    for (failures, expected) in [(vec![failing(503)], (2, 1)), (vec![failing(401)], (1, 1))] {
        let providers = providers(failures, vec![message(Some("the end"))], "");
        assert_eq!(providers.agent.host(&["run"]).ok().stdout, "the end\n");
        assert_eq!(asked(&providers), expected);
        let shown = providers.agent.show();
        let origin = &outcome(&shown, "model(0)")["model"]["origin"];
        assert_eq!((&origin["provider"], &origin["name"]), (&json!("anthropic"), &json!("c")));
        let slot = shown.iter().find(|report| report["slot"] == "model(0)").unwrap();
        let failed = slot["failures"].as_array().unwrap().last().unwrap();
        assert_eq!(failed["outcome"]["no_reply"]["fall_back"], true);
        assert_eq!(providers.agent.host(&["replay", "last"]).ok().stdout, "the end\n");
        assert_eq!(asked(&providers), expected, "a replay asks nobody");
        let sent: Value = serde_json::from_str(&providers.sent_to(MESSAGES)[0]).unwrap();
        assert_eq!(
            (&sent["model"], &sent["max_tokens"]),
            (&json!("c"), &json!(77)),
            "each has settings of its own"
        );
    }
}

#[test]
fn when_all_fail_the_run_breaks_off_and_a_resume_begins_with_the_first() {
    let openai = vec![failing(503), failing(503), completion(Some("at last"))];
    let providers = providers(openai, vec![failing(529)], "");
    providers.agent.host(&["run"]).exits(4).says("HTTP 529: not now").says("host resume");
    assert_eq!(asked(&providers), (2, 2));
    assert_eq!(providers.agent.host(&["resume", "last"]).ok().stdout, "at last\n");
    assert_eq!(asked(&providers), (3, 2));
}

#[test]
fn raw_items_go_back_only_where_they_came_from() {
    let openai = vec![completion(None), failing(401), completion(None), completion(Some("the end"))];
    let providers = providers(openai, vec![message(None), failing(401)], "");
    assert_eq!(providers.agent.host(&["run"]).ok().stdout, "the end\n");
    assert_eq!(asked(&providers), (4, 2), "the model that stood in was asked first, until it failed, too");
    let second = &providers.sent_to(MESSAGES)[0];
    assert!(!second.contains("reasoning_content") && second.contains(r#""name":"get_weather""#), "{second}");
    let last = providers.sent_to(CHAT).pop().unwrap();
    assert!(last.contains("reasoning_content") && !last.contains("c2ln"), "{last}");
}

/// What was asked for, turn by turn and attempt by attempt: the path, and what was sent there.
fn shown_as_sent(providers: &Served, slots: &[(&str, &[&str])]) {
    let mut next = std::collections::HashMap::new();
    for (slot, paths) in slots {
        for (attempt, path) in (1..).zip(*paths) {
            let place = next.entry(path.to_string()).or_insert(0);
            let shown =
                providers.agent.host(&["runs", "request", "last", slot, "--attempt", &format!("{attempt}")]);
            assert_eq!(
                shown.ok().stdout.trim_end(),
                providers.sent_to(path)[*place],
                "{slot}, attempt {attempt}"
            );
            *place += 1;
        }
    }
}

#[test]
fn who_stood_in_is_asked_first_from_then_on() {
    let anthropic = vec![message(None), message(None), message(Some("the end"))];
    let providers = providers(vec![failing(503)], anthropic, "");
    assert_eq!(providers.agent.host(&["run"]).ok().stdout, "the end\n");
    assert_eq!(asked(&providers), (2, 3), "the first model is not asked again in every turn");
    shown_as_sent(&providers, &[("0", &[CHAT, CHAT, MESSAGES]), ("1", &[MESSAGES]), ("2", &[MESSAGES])]);
    assert_eq!(providers.agent.host(&["replay", "last"]).ok().stdout, "the end\n");
    // Another run begins with the first choice again.
    providers.agent.host(&["run"]).ok();
    assert_eq!(asked(&providers), (4, 4));
}

#[test]
fn after_the_last_model_the_first_is_asked_and_a_resume_knows_where_it_stood() {
    let openai = vec![failing(401), failing(503), failing(503), completion(Some("at last"))];
    let anthropic = vec![message(None), failing(529)];
    let providers = providers(openai, anthropic, "");
    // In the second turn the model that stood in fails twice, and then the first choice.
    providers.agent.host(&["run"]).exits(4).says("HTTP 503: not now");
    assert_eq!(asked(&providers), (3, 3));
    // It begins with the one that answered last, and has the whole budget again.
    assert_eq!(providers.agent.host(&["resume", "last"]).ok().stdout, "at last\n");
    assert_eq!(asked(&providers), (4, 5));
    let second: &[&str] = &[MESSAGES, MESSAGES, CHAT, CHAT, MESSAGES, MESSAGES, CHAT];
    shown_as_sent(&providers, &[("0", &[CHAT, MESSAGES]), ("1", second)]);
    assert_eq!(providers.agent.host(&["replay", "last"]).ok().stdout, "at last\n");
}

#[test]
fn every_request_can_be_shown_as_it_was_sent() {
    let providers = providers(vec![completion(None), failing(401)], vec![message(Some("the end"))], "");
    providers.agent.host(&["run"]).ok();
    let sent = [providers.sent_to(CHAT)[0].clone(), providers.sent_to(MESSAGES)[0].clone()];
    for (turn, sent) in sent.iter().enumerate() {
        let shown = providers.agent.host(&["runs", "request", "last", &turn.to_string()]);
        assert_eq!(shown.ok().stdout.trim_end(), sent);
    }
    assert_eq!(providers.agent.host(&["runs", "request", "last"]).ok().stdout.trim_end(), sent[1]);
    providers.agent.host(&["runs", "request", "last", "2"]).exits(2).says("no model was asked at model(2)");
    let refused = providers.agent.host(&["runs", "request", "last", "1", "--attempt", "1"]);
    assert_eq!(refused.ok().stdout.trim_end(), providers.sent_to(CHAT)[1], "to the first choice");
    for attempt in ["0", "3"] {
        let none = providers.agent.host(&["runs", "request", "last", "1", "--attempt", attempt]);
        none.exits(2).says(&format!("there was no attempt {attempt} at model(1); the last one is 2"));
    }
    assert_eq!(asked(&providers), (2, 1), "none was sent again");
}

#[test]
fn a_provider_is_asked_to_hold_the_answer_to_its_form_where_that_is_said() {
    let fits = r#"{"city":"Paris"}"#;
    let openai = vec![completion(None), failing(401)];
    let providers = providers(openai, vec![message(Some(fits))], "");
    let toml = std::fs::read_to_string(providers.agent.toml()).unwrap();
    let form =
        "output_schema = { type = \"object\", required = [\"city\"] }\n[model]\nstructured_output = true";
    std::fs::write(providers.agent.toml(), toml.replacen("[model]", form, 1)).unwrap();
    let checked = providers.agent.host(&["check"]).ok().stdout.clone();
    assert_eq!(checked.matches("which holds the answer to its form").count(), 1, "{checked}");
    assert_eq!(providers.agent.host(&["run"]).ok().stdout, format!("{fits}\n"));
    let (first, second) = (providers.sent_to(CHAT), providers.sent_to(MESSAGES));
    let sent: Value = serde_json::from_str(&first[0]).unwrap();
    let schema = json!({"type": "object", "required": ["city"]});
    assert_eq!(sent["response_format"]["json_schema"]["schema"], schema);
    assert!(!second[0].contains("output_config"), "each has settings of its own: {}", second[0]);
    assert!(second[0].contains("fits this JSON Schema"), "{}", second[0]);
    for (turn, sent) in [(0, &first[0]), (1, &second[0])] {
        let shown = providers.agent.host(&["runs", "request", "last", &turn.to_string()]);
        assert_eq!(shown.ok().stdout.trim_end(), sent);
    }
    assert_eq!(providers.agent.host(&["replay", "last"]).ok().stdout, format!("{fits}\n"));
}

#[test]
fn costs_go_by_the_prices_of_the_model_that_replied() {
    // 1000 in and 100 out cost 0.002 USD with the first model and 0.006 with the other one.
    let limit = "[limits]\nmax_cost_usd = 0.0075";
    let openai = vec![completion(None), failing(401)];
    let providers = providers(openai, vec![message(None)], limit);
    let ran = providers.agent.host(&["run"]);
    ran.exits(5).says("max_cost_usd = 0.0075").says("0.008000 USD");
    providers.agent.host(&["replay", "last"]).exits(5);
}

/// An answer by which a provider says that the conversation is too long.
pub fn too_long(message: &str, code: Option<&str>) -> ResponseTemplate {
    let error = json!({ "type": "invalid_request_error", "message": message, "code": code });
    ResponseTemplate::new(400).set_body_json(json!({ "type": "error", "error": error }))
}

#[test]
fn what_is_too_long_for_every_model_is_summed_up_and_asked_again() {
    let gateway = ResponseTemplate::new(413).set_body_string("<h1>413 Request Entity Too Large</h1>");
    for long in [too_long("Your messages are too many.", Some("context_length_exceeded")), gateway] {
        summed_up_and_asked_again(long);
    }
}

fn summed_up_and_asked_again(long: ResponseTemplate) {
    let summary = completion(Some("It was Paris."));
    let openai = vec![completion(None), completion(None), long, summary, completion(Some("the end"))];
    let anthropic = vec![too_long("prompt is too long: 200251 tokens > 200000 maximum", None)];
    let providers = providers(openai, anthropic, "");
    assert_eq!(providers.agent.host(&["run"]).ok().stdout, "the end\n");
    assert_eq!(asked(&providers), (5, 1));
    let sent = providers.sent_to(CHAT);
    let messages =
        |body: &String| serde_json::from_str::<Value>(body).unwrap()["messages"].as_array().unwrap().len();
    assert!(messages(&sent[3]) < messages(&sent[2]), "the summary is of what did fit");
    assert!(
        sent[3].contains("Sum up what was said so far") && sent[4].contains("It was Paris."),
        "{}",
        sent[4]
    );
    assert_eq!(providers.agent.host(&["replay", "last"]).ok().stdout, "the end\n");
    assert_eq!(asked(&providers), (5, 1), "a replay asks nobody");
}

#[test]
fn what_is_too_long_for_one_model_is_summed_up_where_the_other_cannot_be_asked() {
    let long = || too_long("no", Some("context_length_exceeded"));
    for (status, asked_it) in [(401, 1), (503, 2), (529, 2)] {
        let summary = completion(Some("It was Paris."));
        let openai = vec![completion(None), completion(None), long(), summary, completion(Some("the end"))];
        let providers = providers(openai, vec![failing(status)], "");
        assert_eq!(providers.agent.host(&["run"]).ok().stdout, "the end\n", "{status}");
        assert_eq!(asked(&providers), (5, asked_it), "{status}");
        assert!(providers.sent_to(CHAT)[4].contains("It was Paris."));
        assert_eq!(providers.agent.host(&["replay", "last"]).ok().stdout, "the end\n");
        assert_eq!(asked(&providers), (5, asked_it), "a replay asks nobody");
    }
}

/// A model whose replies follow from what it is asked, however often a killed run asks.
fn reads_two_results(request: &Request) -> ResponseTemplate {
    let body = String::from_utf8(request.body.clone()).unwrap();
    match body.matches("\"role\":\"tool\"").count() {
        _ if body.contains("Sum up what was said so far") => completion(Some("It was Paris.")),
        _ if body.contains("It was Paris.") => completion(Some("the end")),
        0 | 1 => completion(None),
        _ => too_long("no", Some("context_length_exceeded")),
    }
}

#[test]
fn a_kill_at_every_write_forgets_of_no_model_that_it_found_the_request_too_long() {
    let takes_no_key: fn(&Request) -> ResponseTemplate = |_| failing(401);
    let reads_two_results: fn(&Request) -> ResponseTemplate = reads_two_results;
    let kills = (0..100).take_while(|nth| {
        let answers = [(CHAT, reads_two_results), (MESSAGES, takes_no_key)];
        let served = Served::responding(answers, &two_models("")).guest("weather");
        let agent = &served.agent;
        let failpoint = format!("journal-before-ack={nth}*off->1*return");
        let killed = agent.command(&["run"]).env("FAILPOINTS", failpoint).output().unwrap();
        if killed.status.success() {
            return false;
        }
        assert_eq!(killed.status.signal(), Some(9), "{}", String::from_utf8_lossy(&killed.stderr));
        assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "the end\n", "killed at {nth}");
        assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
        true
    });
    assert!(kills.count() >= 9);
}

#[test]
fn a_prompt_that_is_too_long_breaks_the_run_off_and_says_what_to_do() {
    let long = too_long("no", Some("context_length_exceeded"));
    let providers = providers(vec![long], vec![too_long("prompt is too long", None)], "");
    providers.agent.host(&["run"]).exits(4).says("prompt is too long").says("compact_at_tokens");
    assert_eq!(asked(&providers), (1, 1));
}

#[test]
fn a_run_that_began_before_breaks_off_again_where_it_is_too_long_when_it_is_resumed() {
    let long = too_long("no", Some("context_length_exceeded"));
    let providers = providers(vec![long.clone()], vec![long], "");
    let before = root().join("tests/fixtures/rules2/too-long.jsonl");
    let (agent, toml) = (&providers.agent, providers.agent.toml());
    agent.host(&["journal", "import", before.to_str().unwrap()]).ok();
    let resume = ["resume", "last", "--config", toml.to_str().unwrap(), "--accept-changes"];
    agent.host(&resume).exits(4).says("HTTP 400: no").says("compact_at_tokens");
    assert_eq!(asked(&providers), (1, 1), "no summary is asked for");
    let last = agent.show().pop().unwrap();
    assert_eq!((&last["slot"], &last["attempt"]), (&json!("model(2)"), &json!(3)));
}
