//! Recorded runs as a test bench: calls made again with another version of a tool, runs forked and compared.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Agent, has_ended, root, tool_output};

const SCRIPT: &str = r#"
[[reply]]
calls = [{ name = "get_weather", input = { city = "San Francisco" } }, { name = "get_weather", input = { city = "New York" } }]

[[reply]]
calls = [{ name = "get_weather", input = { city = "Atlantis" } }]

[[reply]]
text = "the end"
"#;

fn agent() -> Agent {
    Agent::scripted(SCRIPT).guest("weather")
}

/// The weather tool's next version: it says that it is sunny where it was foggy.
pub fn next_version(agent: &Agent) -> PathBuf {
    agent.host(&["build"]).ok();
    let built = root().join("guest-tools/target/wasm32-wasip2/release/weather.wasm");
    let mut bytes = fs::read(built).unwrap();
    let fog: Vec<usize> = (0..bytes.len() - 5).filter(|at| bytes[*at..at + 5] == *b"foggy").collect();
    assert!(!fog.is_empty(), "the tool knows fog");
    for at in fog {
        bytes[at..at + 5].copy_from_slice(b"sunny");
    }
    let path = agent.dir.path().join("next.wasm");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn recorded_calls_are_made_again_and_compared() {
    let agent = agent();
    agent.host(&["run"]).ok();
    let before = agent.show();
    let same = agent.host(&["replay", "last", "--rerun", "get_weather"]);
    assert!(same.ok().stdout.contains("       3       3       0  "), "{}", same.stdout);
    let next = next_version(&agent);
    let rerun = format!("weather={}", next.display());
    let differs = agent.host(&["replay", "last", "--rerun", &rerun]);
    let said = &differs.exits(6).stdout;
    assert!(said.contains("tool(0,0) get_weather {\"city\":\"San Francisco\"}"), "{said}");
    assert!(
        said.contains("-    \"conditions\": \"foggy\"") && said.contains("+    \"conditions\": \"sunny\""),
        "{said}"
    );
    assert!(said.contains("       3       2       1  "), "{said}");
    assert_eq!(agent.show(), before, "nothing is recorded");
    agent.host(&["replay", "last", "--rerun", "nothing"]).exits(2).says("no call of `nothing` is recorded");
    agent.host(&["replay", "last", "--rerun", "weather=gone.wasm"]).exits(1);
}

#[test]
fn the_calls_of_all_runs_are_made_again() {
    let agent = agent();
    for _ in 0..3 {
        agent.host(&["run"]).ok();
    }
    let ended = |shown: &[Value]| (0..3).filter(|call| has_ended(shown, &format!("tool(0,{call})"))).count();
    agent.run_killed_once(|shown| has_ended(shown, "tool(0,0)"));
    let calls = 9 + ended(&agent.show());
    let again = agent.host(&["replay", "--all", "--rerun", "get_weather"]);
    assert!(again.ok().stdout.ends_with(&format!("{calls:>8}{calls:>8}       0\n")), "{}", again.stdout);
    let rerun = format!("get_weather={}", next_version(&agent).display());
    let report = agent.host(&["replay", "--all", "--rerun", &rerun, "--json"]);
    let report: Vec<Value> = serde_json::from_str(&report.exits(6).stdout).unwrap();
    assert_eq!(report.len(), 4);
    for run in &report {
        assert_eq!(run["different"].as_array().unwrap().len(), 1, "{run:#}");
        assert_eq!(run["different"][0]["slot"], "tool(0,0)");
    }
    agent.host(&["replay", "--all"]).exits(2);
}

#[test]
fn what_would_take_effect_again_is_not_called_without_leave() {
    let agent = Agent::scripted("[[reply]]\ncalls = [{ name = \"counter\" }]\n[[reply]]\ntext = \"the end\"")
        .guest("hostile")
        .table("[[tools.hostile.permissions.dirs]]\nhost = \"work\"\nguest = \"/work\"\naccess = \"rw\"");
    fs::create_dir(agent.dir.path().join("work")).unwrap();
    agent.host(&["run"]).ok();
    let refused = agent.host(&["replay", "last", "--rerun", "counter"]);
    assert!(refused.exits(1).stdout.contains("say so with --allow-effects"), "{}", refused.stdout);
    agent.host(&["replay", "last", "--rerun", "counter", "--allow-effects"]).ok();
}

#[test]
fn a_fork_shares_what_is_recorded_and_goes_on_by_itself() {
    let agent = agent();
    agent.host(&["run"]).ok();
    let origin = agent.show();
    let forked = agent.host(&["fork", "last", "--at", "1", "--prompt", "and in Atlantis?"]);
    assert_eq!(forked.ok().stdout, "the end\n");
    let shown = agent.show();
    for slot in ["model(0)", "tool(0,0)", "tool(0,1)"] {
        let at = |shown: &[Value]| shown.iter().find(|report| report["slot"] == slot).unwrap().clone();
        assert_eq!(at(&shown), at(&origin), "{slot} is shared");
    }
    let said = &shown.iter().find(|report| report["slot"] == "model(1)").unwrap()["request"]["model"];
    assert_eq!(said["messages"], 5, "prompt, reply, two results, and what the person said: {said:#}");
    agent.host(&["replay", "last"]).ok();
    let text = agent.host(&["runs", "show", "last"]).ok().stdout.clone();
    assert!(
        text.contains("said     and in Atlantis? (before turn 1)") && text.contains("forked   from 01"),
        "{text}"
    );
    agent.host(&["fork", "last", "--at", "9"]).exits(2).says("the run has 3 turns");
    agent.host(&["fork", "last", "--at", "0", "--prompt", "other"]).ok();
    assert!(agent.host(&["runs", "show", "last"]).ok().stdout.contains("prompt   other"));
}

#[test]
fn a_person_may_have_one_more_word_after_the_last() {
    let agent =
        Agent::scripted("[[reply]]\ntext = \"first\"\n[[reply]]\nexpect = [\"sure?\"]\ntext = \"second\"");
    let first = fs::read_to_string(agent.dir.path().join("script.toml")).unwrap();
    fs::write(agent.dir.path().join("script.toml"), "[[reply]]\ntext = \"first\"").unwrap();
    assert_eq!(agent.host(&["run"]).ok().stdout, "first\n");
    fs::write(agent.dir.path().join("script.toml"), first).unwrap();
    assert_eq!(agent.host(&["fork", "last", "--at", "1", "--prompt", "sure?"]).ok().stdout, "second\n");
    assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "second\n");
}

#[test]
fn a_fork_goes_on_from_an_edited_result() {
    let agent = agent();
    agent.host(&["run"]).ok();
    let output = tool_output(&agent.show(), "tool(0,0)").to_string().replace("foggy", "raining frogs");
    let file = agent.dir.path().join("new.json");
    fs::write(&file, output).unwrap();
    let edit = format!("tool(0,0)={}", file.display());
    agent
        .host(&["fork", "last", "--edit", &edit, "--at", "2"])
        .exits(2)
        .says("forks the run at turn 1, and not at 2");
    assert_eq!(agent.host(&["fork", "last", "--edit", &edit]).ok().stdout, "the end\n");
    let shown = agent.show();
    assert_eq!(tool_output(&shown, "tool(0,0)")["conditions"], "raining frogs");
    agent.host(&["replay", "last"]).ok();
    let runs: Value = serde_json::from_str(&agent.host(&["runs", "--json"]).ok().stdout).unwrap();
    let (one, other) = (runs[0]["run"].as_str().unwrap(), runs[1]["run"].as_str().unwrap());
    let diff = agent.host(&["runs", "diff", one, other]);
    assert!(diff.exits(6).stdout.contains("raining frogs"), "{}", diff.stdout);
    assert!(!diff.stdout.contains("tool(0,1)"), "{}", diff.stdout);
    agent.host(&["runs", "diff", one, one]).ok().says("7 slots the same");

    let reply = agent.dir.path().join("reply.json");
    fs::write(&reply, "{\"calls\":[{\"id\":\"1\",\"name\":\"get_weather\",\"arguments\":{\"json\":{\"city\":\"New York\"}}}],\"stop\":\"tool_calls\"}").unwrap();
    let edit = format!("model(0)={}", reply.display());
    agent.host(&["fork", one, "--edit", &edit]).ok();
    let shown = agent.show();
    assert_eq!(
        shown.iter().filter(|report| report["slot"].as_str().unwrap().starts_with("tool(0,")).count(),
        1
    );
    agent.host(&["replay", "last"]).ok();
    fs::write(&reply, "{").unwrap();
    agent.host(&["fork", one, "--edit", &edit]).exits(2).says("is not a reply");
}

#[test]
fn a_tool_sees_the_time_again_that_the_calls_took_that_it_made() {
    let call = "{ name = \"time_call\", input = { name = \"slow\", input = { pause_ms = 30 } } }";
    let script = format!("[[reply]]\ncalls = [{call}, {call}]\n[[reply]]\ntext = \"the end\"");
    let grant = "[tools.hostile.permissions]\ncalls = [\"slow\"]";
    let agent = Agent::scripted(&script).guest("hostile").table(grant);
    agent.host(&["run"]).ok();
    let shown = agent.show();
    let times = tool_output(&shown, "tool(0,0)").as_array().unwrap().iter();
    let times: Vec<u64> = times.map(|it| it.as_str().unwrap().parse().unwrap()).collect();
    assert!(times[1] - times[0] >= 29_000_000, "{times:?}");
    let same = agent.host(&["replay", "last", "--rerun", "time_call"]);
    assert!(same.ok().stdout.contains("       2       2       0  "), "{}", same.stdout);
}
