//! A run as it is followed: Server-Sent Events with numbers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::server::Server;
use crate::approval::{ASK_NEW_YORK, asking};

/// An event, as it was sent.
#[derive(Clone, Debug, PartialEq)]
struct Sent {
    id: Option<u64>,
    name: String,
    data: Value,
}

/// The events of a run after one of them, as they come.
struct Events(BufReader<TcpStream>);

impl Events {
    fn after(server: &Server, run: &str, last: u64) -> Self {
        let mut stream = server.connect();
        let request = format!(
            "GET /runs/{run}/events HTTP/1.1\r\nhost: {}\r\nlast-event-id: {last}\r\n\r\n",
            server.address()
        );
        stream.write_all(request.as_bytes()).unwrap();
        Self(BufReader::new(stream))
    }
}

impl Iterator for Events {
    type Item = Sent;

    fn next(&mut self) -> Option<Sent> {
        let (mut id, mut name) = (None, String::new());
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap_or_default() == 0 {
                return None;
            }
            let line = line.trim_end();
            if let Some(text) = line.strip_prefix("id: ") {
                id = text.parse().ok();
            } else if let Some(text) = line.strip_prefix("event: ") {
                text.clone_into(&mut name);
            } else if let Some(text) = line.strip_prefix("data: ") {
                return Some(Sent { id, name, data: serde_json::from_str(text).unwrap() });
            } else if line == "0" {
                return None;
            }
        }
    }
}

fn recorded(events: impl Iterator<Item = Sent>) -> Vec<Sent> {
    events.filter(|event| event.id.is_some()).collect()
}

#[test]
fn a_run_is_followed_from_any_event_on_without_a_gap_or_a_double() {
    let agent = asking(ASK_NEW_YORK);
    let server = Server::of(&agent);
    let name = agent.dir.path().file_name().unwrap().to_str().unwrap();
    let run = server.post(&format!("/agents/{name}/runs"), &json!({})).is(202);
    let run = run["run"].as_str().unwrap();
    let mut first = Events::after(&server, run, 0);
    let waits = first.by_ref().find(|sent| sent.data["kind"]["stands"]["state"] == "suspended").unwrap();
    assert_eq!(waits.data["kind"]["stands"]["waiting"][0]["slot"], "tool(0,0)/approval", "{waits:?}");
    server.post(&format!("/runs/{run}/approve"), &json!({})).taken();
    let after = recorded(first);
    assert_eq!(after.last().unwrap().data["slot"], "run");
    let whole = recorded(Events::after(&server, run, 0));
    let ids: Vec<u64> = whole.iter().filter_map(|event| event.id).collect();
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>());
    assert!(whole.ends_with(&after));
    for known in 0..whole.len() {
        let rest = recorded(Events::after(&server, run, known as u64));
        assert_eq!(rest, whole[known..], "after {known}");
    }
    // It has ended, and so has what there is to follow.
    assert_eq!(recorded(Events::after(&server, run, ids.len() as u64)), []);
    server
        .ask("GET", &format!("/runs/{run}/events"), &[("last-event-id", "x")], None)
        .problem(400, "Last-Event-ID");
    server.get("/runs/last/events?after=no").problem(400, "query");
}

#[test]
fn who_orders_a_run_can_follow_it_at_once() {
    let agent = asking("");
    let server = Server::of(&agent);
    let name = agent.dir.path().file_name().unwrap().to_str().unwrap();
    let answer = server.ask("POST", &format!("/{name}/run"), &[("accept", "text/event-stream")], Some("{}"));
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("text/event-stream"), "{}", answer.head);
    assert!(
        answer.body.starts_with("id: 1\nevent: started\n") || answer.body.contains("\nid: 1\n"),
        "{}",
        answer.body
    );
    let last = answer.body.trim_end().rsplit("\n\n").next().unwrap();
    assert!(last.contains("event: finished") && last.contains("\"slot\":\"run\""), "{last}");
}

#[test]
fn a_client_that_never_reads_or_goes_away_holds_nobody_up() {
    let agent = asking("");
    let server = Server::of(&agent);
    let name = agent.dir.path().file_name().unwrap().to_str().unwrap();
    let ran = server.post(&format!("/{name}/run"), &json!({})).ok();
    let run = ran["run"].as_str().unwrap();
    let silent: Vec<Events> = (0..50).map(|_| Events::after(&server, run, 0)).collect();
    let gone: Vec<Events> = (0..50).map(|_| Events::after(&server, run, 0)).collect();
    drop(gone);
    assert_eq!(server.post(&format!("/{name}/run"), &json!({})).ok()["answer"], "done");
    drop(silent);
    assert_eq!(server.end(), Some(0));
}
