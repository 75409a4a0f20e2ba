//! The command as its users meet it: run, replay, resume, runs, check, and what it says to bad input.

use serde_json::Value;

use crate::support::{Agent, Ran, root, tool_output};

const ECHO_TWICE: &str = r#"
[[reply]]
calls = [{ name = "echo", input = { value = 1 } }, { name = "echo", input = { value = { b = 2, a = 1 } } }]

[[reply]]
expect = ["echo: 1", "\"b\":2"]
text = "both came back"
"#;

fn example(name: &str) -> (Agent, String) {
    let toml = root().join("examples").join(name).join("agent.toml");
    (Agent::scripted("reply = []"), toml.to_str().unwrap().to_owned())
}

#[test]
fn every_example_runs_offline_and_replays() {
    for name in ["weather", "claims", "claims-orchestrated", "desk"] {
        let (agent, toml) = example(name);
        let ran = agent.host(&["run", &toml]);
        ran.ok();
        let replayed = agent.host(&["replay", "last"]);
        replayed.ok().says("0 guest invocations, 0 model calls");
        assert_eq!(replayed.stdout, ran.stdout, "{name}: the answer alone is on stdout, and the same");
        assert!(!ran.stdout.trim().is_empty());
    }
}

#[test]
fn the_answer_is_alone_on_stdout() {
    let agent = Agent::scripted(ECHO_TWICE).guest("hostile");
    let (ran, shown) = agent.run_and_show();
    assert_eq!(ran.ok().stdout, "both came back\n");
    assert_eq!(tool_output(&shown, "tool(0,0)"), 1);
    assert_eq!(tool_output(&shown, "tool(0,1)")["b"], 2);
    assert!(!ran.stderr.contains('\u{1b}'), "no colours and no live lines off a terminal");
}

#[test]
fn json_is_one_event_a_line() {
    let agent = Agent::scripted(ECHO_TWICE).guest("hostile");
    let ran = agent.host(&["run", "--json"]);
    let events: Vec<Value> =
        ran.ok().stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds.first(), Some(&"run_started"));
    assert_eq!(kinds.iter().filter(|kind| **kind == "finished").count(), 4, "two replies, two calls");
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["exit_code"]), (&"run_ended".into(), &0.into()));
    assert_eq!(last["ending"]["answer"], "both came back");
}

#[test]
fn runs_are_listed_and_shown() {
    let agent = Agent::scripted(ECHO_TWICE).guest("hostile");
    agent.host(&["runs"]).ok().says("no runs in");
    agent.host(&["run"]).ok();
    let listed: Value = serde_json::from_str(&agent.host(&["runs", "--json"]).ok().stdout).unwrap();
    assert_eq!(listed[0]["state"], "answered");
    let id = listed[0]["run"].as_str().unwrap();
    let shown = agent.host(&["runs", "show", &id[..20].to_lowercase()]);
    for text in ["tool(0,1) echo", "→ calls echo, echo", "answer: both came back"] {
        assert!(shown.ok().stdout.contains(text), "{text:?} in:\n{}", shown.stdout);
    }
}

#[test]
fn runs_are_listed_newest_first_and_by_what_is_asked_for() {
    let agent = Agent::scripted("[[reply]]\ntext = \"hello\"");
    for (file, name) in [("one.toml", "one"), ("two.toml", "two"), ("one.toml", "one")] {
        let toml = std::fs::read_to_string(agent.toml()).unwrap();
        std::fs::write(
            agent.dir.path().join(file),
            toml.replace("[agent]", &format!("[agent]\nname = {name:?}")),
        )
        .unwrap();
        agent.host(&["run", file]).ok();
    }
    let question = "[[reply]]\ncalls = [{ name = \"ask_human\", input = { question = \"Which?\" } }]\n[[reply]]\ntext = \"a\"";
    let asking = Agent::scripted(question).builtins(&["ask_human"]);
    let asked = asking.command(&["run"]).env("HOST_STATE", agent.state()).output().unwrap();
    Ran::from(asked).exits(3);
    let listed = |args: &[&str]| -> Vec<Value> {
        let listed = agent.host(&[&["runs", "--json"], args].concat());
        serde_json::from_str(&listed.ok().stdout).unwrap()
    };
    let all = listed(&[]);
    let ids: Vec<&str> = all.iter().map(|run| run["run"].as_str().unwrap()).collect();
    assert!(ids.is_sorted_by(|newer, older| newer > older) && ids.len() == 4, "{ids:?}");
    assert_eq!(listed(&["--limit", "2"]), all[..2]);
    assert_eq!(listed(&["--limit", "0"]), [] as [Value; 0]);
    assert_eq!(listed(&["--agent", "one"]), [all[1].clone(), all[3].clone()]);
    assert_eq!(listed(&["--agent", "one", "--limit", "1"]), [all[1].clone()]);
    for waiting in [&["--status", "suspended"][..], &["--state", "suspended"]] {
        assert_eq!(listed(waiting), [all[0].clone()], "{waiting:?}");
        let text = agent.host(&[&["runs"], waiting].concat()).ok().stdout.clone();
        assert!(text.starts_with(ids[0]) && text.lines().count() == 1, "{text}");
    }
    agent.host(&["runs", "--agent", "three"]).exits(2).says("there are runs of: ").says("one, two");
    agent.host(&["runs", "--status", "gone"]).exits(2).says("`answered`");
    agent.host(&["runs", "--status", "refused"]).ok().says("no such runs in");
    // Whatever else `--state` says is a directory, and so is a word if there is one.
    agent.host(&["runs", "--state", "elsewhere"]).ok().says("no runs in").says("elsewhere");
    std::fs::create_dir(agent.dir.path().join("suspended")).unwrap();
    agent.host(&["runs", "--state", "suspended"]).ok().says("no runs in").says("suspended");
}

#[test]
fn help_groups_the_commands_and_says_once_what_all_of_them_take() {
    let agent = Agent::scripted("");
    let help = agent.host(&["--help"]).ok().stdout.clone();
    let at = |text: &str| help.find(text).unwrap_or_else(|| panic!("{text:?} is not in:\n{help}"));
    let order = [
        "Run an agent:",
        "\n  run ",
        "\n  resume ",
        "Decide what a run waits for:",
        "\n  approve ",
        "\n  deny ",
        "\n  answer ",
        "\n  approvals ",
        "Look at runs:",
        "\n  runs ",
        "Build and test an agent:",
        "\n  check ",
        "Keep what is recorded:",
        "\n  journal ",
        "Options of every command:",
        "--state <DIR>",
        "Exit codes:",
    ];
    assert!(order.map(at).is_sorted(), "{help}");
    for command in [&["run"][..], &["runs"], &["runs", "show"], &["journal", "export"], &["approve"]] {
        let help = agent.host(&[command, &["--help"]].concat()).ok().stdout.clone();
        assert!(!help.contains("--cache") && !help.contains("--state <DIR>"), "{command:?}:\n{help}");
        assert!(help.contains("`host --help` lists the options of every command"), "{help}");
    }
    // They are taken everywhere all the same, before and behind the command.
    for args in [["--state", "other", "runs"], ["runs", "--state", "other"]] {
        agent.host(&args).ok().says("no runs in").says("other");
    }
}

/// The host runs it itself.
#[test]
fn the_command_that_compiles_is_for_nobody_to_see() {
    let agent = Agent::scripted("");
    let nothing = agent.host(&[]);
    let shell = agent.host(&["completions", "bash"]).ok().stdout.clone();
    let help = agent.host(&["--help"]).ok().stdout.clone();
    for shown in [nothing.stderr, nothing.stdout, shell, help] {
        assert!(!shown.contains("compile-component"), "{shown}");
    }
    agent.host(&["help", "compile-component"]).exits(2);
}

#[test]
fn a_prompt_on_the_command_line_wins() {
    let script = "[[reply]]\nexpect = [\"what else?\"]\ntext = \"nothing\"";
    let agent = Agent::scripted(script);
    agent.host(&["run", "agent.toml", "what else?"]).ok();
    agent.host(&["run"]).exits(4).says("expects \"what else?\"");
}

#[test]
fn an_ended_run_is_not_resumed_but_told_again() {
    let agent = Agent::scripted(ECHO_TWICE).guest("hostile");
    agent.host(&["run"]).ok();
    let before = agent.show();
    assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "both came back\n");
    assert_eq!(agent.show(), before, "nothing was recorded anew");
}

#[test]
fn replay_against_another_configuration_names_the_difference() {
    let agent = Agent::scripted(ECHO_TWICE).guest("hostile");
    agent.host(&["run"]).ok();
    agent.host(&["replay", "last", "--config", "agent.toml"]).ok();
    let toml = std::fs::read_to_string(agent.toml()).unwrap();
    std::fs::write(agent.toml(), toml.replace("[agent]", "[agent]\ninstructions = \"be brief\"")).unwrap();
    let replayed = agent.host(&["replay", "last", "--config", "agent.toml"]);
    replayed
        .exits(6)
        .says("diverged at run")
        .says("-  \"instructions\": \"\"")
        .says("+  \"instructions\": \"be brief\"");
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn a_resume_with_a_changed_configuration_is_a_divergence() {
    let script = format!("{ECHO_TWICE}\n[[reply]]\ntext = \"one too many\"");
    let agent = Agent::scripted(&script).guest("hostile");
    agent.host(&["run"]).exits(4).says("has 1 left over").says("host resume");
    let agent = agent.table("[limits]\nmax_turns = 7");
    agent.host(&["resume", "last"]).exits(6).says("diverged at run").says("+  \"max_turns\": 7");
}

#[test]
fn check_lists_tools_and_grants() {
    let agent = Agent::scripted("[[reply]]\ntext = \"hello\"").guest("weather");
    let checked = agent.host(&["check"]);
    for text in ["agent.toml: ok", "get_weather:", "no files, no environment, no network", "sha256 = \""] {
        assert!(checked.ok().stdout.contains(text), "{text:?} in:\n{}", checked.stdout);
    }
    assert!(!checked.stdout.contains("limits"), "they are the defaults: {}", checked.stdout);
    let agent = agent.table("[tools.weather.limits]\ntimeout = \"5s\"\nmemory = \"64MiB\"");
    let checked = agent.host(&["check"]).ok().stdout.clone();
    let said = "limits per call, where they are not the defaults: timeout 5s (default 30s)\n";
    assert!(format!("{checked}\n").contains(said), "{checked}");
}

#[test]
fn a_second_start_compiles_nothing() {
    let agent = Agent::scripted("[[reply]]\ntext = \"hello\"").guest("weather");
    let cache = agent.dir.path().join("own-cache");
    let mut first = agent.command(&["run", "--cache", cache.to_str().unwrap()]);
    let stderr = String::from_utf8(first.output().unwrap().stderr).unwrap();
    assert!(stderr.contains("compiled "), "{stderr}");
    let mut second = agent.command(&["run", "--cache", cache.to_str().unwrap()]);
    let stderr = String::from_utf8(second.output().unwrap().stderr).unwrap();
    assert!(!stderr.contains("compiled ") && !stderr.contains("building"), "{stderr}");
}

#[test]
fn init_writes_an_agent_that_builds_and_runs() {
    let agent = Agent::scripted("");
    agent.host(&["init", "mine"]).ok();
    agent.build("mine/agent.toml");
    let ran = agent.host(&["run", "mine/agent.toml"]);
    ran.ok().says("greet");
    assert!(ran.stdout.contains("Hello, Ada!") && ran.stdout.contains("Hello, Grace!"), "{}", ran.stdout);
    let tested = agent.host(&["test", "mine/agent.toml"]);
    assert!(tested.ok().stdout.ends_with("1 passed, 0 failed\n"), "{}", tested.stdout);

    // A source that changed is built again, and only then.
    let again = agent.host(&["build", "mine/agent.toml"]);
    assert!(!again.ok().stderr.contains("building"), "{}", again.stderr);
    let source = agent.dir.path().join("mine/tools/greet/src/lib.rs");
    let text = std::fs::read_to_string(&source).unwrap();
    std::fs::write(&source, text.replace("Hello, {name}!", "Good day, {name}!")).unwrap();
    let ran = Ran::from(agent.unhurried(&["run", "mine/agent.toml"]).output().unwrap());
    ran.ok().says("building greet");
    assert!(ran.stdout.contains("Good day, Ada!"), "the answer says what the tool gave:\n{}", ran.stdout);
    agent.host(&["test", "mine/agent.toml"]).ok();

    // A change that the case does not allow says where that is said.
    let counted = "format!(\"Hello, {}!\", name.len())";
    std::fs::write(&source, text.replace("format!(\"Hello, {name}!\")", counted)).unwrap();
    agent.build("mine/agent.toml");
    let tested = agent.host(&["test", "mine/agent.toml"]);
    tested.exits(1);
    let says = |text: &str| assert!(tested.stdout.contains(text), "{text:?} in:\n{}", tested.stdout);
    says("+  \"answer\"");
    says("write what came (+) into");
    says("mine/tests/greets-both.toml, under [expect]");
}

#[test]
fn schema_and_completions_are_printed() {
    let agent = Agent::scripted("");
    let schema: Value = serde_json::from_str(&agent.host(&["schema"]).ok().stdout).unwrap();
    assert!(schema["properties"]["tools"].is_object());
    let kept = std::fs::read_to_string(root().join("examples/agent.schema.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept, schema, "examples/agent.schema.json is what `host schema` prints");
    let schema: Value = serde_json::from_str(&agent.host(&["schema", "--cases"]).ok().stdout).unwrap();
    let kept = std::fs::read_to_string(root().join("examples/cases.schema.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept, schema, "examples/cases.schema.json is what `host schema --cases` prints");
    let schema: Value = serde_json::from_str(&agent.host(&["schema", "--server"]).ok().stdout).unwrap();
    let kept = std::fs::read_to_string(root().join("examples/host.schema.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept, schema, "examples/host.schema.json is what `host schema --server` prints");
    assert!(agent.host(&["completions", "bash"]).ok().stdout.contains("_host"));
}
