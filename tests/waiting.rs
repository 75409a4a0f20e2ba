//! Waiting for a person's answer, or for a moment: the run suspends, and goes on in another process.

use std::os::unix::process::ExitStatusExt as _;

use host::journal::{Event, RunFile, RunState};
use host::message::{Digest, Json, Manifest, Request, Slot};
use serde_json::{Value, json};

use crate::subagents::one;
use crate::support::{Agent, root, tool_error, tool_output};
use crate::words::{killed_at, set_digests};

#[test]
fn a_question_waits_for_its_answer() {
    let script = r#"
[[reply]]
calls = [
    { name = "ask_human", input = { question = "Which city?" } },
    { name = "get_weather", input = { city = "New York" } },
]
[[reply]]
expect = ["San Francisco, please"]
text = "done"
"#;
    let agent = Agent::scripted(script).builtins(&["ask_human"]).guest("weather");
    let ran = agent.host(&["run"]);
    ran.exits(3).says("ask_human {\"question\":\"Which city?\"}  waits for an answer").says("host answer");
    tool_output(&agent.show(), "tool(0,1)");
    agent.host(&["approve", "last"]).exits(2).says("nothing in this run waits for approval");
    agent.host(&["resume", "last", "--settle", "tool(0,0)=retry"]).exits(2).says("is not in doubt");
    agent.host(&["answer", "last", "San Francisco, please"]).ok();
    assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "done\n");
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn a_moment_is_waited_for_by_suspending() {
    let sleep = |input: &str| {
        let script = format!(
            "[[reply]]\ncalls = [{{ name = \"sleep_until\", input = {{ {input} }} }}]\n[[reply]]\ntext = \"done\""
        );
        Agent::scripted(&script).builtins(&["sleep_until"])
    };
    for past in ["seconds = 0", "at = \"2020-01-01T00:00:00Z\""] {
        let agent = sleep(past);
        agent.host(&["run"]).ok();
        assert!(
            tool_output(&agent.show(), "tool(0,0)")["now"].as_str().is_some_and(|now| now.ends_with('Z'))
        );
    }
    for wrong in
        ["at = \"soon\"", "at = \"2020-01-01T00:00:00Z\", seconds = 1", "seconds = 99999999999999999"]
    {
        let agent = sleep(wrong);
        agent.host(&["run"]).ok();
        assert_eq!(tool_error(&agent.show(), "tool(0,0)").0, "invalid_input", "{wrong}");
    }
    let agent = sleep("seconds = 86400");
    let first = agent.host(&["run"]);
    first.exits(3).says("sleep_until").says("waits until");
    let until = |text: &str| text.split("waits until ").nth(1).unwrap()[..24].to_owned();
    let again = agent.host(&["resume", "last"]);
    assert_eq!(until(&again.exits(3).stderr), until(&first.stderr), "the moment does not move");
    let shown = agent.show();
    assert_eq!(shown.iter().find(|report| report["slot"] == "tool(0,0)").unwrap()["attempt"], 1);
}

/// What is recorded of the last run, as if all of it had happened so many days ago.
fn days_ago(agent: &Agent, days: u64) {
    let file = agent.dir.path().join("run.jsonl");
    agent.host(&["journal", "export", "last", "-o", file.to_str().unwrap()]).ok();
    let mut run = RunFile::read(&file).unwrap();
    for entry in &mut run.entries {
        let at_ms = match &mut entry.event {
            Event::Started(it) => &mut it.at_ms,
            Event::Failed(it) => &mut it.at_ms,
            Event::Finished(it) => &mut it.at_ms,
        };
        *at_ms -= days * 24 * 3600 * 1000;
    }
    run.write(&mut std::fs::File::create(&file).unwrap()).unwrap();
    std::fs::remove_dir_all(agent.state()).unwrap();
    agent.host(&["journal", "import", file.to_str().unwrap()]).ok();
}

#[test]
fn a_run_goes_on_when_its_moment_has_come() {
    let script = "[[reply]]\ncalls = [{ name = \"sleep_until\", input = { seconds = 86400 } }, \
                  { name = \"echo\", input = { value = 1 } }]\n\
                  [[reply]]\nexpect = [\"now\"]\ntext = \"good morning\"";
    let agent = Agent::scripted(script).builtins(&["sleep_until"]).guest("hostile");
    agent.host(&["run"]).exits(3).says("waits until");
    agent.host(&["resume", "last"]).exits(3);
    days_ago(&agent, 2);
    let resumed = agent.host(&["resume", "last"]);
    assert_eq!(resumed.ok().stdout, "good morning\n");
    resumed.says("= tool(0,1)");
    agent.host(&["replay", "last"]).ok();
}

/// An agent whose model calls `relay`, which makes these calls at once.
fn relays(calls: &Value, tables: &[&str]) -> Agent {
    let input = json!({ "batches": [calls] }).to_string();
    let script = format!(
        "[[reply]]\ncalls = [{{ name = \"relay\", input_text = '{input}' }}]\n[[reply]]\ntext = \"done\""
    );
    let agent = Agent::scripted(&script).builtins(&["ask_human", "sleep_until"]).guest("hostile");
    let agent =
        agent.table("[tools.hostile.permissions]\ncalls = [\"ask_human\", \"sleep_until\", \"echo\"]");
    tables.iter().fold(agent, |agent, table| agent.table(table))
}

fn ask(question: &str) -> Value {
    json!({ "name": "ask_human", "input": { "question": question } })
}

#[test]
fn a_tool_waits_for_an_answer_and_for_a_moment() {
    let sleep = json!({ "name": "sleep_until", "input": { "seconds": 86400 } });
    let echo = json!({ "name": "echo", "input": { "value": 7 } });
    let agent = relays(&json!([ask("Which city?"), echo, sleep]), &[]);
    let ran = agent.host(&["run"]);
    ran.exits(3).says("tool(0,0)/call(0) ask_human").says("host answer").says("waits until");
    ran.says("then go on with: host resume");
    assert_eq!(tool_output(&agent.show(), "tool(0,0)/call(1)"), 7, "what does not wait has ended");
    agent.host(&["answer", "last", "Oslo"]).ok();
    agent.host(&["resume", "last"]).exits(3).says("tool(0,0)/call(2) sleep_until");
    days_ago(&agent, 2);
    let resumed = agent.host(&["resume", "last"]);
    resumed.ok().says("= tool(0,0)/call(0)").says("= tool(0,0)/call(1)");
    let shown = agent.show();
    let answers = tool_output(&shown, "tool(0,0)");
    assert_eq!((&answers[0]["output"]["answer"], &answers[1]["output"]), (&json!("Oslo"), &json!(7)));
    assert!(answers[2]["output"]["now"].is_string(), "{answers}");
    agent.host(&["replay", "last"]).ok();
    agent.host(&["journal", "verify", "last"]).ok();
}

/// It is stopped while it waits, and called again: whether that does harm is for a person to say, or for agent.toml.
#[test]
fn a_tool_that_may_change_something_and_waits_is_told_of_at_once() {
    let writes = "[[tools.hostile.permissions.dirs]]\nhost = \"work\"\nguest = \"/work\"\naccess = \"rw\"";
    let calls = json!([ask("Which city?")]);
    let agent = relays(&calls, &[writes]);
    std::fs::create_dir(agent.dir.path().join("work")).unwrap();
    agent.host(&["run"]).exits(3).says("host answer").says("--settle 'tool(0,0)=HOW'");
    agent.host(&["answer", "last", "Oslo"]).ok();
    agent.host(&["resume", "last"]).exits(3).says("--settle 'tool(0,0)=HOW'");
    agent.host(&["resume", "last", "--settle", "tool(0,0)=retry"]).ok();
    assert_eq!(tool_output(&agent.show(), "tool(0,0)")[0]["output"]["answer"], "Oslo");

    let agent = relays(&calls, &[writes, "[tools.hostile.retry]\nidempotent = [\"relay\"]"]);
    std::fs::create_dir(agent.dir.path().join("work")).unwrap();
    let ran = agent.host(&["run"]);
    assert!(!ran.exits(3).stderr.contains("--settle"), "{}", ran.stderr);
    agent.host(&["answer", "last", "Oslo"]).ok();
    agent.host(&["resume", "last"]).ok();
}

/// At every commit of a run that waits, and of the one that goes on with it.
#[test]
fn a_kill_at_every_write_of_a_tool_that_waits_loses_nothing() {
    let calls = json!([ask("Which city?"), { "name": "echo", "input": { "value": 7 } }]);
    let kill = |commit: usize, in_resume: bool| {
        let agent = relays(&calls, &[]);
        let failpoint = format!("journal-before-ack={commit}*off->1*return");
        let killed = |args: &[&str]| {
            let ended = agent.command(args).env("FAILPOINTS", &failpoint).output().unwrap();
            ended.status.signal() == Some(9)
        };
        let was_killed = if in_resume {
            agent.host(&["run"]).exits(3);
            agent.host(&["answer", "last", "Oslo"]).ok();
            killed(&["resume", "last"])
        } else {
            let was_killed = killed(&["run"]);
            let resumed = agent.host(&["resume", "last"]);
            if resumed.code == Some(2) {
                resumed.says("interrupted before it began");
                return was_killed;
            }
            resumed.exits(3);
            agent.host(&["answer", "last", "Oslo"]).ok();
            was_killed
        };
        assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "done\n", "{commit} {in_resume}");
        assert_eq!(tool_output(&agent.show(), "tool(0,0)")[0]["output"]["answer"], "Oslo");
        agent.host(&["replay", "last"]).ok();
        was_killed
    };
    for in_resume in [false, true] {
        let kills = (0..100).take_while(|commit| kill(*commit, in_resume)).count();
        assert!((3..12).contains(&kills), "{kills} kills, in a resume: {in_resume}");
    }
}

#[test]
fn a_test_answers_for_the_person() {
    let toml = root().join("examples/refund/agent.toml");
    let agent = Agent::scripted("");
    let tested = agent.host(&["test", toml.to_str().unwrap()]);
    assert!(tested.ok().stdout.ends_with("3 passed, 0 failed\n"), "{}", tested.stdout);
    let script = "[[reply]]\ncalls = [{ name = \"ask_human\", input = { question = \"Well?\" } }]\n\
                  [[reply]]\ntext = \"done\"";
    let agent = Agent::scripted(script).builtins(&["ask_human"]);
    std::fs::create_dir(agent.dir.path().join("tests")).unwrap();
    let case = agent.dir.path().join("tests/case.toml");
    std::fs::write(&case, "script = \"../script.toml\"").unwrap();
    let tested = agent.host(&["test"]);
    let said = "was not made, because it waits for a person, or for a moment";
    assert!(tested.exits(1).stdout.contains(said), "{}", tested.stdout);
}

/// Has the host describe its own tools, and what a called agent takes, in other words.
fn describe_otherwise(manifest: &mut Manifest) {
    let mut tools = manifest.tools.to_vec();
    for tool in &mut tools {
        if let Some(agent) = &mut tool.agent {
            describe_otherwise(agent);
            tool.component = Digest::of_json(&agent.identity());
            let schema = tool.spec.input_schema.as_str();
            let other = schema.replace("What it is to do", "What to do");
            assert_ne!(schema, other);
            tool.spec.input_schema = Json::parse(other).unwrap();
        } else {
            "Asks somebody.".clone_into(&mut tool.spec.description);
        }
    }
    manifest.tools = tools.into();
}

#[test]
fn a_run_goes_on_with_what_its_models_were_told_of_the_hosts_own_tools() {
    let script = "[[reply]]\ncalls = [{ name = \"ask_human\", input = { question = \"Which?\" } }]\n\
                  [[reply]]\nexpect = [\"the second\"]\ntext = \"done\"";
    let agent = one(script, &[]).builtins(&["ask_human"]);
    let toml = agent.dir.path().join("one/agent.toml");
    let text =
        std::fs::read_to_string(&toml).unwrap().replace("[agent]", "[agent]\nbuiltins = [\"ask_human\"]");
    std::fs::write(&toml, text).unwrap();
    agent.host(&["run"]).exits(3);
    agent.host(&["answer", "last", "the second"]).ok();
    agent.host(&["resume", "last"]).ok();
    let file = agent.dir.path().join("run.jsonl");
    let path = file.to_str().unwrap();
    agent.host(&["journal", "export", "last", "-o", path]).ok();
    let mut run = RunFile::read(&file).unwrap();
    let mut components = None;
    for entry in &mut run.entries {
        let Event::Started(started) = &mut entry.event else { continue };
        match &mut started.request {
            Request::Run(manifest) => {
                let before = manifest.tool("one").unwrap().component;
                describe_otherwise(manifest);
                components = Some((before, manifest.tool("one").unwrap().component));
            }
            Request::Tool(ask) | Request::Approval(ask) => {
                let (before, after) = components.unwrap();
                if let Some(target) = ask.target.as_mut().filter(|target| target.component == before) {
                    target.component = after;
                }
            }
            Request::Model(_) | Request::Api(_) => {}
        }
        started.digest = started.request.digest();
    }
    let manifest = host::engine::recorded_manifest(run.summary.run, &run.entries).unwrap().clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(set_digests(&manifest, &mut run.entries)), 4, "every request");
    // As it was before the agent that is called had its answer.
    let caller = Slot::tool(0, 0);
    run.entries = killed_at(&run.entries, &caller.model_of(1));
    run.entries.retain(|entry| entry.slot != caller || matches!(entry.event, Event::Started(_)));
    run.summary.state = RunState::Interrupted;
    run.write(&mut std::fs::File::create(&file).unwrap()).unwrap();
    std::fs::remove_dir_all(agent.state()).unwrap();
    agent.host(&["journal", "import", path]).ok();
    assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "the end\n");
    agent.host(&["replay", "last"]).ok();
    let shown = agent.host(&["runs", "show", "last", "--json"]).ok().stdout.clone();
    assert!(shown.contains("Asks somebody.") && !shown.contains("Asks the person"), "{shown}");
}
