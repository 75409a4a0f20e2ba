//! Conversations that go on over several runs: what the next run begins with, whose turn it is, and what is kept.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};

use host::journal::SessionsDir;
use host::message::SessionKey;
use serde_json::{Value, json};

use crate::recorded::ids;
use crate::support::{Agent, Ran};

/// A model that calls a tool, and answers.
const CALLS: &str = r#"
[[reply]]
calls = [{ name = "echo", input = { value = "four" } }]
[[reply]]
expect = ["echo: \"four\""]
text = "It is four."
"#;

fn calling() -> Agent {
    Agent::scripted(CALLS).guest("hostile")
}

/// What the model says from now on.
fn reply(agent: &Agent, script: &str) {
    std::fs::write(agent.dir.path().join("script.toml"), script).unwrap();
}

/// A run of the session `ada`.
fn ada(agent: &Agent, prompt: &str) -> Ran {
    agent.host(&["run", "agent.toml", prompt, "--session", "ada"])
}

/// The conversation of the last run's last request: who said what.
pub fn said(agent: &Agent) -> Vec<String> {
    let request = agent.host(&["runs", "request", "last"]);
    let messages: Vec<Value> = serde_json::from_str(&request.ok().stdout).unwrap();
    let words = |message: &Value| {
        let (role, said) = message.as_object().unwrap().iter().next().unwrap();
        let calls = said["calls"].as_array().filter(|calls| !calls.is_empty());
        match (role.as_str(), calls) {
            ("user", _) => format!("user: {}", said.as_str().unwrap()),
            ("assistant", Some(calls)) => format!("calls {}", calls[0]["name"].as_str().unwrap()),
            ("assistant", None) => format!("assistant: {}", said["text"].as_str().unwrap()),
            ("tool", _) => format!("{}: {}", said["name"].as_str().unwrap(), said["outcome"]),
            other => panic!("{other:?}"),
        }
    };
    messages.iter().map(words).collect()
}

const FIRST: [&str; 4] =
    ["user: What is it?", "calls echo", "echo: {\"output\":\"four\"}", "assistant: It is four."];

#[test]
fn the_next_run_begins_with_what_was_said() {
    let agent = calling();
    assert_eq!(ada(&agent, "What is it?").ok().stdout, "It is four.\n");
    reply(&agent, "[[reply]]\nexpect = [\"user: Are you sure?\"]\ntext = \"I am.\"");
    assert_eq!(ada(&agent, "Are you sure?").ok().stdout, "I am.\n");
    let two = [&FIRST[..], &["user: Are you sure?"]].concat();
    assert_eq!(said(&agent), two);
    reply(&agent, "[[reply]]\ntext = \"Bye.\"");
    ada(&agent, "Bye.").ok();
    assert_eq!(said(&agent), [&two[..], &["assistant: I am.", "user: Bye."]].concat());
    let shown = agent.host(&["runs", "show", "last"]);
    assert!(shown.ok().stdout.contains("\nsession  ada, after 6 messages\n"), "{}", shown.stdout);

    // A run of another session, or of none, knows nothing of it.
    agent.host(&["run", "agent.toml", "Hello.", "--session", "bob"]).ok();
    assert_eq!(said(&agent), ["user: Hello."]);
    agent.host(&["run", "agent.toml", "Hello."]).ok();
    assert_eq!(said(&agent), ["user: Hello."]);

    // A run has in itself all that it began with.
    let runs = ids(&agent);
    let file = agent.dir.path().join("run.jsonl");
    agent.host(&["journal", "export", &runs[2], "-o", file.to_str().unwrap()]).ok();
    std::fs::remove_dir_all(agent.state()).unwrap();
    let replayed = agent.host(&["replay", file.to_str().unwrap()]);
    assert_eq!(replayed.ok().stdout, "Bye.\n");
}

#[test]
fn sessions_are_listed_shown_and_forgotten() {
    let agent = calling();
    agent.host(&["sessions"]).ok().says("no sessions in");
    let name = agent.dir.path().file_name().unwrap().to_str().unwrap();
    ada(&agent, "What is it?").ok();
    reply(&agent, "[[reply]]\nstop = \"refusal\"\ntext = \"I would rather not.\"");
    ada(&agent, "And why?\nSay.").exits(1);
    let listed = agent.host(&["sessions"]).ok().stdout.clone();
    assert!(
        listed.starts_with("ada     2 runs  ")
            && listed.contains(&format!("  ✗ refused      {name}: And why?\n")),
        "{listed}"
    );
    let shown = agent.host(&["sessions", "show", "ada"]).ok().stdout.clone();
    let expected = [
        format!("  you: What is it?\n  {name}: It is four.\n"),
        format!("  you: And why?\n    Say.\n  {name}: (refused) I would rather not.\n"),
    ];
    assert!(expected.iter().all(|text| shown.contains(text.as_str())), "{shown}");
    let shown: Value =
        serde_json::from_str(&agent.host(&["sessions", "show", "ada", "--json"]).ok().stdout).unwrap();
    assert_eq!(
        (&shown[0]["run"], &shown[0]["ending"]),
        (&json!(ids(&agent)[0]), &json!({ "answer": "It is four." }))
    );
    let listed: Value =
        serde_json::from_str(&agent.host(&["sessions", "list", "--json"]).ok().stdout).unwrap();
    assert_eq!((&listed[0]["session"], &listed[0]["runs"]), (&json!("ada"), &json!(2)));

    agent.host(&["sessions", "forget", "ada", "--last"]).ok().says("which stays recorded");
    reply(&agent, "[[reply]]\ntext = \"So it is.\"");
    ada(&agent, "So?").ok();
    assert_eq!(said(&agent), [&FIRST[..], &["user: So?"]].concat());
    agent.host(&["sessions", "forget", "ada"]).ok().says("its runs stay recorded");
    assert_eq!(ids(&agent).len(), 3);
    for command in ["show", "forget"] {
        agent.host(&["sessions", command, "ada"]).exits(2).says("there is no session ada");
    }
    ada(&agent, "Hello.").ok();
    assert_eq!(said(&agent), ["user: Hello."]);
}

#[test]
fn what_is_refused_is_not_brought_up_again_and_what_was_stopped_is() {
    let agent = calling().table("[limits]\nmax_turns = 1");
    ada(&agent, "What is it?").exits(5);
    reply(&agent, "[[reply]]\nstop = \"refusal\"\ntext = \"I would rather not.\"");
    ada(&agent, "Something bad.").exits(1);
    reply(&agent, "[[reply]]\ntext = \"Four, then.\"");
    ada(&agent, "Well?").ok();
    assert_eq!(said(&agent), [&FIRST[..3], &["user: Well?"]].concat());
    // Calls that a run ended without are not said either: no provider takes a call without its result.
    let calls = "[[reply]]\ncalls = [{ name = \"echo\", input = { value = 1 } }, { name = \"spin\" }]";
    for (limits, stopped) in [
        ("max_turns = 1\nmax_tool_calls = 1", "max_tool_calls"),
        ("max_turns = 1\nwall_time = \"500ms\"", "wall_time"),
    ] {
        let toml = std::fs::read_to_string(agent.toml()).unwrap();
        let (head, _) = toml.split_once("[limits]").unwrap();
        std::fs::write(agent.toml(), format!("{head}[limits]\n{limits}\n")).unwrap();
        reply(&agent, calls);
        ada(&agent, "Go on.").exits(5).says(stopped);
        reply(&agent, "[[reply]]\ntext = \"So.\"");
        ada(&agent, "Again.").ok();
        let all = said(&agent);
        assert_eq!(all[all.len() - 2..], ["user: Go on.", "user: Again."], "{stopped}");
    }
}

#[test]
fn a_run_that_has_not_ended_holds_up_the_next_one() {
    let agent = calling();
    // Before it begins: there is nothing to go on with.
    let killed = |at: usize| {
        let run = ["run", "agent.toml", "What is it?", "--session", "ada"];
        let failpoint = format!("journal-before-write={at}*off->1*return");
        let killed = agent.command(&run).env("FAILPOINTS", failpoint).output().unwrap();
        assert_eq!(killed.status.signal(), Some(9));
    };
    killed(1);
    killed(3);
    let run = ids(&agent).last().unwrap().clone();
    let next = ada(&agent, "Are you sure?");
    next.exits(2).says("the last run of the session ada has not ended").says(&format!("`host resume {run}`"));
    assert!(
        !agent
            .state()
            .join("sessions/ada")
            .read_dir()
            .unwrap()
            .any(|it| { it.unwrap().file_name().to_string_lossy().ends_with(".ticket") })
    );
    let shown = agent.host(&["sessions", "show", "ada"]).ok().stdout.clone();
    assert!(
        shown.contains("  is gone, or never began\n") && shown.contains(": (has not ended) `host resume "),
        "{shown}"
    );
    assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "It is four.\n");
    reply(&agent, "[[reply]]\ntext = \"I am.\"");
    ada(&agent, "Are you sure?").ok();
    assert_eq!(said(&agent), [&FIRST[..], &["user: Are you sure?"]].concat());

    // Or it is given up.
    reply(&agent, CALLS);
    killed(3);
    ada(&agent, "Well?").exits(2);
    agent.host(&["sessions", "forget", "ada", "--last"]).ok();
    reply(&agent, "[[reply]]\ntext = \"Well.\"");
    ada(&agent, "Well?").ok();
    let before = ["user: Are you sure?", "assistant: I am.", "user: Well?"];
    assert_eq!(said(&agent), [&FIRST[..], &before].concat());
}

#[test]
fn a_kill_at_every_write_loses_nothing_of_a_conversation() {
    for nth in 0..100 {
        let agent = calling();
        ada(&agent, "What is it?").ok();
        let again = ["run", "agent.toml", "Again?", "--session", "ada"];
        let failpoint = format!("journal-before-ack={nth}*off->1*return");
        let killed = agent.command(&again).env("FAILPOINTS", failpoint).output().unwrap();
        if killed.status.success() {
            assert!(nth >= 4, "killed at {nth} commits");
            return;
        }
        assert_eq!(killed.status.signal(), Some(9));
        let resumed = agent.host(&["resume", "last"]);
        if resumed.code == Some(2) {
            resumed.says("interrupted before it began");
            agent.host(&again).ok();
        } else {
            assert_eq!(resumed.ok().stdout, "It is four.\n");
        }
        agent.host(&["replay", "last"]).ok();
        reply(&agent, "[[reply]]\ntext = \"So.\"");
        ada(&agent, "So?").ok();
        let second = ["user: Again?", FIRST[1], FIRST[2], FIRST[3], "user: So?"];
        assert_eq!(said(&agent), [&FIRST[..], &second].concat(), "killed at commit {nth}");
    }
}

#[test]
fn a_run_that_never_began_is_passed_over_after_a_clearing_up_too() {
    let agent = calling();
    ada(&agent, "What is it?").ok();
    let run = ["run", "agent.toml", "Never asked.", "--session", "ada"];
    // It is on disk that there is a run, and nothing of it.
    let failpoint = "journal-before-write=1*off->1*return";
    let killed = agent.command(&run).env("FAILPOINTS", failpoint).output().unwrap();
    assert_eq!(killed.status.signal(), Some(9));
    // What no session names goes, as before.
    let alone = agent.command(&["run"]).env("FAILPOINTS", failpoint).output().unwrap();
    assert_eq!(alone.status.signal(), Some(9));
    agent.host(&["journal", "compact"]).ok().says("1 left-over removed");
    reply(&agent, "[[reply]]\ntext = \"I am.\"");
    ada(&agent, "Are you sure?").ok();
    assert_eq!(said(&agent), [&FIRST[..], &["user: Are you sure?"]].concat());
    // When the session has ended nobody needs to know of it any more.
    agent.host(&["sessions", "forget", "ada"]).ok();
    agent.host(&["journal", "compact"]).ok().says("1 left-over removed");
}

/// A run of a session that waits for its turn.
fn waiting(agent: &Agent, prompt: &str) -> (Child, BufReader<impl std::io::Read + use<>>) {
    let mut command = agent.command(&["run", "agent.toml", prompt, "--session", "ada"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert_eq!(line, "waiting for another run of the session ada to end\n");
    (child, stderr)
}

#[test]
fn runs_of_a_session_take_turns_in_the_order_in_which_they_came() {
    let agent = Agent::scripted("[[reply]]\ntext = \"So.\"");
    let key: SessionKey = "ada".parse().unwrap();
    let held = SessionsDir::new(&agent.state()).queue(&key).unwrap().wait().unwrap();
    let mut waiting: Vec<_> = ["one", "two", "three", "four"].map(|prompt| waiting(&agent, prompt)).into();
    // Another session does not wait.
    agent.host(&["run", "agent.toml", "x", "--session", "bob"]).ok();
    let (mut gone, _) = waiting.remove(1);
    gone.kill().unwrap();
    gone.wait().unwrap();
    drop(held);
    for (child, stderr) in &mut waiting {
        let mut said = String::new();
        stderr.read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success(), "{said}");
    }
    let shown: Value =
        serde_json::from_str(&agent.host(&["sessions", "show", "ada", "--json"]).ok().stdout).unwrap();
    let prompts: Vec<&Value> =
        shown.as_array().unwrap().iter().map(|run| &run["summary"]["prompt"]).collect();
    assert_eq!(prompts, ["one", "three", "four"]);
}

#[test]
fn a_run_that_is_resumed_takes_its_turn_too() {
    let agent = calling().table("[[approval.ask]]\ntool = \"echo\"");
    ada(&agent, "What is it?").exits(3);
    ada(&agent, "Well?").exits(2).says("has not ended");
    agent.host(&["approve", "last"]).ok();
    let key: SessionKey = "ada".parse().unwrap();
    let held = SessionsDir::new(&agent.state()).queue(&key).unwrap().wait().unwrap();
    let mut child =
        agent.command(&["resume", "last"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert_eq!(line, "waiting for another run of the session ada to end\n");
    drop(held);
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
}

#[test]
fn what_a_session_goes_on_from_is_not_cleared_away() {
    let agent = calling();
    for prompt in ["What is it?", "And now?", "And then?"] {
        ada(&agent, prompt).ok();
    }
    agent.host(&["run"]).ok();
    let kept = ids(&agent)[1..3].to_vec();
    agent.host(&["journal", "gc", "--keep-runs", "0"]).ok().says("2 ended runs removed, 2 kept");
    assert_eq!(ids(&agent), kept, "the last one, and the one before it");
    agent.host(&["sessions", "forget", "ada", "--last"]).ok();
    reply(&agent, "[[reply]]\ntext = \"So.\"");
    ada(&agent, "So?").ok();
    assert_eq!(said(&agent).len(), 9);
    agent.host(&["sessions", "forget", "ada"]).ok();
    agent.host(&["journal", "gc", "--keep-runs", "0"]).ok().says("3 ended runs removed, 0 kept");
    reply(&agent, CALLS);

    // What somebody else removed is missed, and not passed over.
    ada(&agent, "What is it?").ok();
    std::fs::remove_dir_all(agent.state().join("runs")).unwrap();
    ada(&agent, "Well?")
        .exits(2)
        .says("the last run of the session ada, ")
        .says("is not in")
        .says("forget ada --last");
    let listed = agent.host(&["sessions"]).ok().stdout.clone();
    assert!(listed.contains("its last run is gone"), "{listed}");
}

#[test]
fn a_suspended_run_can_be_taken_out_of_its_session_after_a_clearing_up() {
    let agent = calling();
    for prompt in ["What is it?", "And now?", "And then?"] {
        ada(&agent, prompt).ok();
    }
    let toml = std::fs::read_to_string(agent.toml()).unwrap();
    std::fs::write(agent.toml(), format!("{toml}\n[[approval.ask]]\ntool = \"echo\"\n")).unwrap();
    ada(&agent, "Well?").exits(3);
    agent.host(&["journal", "gc", "--keep-runs", "0"]).ok().says("1 ended runs removed, 2 kept");
    ada(&agent, "Well?").exits(2).says("host sessions forget ada --last");
    std::fs::write(agent.toml(), toml).unwrap();
    reply(&agent, "[[reply]]\ntext = \"So.\"");
    for (prompt, messages) in [("So?", 13), ("So, so?", 13)] {
        agent.host(&["sessions", "forget", "ada", "--last"]).ok();
        ada(&agent, prompt).ok();
        assert_eq!(said(&agent).len(), messages);
    }
    for _ in 0..2 {
        agent.host(&["sessions", "forget", "ada", "--last"]).ok();
    }
    ada(&agent, "So?").ok();
    assert_eq!(said(&agent).len(), 9, "the run before the last one that ended is there, too");
}

#[test]
fn a_session_is_with_one_agent() {
    let agent = calling();
    ada(&agent, "What is it?").ok();
    let toml = std::fs::read_to_string(agent.toml()).unwrap();
    std::fs::write(agent.toml(), toml.replace("[agent]", "[agent]\nname = \"other\"")).unwrap();
    ada(&agent, "Well?").exits(2).says("is with another agent than other").says("choose another key");
    agent.host(&["run", "--session", "a/b"]).exits(2).says("a session's key has 1 to 64 of the characters");
    let list = agent.state().join("sessions/ada/runs");
    std::fs::write(&list, "not a run\n").unwrap();
    for args in
        [&["sessions", "show", "ada"][..], &["sessions", "forget", "ada"], &["run", "--session", "ada"]]
    {
        agent.host(args).exits(1).says("sessions/ada/runs").says("`not a run` is not the id of a run");
    }
}

#[test]
fn a_fork_leaves_the_conversation_as_it_is() {
    let agent = calling();
    ada(&agent, "What is it?").ok();
    ada(&agent, "And now?").ok();
    let forked = agent.host(&["fork", "last", "--at", "1"]);
    assert_eq!(forked.ok().stdout, "It is four.\n");
    assert_eq!(said(&agent)[..4], FIRST, "what was said before stays with it");
    agent.host(&["replay", "last"]).ok();
    let shown: Value =
        serde_json::from_str(&agent.host(&["sessions", "show", "ada", "--json"]).ok().stdout).unwrap();
    assert_eq!(shown.as_array().unwrap().len(), 2);
    // A rerun of the session's own run with its conversation.
    let file = agent.dir.path().join("run.jsonl");
    agent.host(&["journal", "export", &ids(&agent)[1], "-o", file.to_str().unwrap()]).ok();
    agent.host(&["replay", file.to_str().unwrap(), "--config", "agent.toml"]).ok();
}
