//! What is recorded, and is gone through again: forks, replays, calls of a tool, and the record itself.

use serde_json::json;

use super::server::Server;
use super::surviving::slow;
use crate::approval::asking;
use crate::support::Agent;

/// A run that has ended.
fn ran(server: &Server, agent: &Agent) -> String {
    let name = agent.dir.path().file_name().unwrap().to_str().unwrap();
    let run = server.post(&format!("/{name}/run"), &json!({ "message": "How is it?" })).ok();
    run["run"].as_str().unwrap().to_owned()
}

#[test]
fn a_run_is_forked_at_a_turn_and_goes_on_from_another_output() {
    let agent = asking("");
    let server = Server::of(&agent);
    let origin = ran(&server, &agent);
    let path = format!("/runs/{origin}/fork");
    let fork = server.post(&path, &json!({ "turn": 0, "prompt": "And now?" })).taken();
    let fork = server.once_not(fork["run"].as_str().unwrap(), &["queued", "running", "interrupted"]);
    assert_eq!((&fork["answer"], &fork["prompt"]), (&json!("done"), &json!("And now?")), "{fork}");
    let edit = json!({ "edit": { "slot": "tool(0,1)", "output": {
        "city": "San Francisco", "country": "US", "temperature_celsius": 1, "conditions": "hail",
        "humidity_percent": 90, "wind_kmh": 3
    } } });
    let edited = server.post(&path, &edit);
    let fork =
        server.once_not(edited.taken()["run"].as_str().unwrap(), &["queued", "running", "interrupted"]);
    assert_eq!(fork["answer"], "done", "{fork}");
    let id = fork["run"].as_str().unwrap();
    assert!(server.get(&format!("/runs/{id}/record")).body.contains("\"hail\""));
    server.post(&path, &json!({})).problem(400, "body: turn");
    server.post(&path, &json!({ "turn": 9 })).problem(400, "body: turn");
    server
        .post(&path, &json!({ "turn": 0, "edit": { "slot": "tool(0,1)", "output": 1 } }))
        .problem(400, "turn");
    server.post(&path, &json!({ "edit": { "slot": "run", "output": 1 } })).problem(400, "body: edit.slot");
    server
        .post(&path, &json!({ "edit": { "slot": "model(0)", "reply": 1 } }))
        .problem(400, "body: edit.reply");
    server.post(&path, &json!({ "edit": { "slot": "model(0)" } })).problem(400, "body: edit");
    server.post(&path, &json!({ "turn": 1, "config": "/etc/agent.toml" })).problem(400, "unknown field");
    // What was refused left nothing.
    assert_eq!(server.get("/runs").ok()["runs"].as_array().unwrap().len(), 3);
    server.kill();
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn a_fork_waits_for_its_place_like_any_run() {
    let agent = slow();
    let limits = "[server]\ngrace = \"10ms\"\n[server.limits]\nruns = 1\nqueued = 1";
    std::fs::write(agent.dir.path().join("host.toml"), limits).unwrap();
    let server = Server::with(&agent, &["--listen", "127.0.0.1:0", "--config", "host.toml"]);
    let name = agent.dir.path().file_name().unwrap().to_str().unwrap();
    let run = server.post(&format!("/agents/{name}/runs"), &json!({})).is(202);
    let path = format!("/runs/{}/fork", run["run"].as_str().unwrap());
    let fork = server.post(&path, &json!({ "turn": 0 })).is(202);
    assert_eq!((&run["state"], &fork["state"]), (&json!("running"), &json!("queued")));
    server.post(&path, &json!({ "turn": 0 })).problem(429, "wait already");
    assert_eq!(
        server.get("/runs").ok()["runs"].as_array().unwrap().len(),
        2,
        "what is refused leaves nothing"
    );
    assert_eq!(server.end(), Some(0));
}

#[test]
fn a_run_is_verified_and_one_that_has_not_ended_is_not() {
    let agent = asking(crate::approval::ASK_NEW_YORK);
    let server = Server::of(&agent);
    let name = agent.dir.path().file_name().unwrap().to_str().unwrap();
    let run = server.post(&format!("/agents/{name}/runs?wait=5m"), &json!({})).is(202);
    let path = format!("/runs/{}/replay", run["run"].as_str().unwrap());
    server.post(&path, &json!({})).problem(409, "has not ended");
    server.post(&format!("/runs/{}/approve", run["run"].as_str().unwrap()), &json!({})).is(202);
    server.once_not(run["run"].as_str().unwrap(), &["queued", "running", "suspended"]);
    assert_eq!(server.post(&path, &json!({})).ok(), json!({ "run": run["run"], "ok": true }));
    server.post("/runs/01JD5Q0Z3N8B1M4W6V2YT7XK9C/replay", &json!({})).problem(404, "there is no run");
}

#[test]
fn the_calls_of_a_tool_are_made_again() {
    let agent = asking("");
    let server = Server::of(&agent);
    let run = ran(&server, &agent);
    let path = format!("/runs/{run}/rerun");
    let report = server.post(&path, &json!({ "tool": "get_weather" })).ok();
    assert_eq!((&report["same"], &report["different"]), (&json!(2), &json!([])), "{report}");
    server.post(&path, &json!({ "tool": "nothing" })).problem(404, "no call of the tool nothing");
    server.post(&path, &json!({})).problem(400, "tool");
    server
        .post(&path, &json!({ "tool": "get_weather", "component": "/x" }))
        .problem(404, "there is no component /x");
}

#[test]
fn the_calls_of_a_tool_are_made_again_with_a_component_of_the_server() {
    let agent = asking("");
    let server = Server::with_newer_component(&agent);
    let run = ran(&server, &agent);
    let path = format!("/runs/{run}/rerun");
    for (name, said) in
        [("nothing.wasm", "there is no component nothing.wasm"), ("../agent.toml", "there is no component")]
    {
        server.post(&path, &json!({ "tool": "get_weather", "component": name })).problem(404, said);
    }
    let body = json!({ "tool": "get_weather", "component": "newer.wasm" });
    assert_eq!(server.post(&path, &body).ok()["same"], 2);
    let again = |name: &str| {
        let which = format!("get_weather={name}");
        agent.host(&["replay", &run, "--rerun", &which, "--server", &server.url])
    };
    let same = again("newer.wasm");
    assert!(same.ok().stdout.contains("       2       2       0  "), "{}", same.stdout);
    again("gone.wasm").says("there is no component gone.wasm").says("there are: newer.wasm");
}

/// Every run that is removed is gone: at once, after a restart, and after a kill.
#[test]
fn a_run_that_is_removed_is_gone_for_good() {
    let agent = asking("");
    let mut server = Server::of(&agent);
    let kept = ran(&server, &agent);
    for restarts in [false, true] {
        let removed = [ran(&server, &agent), ran(&server, &agent)];
        for run in &removed {
            server.ask("DELETE", &format!("/runs/{run}"), &[], None).is(204);
            server.ask("DELETE", &format!("/runs/{run}"), &[], None).problem(404, "there is no run");
        }
        let is_gone = |server: &Server| {
            let listed = server.get("/runs").ok();
            assert_eq!(listed["runs"].as_array().unwrap().len(), 1, "{listed}");
            server.get(&format!("/runs/{kept}")).ok();
            for run in &removed {
                for path in ["", "/record", "/detail", "/events"] {
                    server.get(&format!("/runs/{run}{path}")).problem(404, "there is no run");
                }
            }
        };
        is_gone(&server);
        if restarts {
            assert_eq!(server.end(), Some(0));
        } else {
            server.kill();
        }
        let listed = agent.host(&["runs"]);
        assert_eq!(
            listed.ok().stdout.lines().filter(|line| line.contains("answered")).count(),
            1,
            "{}",
            listed.stdout
        );
        server = Server::of(&agent);
        is_gone(&server);
    }
}

#[test]
fn what_is_recorded_is_exported_and_read_on_another_machine() {
    let agent = asking("");
    let server = Server::of(&agent);
    let run = ran(&server, &agent);
    let record = server.get(&format!("/runs/{run}/record"));
    assert_eq!(record.status, 200);
    assert!(record.head.contains("application/jsonl"), "{}", record.head);
    let file = agent.dir.path().join("exported.jsonl");
    std::fs::write(&file, &record.body).unwrap();
    agent.host(&["replay", file.to_str().unwrap()]).ok();
    let detail = server.get(&format!("/runs/{run}/detail")).ok();
    assert_eq!((&detail["summary"]["run"], &detail["events"][0]["slot"]), (&json!(run), &json!("run")));
    assert!(detail["events"].as_array().unwrap().iter().any(|it| it["kind"]["finished"].is_object()));
}
