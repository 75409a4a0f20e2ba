//! How a run stands that has not ended, how long all its processes worked on it, and how it goes on.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use serde_json::Value;
use wiremock::{Request, ResponseTemplate};

use host::journal::{RunSummary, Runs as _, RunsDir};

use crate::providers::rule;
use crate::replies::completion;
use crate::served::{FAST, Served};
use crate::support::{Agent, has_ended};

fn says(text: &str) -> ResponseTemplate {
    completion(&serde_json::json!({ "role": "assistant", "content": text }), "stop")
}

fn refusal() -> ResponseTemplate {
    ResponseTemplate::new(404).set_body_json(serde_json::json!({ "error": { "message": "no such model" } }))
}

fn json(agent: &Agent, args: &[&str]) -> Value {
    serde_json::from_str(&agent.host(args).ok().stdout).unwrap()
}

#[test]
fn a_run_that_its_provider_refused_has_failed_wherever_its_state_is_shown() {
    let served = Served::new("openai", vec![refusal(), says("the end")], FAST);
    let agent = &served.agent;
    let ran = agent.host(&["run", "--session", "ada", "--json"]);
    ran.exits(4);
    let last: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["exit_code"]), (&"run_failed".into(), &4.into()));
    assert!(last["error"].as_str().unwrap().contains("HTTP 404: no such model"), "{last}");

    let shown_as_failed = || {
        assert!(agent.host(&["runs"]).ok().stdout.contains("✗ failed "));
        assert_eq!(json(agent, &["runs", "--json"])[0]["state"], "failed");
        assert!(agent.host(&["sessions", "show", "ada"]).ok().stdout.contains("✗ failed"));
        let exported = agent.host(&["journal", "export", "last", "-o", "run.jsonl"]);
        exported.ok();
        let text = std::fs::read_to_string(agent.dir.path().join("run.jsonl")).unwrap();
        let head: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(head["state"], "failed");
        for name in ["last", "./run.jsonl"] {
            let shown = agent.host(&["runs", "show", name]).ok().stdout.clone();
            assert!(shown.contains("ended    not yet: ✗ failed at model(0): "), "{shown}");
            assert!(shown.contains("no such model") && shown.contains("given up"), "{shown}");
            assert!(
                shown.lines().any(|line| line.starts_with("✗ ") && line.contains("attempt 1")),
                "{shown}"
            );
            assert_eq!(json(agent, &["runs", "show", name, "--json"])[0]["state"], "failed");
        }
    };
    shown_as_failed();
    // The journal itself says so, too.
    let runs = RunsDir::new(&agent.state());
    let id = runs.find("last").unwrap();
    assert_eq!(RunSummary::of(id, &runs.read(id).unwrap()), runs.summary(id).unwrap());
    // The next run of the session waits for it, and a resume goes on.
    agent.host(&["run", "--session", "ada"]).exits(2).says("host resume");
    assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "the end\n");
    assert!(agent.host(&["runs"]).ok().stdout.contains("✓ answered "));
}

#[test]
fn a_run_that_was_stopped_is_interrupted_and_its_attempts_are_shown() {
    let late = says("too late").set_delay(Duration::from_hours(1));
    let served = Served::new("openai", vec![late, says("the end")], FAST);
    let agent = &served.agent;
    agent.run_until_killed(|| served.asked() == 1);
    assert_eq!(json(agent, &["runs", "--json"])[0]["state"], "interrupted");
    let shown = agent.host(&["runs", "show", "last"]).ok().stdout.clone();
    assert!(shown.contains("ended    not yet: interrupted; `host resume` goes on with it"), "{shown}");
    assert!(shown.contains("✗    stopped  model(0)"), "{shown}");
    agent.host(&["resume", "last"]).ok();
    let shown = agent.host(&["runs", "show", "last"]).ok().stdout.clone();
    let stopped = shown.find("✗    stopped  model(0) 1 message (attempt 1)").unwrap();
    let replied = shown.find("model(0) 1 message (attempt 2)").unwrap();
    assert!(stopped < replied && shown.contains(" in 2 processes: answer: the end"), "{shown}");
    let report = agent.show();
    assert_eq!(report[1]["cut_off"][0]["attempt"], 1);
    let processes = report[0]["processes"].as_array().unwrap();
    let worked =
        |process: &Value| process["until_ms"].as_u64().unwrap() - process["started_ms"].as_u64().unwrap();
    let worked: u64 = processes.iter().map(worked).sum();
    let shown_as = match worked {
        0..10 => format!("after {worked}.0 ms in"),
        10..1_000 => format!("after {worked} ms in"),
        _ => format!("after {}.{} s in", (worked + 50) / 1_000, (worked + 50) % 1_000 / 100),
    };
    assert!(processes.len() == 2 && shown.contains(&shown_as), "{shown}");
    agent.host(&["replay", "last"]).ok();
}

/// A server that knows one model.
fn knows_one(_: &Request, body: &Value) -> Result<(), String> {
    rule(body["model"] == "right", format!("there is no model {}", body["model"]))
}

#[test]
fn a_model_that_never_replied_can_be_mended_in_agent_toml() {
    let call = serde_json::json!({"role": "assistant", "content": null, "tool_calls": [{"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\":\"Paris\"}"}}]});
    let answers = vec![completion(&call, "tool_calls"), says("the end")];
    let served = Served::strictly(knows_one, "openai", answers, FAST).guest("weather");
    let agent = &served.agent;
    agent.host(&["run"]).exits(4).says("there is no model");
    let toml = std::fs::read_to_string(agent.toml()).unwrap();
    let named = |name: &str| {
        std::fs::write(agent.toml(), toml.replace("name = \"m\"", &format!("name = \"{name}\""))).unwrap();
    };
    named("wrong");
    agent.host(&["resume", "last"]).exits(4).says("there is no model");
    named("right");
    let resumed = agent.host(&["resume", "last"]);
    assert_eq!(resumed.ok().stdout, "the end\n");
    resumed.says("openai/wrong was, openai/right is").says("the model has not replied yet");
    assert!(has_ended(&agent.show(), "tool(0,0)"));
    assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
    agent.host(&["journal", "verify", "last"]).ok();
    let models: Vec<Value> = served.sent().into_iter().map(|body| body["model"].clone()).collect();
    assert_eq!(models, ["m", "wrong", "right", "right"]);
}

/// A run that was killed while another model stood in for the first choice, which was mended since.
#[test]
fn a_first_choice_that_was_mended_is_asked_first() {
    let knows_two = |_: &Request, body: &Value| {
        rule(
            body["model"] == "right" || body["model"] == "other",
            format!("there is no model {}", body["model"]),
        )
    };
    let other = "[[model.fallback]]\nprovider = \"openai\"\nname = \"other\"\nbase_url = \"URI\"";
    let served = Served::strictly(knows_two, "openai", vec![says("the end")], other);
    let agent = &served.agent;
    // The manifest, the start of the first attempt, its failure, and the start of the second.
    let killed =
        agent.command(&["run"]).env("FAILPOINTS", "journal-before-ack=3*off->1*return").output().unwrap();
    assert_eq!(killed.status.signal(), Some(9));
    let toml = std::fs::read_to_string(agent.toml()).unwrap();
    std::fs::write(agent.toml(), toml.replace("name = \"m\"", "name = \"right\"")).unwrap();
    assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "the end\n");
    let models: Vec<Value> = served.sent().into_iter().map(|body| body["model"].clone()).collect();
    assert_eq!(models, ["m", "right"]);
    assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
}

#[test]
fn a_change_after_a_reply_wants_a_word() {
    let call = "[[reply]]\ncalls = [{ name = \"echo\", input = { value = 1 } }]\n";
    let broken = "[[reply]]\nerror = { message = \"busy\", may_pass = false }\n";
    let agent = Agent::scripted(&format!("{call}{broken}[[reply]]\ntext = \"the end\"")).guest("hostile");
    agent.host(&["run"]).exits(4);
    let toml = std::fs::read_to_string(agent.toml()).unwrap();
    std::fs::write(agent.toml(), toml.replace("[agent]", "[agent]\ninstructions = \"Be quick.\"")).unwrap();
    agent.host(&["resume", "last"]).exits(6).says("--accept-changes");
    assert_eq!(json(&agent, &["runs", "--json"])[0]["state"], "failed", "it stands as it stood");
    agent.host(&["resume", "last", "--accept-changes"]).ok();
}
