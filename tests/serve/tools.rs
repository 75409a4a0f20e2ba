//! The tools of an agent for clients of the Model Context Protocol, over HTTP.

use std::process::Command;

use serde_json::{Value, json};

use super::server::{Answer, Server};
use crate::languages::{are_there, paths};
use crate::support::{Agent, root, until};

const HEADERS: [(&str, &str); 2] =
    [("accept", "application/json, text/event-stream"), ("mcp-protocol-version", "2025-11-25")];

fn agent() -> Agent {
    Agent::scripted("[[reply]]\ntext = \"unused\"").guest("weather")
}

fn path(agent: &Agent) -> String {
    format!("/agents/{}/mcp", agent.dir.path().file_name().unwrap().to_str().unwrap())
}

fn send(server: &Server, path: &str, message: &Value) -> Answer {
    server.ask("POST", path, &HEADERS, Some(&message.to_string()))
}

/// What a method gives: its result or its error.
fn ask(server: &Server, path: &str, method: &str, params: &Value) -> Value {
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let answer = send(server, path, &message);
    assert_eq!(answer.status, 200, "{}\n{}", answer.head, answer.body);
    let last = answer.body.lines().filter_map(|line| line.strip_prefix("data: ")).next_back();
    serde_json::from_str(last.unwrap_or(&answer.body)).unwrap()
}

fn call(server: &Server, path: &str, city: &str) -> Value {
    ask(server, path, "tools/call", &json!({ "name": "get_weather", "arguments": { "city": city } }))
}

#[test]
fn each_call_is_a_run_that_is_recorded() {
    let agent = agent();
    let server = Server::of(&agent);
    let path = path(&agent);
    let begun = ask(
        &server,
        &path,
        "initialize",
        &json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } }),
    );
    assert_eq!(begun["result"]["serverInfo"]["name"], "host", "{begun}");
    let listed = ask(&server, &path, "tools/list", &json!({}));
    let tool = &listed["result"]["tools"][0];
    assert_eq!(
        (&tool["name"], &tool["annotations"]["readOnlyHint"]),
        (&json!("get_weather"), &json!(true)),
        "{listed}"
    );
    let made = call(&server, &path, "New York");
    assert_eq!(made["result"]["structuredContent"]["conditions"], "partly cloudy", "{made}");
    let unfit =
        ask(&server, &path, "tools/call", &json!({ "name": "get_weather", "arguments": { "town": 1 } }));
    assert_eq!(unfit["result"]["isError"], true, "{unfit}");
    assert!(unfit.to_string().contains("city"), "it says what the schema wants: {unfit}");
    let unknown = ask(&server, &path, "tools/call", &json!({ "name": "none", "arguments": {} }));
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    // The result is there before the run is put away.
    until("both runs have ended", || {
        let runs = server.get("/runs").ok();
        let runs = runs["runs"].as_array()?;
        let is_call = |run: &Value| run["state"] == "answered" && run["prompt"] == "call get_weather";
        (runs.len() == 2 && runs.iter().all(is_call)).then_some(())
    });
    server.kill();
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn a_call_waits_for_whoever_approves_it_and_may_be_denied() {
    let agent = agent().table("[approval]\nask = [{ tool = \"get_weather\" }]");
    let server = Server::of(&agent);
    let path = path(&agent);
    for (word, body) in [("approve", json!({})), ("deny", json!({ "reason": "not today" }))] {
        std::thread::scope(|scope| {
            let made = scope.spawn(|| call(&server, &path, "New York"));
            let run = until("the call waits", || {
                let waiting = server.get("/waiting").ok();
                Some(waiting["runs"][0]["run"].as_str()?.to_owned())
            });
            server.post(&format!("/runs/{run}/{word}"), &body);
            let made = made.join().unwrap();
            assert_eq!(made["result"]["isError"] == true, word == "deny", "{made}");
            assert_eq!(made.to_string().contains("not today"), word == "deny", "{made}");
        });
    }
}

#[test]
fn messages_that_do_not_fit_are_refused_and_cost_nothing() {
    let agent = agent();
    let server = Server::of(&agent);
    let path = path(&agent);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "no/such/method", "params": {} });
    assert!(send(&server, &path, &call).body.contains("-32601"), "an unknown method");
    let raw = |headers: &[(&str, &str)], body: &str| server.ask("POST", &path, headers, Some(body));
    for body in ["", "{", "null", "[]", "{\"jsonrpc\":\"1.0\"}", "\u{0}"] {
        let answer = raw(&HEADERS, body);
        assert!((400..500).contains(&answer.status), "{body:?}: {} {}", answer.head, answer.body);
    }
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string();
    let wrong_version = raw(&[HEADERS[0], ("mcp-protocol-version", "1999-01-01")], &list);
    assert_eq!(wrong_version.status, 400, "{}", wrong_version.body);
    let elsewhere = raw(&[HEADERS[0], HEADERS[1], ("origin", "https://evil.example")], &list);
    assert_eq!(elsewhere.status, 403, "{}", elsewhere.body);
    let not_accepted = raw(&[HEADERS[1], ("accept", "text/html")], &list);
    assert_eq!(not_accepted.status, 406, "{}", not_accepted.body);
    assert_eq!(server.ask("GET", &path, &HEADERS, None).status, 405, "there are no sessions to listen to");
    assert_eq!(server.ask("POST", "/agents/nobody/mcp", &HEADERS, Some(&list)).status, 404);
    let huge = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "x".repeat(33 << 20) } });
    let refused = server.ask("POST", &path, &HEADERS, Some(&huge.to_string()));
    assert!(refused.status == 413 || refused.status == 0, "{}", refused.head);
    assert_eq!(server.get("/runs").ok()["runs"], json!([]));
}

/// The protocol's own tests: what they ask for and is not offered is listed with the reason, and has to fail.
#[test]
fn the_conformance_suite_passes_but_for_what_is_not_offered() {
    let install = "npm install --prefix target/npm @modelcontextprotocol/conformance@0.2.0-alpha.12";
    if !are_there(&["conformance", "node"], "the conformance suite of MCP", install) {
        return;
    }
    let agent = agent();
    let server = Server::of(&agent);
    let url = format!("{}{}", server.url, path(&agent));
    for revision in ["2025-11-25", "2026-07-28"] {
        let expected = root().join(format!("tests/conformance/{revision}.yml"));
        let ran = Command::new("conformance")
            .args(["server", "--url", &url, "--requirements", revision, "--expected-failures"])
            .arg(expected)
            .env("PATH", paths())
            .current_dir(agent.dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success(), "{revision}\n{said}\n{}", String::from_utf8_lossy(&ran.stderr));
    }
}

/// What a client saw, as a line of JSON.
fn seen_by(client: &[&str], at: &[String]) -> Value {
    let mut command = std::process::Command::new(client[0]);
    command.args(&client[1..]).args(at);
    let ran: crate::support::Ran = command.output().unwrap().into();
    serde_json::from_str(&ran.ok().stdout).unwrap_or_else(|_| panic!("{}\n{}", ran.stdout, ran.stderr))
}

#[test]
fn the_official_clients_in_python_and_typescript_use_the_tools() {
    let sdks = crate::support::root().join("target/sdk");
    let (python, node) = (sdks.join("bin/python"), sdks.join("bin/node"));
    let script = |name: &str| crate::support::root().join("tests/conformance").join(name);
    if !python.is_file() || !node.is_file() || !sdks.join("openai-ts/node_modules").is_dir() {
        are_there(&["no-sdk-mcp"], "the official clients of MCP", "target/sdk is what .ci/run installs");
        return;
    }
    let agent = agent();
    let server = Server::of(&agent);
    let url = format!("{}{}", server.url, path(&agent));
    let exe = env!("CARGO_BIN_EXE_host").to_owned();
    // Clients pass on few variables.
    let (state, cache) = (agent.state(), crate::support::cache());
    let words =
        ["--state", state.to_str().unwrap(), "--cache", cache.to_str().unwrap(), "--trust-build", "mcp"];
    let words = words.into_iter().map(str::to_owned).chain([agent.toml().to_str().unwrap().to_owned()]);
    let command: Vec<String> = std::iter::once(exe).chain(words).collect();
    // Node looks for packages from where the script is.
    let module = sdks.join("openai-ts/client.mjs");
    std::fs::copy(script("client.mjs"), &module).unwrap();
    let (python, node) = (python.to_str().unwrap(), node.to_str().unwrap());
    let (in_python, in_node) = (script("client.py"), module.clone());
    let (in_python, in_node) = (in_python.to_str().unwrap(), in_node.to_str().unwrap());
    for args in [[python, in_python, "auto"], [python, in_python, "legacy"], [node, in_node, "any"]] {
        for at in [vec![url.clone()], command.clone()] {
            let seen = seen_by(&args, &at);
            let at = format!("{args:?} {at:?}: {seen}");
            assert_eq!(seen["tools"], json!(["get_weather"]), "{at}");
            assert_eq!(seen["reads_only"], true, "{at}");
            assert_eq!(seen["conditions"], json!(["partly cloudy", "foggy", null]), "{at}");
            assert_eq!(seen["failed"], json!([false, false, true, true]), "{at}");
            assert!(seen["unknown"].as_str().is_some_and(|why| why.contains("no_tool")), "{at}");
        }
    }
}
