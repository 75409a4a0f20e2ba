//! Runs that go on with something changed, because a person accepted it: what is recorded is kept, whether it is asked
//! for any more or not, and the run is replayed, forked and continued like any other.

use crate::sessions::said;
use crate::subagents::{one, tool};
use crate::support::{Agent, has_ended};

/// Replaces text in the agent's own agent.toml, or in another file beside it.
fn edit(agent: &Agent, file: &str, before: &str, after: &str) {
    let path = agent.dir.path().join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(before), "{before} is in {text}");
    std::fs::write(path, text.replace(before, after)).unwrap();
}

fn instructed(agent: &Agent, file: &str) {
    edit(agent, file, "[agent]", "[agent]\ninstructions = \"Be quick.\"");
}

const CALLS: &str = r#"
[[reply]]
tokens = { input = 900, output = 100 }
calls = [{ name = "echo", input = { value = 1 } }]
[[reply]]
tokens = { input = 1900, output = 100 }
calls = [{ name = "echo", input = { value = 2 } }]
[[reply]]
text = "the end"
"#;

const SUMMARY: &str = "[[reply]]\nsummary = true\ntext = \"It was one.\"\n[[reply]]\ntext = \"the end\"";

#[test]
fn a_summary_that_is_not_asked_for_any_more_is_no_left_over() {
    let script = CALLS.replace("[[reply]]\ntext = \"the end\"", SUMMARY);
    let agent = Agent::scripted(&script).guest("hostile").table("[limits]\ncompact_at_tokens = 2000");
    agent.run_killed_once(|shown| has_ended(shown, "summary(2)") && !has_ended(shown, "model(2)"));
    edit(&agent, "agent.toml", "compact_at_tokens = 2000", "compact_at_tokens = 5000");
    std::fs::write(agent.dir.path().join("script.toml"), CALLS).unwrap();
    agent.host(&["resume", "last"]).exits(6).says("compact_at_tokens");
    assert_eq!(agent.host(&["resume", "last", "--accept-changes"]).ok().stdout, "the end\n");
    assert!(has_ended(&agent.show(), "summary(2)"), "it stays recorded");
    assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
    agent.host(&["journal", "verify"]).ok();
}

#[test]
fn turns_beyond_a_limit_that_was_lowered_are_no_left_overs() {
    let agent = Agent::scripted(CALLS).guest("hostile").table("[limits]\nmax_turns = 9");
    agent.run_killed_once(|shown| has_ended(shown, "tool(1,0)"));
    edit(&agent, "agent.toml", "max_turns = 9", "max_turns = 1");
    agent.host(&["resume", "last", "--accept-changes"]).exits(5).says("max_turns = 1");
    agent.host(&["replay", "last"]).exits(5).says("max_turns = 1");
    agent.host(&["resume", "last"]).exits(5);
}

#[test]
fn what_an_agent_did_before_it_was_changed_is_kept() {
    let calls = "[[reply]]\ncalls = [{ name = \"one\", input = { prompt = \"do it\" } }]\n";
    let then = "[[reply]]\ncalls = [{ name = \"ask_human\", input = { question = \"Well?\" } }]\n";
    let script =
        "[[reply]]\ncalls = [{ name = \"echo\", input = { value = 1 } }]\n[[reply]]\ntext = \"done\"";
    let agent = one(script, &[&tool("hostile")]);
    std::fs::write(
        agent.dir.path().join("script.toml"),
        format!("{calls}{then}[[reply]]\ntext = \"the end\""),
    )
    .unwrap();
    edit(&agent, "agent.toml", "[agent]", "[agent]\nbuiltins = [\"ask_human\"]");
    agent.host(&["run", "--session", "ada"]).exits(3);
    agent.host(&["answer", "last", "Well."]).ok();
    // As it is now it would not have come to its answer.
    edit(&agent, "one/agent.toml", "[agent]", "[limits]\nmax_turns = 1\n[agent]");
    agent.host(&["resume", "last"]).exits(6).says("in the agent one: max_turns");
    assert_eq!(agent.host(&["resume", "last", "--accept-changes"]).ok().stdout, "the end\n");
    assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
    // The session goes on from there.
    std::fs::write(agent.dir.path().join("script.toml"), "[[reply]]\ntext = \"So.\"").unwrap();
    assert_eq!(agent.host(&["run", "agent.toml", "So?", "--session", "ada"]).ok().stdout, "So.\n");
    assert_eq!(said(&agent).len(), 7);
}

#[test]
fn a_fork_after_a_change_has_what_was_kept() {
    let busy = "[[reply]]\nerror = { message = \"busy\", may_pass = false }\n";
    let script = CALLS.replacen(
        "[[reply]]\ntokens = { input = 1900",
        &format!("{busy}[[reply]]\ntokens = {{ input = 1900"),
        1,
    );
    let agent = Agent::scripted(&script).guest("hostile");
    agent.host(&["run"]).exits(4).says("busy");
    // The second turn is asked for twice, in two ways.
    instructed(&agent, "agent.toml");
    assert_eq!(agent.host(&["resume", "last", "--accept-changes"]).ok().stdout, "the end\n");
    let origin = agent.host(&["journal", "export", "last"]).ok().stdout.clone();
    let file = agent.dir.path().join("origin.jsonl");
    std::fs::write(&file, origin).unwrap();
    agent.host(&["replay", "last"]).ok();
    std::fs::write(agent.dir.path().join("script.toml"), CALLS).unwrap();
    for at in ["1", "2"] {
        let forked = agent.host(&["fork", file.to_str().unwrap(), "--at", at]);
        assert_eq!(forked.ok().stdout, "the end\n");
        assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
        agent.host(&["journal", "verify", "last"]).ok();
    }
}
