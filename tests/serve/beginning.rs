//! Runs that begin: at once, later, in a session, and once for each key.

use serde_json::json;

use super::server::Server;
use crate::approval::{TWO, asking};
use crate::support::Agent;

pub fn name(agent: &Agent) -> String {
    agent.dir.path().file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_plain_request_is_answered_with_the_run() {
    let agent = asking("");
    let server = Server::of(&agent);
    let name = name(&agent);
    let ran = server.post(&format!("/{name}/run"), &json!({ "message": "How is the weather?" })).ok();
    assert_eq!((&ran["state"], &ran["answer"]), (&json!("answered"), &json!("done")), "{ran}");
    assert_eq!((&ran["agent"], &ran["prompt"]), (&json!(name), &json!("How is the weather?")), "{ran}");
    assert_eq!(ran["used"]["tool_calls"], 2, "{ran}");
    let id = ran["run"].as_str().unwrap();
    let mut shown = server.get(&format!("/runs/{id}")).ok();
    assert_eq!(shown, ran);
    let listed = server.get("/runs").ok();
    shown.as_object_mut().unwrap().retain(|key, _| !["answer", "used"].contains(&key.as_str()));
    assert_eq!(listed["runs"], json!([shown]), "{listed}");
    // Without a body the agent is asked what its own prompt says.
    let ran = server.ask("POST", &format!("/agents/{name}/runs?wait=5m"), &[], None).ok();
    assert_eq!(ran["prompt"], "go on", "{ran}");
    server.kill();
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn a_run_that_is_not_waited_for_is_on_disk_and_found_again() {
    let agent = asking("");
    let server = Server::of(&agent);
    let answer = server.post(&format!("/agents/{}/runs", name(&agent)), &json!({}));
    let run = answer.taken();
    let id = run["run"].as_str().unwrap().to_owned();
    assert!(answer.head.contains(&format!("location: /runs/{id}")), "{}", answer.head);
    assert_eq!(server.once_not(&id, &["queued", "running"])["answer"], "done");
    server.get("/runs/01JD5Q0Z3N8B1M4W6V2YT7XK9C").problem(404, "there is no run 01JD5Q0Z3N8B1M4W6V2YT7XK9C");
}

#[test]
fn a_run_begins_at_its_moment_even_if_the_server_was_down_then() {
    let agent = asking("");
    let server = Server::of(&agent);
    let path = format!("/agents/{}/runs", name(&agent));
    let ran = server.post(&format!("{path}?wait=5m"), &json!({ "delay": "100ms" })).ok();
    assert_eq!(ran["answer"], "done", "{ran}");
    let later = server.post(&path, &json!({ "delay": "1h" })).is(202);
    assert_eq!(later["state"], "queued", "{later}");
    let soon = server.post(&path, &json!({ "delay": "10ms", "prompt": "soon" })).taken();
    server.kill();
    let server = Server::of(&agent);
    let soon = server.once_not(soon["run"].as_str().unwrap(), &["queued", "running"]);
    assert_eq!((&soon["answer"], &soon["prompt"]), (&json!("done"), &json!("soon")), "{soon}");
    let later = later["run"].as_str().unwrap();
    assert_eq!(server.get(&format!("/runs/{later}")).ok()["state"], "queued");
    // Nobody need wait for the moment.
    server.post(&format!("/runs/{later}/resume"), &json!({})).taken();
    assert_eq!(server.once_not(later, &["queued", "running"])["answer"], "done");
}

/// The moment of a run may have come while the run was being recorded.
#[test]
fn a_run_whose_moment_is_now_is_not_forgotten() {
    let agent = asking("");
    let server = Server::of(&agent);
    let path = format!("/agents/{}/runs", name(&agent));
    let order = || server.post(&path, &json!({ "delay": "1ms" })).taken()["run"].as_str().unwrap().to_owned();
    let runs: Vec<String> = std::thread::scope(|scope| {
        let ordered: Vec<_> = (0..8).map(|_| scope.spawn(|| [order(), order(), order(), order()])).collect();
        ordered.into_iter().flat_map(|ordered| ordered.join().unwrap()).collect()
    });
    for run in runs {
        assert_eq!(server.once_not(&run, &["queued", "running"])["answer"], "done");
    }
}

#[test]
fn the_same_key_and_body_give_the_same_run_also_after_a_restart() {
    let agent = asking("");
    let server = Server::of(&agent);
    let path = format!("/agents/{}/runs?wait=5m", name(&agent));
    let body = json!({ "prompt": "once" }).to_string();
    let ask = |server: &Server, key: &str, body: &str| {
        server.ask("POST", &path, &[("idempotency-key", key)], Some(body))
    };
    let ran = ask(&server, "one", &body).ok();
    assert_eq!(ask(&server, "one", &body).ok(), ran);
    let all: Vec<String> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| ask(&server, "together", &body).ok())).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()["run"].to_string()).collect()
    });
    assert!(all.iter().all(|run| *run == all[0]), "{all:?}");
    ask(&server, "one", "{}").problem(422, "was ordered otherwise");
    server.kill();
    let server = Server::of(&agent);
    assert_eq!(ask(&server, "one", &body).ok()["run"], ran["run"]);
    ask(&server, "one", "{}").problem(422, "was ordered otherwise");
    assert_ne!(ask(&server, "two", &body).ok()["run"], ran["run"]);
    ask(&server, "", &body).problem(400, "a key has 1 to 255 characters");
}

#[test]
fn the_runs_of_a_session_follow_each_other() {
    let agent = asking("");
    let server = Server::of(&agent);
    let name = name(&agent);
    let path = format!("/{name}/ada/run");
    let ran: Vec<String> = std::thread::scope(|scope| {
        let asked: Vec<_> =
            (0..4).map(|_| scope.spawn(|| server.post(&path, &json!({ "message": "go on" })).ok())).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()["answer"].to_string()).collect()
    });
    assert_eq!(ran, ["\"done\""; 4]);
    let session = server.get("/sessions/ada").ok();
    assert_eq!(session["runs"].as_array().unwrap().len(), 4, "{session}");
    assert_eq!(server.get("/sessions").ok(), json!({ "sessions": ["ada"] }));
    assert_eq!(server.get("/runs?session=ada&limit=2").ok()["runs"].as_array().unwrap().len(), 2);
    server.kill();
    // Each one was told what was said before it.
    let last = session["runs"][3]["run"].as_str().unwrap();
    let runs = agent.host(&["runs", "request", last]);
    assert_eq!(runs.ok().stdout.matches("done").count(), 3, "{}", runs.stdout);
}

#[test]
fn a_parameter_of_a_plain_request_is_one_of_the_agent() {
    let agent = Agent::scripted(TWO).guest("weather").table("[parameters.city]\ndescription = \"where\"");
    let server = Server::of(&agent);
    let path = format!("/{}/run", name(&agent));
    server.post(&path, &json!({ "message": "hi" })).problem(400, "the parameter `city` is missing");
    server
        .post(&path, &json!({ "message": "hi", "city": "Oslo", "town": "x" }))
        .problem(400, "no parameter `town`");
    server.post(&path, &json!({ "message": "hi", "city": ["Oslo"] })).problem(400, "parameters.city");
    assert_eq!(server.post(&path, &json!({ "message": "hi", "city": "Oslo" })).ok()["answer"], "done");
}
