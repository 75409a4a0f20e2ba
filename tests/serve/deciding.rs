//! What waits for a person, and what they say.

use serde_json::json;

use super::server::Server;
use crate::approval::{ASK_NEW_YORK, asking};
use crate::support::Agent;

fn begin(server: &Server, agent: &Agent) -> String {
    let name = agent.dir.path().file_name().unwrap().to_str().unwrap();
    let run = server.post(&format!("/agents/{name}/runs?wait=5m"), &json!({})).is(202);
    assert_eq!(run["state"], "suspended", "{run}");
    run["run"].as_str().unwrap().to_owned()
}

#[test]
fn a_call_that_waits_is_listed_and_approved() {
    let agent = asking(ASK_NEW_YORK);
    let server = Server::of(&agent);
    let run = begin(&server, &agent);
    let waiting = server.get("/waiting").ok();
    let waits = &waiting["runs"][0]["waiting"][0];
    assert_eq!((&waiting["runs"][0]["run"], &waits["wants"]), (&json!(run), &json!("approval")), "{waiting}");
    assert_eq!(
        (&waits["tool"], &waits["input"]["city"]),
        (&json!("get_weather"), &json!("New York")),
        "{waiting}"
    );
    let slot = waits["slot"].as_str().unwrap();
    let path = format!("/runs/{run}/approve");
    server.post(&path, &json!({ "slot": "tool(9,9)" })).problem(409, "tool(9,9) does not wait for this");
    server.post(&path, &json!({ "slot": "nonsense" })).problem(400, "body: slot");
    server.post(&path, &json!({ "slot": slot, "input": { "town": 1 } })).problem(400, "body: input");
    server.post(&format!("/runs/{run}/answer"), &json!({ "text": "42" })).problem(409, "waits for an answer");
    server.post(&path, &json!({ "slot": slot })).taken();
    assert_eq!(server.once_not(&run, &["queued", "running", "suspended"])["answer"], "done");
    server.post(&path, &json!({})).problem(409, "has ended");
    assert_eq!(server.get("/waiting").ok()["runs"], json!([]));
    server.kill();
    let shown = agent.host(&["runs", "show", "last", "--json"]);
    assert!(shown.ok().stdout.contains("\"through\": \"http\""), "{}", shown.stdout);
}

#[test]
fn of_two_people_who_decide_at_once_one_counts() {
    let agent = asking(ASK_NEW_YORK);
    let server = Server::of(&agent);
    for _ in 0..8 {
        let run = begin(&server, &agent);
        let (approved, denied) = std::thread::scope(|scope| {
            let approve = scope.spawn(|| server.post(&format!("/runs/{run}/approve"), &json!({})).status);
            let deny =
                scope.spawn(|| server.post(&format!("/runs/{run}/deny"), &json!({ "reason": "no" })).status);
            (approve.join().unwrap(), deny.join().unwrap())
        });
        let counted = [approved, denied].iter().filter(|status| [200, 202].contains(*status)).count();
        assert_eq!(counted, 1, "{approved} {denied}");
        assert!([approved, denied].contains(&409), "{approved} {denied}");
        assert_eq!(server.once_not(&run, &["queued", "running", "suspended"])["answer"], "done");
    }
}

#[test]
fn a_run_that_waits_is_cancelled_and_the_next_of_its_session_begins() {
    let agent = asking(ASK_NEW_YORK);
    let server = Server::of(&agent);
    let name = agent.dir.path().file_name().unwrap().to_str().unwrap();
    let path = format!("/agents/{name}/runs");
    let first = server.post(&format!("{path}?wait=5m"), &json!({ "session": "ada" })).is(202);
    let second = server.post(&path, &json!({ "session": "ada" })).is(202);
    assert_eq!((&first["state"], &second["state"]), (&json!("suspended"), &json!("queued")));
    let first = first["run"].as_str().unwrap();
    server.ask("DELETE", &format!("/runs/{first}"), &[], None).problem(409, "has not ended");
    let cancelled = server.post(&format!("/runs/{first}/cancel"), &json!({ "reason": "enough" })).ok();
    assert_eq!(cancelled["state"], "cancelled", "{cancelled}");
    assert!(cancelled["reason"].as_str().unwrap().contains("enough"), "{cancelled}");
    server.post(&format!("/runs/{first}/cancel"), &json!({})).problem(409, "has ended");
    let second = server.once_not(second["run"].as_str().unwrap(), &["queued", "running"]);
    assert_eq!(second["state"], "suspended", "{second}");
}

#[test]
fn a_question_is_answered_and_a_run_that_sleeps_wakes_after_a_restart() {
    let script = "[[reply]]\ncalls = [{ name = \"ask_human\", input = { question = \"Which?\" } }]\n\
                  [[reply]]\ncalls = [{ name = \"sleep_until\", input = { time = \"2026-01-01T00:00:00Z\" } }]\n\
                  [[reply]]\ntext = \"done\"";
    let agent = Agent::scripted(script).builtins(&["ask_human", "sleep_until"]);
    let server = Server::of(&agent);
    let run = begin(&server, &agent);
    server.kill();
    let server = Server::of(&agent);
    let shown = server.get(&format!("/runs/{run}")).ok();
    assert_eq!(
        (&shown["state"], &shown["waiting"][0]["wants"]),
        (&json!("suspended"), &json!("answer")),
        "{shown}"
    );
    server.post(&format!("/runs/{run}/approve"), &json!({})).problem(409, "waits for approval");
    server.post(&format!("/runs/{run}/answer"), &json!({ "text": "this one" })).taken();
    assert_eq!(server.once_not(&run, &["queued", "running", "suspended"])["answer"], "done");
}

/// Who cancels a run may come at any moment, also while its end is being recorded: one end counts, and one is recorded.
#[test]
fn a_run_that_is_cancelled_at_any_moment_has_one_end() {
    let agent = Agent::scripted("[[reply]]\ntext = \"done\"");
    let mut command =
        agent.command(&["serve", agent.dir.path().to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    // Every moment lasts long enough to be met.
    command.env("FAILPOINTS", "journal-before-write=sleep(20)");
    let server = Server::spawned(command);
    let path = format!("/agents/{}/runs", agent.dir.path().file_name().unwrap().to_str().unwrap());
    std::thread::scope(|scope| {
        for worker in 0..6 {
            let (server, path) = (&server, &path);
            scope.spawn(move || {
                for step in 0..12 {
                    let begun = server.post(path, &json!({})).taken();
                    let run = begun["run"].as_str().unwrap();
                    // Any of these moments is one at which somebody may come.
                    std::thread::sleep(std::time::Duration::from_millis(worker + 7 * step));
                    let answer = server.post(&format!("/runs/{run}/cancel"), &json!({}));
                    let said = if answer.status == 200 { "cancelled" } else { "answered" };
                    assert!([200, 409].contains(&answer.status), "{answer:?}");
                    let shown = server.once_not(run, &["queued", "running"]);
                    assert_eq!(shown["state"], said, "{answer:?}\n{shown}");
                }
            });
        }
    });
    assert_eq!(server.end(), Some(0));
    agent.host(&["journal", "verify"]).ok().says("72 runs: 72 whole, 0 damaged");
}
