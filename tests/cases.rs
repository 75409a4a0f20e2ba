//! `host test`: cases that pass, that fail and say in what, and that are wrong; recorded runs as cases, calls
//! that are answered for or refused, and scripts made from runs.

use std::fs;

use serde_json::Value;

use crate::attacks::Server;
use crate::support::{Agent, Ran, root, tool_output};

const ECHO: &str = "[[reply]]\ncalls = [{ name = \"echo\", input = { value = { a = 1, b = \"x\" } } }]\n\
                    [[reply]]\ntext = \"the end\"\n";

/// An agent without a model that answers: its provider is never asked, and its key is not set.
fn agent() -> Agent {
    Agent::raw(
        "version = 1\n[agent]\nprompt = \"go on\"\n[model]\nprovider = \"openai\"\nname = \"m\"\n\
         api_key_env = \"NO_SUCH_KEY\"",
    )
}

fn with_case(agent: &Agent, name: &str, text: &str) {
    let folder = agent.dir.path().join("tests");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{name}.toml")), text).unwrap();
}

/// What comes of one case alone.
fn tried(agent: &Agent, text: &str) -> Ran {
    with_case(agent, "one", text);
    agent.host(&["test"])
}

#[track_caller]
fn prints(ran: &Ran, text: &str) {
    assert!(ran.stdout.contains(text), "{text:?} is printed in:\n{}\n{}", ran.stdout, ran.stderr);
}

/// The names of the cases and whether each passed, in the order of the lines.
fn marks(ran: &Ran) -> Vec<(String, String)> {
    let lines = ran.stdout.lines().take_while(|line| !line.is_empty());
    let mark = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        (words.next().unwrap(), words.next().unwrap())
    };
    lines.map(mark).collect()
}

#[test]
fn the_cases_of_an_example_pass_and_leave_no_run() {
    let agent = Agent::scripted("reply = []");
    let toml = root().join("examples/weather/agent.toml");
    let ran = agent.host(&["test", toml.to_str().unwrap()]);
    prints(ran.ok(), "\n\n3 passed, 0 failed\n");
    let names: Vec<String> = marks(&ran).into_iter().map(|(mark, name)| format!("{mark} {name}")).collect();
    assert_eq!(names, ["ok service-down", "ok two-cities", "ok unknown-city"]);
    agent.host(&["runs"]).ok().says("no runs in");
}

#[test]
fn a_case_that_fails_says_what_was_expected_and_what_came() {
    let agent = agent().guest("hostile");
    with_case(&agent, "good", &format!("{ECHO}\n[expect]\nanswer = \"the end\""));
    with_case(
        &agent,
        "bad",
        &format!(
            "{ECHO}\n[expect]\nanswer = \"the\\nend\"\n\
             [[expect.calls]]\ntool = \"echo\"\ninput_contains = {{ value = {{ a = 1.0 }} }}\noutput_contains = {{ b = \"y\" }}\n\
             [[expect.calls]]\ntool = \"counter\"\noutput = 1"
        ),
    );
    let ran = agent.host(&["test"]);
    let diff = r#"--- expected
+++ came
@@ -1,24 +1,17 @@
 {
   "ending": "answer",
-  "answer": [
-    "the",
-    "end"
-  ],
+  "answer": "the end",
   "calls": [
     {
       "tool": "echo",
       "input_contains": {
         "value": {
           "a": 1
         }
       },
       "output_contains": {
-        "b": "y"
+        "b": "x"
       }
-    },
-    {
-      "tool": "counter",
-      "output": 1
     }
   ]
 }
"#;
    prints(ran.exits(1), diff);
    prints(&ran, "\n1 passed, 1 failed\n");
    assert_eq!(marks(&ran).iter().map(|(mark, _)| mark.as_str()).collect::<Vec<_>>(), ["FAILED", "ok"]);
    agent.host(&["test", "--filter", "go"]).ok();
    agent.host(&["test", "--keep", "kept"]).exits(1);
    let kept: Vec<_> = fs::read_dir(agent.dir.path().join("kept")).unwrap().collect();
    assert_eq!(kept.len(), 1, "that of the case that failed");
    let shown = agent.host(&["runs", "show", "kept/bad.jsonl"]);
    prints(shown.ok(), "tool(0,0) echo {\"value\":{\"a\":1,\"b\":\"x\"}}");
    let report = agent.host(&["test", "--json"]);
    let report: Value = serde_json::from_str(&report.exits(1).stdout).unwrap();
    assert_eq!((&report["passed"], &report["failed"]), (&1.into(), &1.into()));
    assert!(report["cases"][0]["failure"].as_str().unwrap().contains("-        \"b\": \"y\""), "{report:#}");
    let good = &report["cases"][1];
    assert_eq!((&good["name"], &good["answer"]), (&"good".into(), &"the end".into()));
    assert_eq!(good["calls"][0]["outcome"]["output"]["b"], "x");
    assert!(good.get("failure").is_none());
}

#[test]
fn every_ending_can_be_expected() {
    let agent = agent().guest("hostile").table("[limits]\nmax_turns = 1");
    let refuses = "[[reply]]\ntext = \"no\"\nstop = \"refusal\"\n[expect]\nending =";
    tried(&agent, &format!("{refuses} \"refused\"\nanswer = \"no\"")).ok();
    prints(
        tried(&agent, &format!("{refuses} \"answer\"")).exits(1),
        "+  \"ending\": \"refused\",\n+  \"answer\": \"no\"",
    );
    let goes_on = ECHO.split("[[reply]]\ntext").next().unwrap();
    tried(&agent, &format!("{goes_on}\n[expect]\nending = \"limit\"\nanswer_contains = [\"max_turns = 1\"]"))
        .ok();
    prints(tried(&agent, goes_on).exits(1), "+  \"ending\": \"limit\"");
    let answer = "[[reply]]\ntext = \"It is sunny.\"\n[expect]\n";
    tried(&agent, &format!("{answer}answer_matches = '^It is \\w+\\.$'\ncalls = []")).ok();
    let ran =
        tried(&agent, &format!("{answer}answer_matches = '^It was'\nanswer_contains = [\"It\", \"rain\"]"));
    prints(
        ran.exits(1),
        "-  \"answer_contains\": [\n-    \"rain\"\n-  ],\n-  \"answer_matches\": \"^It was\"",
    );
}

#[test]
fn a_provider_that_fails_can_be_played() {
    let agent = agent().table("[model.retry]\nmax_attempts = 2\ninitial_delay = \"1h\"\nmax_delay = \"1h\"");
    let busy =
        "[[reply]]\nerror = { message = \"HTTP 503: busy\", may_pass = true, retry_after_ms = 60000 }\n";
    let answer = "[[reply]]\ntext = \"the end\"\n";
    tried(&agent, &format!("{busy}{answer}")).ok();
    let ran = tried(&agent, &format!("{busy}{busy}{answer}"));
    prints(ran.exits(1), "+  \"ending\": \"no_reply\",\n+  \"answer\": \"HTTP 503: busy\"");
    let gone = "[[reply]]\nerror = { message = \"HTTP 401: who?\" }\n";
    let no_reply = "[expect]\nending = \"no_reply\"\nanswer = \"HTTP 401: who?\"";
    tried(&agent, &format!("{gone}{no_reply}")).ok();
    // A script that does not fit is no failure of the provider.
    let unfit = "[[reply]]\nexpect = [\"never said\"]\ntext = \"x\"\n[expect]\nending = \"no_reply\"";
    prints(tried(&agent, unfit).exits(1), "the run broke off: turn 0: the script");
    prints(tried(&agent, &format!("{answer}{answer}")).exits(1), "has 1 left over");

    // The same script, in a run: each failure is an attempt.
    let script = busy.replace(", retry_after_ms = 60000", "") + answer;
    let agent = Agent::scripted(&script).table("[tools]");
    let toml = fs::read_to_string(agent.toml()).unwrap();
    fs::write(agent.toml(), toml.replace("[agent]", "retry = { initial_delay = \"1ms\" }\n[agent]")).unwrap();
    let (ran, shown) = agent.run_and_show();
    assert_eq!(ran.ok().stdout, "the end\n");
    let report = shown.iter().find(|report| report["slot"] == "model(0)").unwrap();
    assert_eq!(report["failures"][0]["outcome"]["no_reply"]["message"], "HTTP 503: busy");
    assert_eq!(report["attempt"], 2);
}

#[test]
fn a_wrong_case_is_told_with_its_line_and_nothing_is_run() {
    let agent = agent().guest("hostile");
    with_case(&agent, "good", ECHO);
    let wrong = |text: &str, said: &[&str]| {
        let ran = tried(&agent, text);
        assert_eq!(ran.exits(2).stdout, "", "{text}");
        // As it was before it was broken into lines for the terminal.
        let stderr = ran.stderr.replace("\n  │ ", " ");
        for said in said {
            assert!(stderr.contains(said), "{said:?} is said in:\n{stderr}");
        }
    };
    wrong("prompt = 5", &["one.toml:1:10: `prompt` is a number, but has to be text"]);
    wrong("[[reply]]\ntxt = \"\"", &["one.toml:2:1: unknown field `txt` in [reply]", "did you mean `text`?"]);
    wrong("", &["it is not said what the model replies", "`recorded = "]);
    wrong(&format!("script = \"s\"\n{ECHO}"), &["one.toml:1:10: it is said more than once"]);
    wrong(
        "script = \"gone.toml\"",
        &["one.toml:1:10: cannot read the script", "gone.toml: it does not exist"],
    );
    wrong("recorded = \"one.toml\"\n", &["one.toml:1:12:", "does not begin as a recorded run does"]);
    wrong(
        "[[reply]]\ncalls = [{ name = \"a\", input = {}, input_text = \"\" }]",
        &["one.toml:1:1", "both `input` and"],
    );
    wrong("[[reply]]\ntext = \"a\"\nerror = { message = \"b\" }", &["a reply with `error` is no reply"]);
    let tool = |keys: &str| format!("{ECHO}[[tool]]\n{keys}");
    wrong(
        &tool("name = \"ecko\"\noutput = 1"),
        &["one.toml:6:8: the agent has no tool `ecko`", "the tools are: big_output"],
    );
    wrong(&tool("name = \"echo\""), &["one.toml:5:1: it has to be said what the call comes to"]);
    wrong(&tool("name = \"echo\"\nerror = { kind = \"slow\", message = \"\" }"), &["unknown kind \"slow\""]);
    let expect = |keys: &str| format!("{ECHO}[expect]\n{keys}");
    wrong(&expect("answer_matches = \"(\""), &["one.toml:6:18: it is no regular expression"]);
    wrong(&expect("ending = \"anser\""), &["unknown ending \"anser\"", "did you mean `answer`?"]);
    let call = |keys: &str| expect(&format!("[[expect.calls]]\ntool = \"echo\"\n{keys}"));
    wrong(&call("input = {}\ninput_contains = {}"), &["both `input` and `input_contains` are given"]);
    wrong(&call("output = 1\nerror = \"failed\""), &["it is said more than once what the call comes to"]);
    with_case(&agent, "two", "x = 1");
    wrong("y = 1", &["one.toml:1:1: unknown field `y`", "two.toml:1:1: unknown field `x`"]);
}

#[test]
fn no_cases_are_no_success() {
    let agent = agent();
    agent.host(&["test"]).exits(2).says("no cases in").says("/tests").says("host schema --cases");
    fs::create_dir(agent.dir.path().join("tests")).unwrap();
    agent.host(&["test"]).exits(2).says("there are no cases in");
    with_case(&agent, "one", "[[reply]]\ntext = \"x\"");
    agent.host(&["test", "--filter", "two"]).exits(2).says("no case has `two` in its name; there are: one");
    agent.host(&["test", "--cases", "elsewhere"]).exits(2).says("no cases in elsewhere");
    let unasked = Agent::raw("version = 1\n[model]\nprovider = \"openai\"\nname = \"m\"");
    tried(&unasked, "[[reply]]\ntext = \"x\"").exits(2).says("there is nothing to ask");
    tried(&unasked, "prompt = \"a\"\n[[reply]]\nexpect = [\"user: a\"]\ntext = \"x\"").ok();
}

#[test]
fn results_are_written_as_junit_xml() {
    let agent = agent();
    with_case(&agent, "good", "[[reply]]\ntext = \"x\"");
    with_case(&agent, "bad", "[[reply]]\ntext = \"<&\\\"\\u0001 ü ]]>\"\n[expect]\nanswer = \"y\"");
    agent.host(&["test", "--junit", "junit.xml"]).exits(1);
    let xml = fs::read_to_string(agent.dir.path().join("junit.xml")).unwrap();
    let document = roxmltree::Document::parse(&xml).unwrap();
    let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
    assert_eq!((suite.attribute("tests"), suite.attribute("failures")), (Some("2"), Some("1")));
    let cases: Vec<_> = suite.children().filter(|node| node.has_tag_name("testcase")).collect();
    let names: Vec<_> = cases.iter().map(|case| case.attribute("name").unwrap()).collect();
    assert_eq!(names, ["bad", "good"]);
    assert!(cases.iter().all(|case| case.attribute("time").unwrap().parse::<f64>().is_ok()));
    let failure = cases[0].children().find(|node| node.has_tag_name("failure")).unwrap().text().unwrap();
    assert!(
        failure.contains("-  \"answer\": \"y\"\n+  \"answer\": \"<&\\\"") && failure.contains("ü ]]>"),
        "{failure}"
    );
    assert!(!cases[1].children().any(|node| node.has_tag_name("failure")));
    let nowhere = agent.host(&["test", "--junit", "no/such/folder.xml"]);
    nowhere.exits(1).says("cannot write no/such/folder.xml");
}

#[test]
fn a_recorded_run_is_a_case() {
    // The random numbers that a call gets, and the times, are as they were.
    let script = "[[reply]]\ncalls = [{ name = \"dice\" }, { name = \"panic_now\" }, { name = \"no_such\" }, \
                    { name = \"now\" }, { name = \"watch\", input = { naps_us = [1, 2000] } }]\n\
                  [[reply]]\ntext = \"the end\"";
    let agent = Agent::scripted(script).guest("hostile");
    agent.host(&["run", "agent.toml", "what else?"]).ok();
    let exported = agent.host(&["journal", "export", "last"]).ok().stdout.clone();
    fs::write(agent.dir.path().join("run.jsonl"), &exported).unwrap();
    let recorded = "recorded = \"../run.jsonl\"";
    tried(&agent, recorded).ok();
    tried(&agent, "recorded = \"../run.jsonl\"\n[expect]\nanswer = \"the end\"").ok();
    let ran = tried(&agent, "recorded = \"../run.jsonl\"\n[expect]\ncalls = []");
    prints(ran.exits(1), "+    {\n+      \"tool\": \"dice\"");
    // The agent has changed since: now the model is not told of the tool any more.
    let hidden = fs::read_to_string(agent.toml())
        .unwrap()
        .replace("[tools.hostile]", "[tools.hostile]\nprefix = \"h_\"");
    fs::write(agent.toml(), hidden).unwrap();
    let ran = tried(&agent, recorded);
    prints(ran.exits(1), "+      \"error\": \"unknown_tool\"");
    // One that has not ended is none.
    let lines: Vec<&str> = exported.lines().collect();
    fs::write(agent.dir.path().join("run.jsonl"), lines[..lines.len() - 1].join("\n")).unwrap();
    tried(&agent, recorded).exits(2).says("one.toml:1:12:").says("the file is cut short");
}

#[test]
fn a_recorded_run_finds_what_a_new_version_of_a_tool_does_differently() {
    let script = "[[reply]]\ncalls = [{ name = \"get_weather\", input = { city = \"San Francisco\" } }]\n\
                  [[reply]]\ntext = \"the end\"";
    let agent = Agent::scripted(script).guest("weather");
    agent.host(&["run"]).ok();
    let sealed = agent.state().join("runs");
    let sealed = fs::read_dir(sealed).unwrap().next().unwrap().unwrap().path();
    fs::copy(sealed, agent.dir.path().join("run.jsonl.gz")).unwrap();
    let case = "recorded = \"../run.jsonl.gz\"";
    tried(&agent, case).ok();
    let next = crate::rerun::next_version(&agent);
    let source = root().join("guest-tools/weather");
    let toml = fs::read_to_string(agent.toml()).unwrap();
    fs::write(agent.toml(), toml.replace(source.to_str().unwrap(), next.to_str().unwrap())).unwrap();
    let ran = tried(&agent, case);
    prints(ran.exits(1), "-        \"conditions\": \"foggy\"");
    prints(&ran, "+        \"conditions\": \"sunny\"");
}

#[test]
fn calls_are_answered_by_the_case() {
    let agent = agent().guest("hostile");
    let script = "[[reply]]\ncalls = [{ name = \"echo\", input = { value = 1 } }, { name = \"echo\", input = { value = 2 } }, { name = \"spin\" }]\n\
                  [[reply]]\nexpect = [\"echo: 1\", \"two\", \"gone\"]\ntext = \"the end\"\n\
                  [[tool]]\nname = \"echo\"\ninput_contains = { value = 2 }\noutput = { said = \"two\" }\n\
                  [[tool]]\nname = \"spin\"\nerror = { kind = \"transient\", message = \"gone\" }\n\
                  [expect]\nanswer = \"the end\"\n\
                  [[expect.calls]]\ntool = \"echo\"\noutput = 1\n[[expect.calls]]\ntool = \"echo\"\noutput = { said = \"two\" }\n\
                  [[expect.calls]]\ntool = \"spin\"\ninput = {}\nerror = \"transient\"";
    tried(&agent, script).ok();
}

#[test]
fn random_numbers_are_the_same_every_time() {
    let agent = agent().guest("hostile");
    let random = || {
        with_case(&agent, "one", "[[reply]]\ncalls = [{ name = \"dice\" }]\n[[reply]]\ntext = \"the end\"");
        let report = agent.host(&["test", "--json"]);
        let report: Value = serde_json::from_str(&report.ok().stdout).unwrap();
        report["cases"][0]["calls"][0]["outcome"]["output"].clone()
    };
    let first = random();
    assert!(first.is_array(), "{first}");
    assert_eq!(random(), first);
}

#[test]
fn calls_below_a_call_can_be_expected() {
    let agent = Agent::scripted("reply = []");
    let toml = root().join("examples/claims-orchestrated/agent.toml");
    let call = "[[expect.calls]]\ntool = \"calculate_metrics\"\n";
    let below = |tool: &str| {
        format!("[[expect.calls.calls]]\ntool = \"{tool}\"\ninput_contains = {{ amount = 3000 }}\n")
    };
    let three = ["check_eligibility", "compare_to_standard_rates", "check_fraud"].map(below).concat();
    let script = root().join("examples/claims-orchestrated/script.toml");
    let tried = |expected: &str| {
        with_case(&agent, "one", &format!("script = {script:?}\n{expected}"));
        agent.host(&["test", toml.to_str().unwrap(), "--cases", "tests"])
    };
    tried(call).ok();
    tried(&format!("{call}{three}")).ok();
    let ran = tried(&format!("{call}{three}").replace("check_fraud", "check_flood"));
    prints(ran.exits(1), "-          \"tool\": \"check_flood\",");
}

#[test]
fn nothing_takes_effect_unless_it_is_allowed() {
    let server = Server::start();
    let url = format!("http://127.0.0.1:{}", server.port());
    let script = format!(
        "[[reply]]\ncalls = [{{ name = \"fetch\", input = {{ url = \"{url}/allowed/ok\", headers = {{ authorization = \"Bearer ${{API_KEY}}\" }} }} }}]\n\
         [[reply]]\ntext = \"the end\"\n"
    );
    let agent = Agent::scripted(&script)
        .guest("fetch")
        .table(&format!(
            "[[tools.fetch.permissions.network]]\nhost = \"{url}\"\nmethods = [\"GET\"]\nallow_private = true\nsecrets = [\"API_KEY\"]"
        ))
        .table("[secrets.API_KEY]\nenv = \"THE_KEY\"");
    let asked = || server.requests().len();
    // The secret is not at hand, and not needed.
    let refused = tried(&agent, &script);
    prints(refused.exits(1), "tool(0,0) fetch {");
    prints(&refused, "was not made, because it would take effect outside");
    prints(&refused, "--allow-effects");
    let stub = format!(
        "{script}[[tool]]\nname = \"fetch\"\noutput = {{ status = 200, headers = {{}}, body = \"ok\" }}"
    );
    tried(&agent, &stub).ok();
    assert_eq!(asked(), 0);
    let with_key = |args: &[&str]| -> Ran {
        agent.command(args).env("THE_KEY", "value-of-the-key").output().unwrap().into()
    };
    with_case(&agent, "one", &script);
    with_key(&["test", "--allow-effects"]).ok();
    assert_eq!(asked(), 1);
    agent.host(&["test", "--allow-effects"]).exits(2).says("THE_KEY is not set");

    // Of a recorded run, such calls get what is recorded.
    with_key(&["run"]).ok();
    assert_eq!(asked(), 2);
    let exported = agent.host(&["journal", "export", "last"]).ok().stdout.clone();
    fs::write(agent.dir.path().join("run.jsonl"), exported).unwrap();
    let shown = agent.show();
    assert_eq!(tool_output(&shown, "tool(0,0)")["status"], 200);
    tried(&agent, "recorded = \"../run.jsonl\"").ok();
    assert_eq!(asked(), 2);
    with_key(&["test", "--allow-effects"]);
    assert_eq!(asked(), 3);
}

/// What the tools were asked in a run, and what they gave.
fn calls(shown: &[Value]) -> Vec<(Value, Value, Value)> {
    let calls = shown.iter().filter(|report| report["request"].get("tool").is_some());
    calls
        .map(|it| {
            let ask = &it["request"]["tool"];
            (
                it["slot"].clone(),
                ask["name"].clone(),
                serde_json::json!([ask["arguments"], it["finished"]["outcome"]]),
            )
        })
        .collect()
}

#[test]
fn a_run_becomes_a_script_that_replies_the_same() {
    for name in ["weather", "claims", "claims-orchestrated"] {
        let agent = Agent::scripted("reply = []");
        let example = root().join("examples").join(name);
        let toml = example.join("agent.toml");
        let ran = agent.host(&["run", toml.to_str().unwrap(), "--record", "script.toml"]);
        ran.ok().says("wrote script.toml");
        let recorded = agent.show();
        let script = agent.host(&["runs", "script", "last"]).ok().stdout.clone();
        assert_eq!(script, fs::read_to_string(agent.dir.path().join("script.toml")).unwrap(), "{name}");

        // The same agent, here, by the script that was written.
        let tools = format!("source = \"{}/", root().join("guest-tools").display());
        let here = fs::read_to_string(toml).unwrap().replace("source = \"../../guest-tools/", &tools);
        let component = format!("source = \"{}/weather.wasm\"", example.display());
        let here = here.replace("source = \"weather.wasm\"", &component);
        fs::write(agent.toml(), here).unwrap();
        let again = agent.host(&["run"]);
        assert_eq!(again.ok().stdout, ran.stdout, "{name}");
        let calls_again = calls(&agent.show());
        assert!(!calls_again.is_empty());
        assert_eq!(calls_again, calls(&recorded), "{name}");
        assert_eq!(script.lines().skip(1).collect::<Vec<_>>(), {
            let again = agent.host(&["runs", "script", "last"]);
            again.ok().stdout.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
        });
    }
}

#[test]
fn a_script_is_written_of_runs_that_ended() {
    let agent =
        Agent::scripted("[[reply]]\ncalls = [{ name = \"echo\", input = { value = 1 } }]").guest("hostile");
    agent.host(&["run", "--record", "new.toml"]).exits(4);
    assert!(!agent.dir.path().join("new.toml").exists());
    let written = agent.host(&["runs", "script", "last"]);
    assert!(
        written.ok().stdout.ends_with("    { name = \"echo\", input = { value = 1 } },\n]\n"),
        "{}",
        written.stdout
    );
    let one = Agent::scripted("[[reply]]\ntext = \"the end\"");
    one.host(&["run", "--record", "no/such/file.toml"])
        .exits(1)
        .says("cannot write")
        .says("host runs script");
}
