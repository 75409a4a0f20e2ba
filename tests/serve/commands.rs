//! The commands with a server: that of a URL, and that of this machine.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use serde_json::json;

use super::beginning::name;
use super::server::Server;
use super::surviving::slow;
use crate::approval::{ASK_NEW_YORK, asking};
use crate::support::{Agent, Ran, until};

/// A command that knows the server by its URL alone, and not by the state directory.
fn away(agent: &Agent, server: &Server, args: &[&str]) -> Command {
    let mut command = agent.command(args);
    command.env("HOST_SERVER", &server.url).env("HOST_STATE", agent.dir.path().join("elsewhere"));
    command
}

fn there(agent: &Agent, server: &Server, args: &[&str]) -> Ran {
    away(agent, server, args).output().unwrap().into()
}

#[test]
fn a_run_of_a_server_is_shown_as_one_of_this_machine_is() {
    let agent = asking("");
    let local = agent.host(&["run"]);
    let server = Server::of(&agent);
    let ran = there(&agent, &server, &["run", &name(&agent), "go on"]);
    assert_eq!(ran.ok().stdout, local.ok().stdout);
    for said in ["agent ", "✓ model(0)", "✓ tool(0,0) get_weather", "used: 2 turns, 2 tool calls"] {
        ran.says(said);
        local.says(said);
    }
    let events = there(&agent, &server, &["run", &name(&agent), "go on", "--json"]);
    let events: Vec<serde_json::Value> =
        events.ok().stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!(
        (of("run_started"), of("started"), of("finished"), of("run_ended")),
        (1, 4, 4, 1),
        "{events:?}"
    );
    let listed = there(&agent, &server, &["runs", "--json"]);
    let here = agent.host(&["runs", "--json"]);
    let plain = |ran: &Ran| {
        let mut runs: serde_json::Value = serde_json::from_str(&ran.ok().stdout).unwrap();
        for run in runs.as_array_mut().unwrap() {
            run.as_object_mut().unwrap().retain(|key, _| !["order", "before"].contains(&key.as_str()));
        }
        runs
    };
    assert_eq!(plain(&listed), plain(&here));
    for command in ["show", "script", "request", "watch"] {
        let args = ["runs", command, "last"];
        assert_eq!(there(&agent, &server, &args).ok().stdout, agent.host(&args).ok().stdout, "{args:?}");
    }
    let flag = agent.host(&["runs", "list", "--limit", "1", "--server", &server.url]);
    assert_eq!(flag.ok().stdout.lines().count(), 1);
}

#[test]
fn a_run_that_waits_is_decided_and_followed() {
    let agent = asking(ASK_NEW_YORK);
    let server = Server::of(&agent);
    let ran = there(&agent, &server, &["run", &name(&agent)]);
    ran.exits(3).says("waits for approval").says("host approve");
    let again = there(&agent, &server, &["resume", "last"]);
    again.exits(3).says("= tool(0,1) get_weather").says("waits for approval");
    there(&agent, &server, &["answer", "last", "42"])
        .exits(2)
        .says("nothing in this run waits for an answer");
    there(&agent, &server, &["approve", "last", "tool(7,7)"]).exits(2).says("there wait:");
    there(&agent, &server, &["approve", "last"]).ok().says("approved").says("host resume");
    let ended = there(&agent, &server, &["resume", "last"]);
    assert_eq!(ended.ok().stdout, "done\n");
    there(&agent, &server, &["approve", "last"]).exits(2).says("nothing in this run waits");
    let ran = there(&agent, &server, &["run", &name(&agent), "--session", "ada"]);
    ran.exits(3);
    there(&agent, &server, &["deny", "last", "--reason", "no"]).ok().says("denied: no");
    there(&agent, &server, &["resume", "last"]).ok();
    for args in [&["sessions"][..], &["sessions", "show", "ada"], &["sessions", "--json"]] {
        let (there, here) = (there(&agent, &server, args), agent.host(args));
        assert_eq!(there.ok().stdout.contains("ada"), here.ok().stdout.contains("ada"), "{args:?}");
    }
    there(&agent, &server, &["run", &name(&agent)]).exits(3);
    there(&agent, &server, &["cancel", "last", "--reason", "enough"]).ok().says("cancelled run");
    there(&agent, &server, &["resume", "last"]).exits(1).says("enough");
    there(&agent, &server, &["sessions", "forget", "ada"])
        .exits(2)
        .says("on the machine of the server alone");
}

#[test]
fn commands_on_the_machine_of_the_server_find_it_and_say_who_speaks() {
    let agent = asking(ASK_NEW_YORK);
    let server = Server::of(&agent);
    there(&agent, &server, &["run", &name(&agent)]).exits(3);
    let approve: Ran =
        agent.command(&["approve", "last"]).env("USER", "ada lövelace").output().unwrap().into();
    approve.ok().says("approved").says(&server.url);
    let ended = agent.host(&["resume", "last"]);
    assert_eq!(ended.ok().stdout, "done\n");
    let shown = agent.host(&["runs", "show", "last", "--json"]);
    assert!(shown.ok().stdout.contains("ada lövelace"), "{}", shown.stdout);
    assert!(!shown.stdout.contains("this machine"), "{}", shown.stdout);
    // Nobody else may say so.
    server.ask("GET", "/runs", &[("host-by", "eve")], None).problem(403, "host-by");
    server.kill();
    // Without the server the commands do it themselves.
    agent.host(&["run"]).exits(3);
    agent.host(&["approve", "last"]).ok().says("go on with: host resume");
    agent.host(&["resume", "last"]).ok();
}

#[test]
fn what_a_server_refuses_is_said_with_what_to_do() {
    let agent = asking("");
    let server = Server::of(&agent);
    let refused = |args: &[&str]| there(&agent, &server, args);
    refused(&["run", "nobody"]).exits(2).says("there is no agent nobody").says("there are: ");
    refused(&["run", &name(&agent), " "]).exits(2).says("the prompt is empty");
    refused(&["run", &name(&agent), "--param", "x=1"]).exits(2).says("no parameter `x`");
    refused(&["run", &name(&agent), "--record", "x.toml"]).exits(2).says("leave --server out");
    for command in ["resume", "cancel", "approve", "deny"] {
        refused(&[command, "01JD5Q0Z3N8B1M4W6V2YT7XK9C"]).exits(2).says("there is no run");
    }
    refused(&["runs", "show", "01JD5Q0Z3N8B1M4W6V2YT7XK9C"]).exits(2).says("there is no run");
    agent.host(&["runs", "--server", "ftp://x"]).exits(2).says("is not the URL of a server");
    let url = server.url.clone();
    server.kill();
    let gone = agent.host(&["runs", "--server", &url]);
    gone.exits(1).says("there is no answer from").says("see that the server runs");
}

#[test]
fn a_command_needs_a_token_that_is_good_for_what_it_does() {
    let agent = asking(ASK_NEW_YORK);
    let made = |who: &str, scopes: &[&str]| {
        let made = agent.host(&[&["token", who][..], scopes].concat());
        let lines = made.ok().stderr.split_once("[[server.tokens]]").unwrap().1;
        (made.stdout.trim().to_owned(), format!("[[server.tokens]]{lines}\n"))
    };
    let (runner, runs) = made("runner", &["--scope", "run", "--scope", "read"]);
    let (ada, adas) = made("ada", &["--scope", "decide", "--scope", "read"]);
    std::fs::write(agent.dir.path().join("host.toml"), format!("{runs}{adas}")).unwrap();
    let server = Server::with(&agent, &["--listen", "127.0.0.1:0", "--config", "host.toml"]);
    let with = |token: &str, args: &[&str]| -> Ran {
        away(&agent, &server, args).env("HOST_TOKEN", token).output().unwrap().into()
    };
    let run = ["run", &name(&agent)];
    with(&runner, &run).exits(3).says("waits for approval");
    with("", &run).exits(2).says("put a token of the server into HOST_TOKEN");
    with("host_wrong", &run).exits(2).says("no token of this server");
    with("a\nb", &run).exits(2).says("HOST_TOKEN");
    with(&runner, &["approve", "last"]).exits(2).says("does not have the scope");
    with(&ada, &["approve", "last"]).ok();
    assert_eq!(with(&runner, &["resume", "last"]).ok().stdout, "done\n");
    // Commands on this machine have a token of the server's own.
    with(&runner, &run).exits(3);
    agent.host(&["deny", "last"]).ok();
}

#[test]
fn a_restart_of_the_server_is_waited_for_and_its_end_is_told() {
    let agent = slow();
    let server = Server::of(&agent);
    let following = |server: &Server| {
        let mut command = away(&agent, server, &["run", &name(&agent)]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let begun = |server: &Server| {
        until("the run begins", || {
            let runs = server.get("/runs?state=running").ok();
            Some(runs["runs"].as_array().unwrap().first()?["run"].as_str().unwrap().to_owned())
        })
    };
    let client = following(&server);
    let run = begun(&server);
    let address = server.address().to_owned();
    server.kill();
    let server = Server::with(&agent, &["--listen", &address]);
    begun(&server);
    until("the run is cancelled", || {
        // It may be just beginning.
        let answer = server.post(&format!("/runs/{run}/cancel"), &json!({ "reason": "enough" }));
        (answer.status == 200).then_some(())
    });
    let ended: Ran = client.wait_with_output().unwrap().into();
    ended.exits(1).says("enough");
    let mut client = following(&server);
    let mut said = BufReader::new(client.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    server.kill();
    said.read_to_string(&mut line).unwrap();
    assert!(line.contains("went away") && line.contains("host resume"), "{line}");
    assert_eq!(client.wait().unwrap().code(), Some(1));
}

#[test]
fn ctrl_c_leaves_the_run_to_the_server() {
    let agent = slow();
    let server = Server::of(&agent);
    let args = ["run", &name(&agent)];
    let mut following = away(&agent, &server, &args).stderr(Stdio::piped()).spawn().unwrap();
    let run = until("the run begins", || {
        let runs = server.get("/runs").ok();
        let run = runs["runs"].as_array().unwrap().first()?.clone();
        (run["state"] == "running").then(|| run["run"].as_str().unwrap().to_owned())
    });
    let mut reader = BufReader::new(following.stderr.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.contains(&run), "{line}");
    let pid = rustix::process::Pid::from_child(&following);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    assert_eq!(following.wait().unwrap().code(), Some(130));
    assert!(said.contains("the run goes on in the server"), "{said}");
    assert_eq!(server.get(&format!("/runs/{run}")).ok()["state"], "running");
    server.post(&format!("/runs/{run}/cancel"), &json!({})).ok();
}

#[test]
fn a_run_of_a_server_is_forked_and_verified() {
    let agent = asking("");
    let server = Server::of(&agent);
    let refused = |args: &[&str], said: &str| {
        there(&agent, &server, args).exits(2).says(said);
    };
    there(&agent, &server, &["run", &name(&agent), "go on"]).ok();
    let origin = server.get("/runs/last").ok()["run"].as_str().unwrap().to_owned();
    let replayed = there(&agent, &server, &["replay", &origin]);
    assert_eq!(replayed.ok().stdout, agent.host(&["replay", &origin]).ok().stdout);
    replayed.says("replayed");
    let rerun = there(&agent, &server, &["replay", &origin, "--rerun", "get_weather"]);
    assert_eq!(rerun.ok().stdout, agent.host(&["replay", &origin, "--rerun", "get_weather"]).ok().stdout);
    refused(&["replay", &origin, "--rerun", "nothing"], "no call of the tool nothing");
    refused(&["replay", &origin, "--rerun", "get_weather=x.wasm"], "there is no component x.wasm");
    refused(&["replay", "--all", "--rerun", "get_weather"], "on the machine of the server alone");
    let fork = there(&agent, &server, &["fork", &origin, "--at", "0", "--prompt", "And now?"]);
    assert_eq!(fork.ok().stdout, "done\n");
    assert_eq!(server.get("/runs/last").ok()["prompt"], "And now?");
    let weather = json!({
        "city": "San Francisco", "country": "US", "temperature_celsius": 1, "conditions": "hail",
        "humidity_percent": 90, "wind_kmh": 3
    });
    std::fs::write(agent.dir.path().join("new.json"), weather.to_string()).unwrap();
    let fork = there(&agent, &server, &["fork", &origin, "--edit", "tool(0,1)=new.json"]);
    assert_eq!(fork.ok().stdout, "done\n");
    assert!(server.get("/runs/last/record").body.contains("\"hail\""));
    refused(&["fork", &origin, "--at", "9"], "cannot be forked at turn 9");
    refused(&["fork", &origin, "--at", "0", "--config", "x.toml"], "on the machine of the server alone");
    refused(&["fork", "01JD5Q0Z3N8B1M4W6V2YT7XK9C", "--at", "0"], "there is no run");
}

#[test]
fn an_agent_of_a_server_is_talked_with() {
    let agent = asking(ASK_NEW_YORK);
    let server = Server::of(&agent);
    let chat = |says: &str, args: &[&str]| -> Ran {
        let name = name(&agent);
        let args = [&["chat", name.as_str()], args].concat();
        let mut command = away(&agent, &server, &args);
        let typed = agent.dir.path().join("typed");
        std::fs::write(&typed, says).unwrap();
        command.stdin(std::fs::File::open(typed).unwrap()).output().unwrap().into()
    };
    // The first run waits; the conversation stops there, and goes on when that is decided.
    chat("hello\nand then?\n", &["--session", "ada"]).exits(3).says("waits for approval");
    chat("and then?\n", &["--session", "ada"]).exits(2).says("the last run has not ended");
    there(&agent, &server, &["approve", "last"]).ok();
    let said = chat("/retry\n/runs\n/clear\n/session\n/tools\n", &["--session", "ada"]);
    assert_eq!(said.exits(2).stdout, "done\n");
    said.says("conversation ").says("on the machine of the server alone");
    assert_eq!(server.get("/sessions/ada").ok()["runs"].as_array().unwrap().len(), 1);
    let quiet = asking("");
    let server = Server::of(&quiet);
    let typed = quiet.dir.path().join("typed");
    std::fs::write(&typed, "hello\nand then?\n/runs\n/nonsense\n").unwrap();
    let mut command = away(&quiet, &server, &["chat", &name(&quiet)]);
    let said: Ran = command.stdin(std::fs::File::open(&typed).unwrap()).output().unwrap().into();
    assert_eq!(said.exits(2).stdout, "done\ndone\n");
    said.says("talking with ").says("  2  ").says("there is no command /nonsense");
    let sessions = server.get("/sessions").ok();
    let key = sessions["sessions"][0].as_str().unwrap();
    assert!(said.stderr.contains(&format!("--session {key}")), "{}", said.stderr);
    assert_eq!(server.get(&format!("/sessions/{key}")).ok()["runs"].as_array().unwrap().len(), 2);
    let mut command = away(&quiet, &server, &["chat", "nobody"]);
    let said: Ran = command.stdin(std::fs::File::open(&typed).unwrap()).output().unwrap().into();
    said.exits(2).says("there is no agent nobody");
}
