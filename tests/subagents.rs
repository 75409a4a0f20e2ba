//! Agents that are tools of other agents: their runs are recorded below the call, replayed, killed, resumed, refused.

use std::os::unix::process::ExitStatusExt as _;

use host::message::Digest;
use serde_json::Value;

use crate::kills::{never_began, slots};
use crate::support::{Agent, outcome, root, tool_error, tool_output};

/// A model that asks two agents at once.
const ASKS_TWO: &str = r#"
[[reply]]
calls = [
    { name = "one", input = { prompt = "first" } },
    { name = "ask_two", input = { prompt = "second" } },
]
[[reply]]
expect = ["one: {\"answer\":\"one is done\"}", "ask_two: {\"answer\":\"two is done\"}"]
text = "the end"
"#;

const TABLES: &str =
    "[tools.one]\nagent = \"one/agent.toml\"\n[tools.two]\nagent = \"two/agent.toml\"\nprefix = \"ask_\"";

/// A model that calls a tool and quotes what it was asked and what the tool gave.
fn echoing(prompt: &str, text: &str) -> String {
    format!(
        "[[reply]]\nexpect = [\"user: {prompt}\"]\ncalls = [{{ name = \"echo\", input = {{ value = \"{text}\" }} }}, {{ name = \"counter\" }}]\n\
         [[reply]]\nexpect = [\"echo: \\\"{text}\\\"\", \"counter: 1\"]\ntext = \"{text} is done\""
    )
}

pub fn tool(name: &str) -> String {
    format!("[tools.{name}]\nsource = {:?}", root().join("guest-tools").join(name).to_str().unwrap())
}

/// Writes another agent beside the one that calls it.
pub fn beside(agent: &Agent, name: &str, script: &str, tables: &[&str]) {
    let dir = agent.dir.path().join(name);
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("script.toml"), script).unwrap();
    let head = "version = 1\n[agent]\ndescription = \"Does one thing.\"\n[model]\nprovider = \"scripted\"\nscript = \"script.toml\"";
    std::fs::write(dir.join("agent.toml"), format!("{head}\n{}\n", tables.join("\n"))).unwrap();
}

fn two() -> Agent {
    let agent = Agent::scripted(ASKS_TWO).table(TABLES);
    beside(&agent, "one", &echoing("first", "one"), &[&tool("hostile")]);
    beside(&agent, "two", &echoing("second", "two"), &[&tool("hostile")]);
    agent
}

/// An agent that calls one other agent.
pub fn one(script: &str, tables: &[&str]) -> Agent {
    let agent = Agent::scripted(
        "[[reply]]\ncalls = [{ name = \"one\", input = { prompt = \"do it\" } }]\n[[reply]]\ntext = \"the end\"",
    );
    beside(&agent, "one", script, tables);
    agent.table("[tools.one]\nagent = \"one/agent.toml\"")
}

fn names(shown: &[Value]) -> Vec<&str> {
    shown.iter().filter_map(|report| report["slot"].as_str()).collect()
}

/// What is recorded of `two`.
const ALL: [&str; 13] = [
    "run",
    "model(0)",
    "tool(0,0)",
    "tool(0,0)/model(0)",
    "tool(0,0)/tool(0,0)",
    "tool(0,0)/tool(0,1)",
    "tool(0,0)/model(1)",
    "tool(0,1)",
    "tool(0,1)/model(0)",
    "tool(0,1)/tool(0,0)",
    "tool(0,1)/tool(0,1)",
    "tool(0,1)/model(1)",
    "model(1)",
];

#[test]
fn two_agents_in_one_turn_run_below_their_calls_and_replay() {
    let agent = two();
    let checked = agent.host(&["check"]);
    checked.ok();
    for text in ["[tools.two] is the agent", "  ask_two: Does one thing.", "    echo: Returns what it gets."]
    {
        assert!(checked.stdout.contains(text), "{text}: {}", checked.stdout);
    }
    let (ran, shown) = agent.run_and_show();
    assert_eq!(ran.ok().stdout, "the end\n");
    assert_eq!(names(&shown), ALL);
    assert_eq!(tool_output(&shown, "tool(0,1)")["answer"], "two is done");
    assert_eq!(tool_output(&shown, "tool(0,1)/tool(0,0)"), "two");
    let manifest = &shown[0]["request"]["run"]["tools"][1]["agent"];
    assert_eq!(manifest["agent"], "one", "the agent is recorded whole: {manifest:#}");

    // Nothing but the journal is needed to go through all of it.
    let file = agent.dir.path().join("run.jsonl");
    agent.host(&["journal", "export", "last", "-o", file.to_str().unwrap()]).ok();
    std::fs::remove_dir_all(agent.dir.path().join("one")).unwrap();
    std::fs::remove_file(agent.toml()).unwrap();
    let replayed = agent.host(&["replay", file.to_str().unwrap()]);
    assert_eq!(replayed.ok().stdout, "the end\n");
    replayed.says("replayed 12 effects from the journal: 0 guest invocations, 0 model calls");
    agent.host(&["journal", "verify", "last"]).ok();
    let shown = agent.host(&["runs", "show", "last"]);
    assert!(shown.ok().stdout.contains("tool(0,0)/tool(0,0) echo {\"value\":\"one\"}"), "{}", shown.stdout);
}

#[test]
fn a_replay_verifies_what_an_agent_did() {
    let agent = two();
    agent.host(&["run"]).ok();
    let file = agent.dir.path().join("run.jsonl");
    let path = file.to_str().unwrap();
    let replay = |change: &dyn Fn(&str) -> Option<String>| {
        agent.host(&["journal", "export", "last", "-o", path]).ok();
        let text = std::fs::read_to_string(&file).unwrap();
        let (before, _) = text.trim_end().rsplit_once('\n').unwrap();
        let changed: String = before.lines().filter_map(change).map(|line| line + "\n").collect();
        assert_ne!(changed, format!("{before}\n"), "something was changed");
        let digest = Digest::of(changed.as_bytes());
        std::fs::write(&file, format!("{changed}{{\"sha256\":\"{digest}\"}}\n")).unwrap();
        let replayed = agent.host(&["replay", path]);
        std::fs::remove_file(&file).unwrap();
        replayed
    };
    let at = |line: &str, slot: &str| line.contains(&format!("\"slot\":\"{slot}\""));
    // Another result in the middle is another conversation.
    let other = replay(&|line| {
        let changed = line.replace("\"output\":\"two\"", "\"output\":\"three\"");
        Some(if at(line, "tool(0,1)/tool(0,0)") { changed } else { line.to_owned() })
    });
    other.exits(6).says("diverged at tool(0,1)/model(1)");
    // Another answer is another result of the call.
    let other = replay(&|line| {
        let changed = line.replace("two is done", "two is undone");
        Some(if at(line, "tool(0,1)/model(1)") { changed } else { line.to_owned() })
    });
    other.exits(6).says("diverged at tool(0,1): what is recorded below it comes to something else");
    // What is not recorded cannot be gone through.
    replay(&|line| (!at(line, "tool(0,1)/model(1)")).then(|| line.to_owned()))
        .exits(1)
        .says("the recording ends at tool(0,1)/model(1)");
}

/// Kills the run at the n-th commit and resumes it. Says whether it was killed at all.
fn kill_and_resume(point: &str, nth: usize) -> bool {
    let agent = two();
    let failpoint = format!("{point}={nth}*off->1*return");
    let killed = agent.command(&["run"]).env("FAILPOINTS", failpoint).output().unwrap();
    if killed.status.success() {
        return false;
    }
    assert_eq!(killed.status.signal(), Some(9), "{}", String::from_utf8_lossy(&killed.stderr));
    let before = slots(&agent);
    let resumed = agent.host(&["resume", "last"]);
    if before.is_empty() {
        never_began(&resumed);
        return true;
    }
    assert_eq!(resumed.ok().stdout, "the end\n", "{point} at commit {nth}");
    let after = slots(&agent);
    for (slot, (attempts, finished)) in before.iter().filter(|(_, (_, finished))| !finished.is_null()) {
        assert_eq!(&after[slot], &(*attempts, finished.clone()), "{slot} had ended and is as it was");
    }
    assert_eq!(after.len(), ALL.len());
    assert!(["tool(0,0)", "tool(0,1)"].iter().all(|call| after[*call].0 == 1), "a call goes on: {after:#?}");
    assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
    true
}

#[test]
fn a_kill_at_every_write_repeats_nothing_that_an_agent_did() {
    for point in ["journal-before-write", "journal-before-ack"] {
        let kills = (0..100).take_while(|nth| kill_and_resume(point, *nth)).count();
        assert!(kills >= 7, "{point}: killed at {kills} commits");
    }
}

#[test]
fn what_ends_an_agent_is_told_to_the_model_that_called_it() {
    let call = "[[reply]]\ncalls = [{ name = \"echo\", input = { value = 1 } }]\n";
    let spin = "[[reply]]\ncalls = [{ name = \"spin\" }, { name = \"echo\", input = { value = 1 } }]";
    let hostile = tool("hostile");
    for (script, table, said) in [
        (
            "[[reply]]\nstop = \"refusal\"\ntext = \"I would rather not.\"".to_owned(),
            "",
            "the agent refused: I would rather not.",
        ),
        (
            call.repeat(3),
            "[limits]\nmax_turns = 2",
            "the agent was stopped by a limit: the run took max_turns = 2 turns",
        ),
        (call.to_owned(), "", "the agent has no reply from its model in its turn 1: the script"),
        (spin.to_owned(), "[limits]\nwall_time = \"300ms\"", "wall_time"),
    ] {
        let agent = one(&script, &[&hostile, table]);
        let (ran, shown) = agent.run_and_show();
        assert_eq!(ran.ok().stdout, "the end\n");
        let (kind, message) = tool_error(&shown, "tool(0,0)");
        assert_eq!(kind, "failed");
        assert!(message.contains(said), "{message}");
        assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n", "{said}");
    }
    let agent = one("[[reply]]\ntext = \"x\"", &[]);
    let script = "[[reply]]\ncalls = [{ name = \"one\", input = { question = \"do it\" } }]\n[[reply]]\ntext = \"the end\"";
    std::fs::write(agent.dir.path().join("script.toml"), script).unwrap();
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    assert_eq!(tool_error(&shown, "tool(0,0)").0, "invalid_input");
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn repetitions_are_counted_alike_in_an_agent_that_is_called() {
    // Other words with each call: by the rules of the run, which are the agent's, too, that repeats nothing.
    let turn = |turn: usize| {
        format!(
            "[[reply]]\ntext = \"At {turn}.\"\ncalls = [{{ name = \"echo\", input = {{ value = 1 }} }}]\n"
        )
    };
    let script = (0..6).map(turn).collect::<String>() + "[[reply]]\ntext = \"done\"";
    let agent = one(&script, &[&tool("hostile")]);
    agent.host(&["run"]).ok();
    assert_eq!(tool_output(&agent.show(), "tool(0,0)")["answer"], "done");
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn an_agent_that_is_asked_often_has_a_number_of_its_own() {
    let asks = "[[reply]]\ncalls = [{ name = \"one\", input = { prompt = \"And now?\" } }]\n".repeat(5);
    let agent = Agent::scripted(&(asks + "[[reply]]\ntext = \"the end\""));
    beside(&agent, "one", "[[reply]]\ntext = \"Not yet.\"", &[]);
    let agent = agent.table("[tools.one]\nagent = \"one/agent.toml\"");
    agent.host(&["run"]).exits(5).says("max_repeats = 3");
    let agent = agent.table("max_repeats = 5");
    assert_eq!(agent.host(&["run"]).ok().stdout, "the end\n");
    assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
}

#[test]
fn what_an_agent_s_script_has_left_over_is_not_held_against_its_answer() {
    let agent = one("[[reply]]\ntext = \"done\"\n[[reply]]\ntext = \"and more\"", &[]);
    let (ran, shown) = agent.run_and_show();
    assert_eq!(ran.ok().stdout, "the end\n");
    assert_eq!(tool_output(&shown, "tool(0,0)")["answer"], "done");
    assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
}

#[test]
fn an_approval_inside_an_agent_suspends_the_whole_run() {
    let agent = one(&echoing("do it", "one"), &[&tool("hostile"), "[[approval.ask]]\ntool = \"echo\""]);
    let ran = agent.host(&["run"]);
    ran.exits(3).says("tool(0,0)/tool(0,0) echo {\"value\":\"one\"}  waits for approval");
    assert_eq!(tool_output(&agent.show(), "tool(0,0)/tool(0,1)"), 1, "what is beside it goes on");
    agent.host(&["resume", "last"]).exits(3);
    agent.host(&["resume", "last", "--settle", "tool(0,0)=retry"]).exits(2).says("is not in doubt");
    std::fs::write(agent.dir.path().join("edit.json"), r#"{ "worth": 1 }"#).unwrap();
    agent.host(&["approve", "last", "--edit", "edit.json"]).exits(2).says("is not an input of echo");
    agent.host(&["approve", "last", "tool(0,0)/tool(0,0)"]).ok();
    let resumed = agent.host(&["resume", "last"]);
    assert_eq!(resumed.ok().stdout, "the end\n");
    resumed.says("= tool(0,0)/tool(0,1)").says("✓ tool(0,0)/tool(0,0)").says("✓ tool(0,0) one");
    assert_eq!(slots(&agent)["tool(0,0)"].0, 1);
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn a_question_inside_an_agent_and_the_call_of_one_wait_too() {
    let script = "[[reply]]\ncalls = [{ name = \"ask_human\", input = { question = \"Which?\" } }]\n\
                  [[reply]]\nexpect = [\"the second\"]\ntext = \"done\"";
    let agent = one(script, &[]).table("[[approval.ask]]\ntool = \"one\"");
    let toml = agent.dir.path().join("one/agent.toml");
    let text =
        std::fs::read_to_string(&toml).unwrap().replace("[agent]", "[agent]\nbuiltins = [\"ask_human\"]");
    std::fs::write(&toml, text).unwrap();
    agent.host(&["run"]).exits(3).says("tool(0,0) one {\"prompt\":\"do it\"}  waits for approval");
    agent.host(&["approve", "last"]).ok();
    agent.host(&["resume", "last"]).exits(3).says("host answer").says("'tool(0,0)/tool(0,0)' TEXT");
    agent.host(&["answer", "last", "the second"]).ok();
    assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "the end\n");
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn a_change_of_an_agent_is_a_change_of_the_run() {
    let agent = one(&echoing("do it", "one"), &[&tool("hostile"), "[[approval.ask]]\ntool = \"echo\""]);
    agent.host(&["run"]).exits(3);
    agent.host(&["approve", "last"]).ok();
    let toml = agent.dir.path().join("one/agent.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    std::fs::write(&toml, text.replace("[agent]", "[agent]\ninstructions = \"Be quick.\"")).unwrap();
    agent.host(&["resume", "last"]).exits(6).says("in the agent one: the instructions");
    assert_eq!(agent.host(&["resume", "last", "--accept-changes"]).ok().stdout, "the end\n");
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn other_commands_know_what_they_can_do_with_agents() {
    let agent = two();
    agent.host(&["run"]).ok();
    agent.host(&["runs", "request", "last"]).ok();
    agent.host(&["runs", "request", "last", "0"]).ok();
    agent.host(&["replay", "last", "--rerun", "one"]).exits(1);
    agent.host(&["replay", "last", "--rerun", "echo"]).exits(2).says("no call of `echo` is recorded");
    agent.host(&["fork", "last", "--at", "1"]).ok();
    let nested = agent.host(&["fork", "last", "--edit", "tool(0,0)/tool(0,0)=x.json"]);
    nested.exits(2).says("has no result that can be edited");
    let answer = agent.dir.path().join("answer.json");
    std::fs::write(&answer, "{\"answer\":1}").unwrap();
    agent.host(&["fork", "last", "--edit", "tool(0,0)=answer.json"]).exits(2).says("is not an output");
    std::fs::write(&answer, "{\"answer\":\"one is done\"}").unwrap();
    assert_eq!(agent.host(&["fork", "last", "--edit", "tool(0,0)=answer.json"]).ok().stdout, "the end\n");
    let shown = agent.show();
    assert!(!names(&shown).contains(&"tool(0,0)/model(0)"), "what gave the old answer is left out");
    assert_eq!(outcome(&shown, "tool(0,1)/model(1)")["model"]["text"], "two is done");
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn no_tool_can_call_an_agent() {
    let script = "[[reply]]\ncalls = [{ name = \"relay\", input = { batches = [[{ name = \"one\", input = { prompt = \"x\" } }]] } }]\n\
                  [[reply]]\ntext = \"the end\"";
    let agent = Agent::scripted(script).table(&tool("hostile")).table("permissions.calls = [\"*\"]");
    beside(&agent, "one", "[[reply]]\ntext = \"x\"", &[]);
    let agent = agent.table("[tools.one]\nagent = \"one/agent.toml\"");
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    let (kind, message) = tool_error(&shown, "tool(0,0)/call(0)");
    assert_eq!((kind, message), ("not_called", "`one` is an agent, and no tool can call one"));
    let text = std::fs::read_to_string(agent.toml()).unwrap().replace("[\"*\"]", "[\"one\"]");
    std::fs::write(agent.toml(), text).unwrap();
    agent.host(&["check"]).exits(2).says("`permissions.calls` matches no tool of this agent: `one`");
}

#[test]
fn agents_in_a_circle_or_too_deep_are_refused() {
    let reply = "[[reply]]\ntext = \"x\"";
    let calls = |name: &str| format!("[tools.x]\nagent = \"../{name}/agent.toml\"");
    let agent = one(reply, &[&calls("two")]);
    beside(&agent, "two", reply, &[&calls("one")]);
    agent
        .host(&["check"])
        .exits(2)
        .says("agents cannot call each other in a cycle")
        .says("take one of them out");
    beside(&agent, "two", reply, &["[tools.x]\nagent = \"agent.toml\""]);
    agent.host(&["run"]).exits(2).says("in a cycle");
    beside(&agent, "two", reply, &[&calls("three")]);
    beside(&agent, "three", reply, &[]);
    agent.host(&["check"]).ok();
    beside(&agent, "three", reply, &[&calls("four")]);
    beside(&agent, "four", reply, &[]);
    agent.host(&["check"]).exits(2).says("agents call each other at most 3 deep");
}

#[test]
fn what_an_agents_table_cannot_have() {
    let reply = "[[reply]]\ntext = \"x\"";
    for (line, said) in [
        ("source = \"x\"", "both `source` and `agent` are given"),
        ("include = [\"x\"]", "`include` has no meaning for an agent in [tools.one]"),
        ("hidden = true", "`hidden` has no meaning for an agent"),
        ("permissions.env = [\"LANG\"]", "`permissions` has no meaning for an agent"),
        ("limits.timeout = \"1s\"", "`limits` has no meaning for an agent"),
        ("retry.max_attempts = 1", "`retry` has no meaning for an agent"),
    ] {
        let agent = one(reply, &[]);
        let text = std::fs::read_to_string(agent.toml()).unwrap();
        std::fs::write(agent.toml(), format!("{text}{line}\n")).unwrap();
        agent.host(&["check"]).exits(2).says(said);
    }
    let agent = one(reply, &[]);
    let toml = agent.dir.path().join("one/agent.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    std::fs::write(&toml, text.replace("description = \"Does one thing.\"\n", "")).unwrap();
    agent.host(&["check"]).exits(2).says("does not say what the agent").says("add `description");
    std::fs::remove_file(&toml).unwrap();
    agent.host(&["check"]).exits(2).says("it does not exist");
    let twice = one(reply, &[]).table("[tools.e]\nagent = \"one/agent.toml\"\nprefix = \"on\"");
    twice.host(&["check"]).exits(2).says("the tool `one` is already offered by");
}

#[test]
fn no_agent_s_tools_get_at_what_another_agent_keeps() {
    let reply = "[[reply]]\ntext = \"x\"";
    let hostile = tool("hostile");
    let grant = |line: &str| format!("{hostile}\n{line}");
    let dirs = |host: &str, access: &str| {
        grant(&format!("permissions.dirs = [{{ host = \"{host}\", guest = \"/d\", access = \"{access}\" }}]"))
    };
    let check = |below: &[&str], above: &str| {
        let agent = one(reply, below).table(above);
        std::fs::create_dir(agent.dir.path().join("keys")).unwrap();
        std::fs::write(agent.dir.path().join("keys/key"), "secret").unwrap();
        agent.host(&["check"])
    };
    check(&[&dirs("../keys", "rw")], "").ok();
    let agent = two();
    beside(&agent, "one", reply, &[&dirs("../two", "rw")]);
    agent.host(&["check"]).exits(2).says("holds what decides on");
    beside(&agent, "one", reply, &[&dirs("../two", "ro")]);
    agent.host(&["check"]).ok();
    check(&[], &dirs("one", "rw")).exits(2).says("one/agent.toml is in this directory");
    let secret = "[secrets.S]\nfile = \"keys/key\"";
    check(&[&dirs("../keys", "ro")], secret).exits(2).says("holds a secret or key of");
    check(&["[secrets.S]\nenv = \"MINE\""], &grant("permissions.env = [\"MINE\"]"))
        .exits(2)
        .says("env has MINE, a secret or key of");
}

#[test]
fn an_agent_that_answers_in_a_form_gives_a_value_of_it() {
    let schema = "[agent.output_schema]\ntype = \"object\"\nrequired = [\"n\"]\nproperties = { n = { type = \"integer\" } }";
    let fits = one("[[reply]]\ntext = '{ \"n\": 1 }'", &[schema]);
    let (ran, shown) = fits.run_and_show();
    ran.ok();
    assert_eq!(*tool_output(&shown, "tool(0,0)"), serde_json::json!({ "answer": { "n": 1 } }));
    let spec = &shown[0]["request"]["run"]["tools"][0]["spec"]["output_schema"]["properties"]["answer"];
    assert_eq!(spec["required"], serde_json::json!(["n"]), "the model is told of the form");
    fits.host(&["replay", "last"]).ok();
    let unfit = one("[[reply]]\ntext = '{}'\n[[reply]]\ntext = 'n is 1'", &[schema]);
    let (ran, shown) = unfit.run_and_show();
    ran.ok();
    let (kind, message) = tool_error(&shown, "tool(0,0)");
    assert!(kind == "failed" && message.contains("not JSON") && message.ends_with("n is 1"), "{message}");
    unfit.host(&["replay", "last"]).ok();
}

#[test]
fn an_agent_has_its_parameters_by_default_or_is_not_taken() {
    let agent = one("[[reply]]\ntext = \"x\"", &["[parameters.unit]\ndefault = \"celsius\""]);
    let toml = agent.dir.path().join("one/agent.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    std::fs::write(&toml, text.replace("[agent]", "[agent]\ninstructions = \"Tell {{ unit }}.\"")).unwrap();
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    assert_eq!(shown[0]["request"]["run"]["tools"][0]["agent"]["instructions"], "Tell celsius.");
    std::fs::write(&toml, text.replace("default = \"celsius\"", "")).unwrap();
    agent.host(&["check"]).exits(2).says("[tools.one] is the agent").says("unit");
}

#[test]
fn a_test_answers_for_an_agent_that_is_called() {
    let agent = two();
    agent.host(&["run"]).ok();
    let run = agent.dir.path().join("run.jsonl");
    agent.host(&["journal", "export", "last", "-o", run.to_str().unwrap()]).ok();
    let tests = agent.dir.path().join("tests");
    std::fs::create_dir(&tests).unwrap();
    std::fs::write(tests.join("recorded.toml"), "recorded = \"../run.jsonl\"").unwrap();
    assert!(agent.host(&["test"]).ok().stdout.contains("1 passed, 0 failed"));
    std::fs::write(tests.join("scripted.toml"), format!("prompt = \"go on\"\n{ASKS_TWO}")).unwrap();
    let ran = agent.host(&["test", "--filter", "scripted"]);
    ran.exits(1);
    assert!(ran.stdout.contains("was not made, because it is of another agent"), "{}", ran.stdout);
    let stub = |tool: &str, answer: &str| {
        format!("[[tool]]\nname = \"{tool}\"\noutput = {{ answer = \"{answer}\" }}\n")
    };
    let stubs = stub("one", "one is done") + &stub("ask_two", "two is done");
    std::fs::write(tests.join("scripted.toml"), format!("prompt = \"go on\"\n{ASKS_TWO}\n{stubs}")).unwrap();
    let ran = agent.host(&["test"]);
    assert!(ran.stdout.contains("2 passed, 0 failed"), "{}", ran.stdout);
}
