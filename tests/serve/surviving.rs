//! Restarts, kills, drains, and more runs than there are places.

use rustix::process::Signal;
use serde_json::json;

use super::server::Server;
use crate::approval::{ASK_NEW_YORK, asking};
use crate::support::Agent;

fn name(agent: &Agent) -> &str {
    agent.dir.path().file_name().unwrap().to_str().unwrap()
}

/// An agent whose run takes as long as somebody lets it.
pub fn slow() -> Agent {
    let script =
        "[[reply]]\ncalls = [{ name = \"slow\", input = { pause_ms = 600000 } }]\n[[reply]]\ntext = \"done\"";
    Agent::scripted(script).guest("hostile").table("[tools.hostile.limits]\ncpu = \"30m\"\ntimeout = \"1h\"")
}

#[test]
fn what_a_killed_server_had_taken_is_finished_by_the_next_one() {
    let agent = asking("");
    let server = Server::of(&agent);
    let path = format!("/agents/{}/runs", name(&agent));
    let runs: Vec<String> =
        (0..40).map(|_| server.post(&path, &json!({})).taken()["run"].as_str().unwrap().to_owned()).collect();
    server.kill();
    let server = Server::of(&agent);
    for run in &runs {
        assert_eq!(server.once_not(run, &["queued", "running", "interrupted"])["answer"], "done");
    }
    assert_eq!(server.get("/runs?limit=1000").ok()["runs"].as_array().unwrap().len(), runs.len());
}

/// A run whose moment comes while no server is there may have been accepted before the one that its session waits for.
#[test]
fn after_a_restart_a_run_that_has_begun_comes_before_those_that_have_not() {
    let agent = asking(ASK_NEW_YORK);
    let limits = "[server.limits]\nrequests_per_minute = 10_000_000";
    std::fs::write(agent.dir.path().join("host.toml"), limits).unwrap();
    let serve = || Server::with(&agent, &["--listen", "127.0.0.1:0", "--config", "host.toml"]);
    let server = serve();
    let path = format!("/agents/{}/runs", name(&agent));
    let due = std::time::Instant::now() + std::time::Duration::from_secs(2);
    let begin =
        |order: serde_json::Value| server.post(&path, &order).taken()["run"].as_str().unwrap().to_owned();
    let later = begin(json!({ "session": "s", "delay": "2s" }));
    let first = begin(json!({ "session": "s" }));
    server.once_not(&first, &["queued", "running"]);
    server.kill();
    std::thread::sleep(due.saturating_duration_since(std::time::Instant::now()));
    let server = serve();
    crate::support::until("both runs are answered", || {
        let waiting = server.get("/waiting").ok();
        for run in waiting["runs"].as_array().unwrap() {
            // It may go on meanwhile.
            server.post(&format!("/runs/{}/approve", run["run"].as_str().unwrap()), &json!({}));
        }
        let is_answered = |run: &String| server.get(&format!("/runs/{run}")).ok()["state"] == "answered";
        [&first, &later].into_iter().all(is_answered).then_some(())
    });
}

#[test]
fn places_and_the_queue_are_bounded() {
    let agent = slow();
    std::fs::write(
        agent.dir.path().join("host.toml"),
        "[server]\ngrace = \"10ms\"\n[server.limits]\nruns = 2\nqueued = 1\nscheduled = 1",
    )
    .unwrap();
    let server = Server::with(&agent, &["--listen", "127.0.0.1:0", "--config", "host.toml"]);
    let path = format!("/agents/{}/runs", name(&agent));
    let states: Vec<String> = (0..3)
        .map(|_| server.post(&path, &json!({})).is(202)["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states, ["running", "running", "queued"]);
    let full = server.post(&path, &json!({}));
    full.problem(429, "wait already");
    assert!(full.head.contains("retry-after: "), "{}", full.head);
    server.post(&path, &json!({ "delay": "1h" })).is(202);
    server.post(&path, &json!({ "delay": "1h" })).problem(429, "wait for their moment already");
    assert_eq!(
        server.get("/runs").ok()["runs"].as_array().unwrap().len(),
        4,
        "nothing is left of what was refused"
    );
    assert_eq!(server.end(), Some(0));
    let interrupted = agent.host(&["runs"]);
    assert_eq!(interrupted.ok().stdout.matches("interrupted").count(), 2, "{}", interrupted.stdout);
    assert_eq!(interrupted.stdout.matches("queued").count(), 2, "{}", interrupted.stdout);
}

#[test]
fn a_server_that_drains_takes_nothing_and_a_second_signal_ends_it() {
    let agent = slow();
    let server = Server::of(&agent);
    let path = format!("/agents/{}/runs", name(&agent));
    server.post(&path, &json!({})).is(202);
    server.signal(Signal::TERM);
    server.says("ending");
    let refused = crate::support::until("the server drains", || {
        let answer = server.get("/readyz");
        (answer.status == 503).then_some(answer)
    });
    refused.problem(503, "takes no more runs");
    server.post(&path, &json!({})).problem(503, "takes no more runs");
    server.signal(Signal::TERM);
    assert_ne!(server.end(), Some(0));
    assert!(agent.host(&["runs"]).ok().stdout.contains("interrupted"));
}

/// A server that was killed, or has just ended, keeps no other from beginning; nor does a command that looks for one.
#[test]
fn one_server_follows_another_at_once() {
    let agent = asking("");
    std::thread::scope(|scope| {
        let (over, is_over) = std::sync::mpsc::channel::<()>();
        let agent = &agent;
        let looking = scope.spawn(move || {
            while is_over.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                // It may talk to a server that is just killed.
                agent.host(&["cancel", "01JD5Q0Z3N8B1M4W6V2YT7XK9C"]);
            }
        });
        for round in 0..10 {
            let server = Server::of(agent);
            server.get("/healthz").is(200);
            if round % 2 == 0 {
                server.kill();
            } else {
                assert_eq!(server.end(), Some(0));
            }
        }
        over.send(()).unwrap();
        looking.join().unwrap();
    });
}
