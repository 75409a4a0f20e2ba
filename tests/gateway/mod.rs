//! Programs as agents: their requests are found again in what is recorded, and their calls are made once.

mod bad;
mod kills;
mod program;
mod replays;
mod sdks;
mod upstream;

use crate::serve::server::Server;
use crate::support::Agent;

/// Two calls of one reply, and an answer that has their results.
pub const SCRIPT: &str = r#"
[[reply]]
calls = [
    { name = "get_weather", input = { city = "San Francisco" } },
    { name = "get_weather", input = { city = "New York" } },
]

[[reply]]
expect = ["foggy", "partly cloudy"]
text = "foggy and cloudy"
"#;

/// An agent that programs may use.
pub fn agent(script: &str, gateway: &str) -> Agent {
    Agent::scripted(script).guest("weather").table(&format!("[gateway]\n{gateway}"))
}

pub fn name(agent: &Agent) -> String {
    agent.dir.path().file_name().unwrap().to_str().unwrap().to_owned()
}

/// A server at an address that another one had.
pub fn again(agent: &Agent, address: &str) -> Server {
    Server::with(agent, &["--listen", address])
}
