//! `host inspect`: what a component is, before it is used.

use super::*;
use crate::support::root;

#[test]
fn a_component_is_described_and_the_lines_to_paste_work() {
    let agent = calculator(&[], "");
    let said = agent.host(&["inspect", "calc.wasm"]);
    let said = &said.ok().stdout;
    for line in [
        "calc.wasm: a component of ",
        "; its exports are its tools",
        "\n  language: WAT 1.0\n",
        "\n14 tools\n",
        "\n  ops_add, the export docs:calc/ops@1.0.0#add\n",
        "\n    Adds two numbers.\n",
        "exports that cannot be called\n  close: `file`: it is a resource\n",
        "\n3 imports\n",
        "wasi:cli/environment@0.2.3 is of use where `env` is granted",
        "wasi:keyvalue/store@0.2.0-draft is not there, so that a call that uses it fails: count\n",
        "pick is not there: a call that uses it fails",
    ] {
        assert!(said.contains(line), "{line:?} is said in:\n{said}");
    }
    let (_, table) = said.split_once("add to agent.toml:\n\n").unwrap();
    let pasted = Agent::scripted("[[reply]]\ntext = \"x\"").table(table);
    component(&pasted, "calc.wasm", include_str!("calc.wat"));
    pasted.host(&["check"]).ok();
    // The grants are there to be taken, and are as they have to be.
    let granted = table.replace("# [tools", "[tools").replace("# env", "env");
    let granted = Agent::scripted("[[reply]]\ntext = \"x\"").table(&granted);
    component(&granted, "calc.wasm", include_str!("calc.wat"));
    granted.host(&["check"]).ok();
}

#[test]
fn a_program_reads_it_as_json() {
    let agent = calculator(&[], "");
    let said = output(&agent.host(&["inspect", "calc.wasm", "--json"]));
    assert_eq!(said["world"], "typed");
    let tools = said["tools"].as_array().unwrap();
    let tool =
        |name: &str| tools.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("{name}: {said:#}"));
    assert_eq!(
        tool("ops_add")["input_schema"],
        json!({
            "type": "object",
            "properties": {
                "a": { "type": "integer", "minimum": 0, "maximum": u32::MAX },
                "b": { "type": "integer", "minimum": 0, "maximum": u32::MAX },
            },
            "required": ["a", "b"],
            "additionalProperties": false,
        })
    );
    assert_eq!(tool("nothing")["output_schema"], json!({ "type": "null" }));
    let all = &tool("same")["input_schema"]["properties"]["all"]["properties"];
    assert_eq!(
        all["bytes"],
        json!({ "type": "string", "contentEncoding": "base64", "description": "bytes in base64" })
    );
    assert_eq!(all["u64"]["type"], json!(["integer", "string"]));
    assert_eq!(all["pair"]["prefixItems"][0], json!({ "type": "string" }));
    let imports = said["imports"].as_array().unwrap();
    assert_eq!(imports[0], json!({ "name": "wasi:cli/environment@0.2.3", "grant": "env", "missing": [] }));
    assert_eq!(imports[1]["missing"], json!(["count"]));
    assert_eq!(said["refused"][0]["export"], "close");
    assert_eq!(said["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn its_world_is_written_out() {
    let agent = calculator(&[], "");
    let said = agent.host(&["inspect", "calc.wasm", "--wit"]);
    let said = &said.ok().stdout;
    for line in [
        "world root {\n  import wasi:cli/environment@0.2.3;\n",
        "\n  export docs:calc/ops@1.0.0;\n",
        "\n  export nothing: func();\n",
        "interface docs:calc/ops@1.0.0 {\n",
        "  variant why { closed, too-large(u32) };\n",
        "  add: func(a: u32, b: u32) -> u32;\n",
        "  refuse: func(size: u32) -> result<_, why>;\n",
        "record { %bool: bool, %s8: s8, ",
    ] {
        assert!(said.contains(line), "{line:?} is said in:\n{said}");
    }
}

#[test]
fn a_component_of_the_contract_is_asked_for_its_tools() {
    let agent = Agent::scripted("");
    let weather = root().join("examples/weather/weather.wasm");
    let said = agent.host(&["inspect", weather.to_str().unwrap()]);
    let said = &said.ok().stdout;
    for line in [
        "it is of the world host:tool/tool",
        "\n1 tool\n  get_weather\n",
        "processed-by: wit-bindgen",
        "[tools.weather]\n",
    ] {
        assert!(said.contains(line), "{line:?} is said in:\n{said}");
    }
}

#[test]
fn what_cannot_be_inspected_says_why() {
    let agent = calculator(&[], "");
    agent.host(&["inspect", "agent.toml"]).exits(2).says("is no component").says("host check agent.toml");
    agent.host(&["inspect", "gone.wasm"]).exits(2).says("gone.wasm does not exist");
    std::fs::write(agent.dir.path().join("core.wasm"), b"\0asm\x01\0\0\0").unwrap();
    agent.host(&["inspect", "core.wasm"]).exits(2).says("is a core module");
    // What has nothing that can be called is inspected all the same.
    component(&agent, "empty.wasm", "(component)");
    let said = &agent.host(&["inspect", "empty.wasm"]).ok().stdout.clone();
    assert!(said.contains("\n0 tools\n") && said.contains("no agent can use it"), "{said}");
    assert!(!said.contains("[tools."), "nothing is there to be pasted:\n{said}");
}

#[test]
fn nothing_is_added_that_would_keep_the_agent_from_loading() {
    let agent = calculator(&[], "");
    let before = std::fs::read_to_string(agent.toml()).unwrap();
    component(&agent, "empty.wasm", "(component)");
    agent.host(&["add", "empty.wasm", "--yes"]).exits(2).says("no agent can use it");
    let text = r#"(component
        (core module $m (func (export "f"))) (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance $old (export "get" (func $f))) (instance $new (export "get" (func $f)) (export "put" (func $f)))
        (export "one:pkg/store@0.1.0" (instance $old)) (export "one:pkg/store@0.2.0" (instance $new)))"#;
    component(&agent, "two.wasm", text);
    agent.host(&["add", "two.wasm", "--yes"]).exits(2).says("choose with `include`");
    assert_eq!(std::fs::read_to_string(agent.toml()).unwrap(), before);
    // What is there to be pasted chooses.
    let said = agent.host(&["inspect", "two.wasm"]).ok().stdout.clone();
    let (_, table) = said.split_once("add to agent.toml:\n\n").unwrap();
    assert!(table.contains("\"one:pkg/store@0.1.0#get\", \"one:pkg/store@0.2.0#put\""), "{table}");
    let pasted = Agent::scripted("[[reply]]\ntext = \"x\"").table(table);
    component(&pasted, "two.wasm", text);
    pasted.host(&["check"]).ok();
}

#[test]
fn what_has_no_tool_is_still_said_to_lack_its_imports() {
    let agent = calculator(&[], "");
    let text = r#"(component
        (import "other:shop/cart" (instance (export "open" (func))))
        (type (export "types") (component)))"#;
    component(&agent, "types.wasm", text);
    let said = &agent.host(&["inspect", "types.wasm"]).ok().stdout.clone();
    for line in [
        "types: it describes an interface, and has no code",
        "other:shop/cart is not there, so that a call that uses it fails: open",
    ] {
        assert!(said.contains(line), "{line:?} is said in:\n{said}");
    }
}
