//! Tools that call tools: each nested call an instance, a slot, a record and grants of its own, whatever becomes of the
//! caller.

use std::time::Instant;

use serde_json::{Value, json};

use crate::attacks::Server;
use crate::support::{Agent, PATIENCE, outcome, root, tool_error, tool_output};

/// An agent whose model makes one call of `relay`, by a prefix.
fn relays(prefix: &str, input: &Value, tables: &[String]) -> Agent {
    let call = format!("{{ name = \"{prefix}relay\", input_text = {:?} }}", input.to_string());
    let script = format!("[[reply]]\ncalls = [{call}]\n[[reply]]\ntext = \"the end\"");
    tables.iter().fold(Agent::scripted(&script), |agent, table| agent.table(table))
}

/// The guest `hostile`, whose tools have a prefix.
fn hostile(prefix: &str, lines: &str) -> String {
    let source = root().join("guest-tools/hostile");
    format!("[tools.{prefix}]\nsource = \"{}\"\nprefix = \"{prefix}_\"\n{lines}", source.display())
}

fn fetch(server: &Server) -> String {
    let source = root().join("guest-tools/fetch");
    format!(
        "[tools.fetch]\nsource = \"{}\"\n[[tools.fetch.permissions.network]]\n\
         host = \"http://127.0.0.1:{}\"\nmethods = [\"GET\"]\nallow_private = true",
        source.display(),
        server.port()
    )
}

fn echo(tool: &str, value: u32) -> Value {
    json!({ "name": format!("{tool}_echo"), "input": { "value": value } })
}

fn get(server: &Server, path: &str) -> Value {
    json!({ "name": "fetch", "input": { "url": format!("http://127.0.0.1:{}{path}", server.port()) } })
}

fn report<'a>(shown: &'a [Value], slot: &str) -> &'a Value {
    shown.iter().find(|report| report["slot"] == slot).unwrap_or_else(|| panic!("{slot} in {shown:#?}"))
}

#[test]
fn each_call_is_retried_recorded_and_answered_on_its_own() {
    let fast = "retry = { max_attempts = 3, initial_delay = \"10ms\", max_delay = \"20ms\" }";
    let batch = json!([
        { "name": "b_flaky", "input": { "fail_attempts": 2 } },
        echo("b", 7),
        { "name": "b_panic_now", "input": {} },
        { "name": "b_flaky", "input": { "fail_attempts": "x" } },
        { "name": "b_counter", "input": {} },
        { "name": "b_counter", "input": {} },
        { "name": "b_nothing", "input": {} },
        { "name": "b_flaky", "input": { "fail_attempts": 9 } },
    ]);
    let input = json!({ "batches": [batch, [echo("b", 8)]] });
    let tables = [hostile("a", "permissions.calls = [\"b_*\"]"), hostile("b", fast)];
    let agent = relays("a_", &input, &tables);
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    let answers = tool_output(&shown, "tool(0,0)").as_array().unwrap().clone();
    assert_eq!(answers[0], json!({ "output": 3 }), "the third attempt");
    assert_eq!(answers[1], json!({ "output": 7 }));
    assert!(answers[2]["failed"].as_str().unwrap().contains("always panics"), "{}", answers[2]);
    assert!(answers[3]["invalid_input"].as_str().unwrap().contains("fail_attempts"), "{}", answers[3]);
    assert_eq!([&answers[4], &answers[5]], [&json!({ "output": 1 }); 2], "instances of their own");
    assert!(answers[6]["failed"].as_str().unwrap().contains("no tool `b_nothing`"), "{}", answers[6]);
    assert!(answers[7]["failed"].as_str().unwrap().contains("attempt 3 fails"), "{}", answers[7]);
    assert_eq!(answers[8], json!({ "output": 8 }), "the next batch goes on counting");
    assert_eq!(tool_output(&shown, "tool(0,0)/call(8)"), 8);
    assert_eq!(report(&shown, "tool(0,0)/call(0)")["attempt"], 3);
    for sibling in [1, 2, 3, 4, 5, 6, 8] {
        assert_eq!(report(&shown, &format!("tool(0,0)/call({sibling})"))["attempt"], 1);
    }
    assert_eq!(report(&shown, "tool(0,0)")["attempt"], 1, "the caller does not fail with them");
    ran.says("tool(0,0)/call(0) b_flaky");
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn a_caller_that_is_tried_again_keeps_what_its_calls_gave() {
    let server = Server::start();
    let input = json!({ "batches": [[get(&server, "/allowed/ok"), echo("b", 1)]], "fail_attempts": 2 });
    let tables = [
        hostile("a", "permissions.calls = [\"*\"]\nretry.initial_delay = \"10ms\""),
        hostile("b", ""),
        fetch(&server),
    ];
    let (ran, shown) = relays("a_", &input, &tables).run_and_show();
    ran.ok();
    assert_eq!(report(&shown, "tool(0,0)")["attempt"], 3);
    for call in ["tool(0,0)/call(0)", "tool(0,0)/call(1)"] {
        assert_eq!(report(&shown, call)["attempt"], 1);
    }
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn what_is_not_granted_is_not_called() {
    let input = json!({ "batches": [[echo("b", 1), echo("b", 2)]] });
    let bare = relays("a_", &input, &[hostile("a", ""), hostile("b", "")]);
    let (ran, shown) = bare.run_and_show();
    ran.ok().says("calls = [\"b_echo\"]");
    let answer = json!({ "failed": "calling the tool \"b_echo\" is not granted (permissions.calls)" });
    assert_eq!(*tool_output(&shown, "tool(0,0)"), json!([answer, answer]));
    assert_eq!(shown.iter().filter(|it| it["slot"].as_str().unwrap().contains("call")).count(), 0);
    // The denial's own lines, pasted.
    let grant = "[tools.a.permissions]\ncalls = [\"b_echo\"]";
    let granted = relays("a_", &input, &[hostile("a", ""), hostile("b", ""), grant.to_owned()]);
    let (_, shown) = granted.run_and_show();
    assert_eq!(*tool_output(&shown, "tool(0,0)"), json!([{ "output": 1 }, { "output": 2 }]));
    granted.host(&["check"]).ok();
    let said = granted.host(&["check"]).stdout;
    assert!(said.contains("may call the tools b_echo (each with its own grants, not with these)"), "{said}");
}

#[test]
fn a_callee_has_its_own_grants_and_never_those_of_its_caller() {
    let input = json!({ "batches": [[{ "name": "b_peek", "input": {} }]] });
    let caller = "permissions = { calls = [\"b_peek\"], env = [\"PATH\"], random = \"os\" }";
    let (_, shown) = relays("a_", &input, &[hostile("a", caller), hostile("b", "")]).run_and_show();
    assert_eq!(tool_output(&shown, "tool(0,0)/call(0)")["env"], json!([]));
}

#[test]
fn cycles_and_depth_have_an_end() {
    let down = |to: &str, inner: Value| json!({ "batches": [[{ "name": to, "input": inner }]] });
    let calls = "permissions.calls = [\"*\"]";
    let tables: Vec<String> = ["a", "b", "c", "d", "e"].map(|name| hostile(name, calls)).to_vec();
    let cycle = down("b_relay", down("a_relay", json!({ "batches": [] })));
    let (ran, shown) = relays("a_", &cycle, &tables[..2]).run_and_show();
    ran.ok();
    let (kind, message) = tool_error(&shown, "tool(0,0)/call(0)/call(0)");
    assert_eq!(kind, "not_called");
    assert!(message.ends_with("in a cycle: a_relay > b_relay > a_relay"), "{message}");
    let deep = down("b_relay", down("c_relay", down("d_relay", json!({ "batches": [[echo("e", 1)]] }))));
    let agent = relays("a_", &deep, &tables);
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    let at = |depth: usize| format!("tool(0,0){}", "/call(0)".repeat(depth));
    assert!(tool_output(&shown, &at(3)).is_array(), "three deep is called");
    let (kind, message) = tool_error(&shown, &at(4));
    assert_eq!(kind, "not_called");
    assert!(message.contains("at most 3 deep: a_relay > b_relay > c_relay > d_relay > e_echo"), "{message}");
    agent.host(&["replay", "last"]).ok();
    agent.host(&["journal", "verify", "last"]).ok();
}

#[test]
fn calls_are_counted() {
    let none = json!({ "name": "b_none", "input": {} });
    let tables =
        |calls: &str| [hostile("a", &format!("permissions.calls = [\"b_*\"]\n{calls}")), hostile("b", "")];
    let run = |batches: Value, calls: &str| {
        let (ran, shown) = relays("a_", &json!({ "batches": batches }), &tables(calls)).run_and_show();
        ran.ok();
        let (kind, message) = tool_error(&shown, "tool(0,0)");
        (kind.to_owned(), message.to_owned(), shown.len())
    };
    let (kind, message, slots) = run(json!([[none, none], [none]]), "limits.tool_calls = 2");
    assert_eq!((kind.as_str(), slots), ("too_many_calls", 6), "the run, 2 replies, the caller, 2 calls");
    assert!(message.contains("more than 2 calls of other tools (limits.tool_calls)"), "{message}");
    let (kind, message, _) = run(json!([vec![&none; 129]]), "");
    assert_eq!(kind, "trap");
    assert!(message.contains("at most 128 calls at once, not 129"), "{message}");
    let (kind, message, slots) = run(json!(vec![vec![&none; 128]; 79]), "limits.tool_calls = 10000");
    assert_eq!((kind.as_str(), slots), ("too_many_calls", 4 + 78 * 128));
    assert!(message.contains("limits.tool_calls"), "{message}");
    // Two callers below one call share what is left.
    let half = json!({ "name": "b_relay", "input": { "batches": vec![vec![json!({ "name": "c_x", "input": {} }); 128]; 40] } });
    let tables = [
        hostile("a", "permissions.calls = [\"*\"]"),
        hostile("b", "permissions.calls = [\"*\"]\nlimits.calls = 9000"),
    ];
    let (ran, shown) = relays("a_", &json!({ "batches": [[half, half]] }), &tables).run_and_show();
    ran.ok();
    let stopped = ["tool(0,0)/call(0)", "tool(0,0)/call(1)"]
        .into_iter()
        .filter(|slot| outcome(&shown, slot)["tool"]["error"]["kind"] == "too_many_calls");
    assert!(stopped.count() >= 1);
    assert!(shown.len() < 10_010, "{}", shown.len());
}

#[test]
fn callers_that_wait_hold_no_place_that_their_calls_need() {
    let input = json!({ "batches": [[echo("b", 1), echo("b", 2), echo("b", 3)]] });
    let call = format!("{{ name = \"a_relay\", input_text = {:?} }}", input.to_string());
    let script = format!("[[reply]]\ncalls = [{}]\n[[reply]]\ntext = \"the end\"", vec![call; 5].join(", "));
    let agent = Agent::scripted(&script)
        .table("[limits]\nmax_parallel_tools = 1\nwall_time = \"20s\"")
        .table(&hostile("a", "permissions.calls = [\"b_*\"]"))
        .table(&hostile("b", ""));
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    assert_eq!(tool_output(&shown, "tool(0,4)/call(2)"), 3);
}

#[test]
fn a_caller_that_asks_for_something_else_the_next_time_fails_alone() {
    let input = json!({ "batches": [[echo("b", 1)], [echo("b", 2)]], "fail_attempts": 1, "fickle": true });
    let tables =
        [hostile("a", "permissions.calls = [\"b_*\"]\nretry.initial_delay = \"10ms\""), hostile("b", "")];
    let agent = relays("a_", &input, &tables);
    let (ran, shown) = agent.run_and_show();
    assert_eq!(ran.ok().stdout, "the end\n");
    let (kind, message) = tool_error(&shown, "tool(0,0)");
    assert_eq!(kind, "diverged");
    assert!(message.contains("tool(0,0)/call(0)"), "{message}");
    assert_eq!(tool_output(&shown, "tool(0,0)/call(0)"), 1, "what is recorded stays");
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn a_caller_out_of_time_takes_its_calls_with_it() {
    let server = Server::start();
    let input = json!({ "batches": [[get(&server, "/allowed/first-hangs"), echo("b", 1)]] });
    let tables = [
        hostile("a", "permissions.calls = [\"*\"]\nlimits.timeout = \"300ms\"\nretry.max_attempts = 1"),
        hostile("b", ""),
        fetch(&server),
    ];
    let agent = relays("a_", &input, &tables);
    let started = Instant::now();
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    assert!(started.elapsed() < PATIENCE, "the call that hangs is not waited for");
    assert_eq!(tool_error(&shown, "tool(0,0)").0, "timeout");
    assert_eq!(tool_output(&shown, "tool(0,0)/call(1)"), 1);
    let stopped = report(&shown, "tool(0,0)/call(0)");
    assert_eq!((&stopped["finished"], &stopped["stopped"]), (&Value::Null, &json!(true)));
    let text = agent.host(&["runs", "show", "last"]).ok().stdout.clone();
    assert!(text.contains("its caller ended first"), "{text}");
    agent.host(&["replay", "last"]).ok();
    agent.host(&["resume", "last"]).ok();
    agent.host(&["journal", "verify", "last"]).ok();
}

#[test]
fn a_nested_call_in_doubt_is_asked_about_and_the_others_are_kept() {
    let server = Server::start();
    let input = json!({ "batches": [[get(&server, "/allowed/first-hangs"), echo("b", 1)], [echo("b", 2)]] });
    let tables = [hostile("a", "permissions.calls = [\"*\"]"), hostile("b", ""), fetch(&server)];
    let agent = relays("a_", &input, &tables);
    agent.host(&["check"]).ok();
    agent.run_until_killed(|| !server.requests().is_empty());
    let slot = "tool(0,0)/call(0)";
    agent.host(&["resume", "last"]).exits(3).says(&format!("--settle '{slot}=HOW'"));
    agent.host(&["resume", "last"]).exits(3);
    assert_eq!(server.requests().len(), 1, "nothing is called again unasked");
    agent.host(&["resume", "last", "--settle", "tool(0,0)/call(1)=retry"]).exits(2).says(slot);
    agent.host(&["resume", "last", "--settle", &format!("{slot}=retry")]).ok();
    let shown = agent.show();
    assert_eq!(server.requests().len(), 2);
    assert_eq!(report(&shown, slot)["attempt"], 2);
    for call in ["tool(0,0)/call(1)", "tool(0,0)/call(2)"] {
        assert_eq!(report(&shown, call)["attempt"], 1, "{call}");
    }
    assert!(report(&shown, "tool(0,0)")["attempt"].as_u64().unwrap() > 1, "the caller ran again");
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn what_is_hidden_is_for_tools_alone() {
    let script =
        "[[reply]]\ncalls = [{ name = \"b_echo\", input = { value = 1 } }]\n[[reply]]\ntext = \"the end\"";
    let tables = |calls: &str| {
        Agent::scripted(script).table(&hostile("a", calls)).table(&hostile("b", "hidden = true"))
    };
    let (ran, shown) = tables("permissions.calls = [\"b_echo\"]").run_and_show();
    ran.ok();
    let (kind, message) = tool_error(&shown, "tool(0,0)");
    assert_eq!(kind, "unknown_tool");
    assert!(message.contains("a_echo") && !message.contains("b_relay"), "{message}");
    let checked = tables("permissions.calls = [\"b_echo\"]").host(&["check"]);
    assert!(checked.ok().stdout.contains("guest-tools/hostile, hidden from the model"), "{}", checked.stdout);
    tables("").host(&["check"]).exits(2).says("[tools.b]: it is hidden from the model");
    tables("permissions.calls = [\"c_*\"]")
        .host(&["check"])
        .exits(2)
        .says("matches no tool of this agent: `c_*`");
    tables("permissions.calls = [\"[\"]").host(&["check"]).exits(2).says("is not a glob");
    tables("limits.calls = 0").host(&["check"]).exits(2).says("calls = 0 in [tools.");
}

#[test]
fn a_caller_made_again_gets_what_its_calls_gave_then() {
    let server = Server::start();
    let input = json!({ "batches": [[get(&server, "/allowed/ok"), echo("b", 1)]] });
    let tables = [hostile("a", "permissions.calls = [\"*\"]"), hostile("b", ""), fetch(&server)];
    let agent = relays("a_", &input, &tables);
    agent.host(&["run"]).ok();
    assert!(
        agent.host(&["replay", "last", "--rerun", "a_relay"]).ok().stdout.contains("     1       1       0")
    );
    assert!(
        agent.host(&["replay", "last", "--rerun", "b_echo"]).ok().stdout.contains("     1       1       0")
    );
    assert_eq!(server.requests().len(), 1);
}
