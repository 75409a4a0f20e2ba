//! What stops a run before its answer: each with exit code 5, the limit's name and value, and what was used; and a
//! replay that stops at the same place.

use serde_json::json;

use crate::support::{Agent, Ran, tool_error, tool_output};

const TOKENS: &str = "tokens = { input = 1000, output = 200 }";

/// So many turns, each with calls of its own, and then an answer.
fn turns(count: usize, calls: usize) -> String {
    let turn = |turn: usize| {
        let call = |call| format!("{{ name = \"echo\", input = {{ value = {} }} }}", turn * 10 + call);
        let calls: Vec<String> = (0..calls).map(call).collect();
        format!("[[reply]]\n{TOKENS}\ncalls = [{}]\n", calls.join(", "))
    };
    (0..count).map(turn).collect::<String>() + "[[reply]]\ntext = \"the end\"\n" + TOKENS
}

/// The same call in every turn.
fn again(call: &str, count: usize) -> String {
    format!("[[reply]]\ncalls = [{call}]\n").repeat(count) + "[[reply]]\ntext = \"the end\""
}

/// Runs with these limits; a replay comes to the same.
fn run(script: &str, limits: &str) -> (Agent, Ran) {
    let agent = Agent::scripted(script).table(&format!("[limits]\n{limits}")).guest("hostile");
    let ran = agent.host(&["run"]);
    let replayed = agent.host(&["replay", "last"]);
    assert_eq!((replayed.code, &replayed.stdout), (ran.code, &ran.stdout), "{}", replayed.stderr);
    (agent, ran)
}

#[test]
fn tool_calls_are_counted_before_they_are_made() {
    let (agent, ran) = run(&turns(3, 2), "max_tool_calls = 5");
    ran.exits(5).says(
        "more than max_tool_calls = 5 calls; used: 3 turns, 4 tool calls, 3600 tokens (3000 in, 600 out)",
    );
    assert_eq!(agent.show().len(), 1 + 3 + 4, "no call of the third turn is made");
    run(&turns(3, 2), "max_tool_calls = 6").1.ok();
}

#[test]
fn tokens_are_counted_with_every_reply() {
    let (agent, ran) = run(&turns(3, 1), "max_total_tokens = 2400");
    ran.exits(5).says("max_total_tokens = 2400; used: 2 turns, 1 tool calls, 2400 tokens");
    assert_eq!(agent.show().len(), 1 + 2 + 1);
    // An answer that is there is given.
    assert_eq!(run(&turns(3, 1), "max_total_tokens = 4800").1.ok().stdout, "the end\n");
    let (_, ran) = run(&turns(1, 1).replace(TOKENS, ""), "max_total_tokens = 1000");
    ran.exits(5).says("does not say how many tokens a reply took, so max_total_tokens cannot be kept");
}

#[test]
fn a_cost_is_what_tokens_cost() {
    let with = |limits: &str, prices: &str| {
        let agent = Agent::scripted(&turns(3, 1)).guest("hostile").table(&format!("[limits]\n{limits}"));
        let toml = std::fs::read_to_string(agent.toml()).unwrap();
        std::fs::write(agent.toml(), toml.replace("[model]", &format!("[model]\n{prices}"))).unwrap();
        agent.host(&["run"])
    };
    let prices = "prices = { input = 2.0, output = 10.0 }";
    // 1000 x 2 + 200 x 10 millionths a turn.
    with("max_cost_usd = 0.008", prices)
        .exits(5)
        .says("max_cost_usd = 0.008; used: 2 turns")
        .says("0.008000 USD");
    with("max_cost_usd = 0.0121", prices).ok();
    with("max_cost_usd = 0.1", "").exits(2).says("max_cost_usd needs to know what tokens cost");
    with("max_cost_usd = -1", prices).exits(2).says("max_cost_usd");
    with("max_cost_usd = nan", prices).exits(2).says("max_cost_usd");
    with("max_cost_usd = 1", "prices = { input = 2.0 }").exits(2).says("output");
    with("max_cost_usd = 1", "prices = { input = -2.0, output = 1.0 }").exits(2).says("input");
}

#[test]
fn a_call_made_over_and_over_is_told_and_then_stops_the_run() {
    let call = "{ name = \"echo\", input = { value = 1 } }";
    let (agent, ran) = run(&again(call, 5), "max_turns = 9");
    ran.exits(5)
        .says("the same call of echo again after it was told not to (max_repeats = 3); used: 5 turns");
    let shown = agent.show();
    assert_eq!(tool_output(&shown, "tool(2,0)"), 1);
    let (kind, message) = tool_error(&shown, "tool(3,0)");
    assert_eq!(kind, "not_called");
    assert!(message.contains("in each of the last 3 turns, with the same result"), "{message}");
    // Who does something else goes on, and may come back to it.
    let other = "{ name = \"echo\", input = { value = 2 } }";
    let mixed = again(call, 4).replace("[[reply]]\ntext = \"the end\"", "") + &again(other, 1);
    assert_eq!(run(&mixed, "max_turns = 9").1.ok().stdout, "the end\n");
    run(&again(call, 3), "max_turns = 9").1.ok();
    run(&again(call, 6), "max_repeats = 10").1.ok();
}

/// Turns of the model, each with these words and calls, and then an answer.
fn saying(turns: &[(&str, &str)]) -> String {
    let turn = |(text, calls): &(&str, &str)| format!("[[reply]]\ntext = \"{text}\"\ncalls = [{calls}]\n");
    turns.iter().map(turn).collect::<String>() + "[[reply]]\ntext = \"the end\""
}

const ONE: &str = "{ name = \"echo\", input = { value = 1 } }";
const TWO: &str = "{ name = \"echo\", input = { value = 2 } }";

#[test]
fn who_does_something_in_between_repeats_nothing() {
    let both = format!("{ONE}, {TWO}");
    let turned = format!("{TWO}, {ONE}, {ONE}");
    for turns in [
        // Other words with the same call.
        vec![("At 1.", ONE), ("At 2.", ONE), ("At 3.", ONE), ("At 4.", ONE), ("At 5.", ONE)],
        // Other calls beside it, or in another turn.
        vec![("", ONE), ("", &*both), ("", ONE), ("", &*both), ("", ONE), ("", &*both)],
        vec![("", ONE), ("", TWO), ("", ONE), ("", TWO), ("", ONE), ("", TWO), ("", ONE)],
    ] {
        assert_eq!(run(&saying(&turns), "max_turns = 9").1.ok().stdout, "the end\n", "{turns:?}");
    }
    // The same in another order is the same.
    let circle = [("So.", &*both), ("So.", &*turned), ("So. ", &*both), ("So.", &*turned), ("So.", &*both)];
    run(&saying(&circle), "max_turns = 9").1.exits(5).says("max_repeats = 3");
}

#[test]
fn a_tool_that_says_how_far_something_got_may_be_asked_often() {
    let polled = |of_table: &str, limits: &str, turns: usize| {
        let agent = Agent::scripted(&again(ONE, turns)).guest("hostile").table(of_table);
        let agent = agent.table(&format!("[limits]\nmax_turns = 30\n{limits}"));
        let ran = agent.host(&["run"]);
        let replayed = agent.host(&["replay", "last"]);
        assert_eq!((replayed.code, &replayed.stdout), (ran.code, &ran.stdout), "{}", replayed.stderr);
        ran
    };
    polled("max_repeats = 20", "", 20).ok();
    polled("max_repeats = 20", "", 22).exits(5).says("max_repeats = 20");
    polled("max_repeats = 0", "", 28).ok();
    polled("", "max_repeats = 0", 28).ok();
    polled("max_repeats = 2", "max_repeats = 0", 4).exits(5).says("max_repeats = 2");
    polled("hidden = true\nmax_repeats = 2", "", 1).exits(2).says("has no meaning for hidden tools");
    polled("max_repeats = -1", "", 1).exits(2).says("max_repeats");
}

#[test]
fn what_comes_to_something_else_each_time_is_no_repetition() {
    // The time differs in every turn, as the state of a job would.
    let (_, ran) = run(&again("{ name = \"now\" }", 6), "max_turns = 9");
    assert_eq!(ran.ok().stdout, "the end\n");
    // Twice in one turn is one turn.
    let twice = "{ name = \"echo\", input = { value = 1 } }, { name = \"echo\", input = { value = 1 } }";
    run(&again(twice, 3), "max_turns = 9").1.ok();
}

#[test]
fn a_tool_that_is_asked_for_a_state_may_say_the_same_for_long() {
    let script = again("{ name = \"echo\", input = { value = 1 } }", 8);
    let polled = |max_repeats: u32| {
        let agent = Agent::scripted(&script).guest("hostile").table("[limits]\nmax_turns = 12");
        let toml = std::fs::read_to_string(agent.toml()).unwrap();
        let table = format!("[tools.hostile]\nmax_repeats = {max_repeats}");
        std::fs::write(agent.toml(), toml.replace("[tools.hostile]", &table)).unwrap();
        let ran = agent.host(&["run"]);
        // The file decides nothing about what is recorded.
        std::fs::write(agent.toml(), toml).unwrap();
        assert_eq!(agent.host(&["replay", "last"]).code, ran.code);
        ran
    };
    for enough in [0, 8] {
        assert_eq!(polled(enough).ok().stdout, "the end\n");
    }
    polled(5).exits(5).says("(max_repeats = 5)");
    run(&script, "max_turns = 12\nmax_repeats = 0").1.ok();
}

#[test]
fn who_does_something_else_beside_it_is_not_going_in_circles() {
    let call = |value: usize| format!("{{ name = \"echo\", input = {{ value = {value} }} }}");
    let turn = |other: usize| format!("[[reply]]\ncalls = [{}, {}]\n", call(0), call(other));
    let script = (1..8).map(turn).collect::<String>() + "[[reply]]\ntext = \"the end\"";
    assert_eq!(run(&script, "max_turns = 12").1.ok().stdout, "the end\n");
}

#[test]
fn a_run_stops_on_tools() {
    let script = "[[reply]]\ncalls = [{ name = \"echo\", input = { value = 7 } }, { name = \"counter\" }]";
    let (agent, ran) = run(script, "stop_on_tools = [\"ec*\"]");
    ran.exits(5)
        .says("the model called echo, which stop_on_tools names; it came to: 7; used: 1 turns, 2 tool calls");
    assert_eq!(*tool_output(&agent.show(), "tool(0,1)"), json!(1), "the other calls of the turn are made");
    let agent = Agent::scripted(script).guest("hostile").table("[limits]\nstop_on_tools = [\"nobody\"]");
    agent.host(&["run"]).exits(2).says("`stop_on_tools` in [limits] matches no tool of this agent: `nobody`");
}

#[test]
fn every_stop_says_what_was_used() {
    let (_, ran) = run(&turns(3, 1), "max_turns = 2");
    ran.exits(5).says("max_turns = 2 turns without a final answer; used: 2 turns, 2 tool calls, 2400 tokens");
    let slow = "{ name = \"slow\", input = { pause_ms = 5000 } }";
    let agent = Agent::scripted(&again(slow, 1)).guest("hostile").table("[limits]\nwall_time = \"300ms\"");
    agent.host(&["check"]).ok();
    agent.host(&["run"]).exits(5).says("wall_time = \"0.3s\"; used: 1 turns, 1 tool calls, 0 tokens");
}
