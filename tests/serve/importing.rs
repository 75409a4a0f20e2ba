//! Runs that are carried from one server to another.

use serde_json::{Value, json};

use super::beginning::name;
use super::server::{Answer, Server};
use crate::approval::{ASK_NEW_YORK, asking};
use crate::support::Agent;

/// Sends a record to be imported.
fn import(server: &Server, record: &str, headers: &[&str]) -> Answer {
    let length = format!("content-length: {}", record.len());
    let host = format!("host: {}", server.address());
    let mut head = vec!["POST /runs/import HTTP/1.1", "connection: close", &host, &length];
    head.extend(headers);
    server.send(format!("{}\r\n\r\n{record}", head.join("\r\n")).as_bytes())
}

const LINES: &str = "content-type: application/jsonl";

/// The same agent in another directory, with a state of its own.
fn twin(of: &Agent) -> Agent {
    let twin = asking(ASK_NEW_YORK);
    let toml = std::fs::read_to_string(of.toml()).unwrap();
    let named = |agent: &Agent| format!("[agent]\nname = {:?}", name(agent));
    std::fs::write(of.toml(), toml.replacen("[agent]", &named(of), 1)).unwrap();
    std::fs::write(twin.toml(), toml.replacen("[agent]", &named(of), 1)).unwrap();
    twin
}

#[test]
fn a_run_is_carried_from_one_server_to_another_and_goes_on_there() {
    let agent = asking(ASK_NEW_YORK);
    let twin = twin(&agent);
    let (here, there) = (Server::of(&agent), Server::of(&twin));
    let run = here.post(&format!("/agents/{}/runs?wait=5m", name(&agent)), &json!({})).is(202);
    let id = run["run"].as_str().unwrap().to_owned();
    let waiting = here.get(&format!("/runs/{id}/record")).body;
    here.post(&format!("/runs/{id}/approve"), &json!({})).taken();
    here.once_not(&id, &["queued", "running", "suspended"]);
    let ended = here.get(&format!("/runs/{id}/record")).body;
    // As it waited: it is decided there, and goes on.
    let imported = import(&there, &waiting, &[LINES]);
    assert!(imported.head.contains(&format!("location: /runs/{id}")), "{}", imported.head);
    assert_eq!(imported.is(201)["state"], "suspended", "{}", imported.body);
    import(&there, &waiting, &[LINES]).problem(409, &format!("there is a run {id} already"));
    import(&there, &ended, &[LINES]).problem(409, "already");
    assert!(!import(&there, &ended, &[LINES]).body.contains(twin.dir.path().to_str().unwrap()));
    there.post(&format!("/runs/{id}/approve"), &json!({})).taken();
    assert_eq!(there.once_not(&id, &["queued", "running", "suspended"])["answer"], "done");
    // As it ended: it is removed there, comes once more, and is the same.
    there.ask("DELETE", &format!("/runs/{id}"), &[], None).is(204);
    assert_eq!(import(&there, &ended, &[LINES]).is(201)["state"], "answered");
    assert_eq!(there.post(&format!("/runs/{id}/replay"), &json!({})).ok()["ok"], true);
    let report = there.post(&format!("/runs/{id}/rerun"), &json!({ "tool": "get_weather" })).ok();
    assert_eq!((&report["same"], &report["agent"]), (&json!(2), &json!(name(&agent))), "{report}");
}

#[test]
fn of_many_who_import_one_run_at_once_one_does() {
    let agent = asking("");
    let server = Server::of(&agent);
    let ran = server.post(&format!("/{}/run", name(&agent)), &json!({})).ok();
    let id = ran["run"].as_str().unwrap();
    let record = server.get(&format!("/runs/{id}/record")).body;
    for _ in 0..5 {
        server.ask("DELETE", &format!("/runs/{id}"), &[], None).is(204);
        let mut statuses: Vec<u16> = std::thread::scope(|scope| {
            let sent: Vec<_> =
                (0..8).map(|_| scope.spawn(|| import(&server, &record, &[LINES]).status)).collect();
            sent.into_iter().map(|sent| sent.join().unwrap()).collect()
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [vec![201], vec![409; 7]].concat());
    }
}

#[test]
fn what_is_no_run_or_not_the_run_that_it_says_is_refused() {
    let agent = asking("");
    let server = Server::of(&agent);
    let ran = server.post(&format!("/{}/run", name(&agent)), &json!({})).ok();
    let id = ran["run"].as_str().unwrap();
    let record = server.get(&format!("/runs/{id}/record")).body;
    server.ask("DELETE", &format!("/runs/{id}"), &[], None).is(204);
    import(&server, &record, &[]).problem(415, "Content-Type: application/jsonl");
    import(&server, &record, &["content-type: application/json"]).problem(415, "Content-Type");
    // A line that is left out, changed, or doubled; a file that is cut off anywhere.
    let lines: Vec<&str> = record.lines().collect();
    for at in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(at);
        let mut doubled = lines.clone();
        doubled.insert(at, lines[at]);
        for broken in [without, doubled] {
            let answer = import(&server, &format!("{}\n", broken.join("\n")), &[LINES]);
            assert_eq!(answer.status, 400, "line {at}: {}", answer.body);
        }
    }
    for end in (0..record.len()).step_by(97) {
        if record.is_char_boundary(end) {
            assert_eq!(import(&server, &record[..end], &[LINES]).status, 400, "{end}");
        }
    }
    // What its first line says is what its events say, or it is nobody's: whoever signs it anew is found out.
    let resigned = |change: &dyn Fn(&mut Value)| {
        let mut head: Value = serde_json::from_str(lines[0]).unwrap();
        change(&mut head);
        let body = [
            &[head.to_string()][..],
            &lines[1..lines.len() - 1].iter().map(|it| (*it).to_owned()).collect::<Vec<_>>(),
        ]
        .concat();
        let text = format!("{}\n", body.join("\n"));
        let digest = host::message::Digest::of(text.as_bytes());
        format!("{text}{}\n", json!({ "sha256": digest }))
    };
    let said = "says otherwise of the run";
    import(&server, &resigned(&|head| head["agent"] = json!("another")), &[LINES]).problem(400, said);
    import(&server, &resigned(&|head| head["session"] = json!("ada")), &[LINES]).problem(400, said);
    import(&server, &resigned(&|head| head["state"] = json!("suspended")), &[LINES]).problem(400, said);
    import(&server, &resigned(&|head| head["host_run"] = json!(99)), &[LINES]).problem(400, "99");
    let late = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ";
    let answer = import(&server, &resigned(&|head| head["run"] = json!(late)), &[LINES]);
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert_eq!(server.get("/runs").ok()["runs"], json!([]), "nothing of it is here");
    // As it was, it is taken.
    import(&server, &resigned(&|_| ()), &[LINES]).is(201);
}

#[test]
fn a_run_is_taken_for_an_agent_that_is_served_by_who_may() {
    let agent = asking("");
    let server = Server::of(&agent);
    let ran = server.post(&format!("/{}/run", name(&agent)), &json!({})).ok();
    let record = server.get(&format!("/runs/{}/record", ran["run"].as_str().unwrap())).body;
    server.kill();
    let other = asking("");
    let token = |name: &str, more: &str| {
        let digest = host::message::Digest::of(name.as_bytes());
        format!("[[server.tokens]]\nname = \"{name}\"\nsha256 = \"{digest}\"\n{more}\n")
    };
    let config = [
        token("root", "scopes = [\"admin\"]"),
        token("reader", "scopes = [\"read\", \"run\", \"decide\"]"),
        token("some", "scopes = [\"admin\"]\nagents = [\"another\"]"),
    ];
    std::fs::write(other.dir.path().join("host.toml"), config.concat()).unwrap();
    let server = Server::with(&other, &["--listen", "127.0.0.1:0", "--config", "host.toml"]);
    let as_token =
        |token: &str| import(&server, &record, &[LINES, &format!("authorization: Bearer {token}")]);
    as_token("reader").problem(403, "scope");
    as_token("some").problem(403, "is not one of the agent");
    as_token("root").problem(409, "is not served here");
    import(&server, &record, &[LINES]).problem(401, "Authorization");
}
