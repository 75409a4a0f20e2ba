//! What may be granted, what a person reads of it, and what becomes of a request that is granted.

use std::fs;

use host::grants::{Effects, ToolLimits};
use serde_json::Value;

use crate::attacks::{Server, hostile};
use crate::support::{Agent, outcome, tool_error, tool_output};

/// An agent with one tool, these lines below `[tools.t]`, and these tables.
fn agent(lines: &str, tables: &str) -> Agent {
    Agent::scripted("[[reply]]\ntext = \"ok\"")
        .table(&format!("[tools.t]\nsource = \"{}\"\n{lines}", hostile("request").display()))
        .table(tables)
}

fn network(keys: &str) -> String {
    format!("[[tools.t.permissions.network]]\n{keys}")
}

/// Lines of a tool, other tables, and what is said of them.
fn mistakes() -> Vec<(String, &'static str, &'static str)> {
    let site = |host: &str| network(&format!("host = \"{host}\"\nmethods = [\"GET\"]"));
    let dir = |keys: &str| format!("[[tools.t.permissions.dirs]]\n{keys}");
    let secret = "[secrets.TOKEN]\nenv = \"THE_TOKEN\"";
    vec![
        (site("api.github.com"), "", "does not begin with https://"),
        (site("ftp://api.github.com"), "", "does not begin with https://"),
        (site("https://*"), "", "does not stand for one label"),
        (site("https://*.com"), "", "does not stand for one label"),
        (site("https://me@api.github.com"), "", "use a secret instead"),
        (site("https://api.github.com/a/../b"), "", "has a path with"),
        (site("https://api.github.com/?q"), "", "a query or a fragment"),
        (site("http://127.0.0.1:8080"), "", "add `allow_private = true`"),
        (site("http://localhost:8080"), "", "a loopback address"),
        (site("http://2130706433"), "", "it is 127.0.0.1"),
        (network("host = \"https://a.b\"\nmethods = []"), "", "so nothing is granted"),
        (network("host = \"https://a.b\"\nmethods = [\"get\"]"), "", "did you mean `GET`?"),
        (network("host = \"https://a.b\"\nmethods = [\"TRACE\"]"), "", "not a method that can be granted"),
        (
            network("host = \"https://a.b\"\nmethods = [\"GET\"]\nsecrets = [\"TOKN\"]"),
            secret,
            "did you mean `TOKEN`?",
        ),
        (
            network("host = \"https://a.b\"\nmethods = [\"GET\"]\nsecrets = [\"TOKEN\"]"),
            "",
            "there is no [secrets.TOKEN]",
        ),
        (
            network("host = \"https://a.b\"\nmethods = [\"GET\"]\nallow_private = \"yes\""),
            "",
            "has to be true or false",
        ),
        (dir("host = \"nowhere\"\nguest = \"/data\"\naccess = \"ro\""), "", "cannot be granted"),
        (dir("host = \"agent.toml\"\nguest = \"/data\"\naccess = \"ro\""), "", "is not a directory"),
        (dir("host = \"work\"\nguest = \"data\"\naccess = \"ro\""), "", "not an absolute path"),
        (dir("host = \"work\"\nguest = \"/data/../x\"\naccess = \"ro\""), "", "not an absolute path"),
        (dir("host = \"work\"\nguest = \"/data\"\naccess = \"rx\""), "", "unknown access"),
        (
            ["/d", "/e", "//d/"]
                .map(|guest| dir(&format!("host = \"work\"\nguest = \"{guest}\"\naccess = \"ro\"")))
                .join("\n"),
            "",
            "two directories are called the same: \"/d\" and \"//d/\"",
        ),
        (site("https://api.github.com/repos/*/issues"), "", "a grant reaches everything below its path"),
        (site("https://api.github.com/50%"), "", "without two hexadecimal digits after it"),
        (site("https://api.github.com/My Plan"), "", "write %20 for a space"),
        (dir("host = \".\"\nguest = \"/data\"\naccess = \"rw\""), "", "could grant itself anything"),
        (dir("host = \".\"\nguest = \"/data\"\naccess = \"ro\""), "", "where the host keeps"),
        (
            dir("host = \"work\"\nguest = \"/data\"\naccess = \"ro\""),
            "[secrets.FILE]\nfile = \"work/key\"",
            "would read the secret itself",
        ),
        ("permissions = { env = [\"THE_TOKEN\"] }".to_owned(), secret, "no tool may see it"),
        ("permissions = { env = [\"A=B\"] }".to_owned(), "", "not the name of an environment variable"),
        ("permissions = { random = \"dice\" }".to_owned(), "", "unknown random"),
        ("permissions = { clock = \"sundial\" }".to_owned(), "", "unknown clock"),
        ("permissions = { files = [] }".to_owned(), "", "unknown field `files`"),
        ("limits = { cpu = \"2\" }".to_owned(), "", "has no unit"),
        ("limits = { fuel = 0 }".to_owned(), "", "out of range"),
        ("limits = { http_requests = 1000000 }".to_owned(), "", "out of range"),
        (String::new(), "[secrets.TOKEN]", "does not say where it is"),
        (String::new(), "[secrets.TOKEN]\nvalue = \"a-secret\"", "unknown field `value`"),
        (String::new(), "[secrets.TOKEN]\nvalue = a-secret", "agent.toml:14:9"),
        (
            String::new(),
            "[secrets.TOKEN]\nenv = \"ghp_abc-def\"",
            "is not the name of a variable, in capitals",
        ),
        (String::new(), "[secrets.TOKEN]\nenv = \"SURELY_NOT_SET\"", "SURELY_NOT_SET is not set"),
        (String::new(), "[secrets.TOKEN]\nfile = \"gone\"", "cannot read"),
        (String::new(), "[secrets.TOKEN]\nfile = \"short\"", "the value has 3 bytes"),
        (String::new(), "[secrets.\"a b\"]\nenv = \"A\"", "a secret cannot be named"),
    ]
}

#[test]
fn a_grant_that_is_invalid_or_means_nothing_is_refused_with_its_line() {
    for (lines, tables, said) in mistakes() {
        let agent = agent(&lines, tables);
        let work = agent.dir.path().join("work");
        fs::create_dir(&work).unwrap();
        fs::create_dir(agent.state()).unwrap();
        fs::write(work.join("key"), "a-secret-value").unwrap();
        fs::write(agent.dir.path().join("short"), "abc\n").unwrap();
        let checked = agent.host(&["check"]);
        // Where a line is broken depends on the width alone.
        let flat = checked.stderr.replace(['│', '·'], " ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(said), "{said:?} is said of {lines}{tables}:\n{}", checked.stderr);
        // What is not set here may be set where the agent runs.
        let is_missing = ["SURELY_NOT_SET is not set", "cannot read"].contains(&said);
        assert_eq!(checked.code, Some(if is_missing { 0 } else { 2 }), "{lines}{tables}");
        assert!(
            !checked.stderr.contains("ghp_abc") && !checked.stderr.contains("a-secret"),
            "{}",
            checked.stderr
        );
    }
}

/// Also before the host has kept anything there, and by whatever way it is named.
#[test]
fn no_tool_is_granted_where_the_host_is_going_to_keep_its_own() {
    let lines = "[[tools.t.permissions.dirs]]\nhost = \"real\"\nguest = \"/data\"\naccess = \"rw\"";
    let agent = agent(lines, "");
    let here = agent.dir.path();
    fs::create_dir(here.join("real")).unwrap();
    std::os::unix::fs::symlink(here.join("real"), here.join("link")).unwrap();
    agent.host(&["run", "--state", "link/not/yet"]).exits(2).says("where the host keeps");
    assert!(!here.join("real/not").exists());
}

#[test]
fn check_says_in_plain_words_what_is_granted() {
    let lines = "permissions.env = [\"LANG\"]\npermissions.random = \"os\"\npermissions.clock = \"os\"\n\
                 [[tools.t.permissions.dirs]]\nhost = \"work\"\nguest = \"/data\"\naccess = \"ro\"\n\
                 [[tools.t.permissions.network]]\nhost = \"https://api.github.com/repos\"\nmethods = [\"GET\", \"POST\"]\n\
                 secrets = [\"TOKEN\"]";
    let agent = agent(lines, "[secrets.TOKEN]\nenv = \"THE_TOKEN\"");
    fs::create_dir(agent.dir.path().join("work")).unwrap();
    let checked = agent.command(&["check"]).env("THE_TOKEN", "value-of-the-token").output().unwrap();
    let said = String::from_utf8(checked.stdout).unwrap();
    for line in [
        "may read all files in ",
        "which it sees as /data",
        "may see the environment variables LANG",
        "may send GET, POST to https://api.github.com/repos and everything below it, with the secrets TOKEN",
        "gets random numbers from the operating system",
        "has a clock that goes on as that of the system does",
    ] {
        assert!(said.contains(line), "{line:?} is not in:\n{said}");
    }
    assert!(!said.contains("value-of-the-token"));
}

#[test]
fn a_denial_names_the_missing_grant_and_adding_it_helps() {
    let server = Server::start();
    let url = format!("http://127.0.0.1:{}/allowed/ok", server.port());
    let script = format!(
        "[[reply]]\ncalls = [{{ name = \"attack\", input = {{ url = \"{url}\" }} }}]\n[[reply]]\ntext = \"ok\""
    );
    let tool = format!("[tools.t]\nsource = \"{}\"", hostile("request").display());
    let bare = Agent::scripted(&script).table(&tool);
    let (ran, shown) = bare.run_and_show();
    ran.ok()
        .says("no grant reaches")
        .says("to grant it, add to agent.toml:")
        .says("[[tools.t.permissions.network]]");
    assert_eq!(tool_error(&shown, "tool(0,0)").1, "denied: ErrorCode::HttpRequestDenied");
    let denials = |shown: &[Value]| shown[2]["finished"]["trace"]["denials"].clone();
    let first = denials(&shown)[0]["grant"].as_str().unwrap().to_owned();
    // The lines it names are taken over as they stand; that the address is private shows in them.
    let granted = Agent::scripted(&script).table(&tool).table(&first);
    let (ran, shown) = granted.run_and_show();
    ran.ok();
    assert!(tool_output(&shown, "tool(0,0)").as_str().unwrap().contains("200"));
    let finished = &shown.iter().find(|it| it["slot"] == "tool(0,0)").unwrap()["finished"];
    let record = &finished["trace"]["http"][0];
    assert_eq!((record["method"].as_str(), record["url"].as_str()), (Some("GET"), Some(url.as_str())));
    assert_eq!(
        (record["status"].as_u64(), record["address"].as_str()),
        (Some(200), Some(server.address.to_string().as_str()))
    );
    assert!(record["received_bytes"].as_u64().unwrap() > 0);
    for key in ["cpu_us", "memory_bytes", "in_bytes", "out_bytes"] {
        assert!(finished["usage"][key].as_u64().unwrap() > 0, "{key}: {finished:#}");
    }
    let text = granted.host(&["runs", "show", "last"]);
    assert!(text.stdout.contains(&format!("GET {url} at {} → 200", server.address)), "{}", text.stdout);
    assert!(text.stdout.contains("cpu ") && text.stdout.contains("memory "), "{}", text.stdout);
}

#[test]
fn a_request_arrives_with_its_host_its_headers_and_its_body() {
    let server = Server::start();
    let port = server.port();
    let script = format!(
        "[[reply]]\ncalls = [{{ name = \"attack\", input = {{ url = \"http://LOCALHOST.:{port}/allowed/ok?q=1\", \
         method = \"POST\", headers = {{ x-mark = \"m\" }}, body = \"the body\" }} }}]\n[[reply]]\ntext = \"ok\""
    );
    let grant =
        network(&format!("host = \"http://localhost:{port}\"\nmethods = [\"POST\"]\nallow_private = true"));
    let (ran, shown) = Agent::scripted(&script)
        .table(&format!("[tools.t]\nsource = \"{}\"\n{grant}", hostile("request").display()))
        .run_and_show();
    ran.ok();
    let arrived = server.requests().remove(0);
    assert!(arrived.starts_with("POST /allowed/ok?q=1 HTTP/1.1\r\n"), "{arrived}");
    for part in [&format!("host: localhost:{port}\r\n"), "x-mark: m\r\n", "the body"] {
        assert!(arrived.contains(part), "{part:?} is in {arrived}");
    }
    assert!(outcome(&shown, "tool(0,0)").to_string().contains("200"));
}

#[test]
fn what_is_too_long_for_the_model_is_shortened_and_recorded_whole() {
    let script = "[[reply]]\ncalls = [{ name = \"attack\", input = { bytes = 200000 } }]\n\
                  [[reply]]\nexpect = [\"bytes left out\"]\ntext = \"ok\"";
    let tool =
        format!("[tools.t]\nsource = \"{}\"\nlimits.shown = \"1KiB\"", hostile("output_flood").display());
    let agent = Agent::scripted(script).table(&tool);
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    assert_eq!(tool_output(&shown, "tool(0,0)").as_str().unwrap().len(), 200_000);
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn grants_decide_what_a_call_can_do_outside() {
    let effects = |lines: &str| {
        let agent = agent(lines, "");
        fs::create_dir(agent.dir.path().join("work")).unwrap();
        host::config::Config::load(&agent.toml()).unwrap().tools[0].grants.effects()
    };
    let dir = |access: &str| {
        format!("[[tools.t.permissions.dirs]]\nhost = \"work\"\nguest = \"/data\"\naccess = \"{access}\"")
    };
    assert_eq!(effects(""), Effects::Pure);
    assert_eq!(effects("permissions.env = [\"LANG\"]"), Effects::Pure);
    assert_eq!(effects(&dir("ro")), Effects::Reading);
    assert_eq!(effects(&dir("rw")), Effects::Writing);
    assert_eq!(effects(&network("host = \"https://a.b\"\nmethods = [\"GET\"]")), Effects::Writing);
}

#[test]
fn every_limit_is_read() {
    let limits = "limits = { timeout = \"1s\", cpu = \"2s\", memory = \"3MiB\", fuel = 4, output = \"5KiB\", \
                  shown = \"6KiB\", log = \"7KiB\", http_body = \"8KiB\", http_requests = 9, open_files = 10, \
                  random_bytes = \"11KiB\", calls = 12 }";
    let config = host::config::Config::load(&agent(limits, "").toml()).unwrap();
    let expected = ToolLimits {
        timeout_ms: 1000,
        cpu_ms: 2000,
        memory_bytes_max: 3 << 20,
        fuel: Some(4),
        output_bytes_max: 5 << 10,
        shown_bytes_max: 6 << 10,
        log_bytes_max: 7 << 10,
        http_body_bytes_max: 8 << 10,
        http_requests_max: 9,
        open_files_max: 10,
        random_bytes_max: 11 << 10,
        calls_max: 12,
    };
    assert_eq!(config.tools[0].limits, expected);
}
