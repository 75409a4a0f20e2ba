//! Attempts: what is tried again, what is never done twice without asking, and that a call's troubles are its own.

use serde_json::{Value, json};

use crate::attacks::Server;
use crate::support::{Agent, Ran, outcome, tool_error, tool_output};

const FAST: &str = "retry = { max_attempts = 3, initial_delay = \"10ms\", max_delay = \"20ms\" }";

/// An agent that makes these calls in one turn.
fn agent(calls: &[Value], tables: &[String]) -> Agent {
    let calls: Vec<String> = calls
        .iter()
        .map(|call| format!("{{ name = {}, input_text = {:?} }}", call["name"], call["input"].to_string()))
        .collect();
    let script = format!("[[reply]]\ncalls = [{}]\n[[reply]]\ntext = \"the end\"", calls.join(", "));
    tables.iter().fold(Agent::scripted(&script), |agent, table| agent.table(table))
}

fn hostile(lines: &str) -> String {
    let source = crate::support::root().join("guest-tools/hostile");
    format!("[tools.hostile]\nsource = \"{}\"\n{lines}", source.display())
}

/// The tool `fetch`, granted all of a server.
fn fetch(server: &Server, lines: &str) -> String {
    let source = crate::support::root().join("guest-tools/fetch");
    format!(
        "[tools.fetch]\nsource = \"{}\"\n{lines}\n[[tools.fetch.permissions.network]]\n\
         host = \"http://127.0.0.1:{}\"\nmethods = [\"GET\"]\nallow_private = true",
        source.display(),
        server.port()
    )
}

fn get(server: &Server, path: &str) -> Value {
    json!({ "name": "fetch", "input": { "url": format!("http://127.0.0.1:{}{path}", server.port()) } })
}

fn flaky(fail_attempts: u32) -> Value {
    json!({ "name": "flaky", "input": { "fail_attempts": fail_attempts } })
}

/// What is recorded at a slot.
pub fn report<'a>(shown: &'a [Value], slot: &str) -> &'a Value {
    shown.iter().find(|report| report["slot"] == slot).unwrap()
}

fn failures(shown: &[Value], slot: &str) -> usize {
    report(shown, slot)["failures"].as_array().map_or(0, Vec::len)
}

/// Whether an attempt at a slot of a run that goes on has failed.
fn has_failed(agent: &Agent, slot: &str) -> bool {
    let so_far = agent.shown_so_far();
    so_far.iter().any(|report| report["slot"] == slot) && failures(&so_far, slot) > 0
}

#[test]
fn a_slow_sibling_runs_once_whatever_a_flaky_one_does() {
    let server = Server::start();
    let slow = json!({ "name": "slow", "input": { "pause_ms": 300 } });
    let agent = agent(&[flaky(2), slow, get(&server, "/allowed/ok")], &[hostile(FAST), fetch(&server, "")]);
    let (ran, shown) = agent.run_and_show();
    ran.ok().says("again in");
    assert_eq!(tool_output(&shown, "tool(0,0)"), 3, "the third attempt");
    assert_eq!(failures(&shown, "tool(0,0)"), 2);
    for sibling in ["tool(0,1)", "tool(0,2)"] {
        assert_eq!((&report(&shown, sibling)["attempt"], failures(&shown, sibling)), (&json!(1), 0));
    }
    assert_eq!(server.requests().len(), 1);
    let text = agent.host(&["runs", "show", "last"]).ok().stdout.clone();
    assert!(
        text.contains("(attempt 1)") && text.contains("transient failure: attempt 2 fails; again after"),
        "{text}"
    );
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn every_call_has_a_retry_budget_of_its_own() {
    let agent = agent(&[flaky(2), flaky(9), flaky(2)], &[hostile(FAST)]);
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    assert_eq!(tool_output(&shown, "tool(0,0)"), 3);
    assert_eq!(tool_error(&shown, "tool(0,1)"), ("transient", "attempt 3 fails"));
    assert_eq!(tool_output(&shown, "tool(0,2)"), 3);
}

#[test]
fn only_what_may_pass_is_tried_again() {
    let calls = [
        json!({ "name": "panic_now", "input": {} }),
        json!({ "name": "flaky", "input": { "fail_attempts": "none" } }),
        json!({ "name": "slow", "input": { "pause_ms": 2000 } }),
    ];
    let limits = "limits.timeout = \"100ms\"";
    let (ran, shown) = agent(&calls, &[hostile(&format!("{FAST}\n{limits}"))]).run_and_show();
    ran.ok();
    assert_eq!((tool_error(&shown, "tool(0,0)").0, failures(&shown, "tool(0,0)")), ("trap", 0));
    assert_eq!((tool_error(&shown, "tool(0,1)").0, failures(&shown, "tool(0,1)")), ("invalid_input", 0));
    assert_eq!((tool_error(&shown, "tool(0,2)").0, failures(&shown, "tool(0,2)")), ("timeout", 2));
}

#[test]
fn what_may_change_something_is_tried_again_only_if_it_is_idempotent() {
    // Nobody listens there, which may pass.
    let closed = Server::closed();
    let call = [get(&closed, "/")];
    let (_, shown) = agent(&call, &[fetch(&closed, FAST)]).run_and_show();
    assert_eq!((tool_error(&shown, "tool(0,0)").0, failures(&shown, "tool(0,0)")), ("transient", 0));
    let idempotent = FAST.replace(" }", ", idempotent = [\"fe*\"] }");
    let (_, shown) = agent(&call, &[fetch(&closed, &idempotent)]).run_and_show();
    assert_eq!((tool_error(&shown, "tool(0,0)").0, failures(&shown, "tool(0,0)")), ("transient", 2));
}

#[test]
fn what_is_said_of_retries_has_to_make_sense() {
    for (lines, said) in [
        ("retry = { max_attempts = 0 }", "it goes from 1 to 100"),
        ("retry = { initial_delay = \"1m\" }", "initial_delay is longer than max_delay"),
        ("retry = { idempotent = [\"[\"] }", "is not a glob"),
        ("retry = { idempotent = [\"nothing_*\"] }", "`idempotent` matches no tool: `nothing_*`"),
        ("retry = { max_delay = \"2h\" }", "max_delay"),
    ] {
        agent(&[flaky(0)], &[hostile(lines)]).host(&["run"]).exits(2).says(said);
    }
}

/// An agent that calls two tools at once, of which one sends a request: the first has no answer.
pub fn in_a_request() -> (Agent, Server) {
    asking("")
}

fn asking(lines: &str) -> (Agent, Server) {
    let server = Server::start();
    let calls = [get(&server, "/allowed/first-hangs"), json!({ "name": "counter", "input": {} })];
    let agent = agent(&calls, &[hostile(""), fetch(&server, lines)]);
    agent.host(&["check"]).ok();
    (agent, server)
}

/// A run that was killed while a request was on its way, after its sibling had ended.
fn killed_in_a_request(lines: &str) -> (Agent, Server) {
    let (agent, server) = asking(lines);
    agent.run_until_killed(|| !server.requests().is_empty());
    (agent, server)
}

#[test]
fn a_call_in_doubt_suspends_the_run_until_a_person_decides() {
    let (agent, server) = killed_in_a_request("");
    let resumed = agent.host(&["resume", "last"]);
    resumed.exits(3).says("whether they took effect is not known").says("--settle 'tool(0,0)=HOW'");
    let listed: Value = serde_json::from_str(&agent.host(&["runs", "--json"]).ok().stdout).unwrap();
    assert_eq!(listed[0]["state"], "suspended");
    assert_eq!(server.requests().len(), 1, "nothing was sent again");
    let shown = agent.show();
    assert_eq!(tool_output(&shown, "tool(0,1)"), 1, "its sibling has ended");
    let said = agent.host(&["resume", "last", "--json"]);
    let last: Value = serde_json::from_str(said.exits(3).stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["waiting"][0]["slot"]), (&json!("suspended"), &json!("tool(0,0)")));
    // Once more, with the decision to do it again: the server answers now.
    let resumed = agent.host(&["resume", "last", "--settle", "tool(0,0)=retry"]);
    assert_eq!(resumed.ok().stdout, "the end\n");
    assert_eq!(server.requests().len(), 2);
    let shown = agent.show();
    assert_eq!(report(&shown, "tool(0,0)")["attempt"], 2);
    assert_eq!(report(&shown, "tool(0,1)")["attempt"], 1);
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn a_call_in_doubt_can_be_settled_without_being_made_again() {
    let (agent, server) = killed_in_a_request("");
    agent.host(&["resume", "last", "--settle", "tool(0,0)=failed"]).ok();
    let shown = agent.show();
    assert_eq!(tool_error(&shown, "tool(0,0)").0, "in_doubt");
    assert_eq!(report(&shown, "tool(0,0)")["finished"]["settled"], true);
    assert!(agent.host(&["runs", "show", "last"]).stdout.contains("(terminal))"));
    agent.host(&["replay", "last"]).ok();
    assert_eq!(server.requests().len(), 1);

    let (agent, server) = killed_in_a_request("");
    let file = agent.dir.path().join("result.json");
    let settle = format!("tool(0,0)=result:{}", file.display());
    let resume = |json: &str| {
        std::fs::write(&file, json).unwrap();
        agent.host(&["resume", "last", "--settle", &settle])
    };
    resume("{").exits(2).says("is not an output that this call could have given");
    resume("{\"status\":\"fine\"}").exits(2).says("the output does not fit the tool's schema");
    resume("{\"status\":200,\"body\":\"by hand\"}").ok();
    assert_eq!(tool_output(&agent.show(), "tool(0,0)")["body"], "by hand");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_decision_has_to_be_about_something_in_doubt() {
    let (agent, _server) = killed_in_a_request("");
    let resume = |settle: &str| agent.host(&["resume", "last", "--settle", settle]);
    resume("tool(0,1)=retry").exits(2).says("tool(0,1) is not in doubt; tool(0,0) is");
    resume("tool(0,0)=maybe").exits(2).says("is not `retry`, `failed` or `result:FILE`");
    resume("tool(0,0)").exits(2).says("SLOT=HOW");
    resume("tool(0)=retry").exits(2).says("is not a slot");
    resume("tool(0,0)=result:nowhere.json").exits(2).says("cannot read nowhere.json");
    resume("run=retry").exits(2).says("run is not in doubt");
}

#[test]
fn an_idempotent_call_in_doubt_is_made_again_with_the_same_key() {
    let (agent, server) = killed_in_a_request("retry = { idempotent = [\"fetch\"] }");
    assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "the end\n");
    assert_eq!(server.requests().len(), 2);
    assert_eq!(report(&agent.show(), "tool(0,0)")["attempt"], 2);
}

#[test]
fn a_crash_between_two_attempts_keeps_the_budget() {
    let slow_retry = "retry = { max_attempts = 3, initial_delay = \"1h\", max_delay = \"1h\" }";
    let agent = agent(&[flaky(9)], &[hostile(slow_retry)]);
    agent.host(&["check"]).ok();
    agent.run_until_killed(|| has_failed(&agent, "tool(0,0)"));
    assert_eq!(failures(&agent.show(), "tool(0,0)"), 1);
    // The rest of the wait is over when its bound is.
    let toml = std::fs::read_to_string(agent.toml()).unwrap().replace("1h", "10ms");
    std::fs::write(agent.toml(), toml).unwrap();
    let resumed: Ran = agent.host(&["resume", "last"]);
    resumed.ok();
    let shown = agent.show();
    assert_eq!(failures(&shown, "tool(0,0)"), 2);
    assert_eq!(outcome(&shown, "tool(0,0)")["tool"]["error"]["message"], "attempt 3 fails");
}

#[test]
fn a_change_between_crash_and_resume_is_named_and_refused_unless_it_is_accepted() {
    let calls = [json!({ "name": "counter", "input": {} }), flaky(9)];
    let slow_retry = "retry = { max_attempts = 2, initial_delay = \"1h\", max_delay = \"1h\" }";
    let agent = agent(&calls, &[hostile(slow_retry)]);
    agent.host(&["check"]).ok();
    agent.run_until_killed(|| has_failed(&agent, "tool(0,1)"));
    let before = agent.show();
    let toml = std::fs::read_to_string(agent.toml()).unwrap();
    let changed = toml.replace(
        slow_retry,
        "limits.memory = \"32MiB\"\nretry.max_attempts = 2\nretry.max_delay = \"200ms\"",
    );
    let changed = changed.replace("[agent]", "[agent]\ninstructions = \"otherwise\"");
    std::fs::write(agent.toml(), changed).unwrap();
    agent
        .host(&["resume", "last"])
        .exits(6)
        .says("the instructions")
        .says("what counter is granted, or its limits, called at tool(0,0)")
        .says("what flaky is granted, or its limits, called at tool(0,1)")
        .says("what echo is granted, or its limits, which was never called")
        .says("--accept-changes");
    assert_eq!(agent.show(), before, "nothing was recorded");
    let resumed = agent.host(&["resume", "last", "--accept-changes"]);
    assert_eq!(resumed.ok().stdout, "the end\n");
    let shown = agent.show();
    assert_eq!(report(&shown, "tool(0,0)")["finished"], report(&before, "tool(0,0)")["finished"]);
    assert_eq!(tool_error(&shown, "tool(0,1)"), ("transient", "attempt 2 fails"));
    // The recording is of both, and replays as it is.
    assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
    agent.host(&["journal", "verify"]).ok();
}
