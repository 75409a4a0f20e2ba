//! Programs as tools: components of the world `wasi:cli/command`, called by arguments and a standard input.

use serde_json::{Value, json};

use crate::support::{Agent, outcome, root, tool_error, tool_output};

/// An agent with the program, called as the lines say, whose model makes these calls.
fn program(lines: &str, calls: &[Value]) -> Agent {
    let call = |input: &Value| format!("{{ name = \"program\", input_text = {:?} }}", input.to_string());
    let calls: Vec<String> = calls.iter().map(call).collect();
    let script = format!("[[reply]]\ncalls = [{}]\n[[reply]]\ntext = \"done\"", calls.join(", "));
    Agent::scripted(&script).guest("program").table(lines)
}

fn shown(agent: &Agent) -> Vec<Value> {
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    shown
}

#[test]
fn by_default_the_model_says_the_arguments_and_the_standard_input() {
    let calls = [
        json!({ "args": ["args", "a b", "-l", "", "{{ x }}"] }),
        json!({ "args": ["cat"], "stdin": "ü\n\u{0}" }),
        json!({ "args": ["cat"] }),
        json!({ "args": ["exit"] }),
        json!({ "args": ["fail"] }),
        json!({ "args": ["panic"] }),
        json!({ "args": ["bytes"] }),
        json!({ "args": ["a\u{0}b"] }),
        json!({ "args": "args" }),
        json!({ "arg": [] }),
        json!({}),
    ];
    let agent = program("", &calls);
    let shown = shown(&agent);
    assert_eq!(
        tool_output(&shown, "tool(0,0)"),
        "[\"program\", \"args\", \"a b\", \"-l\", \"\", \"{{ x }}\"]\n"
    );
    assert_eq!(tool_output(&shown, "tool(0,1)"), "ü\n\u{0}");
    assert_eq!(tool_output(&shown, "tool(0,2)"), "");
    assert_eq!(tool_output(&shown, "tool(0,3)"), "before\n");
    let failed = |slot: &str, kind: &str, words: &str| {
        let (is, message) = tool_error(&shown, slot);
        assert!(is == kind && message.contains(words), "{slot}: {is}: {message}");
    };
    failed("tool(0,4)", "failed", "exit code 1; the last it wrote was: first it cannot be done");
    failed("tool(0,5)", "trap", "nobody expected this");
    failed("tool(0,6)", "invalid_output", "byte 1 of it is not UTF-8");
    failed("tool(0,7)", "invalid_input", "NUL");
    failed("tool(0,8)", "invalid_input", "array");
    failed("tool(0,9)", "invalid_input", "arg");
    failed("tool(0,10)", "failed", "which one?");
    agent.host(&["replay", "last"]).ok();
}

const COUNTED: &str = r#"
[tools.program.command]
description = "Counts lines and bytes."
args = ["count"]
stdin = "{{ text }}"
output = "json"
input = { type = "object", properties = { text = { type = "string" } }, required = ["text"] }
"#;

#[test]
fn agent_toml_says_how_an_input_becomes_arguments() {
    let agent = program(COUNTED, &[json!({ "text": "a\nb\n" }), json!({ "words": "a" })]);
    let shown = shown(&agent);
    assert_eq!(*tool_output(&shown, "tool(0,0)"), json!({ "lines": 2, "bytes": 4 }));
    assert_eq!(tool_error(&shown, "tool(0,1)").0, "invalid_input");
    let checked = agent.host(&["check"]).ok().stdout.clone();
    assert!(checked.contains("program"), "{checked}");
    let lines = r#"
[tools.program.command]
args = ["args", { when = "all", args = ["-a"] }, ["-m", "{{ max }}"], "--{{ kind }}", "--", "{{ what }}", "{{ files }}"]
exit_codes = [0]
[tools.program.command.input]
type = "object"
[tools.program.command.input.properties]
all = { type = "boolean" }
max = { type = "integer" }
kind = { type = "string" }
what = { type = "string" }
files = { type = "array", items = { type = "string" } }
"#;
    let calls = [
        json!({ "all": true, "max": 9_007_199_254_740_993_i64, "what": "--help", "files": ["a", "b c"] }),
        json!({ "all": false, "kind": "x y" }),
    ];
    let shown = self::shown(&program(lines, &calls));
    let args = |slot: &str| tool_output(&shown, slot).as_str().unwrap().trim().to_owned();
    assert_eq!(
        args("tool(0,0)"),
        r#"["program", "args", "-a", "-m", "9007199254740993", "--", "--help", "a", "b c"]"#
    );
    assert_eq!(args("tool(0,1)"), r#"["program", "args", "--x y", "--"]"#);
}

#[test]
fn an_exit_code_that_is_meant_is_no_failure() {
    let lines = "[tools.program.command]\nexit_codes = [0, 1]";
    let shown = shown(&program(lines, &[json!({ "args": ["fail"] })]));
    assert_eq!(*outcome(&shown, "tool(0,0)"), json!({ "tool": { "output": "" } }));
}

#[test]
fn a_program_has_the_limits_and_the_grants_of_every_tool() {
    let calls = [
        json!({ "args": ["flood"] }),
        json!({ "args": ["spin"] }),
        json!({ "args": ["read", "/data/here"] }),
        json!({ "args": ["read", "/etc/passwd"] }),
    ];
    let lines = "[tools.program.limits]\noutput = \"64KiB\"\ncpu = \"300ms\"\n[tools.program.permissions]\n\
                 dirs = [{ path = \"data\", guest = \"/data\", access = \"read\" }]";
    let agent = program("", &calls);
    std::fs::create_dir(agent.dir.path().join("data")).unwrap();
    std::fs::write(agent.dir.path().join("data/here"), "found").unwrap();
    let agent = agent.table(lines);
    let shown = shown(&agent);
    assert_eq!(tool_error(&shown, "tool(0,0)").0, "output_size");
    assert_eq!(tool_error(&shown, "tool(0,1)").0, "cpu");
    assert_eq!(tool_output(&shown, "tool(0,2)"), "found");
    assert_eq!(tool_error(&shown, "tool(0,3)").0, "failed");
}

#[test]
fn what_makes_no_arguments_is_wrong_where_it_stands() {
    for (lines, wrong) in [
        ("args = [\"{{ text }}\"]", "nothing says what the tool's input is"),
        ("input = { type = \"string\" }", "it is not of type `object`"),
        ("input = { type = \"object\", properties = { a = {} } }", "the program is never given `a`"),
        (
            "args = [\"{{ b }}\"]\ninput = { type = \"object\", properties = { a = {} } }",
            "there is no member `b`",
        ),
        (
            "args = [{ when = \"b\", args = [\"-x\"] }, \"{{ a }}\"]\ninput = { type = \"object\", properties = { a = {} } }",
            "there is no member `b`",
        ),
        ("args = [\"{{ a\"]\ninput = { type = \"object\", properties = { a = {} } }", "is not closed"),
        ("args = [[]]\ninput = { type = \"object\" }", "there is no argument in it"),
        ("args = [7]\ninput = { type = \"object\" }", "args"),
        ("output = \"yaml\"", "yaml"),
        ("exit_codes = [256]", "exit_codes"),
        ("arguments = []", "arguments"),
    ] {
        let agent = program(&format!("[tools.program.command]\n{lines}"), &[]);
        agent.host(&["check"]).exits(2).says(wrong);
    }
    let agent = Agent::scripted("reply = []").guest("weather").table("[tools.weather.command]");
    agent.host(&["check"]).exits(2).says("it is no program").says("[tools.weather.command]");
}

#[test]
fn a_program_alone_is_looked_at_and_called() {
    let agent = program("", &[]);
    let source = root().join("guest-tools/program");
    let source = source.to_str().unwrap();
    let said = agent.host(&["inspect", source]).ok().stdout.clone();
    for line in [
        "it is a program, wasi:cli/command",
        "1 tool\n  program, the export wasi:cli/run",
        "[tools.program.command]",
    ] {
        assert!(said.contains(line), "{line:?} is said in:\n{said}");
    }
    // What is to be pasted can be, also without the signs before it.
    let (_, table) = said.split_once("add to agent.toml:\n\n").unwrap();
    let (own, _) = table.split_once("# It is granted nothing").unwrap();
    let words = ["[tools", "description", "args", "stdin", "input"];
    let bare = words.iter().fold(own.to_owned(), |text, word| text.replace(&format!("# {word}"), word));
    Agent::scripted("reply = []").table(own).host(&["check"]).ok();
    Agent::scripted("reply = []").table(&bare).host(&["check"]).ok();
    let called = agent.host(&["call", source, r#"{"args":["cat"],"stdin":"hello"}"#]);
    assert_eq!(called.ok().stdout.trim(), "\"hello\"");
}
