//! Bad input of every kind, and what it is told.

use std::io::{Read as _, Write as _};

use serde_json::json;

use super::server::Server;
use crate::approval::asking;
use crate::support::Ran;

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let agent = asking("");
    let server = Server::of(&agent);
    let name = agent.dir.path().file_name().unwrap().to_str().unwrap();
    let path = format!("/agents/{name}/runs");
    server.post("/agents/nobody/runs", &json!({})).problem(404, &format!("there are: {name}"));
    server.ask("POST", &path, &[], Some("{")).problem(400, "\"where\":\"body");
    server.post(&path, &json!({ "promt": "x" })).problem(400, "unknown field `promt`");
    server.post(&path, &json!({ "prompt": 1 })).problem(400, "body: prompt");
    server.post(&path, &json!({ "prompt": " " })).problem(400, "the prompt is empty");
    server.post(&path, &json!({ "session": "a/b" })).problem(400, "body: session");
    server.post(&path, &json!({ "delay": "soon" })).problem(400, "body: delay");
    server
        .post(&path, &json!({ "delay": "1s", "at": "2027-01-31T12:00:00Z" }))
        .problem(400, "keep one of them");
    server.post(&path, &json!({ "at": "2027-01-31T12:00:00" })).problem(400, "neither an offset");
    server.post(&path, &json!({ "images": [{ "data": "%" }] })).problem(400, "images[0].data");
    server
        .post(&path, &json!({ "images": [{ "data": "aGVsbG8=" }] }))
        .problem(400, "no PNG, JPEG, GIF or WebP");
    server.post(&format!("{path}?wait=2h"), &json!({})).problem(400, "query: wait");
    server.post(&format!("{path}?wiat=2h"), &json!({})).problem(400, "wiat");
    server.get("/runs?limit=0").problem(400, "query: limit");
    server.get("/runs?state=dead").problem(400, "dead");
    server.get("/runs/nonsense").problem(404, "there is no run nonsense");
    server.get("/nowhere").problem(404, "/openapi.json");
    server.ask("DELETE", "/agents", &[], None).problem(405, "/agents does not take DELETE");
    let twice = "{\"message\":\"a\",\"message\":\"b\"}";
    server.ask("POST", &format!("/{name}/run"), &[], Some(twice)).problem(400, "`message` is there twice");
    let twice = "{\"parameters\":{\"x\":1,\"x\":2}}";
    server.ask("POST", &path, &[], Some(twice)).problem(400, "`x` is there twice");
    for list in ["[]", "[\"hello\"]", "{\"images\":[[\"aGVsbG8=\"]]}", "null", "\"hello\"", "1"] {
        server.ask("POST", &path, &[], Some(list)).problem(400, "an object");
        server.ask("POST", &format!("/{name}/run"), &[], Some(list)).problem(400, "");
    }
    let runs = "/runs/01JD5Q0Z3N8B1M4W6V2YT7XK9C";
    for (path, list) in [
        ("fork", "{\"edit\":[\"tool(0,0)\",1,null]}"),
        ("resume", "{\"settlements\":[[\"tool(0,0)\",\"retry\"]]}"),
        ("cancel", "[\"why\"]"),
    ] {
        server.ask("POST", &format!("{runs}/{path}"), &[], Some(list)).problem(400, "an object");
    }
    for header in ["host", "origin", "authorization", "idempotency-key", "host-by", "content-type"] {
        let own = server.address();
        let sent = [("host", own), (header, own), (header, own)];
        let sent = &sent[usize::from(header == "host")..];
        server.ask("POST", &path, sent, None).problem(400, &format!("header {header}"));
    }
    let deep = format!("{{\"parameters\":{{\"x\":{}{}}}}}", "[".repeat(100_000), "]".repeat(100_000));
    server.ask("POST", &path, &[], Some(&deep)).problem(400, "recursion limit");
    let plain = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}",
        server.address()
    );
    server.send(plain.as_bytes()).problem(415, "Content-Type");
    assert_eq!(server.get("/runs").ok()["runs"], json!([]), "nothing of it was taken");
}

#[test]
fn names_and_pages_that_are_not_its_own_are_refused() {
    let agent = asking("");
    let server = Server::of(&agent);
    server.ask("GET", "/runs", &[("host", "evil.example")], None).problem(403, "evil.example");
    server
        .ask("GET", "/runs", &[("origin", "https://evil.example")], None)
        .problem(403, "https://evil.example");
    server.ask("GET", "/runs", &[("origin", &server.url)], None).ok();
}

#[test]
fn a_body_that_is_too_large_or_stalls_is_cut_off() {
    let agent = asking("");
    let config = agent.dir.path().join("host.toml");
    std::fs::write(&config, "[server.limits]\nbody = \"1kB\"\nbody_time = \"100ms\"").unwrap();
    let server = Server::with(&agent, &["--listen", "127.0.0.1:0", "--config", "host.toml"]);
    let path = format!("/agents/{}/runs", agent.dir.path().file_name().unwrap().to_str().unwrap());
    server.post(&path, &json!({ "prompt": "x".repeat(2000) })).problem(413, "more than 1000 bytes");
    let mut stalls = server.connect();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        server.address()
    );
    stalls.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 1000];
    let count = stalls.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..count]);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("did not come within 100ms"), "{answer}");
}

#[test]
fn a_token_opens_what_it_says_and_no_more() {
    let agent = asking("");
    let name = agent.dir.path().file_name().unwrap().to_str().unwrap();
    let made = |who: &str, args: &[&str]| -> (String, String) {
        let args: Vec<&str> = ["token", who].iter().chain(args).copied().collect();
        let made: Ran = agent.host(&args);
        let lines = made.ok().stderr.split_once("[[server.tokens]]").unwrap().1;
        (made.stdout.trim().to_owned(), format!("[[server.tokens]]{lines}\n"))
    };
    let (reader, reads) = made("reader", &["--scope", "read"]);
    let (runner, runs) = made("runner", &["--scope", "run", "--agent", name]);
    let (other, others) = made("other", &["--scope", "run", "--agent", "another"]);
    std::fs::write(agent.dir.path().join("host.toml"), format!("{reads}{runs}{others}")).unwrap();
    let server = Server::with(&agent, &["--listen", "127.0.0.1:0", "--config", "host.toml"]);
    let path = format!("/agents/{name}/runs?wait=5m");
    let ask = |method: &str, path: &str, token: &str| {
        let header = format!("Bearer {token}");
        server.ask(method, path, &[("authorization", &header)], (method == "POST").then_some("{}"))
    };
    let refused = server.get("/runs");
    refused.problem(401, "`host token` makes a token");
    assert!(refused.head.contains("www-authenticate: Bearer"), "{}", refused.head);
    ask("GET", "/runs", "host_wrong").problem(401, "no token of this server");
    ask("POST", &path, &reader).problem(403, "does not have the scope");
    ask("POST", &path, &other).problem(403, "is not one of the agent");
    ask("GET", "/runs", &runner).problem(403, "does not have the scope");
    let run = ask("POST", &path, &runner).ok();
    assert_eq!(ask("GET", "/runs", &reader).ok()["runs"][0]["run"], run["run"]);
    server.get("/healthz").is(200);
    let twice = reads.replace("\"reader\"", "\"another\"");
    std::fs::write(agent.dir.path().join("twice.toml"), format!("{reads}{twice}")).unwrap();
    let directory = agent.dir.path().to_str().unwrap();
    agent.host(&["serve", directory, "--config", "twice.toml"]).exits(2).says("two owners have this token");
    let kept = std::fs::read_to_string(agent.dir.path().join("host.toml")).unwrap();
    assert!(!kept.contains(&reader), "a token is kept nowhere");
}

#[test]
fn a_server_that_anybody_could_use_does_not_start() {
    let agent = asking("");
    let directory = agent.dir.path().to_str().unwrap();
    agent
        .host(&["serve", directory, "--listen", "0.0.0.0:0"])
        .exits(2)
        .says("there are no tokens")
        .says("host token");
    agent.host(&["serve"]).exits(2).says("there is no agent to serve");
    agent.host(&["serve", "nowhere"]).exits(1).says("nowhere is no agent.toml");
    let server = Server::of(&agent);
    agent.host(&["serve", directory, "--listen", server.address()]).exits(2).says("cannot listen at");
    agent.host(&["serve", directory, "--listen", "127.0.0.1:0"]).exits(2).says(&server.url);
    std::fs::write(
        agent.dir.path().join("host.toml"),
        "[server]\nlisten = \"here\"\ngrace = \"1\"\nhost = 1",
    )
    .unwrap();
    let wrong = agent.host(&["serve", directory, "--config", "host.toml"]);
    wrong.exits(2).says("host.toml:");
}
