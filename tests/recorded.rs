//! What is recorded: whole or refused, carried elsewhere as it is, listed, and cleared away.

use std::fs;
use std::path::{Path, PathBuf};

use host::journal::{Event, RunFile, RunState, RunsDir};
use host::message::{Request, Slot};
use serde_json::Value;

use crate::support::{Agent, copy, has_ended, root};
use crate::words::{killed_at, notes};

const SCRIPT: &str = "[[reply]]\ncalls = [{ name = \"echo\", input = { value = \"ü\" } }, { name = \"panic_now\" }]\n\
                      [[reply]]\ntext = \"the end\"";

/// An agent with a run that has ended, and that run's file.
pub fn ended() -> (Agent, PathBuf) {
    let agent = Agent::scripted(SCRIPT).guest("hostile");
    agent.host(&["run"]).ok();
    let file = only_file(&agent);
    (agent, file)
}

fn only_file(agent: &Agent) -> PathBuf {
    let mut entries = fs::read_dir(agent.state().join("runs")).unwrap();
    let file = entries.next().unwrap().unwrap().path();
    assert!(entries.next().is_none() && file.is_file(), "{}", file.display());
    file
}

pub fn ids(agent: &Agent) -> Vec<String> {
    let listed: Vec<Value> = serde_json::from_str(&agent.host(&["runs", "--json"]).ok().stdout).unwrap();
    listed.iter().rev().map(|run| run["run"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_run_goes_elsewhere_and_comes_back_byte_for_byte() {
    let (agent, file) = ended();
    let exported = agent.host(&["journal", "export", "last"]).ok().stdout.clone();
    let first: Value = serde_json::from_str(exported.lines().next().unwrap()).unwrap();
    assert_eq!((&first["host_run"], &first["state"]), (&Value::from(1), &Value::from("answered")));
    assert!(exported.contains("{\"slot\":\"tool(0,0)\",\"event\":{\"finished\":"), "{exported}");
    assert!(exported.contains("{\"output\":\"ü\"}"), "{exported}");
    let lines = agent.dir.path().join("run.jsonl");
    agent.host(&["journal", "export", "last", "-o", lines.to_str().unwrap()]).ok();
    assert_eq!(fs::read_to_string(&lines).unwrap(), exported);
    let before = fs::read(&file).unwrap();

    let elsewhere = Agent::raw("version = 1");
    for source in [&lines, &file] {
        elsewhere.host(&["replay", source.to_str().unwrap()]).ok();
        let shown = elsewhere.host(&["runs", "show", source.to_str().unwrap()]);
        assert!(shown.ok().stdout.contains("trapped: "), "{}", shown.stdout);
        let imported = elsewhere.host(&["journal", "import", source.to_str().unwrap()]);
        assert_eq!(imported.ok().stdout.trim(), ids(&agent)[0]);
        elsewhere.host(&["journal", "import", source.to_str().unwrap()]).exits(2).says("is already in");
        assert_eq!(fs::read(only_file(&elsewhere)).unwrap(), before);
        assert_eq!(elsewhere.host(&["replay", "last"]).ok().stdout, "the end\n");
        elsewhere.host(&["journal", "gc", "--keep-runs", "0"]).ok();
    }
}

#[test]
fn a_run_that_goes_on_goes_on_where_it_is_imported() {
    let agent = Agent::scripted(SCRIPT).guest("hostile");
    // A commit may take up what came after the calls as well.
    agent.run_killed_once(|shown| {
        let called = ["tool(0,0)", "tool(0,1)"].iter().all(|slot| has_ended(shown, slot));
        called && !has_ended(shown, "model(1)")
    });
    let file = agent.dir.path().join("run.jsonl");
    agent.host(&["journal", "export", "last", "-o", file.to_str().unwrap()]).ok();
    agent.host(&["replay", file.to_str().unwrap()]).exits(1).says("the recording ends at model(1)");
    fs::remove_dir_all(agent.state()).unwrap();
    agent.host(&["journal", "import", file.to_str().unwrap()]).ok();
    assert!(agent.host(&["runs"]).ok().stdout.contains("  interrupted  "));
    let again = agent.dir.path().join("again.jsonl");
    agent.host(&["journal", "export", "last", "-o", again.to_str().unwrap()]).ok();
    assert_eq!(fs::read(&again).unwrap(), fs::read(&file).unwrap());
    assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "the end\n");
    only_file(&agent);
}

#[test]
fn only_runs_that_ended_are_cleared_away() {
    let (agent, _) = ended();
    for _ in 0..3 {
        agent.host(&["run"]).ok();
    }
    let killed =
        agent.command(&["run"]).env("FAILPOINTS", "journal-before-ack=3*off->1*return").output().unwrap();
    assert!(!killed.status.success());
    let before = ids(&agent);
    assert_eq!(before.len(), 5);
    agent.host(&["journal", "gc"]).exits(2).says("say what to keep");
    agent.host(&["journal", "gc", "--keep", "1d"]).ok().says("0 ended runs removed, 4 kept");
    agent.host(&["journal", "gc", "--keep", "1d", "--keep-runs", "0"]).ok().says("0 ended runs removed");
    let would = agent.host(&["journal", "gc", "--keep-runs", "1", "--dry-run"]);
    would.ok().says("3 ended runs would be removed, 1 kept");
    assert_eq!(ids(&agent), before);
    let removed = agent.host(&["journal", "gc", "--keep-runs", "1"]);
    assert_eq!(removed.ok().stdout, would.stdout);
    assert_eq!(ids(&agent), before[3..], "the newest that ended, and the one that did not");
    agent.host(&["resume", "last"]).ok();
    agent.host(&["journal", "gc", "--keep", "0s"]).ok().says("2 ended runs removed");
    assert!(ids(&agent).is_empty());
}

#[test]
fn an_output_of_100_mb_comes_back() {
    let script = "[[reply]]\ncalls = [{ name = \"big_output\", input = { bytes = 104857600 } }]\n\
                  [[reply]]\nexpect = [\"bytes left out\"]\ntext = \"the end\"";
    let agent = Agent::scripted(script)
        .guest("hostile")
        .table("[tools.hostile.limits]\noutput = \"101MiB\"\nmemory = \"512MiB\"\nshown = \"1KiB\"");
    agent.host(&["run"]).ok();
    agent.host(&["replay", "last"]).ok();
    let file = agent.dir.path().join("run.jsonl");
    agent.host(&["journal", "export", "last", "-o", file.to_str().unwrap()]).ok();
    assert!(fs::metadata(&file).unwrap().len() > 104_857_600);
    let elsewhere = Agent::raw("version = 1");
    elsewhere.host(&["journal", "import", file.to_str().unwrap()]).ok();
    assert_eq!(fs::read(only_file(&elsewhere)).unwrap(), fs::read(only_file(&agent)).unwrap());
    assert_eq!(elsewhere.host(&["replay", "last"]).ok().stdout, "the end\n");
}

#[test]
fn a_date_that_nobody_can_write_is_shown_as_the_last_one_that_one_can() {
    let (agent, file) = ended();
    let mut run = RunFile::read(&file).unwrap();
    run.summary.started_ms = u64::MAX;
    for entry in &mut run.entries {
        if let Event::Started(started) = &mut entry.event {
            started.at_ms = u64::MAX;
        }
    }
    let path = agent.dir.path().join("late.jsonl");
    run.write(&mut fs::File::create(&path).unwrap()).unwrap();
    fs::remove_file(file).unwrap();
    agent.host(&["journal", "import", path.to_str().unwrap()]).ok();
    for args in [&["runs"][..], &["runs", "show", "last"]] {
        let shown = agent.host(args);
        assert!(shown.ok().stdout.contains("9999-12-31T23:59:59Z"), "{}", shown.stdout);
    }
}

/// The fixtures of a version: written once, by the host that wrote that version, and read by every later one.
pub fn fixtures(version: &str) -> PathBuf {
    root().join("tests/fixtures").join(version)
}

#[test]
fn what_older_hosts_wrote_is_read() {
    let agent = Agent::raw("version = 1");
    let sealed = fixtures("v1").join("ended.jsonl.gz");
    assert_eq!(agent.host(&["replay", sealed.to_str().unwrap()]).ok().stdout, "the end\n");
    agent.host(&["journal", "import", sealed.to_str().unwrap()]).ok();
    agent.host(&["journal", "verify", INTERRUPTED]).ok();
    // The same run, as it was before it went on.
    let agent = Agent::raw("version = 1");
    copy(&fixtures("v1").join("interrupted"), &agent.state().join("runs").join(INTERRUPTED));
    let runs = RunsDir::new(&agent.state());
    let entries = runs.read(INTERRUPTED.parse().unwrap()).unwrap();
    let slots: Vec<String> = entries.iter().map(|entry| entry.slot.to_string()).collect();
    assert_eq!(slots, ["run", "model(0)", "model(0)", "tool(0,0)", "tool(0,0)", "tool(0,1)", "tool(0,1)"]);
    agent.host(&["replay", INTERRUPTED]).exits(1).says("the recording ends at tool(0,1)");
    let verified = agent.host(&["journal", "verify"]);
    assert_eq!(verified.ok().stdout.matches("ok: ").count(), 1, "{}", verified.stdout);
}

#[test]
fn runs_that_began_by_rules_2_go_on_by_them() {
    let agent = Agent::raw("version = 1");
    // A call that is made again and again with other words, a summary, a reply that says nothing.
    let ended = fixtures("rules2").join("ended.jsonl.gz");
    let replayed = agent.host(&["replay", ended.to_str().unwrap()]);
    assert_eq!(replayed.ok().stdout, "the end\n");
    replayed.says("replayed 9 effects");
    // A conversation that was too long for the model: the run broke off there.
    let too_long = fixtures("rules2").join("too-long.jsonl");
    agent.host(&["replay", too_long.to_str().unwrap()]).exits(1).says("the recording ends at model(2)");
    agent.host(&["journal", "import", too_long.to_str().unwrap()]).ok();
    let shown = agent.host(&["runs", "show", "last"]).ok().stdout.clone();
    assert!(shown.contains("maximum context length is 8192 tokens"), "{shown}");
    agent.host(&["journal", "verify"]).ok();
}

pub const INTERRUPTED: &str = "01M84F5HV6C2FKD3SEBBE0SGS3";

/// The agent whose runs the fixtures of rules 3 and 4 are. One of each was recorded by a host that says everything to the
/// model in other words than any host that was let out.
fn told_agent() -> Agent {
    let toml = "version = 1\n[agent]\nname = \"fixture\"\n\
                instructions = \"A run that later versions have to read.\"\n\
                output_schema = { type = \"object\", required = [\"a\"] }\nprompt = \"go\"\n\
                [model]\nprovider = \"scripted\"\nscript = \"script.toml\"\n[limits]\ncompact_at_tokens = 1000\n";
    let calls = |call: &str| format!("[[reply]]\ncalls = [{{ {call} }}]\n");
    let script = [
        "[[reply]]\n",
        &format!("{}stop = \"max_tokens\"\n", calls("name = \"nothing\"")),
        &calls(&format!("name = {:?}", "n".repeat(2000))),
        "[[reply]]\nerror = { message = \"too long\", too_long = true }\n",
        "[[reply]]\nsummary = true\ntext = \"It began with nothing.\"\n",
        &calls("name = \"nothing\", input = { a = 1 }"),
        "tokens = { input = 500, output = 50 }\n",
        &calls("name = \"nothing\", input = { a = 2 }"),
        "tokens = { input = 900, output = 200 }\n",
        "[[reply]]\nsummary = true\ntext = \"It was nothing again.\"\n",
        "[[reply]]\ntext = \"{}\"\n[[reply]]\ntext = '{\"a\":1}'\n",
    ];
    let agent = Agent::raw(toml);
    fs::write(agent.dir.path().join("script.toml"), script.concat()).unwrap();
    agent
}

/// What is left of such a run, if it was killed while the model was asked at a slot and the agent.toml is here.
fn left_of(agent: &Agent, fixture: &Path, slot: &Slot) -> PathBuf {
    let mut run = RunFile::read(fixture).unwrap();
    run.summary.state = RunState::Interrupted;
    run.entries = killed_at(&run.entries, slot);
    for entry in &mut run.entries {
        if let Event::Started(started) = &mut entry.event
            && let Request::Run(manifest) = &mut started.request
        {
            agent.toml().to_str().unwrap().clone_into(&mut manifest.config);
        }
    }
    let path = agent.dir.path().join("left.jsonl");
    run.write(&mut fs::File::create(&path).unwrap()).unwrap();
    path
}

/// What the host said to the model in the last run.
fn told(agent: &Agent) -> Vec<String> {
    let path = agent.dir.path().join("told.jsonl");
    let _ = fs::remove_file(&path);
    agent.host(&["journal", "export", "last", "-o", path.to_str().unwrap()]).ok();
    let mut told = notes(&RunFile::read(&path).unwrap().entries);
    // An attempt that was cut off is followed by one that asks the same.
    told.dedup();
    told
}

#[test]
fn runs_go_on_in_the_words_in_which_they_began() {
    let answer = "{\"a\":1}\n";
    for fixture in ["rules3/ended", "rules3/other-words", "rules4/ended", "rules4/other-words"] {
        let fixture = fixtures(&format!("{fixture}.jsonl"));
        let path = fixture.to_str().unwrap();
        let mut said = notes(&RunFile::read(&fixture).unwrap().entries);
        said.dedup();
        let agent = told_agent();
        assert_eq!(agent.host(&["replay", path]).ok().stdout, answer, "{path}");
        agent.host(&["journal", "import", path]).ok();
        agent.host(&["journal", "verify"]).ok();
        assert_eq!(told(&agent), said, "{path}");

        for killed in [Slot::model(1), Slot::RUN.summary_of(4), Slot::RUN.summary_of(6), Slot::model(7)] {
            let agent = told_agent();
            let left = left_of(&agent, &fixture, &killed);
            agent.host(&["journal", "import", left.to_str().unwrap()]).ok();
            let recorded = told(&agent);
            assert_eq!(agent.host(&["resume", "last"]).ok().stdout, answer, "{path} killed at {killed}");
            assert_eq!(told(&agent)[..recorded.len()], recorded, "{path} killed at {killed}");
            assert_eq!(agent.host(&["replay", "last"]).ok().stdout, answer);
        }

        let whole = left_of(&agent, &fixture, &Slot::model(7));
        for at in ["1", "4", "6"] {
            let forked = agent.host(&["fork", whole.to_str().unwrap(), "--at", at]);
            assert_eq!(forked.ok().stdout, answer, "{path} forked at {at}");
            assert_eq!(agent.host(&["replay", "last"]).ok().stdout, answer);
        }
        assert_eq!(told(&agent)[..3], said[..3], "{path}: what was said before the fork");
    }
}
