//! What whoever looks after a server sees and does: metrics, reloads, a journal that fails, the log.

use serde_json::json;

use super::server::Server;
use crate::approval::asking;
use crate::support::Agent;

pub fn name(agent: &Agent) -> &str {
    agent.dir.path().file_name().unwrap().to_str().unwrap()
}

/// The value of a series.
pub fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} is one of:\n{metrics}")).parse().unwrap()
}

#[test]
fn metrics_say_what_was_done() {
    let agent = asking("[model.prices]\ninput = 1000000.0\noutput = 1000000.0");
    let server = Server::of(&agent);
    let name = name(&agent);
    let before = server.get("/metrics");
    assert!(before.head.contains("application/openmetrics-text"), "{}", before.head);
    assert!(before.body.ends_with("# EOF\n"), "{}", before.body);
    for _ in 0..2 {
        server.post(&format!("/{name}/run"), &json!({ "message": "hello" })).ok();
    }
    server.post("/nobody/run", &json!({})).problem(404, "nobody");
    server.post(&format!("/agents/{name}/runs"), &json!({ "delay": "1h" })).is(202);
    let metrics = server.get("/metrics").body;
    let is = |series: &str, expected: f64| {
        let found = value(&metrics, &series.replace("NAME", name));
        assert!((found - expected).abs() < 1e-9, "{series} is {found}, not {expected}\n{metrics}");
    };
    is("host_runs_stopped_total{agent=\"NAME\",state=\"answered\"}", 2.0);
    is("host_tool_calls_total{agent=\"NAME\",outcome=\"output\"}", 4.0);
    is("host_model_calls_total{agent=\"NAME\",outcome=\"reply\"}", 4.0);
    is("host_runs{state=\"working\"}", 0.0);
    is("host_runs{state=\"scheduled\"}", 1.0);
    is("host_http_requests_total{status=\"200\"}", 3.0);
    is("host_http_requests_total{status=\"404\"}", 1.0);
    is("host_http_refused_total{kind=\"missing\"}", 1.0);
    is("host_journal_up", 1.0);
    is("host_instances{depth=\"0\"}", 0.0);
    is("host_instance_places{depth=\"0\"}", 128.0);
    // A run of one turn with two calls has 2 events for itself and for each of its effects.
    let (events, commits) =
        (value(&metrics, "host_journal_events_total"), value(&metrics, "host_journal_commit_seconds_count"));
    assert!(events >= 20.0 && commits >= 2.0 && commits <= events, "{events} events in {commits} commits");
    is("host_journal_commit_seconds_bucket{le=\"+Inf\"}", commits);
    assert!(value(&metrics, "process_resident_memory_bytes") > 1e6, "{metrics}");
}

#[test]
fn a_run_that_is_removed_is_gone_for_good() {
    let agent = asking("");
    let server = Server::of(&agent);
    let run = format!("/{}/run", name(&agent));
    let removed = server.post(&run, &json!({})).ok()["run"].as_str().unwrap().to_owned();
    let kept = server.post(&run, &json!({})).ok()["run"].clone();
    let shown = format!("/runs/{removed}");
    assert_eq!(server.ask("DELETE", &shown, &[], None).status, 204);
    let is_gone = |server: &Server| {
        server.get(&shown).problem(404, &removed);
        server.get(&format!("{shown}/detail")).problem(404, &removed);
        let runs = server.get("/runs").ok();
        assert_eq!((runs["runs"].as_array().unwrap().len(), &runs["runs"][0]["run"]), (1, &kept), "{runs}");
    };
    is_gone(&server);
    server.kill();
    assert!(!agent.host(&["runs"]).ok().stdout.contains(&removed));
    is_gone(&Server::of(&agent));
}

#[test]
fn metrics_need_a_token_for_every_agent() {
    let agent = asking("");
    let token = |name: &str, more: &str| {
        let digest = host::message::Digest::of(name.as_bytes());
        format!("[[server.tokens]]\nname = \"{name}\"\nsha256 = \"{digest}\"\n{more}\n")
    };
    let some = format!("scopes = [\"read\"]\nagents = [\"{}\"]", name(&agent));
    let config =
        [token("all", "scopes = [\"read\"]"), token("some", &some), token("none", "scopes = [\"run\"]")];
    std::fs::write(agent.dir.path().join("host.toml"), config.concat()).unwrap();
    let server = Server::with(&agent, &["--listen", "127.0.0.1:0", "--config", "host.toml"]);
    let get = |token| server.ask("GET", "/metrics", &[("authorization", &format!("Bearer {token}"))], None);
    server.get("/metrics").problem(401, "Authorization");
    get("none").problem(403, "scope");
    get("some").problem(403, "all of them");
    get("all").ok();
}

#[test]
fn a_journal_that_fails_is_mended_and_its_runs_go_on() {
    let agent = asking("");
    // The first run is recorded; while the second one goes on, one write fails.
    let mut command =
        agent.command(&["serve", agent.dir.path().to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    command.env("FAILPOINTS", "journal-write-fails=9*off->1*return");
    let server = Server::spawned(command);
    let run = format!("/{}/run", name(&agent));
    server.post(&run, &json!({})).ok();
    // What the server writes to see whether there is room cannot be written as long as this is in the way.
    let in_the_way = agent.state().join("journal/room");
    std::fs::create_dir(&in_the_way).unwrap();
    let begun = server.post(&run, &json!({})).body;
    server.says("no run is taken until the journal can be written");
    let refused = server.post(&run, &json!({}));
    refused.problem(503, "runs cannot be recorded at present: the journal stopped: Input/output error");
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    server.get("/readyz").problem(503, "runs cannot be recorded at present");
    server.get("/healthz").ok();
    assert!((value(&server.get("/metrics").body, "host_journal_up")).abs() < 1e-9);
    assert_eq!(server.get("/runs").ok()["runs"].as_array().unwrap().len(), 2, "what there is can be read");
    std::fs::remove_dir(&in_the_way).unwrap();
    server.says("the journal can be written again");
    let begun: serde_json::Value = serde_json::from_str(&begun).unwrap();
    assert_eq!(begun["state"], "failed", "{begun}");
    let resumed =
        server.once_not(begun["run"].as_str().unwrap(), &["failed", "interrupted", "queued", "running"]);
    assert_eq!(resumed["answer"], "done", "{resumed}");
    server.get("/readyz").ok();
    server.post(&run, &json!({})).ok();
    server.kill();
    for shown in agent.host(&["runs"]).ok().stdout.lines() {
        assert!(!shown.contains("failed"), "{shown}");
    }
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn every_line_of_the_log_that_is_about_a_run_names_it() {
    let agent = asking("");
    let server = Server::with(&agent, &["--listen", "127.0.0.1:0", "--log", "json"]);
    let ran = server.post(&format!("/{}/run", name(&agent)), &json!({})).ok();
    for message in ["the run goes on", "the run ended"] {
        let line: serde_json::Value = serde_json::from_str(&server.says(message)).unwrap();
        assert_eq!((&line["run"], &line["message"]), (&ran["run"], &json!(message)), "{line}");
        assert!(line["timestamp"].is_string() && line["level"] == "INFO", "{line}");
    }
}
