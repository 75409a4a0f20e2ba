//! The form of the final answer, where it goes, and where the prompt and its parameters come from.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use crate::support::{Agent, Ran};

const SCHEMA: &str = r#"{ type = "object", required = ["city", "sunny"], properties = { city = { type = "string" }, sunny = { type = "boolean" } } }"#;

/// An agent whose answers, in turn, are these.
fn answering(replies: &[&str]) -> Agent {
    let replies: Vec<String> = replies.iter().map(|reply| format!("[[reply]]\n{reply}\n")).collect();
    with_agent(&replies.concat(), &format!("output_schema = {SCHEMA}"))
}

fn with_agent(script: &str, keys: &str) -> Agent {
    let agent = Agent::scripted(script).guest("weather");
    edit(&agent, "[agent]", &format!("[agent]\n{keys}"));
    agent
}

fn edit(agent: &Agent, from: &str, to: &str) {
    let toml = std::fs::read_to_string(agent.toml()).unwrap();
    assert!(toml.contains(from), "{toml}");
    std::fs::write(agent.toml(), toml.replacen(from, to, 1)).unwrap();
}

const FITS: &str = r#"{"sunny": true, "city": "Oslo"}"#;

#[test]
fn an_answer_that_fits_is_printed_as_bare_json() {
    for text in [format!("text = '''{FITS}'''"), format!("text = '''```json\n{FITS}\n```'''")] {
        let agent = answering(&[&text]);
        assert_eq!(agent.host(&["run"]).ok().stdout, format!("{FITS}\n"));
        assert_eq!(agent.host(&["replay", "last"]).ok().stdout, format!("{FITS}\n"));
        let sent = agent.host(&["runs", "show", "last", "--json"]).ok().stdout.clone();
        assert!(sent.contains("output_schema"), "the schema is recorded: {sent}");
    }
}

#[test]
fn an_answer_that_does_not_fit_is_asked_for_once_more() {
    let calls = "calls = [{ name = \"get_weather\", input = { city = \"New York\" } }]";
    let wrong = "text = '''{\"city\": \"Oslo\"}'''";
    let told =
        format!("expect = [\"sunny\", \"is a required property\", \"Answer again\"]\ntext = '''{FITS}'''");
    let told_and_calls = format!("expect = [\"is a required property\"]\n{calls}");
    let right = format!("text = '''{FITS}'''");
    for replies in [vec![wrong, &told], vec![wrong, &told_and_calls, &right]] {
        let agent = answering(&replies);
        assert_eq!(agent.host(&["run"]).ok().stdout, format!("{FITS}\n"));
        assert_eq!(agent.host(&["replay", "last"]).ok().stdout, format!("{FITS}\n"));
    }
    let agent = answering(&["text = 'sunny'", "expect = ['is not JSON']\ntext = 'very sunny'"]);
    let ran = agent.host(&["run"]);
    ran.exits(1).says("the model's answer is of no use").says("is not JSON").says("it said: very sunny");
    assert_eq!(ran.stdout, "");
    agent.host(&["replay", "last"]).exits(1);
    assert!(agent.host(&["runs"]).ok().stdout.contains("unfit"));
    agent.host(&["journal", "verify", "last"]).ok();
}

#[test]
fn a_run_that_is_killed_while_it_asks_once_more_goes_on() {
    let told = format!("expect = [\"is a required property\"]\ntext = '''{FITS}'''");
    let agent = answering(&["text = '{}'", &told]);
    // The first commit says that there is a run.
    for commit in 1.. {
        let failpoint = format!("journal-before-ack={commit}*off->1*return");
        let killed = agent.command(&["run"]).env("FAILPOINTS", failpoint).output().unwrap();
        if killed.status.success() {
            assert!(commit > 3, "it was killed in the middle");
            break;
        }
        assert_eq!(
            agent.host(&["resume", "last"]).ok().stdout,
            format!("{FITS}\n"),
            "killed at commit {commit}"
        );
        agent.host(&["replay", "last"]).ok();
    }
}

#[test]
fn what_is_refused_or_cut_off_is_not_asked_for_again() {
    let agent = answering(&["text = 'no'\nstop = \"refusal\""]);
    agent.host(&["run"]).exits(1).says("the model refused");
    let agent = answering(&["text = '{'\nstop = \"max_tokens\""]);
    agent.host(&["run"]).exits(5).says("cut off");
    let agent = answering(&["text = '{}'", "text = '{}'"]);
    edit(&agent, "[model]", "[limits]\nmax_turns = 1\n[model]");
    agent.host(&["run"]).exits(5).says("max_turns = 1");
}

#[test]
fn what_only_looks_like_json_is_none_and_steers_no_terminal() {
    let half = "text = '{\"city\": \"\\ud800\", \"sunny\": true}'";
    let agent = answering(&[half, half]);
    agent.host(&["run"]).exits(1).says("is not JSON");
    let escape = "text = '{\"city\": \"Oslo\", \"sunny\": \"\\u001b[31mred\"}'";
    let ran = answering(&[escape, escape]).host(&["run"]);
    assert!(!ran.exits(1).stderr.contains('\u{1b}'), "{}", ran.stderr);
}

#[test]
fn an_answer_that_is_asked_for_once_more_keeps_to_the_budget() {
    let long = "text = '{}'\ntokens = { input = 900, output = 300 }";
    let agent = answering(&[long, "text = '{}'"]);
    edit(&agent, "[model]", "[limits]\nmax_total_tokens = 1000\n[model]");
    agent.host(&["run"]).exits(5).says("max_total_tokens = 1000");
    agent.host(&["replay", "last"]).exits(5);
}

#[test]
fn a_schema_has_to_be_one() {
    let schema = |key: &str| with_agent("[[reply]]\ntext = 'x'", key);
    schema("output_schema = { type = 5 }").host(&["run"]).exits(2).says("the answer's schema cannot be used");
    schema("output_schema_file = \"gone.json\"").host(&["check"]).exits(2).says("it does not exist");
    let both = "output_schema = {}\noutput_schema_file = \"x.json\"";
    schema(both).host(&["check"]).exits(2).says("both `output_schema` and `output_schema_file`");
    let agent = schema("output_schema_file = \"answer.json\"");
    std::fs::write(agent.dir.path().join("answer.json"), r#"{"type":"string"}"#).unwrap();
    std::fs::write(agent.dir.path().join("script.toml"), "[[reply]]\ntext = '\"fine\"'").unwrap();
    assert_eq!(agent.host(&["run"]).ok().stdout, "\"fine\"\n");
}

#[test]
fn the_answer_can_go_to_a_file() {
    let agent = Agent::scripted("[[reply]]\ntext = 'the end'");
    let file = agent.dir.path().join("answer.txt");
    std::fs::write(&file, "before").unwrap();
    assert_eq!(agent.host(&["run", "agent.toml", "--output", "answer.txt"]).ok().stdout, "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "the end\n");
    std::fs::remove_file(&file).unwrap();
    agent.host(&["replay", "last", "--output", "answer.txt"]).ok();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "the end\n");
    agent.host(&["run", "agent.toml", "--output", "no/such/answer.txt"]).exits(2).says("cannot write");
    agent.host(&["run", "agent.toml", "--output", "."]).exits(2).says("is not a regular file");
    let link = agent.dir.path().join("link.txt");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    agent.host(&["replay", "last", "--output", "link.txt"]).ok();
    assert!(link.is_symlink(), "the file is replaced, and not the link to it");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    agent.host(&["replay", "last", "--output", "/dev/null"]).exits(2).says("is not a regular file");

    let refusing = Agent::scripted("[[reply]]\ntext = 'no'\nstop = \"refusal\"");
    refusing.host(&["run", "agent.toml", "--output", "answer.txt"]).exits(1);
    assert!(!refusing.dir.path().join("answer.txt").exists(), "there is no answer");
}

/// Runs with this on stdin.
fn piped(agent: &Agent, args: &[&str], input: &[u8]) -> Ran {
    let mut command = agent.command(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Who has read too much already reads no more.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap().into()
}

#[test]
fn a_prompt_comes_from_the_command_line_a_file_or_stdin() {
    let agent = Agent::scripted("[[reply]]\nexpect = [\"user: how are you\"]\ntext = 'fine'");
    std::fs::write(agent.dir.path().join("prompt.md"), "how are you\n").unwrap();
    agent.host(&["run", "agent.toml", "how are you"]).ok();
    agent.host(&["run", "agent.toml", "--prompt-file", "prompt.md"]).ok();
    piped(&agent, &["run", "agent.toml", "-"], b"how are you").ok();
    piped(&agent, &["run", "agent.toml", "--prompt-file", "-"], b"how are you").ok();
    agent.host(&["run", "agent.toml", "--prompt-file", "gone.md"]).exits(2).says("cannot read gone.md");
    agent.host(&["run", "agent.toml", " "]).exits(2).says("the prompt is empty");
    piped(&agent, &["run", "agent.toml", "-"], b"").exits(2).says("the prompt is empty");
    piped(&agent, &["run", "agent.toml", "-"], b"\xff\xfe").exits(2).says("is not UTF-8");
    piped(&agent, &["run", "agent.toml", "-"], &vec![b'x'; 2 << 20]).exits(2).says("longer than 1 MiB");
}

const PARAMETERS: &str =
    "[parameters.city]\ndescription = \"Where.\"\n[parameters.unit]\ndefault = \"Celsius\"";

fn parametrised() -> Agent {
    let script =
        "[[reply]]\nexpect = [\"user: weather in Oslo in Celsius, {{ city }} & <b>\"]\ntext = 'fine'";
    let agent = Agent::scripted(script).table(PARAMETERS);
    edit(
        &agent,
        "prompt = \"go on\"",
        "prompt = \"weather in {{ city }} in {{ unit }}, {{ \\\"{{\\\" }} city }} & <b>\"\ninstructions = \"Use {{ unit }}.\\n\"",
    );
    agent
}

#[test]
fn parameters_are_put_in_once_and_recorded() {
    let agent = parametrised();
    agent.host(&["run", "agent.toml", "--param", "city=Oslo"]).ok();
    std::fs::write(agent.dir.path().join("values.json"), r#"{"city": "Rome", "unit": "Celsius"}"#).unwrap();
    agent.host(&["run", "agent.toml", "--params-file", "values.json", "--param", "city=Oslo"]).ok();
    let shown = agent.show();
    let manifest = &shown[0]["request"]["run"];
    assert_eq!(
        (&manifest["parameters"]["city"], &manifest["parameters"]["unit"]),
        (&"Oslo".into(), &"Celsius".into())
    );
    assert_eq!(manifest["instructions"], "Use Celsius.\n");
    // Neither a replay against agent.toml nor a fork has to be told again.
    agent.host(&["replay", "last", "--config", "agent.toml"]).ok();
    agent.host(&["fork", "last", "--at", "0"]).ok();
    // What comes from elsewhere is no template: it may have any braces.
    let taken =
        Agent::scripted("[[reply]]\nexpect = ['a ${{ github.ref }} {# b #} {{ city }}']\ntext = 'fine'");
    let taken = taken.table("[parameters.city]\ndefault = \"Oslo\"");
    let text = "a ${{ github.ref }} {# b #} {{ city }}";
    taken.host(&["run", "agent.toml", text]).ok();
    piped(&taken, &["run", "agent.toml", "-"], text.as_bytes()).ok();
    std::fs::write(taken.dir.path().join("prompt.md"), text).unwrap();
    let file = taken.host(&["run", "agent.toml", "--prompt-file", "prompt.md"]);
    file.exits(2).says("the prompt: line 1, column 4: there is no parameter `github.ref`");
    // What a value says is no template.
    let echo = Agent::scripted("[[reply]]\nexpect = [\"user: {{ unit }}\"]\ntext = 'fine'").table(PARAMETERS);
    edit(&echo, "go on", "{{ city }}");
    echo.host(&["run", "agent.toml", "--param", "city={{ unit }}"]).ok();
}

#[test]
fn parameters_that_do_not_fit_are_named() {
    let agent = parametrised();
    let checked = agent.host(&["check"]);
    assert!(checked.ok().stdout.contains("parameter city, has to be given: Where."), "{}", checked.stdout);
    agent.host(&["run"]).exits(2).says("the parameter `city` is missing: Where.").says("--param city=VALUE");
    let unknown = agent.host(&["run", "agent.toml", "--param", "citi=Oslo"]);
    unknown.exits(2).says("there is no parameter `citi`").says("did you mean `city`?");
    agent.host(&["run", "agent.toml", "--param", "city"]).exits(2).says("write it as NAME=VALUE");
    edit(&agent, "{{ unit }}.", "{{ units }}.");
    agent.host(&["check"]).exits(2).says("`units`").says("did you mean `unit`?");
    edit(&agent, "{{ units }}.", "{{ unit");
    agent.host(&["check"]).exits(2).says("closed");
    let plain = Agent::scripted("[[reply]]\nexpect = [\"{{ city }}\"]\ntext = 'fine'");
    plain.host(&["run", "agent.toml", "what is {{ city }}?"]).ok();
}
