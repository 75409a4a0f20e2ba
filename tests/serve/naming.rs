//! Agents of every name: they are reached by it, or they are not served.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde_json::json;

use super::server::Server;
use crate::support::Agent;

/// What names are made of: letters, and everything that means something in a path, a query or an encoding.
const PIECES: [&str; 24] = [
    "a", "run", "Z", "0", ".", "..", "%", "%2e", "%2F", "%00", " ", "?", "#", "&", "=", "+", ";", ":", "@",
    "{run}", "*", "é", "日本", "~",
];

/// What clients encode at least.
const LEAST: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'?').add(b'{').add(b'}');

/// A directory with agents of these names.
fn agents(names: &[String]) -> Agent {
    let agent = Agent::scripted("[[reply]]\ntext = \"done\"");
    for (number, name) in names.iter().enumerate() {
        let directory = agent.dir.path().join(format!("agents/{number}"));
        std::fs::create_dir_all(&directory).unwrap();
        let model = "[model]\nprovider = \"scripted\"\nscript = \"../../script.toml\"";
        let toml = format!("version = 1\n[agent]\nname = {}\nprompt = \"go on\"\n{model}\n", json!(name));
        std::fs::write(directory.join("agent.toml"), toml).unwrap();
    }
    agent
}

fn serve(agent: &Agent) -> Server {
    let mut command = agent.command(&["serve", "agents", "--listen", "127.0.0.1:0"]);
    command.current_dir(agent.dir.path());
    Server::spawned(command)
}

#[test]
fn an_agent_is_reached_by_whatever_name_it_has() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut made = || -> String {
        let pieces = 1 + random.next_u32() % 4;
        (0..pieces).map(|_| PIECES[random.next_u32() as usize % PIECES.len()]).collect()
    };
    let mut names: Vec<String> = (0..40).map(|_| made()).collect();
    names.extend(["run", "import", "last", "...", "agents2", "Runs", "~", "%2e%2e"].map(str::to_owned));
    names.retain(|name| ![".", ".."].contains(&name.as_str()) && !name.trim().is_empty());
    names.sort();
    names.dedup();
    let agent = agents(&names);
    let server = serve(&agent);
    for name in &names {
        for encoded in [NON_ALPHANUMERIC, LEAST].map(|set| utf8_percent_encode(name, set).to_string()) {
            let ran = server.post(&format!("/{encoded}/run"), &json!({})).ok();
            assert_eq!((&ran["agent"], &ran["answer"]), (&json!(name), &json!("done")), "{encoded}: {ran}");
            assert_eq!(server.get(&format!("/agents/{encoded}")).ok()["name"], *name, "{encoded}");
            let run = server.post(&format!("/agents/{encoded}/runs?wait=5m"), &json!({})).ok();
            assert_eq!(run["agent"], *name, "{encoded}");
            let next =
                server.post(&format!("/{encoded}/{}/run", ran["run"].as_str().unwrap()), &json!({})).ok();
            assert_eq!((&next["agent"], &next["session"]), (&json!(name), &ran["run"]), "{encoded}: {next}");
        }
    }
}

#[test]
fn a_name_that_means_something_else_in_a_path_is_not_served() {
    for name in [
        "agents",
        "runs",
        "sessions",
        "waiting",
        "metrics",
        "healthz",
        "readyz",
        "openapi.json",
        "reload",
        ".",
        "..",
        "a/b",
        "a\\b",
    ] {
        let agent = agents(&[name.to_owned(), "weather".to_owned()]);
        let refused = agent.host(&["serve", "agents", "--listen", "127.0.0.1:0"]);
        refused.exits(1).says("cannot be served under the name").says("give it another `name` under [agent]");
    }
    // One that takes such a name while it is served stays as it was.
    let agent = agents(&["weather".to_owned()]);
    let server = serve(&agent);
    let toml = agent.dir.path().join("agents/0/agent.toml");
    let renamed = std::fs::read_to_string(&toml).unwrap().replace("weather", "runs");
    std::fs::write(&toml, renamed).unwrap();
    let shown = server.ask("POST", "/agents/reload", &[], None).ok();
    assert_eq!(shown["agents"][0]["name"], "weather", "{shown}");
    assert!(shown["troubles"][0].as_str().unwrap().contains("cannot be served under the name"), "{shown}");
    server.post("/weather/run", &json!({})).ok();
}

#[test]
fn an_agent_says_which_member_of_a_body_is_the_prompt() {
    let script = "[[reply]]\ntext = \"done\"";
    let agent = Agent::scripted(script)
        .table("[serve]\nprompt = \"question\"\n[parameters.message]\ndefault = \"none\"");
    let server = Server::of(&agent);
    let name = super::beginning::name(&agent);
    let path = format!("/{name}/run");
    let ran = server.post(&path, &json!({ "question": "How is it?", "message": "hello" })).ok();
    assert_eq!(ran["prompt"], "How is it?", "{ran}");
    let detail = server.get(&format!("/runs/{}/detail", ran["run"].as_str().unwrap())).body;
    assert!(detail.contains("\"message\":\"hello\""), "{detail}");
    assert_eq!(server.post(&path, &json!({ "message": "hello" })).ok()["prompt"], "go on");
    server.post(&path, &json!({ "prompt": "How?" })).problem(400, "no parameter `prompt`");
    server.post(&path, &json!({ "question": 1 })).problem(400, "body: question");
    assert_eq!(server.get(&format!("/agents/{name}")).ok()["prompt_members"], json!(["question"]));
    for (serve, said) in [
        ("prompt = \"message\"", "is a parameter, too"),
        ("prompt = \"\"", "1 to 64 characters"),
        ("promt = \"x\"", "promt"),
    ] {
        let toml = std::fs::read_to_string(agent.toml()).unwrap().replace("prompt = \"question\"", serve);
        let wrong = Agent::raw(&toml);
        std::fs::write(wrong.dir.path().join("script.toml"), script).unwrap();
        wrong.host(&["check"]).exits(2).says(said);
    }
}
