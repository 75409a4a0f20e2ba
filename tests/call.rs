//! `host call`: one tool, one call, nothing kept; and what a path in the place of an agent is taken for.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Agent, Ran, root};

fn hostile() -> Agent {
    Agent::scripted("reply = []").guest("hostile").table("[tools.hostile.permissions]\nenv = [\"GREETING\"]")
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.ok().stdout).unwrap()
}

/// The component of a guest, as a file of its own.
fn component(agent: &Agent, guest: &str) -> String {
    let source = root().join("guest-tools").join(guest);
    let built = agent.host(&["build", source.to_str().unwrap()]).ok().stdout.clone();
    let file = agent.dir.path().join(format!("{guest}.wasm"));
    std::fs::copy(built.split("  ").next().unwrap(), &file).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_tool_is_called_as_agent_toml_grants_and_nothing_is_recorded() {
    let agent = hostile();
    for target in ["agent.toml", "."] {
        let mut command = agent.command(&["call", target, "peek"]);
        let seen = json(&command.env("GREETING", "hello").output().unwrap().into());
        assert_eq!(seen["env"], serde_json::json!(["GREETING=hello"]));
    }
    assert_eq!(
        json(&agent.host(&["call", ".", "echo", "value=9007199254740993"])),
        9_007_199_254_740_993_u64
    );
    assert_eq!(json(&agent.host(&["call", ".", "echo", r#"{"value":{"b":[1]}}"#]))["b"][0], 1);
    agent.host(&["runs"]).ok().says("no runs in");
    assert!(!agent.state().join("runs").exists(), "nothing at all is recorded");
}

#[test]
fn a_component_alone_is_granted_nothing() {
    let agent = hostile();
    let wasm = component(&agent, "hostile");
    let source = root().join("guest-tools/hostile");
    for target in [wasm.as_str(), source.to_str().unwrap()] {
        let mut command = agent.command(&["call", target, "peek"]);
        let seen = json(&command.env("GREETING", "hello").output().unwrap().into());
        assert_eq!(seen["env"], serde_json::json!([]));
        assert!(seen["passwd"]["Err"].is_string() && seen["tcp"]["Err"].is_string(), "{seen}");
    }
    let wasm = component(&agent, "fetch");
    let denied = agent.host(&["call", &wasm, "url=https://api.github.com/zen"]);
    denied.exits(1).says("denied | GET https://api.github.com/zen: no grant reaches https://api.github.com;");
}

#[test]
fn input_comes_from_stdin_too() {
    let agent = hostile();
    let mut command = agent.command(&["call", ".", "echo", "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b" { \"value\" : [1, \"x\"] } ").unwrap();
    assert_eq!(Ran::from(child.wait_with_output().unwrap()).ok().stdout, "[1,\"x\"]\n");
}

#[test]
fn what_a_tool_writes_is_shown_and_what_fails_says_why() {
    let agent = hostile();
    agent.host(&["call", ".", "flood_stdout", "bytes=8"]).ok().says("stderr | xxxxxxxx");
    agent
        .host(&["call", ".", "flood_stdout", "bytes=8", "byte=9"])
        .ok()
        .says("does not name a member `byte`");
    let failed = agent.host(&["call", ".", "panic_now"]);
    failed.exits(1).says("error: panic_now: trapped");
    assert_eq!(failed.stdout, "", "stdout has an output, or nothing");
    agent
        .host(&["call", ".", "flood_stdout", "bytes=many"])
        .exits(2)
        .says("flood_stdout takes:\n  bytes (integer)");
    agent.host(&["call", ".", "flood_stdout"]).exits(2).says("\"bytes\" is a required property");
    agent.host(&["call", ".", "echo", "value=1", "value=2"]).exits(2).says("`value` is given twice");
    agent
        .host(&["call", ".", "ecko"])
        .exits(2)
        .says("there is no tool `ecko`")
        .says("  echo: Returns what it gets.");
    agent.host(&["call", "."]).exits(2).says("say which tool").says("  echo: Returns what it gets.");
    let timed = hostile().table("[tools.hostile.limits]\ntimeout = \"50ms\"");
    timed.host(&["call", ".", "spin"]).exits(1).says("timed out");
}

#[test]
fn an_only_tool_need_not_be_named() {
    let agent = Agent::scripted("reply = []").guest("weather");
    assert_eq!(json(&agent.host(&["call", ".", "city=Oslo"]))["city"], "Oslo");
    let wasm = component(&agent, "weather");
    assert_eq!(json(&agent.host(&["call", &wasm, "get_weather", "city=Oslo"]))["city"], "Oslo");
    agent.host(&["call", &wasm]).exits(2).says("get_weather takes:\n  city (string): ");
}

#[test]
fn what_agent_toml_denies_is_denied_and_what_it_asks_about_is_asked_no_more() {
    let rules = "[approval]\ndefault = \"ask\"\n[[approval.deny]]\ntool = \"echo\"";
    let agent = hostile().table(rules);
    agent.host(&["call", ".", "counter"]).ok();
    agent.host(&["call", ".", "echo", "value=1"]).exits(1).says("not approved");
}

#[test]
fn a_tool_calls_others_and_a_hidden_one_can_be_called() {
    let agent = Agent::scripted("reply = []");
    let orchestrated = root().join("examples/claims-orchestrated");
    let script = std::fs::read_to_string(orchestrated.join("script.toml")).unwrap();
    let script: Value = toml_of(&script);
    let input = script["reply"][0]["calls"][0]["input"].to_string();
    let called = agent.host(&["call", orchestrated.to_str().unwrap(), "calculate_metrics", &input]);
    assert!(json(&called)["eligibility"]["output"].is_object(), "{}", called.stdout);
    called.says("tool(0,0)/call(0)");
    json(&agent.host(&["call", orchestrated.to_str().unwrap(), "check_fraud", &input]));
    let agent = Agent::scripted("reply = []").builtins(&["ask_human"]).guest("weather");
    agent.host(&["call", ".", "ask_human", "question=What?"]).exits(2).says("waits for a person");
}

fn toml_of(text: &str) -> Value {
    let table: BTreeMap<String, Value> = toml::from_str(text).unwrap();
    serde_json::to_value(table).unwrap()
}

#[test]
fn a_path_that_is_no_agent_says_what_to_do_with_it() {
    let agent = Agent::scripted("[[reply]]\ntext = \"hello\"").guest("weather");
    let wasm = component(&agent, "weather");
    for command in ["run", "check", "test"] {
        let refused = agent.host(&[command, &wasm]);
        refused.exits(2).says("weather.wasm is WebAssembly").says("host call");
        assert!(!refused.stderr.contains('\0') && !refused.stderr.contains("asm\\"), "{}", refused.stderr);
        let source = root().join("guest-tools/weather");
        agent.host(&[command, source.to_str().unwrap()]).exits(2).says("is a crate").says("host build");
        agent.host(&[command, "oci://registry.example/a/b:1"]).exits(2).says("oci:// is not supported yet");
    }
    agent.host(&["call", "ftp://registry.example/a/b:1"]).exits(2).says("ftp:// is not supported");
    agent.host(&["call", "oci://registry.example/a/b"]).exits(2).says("neither a tag nor a digest");
    agent.host(&["call", "nowhere.wasm"]).exits(2).says("nowhere.wasm does not exist");
    agent
        .host(&["call", "echo", "value=1"])
        .exits(2)
        .says("there is no file or directory `echo`")
        .says("host call . echo");
    agent.host(&["build", &wasm]).exits(2).says("needs no build");
    agent.host(&["build", "tests"]).exits(2);
    agent.host(&["run", "hello"]).exits(2).says("type: host run agent.toml \"hello\"");
    agent
        .host(&["run", "What is the weather like?"])
        .exits(2)
        .says("host run agent.toml \"What is the weather like?\"");
    agent.host(&["run", "nowhere.toml"]).exits(2).says("does not exist").says("host init");
    for (source, said) in [
        ("oci://registry.example/a/b:1", "host update"),
        ("https://example.com/b.wasm", "host update"),
        ("http://example.com/b.wasm", "write https://"),
        ("oci://registry.example/a/b", "neither a tag nor a digest"),
        ("ftp://example.com/b.wasm", "write https://HOST"),
        ("file:///b.wasm", "without file://"),
    ] {
        let agent = Agent::scripted("reply = []").table(&format!("[tools.a]\nsource = \"{source}\""));
        agent.host(&["check"]).exits(2).says("agent.toml:").says(said);
    }
}

#[test]
fn a_directory_stands_for_the_agent_in_it() {
    let agent = Agent::scripted("[[reply]]\ntext = \"hello\"").guest("weather");
    std::fs::create_dir(agent.dir.path().join("tests")).unwrap();
    std::fs::write(agent.dir.path().join("tests/one.toml"), "[[reply]]\ntext = \"hello\"").unwrap();
    for command in ["run", "check", "test", "build"] {
        agent.host(&[command, "."]).ok();
        agent.host(&[command, agent.dir.path().to_str().unwrap()]).ok();
    }
    agent.host(&["replay", "last", "--config", "."]).ok();
    // A directory that holds an agent and a crate is the agent; the crate is meant by its manifest.
    let source = root().join("guest-tools/weather/Cargo.toml");
    let built = agent.host(&["build", source.to_str().unwrap()]);
    assert!(built.ok().stdout.contains("weather.wasm  "), "{}", built.stdout);
    let described = std::fs::read_to_string(agent.toml()).unwrap();
    let described = described.replace("[agent]", "[agent]\ndescription = \"Says hello.\"");
    std::fs::write(agent.toml(), described).unwrap();
    let below = format!("[tools.below]\nagent = {:?}", agent.dir.path());
    let other = Agent::scripted("reply = []").table(&below);
    other.host(&["build", "."]).ok();
    let itself = Agent::scripted("reply = []").table("[tools.itself]\nagent = \".\"");
    itself.host(&["check"]).exits(2).says("agents cannot call each other in a cycle");
}

#[test]
fn the_compiler_is_no_command() {
    let agent = Agent::scripted("reply = []");
    let alone = Ran::from(agent.command(&[]).output().unwrap());
    alone.exits(2).says("Usage: host").says("  run ");
    for said in [
        &alone.stderr,
        &agent.host(&["--help"]).ok().stdout,
        &agent.host(&["completions", "bash"]).ok().stdout,
        &agent.host(&["compile-comp"]).exits(2).stderr,
        &agent.host(&["compile-component"]).exits(2).stderr.replace("'compile-component'", ""),
    ] {
        assert!(!said.contains("compile-component"), "{said}");
    }
}
