//! Runs go on with the version of their agent that they began with, whatever becomes of its files meanwhile.

use std::fs;

use serde_json::{Value, json};

use super::beginning::name;
use super::server::Server;
use crate::rerun::next_version;
use crate::support::{Agent, root};

const ASKS: &str = "[[approval.ask]]\ntool = \"get_*\"\ninput = { city = \"San*\" }";

/// Two calls, the second of which sees fog where the weather tool has fog.
fn script(answer: &str) -> String {
    format!(
        "[[reply]]\ncalls = [{{ name = \"get_weather\", input = {{ city = \"San Francisco\" }} }}]\n\
         [[reply]]\ntext = \"{answer}\""
    )
}

/// An agent whose tool is a file that can be replaced.
fn asking() -> Agent {
    let agent = Agent::scripted(&script("one")).guest("weather");
    agent.build("agent.toml");
    let built = root().join("guest-tools/target/wasm32-wasip2/release/weather.wasm");
    let agent =
        Agent::scripted(&script("one")).table("[tools.weather]\nsource = \"weather.wasm\"").table(ASKS);
    fs::copy(built, agent.dir.path().join("weather.wasm")).unwrap();
    agent
}

/// Changes everything that an agent is made of: its texts, its script, and its component.
fn change(agent: &Agent, text: &str) {
    let maker = Agent::scripted(&script("one")).guest("weather");
    fs::copy(next_version(&maker), agent.dir.path().join("weather.wasm")).unwrap();
    fs::write(agent.dir.path().join("script.toml"), script(text)).unwrap();
    let toml = fs::read_to_string(agent.toml()).unwrap();
    let others = toml.lines().filter(|line| !line.starts_with("instructions"));
    let with = |line: &str| match line {
        "[agent]" => format!("[agent]\ninstructions = \"{text}\"\n"),
        other => format!("{other}\n"),
    };
    fs::write(agent.toml(), others.map(with).collect::<String>()).unwrap();
}

fn suspended(server: &Server, agent: &Agent) -> String {
    let run = server.post(&format!("/agents/{}/runs?wait=5m", name(agent)), &json!({})).is(202);
    assert_eq!(run["state"], "suspended", "{run}");
    run["run"].as_str().unwrap().to_owned()
}

fn approved(server: &Server, run: &str) -> Value {
    server.post(&format!("/runs/{run}/approve"), &json!({})).taken();
    server.once_not(run, &["queued", "running", "suspended"])
}

#[test]
fn a_run_that_waits_goes_on_with_the_agent_that_it_began_with() {
    let agent = asking();
    let server = Server::of(&agent);
    let (before, also_before) = (suspended(&server, &agent), suspended(&server, &agent));
    change(&agent, "two");
    server.ask("POST", "/agents/reload", &[], None).ok();
    let after = suspended(&server, &agent);
    // Once more, so that neither is the last one that was loaded.
    change(&agent, "three");
    server.ask("POST", "/agents/reload", &[], None).ok();
    for (run, answer, weather) in
        [(&before, "one", "foggy"), (&after, "two", "sunny"), (&also_before, "one", "foggy")]
    {
        let shown = approved(&server, run);
        assert_eq!(shown["answer"], answer, "{shown}");
        let record = server.get(&format!("/runs/{run}/record")).body;
        assert!(record.contains(weather), "{record}");
    }
    let now = suspended(&server, &agent);
    assert_eq!(approved(&server, &now)["answer"], "three");
    server.kill();
    agent.host(&["replay", &before]).ok();
}

#[test]
fn after_a_restart_the_agent_as_it_is_counts_and_a_change_is_told() {
    let agent = asking();
    let server = Server::of(&agent);
    let run = suspended(&server, &agent);
    server.kill();
    change(&agent, "two");
    let server = Server::of(&agent);
    server.post(&format!("/runs/{run}/approve"), &json!({})).taken();
    let line = server.says("the run does not go on");
    assert!(line.contains(&run), "{line}");
    let stands = crate::support::until("it is said why", || {
        let shown = server.get(&format!("/runs/{run}")).ok();
        shown["reason"].is_string().then_some(shown)
    });
    assert_eq!(stands["state"], "suspended", "{stands}");
    server.post(&format!("/runs/{run}/resume"), &json!({ "accept_changes": true })).taken();
    // Another component is another call: it is asked about once more.
    let asked = crate::support::until("it is asked once more", || {
        let shown = server.get(&format!("/runs/{run}")).ok();
        let is_asked = shown["state"] == "suspended" && shown["waiting"][0]["wants"] == "approval";
        (is_asked && shown.get("reason").is_none()).then_some(shown)
    });
    assert_ne!(asked["waiting"], json!([]), "{asked}");
    assert_eq!(approved(&server, &run)["answer"], "two");
}

#[test]
fn whoever_accepts_changes_has_the_agent_as_it_is() {
    let agent = asking();
    let server = Server::of(&agent);
    let run = suspended(&server, &agent);
    change(&agent, "two");
    server.ask("POST", "/agents/reload", &[], None).ok();
    server.post(&format!("/runs/{run}/resume"), &json!({ "accept_changes": true })).taken();
    server.once_not(&run, &["queued", "running", "interrupted"]);
    // And keeps it, when that changes once more.
    change(&agent, "three");
    server.ask("POST", "/agents/reload", &[], None).ok();
    let shown = approved(&server, &run);
    assert_eq!(shown["answer"], "two", "{shown}");
}
