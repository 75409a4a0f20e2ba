//! Model requests that fail: what is sent again and when, what is recorded of it, and that a run that gave up goes on.

use std::path::Path;

use host::config::Config;
use host::message::Retry;
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::served::Served;
use crate::support::outcome;

fn status(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({ "error": { "message": "not now" } }))
}

fn answer() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({
        "id": "c1", "object": "chat.completion", "model": "m",
        "usage": { "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18 },
        "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "the end" } }],
    }))
}

/// An agent whose `[model.retry]` is this.
fn retrying(answers: Vec<ResponseTemplate>, retry: &str) -> Served {
    Served::new("openai", answers, &format!("[model.retry]\n{retry}"))
}

const FAST: &str = "initial_delay = \"1ms\"";

#[test]
fn what_may_pass_is_asked_for_again_and_recorded() {
    for failing in [408, 409, 429, 500, 502, 503, 504, 529] {
        let provider = retrying(vec![status(failing), status(failing), answer()], FAST);
        let ran = provider.host(&["run"]);
        assert_eq!(ran.ok().stdout, "the end\n");
        ran.says("again in");
        assert_eq!((provider.asked(), provider.failures("model(0)").len()), (3, 2), "{failing}");
        let failure = &provider.failures("model(0)")[0]["outcome"]["no_reply"];
        assert!(
            failure["message"].as_str().unwrap().contains(&format!("HTTP {failing}: not now")),
            "{failure}"
        );
        assert_eq!(provider.host(&["replay", "last"]).ok().stdout, "the end\n");
        assert_eq!(provider.asked(), 3, "a replay asks nobody");
    }
}

#[test]
fn a_provider_says_how_long_to_wait_up_to_a_limit() {
    let wait = |header: &'static str, value: &'static str| status(429).insert_header(header, value);
    for (asked, expected) in [
        (wait("retry-after-ms", "120"), 120),
        (wait("retry-after", "1"), 1000),
        (wait("retry-after", "3600"), 1500),
        (wait("retry-after", "nonsense"), 1),
    ] {
        let provider = retrying(vec![asked, answer()], &format!("{FAST}\nmax_retry_after = \"1500ms\""));
        provider.host(&["run"]).ok();
        assert_eq!(provider.failures("model(0)")[0]["retry_ms"], expected);
    }
}

#[test]
fn a_run_that_gave_up_goes_on_with_the_whole_budget() {
    let answers = vec![status(503), status(503), status(503), status(503), status(503), answer()];
    let provider = retrying(answers, FAST);
    provider.host(&["run"]).exits(4).says("given up").says("HTTP 503: not now").says("host resume");
    assert_eq!(provider.asked(), 3);
    assert_eq!(provider.failures("model(0)")[2]["gave_up"], true);
    provider.host(&["replay", "last"]).exits(1).says("its result was never recorded");
    assert_eq!(provider.host(&["resume", "last"]).ok().stdout, "the end\n");
    assert_eq!((provider.asked(), provider.failures("model(0)").len()), (6, 5));
    assert_eq!(outcome(&provider.agent.show(), "model(0)")["model"]["text"], "the end");
    provider.host(&["replay", "last"]).ok();
    provider.host(&["journal", "verify", "last"]).ok();
}

#[test]
fn what_will_not_pass_is_not_asked_for_again() {
    for refusing in [400, 401, 403, 404, 422] {
        let provider = retrying(vec![status(refusing), answer()], FAST);
        provider.host(&["run"]).exits(4).says("not now");
        assert_eq!(provider.asked(), 1, "{refusing}");
        assert_eq!(provider.host(&["resume", "last"]).ok().stdout, "the end\n", "mended meanwhile");
    }
    let once = retrying(vec![status(503), answer()], "max_attempts = 1");
    once.host(&["run"]).exits(4);
    assert_eq!(once.asked(), 1);
}

#[test]
fn what_is_not_said_of_retries_has_a_default() {
    let read = |retry: &str| {
        let toml = format!("version = 1\n[agent]\n[model]\nprovider = \"ollama\"\nname = \"m\"\n{retry}");
        Config::parse(&toml, Path::new("/agents/one/agent.toml")).unwrap().model_retry
    };
    let defaults = Retry { max_attempts: 3, initial_delay_ms: 500, max_delay_ms: 8000, max_asked_ms: 60_000 };
    assert_eq!(read(""), defaults);
    assert_eq!(read("[model.retry]"), defaults);
    assert_eq!(read("[model.retry]\nmax_attempts = 5"), Retry { max_attempts: 5, ..defaults });
}

#[test]
fn what_is_said_of_retries_has_to_make_sense() {
    for (retry, said) in [
        ("max_attempts = 0", "it goes from 1 to 100"),
        ("initial_delay = \"9s\"", "initial_delay is longer than max_delay"),
        ("max_retry_after = \"2h\"", "max_retry_after"),
        ("idempotent = []", "idempotent"),
    ] {
        retrying(vec![answer()], retry).host(&["check"]).exits(2).says(said);
    }
}
