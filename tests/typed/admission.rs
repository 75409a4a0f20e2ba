//! Which components are taken, which of their functions, and by which names.

use super::*;

const HELLO: &str = "[[reply]]\ntext = \"hello\"";

/// A function of a component's own, which takes nothing.
const OWN: &str = r#"(core module $m (func (export "f"))) (core instance $i (instantiate $m))
    (func $f (canon lift (core func $i "f")))"#;

/// What `host check` says of an agent with such a component, and these lines in its table.
fn checked(text: &str, table: &str) -> Ran {
    let agent = Agent::scripted(HELLO).table(&format!("[tools.other]\nsource = \"other.wasm\"\n{table}"));
    component(&agent, "other.wasm", text);
    agent.host(&["check"])
}

#[test]
fn what_a_component_lacks_here_is_said_before_the_run() {
    let checked = calculator(&[], "").host(&["check"]);
    let said = &checked.ok().stdout;
    for line in [
        "  ops_add: Adds two numbers.\n",
        "  ops_divide: Divides, and says so if it cannot.\n",
        "  ops_refuse: The function `refuse: func(size: u32) -> result<_, variant { closed, too-large(u32) }>` of",
        "  nothing: Does nothing.\n",
        "imports wasi:keyvalue/store@0.2.0-draft#count, which this host does not have: a call that uses it fails",
        "imports pick, which this host does not have",
        "the export close is no tool: `file`: it is a resource",
    ] {
        assert!(said.contains(line), "{line:?} is said in:\n{said}");
    }
    assert!(!said.contains("get-environment"), "that is there:\n{said}");
}

#[test]
fn agent_toml_describes_what_a_component_does_not() {
    let table = "describe.ops_refuse = \"Always refuses.\"\ndescribe.ops_add = \"Sums.\"";
    let checked = calculator(&[], table).host(&["check"]);
    let said = &checked.ok().stdout;
    assert!(said.contains("ops_refuse: Always refuses.\n") && said.contains("ops_add: Sums.\n"), "{said}");
    let unknown = calculator(&[], "describe.subtract = \"x\"").host(&["check"]);
    unknown.exits(2).says("names no tool of the component: `subtract`").says("ops_add");
    let long = format!("describe.nothing = \"{}\"", "x".repeat(5000));
    calculator(&[], &long).host(&["check"]).exits(2).says("5000 bytes; at most 4096");
}

#[test]
fn tools_are_chosen_by_their_names_or_by_their_exports() {
    for include in ["\"ops_*\"", "\"docs:calc/ops@1.0.0#*\""] {
        let checked = calculator(&[], &format!("include = [{include}]")).host(&["check"]);
        let said = &checked.ok().stdout;
        assert!(said.contains("ops_add:") && !said.contains("  nothing:"), "{said}");
    }
    let close = calculator(&[], "include = [\"close\"]").host(&["check"]);
    close.exits(2).says("the export `close` cannot be a tool: `file`: it is a resource");
    calculator(&[], "include = [\"clos\"]").host(&["check"]).exits(2).says("matches no tool: `clos`");
}

#[test]
fn two_exports_of_one_name_are_told_apart_by_who_offers_them() {
    let text = format!(
        r#"(component {OWN}
        (instance $s (export "get" (func $f)))
        (export "one:pkg/store@1.0.0" (instance $s))
        (export "other:pkg/store@2.0.0" (instance $s)))"#
    );
    let text = text.as_str();
    let both = checked(text, "");
    both.exits(2)
        .says("the exports `one:pkg/store@1.0.0#get` and `other:pkg/store@2.0.0#get` would both be the tool `store_get`")
        .says("include = [\"one:pkg/store@1.0.0#get\"]");
    checked(text, "include = [\"one:pkg/store@1.0.0#get\"]").ok();
    checked(text, "include = [\"other:*\"]\nprefix = \"o_\"").ok();
}

#[test]
fn names_that_are_too_long_are_said_to_be() {
    let long = "a".repeat(70);
    let text = format!("(component {OWN} (export \"{long}\" (func $f)))");
    checked(&text, "").exits(2).says("has 70 characters, and model providers take 64");
}

#[test]
fn what_is_no_set_of_tools_is_refused_with_a_sentence() {
    // A draft of WASI 0.2 has other types than what was released.
    let command = format!(
        r#"(component {OWN}
        (instance $run (export "run" (func $f)))
        (export "wasi:cli/run@0.2.0-rc-2023-12-05" (instance $run)))"#
    );
    checked(&command, "")
        .exits(2)
        .says("exports no function that can be a tool")
        .says("it is of a version of WASI that this host does not have");
    checked("(component)", "").exits(2).says("it exports no function that can be a tool");
    checked("(module)", "").exits(2).says("is a core module, not a component");
}

#[test]
fn wasi_0_3_is_named_before_anything_is_compiled() {
    for sign in [
        r#"(import "wasi:http/types@0.3.0-rc-2025-09-16" (instance))"#,
        r#"(instance $i) (export "wasi:cli/run@0.3.0" (instance $i))"#,
    ] {
        let ran = checked(&format!("(component {sign})"), "");
        ran.exits(2).says("needs WASI 0.3: it has `wasi:").says("build it for that");
        assert!(!ran.stderr.contains("compiling"), "{}", ran.stderr);
    }
    let text = r#"(component
        (core module $m (func (export "f") (result i32) unreachable)
            (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
        (core instance $i (instantiate $m))
        (func (export "f") async (canon lift (core func $i "f") async (callback (core func $i "callback")))))"#;
    checked(text, "").exits(2).says("needs WASI 0.3: it has functions that are async");
    let text = r"(component (core func (canon error-context.drop)))";
    checked(text, "").exits(2).says("needs WASI 0.3: it has error contexts");
}

#[test]
fn a_component_that_does_not_compile_is_named_and_why() {
    let text = r#"(component
        (core module $m (func (export "f") try_table end))
        (core instance $i (instantiate $m))
        (func (export "f") (canon lift (core func $i "f"))))"#;
    checked(text, "")
        .exits(2)
        .says("other.wasm throws exceptions of WebAssembly")
        .says("build it without them");
    let text = r"(component (core module (func (result i32))))";
    checked(text, "").exits(2).says("other.wasm: the component does not compile");
}

#[test]
fn a_component_may_have_as_many_core_modules_as_python_with_stubs_for_wasi() {
    use std::fmt::Write as _;
    let mut text = "(component (core module $m (func (export \"f\")))".to_owned();
    for index in 0..38 {
        let _ = write!(text, "(core instance $i{index} (instantiate $m))");
    }
    checked(&(text + "(func (export \"f\") (canon lift (core func $i37 \"f\"))))"), "").ok();
}

#[test]
fn too_many_functions_are_named() {
    use std::fmt::Write as _;
    let exports = |count: usize| {
        let mut text = format!("(component {OWN}");
        for index in 0..count {
            let _ = write!(text, "(export \"f{index}\" (func $f))");
        }
        text + ")"
    };
    checked(&exports(10_000), "").exits(2).says("it exports more than 1000 functions");
    checked(&exports(200), "").exits(2).says("has 200 tools; at most 128").says("with `include`");
    checked(&exports(200), "include = [\"f1\", \"f19*\"]").ok();
}

/// An interface of this host's in another version is no interface that a stranger knows.
#[test]
fn the_contract_in_another_version_is_not_taken_for_tools() {
    let text = format!(
        r#"(component {OWN}
        (instance $t (export "list-tools" (func $f)))
        (export "host:tool/tools@0.2.0" (instance $t)))"#
    );
    checked(&text, "").exits(2).says("does not fit the world `host:tool/tool@0.1.0`");
}

#[test]
fn a_pinned_digest_holds() {
    let agent = calculator(&[], &format!("sha256 = \"{}\"", "0".repeat(64)));
    agent.host(&["check"]).exits(2).says("but agent.toml pins");
}
