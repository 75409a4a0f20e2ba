//! Clients that hold a server up: connections without requests, answers that nobody reads, requests that wait for ever, and
//! more of each than there may be.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;

use super::beginning::name;
use super::server::{Answer, Server};
use super::surviving::slow;
use crate::approval::asking;
use crate::support::{Agent, until};

fn limited(agent: &Agent, limits: &str) -> Server {
    let text = format!("[server]\ngrace = \"10ms\"\n[server.limits]\n{limits}\n");
    std::fs::write(agent.dir.path().join("host.toml"), text).unwrap();
    Server::with(agent, &["--listen", "127.0.0.1:0", "--config", "host.toml"])
}

/// Waits until the server has closed a connection, and gives what came before.
fn closed(mut stream: TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    // How it was closed says nothing; that nothing more came in time is an error of its own.
    if let Err(error) = stream.read_to_end(&mut heard) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    heard
}

/// Sends a request on a connection that is kept, and waits for the head of the answer.
fn keeps(server: &Server, path: &str) -> TcpStream {
    let mut stream = server.connect();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", server.address());
    stream.write_all(request.as_bytes()).unwrap();
    let mut heard = [0; 12];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"HTTP/1.1 200", "{}", String::from_utf8_lossy(&heard));
    stream
}

/// What a client of HTTP/2 says first: that it is one, and how much of each answer may be sent to it unasked.
fn preface(window: u32) -> Vec<u8> {
    let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    said.extend(frame(4, 0, 0, &[&[0, 4][..], &window.to_be_bytes()].concat()));
    said
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A request without a body, on a stream of HTTP/2.
fn request(server: &Server, stream: u32, path: &str) -> Vec<u8> {
    let text =
        |name: u8, text: &str| [&[name, u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat();
    let head = [vec![0x82, 0x86], text(0x04, path), text(0x01, server.address())].concat();
    frame(1, 5, stream, &head)
}

#[test]
fn a_connection_without_a_request_is_closed() {
    let agent = asking("");
    let server = limited(&agent, "idle = \"300ms\"");
    let silent = server.connect();
    let mut prefix = server.connect();
    prefix.write_all(b"PRI * HTTP/2.0\r\n").unwrap();
    let mut idle = server.connect();
    idle.write_all(&preface(65_535)).unwrap();
    for stream in [silent, prefix, idle] {
        closed(stream);
    }
    // One that has had its answer, too, in whichever way it speaks.
    closed(keeps(&server, "/healthz"));
    let mut answered = server.connect();
    answered.write_all(&preface(65_535)).unwrap();
    answered.write_all(&request(&server, 1, "/healthz")).unwrap();
    let heard = closed(answered);
    assert!(heard.windows(3).any(|bytes| bytes == b"ok\n"), "{heard:?}");
}

#[test]
fn a_run_that_is_followed_in_silence_keeps_its_connection() {
    let agent = slow();
    let server = limited(&agent, "idle = \"500ms\"\nunread = \"5s\"");
    let run = server.post(&format!("/agents/{}/runs", name(&agent)), &json!({})).is(202);
    let run = run["run"].as_str().unwrap();
    let mut events = keeps(&server, &format!("/runs/{run}/events"));
    // Longer than a connection without a request is kept.
    closed(server.connect());
    closed(server.connect());
    server.post(&format!("/runs/{run}/cancel"), &json!({ "reason": "enough" })).ok();
    let mut heard = String::new();
    events.read_to_string(&mut heard).unwrap();
    assert!(heard.contains("\"cancelled\""), "{heard}");
}

/// How many connections the server has, beside the one that asks.
fn others(server: &Server) -> u64 {
    let metrics = server.get("/metrics").body;
    let line = metrics.lines().find_map(|line| line.strip_prefix("host_http_connections "));
    line.unwrap_or_else(|| panic!("{metrics}")).parse::<u64>().unwrap() - 1
}

#[test]
fn a_client_that_does_not_read_its_answers_is_cut_off() {
    let agent = asking("");
    let server = limited(&agent, "unread = \"2s\"\nidle = \"1h\"");
    // More than the system takes for a client that does not read.
    let mut stuck = server.connect();
    let request_1 = format!("GET /openapi.json HTTP/1.1\r\nhost: {}\r\n\r\n", server.address());
    let many = request_1.repeat(50_000);
    stuck.set_write_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    // The server stops hearing, and closes the connection.
    let _ = stuck.write_all(many.as_bytes());
    until("the connection is closed", || (others(&server) == 0).then_some(()));
    drop(stuck);
    // Over HTTP/2 the client says how much it takes, and takes nothing.
    let mut stuck = server.connect();
    stuck.write_all(&preface(0)).unwrap();
    stuck.write_all(&request(&server, 1, "/openapi.json")).unwrap();
    until("the connection is closed", || (others(&server) == 0).then_some(()));
    closed(stuck);
}

#[test]
fn connections_are_bounded_and_one_more_is_told_so() {
    let agent = asking("");
    let server = limited(&agent, "connections = 3");
    let kept = [keeps(&server, "/healthz"), keeps(&server, "/healthz"), keeps(&server, "/healthz")];
    let refused = server.get("/healthz");
    refused.problem(503, "too many connections");
    assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
    // Over HTTP/2, too; and the connection ends with it.
    let mut refused = server.connect();
    refused.write_all(&preface(65_535)).unwrap();
    refused.write_all(&request(&server, 1, "/healthz")).unwrap();
    let heard = closed(refused);
    assert!(String::from_utf8_lossy(&heard).contains("too many connections"), "{heard:?}");
    drop(kept);
    until("there is a place", || (server.get("/healthz").status == 200).then_some(()));
}

#[test]
fn requests_that_wait_are_bounded() {
    let agent = slow();
    let server = limited(&agent, "waits = 1\nruns = 1");
    let path = format!("/agents/{}/runs", name(&agent));
    let run = server.post(&path, &json!({})).is(202);
    let run = run["run"].as_str().unwrap();
    let following = keeps(&server, &format!("/runs/{run}/events"));
    let events = server.get(&format!("/runs/{run}/events"));
    let plain = server.post(&format!("/{}/run", name(&agent)), &json!({}));
    let streamed = server.ask("POST", &path, &[("accept", "text/event-stream")], Some("{}"));
    for refused in [events, plain, streamed, server.post(&format!("{path}?wait=1m"), &json!({}))] {
        refused.problem(429, "too many requests wait");
        assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    }
    assert_eq!(
        server.get("/runs").ok()["runs"].as_array().unwrap().len(),
        1,
        "what is refused leaves nothing"
    );
    // Who does not wait is taken.
    server.post(&path, &json!({})).is(202);
    drop(following);
    until("there is a place", || {
        (server.post(&format!("{path}?wait=1ms"), &json!({})).status == 202).then_some(())
    });
}

#[test]
fn reads_of_whole_records_are_bounded() {
    let agent = asking("");
    let server = limited(&agent, "reads = 1\nunread = \"1h\"");
    let ran = server.post(&format!("/{}/run", name(&agent)), &json!({})).ok();
    let run = ran["run"].as_str().unwrap();
    // A client of HTTP/2 that takes nothing of the record yet.
    let mut holds = server.connect();
    holds.write_all(&preface(0)).unwrap();
    holds.write_all(&request(&server, 1, &format!("/runs/{run}/record"))).unwrap();
    let refused = |answer: &Answer| {
        answer.problem(503, "go through whole records");
        assert!(answer.head.contains("retry-after: "), "{}", answer.head);
    };
    // The other request may be only on its way.
    let first = until("the turn is taken", || {
        let answer = server.get(&format!("/runs/{run}/detail"));
        (answer.status != 200).then_some(answer)
    });
    refused(&first);
    refused(&server.post(&format!("/runs/{run}/replay"), &json!({})));
    server.get(&format!("/runs/{run}")).ok();
    drop(holds);
    until("the turn is given back", || {
        (server.get(&format!("/runs/{run}/record")).status == 200).then_some(())
    });
}

#[test]
fn bodies_take_no_more_room_than_there_is() {
    let agent = asking("");
    let server = limited(&agent, "body = \"1kB\"\nbodies = \"1kB\"\nbody_time = \"1h\"");
    let path = format!("/agents/{}/runs", name(&agent));
    let head = |length: usize| {
        let kind = "content-type: application/json";
        let address = server.address();
        format!("POST {path} HTTP/1.1\r\nhost: {address}\r\n{kind}\r\ncontent-length: {length}\r\n\r\n")
    };
    let mut half = server.connect();
    half.write_all(format!("{}{{{}", head(900), " ".repeat(600)).as_bytes()).unwrap();
    let body = json!({ "prompt": "x".repeat(700) });
    let refused = until("the room is taken", || {
        let answer = server.post(&path, &body);
        (answer.status == 503).then_some(answer)
    });
    refused.problem(503, "take all the room");
    server.post(&path, &json!({})).taken();
    drop(half);
    until("the room is given back", || (server.post(&path, &body).status != 503).then_some(()));
}

#[test]
fn the_head_of_a_request_is_bounded() {
    let agent = asking("");
    let server = Server::of(&agent);
    let long = "x".repeat(100 << 10);
    for headers in [vec![("x", long.as_str())], vec![("x", "y"); 300]] {
        assert_eq!(server.ask("GET", "/healthz", &headers, None).status, 431);
    }
    assert_ne!(server.get(&format!("/runs/{long}")).status, 200);
    // Over HTTP/2, a head that never ends.
    let mut endless = server.connect();
    endless.write_all(&preface(65_535)).unwrap();
    endless.write_all(&frame(1, 1, 1, &[0x82, 0x86])).unwrap();
    let piece = frame(9, 0, 1, &[&[0x00, 0x01, b'x', 0x7f, 0x81, 0x3f][..], &[b'y'; 8_192]].concat());
    while endless.write_all(&piece).is_ok() {}
    closed(endless);
    server.get("/healthz").is(200);
}

/// A client that begins requests and takes them back, again and again, is cut off, and holds nobody up.
#[test]
fn requests_that_are_taken_back_at_once_hold_nobody_up() {
    let agent = asking("");
    let server = Server::of(&agent);
    let mut resets = server.connect();
    resets.write_all(&preface(65_535)).unwrap();
    let mut stream = 1;
    loop {
        let mut said = Vec::new();
        for _ in 0..100 {
            said.extend(request(&server, stream, "/runs"));
            said.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
            stream += 2;
        }
        if stream > 200_000 || resets.write_all(&said).is_err() {
            break;
        }
    }
    drop(resets);
    server.get("/runs").ok();
    until("nothing is left of it", || (others(&server) == 0).then_some(()));
}
