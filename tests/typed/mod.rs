//! Components that know nothing of this host: every function that they export is a tool.

mod admission;
mod inspection;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Agent, Ran, outcome, tool_error, tool_output};

/// A component in the text format, as a file of the agent's.
fn component(agent: &Agent, name: &str, text: &str) -> PathBuf {
    let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let path = agent.dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// An agent with the calculator, whose model makes these calls.
fn calculator(calls: &[(&str, Value)], table: &str) -> Agent {
    let call = |(name, input): &(&str, Value)| {
        format!("{{ name = {name:?}, input_text = {:?} }}", input.to_string())
    };
    let calls: Vec<String> = calls.iter().map(call).collect();
    let script = format!("[[reply]]\ncalls = [{}]\n[[reply]]\ntext = \"done\"", calls.join(", "));
    let agent = Agent::scripted(&script).table(&format!("[tools.calc]\nsource = \"calc.wasm\"\n{table}"));
    component(&agent, "calc.wasm", include_str!("calc.wat"));
    agent
}

fn output(ran: &Ran) -> Value {
    serde_json::from_str(&ran.ok().stdout).unwrap()
}

/// Each type of the mapping, once.
fn all() -> Value {
    json!({
        "bool": true, "s8": -128, "u8": 255, "s16": -32768, "u16": 65535, "s32": -2_147_483_648, "u32": u32::MAX,
        "s64": "-9223372036854775808", "u64": "18446744073709551615", "f32": 0.1, "f64": -1.5e-300,
        "char": "\u{1f600}", "string": "a\"\\\n\u{1}ü", "bytes": "AAEC/w==", "list": [1, -2, 3], "pair": ["x", 7],
        "level": "high", "rights": ["read", "run"],
        "shapes": [
            { "tag": "empty" },
            { "tag": "dot", "val": { "x": "NaN", "y": "-Infinity", "label": "here" } },
            { "tag": "line", "val": [{ "x": 0.5, "y": -0.0 }, { "x": 1e300, "y": 3.4e38 }] },
            { "tag": "maybe" },
            { "tag": "maybe", "val": 3 },
        ],
        "nested": { "some": null },
        "result": { "tag": "err", "val": "no" },
    })
}

#[test]
fn its_functions_are_tools_beside_those_of_other_components() {
    let calls = [
        ("ops_add", json!({ "a": 2, "b": 3 })),
        ("ops_divide", json!({ "a": "9223372036854775807", "b": -1 })),
        ("ops_divide", json!({ "a": 1, "b": 0 })),
        ("ops_refuse", json!({ "size": 5 })),
        ("nothing", json!({})),
        ("get_weather", json!({ "city": "Oslo" })),
        ("same", json!({ "all": all() })),
    ];
    let agent = calculator(&calls, "").guest("weather");
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    assert_eq!(tool_output(&shown, "tool(0,0)"), 5);
    assert_eq!(tool_output(&shown, "tool(0,1)"), "-9223372036854775807");
    assert_eq!(tool_error(&shown, "tool(0,2)"), ("failed", "cannot divide by zero"));
    assert_eq!(tool_error(&shown, "tool(0,3)"), ("failed", r#"{"tag":"too-large","val":5}"#));
    assert_eq!(*outcome(&shown, "tool(0,4)"), json!({ "tool": { "output": null } }));
    assert_eq!(tool_output(&shown, "tool(0,5)")["city"], "Oslo");
    assert_eq!(*tool_output(&shown, "tool(0,6)"), all());
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn what_does_not_fit_comes_back_with_its_place_and_calls_nothing() {
    let calls = [
        ("ops_add", json!({ "a": 4_294_967_296_u64, "b": 3 })),
        ("ops_add", json!({ "a": 1 })),
        ("ops_add", json!({ "a": 1, "b": 2, "c": 3 })),
        ("ops_divide", json!({ "a": "9223372036854775808", "b": 1 })),
        ("same", json!({ "all": { "bool": true } })),
    ];
    let agent = calculator(&calls, "");
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    for (slot, why) in [
        ("tool(0,0)", "at /a: 4294967296 is greater than the maximum of 4294967295"),
        ("tool(0,1)", "\"b\" is a required property"),
        ("tool(0,2)", "'c'"),
        ("tool(0,3)", "at /a: 9223372036854775808 is no s64"),
        ("tool(0,4)", "required property"),
    ] {
        let (kind, message) = tool_error(&shown, slot);
        assert!(kind == "invalid_input" && message.contains(why), "{slot}: {kind}: {message}");
    }
}

#[test]
fn limits_and_grants_hold_as_for_any_tool() {
    let calls = [
        ("spin", json!({})),
        ("zeros", json!({ "count": 3000 })),
        ("zeros", json!({ "count": 60_000 })),
        ("zeros", json!({ "count": 4_000_000 })),
        ("zeros", json!({ "count": 400_000_000 })),
        ("environment", json!({})),
        ("trap", json!({})),
        ("count", json!({})),
        ("pick-one", json!({})),
    ];
    let table = "permissions.env = [\"HOST_CACHE\"]\nlimits.cpu = \"300ms\"\nlimits.output = \"64KiB\"";
    let agent = calculator(&calls, table);
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    let kind = |slot: &str| tool_error(&shown, slot).0.to_owned();
    assert_eq!(kind("tool(0,0)"), "cpu");
    assert_eq!(tool_output(&shown, "tool(0,1)").as_str().unwrap().len(), 4000);
    assert_eq!(kind("tool(0,2)"), "output_size");
    assert!(["output_size", "host_call"].contains(&&*kind("tool(0,3)")));
    assert_eq!(kind("tool(0,4)"), "memory");
    assert_eq!(tool_output(&shown, "tool(0,5)")[0][0], "HOST_CACHE");
    assert_eq!(kind("tool(0,6)"), "trap");
    for (slot, import) in [("tool(0,7)", "wasi:keyvalue/store@0.2.0-draft#count"), ("tool(0,8)", "pick")] {
        let (kind, message) = tool_error(&shown, slot);
        assert!(kind == "denied" && message.contains(&format!("`{import}`, which this host")), "{message}");
    }
}

#[test]
fn a_component_that_lies_about_its_types_fails_its_own_call() {
    let agent = calculator(&[], "");
    for (tool, why) in [("no-text", "invalid utf-8"), ("no-char", "char"), ("no-case", "discriminant")] {
        agent.host(&["call", ".", tool]).exits(1).says("trapped").says(why);
    }
}

#[test]
fn calls_are_approved_and_repeated_by_their_names() {
    let rules = "[approval]\ndefault = \"auto\"\n[[approval.deny]]\ntool = \"ops_*\"";
    let agent =
        calculator(&[("ops_add", json!({ "a": 2, "b": 3 }))], "retry.idempotent = [\"docs:calc/ops@*\"]");
    let agent = agent.table(rules);
    let (ran, shown) = agent.run_and_show();
    ran.ok();
    assert_eq!(tool_error(&shown, "tool(0,0)").0, "not_approved");
}

#[test]
fn a_component_alone_is_called_from_the_command_line() {
    let agent = calculator(&[], "");
    assert_eq!(output(&agent.host(&["call", "calc.wasm", "ops_add", "a=4294967295", "b=2"])), 1);
    assert_eq!(
        output(&agent.host(&["call", "calc.wasm", "ops_divide", "a=-9007199254740995", "b=1"])),
        "-9007199254740995"
    );
    agent.host(&["call", "calc.wasm", "ops_divide", "a=1", "b=0"]).exits(1).says("cannot divide by zero");
    agent
        .host(&["call", "calc.wasm", "ops_add", "a=1"])
        .exits(2)
        .says("ops_add takes:\n  a (integer)\n  b (integer)");
    let input = json!({ "all": all() }).to_string();
    assert_eq!(output(&agent.host(&["call", "calc.wasm", "same", &input])), all());
}
