//! What the loop does with what a model says.

use crate::support::{Agent, Ran, outcome, tool_error, tool_output};

fn run(script: &str) -> (Ran, Vec<serde_json::Value>) {
    Agent::scripted(script).guest("hostile").run_and_show()
}

#[test]
fn what_the_model_gets_wrong_comes_back_as_help() {
    let script = r#"
[[reply]]
calls = [
    { name = "ecko", input = { value = 1 } },
    { name = "echo", input_text = "{\"value\": 1" },
    { name = "slow", input = { pause_ms = "long" } },
    { name = "flaky", input = { fail_attempts = 9 } },
    { name = "echo", input = { value = "fine" } },
]

[[reply]]
expect = ["ecko: error (unknown tool)", "fine"]
text = "seen"
"#;
    let (ran, shown) = run(script);
    ran.ok();
    let (kind, message) = tool_error(&shown, "tool(0,0)");
    assert_eq!(kind, "unknown_tool");
    assert!(
        message.contains("there is no tool `ecko`; the tools are: ") && message.contains("echo"),
        "{message}"
    );
    let (kind, message) = tool_error(&shown, "tool(0,1)");
    assert_eq!(kind, "invalid_input");
    assert!(message.contains("not JSON: EOF while parsing") && message.contains("column 11"), "{message}");
    let (kind, message) = tool_error(&shown, "tool(0,2)");
    assert_eq!(kind, "invalid_input");
    assert!(
        message
            .contains("at /pause_ms: \"long\" is not of type \"integer\" (rule /properties/pause_ms/type)"),
        "{message}"
    );
    assert_eq!(tool_error(&shown, "tool(0,3)").0, "transient");
    assert_eq!(tool_output(&shown, "tool(0,4)"), "fine");
}

#[test]
fn results_go_back_in_call_order() {
    let script = r#"
[[reply]]
calls = [
    { name = "slow", input = { pause_ms = 150 } },
    { name = "echo", input = { value = "quick" } },
]

[[reply]]
expect = ["slow: ", "echo: \"quick\""]
text = "ok"
"#;
    let agent = Agent::scripted(script).guest("hostile");
    let ran = agent.host(&["run"]);
    ran.ok();
    let finished = |name: &str| ran.stderr.find(name).unwrap();
    assert!(
        finished("tool(0,1) echo") < finished("tool(0,0) slow"),
        "the quick one ended first:\n{}",
        ran.stderr
    );
    // The conversation is in call order all the same: a replay, where nothing is slow, asks for the same.
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn a_reply_that_was_cut_off_executes_nothing() {
    let script = r#"
[[reply]]
stop = "max_tokens"
calls = [{ name = "echo", input = { value = 1 } }]

[[reply]]
expect = ["echo: error (not called): your reply was cut off at its token limit"]
text = "shorter now"
"#;
    let (ran, shown) = run(script);
    assert_eq!(ran.ok().stdout, "shorter now\n");
    assert!(!shown.iter().any(|report| report["slot"] == "tool(0,0)"));
}

#[test]
fn an_answer_that_was_cut_off_is_a_limit() {
    let (ran, _) = run("[[reply]]\nstop = \"max_tokens\"\ntext = \"It was a dark and\"");
    ran.exits(5).says("max_tokens").says("It was a dark and");
    assert_eq!(ran.stdout, "");
}

#[test]
fn calls_decide_and_not_the_stop_reason() {
    let script = "[[reply]]\nstop = \"end\"\ncalls = [{ name = \"echo\", input = { value = 1 } }]\n[[reply]]\ntext = \"ok\"";
    assert_eq!(run(script).0.ok().stdout, "ok\n");
}

#[test]
fn a_refusal_is_not_an_answer() {
    let (ran, shown) = run("[[reply]]\nstop = \"refusal\"\ntext = \"I would rather not.\"");
    ran.exits(1).says("the model refused: I would rather not.");
    assert_eq!(outcome(&shown, "run")["run"]["refused"], "I would rather not.");
}

#[test]
fn too_many_turns_are_a_limit() {
    let call = "[[reply]]\ncalls = [{ name = \"echo\", input = { value = 1 } }]\n";
    let agent = Agent::scripted(&call.repeat(3)).guest("hostile").table("[limits]\nmax_turns = 2");
    agent.host(&["run"]).exits(5).says("max_turns = 2");
    agent.host(&["replay", "last"]).exits(5).says("max_turns = 2");
}

#[test]
fn too_much_time_is_a_limit_and_replays() {
    let script = "[[reply]]\ncalls = [{ name = \"spin\" }, { name = \"echo\", input = { value = 1 } }]";
    let agent = Agent::scripted(script).guest("hostile").table("[limits]\nwall_time = \"300ms\"");
    agent.host(&["run"]).exits(5).says("wall_time");
    agent.host(&["replay", "last"]).exits(5).says("wall_time");
    let before = agent.show();
    agent.host(&["resume", "last"]).exits(5).says("wall_time");
    assert_eq!(agent.show(), before, "a run that ended is not carried on");
}

#[test]
fn calls_beyond_the_bound_of_a_turn_are_told_to_the_model() {
    let script = r#"
[[reply]]
calls = [{ name = "echo", input = { value = 1 } }, { name = "echo", input = { value = 2 } }, { name = "echo", input = { value = 3 } }]

[[reply]]
expect = ["echo: 2", "error (too many calls): a turn may make 2 calls, and this is call 3"]
text = "ok"
"#;
    let agent = Agent::scripted(script).guest("hostile").table("[limits]\nmax_calls_per_turn = 2");
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    assert_eq!(tool_error(&shown, "tool(0,2)").0, "too_many_calls");
}
