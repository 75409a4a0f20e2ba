//! What a run used, with the agents that it called: printed at its end, recorded with it, the same in a resume and a
//! replay; and what agents used counts in the budgets of those that call them.

use std::os::unix::process::ExitStatusExt as _;

use serde_json::{Value, json};

use crate::subagents::{beside, tool};
use crate::support::{Agent, has_ended, outcome};

const PRICED: &str = "prices = { input = 2.0, output = 10.0 }";

/// 1000 + 100 tokens for a call, and 2000 + 200 for the answer.
fn spending(call: &str, text: &str) -> String {
    format!(
        "[[reply]]\ntokens = {{ input = 1000, output = 100 }}\ncalls = [{call}]\n\
         [[reply]]\ntokens = {{ input = 2000, output = 200 }}\ntext = \"{text}\""
    )
}

const ECHO: &str = "{ name = \"echo\", input = { value = 1 } }";
const ONE: &str = "{ name = \"one\", input = { prompt = \"do it\" } }";
const TWO: &str = "{ name = \"two\", input = { prompt = \"do it\" } }";

fn edit(agent: &Agent, file: &str, before: &str, after: &str) {
    let path = agent.dir.path().join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(before), "{before} is in {text}");
    std::fs::write(path, text.replace(before, after)).unwrap();
}

/// An agent that calls `one`, which calls `two`, which calls a tool.
fn three(limits: &str) -> Agent {
    let agent = Agent::scripted(&spending(ONE, "the end")).table(&format!("[limits]\n{limits}"));
    beside(&agent, "two", &spending(ECHO, "two"), &[&tool("hostile")]);
    beside(&agent, "one", &spending(TWO, "one"), &["[tools.two]\nagent = \"../two/agent.toml\""]);
    agent.table("[tools.one]\nagent = \"one/agent.toml\"")
}

/// The last line on stderr.
fn last_line(text: &str) -> &str {
    text.trim_end().lines().last().unwrap()
}

#[test]
fn a_run_says_what_it_used() {
    let agent = Agent::scripted(&spending(ECHO, "the end")).guest("hostile");
    edit(&agent, "agent.toml", "[model]", &format!("[model]\n{PRICED}"));
    let ran = agent.host(&["run"]);
    let used = "2 turns, 1 tool call, 3300 tokens (3000 in, 300 out), 0.009000 USD";
    assert_eq!(last_line(&ran.ok().stderr), format!("used: {used}"));
    for command in ["replay", "resume"] {
        assert_eq!(
            last_line(&agent.host(&[command, "last"]).ok().stderr),
            format!("used: {used}"),
            "{command}"
        );
    }
    let shown = agent.host(&["runs", "show", "last"]).ok().stdout.clone();
    assert!(shown.contains(&format!("\nused     {used}\n")), "{shown}");
    let json = agent.host(&["run", "--json"]).ok().stdout.clone();
    let last: Value = serde_json::from_str(last_line(&json)).unwrap();
    let recorded =
        json!({ "turns": 2, "tool_calls": 1, "tokens": { "input": 3000, "output": 300 }, "cost_usd": 0.009 });
    assert_eq!((&last["event"], &last["used"]), (&"run_ended".into(), &recorded));
    assert_eq!(agent.show()[0]["finished"]["usage"]["used"], recorded);

    // Where nobody says how many tokens there were, nothing is said of them.
    let silent = Agent::scripted("[[reply]]\ntext = \"the end\"");
    assert_eq!(last_line(&silent.host(&["run"]).ok().stderr), "used: 1 turn, 0 tool calls");
}

#[test]
fn what_called_agents_used_is_part_of_it() {
    let agent = three("");
    let used = "used: 2 turns, 1 tool call, 9900 tokens (9000 in, 900 out)";
    assert_eq!(last_line(&agent.host(&["run"]).ok().stderr), used);
    assert_eq!(last_line(&agent.host(&["replay", "last"]).ok().stderr), used);
    let shown = agent.show();
    let tokens = |slot: &str| {
        let report = shown.iter().find(|report| report["slot"] == slot).unwrap();
        report["finished"]["usage"]["used"]["tokens"]["input"].clone()
    };
    assert_eq!([tokens("tool(0,0)/tool(0,0)"), tokens("tool(0,0)"), tokens("run")], [3000, 6000, 9000]);

    // Each at prices of its own; and what has none in part has none.
    edit(&agent, "two/agent.toml", "[model]", &format!("[model]\n{PRICED}"));
    edit(&agent, "agent.toml", "[model]", &format!("[model]\n{PRICED}"));
    assert_eq!(last_line(&agent.host(&["run"]).ok().stderr), used);
    edit(&agent, "one/agent.toml", "[model]", "[model]\nprices = { input = 1.0, output = 1.0 }");
    assert_eq!(last_line(&agent.host(&["run"]).ok().stderr), format!("{used}, 0.021300 USD"));
    assert_eq!(last_line(&agent.host(&["replay", "last"]).ok().stderr), format!("{used}, 0.021300 USD"));
}

#[test]
fn what_agents_use_stops_those_that_call_them() {
    // 1100 of its own, and 6600 of the agents.
    for (limit, used) in [("max_total_tokens = 7700", 7700), ("max_total_tokens = 7701", 0)] {
        let agent = three(limit);
        let ran = agent.host(&["run"]);
        if used == 0 {
            assert_eq!(ran.ok().stdout, "the end\n", "an answer that is there is given");
            continue;
        }
        ran.exits(5)
            .says("the run reached max_total_tokens = 7700; used: 1 turns, 1 tool calls, 7700 tokens");
        let shown = agent.show();
        assert!(has_ended(&shown, "tool(0,0)") && !shown.iter().any(|report| report["slot"] == "model(1)"));
        let replayed = agent.host(&["replay", "last"]);
        assert_eq!(last_line(&replayed.exits(5).stderr), last_line(&ran.stderr));
    }
    // A test of the run as it was recorded counts what the agents used then.
    let agent = three("max_total_tokens = 7700");
    agent.host(&["run"]).exits(5);
    std::fs::create_dir(agent.dir.path().join("tests")).unwrap();
    agent.host(&["journal", "export", "last", "-o", "tests/run.jsonl"]).ok();
    std::fs::write(agent.dir.path().join("tests/same.toml"), "recorded = \"run.jsonl\"").unwrap();
    agent.host(&["test"]).ok();
    // The one between has a budget of its own, which those below it use up.
    let agent = three("");
    edit(&agent, "one/agent.toml", "[agent]", "[limits]\nmax_total_tokens = 4400\n[agent]");
    assert_eq!(agent.host(&["run"]).ok().stdout, "the end\n");
    let told = outcome(&agent.show(), "tool(0,0)")["tool"]["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        told.contains("the run reached max_total_tokens = 4400; used: 1 turns, 1 tool calls, 4400"),
        "{told}"
    );
    agent.host(&["replay", "last"]).ok();
    // Calls are counted as the one call that each of them is.
    three("max_tool_calls = 1").host(&["run"]).ok();
    // What cannot be counted is not gone on with.
    let agent = three("max_total_tokens = 100_000");
    beside(&agent, "one", "[[reply]]\ntext = \"one\"", &[]);
    agent.host(&["run"]).exits(5).says("the provider of a called agent does not say how many tokens");
    agent.host(&["replay", "last"]).exits(5);
    // Nor where it is an agent below the one that was called, which itself says what it takes.
    let agent = three("max_total_tokens = 100_000");
    beside(&agent, "two", "[[reply]]\ntext = \"two\"", &[]);
    agent.host(&["run"]).exits(5).says("the provider of a called agent does not say how many tokens");
    agent.host(&["replay", "last"]).exits(5);
}

#[test]
fn what_agents_cost_stops_those_that_call_them() {
    let agent = three("max_cost_usd = 0.0153");
    edit(&agent, "agent.toml", "[model]", &format!("[model]\n{PRICED}"));
    agent.host(&["check"]).exits(2).says("[tools.one]: max_cost_usd needs to know what tokens cost, and");
    edit(&agent, "one/agent.toml", "[model]", "[model]\nprices = { input = 1.0, output = 1.0 }");
    agent.host(&["run"]).exits(2).says("two/agent.toml does not say it").says("[tools.two]");
    edit(&agent, "two/agent.toml", "[model]", &format!("[model]\n{PRICED}"));
    // 0.003 of its own, 0.0033 of the one and 0.009 of the other.
    let ran = agent.host(&["run"]);
    ran.exits(5).says("the run reached max_cost_usd = 0.0153; used: 1 turns").says("0.015300 USD");
    agent.host(&["replay", "last"]).exits(5).says("0.015300 USD");
}

/// Kills the run at the n-th commit and resumes it. Says whether it was killed at all.
fn kill_and_resume(point: &str, nth: usize) -> bool {
    let agent = three("max_total_tokens = 7700");
    let failpoint = format!("{point}={nth}*off->1*return");
    let killed = agent.command(&["run"]).env("FAILPOINTS", failpoint).output().unwrap();
    if killed.status.signal() != Some(9) {
        assert_eq!(killed.status.code(), Some(5));
        return false;
    }
    if agent.shown_so_far().is_empty() {
        return true;
    }
    let resumed = agent.host(&["resume", "last"]);
    resumed.exits(5).says("max_total_tokens = 7700; used: 1 turns, 1 tool calls, 7700 tokens");
    assert_eq!(
        last_line(&resumed.stderr),
        "used: 1 turn, 1 tool call, 7700 tokens (7000 in, 700 out)",
        "{point} at commit {nth}"
    );
    assert_eq!(last_line(&agent.host(&["replay", "last"]).exits(5).stderr), last_line(&resumed.stderr));
    true
}

#[test]
fn a_kill_at_every_write_counts_the_same() {
    for point in ["journal-before-write", "journal-before-ack"] {
        let kills = (0..100).take_while(|nth| kill_and_resume(point, *nth)).count();
        assert!(kills >= 7, "{point}: killed at {kills} commits");
    }
}

#[test]
fn a_run_from_before_says_what_can_be_told() {
    let agent = three("max_total_tokens = 100_000");
    agent.host(&["run"]).ok();
    let file = agent.dir.path().join("run.jsonl");
    agent.host(&["journal", "export", "last", "-o", file.to_str().unwrap()]).ok();
    let mut run = host::journal::RunFile::read(&file).unwrap();
    for entry in &mut run.entries {
        if let host::journal::Event::Finished(finished) = &mut entry.event {
            finished.usage.used = None;
        }
    }
    run.write(&mut std::fs::File::create(&file).unwrap()).unwrap();
    // Of its own it is known what it used, and of the agents it was not recorded.
    let used = "used: 2 turns, 1 tool call, 3300 tokens (3000 in, 300 out)";
    let replayed = agent.host(&["replay", file.to_str().unwrap()]);
    assert_eq!(replayed.ok().stdout, "the end\n");
    assert_eq!(last_line(&replayed.stderr), used);
    let shown = agent.host(&["runs", "show", file.to_str().unwrap()]).ok().stdout.clone();
    assert!(!shown.contains("used  "), "{shown}");
}
