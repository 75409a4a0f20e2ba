//! What is wrong with agent.toml beyond its form is shown as its form is: the file, the line, a mark below the place, and
//! what to do.

use std::fs;

use proptest::prelude::*;
use serde_json::json;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::support::{Agent, Ran, root};

const HELLO: &str = "[[reply]]\ntext = \"hello\"";

/// Around what a mistake is about.
const OPEN: char = '«';
const CLOSE: char = '»';

/// An agent.toml without the marks, and where they stood: line and column, and how many characters were marked.
fn unmarked(toml: &str) -> (String, (usize, usize), usize) {
    let (before, rest) = toml.split_once(OPEN).unwrap();
    let (marked, after) = rest.split_once(CLOSE).unwrap();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
    (format!("{before}{marked}{after}"), (line, column), marked.chars().count())
}

/// Asserts that a place is shown: file, line and column in words, the line itself, and a mark of the right width below.
fn shows(ran: &Ran, toml: &str) {
    let (text, (line, column), width) = unmarked(toml);
    ran.says(&format!("agent.toml:{line}:{column}: "));
    let shown: Vec<&str> = ran.stderr.lines().collect();
    let quoted = format!("{line} │ {}", text.lines().nth(line - 1).unwrap());
    let at = shown.iter().position(|shown| shown.trim_start() == quoted);
    let below = shown[at.unwrap_or_else(|| panic!("{quoted:?} is not in:\n{}", ran.stderr)) + 1];
    let mark = below.chars().filter(|c| "─┬▲".contains(*c)).count();
    assert_eq!(mark, width, "{}", ran.stderr);
}

/// A mistake in a file with a model and the tools of `guest-tools`, and what is said of it.
struct Mistake {
    toml: String,
    says: Vec<String>,
}

fn mistake(toml: &str, says: &[&str]) -> Mistake {
    let guest = |name: &str| root().join("guest-tools").join(name).display().to_string();
    let filled =
        |text: &str| text.replace("WEATHER", &guest("weather")).replace("HOSTILE", &guest("hostile"));
    Mistake { toml: filled(toml), says: says.iter().map(|said| filled(said)).collect() }
}

impl Mistake {
    /// Has the command look at the file, and asserts what it says.
    fn is_shown_by(&self, command: &str) {
        let toml = format!(
            "version = 1\n[agent]\nprompt = \"go\"\n[model]\nprovider = \"scripted\"\nscript = \"script.toml\"\n{}",
            self.toml
        );
        let agent = Agent::raw(&unmarked(&toml).0);
        let here = agent.dir.path();
        fs::write(here.join("script.toml"), HELLO).unwrap();
        fs::write(here.join("core.wasm"), b"\0asm\x01\0\0\0").unwrap();
        fs::create_dir(here.join("empty")).unwrap();
        let ran = agent.host(&[command]);
        ran.exits(2);
        shows(&ran, &toml);
        for said in &self.says {
            ran.says(said);
        }
        assert!(!ran.stderr.contains("Error:") && !ran.stderr.contains("error:"), "{}", ran.stderr);
    }
}

#[test]
fn every_mistake_about_tools_is_shown_in_the_file() {
    let weather = "[tools.weather]\nsource = \"WEATHER\"\n";
    let zeros = "0".repeat(64);
    for (toml, says) in [
        (
            "[tools.t]\nsource = «\"gone.wasm\"»",
            &["gone.wasm does not exist", "help: `source` is a .wasm file"][..],
        ),
        ("[tools.t]\nsource = «\"script.toml\"»", &["is not a WebAssembly component", "help: "]),
        ("[tools.t]\nsource = «\"core.wasm\"»", &["is a core module", "help: build it for"]),
        ("[tools.t]\nsource = «\"empty\"»", &["has no source of a tool", "help: "]),
        (
            &format!("{weather}[tools.«zwei»]\nsource = \"WEATHER\""),
            &["`get_weather` is already offered by [tools.weather]", "help: give one of them a `prefix`"],
        ),
        (&format!("{weather}[tools.zwei]\nsource = \"WEATHER\"\nprefix = «\"\"»"), &["already offered"]),
        (
            &format!("{weather}include = [\"get_*\", «\"set_*\"»]"),
            &["`include` matches no tool: `set_*`", "help: the component has: get_weather"],
        ),
        (&format!("{weather}retry.idempotent = [«\"set_*\"»]"), &["`idempotent` matches no tool: `set_*`"]),
        (
            &format!("{weather}sha256 = «\"{zeros}\"»"),
            &["but agent.toml pins 0000", "help: if the change is wanted"],
        ),
        (
            &format!("{weather}permissions.calls = [«\"pay\"»]"),
            &["`permissions.calls` matches no tool of this agent: `pay`", "help: there are: get_weather"],
        ),
        (&format!("{weather}hidden = «true»"), &["hidden from the model", "help: grant that"]),
        (
            &format!("{weather}[approval]\nask = [{{ tool = \"get_*\" }}, {{ tool = «\"pay_*\"» }}]"),
            &["`ask` in [approval] matches no tool", "help: there are: get_weather"],
        ),
        (
            &format!("{weather}[[approval.deny]]\ntool = «\"pay_*\"»"),
            &["`deny` in [approval] matches no tool"],
        ),
        (
            &format!("[limits]\nstop_on_tools = [«\"pay\"»]\n{weather}"),
            &["`stop_on_tools` in [limits] matches no tool"],
        ),
        (
            "[tools.t]\nagent = «\"agent.toml\"»",
            &["[tools.t]: agents cannot call each other in a cycle", "help: take one of them out"],
        ),
    ] {
        for command in ["check", "run"] {
            mistake(toml, says).is_shown_by(command);
        }
    }
}

#[test]
fn a_crate_that_does_not_build_is_shown_with_all_that_the_compiler_says() {
    let toml = "version = 1\n[model]\nprovider = \"scripted\"\nscript = \"script.toml\"\n[tools.t]\nsource = «\"broken\"»";
    let agent = Agent::raw(&unmarked(toml).0);
    let dir = agent.dir.path().join("broken");
    fs::create_dir_all(dir.join("src")).unwrap();
    let manifest = "[package]\nname = \"broken\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
    fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    fs::write(dir.join("src/lib.rs"), "fn f() -> u32 { \"text\" }").unwrap();
    let ran = Ran::from(agent.unhurried(&["check"]).output().unwrap());
    ran.exits(2).says("[tools.t]: ").says("broken does not build");
    shows(&ran, toml);
    // The compiler's own marks stand where it put them.
    ran.says("\nerror[E0308]").says("\n1 | fn f() -> u32 { \"text\" }\n");
}

/// The secrets of an agent are not where agent.toml is checked: there they are missing, and here nothing works without.
#[test]
fn a_secret_that_is_not_set_is_a_warning_for_check_and_a_mistake_for_a_run() {
    let tool = format!("[tools.w]\nsource = {:?}", root().join("guest-tools/weather"));
    let model = "version = 1\n[agent]\nprompt = \"go\"\n[model]\nname = \"m\"\n";
    for toml in [
        format!("{model}provider = \"openai\"\napi_key_env = «\"NO_SUCH_KEY\"»\n{tool}"),
        format!(
            "{model}provider = \"ollama\"\nheaders = {{ api-key = {{ env = «\"NO_SUCH_KEY\"» }} }}\n{tool}"
        ),
        format!(
            "{model}provider = \"ollama\"\n[[model.fallback]]\nprovider = \"ollama\"\nname = \"o\"\n\
             [[model.fallback]]\nprovider = \"anthropic\"\nname = \"c\"\napi_key_env = «\"NO_SUCH_KEY\"»\n{tool}"
        ),
        format!(
            "{model}provider = \"ollama\"\n[model.summary]\nprovider = \"openai\"\nname = \"s\"\n\
             api_key_env = «\"NO_SUCH_KEY\"»\n{tool}"
        ),
        format!("{model}provider = \"ollama\"\n[secrets.KEY]\nenv = «\"NO_SUCH_KEY\"»\n{tool}"),
    ] {
        let agent = Agent::raw(&unmarked(&toml).0);
        let said = "NO_SUCH_KEY is not set";
        let checked = agent.host(&["check"]);
        checked.ok().says("⚠ agent.toml:").says(said).says("help: ");
        assert!(checked.stdout.contains("agent.toml: ok"), "{}", checked.stdout);
        let (_, (line, column), _) = unmarked(&toml);
        checked.says(&format!("agent.toml:{line}:{column}: "));
        let warned: serde_json::Value =
            serde_json::from_str(&agent.host(&["check", "--json"]).ok().stdout).unwrap();
        assert!(warned["warnings"][0].as_str().unwrap().contains(said), "{warned}");
        agent.host(&["run"]).exits(2).says(&format!("× agent.toml:{line}:{column}: ")).says(said);
        let with = agent.command(&["check"]).env("NO_SUCH_KEY", "a-key-that-is-set").output().unwrap();
        let with = Ran::from(with);
        assert!(!with.ok().stderr.contains("NO_SUCH_KEY"), "{}", with.stderr);
    }
}

#[test]
fn a_form_that_is_close_is_shown_as_it_should_be() {
    let tool = |line: &str| format!("[tools.t]\nsource = \"t\"\n{line}");
    for (toml, help) in [
        (
            tool("permissions.dirs = [«\"./work\"»]"),
            "write it as in { path = \"./work\", guest = \"/data\", access = \"read\" }",
        ),
        ("[approval]\nask = [«\"pay_*\"»]".to_owned(), "write it as in { tool = \"pay_*\" }"),
        ("[tools]\nt = «\"tools/greet\"»".to_owned(), "write it as in { source = \"tools/greet\" }"),
    ] {
        mistake(&toml, &[help]).is_shown_by("check");
    }
    // What may be a secret is not repeated.
    let checked = Agent::raw("version = 1\n[secrets]\nKEY = \"ghp_secret\"").host(&["check"]);
    checked.exits(2).says("agent.toml:3:7: ").says("write its keys below a `[…]` header of that name");
    assert!(!checked.stderr.contains("ghp"), "{}", checked.stderr);
}

#[test]
fn each_wrong_key_of_a_table_is_shown_and_each_that_is_missing_besides() {
    let table = "[tools.t]\nsource = \"t\"\npermissions.dirs = [{ hots = \"a\", colour = 1 }]";
    let toml = format!("version = 1\n[model]\nprovider = \"scripted\"\nscript = \"s\"\n{table}");
    let checked = Agent::raw(&toml).host(&["check"]);
    checked.exits(2);
    for said in
        ["unknown field `hots`", "unknown field `colour`", "`guest` is missing", "`access` is missing"]
    {
        checked.says(&format!("{said} in [tools.t.permissions.dirs]"));
    }
    assert!(!checked.stderr.contains("`path` is missing"), "it is there, misspelt: {}", checked.stderr);
    assert_eq!(checked.stderr.matches("× agent.toml:7:").count(), 4, "{}", checked.stderr);
}

#[test]
fn a_script_that_is_empty_or_nested_without_end() {
    let agent = Agent::scripted("");
    agent.host(&["run"]).exits(2).says("script.toml:1:1: `reply` is missing").says("add a table `[[reply]]`");
    let key = vec!["a"; 100_000].join(".");
    for line in [format!("{key} = 1"), format!("[{key}]"), format!("[[{key}]]")] {
        fs::write(agent.dir.path().join("script.toml"), format!("# the first line\n{line}\n")).unwrap();
        let ran = agent.host(&["run"]);
        ran.exits(2).says("script.toml:2:1: ");
        assert!(ran.stderr.len() < 10_000, "{}", ran.stderr.len());
    }
}

#[test]
fn a_parameter_of_an_agent_that_has_none() {
    let agent = Agent::scripted(HELLO);
    let ran = agent.host(&["run", "--param", "city=Oslo"]);
    ran.exits(2)
        .says("there is no parameter `city`")
        .says("this agent has no parameters")
        .says("[parameters.city]");
}

#[test]
fn a_file_where_the_directory_of_runs_should_be() {
    let agent = Agent::scripted(HELLO);
    let file = agent.dir.path().join("file");
    fs::write(&file, "").unwrap();
    for state in [file.clone(), file.join("below")] {
        for command in [&["run"][..], &["runs"]] {
            let ran = agent.command(command).env("HOST_STATE", &state).output().unwrap();
            let ran = Ran::from(ran);
            ran.exits(1).says(&format!("{} is a file", file.display())).says("--state DIR or HOST_STATE");
        }
    }
}

#[test]
fn an_export_that_the_disk_does_not_take_has_failed() {
    let agent = Agent::scripted(HELLO);
    agent.host(&["run"]).ok();
    agent.host(&["journal", "export", "last", "-o", "/dev/full"]).exits(1).says("cannot write /dev/full");
    agent.host(&["journal", "export", "last", "-o", "run.jsonl"]).ok();
    agent.host(&["replay", "./run.jsonl"]).ok();
}

#[test]
fn what_a_server_says_in_html_is_its_title_and_a_model_that_is_not_there_has_help() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let page = format!(
        "<!DOCTYPE html><html><head><title>Nothing here</title></head>{}</html>",
        "<p>x".repeat(50_000)
    );
    for (status, body, said) in [
        (
            404,
            page.clone(),
            &["answered HTTP 404: a page of HTML, \"Nothing here\"", "help: check `name` in [model]"][..],
        ),
        (200, page, &["a page of HTML, \"Nothing here\""]),
        (
            404,
            json!({ "error": { "message": "no model `m`" } }).to_string(),
            &["HTTP 404: no model `m`", "help: check `name`"],
        ),
    ] {
        let server = runtime.block_on(async {
            let server = MockServer::start().await;
            let answer = ResponseTemplate::new(status).set_body_string(body);
            Mock::given(any()).respond_with(answer).mount(&server).await;
            server
        });
        let agent = Agent::raw(&format!(
            "version = 1\n[agent]\nprompt = \"go\"\n[model]\nprovider = \"openai\"\nname = \"m\"\nbase_url = \"{}\"\n\
             retry = {{ max_attempts = 1 }}",
            server.uri()
        ));
        let ran = agent.host(&["run"]);
        ran.exits(4);
        for said in said {
            ran.says(said);
        }
        assert!(ran.stderr.len() < 2_000 && !ran.stderr.contains("<p>"), "{}", ran.stderr);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Wherever the mistake stands, among whatever else, that place is the one that is shown.
    #[test]
    fn the_place_that_is_shown_is_the_place(
        blank_lines in 0..40_usize,
        comment in "[ -~äé漢]{0,30}",
        before in 0..6_usize,
        name in "[a-z]{1,12}",
    ) {
        let others = "\"get_*\", ".repeat(before);
        let toml = format!(
            "{}# {comment}\n[tools.w]\nsource = \"WEATHER\"\ninclude = [{others}«\"no_{name}\"»]",
            "\n".repeat(blank_lines)
        );
        mistake(&toml, &[&format!("`include` matches no tool: `no_{name}`")]).is_shown_by("check");
    }
}
