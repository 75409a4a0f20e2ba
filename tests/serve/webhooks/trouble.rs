//! Receivers that fail in every way, and servers that are killed at every moment.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::receiver::{Delivery, Reaction, Receiver};
use super::{begin, configure, serve, serve_with, standing, webhook};
use crate::approval::{ASK_NEW_YORK, asking};
use crate::serve::operating::value;
use crate::serve::server::Server;
use crate::support::until;

/// Waits until nothing is pending any more.
fn all_is_settled(server: &Server) {
    until("nothing is pending", || (standing(server)["pending"] == 0).then_some(()));
}

#[test]
fn a_receiver_that_fails_in_every_way_gets_the_same_delivery_until_it_takes_it() {
    let agent = asking("");
    let other = Receiver::new();
    let location: &'static str = format!("location: {}\r\n", other.url()).leak();
    let receiver = Receiver::with(move |before, _| match before {
        0 => Reaction::Status(500, ""),
        1 => Reaction::Status(404, ""),
        2 => Reaction::Status(429, "retry-after: 0\r\n"),
        3 => Reaction::Status(302, location),
        4 => Reaction::Status(307, location),
        5 => Reaction::Hangs,
        6 => Reaction::EndlessHead,
        7 => Reaction::Status(502, ""),
        8 => Reaction::Endless,
        _ => Reaction::Status(204, ""),
    });
    configure(&agent, &[webhook(&receiver, "timeout = \"300ms\"")]);
    let server = serve(&agent);
    let run = begin(&server, &agent);
    let all = receiver.first(9);
    all_is_settled(&server);
    assert_eq!(receiver.all().len(), 9, "an answer of 200 counts, whatever follows");
    assert!(other.all().is_empty(), "no redirect is followed");
    let ids: BTreeSet<&str> = all.iter().map(Delivery::id).collect();
    let bodies: BTreeSet<&str> = all.iter().map(|it| it.body.as_str()).collect();
    assert_eq!((ids.len(), bodies.len()), (1, 1));
    let failure = &standing(&server)["last_failure"];
    assert_eq!(
        (&failure["run"], &failure["attempt"], &failure["status"]),
        (&json!(run), &json!(8), &json!(502))
    );
    server.says("the webhook takes again what it is sent");
}

#[test]
fn a_delivery_is_given_up_after_its_last_attempt() {
    let agent = asking("");
    let receiver = Receiver::with(|_, _| Reaction::Status(503, ""));
    let hook = webhook(&receiver, "name = \"hook\"");
    let (before, after) = hook.split_once("retry = [").unwrap();
    let hook = format!("{before}retry = [\"5ms\", \"5ms\"]{}", after.split_once(']').unwrap().1);
    configure(&agent, &[hook]);
    let server = serve(&agent);
    begin(&server, &agent);
    server.says("all attempts failed");
    all_is_settled(&server);
    assert_eq!(receiver.all().len(), 3);
    let metrics = server.get("/metrics").body;
    for (outcome, expected) in [("failed", 3.0), ("given_up", 1.0)] {
        let found =
            value(&metrics, &format!("host_webhooks_total{{webhook=\"hook\",outcome=\"{outcome}\"}}"));
        assert!((found - expected).abs() < 1e-9, "{outcome}: {metrics}");
    }
}

#[test]
fn a_receiver_that_answers_410_is_told_nothing_until_somebody_wants_it_told_again() {
    let agent = asking("");
    let gone = Arc::new(AtomicBool::new(true));
    let is_gone = Arc::clone(&gone);
    let receiver = Receiver::with(move |_, _| {
        Reaction::Status(if is_gone.load(Ordering::Relaxed) { 410 } else { 200 }, "")
    });
    configure(&agent, &[webhook(&receiver, "name = \"hook\"")]);
    let server = serve(&agent);
    begin(&server, &agent);
    server.says("answered 410");
    until("it is disabled", || (standing(&server)["disabled"] == true).then_some(()));
    let second = begin(&server, &agent);
    server.once_not(&second, &["queued", "running"]);
    server.kill();
    gone.store(false, Ordering::Relaxed);
    let server = serve(&agent);
    assert_eq!((&standing(&server)["disabled"], &standing(&server)["pending"]), (&json!(true), &json!(0)));
    assert_eq!(receiver.all().len(), 1);
    assert_eq!(server.ask("POST", "/webhooks/hook/retry", &[], None).ok()["disabled"], false);
    let third = begin(&server, &agent);
    receiver.told("run.ended", &third);
    assert_eq!(receiver.all().len(), 2);
}

#[test]
fn one_that_is_dead_holds_up_nobody_and_is_told_when_it_is_back() {
    let agent = asking("");
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = dead.local_addr().unwrap();
    drop(dead);
    let (living, hanging) = (Receiver::new(), Receiver::with(|_, _| Reaction::Hangs));
    let slow = format!(
        "[[server.webhooks]]\nname = \"dead\"\nurl = \"http://{address}/\"\nsecret = {{ file = \"hook.secret\" }}\nretry = [\"24h\"]\n"
    );
    configure(
        &agent,
        &[
            slow,
            webhook(&hanging, "name = \"hanging\"\ntimeout = \"1m\""),
            webhook(&living, "name = \"living\""),
        ],
    );
    let server = serve(&agent);
    let runs: Vec<String> = (0..20).map(|_| begin(&server, &agent)).collect();
    for run in &runs {
        living.told("run.ended", run);
    }
    let all = until("the dead one was tried", || {
        let shown = server.get("/webhooks").ok();
        let failed = shown["webhooks"][0]["last_failure"].is_object();
        (failed && shown["webhooks"][2]["pending"] == 0).then(|| shown["webhooks"].clone())
    });
    assert_eq!((&all[0]["name"], &all[0]["pending"]), (&json!("dead"), &json!(20)));
    assert!(all[0]["last_failure"]["why"].as_str().unwrap().contains("refused"), "{all}");
    assert_eq!((&all[1]["name"], &all[1]["pending"]), (&json!("hanging"), &json!(20)));
    assert!(hanging.all().len() <= 4, "no more are on their way at once");
    assert_eq!(server.get("/healthz").status, 200);
    // It is back, at another place.
    let back = Receiver::new();
    let config = agent.dir.path().join("host.toml");
    let changed = std::fs::read_to_string(&config).unwrap().replace(&address.to_string(), &back.address);
    std::fs::write(&config, changed).unwrap();
    server.ask("POST", "/agents/reload", &[], None).ok();
    server.ask("POST", "/webhooks/dead/retry", &[], None).ok();
    for run in &runs {
        back.told("run.ended", run);
    }
    server.kill();
}

#[test]
fn a_run_that_is_removed_needs_no_delivery() {
    let agent = asking("");
    let receiver = Receiver::with(|_, _| Reaction::Status(500, ""));
    let hook = webhook(&receiver, "name = \"hook\"").replace("10ms", "1h");
    configure(&agent, &[hook]);
    let server = serve(&agent);
    let run = begin(&server, &agent);
    receiver.first(1);
    until("the attempt is over", || standing(&server)["last_failure"].is_object().then_some(()));
    assert_eq!(server.ask("DELETE", &format!("/runs/{run}"), &[], None).status, 204);
    server.ask("POST", "/webhooks/hook/retry", &[], None).ok();
    all_is_settled(&server);
    assert_eq!(receiver.all().len(), 1);
    server.kill();
    let server = serve(&agent);
    assert_eq!(standing(&server)["pending"], 0);
}

#[test]
fn what_is_pending_when_the_server_is_killed_is_told_by_the_next_one() {
    let agent = asking(ASK_NEW_YORK);
    let takes = Arc::new(AtomicBool::new(false));
    let taking = Arc::clone(&takes);
    let receiver = Receiver::with(move |_, _| {
        if taking.load(Ordering::Relaxed) { Reaction::Status(200, "") } else { Reaction::Hangs }
    });
    configure(&agent, &[webhook(&receiver, "")]);
    let server = serve(&agent);
    let run = begin(&server, &agent);
    receiver.told("run.waiting", &run);
    // It goes on meanwhile: that it waited is told all the same.
    server.post(&format!("/runs/{run}/approve"), &json!({})).taken();
    receiver.told("run.ended", &run);
    let before: BTreeSet<(String, String)> =
        receiver.all().iter().map(|it| (it.id().to_owned(), it.body.clone())).collect();
    server.kill();
    takes.store(true, Ordering::Relaxed);
    let count = receiver.all().len();
    let server = serve(&agent);
    let all = receiver.first(count + 2);
    all_is_settled(&server);
    let after: BTreeSet<(String, String)> =
        all[count..].iter().map(|it| (it.id().to_owned(), it.body.clone())).collect();
    assert_eq!(after, before);
}

#[test]
fn a_server_that_is_killed_between_a_stop_and_its_note_loses_nothing() {
    for (rules, kind) in [(ASK_NEW_YORK, "run.waiting"), ("", "run.ended")] {
        let agent = asking(rules);
        let receiver = Receiver::new();
        configure(&agent, &[webhook(&receiver, "")]);
        let server = serve_with(&agent, "FAILPOINTS", "webhooks-before-stopped=return");
        let path = format!("/agents/{}/runs", crate::serve::operating::name(&agent));
        // It may die before it answers.
        server.post(&path, &json!({}));
        server.died();
        assert!(receiver.all().is_empty());
        let server = serve(&agent);
        let runs = server.get("/runs").ok();
        let run = runs["runs"][0]["run"].as_str().unwrap();
        receiver.told(kind, run);
        all_is_settled(&server);
        server.end();
        assert_eq!(receiver.all().len(), 1, "{kind}");
    }
}

#[test]
fn a_server_that_is_killed_before_it_notes_an_answer_tells_the_same_again() {
    let agent = asking("");
    let receiver = Receiver::new();
    configure(&agent, &[webhook(&receiver, "")]);
    let server = serve_with(&agent, "FAILPOINTS", "webhooks-before-settled=return");
    let path = format!("/agents/{}/runs", crate::serve::operating::name(&agent));
    server.post(&path, &json!({}));
    server.died();
    assert_eq!(receiver.all().len(), 1);
    let server = serve(&agent);
    let all = receiver.first(2);
    all_is_settled(&server);
    assert_eq!((all[0].id(), &all[0].body), (all[1].id(), &all[1].body));
    server.end();
    assert_eq!(receiver.all().len(), 2);
}

/// Sends a request for as long as somebody listens.
fn post_until_it_dies(server: &Server, path: &str) {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}",
        server.address()
    );
    while let Ok(mut stream) = TcpStream::connect(server.address()) {
        // It may die in the middle of it.
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

#[test]
fn a_server_that_is_killed_at_any_commit_tells_of_every_run_that_is_recorded() {
    for commit in 0..9 {
        let agent = asking("");
        let receiver = Receiver::new();
        configure(&agent, &[webhook(&receiver, "events = [\"run.ended\"]")]);
        let path = format!("/agents/{}/runs", crate::serve::operating::name(&agent));
        let failpoint = format!("journal-before-ack={commit}*off->1*return");
        let server = serve_with(&agent, "FAILPOINTS", &failpoint);
        post_until_it_dies(&server, &path);
        server.died();
        let server = serve(&agent);
        let runs = until("every run has ended", || {
            let runs = server.get("/runs?limit=1000").ok()["runs"].as_array().unwrap().clone();
            runs.iter().all(|run| run["state"] == "answered").then_some(runs)
        });
        for run in &runs {
            receiver.told("run.ended", run["run"].as_str().unwrap());
        }
        all_is_settled(&server);
        server.end();
        let ids: BTreeSet<String> = receiver.all().iter().map(|it| it.id().to_owned()).collect();
        assert_eq!(ids.len(), runs.len(), "an event has one id, however often it is told");
    }
}
