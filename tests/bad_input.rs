//! Every kind of bad input gets a message that says what is wrong, where, and what to do.

use std::fs;

use crate::support::{Agent, Ran, cache, root};

const HELLO: &str = "[[reply]]\ntext = \"hello\"";

#[test]
fn a_missing_agent_toml() {
    let agent = Agent::scripted(HELLO);
    agent.host(&["run", "other.toml"]).exits(2).says("other.toml").says("host init");
}

#[test]
fn a_malformed_agent_toml_shows_the_line() {
    let agent = Agent::raw("version = 1\n[model\nprovider = \"scripted\"");
    agent.host(&["run"]).exits(2).says("agent.toml:2:").says("[model");
}

#[test]
fn an_unknown_key_shows_the_line_and_what_was_meant() {
    let agent = Agent::scripted(HELLO).table("[limits]\nmax_turn = 3");
    agent
        .host(&["run"])
        .exits(2)
        .says("unknown field `max_turn`")
        .says("did you mean `max_turns`?")
        .says("max_turn = 3");
}

#[test]
fn a_tool_file_that_is_missing() {
    let agent = Agent::scripted(HELLO).table("[tools.gone]\nsource = \"gone.wasm\"");
    agent.host(&["run"]).exits(2).says("[tools.gone]").says("gone.wasm does not exist");
}

#[test]
fn a_tool_file_that_is_not_wasm() {
    let agent = Agent::scripted(HELLO).table("[tools.text]\nsource = \"script.toml\"");
    agent.host(&["run"]).exits(2).says("[tools.text]").says("is not a WebAssembly component");
}

#[test]
fn a_core_module() {
    let agent = Agent::scripted(HELLO).table("[tools.core]\nsource = \"core.wasm\"");
    fs::write(agent.dir.path().join("core.wasm"), b"\0asm\x01\0\0\0").unwrap();
    agent.host(&["run"]).exits(2).says("is a core module, not a component").says("wasm32-wasip2");
}

#[test]
fn a_component_without_anything() {
    let agent = Agent::scripted(HELLO).table("[tools.other]\nsource = \"other.wasm\"");
    fs::write(agent.dir.path().join("other.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
    agent.host(&["run"]).exits(2).says("it exports no function that can be a tool");
}

#[test]
fn a_component_that_is_cut_short() {
    let agent = Agent::scripted(HELLO).guest("weather");
    agent.host(&["build"]).ok();
    let built = agent.host(&["build"]).stdout;
    let wasm = fs::read(built.split("  ").next().unwrap()).unwrap();
    fs::write(agent.dir.path().join("cut.wasm"), &wasm[..wasm.len() / 2]).unwrap();
    let agent = agent.table("[tools.cut]\nsource = \"cut.wasm\"");
    agent.host(&["run"]).exits(2).says("[tools.cut]").says("does not compile");
}

#[test]
fn a_digest_that_is_not_the_pinned_one() {
    let pinned = "0".repeat(64);
    let agent = Agent::scripted(HELLO).guest("weather").table(&format!(
        "[tools.pinned]\nsource = {:?}\nsha256 = {pinned:?}",
        root().join("guest-tools/claims")
    ));
    agent.host(&["run"]).exits(2).says("[tools.pinned]").says(&format!("agent.toml pins {pinned}"));
}

#[test]
fn two_tools_of_one_name() {
    let source = root().join("guest-tools/weather");
    let agent = Agent::scripted(HELLO).guest("weather").table(&format!("[tools.zwei]\nsource = {source:?}"));
    agent
        .host(&["run"])
        .exits(2)
        .says("[tools.zwei]")
        .says("`get_weather` is already offered by [tools.weather]");
    let agent = Agent::scripted(HELLO)
        .guest("weather")
        .table(&format!("[tools.zwei]\nsource = {source:?}\nprefix = \"zwei_\""));
    agent.host(&["run"]).ok();
}

#[test]
fn an_include_that_matches_nothing() {
    let source = root().join("guest-tools/weather");
    let agent = Agent::scripted(HELLO)
        .table(&format!("[tools.w]\nsource = {source:?}\ninclude = [\"get_*\", \"set_*\"]"));
    agent.host(&["run"]).exits(2).says("`include` matches no tool: `set_*`").says("get_weather");
}

#[test]
fn a_crate_that_does_not_build_shows_the_compiler_error() {
    let agent = Agent::scripted(HELLO).table("[tools.broken]\nsource = \"broken\"");
    let dir = agent.dir.path().join("broken");
    fs::create_dir_all(dir.join("src")).unwrap();
    let manifest = "[package]\nname = \"broken\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
    fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    fs::write(dir.join("src/lib.rs"), "fn f() -> u32 { \"text\" }").unwrap();
    Ran::from(agent.unhurried(&["run"]).output().unwrap())
        .exits(2)
        .says("[tools.broken]")
        .says("does not build")
        .says("E0308")
        .says("src/lib.rs:1");
    fs::remove_file(dir.join("Cargo.toml")).unwrap();
    agent.host(&["run"]).exits(2).says("has no source of a tool");
}

#[test]
fn a_script_that_is_exhausted_or_missing() {
    let agent =
        Agent::scripted("[[reply]]\ncalls = [{ name = \"echo\", input = { value = 1 } }]").guest("hostile");
    agent.host(&["run"]).exits(4).says("is exhausted: it has no [[reply]] for turn 1").says("host resume");
    fs::remove_file(agent.dir.path().join("script.toml")).unwrap();
    agent.host(&["run"]).exits(2).says("cannot read the script");
    agent.host(&["check"]).exits(2).says("cannot read the script");
    fs::write(agent.dir.path().join("script.toml"), "[[reply]]\ntxt = \"x\"").unwrap();
    agent.host(&["check"]).exits(2).says("script.toml:2:1: unknown field `txt`");
    agent.host(&["run"]).exits(2).says("script.toml:2:1: unknown field `txt`").says("did you mean `text`?");
}

#[test]
fn a_run_that_does_not_exist() {
    let agent = Agent::scripted(HELLO);
    for command in [["resume", "01ZZ"], ["replay", "01ZZ"], ["replay", "last"]] {
        agent.host(&command).exits(2).says("no run `").says("host runs");
    }
}

#[test]
fn a_state_directory_that_cannot_be_written() {
    let agent = Agent::scripted(HELLO);
    let file = agent.dir.path().join("file");
    fs::write(&file, "").unwrap();
    let ran = agent.host(&["run", "--state", file.join("below").to_str().unwrap()]);
    ran.exits(1).says("is a file").says("--state DIR");
}

#[test]
fn a_cache_that_others_may_write() {
    use std::os::unix::fs::PermissionsExt as _;
    let agent = Agent::scripted(HELLO);
    let open = agent.dir.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    agent
        .host(&["run", "--cache", open.to_str().unwrap()])
        .exits(1)
        .says("others may use it")
        .says("chmod 700");
    assert!(cache().parent().is_some());
}

#[test]
fn a_provider_key_that_is_not_set() {
    let agent = Agent::raw(
        "version = 1\n[agent]\nprompt = \"go\"\n[model]\nprovider = \"openai\"\nname = \"m\"\napi_key_env = \"NO_SUCH_KEY\"",
    );
    agent.host(&["run"]).exits(2).says("NO_SUCH_KEY is not set").says("api_key_env");
}

#[test]
fn a_provider_that_is_unreachable() {
    let agent = Agent::raw(
        "version = 1\n[agent]\nprompt = \"go\"\n[model]\nprovider = \"openai\"\nname = \"m\"\nbase_url = \"http://127.0.0.1:1/v1\"",
    );
    agent.host(&["run"]).exits(4).says("cannot reach http://127.0.0.1:1/v1").says("host resume");
}

#[test]
fn what_is_nested_without_end() {
    let deep = |count: usize| format!("{}{}", "[".repeat(count), "]".repeat(count));
    for count in [200, 100_000] {
        Agent::raw(&format!("version = 1\nx = {}", deep(count)))
            .host(&["run"])
            .exits(2)
            .says("agent.toml:2:");
        let script = format!("[[reply]]\ncalls = [{{ name = \"a\", input = {{ a = {} }} }}]", deep(count));
        let ran = Agent::scripted(&script).host(&["run"]);
        assert!(
            ran.code != Some(0) && ran.stderr.contains("script.toml:2:"),
            "{:?} {}",
            ran.code,
            ran.stderr
        );
        let agent = Agent::scripted(HELLO);
        fs::write(agent.dir.path().join("schema.json"), deep(count)).unwrap();
        let toml = fs::read_to_string(agent.toml()).unwrap();
        let toml = toml.replace("[agent]", "[agent]\noutput_schema_file = \"schema.json\"");
        fs::write(agent.toml(), toml).unwrap();
        agent.host(&["run"]).exits(2).says("the answer's schema cannot be used");
        fs::write(agent.dir.path().join("run.jsonl"), format!("{{\"host_run\":{}}}", deep(count))).unwrap();
        let ran = agent.host(&["replay", "run.jsonl"]);
        assert!(ran.code != Some(0) && ran.stderr.contains("run.jsonl"), "{:?} {}", ran.code, ran.stderr);
    }
}
