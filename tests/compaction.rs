//! Conversations that have grown too long: the model sums them up, the run goes on from the summary, and all of it is
//! recorded, replayed, counted, and survives a kill.

use std::os::unix::process::ExitStatusExt as _;

use serde_json::Value;

use crate::sessions::said;
use crate::support::{Agent, Ran, outcome};

const SCRIPT: &str = r#"
[[reply]]
tokens = { input = 500, output = 50 }
calls = [{ name = "echo", input = { value = "one" } }]
[[reply]]
tokens = { input = 900, output = 100 }
calls = [{ name = "echo", input = { value = "two" } }]
[[reply]]
summary = true
expect = ["echo: \"two\"", "Sum up what was said so far"]
tokens = { input = 1100, output = 70 }
text = "It was one."
[[reply]]
expect = ["echo: \"two\""]
tokens = { input = 400, output = 60 }
calls = [{ name = "echo", input = { value = "three" } }]
[[reply]]
expect = ["echo: \"three\""]
tokens = { input = 500, output = 60 }
text = "the end"
"#;

const AT_1000: &str = "[limits]\ncompact_at_tokens = 1000";

const SUMMARY: &str = "user: What was said before has been replaced by this summary of it; what follows it is whole.\n\nIt was one.";

fn agent(script: &str, limits: &str) -> Agent {
    Agent::scripted(script).table(limits).guest("hostile")
}

fn slots(agent: &Agent) -> Vec<String> {
    agent.show().iter().map(|report| report["slot"].as_str().unwrap().to_owned()).collect()
}

const ALL: [&str; 9] = [
    "run",
    "model(0)",
    "tool(0,0)",
    "model(1)",
    "tool(1,0)",
    "summary(2)",
    "model(2)",
    "tool(2,0)",
    "model(3)",
];

#[test]
fn a_long_conversation_goes_on_from_a_summary() {
    let agent = agent(SCRIPT, AT_1000);
    let checked = agent.host(&["check"]).ok().stdout.clone();
    assert!(checked.contains("a conversation of 1000 tokens is summed up"), "{checked}");
    let ran = agent.host(&["run"]);
    assert_eq!(ran.ok().stdout, "the end\n");
    ran.says("✓ summary(2) 6 messages → says It was one.");
    assert_eq!(slots(&agent), ALL);
    assert_eq!(outcome(&agent.show(), "summary(2)")["model"]["text"], "It was one.");
    let kept = ["user: go on", SUMMARY, "calls echo", "echo: {\"output\":\"two\"}"];
    assert_eq!(said(&agent), [&kept[..], &["calls echo", "echo: {\"output\":\"three\"}"]].concat());
    let request = agent.host(&["runs", "request", "last", "1"]).ok().stdout.clone();
    assert!(request.contains("\"one\"") && !request.contains("It was one."), "{request}");

    let replayed = agent.host(&["replay", "last"]);
    assert_eq!(replayed.ok().stdout, "the end\n");
    replayed.says("replayed 8 effects");
    agent.host(&["journal", "verify"]).ok();
    let shown = agent.host(&["runs", "show", "last"]).ok().stdout.clone();
    assert!(shown.contains("  summary(2) 6 messages\n"), "{shown}");

    // The summary is part of what a script has of the run.
    let script = agent.host(&["runs", "script", "last"]).ok().stdout.clone();
    assert!(script.contains("[[reply]]\nsummary = true\ntext = \"It was one.\"\n"), "{script}");
    let again = self::agent(&script, AT_1000);
    assert_eq!(again.host(&["run", "--record", "again.toml"]).ok().stdout, "the end\n");
    let recorded = std::fs::read_to_string(again.dir.path().join("again.toml")).unwrap();
    let replies = |script: &str| script[script.find("[[reply]]").unwrap()..].trim_end().to_owned();
    assert_eq!(replies(&recorded), replies(&script));

    // And of a case that replies as it did in the run.
    let tests = agent.dir.path().join("tests");
    std::fs::create_dir(&tests).unwrap();
    agent.host(&["journal", "export", "last", "-o", tests.join("run.jsonl").to_str().unwrap()]).ok();
    std::fs::write(tests.join("same.toml"), "recorded = \"run.jsonl\"").unwrap();
    agent.host(&["test"]).ok();

    // A fork has what came before it.
    assert_eq!(agent.host(&["fork", "last", "--at", "3"]).ok().stdout, "the end\n");
    agent.host(&["replay", "last"]).ok();
}

/// Kills the run at the n-th commit and resumes it. Says whether it was killed at all.
fn kill_and_resume(point: &str, nth: usize) -> bool {
    let agent = agent(SCRIPT, AT_1000);
    let failpoint = format!("{point}={nth}*off->1*return");
    let killed = agent.command(&["run"]).env("FAILPOINTS", failpoint).output().unwrap();
    if killed.status.success() {
        return false;
    }
    assert_eq!(killed.status.signal(), Some(9), "{}", String::from_utf8_lossy(&killed.stderr));
    if agent.shown_so_far().is_empty() {
        return true;
    }
    assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "the end\n", "{point} at commit {nth}");
    assert_eq!(slots(&agent), ALL);
    assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
    true
}

#[test]
fn a_kill_at_every_write_goes_on_from_the_same_summary() {
    for point in ["journal-before-write", "journal-before-ack"] {
        let kills = (0..100).take_while(|nth| kill_and_resume(point, *nth)).count();
        assert!(kills >= 7, "{point}: killed at {kills} commits");
    }
}

#[test]
fn a_script_has_the_summaries_that_are_asked_for_and_no_others() {
    let without = SCRIPT.replace("summary = true", "stop = \"end\"");
    agent(&without, AT_1000)
        .host(&["run"])
        .exits(4)
        .says("has no summary before its reply 2")
        .says("summary = true");
    let unasked = agent(SCRIPT, "[limits]\ncompact_at_tokens = 2000").host(&["run"]);
    unasked.exits(4).says("has a summary before its reply 2, and the run did not ask for it");
}

#[test]
fn a_summary_that_is_of_no_use_leaves_the_conversation_whole() {
    let cut_off = SCRIPT.replace("text = \"It was one.\"", "text = \"It was\"\nstop = \"max_tokens\"");
    let refused = SCRIPT.replace("text = \"It was one.\"", "text = \"No.\"\nstop = \"refusal\"");
    let empty = SCRIPT.replace("text = \"It was one.\"", "text = \" \"");
    let calls = SCRIPT.replace("text = \"It was one.\"", "calls = [{ name = \"counter\" }]");
    for script in [cut_off, refused, empty, calls] {
        // It is not asked for again, however long the conversation grows.
        let agent = agent(&script.replace("input = 400", "input = 4000"), AT_1000);
        assert_eq!(agent.host(&["run"]).ok().stdout, "the end\n");
        assert_eq!(slots(&agent), ALL);
        assert_eq!(said(&agent).len(), 7);
        assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
    }
}

#[test]
fn a_summary_is_counted() {
    let run = |max: u64| -> Ran {
        let agent = agent(SCRIPT, &format!("{AT_1000}\nmax_total_tokens = {max}"));
        let ran = agent.host(&["run"]);
        let replayed = agent.host(&["replay", "last"]);
        assert_eq!((replayed.code, &replayed.stdout), (ran.code, &ran.stdout), "{}", replayed.stderr);
        ran
    };
    // 550 + 1000 + 1170 + 460 before the answer.
    run(2720).exits(5).says("max_total_tokens = 2720; used: 2 turns, 2 tool calls, 2720 tokens");
    run(3180).exits(5).says("used: 3 turns, 2 tool calls, 3180 tokens");
    run(3181).ok();
}

#[test]
fn a_failed_request_for_a_summary_is_made_again() {
    let failing = SCRIPT.replace(
        "[[reply]]\nsummary = true",
        "[[reply]]\nerror = { message = \"busy\", may_pass = true }\n[[reply]]\nsummary = true",
    );
    let agent = agent(&failing, AT_1000);
    let ran = agent.host(&["run"]);
    ran.ok().says("summary(2)").says("busy");
    let shown = agent.show();
    let summary = shown.iter().find(|report| report["slot"] == "summary(2)").unwrap();
    assert_eq!(summary["attempt"], 2, "{summary:#}");
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn a_long_session_is_summed_up_before_the_next_run() {
    let agent = agent(SCRIPT, "[limits]\ncompact_at_tokens = 5000");
    let write = |script: &str| std::fs::write(agent.dir.path().join("script.toml"), script).unwrap();
    write(
        "[[reply]]\ncalls = [{ name = \"echo\", input = { value = 1 } }]\n\
         [[reply]]\ntokens = { input = 5000, output = 60 }\ntext = \"the end\"",
    );
    agent.host(&["run", "--session", "ada"]).ok();
    write(
        "[[reply]]\nsummary = true\ntext = \"It was one, two, three.\"\n[[reply]]\nexpect = [\"user: And then?\"]\ntext = \"four\"",
    );
    assert_eq!(agent.host(&["run", "agent.toml", "And then?", "--session", "ada"]).ok().stdout, "four\n");
    let all = said(&agent);
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all[0].ends_with("It was one, two, three."), "{all:?}");
    assert_eq!(all[1..], ["assistant: the end", "user: And then?"]);
    assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "four\n");
    // The next one goes on from there: what was summed up is not sent again.
    write("[[reply]]\ntext = \"five\"");
    agent.host(&["run", "agent.toml", "And then?", "--session", "ada"]).ok();
    let next = said(&agent);
    assert_eq!(next, [&all[..], &["assistant: four".to_owned(), "user: And then?".to_owned()]].concat());
}

/// The third request is too long.
const TOO_LONG: &str = r#"
[[reply]]
calls = [{ name = "echo", input = { value = "one" } }]
[[reply]]
calls = [{ name = "echo", input = { value = "two" } }]
[[reply]]
error = { message = "HTTP 400: prompt is too long", too_long = true }
[[reply]]
summary = true
expect = ["echo: \"one\"", "Sum up what was said so far"]
text = "It was one."
[[reply]]
expect = ["echo: \"two\""]
calls = [{ name = "echo", input = { value = "three" } }]
[[reply]]
text = "the end"
"#;

const SHORTENED: [&str; 10] = [
    "run",
    "model(0)",
    "tool(0,0)",
    "model(1)",
    "tool(1,0)",
    "model(2)",
    "summary(3)",
    "model(3)",
    "tool(3,0)",
    "model(4)",
];

#[test]
fn a_conversation_that_the_model_finds_too_long_goes_on_from_a_summary() {
    // The turn that came to nothing is none of those that the run may take.
    let agent = agent(TOO_LONG, "[limits]\nmax_turns = 4");
    assert_eq!(agent.host(&["run"]).ok().stdout, "the end\n");
    assert_eq!(slots(&agent), SHORTENED);
    assert_eq!(outcome(&agent.show(), "model(2)")["no_reply"]["shortens"], true);
    let kept = ["user: go on", SUMMARY, "calls echo", "echo: {\"output\":\"two\"}"];
    assert_eq!(said(&agent), [&kept[..], &["calls echo", "echo: {\"output\":\"three\"}"]].concat());
    let replayed = agent.host(&["replay", "last"]);
    assert_eq!(replayed.ok().stdout, "the end\n");
    replayed.says("replayed 9 effects");
    agent.host(&["journal", "verify"]).ok();

    let script = agent.host(&["runs", "script", "last"]).ok().stdout.clone();
    let again = self::agent(&script, "");
    assert_eq!(again.host(&["run"]).ok().stdout, "the end\n", "{script}");
    assert_eq!(slots(&again), SHORTENED);
}

/// A summary is due, and cannot be had: the conversation is too long for it. So is the request without one, and then what
/// came before the last reply is summed up.
const SUMMARY_TOO_LONG: &str = r#"
[[reply]]
tokens = { input = 500, output = 50 }
calls = [{ name = "echo", input = { value = "one" } }]
[[reply]]
tokens = { input = 900, output = 100 }
calls = [{ name = "echo", input = { value = "two" } }]
[[reply]]
summary = true
error = { message = "HTTP 400: prompt is too long", too_long = true }
[[reply]]
error = { message = "HTTP 400: prompt is still too long", too_long = true }
[[reply]]
summary = true
expect = ["echo: \"one\"", "Sum up what was said so far"]
text = "It was one."
[[reply]]
expect = ["echo: \"two\""]
text = "the end"
"#;

/// The third reply is cut off, because the conversation fills the model's context.
const NO_ROOM: &str = r#"
[[reply]]
calls = [{ name = "echo", input = { value = "one" } }]
[[reply]]
calls = [{ name = "echo", input = { value = "two" } }]
[[reply]]
text = "It is so th"
calls = [{ name = "echo", input = { value = "half" } }]
stop = "context_window"
[[reply]]
summary = true
text = "It was one."
[[reply]]
expect = ["echo: \"two\""]
text = "the end"
"#;

const CUT_OFF: [&str; 8] =
    ["run", "model(0)", "tool(0,0)", "model(1)", "tool(1,0)", "model(2)", "summary(3)", "model(3)"];

#[test]
fn a_reply_that_is_cut_off_because_the_context_is_full_is_asked_for_again() {
    let agent = agent(NO_ROOM, "[limits]\nmax_turns = 4");
    let ran = agent.host(&["run"]);
    assert_eq!(ran.ok().stdout, "the end\n");
    ran.says("used: 4 turns, 2 tool calls");
    assert_eq!(slots(&agent), CUT_OFF, "half a reply has no calls");
    assert_eq!(said(&agent), ["user: go on", SUMMARY, "calls echo", "echo: {\"output\":\"two\"}"]);
    assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
    let script = agent.host(&["runs", "script", "last"]).ok().stdout.clone();
    let again = self::agent(&script, "");
    assert_eq!(again.host(&["run"]).ok().stdout, "the end\n", "{script}");
    assert_eq!(slots(&again), CUT_OFF);

    // It was paid for, so it is a turn; and what there is of it is told where there is no other turn.
    let last = &NO_ROOM[..NO_ROOM.find("[[reply]]\nsummary").unwrap()];
    let last = last.replace("calls = [{ name = \"echo\", input = { value = \"half\" } }]\n", "");
    let cut_off = self::agent(&last, "[limits]\nmax_turns = 3");
    cut_off.host(&["run"]).exits(5).says("fills the model's context window").says("It is so th");
}

const WITHOUT_SUMMARY: [&str; 9] = [
    "run",
    "model(0)",
    "tool(0,0)",
    "model(1)",
    "tool(1,0)",
    "summary(2)",
    "model(2)",
    "summary(3)",
    "model(3)",
];

#[test]
fn a_summary_that_is_too_long_to_be_asked_for_is_done_without() {
    let agent = agent(SUMMARY_TOO_LONG, AT_1000);
    assert_eq!(agent.host(&["run"]).ok().stdout, "the end\n");
    assert_eq!(slots(&agent), WITHOUT_SUMMARY);
    assert_eq!(outcome(&agent.show(), "summary(2)")["no_reply"]["shortens"], true);
    assert_eq!(said(&agent), ["user: go on", SUMMARY, "calls echo", "echo: {\"output\":\"two\"}"]);
    assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");

    let script = agent.host(&["runs", "script", "last"]).ok().stdout.clone();
    let again = self::agent(&script, AT_1000);
    assert_eq!(again.host(&["run"]).ok().stdout, "the end\n", "{script}");
    assert_eq!(slots(&again), WITHOUT_SUMMARY);
}

#[test]
fn a_kill_at_every_write_goes_on_from_the_shortened_conversation() {
    let runs = [
        (TOO_LONG, "", &SHORTENED[..]),
        (SUMMARY_TOO_LONG, AT_1000, &WITHOUT_SUMMARY[..]),
        (NO_ROOM, "", &CUT_OFF[..]),
    ];
    for ((script, limits, all), point) in
        runs.into_iter().flat_map(|run| [(run, "journal-before-write"), (run, "journal-before-ack")])
    {
        let kills = (0..100).take_while(|nth| {
            let agent = agent(script, limits);
            let failpoint = format!("{point}={nth}*off->1*return");
            let killed = agent.command(&["run"]).env("FAILPOINTS", failpoint).output().unwrap();
            if killed.status.success() {
                return false;
            }
            assert_eq!(killed.status.signal(), Some(9), "{}", String::from_utf8_lossy(&killed.stderr));
            if !agent.shown_so_far().is_empty() {
                let resumed = agent.host(&["resume", "last"]);
                assert_eq!(resumed.ok().stdout, "the end\n", "{point} at commit {nth}");
                assert_eq!(slots(&agent), all);
                assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
            }
            true
        });
        assert!(kills.count() >= 7, "{point}");
    }
}

#[test]
fn a_long_result_is_shortened_where_there_is_nothing_to_sum_up() {
    let long = "x".repeat(40_000);
    let script = format!(
        "[[reply]]\ncalls = [{{ name = \"echo\", input = {{ value = \"{long}\" }} }}]\n\
         [[reply]]\nerror = {{ message = \"too long\", too_long = true }}\n[[reply]]\ntext = \"the end\""
    );
    let agent = agent(&script, "");
    assert_eq!(agent.host(&["run"]).ok().stdout, "the end\n");
    assert_eq!(slots(&agent), ["run", "model(0)", "tool(0,0)", "model(1)", "model(2)"]);
    let request = agent.host(&["runs", "request", "last"]).ok().stdout.clone();
    assert!(request.contains("bytes left out"), "{}", request.len());
    assert!(outcome(&agent.show(), "tool(0,0)").to_string().contains(&long), "the record is whole");
    assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
}

#[test]
fn what_cannot_be_shortened_any_more_breaks_the_run_off() {
    let failure = "[[reply]]\nerror = { message = \"too long\", too_long = true }\n";
    let alone = agent(&format!("{failure}[[reply]]\ntext = \"no\""), "");
    alone.host(&["run"]).exits(4).says("too long");
    assert_eq!(slots(&alone), ["run", "model(0)"]);

    let start = TOO_LONG.find("[[reply]]\nexpect = [\"echo: \\\"two").unwrap();
    let twice = agent(&format!("{}{failure}", &TOO_LONG[..start]), "");
    twice.host(&["run"]).exits(4).says("too long");
    assert_eq!(slots(&twice), SHORTENED[..8]);
}

/// A call with a long result, so many requests that are too long, and the end.
fn too_long_times(times: usize) -> String {
    let long = "x".repeat(40_000);
    let failure = "[[reply]]\nerror = { message = \"too long\", too_long = true }\n".repeat(times);
    format!(
        "[[reply]]\ncalls = [{{ name = \"echo\", input = {{ value = \"{long}\" }} }}]\n{failure}\
         [[reply]]\ntext = \"the end\""
    )
}

#[test]
fn a_result_is_sent_shorter_and_shorter_until_it_fits() {
    let agent = agent(&too_long_times(3), "[limits]\nmax_turns = 2");
    assert_eq!(agent.host(&["run"]).ok().stdout, "the end\n");
    let request =
        |turn| agent.host(&["runs", "request", "last", &format!("model({turn})")]).ok().stdout.clone();
    let shown = |turn| {
        let messages: Value = serde_json::from_str(&request(turn)).unwrap();
        messages[2]["tool"]["shown"].as_str().map(str::len)
    };
    assert_eq!(shown(1), None, "it is sent whole at first");
    let lengths: Vec<usize> = (2..=4).map(|turn| shown(turn).unwrap()).collect();
    assert!(lengths[0] < 21_000 && lengths.windows(2).all(|pair| pair[1] * 3 < pair[0] * 2), "{lengths:?}");
    assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
}

#[test]
fn nothing_is_sent_shorter_for_ever() {
    let agent = agent(&too_long_times(40), "");
    agent.host(&["run"]).exits(4).says("too long");
    let models = slots(&agent).len();
    assert!((5..20).contains(&models), "{models} slots");
    // It goes on where it broke off: the last request is made again, and no other.
    agent.host(&["resume", "last"]).exits(4);
    assert_eq!(slots(&agent).len(), models);
}
