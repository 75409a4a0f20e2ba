//! Servers that lie, flood, hang, and ask for what is not theirs.

use super::{ADD, agent, lines, pinned, seen};
use crate::support::{tool_error, tool_output};

#[test]
fn whatever_a_server_does_the_call_ends_and_the_run_goes_on() {
    for (wrong, kind, says) in [
        ("hangs", "timeout", "no result within 1000 ms"),
        ("dies", "transient", "whether the call took effect is not known"),
        ("floods", "transient", "whether the call took effect is not known"),
        ("long", "transient", "whether the call took effect is not known"),
        ("fails", "failed", "no luck"),
        ("refuses", "invalid_input", "a is odd"),
        ("large", "output_size", "limits.output"),
    ] {
        let agent = pinned(agent(wrong, &[ADD], ""));
        let timeout = if wrong == "hangs" { "1s" } else { "300s" };
        let agent = agent.table(&format!("[tools.s.limits]\ntimeout = \"{timeout}\""));
        let (ran, shown) = agent.run_and_show();
        assert_eq!(ran.ok().stdout, "done\n", "{wrong}");
        let (found, message) = tool_error(&shown, "tool(0,0)");
        assert_eq!(found, kind, "{wrong}: {message}");
        assert!(message.contains(says), "{wrong}: {message}");
        assert_eq!(lines(&agent, "calls"), 1, "{wrong} was called again, and nobody said that it may be");
    }
}

#[test]
fn a_call_that_only_reads_is_made_again_by_a_new_process() {
    let agent = pinned(agent("dies", &[ADD], "reads = [\"*\"]"));
    let agent = agent.table("[tools.s.retry]\nmax_attempts = 3\ninitial_delay = \"1ms\"");
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    let (kind, message) = tool_error(&shown, "tool(0,0)");
    assert_eq!(kind, "transient");
    assert!(message.contains("out of luck"), "{message}");
    assert_eq!(lines(&agent, "calls"), 3);
}

#[test]
fn a_server_that_asks_for_a_model_is_refused() {
    let agent = pinned(agent("asks", &[ADD], ""));
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    assert_eq!(tool_output(&shown, "tool(0,0)"), "I asked");
    let reply = std::fs::read_to_string(seen(&agent).join("reply")).unwrap();
    assert!(reply.contains("-32601"), "{reply}");
}

#[test]
fn what_is_no_message_is_passed_over() {
    let agent = pinned(agent("garbage", &[ADD], ""));
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    assert_eq!(tool_output(&shown, "tool(0,0)"), "but this is");
}

#[test]
fn lists_that_cannot_be_are_not_pinned() {
    for (wrong, says) in [
        ("twice", "it lists the tool \"env\" twice"),
        ("many", "it lists more than 1024 tools"),
        ("endless", "pages"),
        ("quits", "I have no licence"),
        ("neither", "initialize is of the past"),
    ] {
        let agent = agent(wrong, &[ADD], "");
        agent.host(&["update", "--yes"]).exits(2).says(says);
        assert!(!agent.dir.path().join("host.lock").exists(), "{wrong}");
    }
}

#[test]
fn a_tool_that_no_model_can_call_is_left_out() {
    let agent = pinned(agent("unfit", &[ADD], ""));
    let checked = agent.host(&["check"]).ok().stdout.clone();
    assert!(
        checked.contains("listless is no tool: the input-schema of `listless` is not of type `object`"),
        "{checked}"
    );
    agent.host(&["run"]).ok();
}
