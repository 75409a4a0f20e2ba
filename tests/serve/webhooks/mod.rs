//! Webhooks, with receivers that take, refuse, hang and go on for ever, and servers that are killed.

mod receiver;
mod telling;
mod trouble;

use crate::support::Agent;
use receiver::{Receiver, secret};

use super::server::Server;

/// A webhook, and a retry that a test can wait for.
fn webhook(receiver: &Receiver, more: &str) -> String {
    format!(
        "[[server.webhooks]]\nurl = \"{}\"\nsecret = {{ file = \"hook.secret\" }}\nretry = [{}]\n{more}\n",
        receiver.url(),
        ["\"10ms\""; 20].join(", "),
    )
}

/// Writes host.toml and the secret that webhooks are signed with.
fn configure(agent: &Agent, webhooks: &[String]) {
    std::fs::write(agent.dir.path().join("hook.secret"), secret(7).0).unwrap();
    std::fs::write(agent.dir.path().join("host.toml"), webhooks.join("\n")).unwrap();
}

const ARGS: [&str; 4] = ["--listen", "127.0.0.1:0", "--config", "host.toml"];

fn serve(agent: &Agent) -> Server {
    Server::with(agent, &ARGS)
}

/// The same, with something in the environment.
fn serve_with(agent: &Agent, name: &str, value: &str) -> Server {
    let directory = agent.dir.path().to_str().unwrap();
    let args: Vec<&str> = ["serve", directory].into_iter().chain(ARGS).collect();
    let mut command = agent.command(&args);
    command.env(name, value);
    Server::spawned(command)
}

/// Begins a run, and gives its id.
fn begin(server: &Server, agent: &Agent) -> String {
    let path = format!("/agents/{}/runs", super::operating::name(agent));
    server.post(&path, &serde_json::json!({})).taken()["run"].as_str().unwrap().to_owned()
}

/// The only webhook as it stands.
fn standing(server: &Server) -> serde_json::Value {
    server.get("/webhooks").ok()["webhooks"][0].clone()
}
