//! A tool gets what the model wrote, to the digit; and what two readers could read in two ways, nobody gets.

use serde_json::Value;

use crate::attacks::hostile;
use crate::support::{Agent, outcome, tool_error, tool_output};

/// An agent whose model calls a tool that gives its input back as a text, once with each of these.
fn agent(inputs: &[&str]) -> Agent {
    let calls: Vec<String> = inputs
        .iter()
        .map(|input| format!("{{ name = \"verbatim\", input_text = {} }}", Value::from(*input)))
        .collect();
    let script = format!("[[reply]]\ncalls = [{}]\n[[reply]]\ntext = \"done\"", calls.join(", "));
    let source = hostile("verbatim");
    Agent::scripted(&script).table(&format!("[tools.verbatim]\nsource = {:?}", source.to_str().unwrap()))
}

#[test]
fn numbers_reach_a_tool_with_every_digit() {
    let cases = [
        (r#"{"wei": 1000000000000000000001}"#, r#"{"wei":1000000000000000000001}"#),
        (r#"{"a":1E2,"b":5.0,"c":-0.0}"#, r#"{"a":100,"b":5,"c":-0.0}"#),
        (r#"{"a":-0,"b":0.0,"c":-0e3}"#, r#"{"a":0,"b":0,"c":-0.0}"#),
        (r#"{"a":0.1234567890123456789}"#, r#"{"a":0.1234567890123456789}"#),
        (r#"{"a":1e-7,"b":123456789012345680000}"#, r#"{"a":1e-7,"b":123456789012345680000}"#),
    ];
    let inputs: Vec<&str> = cases.iter().map(|(input, _)| *input).collect();
    let agent = agent(&inputs);
    agent.host(&["run"]).ok();
    let shown = agent.show();
    for (index, (_, expected)) in cases.iter().enumerate() {
        assert_eq!(tool_output(&shown, &format!("tool(0,{index})")), *expected);
    }
    agent.host(&["replay", "last"]).ok();
    // A script of the run says the same again.
    let script = agent.host(&["runs", "script", "last"]).ok().stdout.clone();
    std::fs::write(agent.dir.path().join("script.toml"), script).unwrap();
    agent.host(&["run"]).ok();
    let again = agent.show();
    for index in 0..cases.len() {
        let slot = format!("tool(0,{index})");
        assert_eq!(outcome(&again, &slot), outcome(&shown, &slot));
    }
}

#[test]
fn what_can_be_read_in_two_ways_or_only_by_some_is_the_models_to_mend() {
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let cases = [
        (deep.as_str(), "nested more than 100 deep"),
        (r#"{"a":1,"a":2}"#, "the key \"a\" twice"),
        (r#"{"a":["x \ud83d"]}"#, "at /a/0: "),
        (r#"{"a":1e400}"#, "beyond what a 64-bit float reaches"),
    ];
    let inputs: Vec<&str> = cases.iter().map(|(input, _)| *input).collect();
    let agent = agent(&inputs);
    agent.host(&["run"]).ok();
    let shown = agent.show();
    for (index, (_, why)) in cases.iter().enumerate() {
        let (kind, message) = tool_error(&shown, &format!("tool(0,{index})"));
        assert_eq!(kind, "invalid_input");
        assert!(message.contains(why) && message.contains("send one JSON object"), "{message}");
    }
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn an_approval_of_one_large_number_is_none_of_another() {
    let agent = agent(&[r#"{"to":1000000000000000000001}"#]).table("[approval]\nask = [{ tool = \"*\" }]");
    agent.host(&["run"]).exits(3);
    agent.host(&["approve", "last", "--always"]).ok();
    agent.host(&["resume", "last"]).ok();
    agent.host(&["run"]).ok();
    let path = agent.dir.path().join("script.toml");
    let script = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, script.replace("000001}", "000002}")).unwrap();
    agent.host(&["run"]).exits(3);
}
