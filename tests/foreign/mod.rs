//! MCP servers as tools: pinned, called, recorded, and kept from doing harm by what they say.

mod hostile;

use std::path::PathBuf;

use crate::serve::server::Server;
use crate::support::{Agent, has_ended, outcome, tool_error, tool_output};

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/foreign/server.sh");

/// An agent that makes these calls in one turn, of a server with something wrong.
pub fn agent(wrong: &str, calls: &[&str], more: &str) -> Agent {
    let calls: Vec<String> = calls.iter().map(|call| format!("{{ {call} }}")).collect();
    let script = format!("[[reply]]\ncalls = [{}]\n[[reply]]\ntext = \"done\"", calls.join(", "));
    let agent = Agent::scripted(&script);
    let seen = seen(&agent);
    std::fs::create_dir(&seen).unwrap();
    // Where bubblewrap hides the rest, the program still sees the directory that it is in.
    std::fs::copy(SERVER, agent.dir.path().join("server.sh")).unwrap();
    let seen = seen.display();
    let mcp = format!("command = [\"./server.sh\", \"{wrong}\", \"{seen}\"]\ndirs = [\"{seen}\"]\n{more}");
    agent.table(&format!("[tools.s.mcp]\n{mcp}"))
}

pub fn seen(agent: &Agent) -> PathBuf {
    agent.dir.path().join("seen")
}

/// How many lines the server left.
pub fn lines(agent: &Agent, file: &str) -> usize {
    std::fs::read_to_string(seen(agent).join(file)).unwrap_or_default().lines().count()
}

pub fn pinned(agent: Agent) -> Agent {
    agent.host(&["update", "--yes"]).ok();
    agent
}

const ADD: &str = "name = \"math_add\", input = { a = 1 }";
const ENV: &str = "name = \"env\", input = {}";

#[test]
fn what_a_server_says_is_pinned_before_it_is_called() {
    let agent = agent("", &[ADD, ENV], "");
    agent.host(&["run"]).exits(2).says("host.lock does not say which tools this MCP server has");
    assert_eq!(lines(&agent, "starts"), 0, "nothing was started");
    let nobody = agent.host(&["update"]);
    assert_eq!(nobody.code, Some(2), "{}", nobody.stderr);
    assert!(
        nobody.stdout.contains("NOT SANDBOXED") && nobody.stdout.contains("math.add: Adds one."),
        "{}",
        nobody.stdout
    );
    let agent = pinned(agent);
    agent.host(&["update", "--yes"]).ok().says("[tools.s] is up to date");
    agent.host(&["lock", "--verify"]).ok().says("[tools.s] is what host.lock says");
    let starts = lines(&agent, "starts");

    let checked = agent.host(&["check"]);
    assert!(checked.ok().stdout.starts_with("NOT SANDBOXED: [tools.s] of "), "{}", checked.stdout);
    assert!(checked.stdout.contains("math_add: Adds one."), "{}", checked.stdout);
    assert!(!checked.stdout.contains("sha256"), "a server has no digest to pin: {}", checked.stdout);
    assert_eq!(lines(&agent, "starts"), starts, "a check starts nothing");

    let (ran, shown) = agent.run_and_show();
    assert_eq!(ran.ok().stdout, "done\n");
    assert_eq!(lines(&agent, "starts"), starts + 1, "both calls went to one process");
    let environment = tool_output(&shown, "tool(0,1)").as_str().unwrap();
    let names: Vec<&str> =
        environment.split_whitespace().filter_map(|it| Some(it.split_once('=')?.0)).collect();
    // The shell itself sets some.
    let own = ["HOME", "TMPDIR", "PWD", "OLDPWD", "SHLVL", "_"];
    assert!(names.contains(&"HOME") && names.iter().all(|name| own.contains(name)), "{environment}");
    assert!(
        !environment.contains(&format!("HOME={}", std::env::var("HOME").unwrap_or_default())),
        "{environment}"
    );
    agent.host(&["replay", "last"]).ok();
    assert_eq!(lines(&agent, "starts"), starts + 1, "a replay starts nothing");
}

#[test]
fn a_server_that_changed_is_refused_until_somebody_takes_it() {
    let agent = pinned(agent("", &[ADD], ""));
    std::fs::write(seen(&agent).join("description"), "Sends your files.").unwrap();
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    let (kind, message) = tool_error(&shown, "tool(0,0)");
    assert_eq!(kind, "failed");
    assert!(message.contains("in `math.add`;") && message.contains("host update"), "{message}");
    assert!(!message.contains("Sends"), "the model reads what nobody took: {message}");
    assert_eq!(lines(&agent, "calls"), 0);
    agent.host(&["lock", "--verify"]).exits(1);
    let updated = agent.host(&["update", "--yes"]);
    assert!(updated.ok().stdout.contains("+ Sends your files."), "{}", updated.stdout);
    agent.host(&["run"]).ok();
    assert_eq!(lines(&agent, "calls"), 1);
}

#[test]
fn a_server_that_changes_while_it_runs_is_called_no_more() {
    let agent = pinned(agent("turns", &[ADD], ""));
    let script = format!(
        "[[reply]]\ncalls = [{{ {ADD} }}]\n[[reply]]\ncalls = [{{ {ENV} }}]\n[[reply]]\ntext = \"done\""
    );
    std::fs::write(agent.dir.path().join("script.toml"), script).unwrap();
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    assert_eq!(tool_output(&shown, "tool(0,0)"), "I turned");
    let (_, message) = tool_error(&shown, "tool(1,0)");
    assert!(message.contains("not what host.lock says any more"), "{message}");
    assert_eq!(lines(&agent, "calls"), 1);
}

#[test]
fn a_secret_reaches_the_server_and_nobody_else() {
    let secret = "a-very-secret-value";
    let agent = agent("", &[ENV], "secrets = [\"TOKEN\"]\nenv = [\"LANG\"]");
    let agent = agent.table("[secrets.TOKEN]\nenv = \"MY_TOKEN\"");
    let host = |args: &[&str]| {
        let ran = agent.command(args).env("MY_TOKEN", secret).env("LANG", "C.UTF-8").output().unwrap();
        crate::support::Ran::from(ran)
    };
    host(&["update", "--yes"]).ok();
    host(&["run"]).ok();
    let shown = agent.show();
    let environment = tool_output(&shown, "tool(0,0)").as_str().unwrap();
    assert!(
        environment.contains("TOKEN=[secret TOKEN]") && environment.contains("LANG=C.UTF-8"),
        "{environment}"
    );
    assert!(!format!("{shown:?}").contains(secret));
}

#[test]
fn a_call_that_was_cut_is_in_doubt_unless_it_only_reads() {
    for (more, repeats) in [("", false), ("reads = [\"math*\"]", true)] {
        let agent = pinned(agent("hangs", &[ADD], more));
        agent.run_until_killed(|| lines(&agent, "calls") == 1);
        // The process that was killed has taken its server with it, or leaves it at the end of its input.
        let toml = std::fs::read_to_string(agent.toml()).unwrap().replace("\"hangs\"", "\"fine\"");
        std::fs::write(agent.toml(), toml).unwrap();
        agent.host(&["update", "--yes"]).ok();
        let resumed = agent.host(&["resume", "last", "--accept-changes"]);
        if repeats {
            assert_eq!(resumed.ok().stdout, "done\n");
            assert_eq!(lines(&agent, "calls"), 2);
        } else {
            assert_ne!(resumed.code, Some(0), "{}", resumed.stdout);
            assert_eq!(lines(&agent, "calls"), 1, "nobody said that it may be made again");
            assert!(!has_ended(&agent.show(), "tool(0,0)"));
        }
    }
}

/// The tools of one host, over HTTP, as the tools of another: a server of a newer revision, with a token.
#[test]
fn a_server_that_listens_is_called_with_its_token() {
    let script = "[[reply]]\ntext = \"never asked\"";
    let other = Agent::scripted(script).guest("weather");
    let made = other.host(&["token", "me", "--scope", "run"]);
    let token = made.ok().stdout.trim().to_owned();
    let lines = made.stderr.split_once("[[server.tokens]]").unwrap().1;
    std::fs::write(other.dir.path().join("host.toml"), format!("[[server.tokens]]{lines}\n")).unwrap();
    let server = Server::with(&other, &["--listen", "127.0.0.1:0", "--config", "host.toml"]);
    let name = other.dir.path().file_name().unwrap().to_str().unwrap();
    let url = format!("{}/agents/{name}/mcp", server.url);

    let script = "[[reply]]\ncalls = [{ name = \"get_weather\", input = { city = \"New York\" } }, { name = \"get_weather\", input = { city = \"Atlantis\" } }]\n[[reply]]\ntext = \"done\"";
    let agent = Agent::scripted(script)
        .table(&format!("[tools.w.mcp]\nurl = {url:?}\nbearer = \"T\""))
        .table("[secrets.T]\nenv = \"T\"");
    let host = |args: &[&str], token: &str| {
        crate::support::Ran::from(agent.command(args).env("T", token).output().unwrap())
    };
    host(&["update", "--yes"], "another-token-that-is-nobodys").exits(2).says("Auth required");
    host(&["update", "--yes"], &token).ok();
    assert_eq!(host(&["run"], &token).ok().stdout, "done\n");
    let shown = agent.show();
    assert_eq!(tool_output(&shown, "tool(0,0)")["city"], "New York");
    let (kind, _) = tool_error(&shown, "tool(0,1)");
    assert_eq!(kind, "failed");

    server.kill();
    host(&["run"], &token).ok();
    let shown = agent.show();
    assert_eq!(tool_error(&shown, "tool(0,0)").0, "transient", "{}", outcome(&shown, "tool(0,0)"));
}

#[test]
fn a_server_that_wants_no_greeting_is_asked_what_it_is() {
    let agent = pinned(agent("modern", &[ADD], ""));
    agent.host(&["run"]).ok();
    assert!(tool_output(&agent.show(), "tool(0,0)").as_str().unwrap().contains("HOME="));
}

#[test]
fn mistakes_in_the_table_are_shown_where_they_are() {
    for (table, says) in [
        ("mcp = {}", "it does not say where the server is"),
        ("mcp = { url = \"https://a.example\", command = [\"x\"] }", "both `url` and `command` are given"),
        ("mcp = { url = \"https://me:pw@a.example\" }", "url holds a user name or password"),
        ("mcp = { url = \"ftp://a.example\" }", "url is neither http nor https"),
        ("mcp = { url = \"https://a.example\", bearer = \"NO\" }", "there is no [secrets.NO]"),
        ("mcp = { url = \"https://a.example\", env = [\"PATH\"] }", "`env` has no meaning without `command`"),
        ("mcp = { command = [] }", "the command names no program"),
        ("mcp = { command = [\"x\"], bearer = \"K\" }", "`bearer` has no meaning without `url`"),
        ("mcp = { command = [\"x\"], env = [\"KEY\"] }", "KEY is what [secrets.K] keeps"),
        ("source = \"x.wasm\"\nmcp = { command = [\"x\"] }", "both `source` and `mcp` are given"),
        ("mcp = { command = [\"x\"] }\npermissions = { network = [\"https://a.example\"] }", "not sandboxed"),
        ("mcp = { command = [\"x\"] }\nlimits = { memory = \"1MiB\" }", "only `timeout` and `output` hold"),
        ("mcp = { command = [\"x\"], comand = 1 }", "command"),
    ] {
        let agent = Agent::scripted("[[reply]]\ntext = \"x\"").table(&format!("[tools.s]\n{table}"));
        let agent = agent.table("[secrets.K]\nenv = \"KEY\"");
        agent.host(&["check"]).exits(2).says(says);
    }
}

#[test]
fn a_pin_of_another_server_is_refused() {
    let agent = pinned(agent("", &[ADD], ""));
    let toml = std::fs::read_to_string(agent.toml()).unwrap().replace("\"\"", "\"other\"");
    std::fs::write(agent.toml(), toml).unwrap();
    agent.host(&["run"]).exits(2).says("host.lock pins");
    assert_eq!(lines(&agent, "calls"), 0);
}

/// What a program sees of the machine, where bubblewrap keeps it from seeing more.
#[test]
fn bubblewrap_hides_what_is_the_users() {
    let agent = pinned(agent("looks", &[ADD], ""));
    let private = tempfile::tempdir().unwrap();
    let key = private.path().join("key");
    std::fs::write(&key, "mine").unwrap();
    std::fs::write(seen(&agent).join("where"), key.to_str().unwrap()).unwrap();
    let checked = agent.host(&["check"]).ok().stdout.clone();
    let is_walled = checked.contains("as far as bubblewrap lets it");
    agent.host(&["run"]).ok();
    let shown = agent.show();
    assert_eq!(tool_output(&shown, "tool(0,0)"), if is_walled { "nothing" } else { "mine" });
    if !is_walled {
        eprintln!("skipped what bubblewrap hides: there is no bwrap, or the system lets it do nothing");
        let is_there = std::path::Path::new("/usr/bin/bwrap").exists();
        assert!(
            is_there || std::env::var_os("HOST_CI").is_none(),
            "bwrap has to be there where HOST_CI is set"
        );
    }
}
