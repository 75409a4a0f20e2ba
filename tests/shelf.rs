//! The tools that come with host, called through it, with what they are granted; and the agent that is made of them.
//!
//! They are built here and nowhere else: what they depend on takes a while to compile.

use std::fs::{self, File};
use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::support::{Agent, Ran, copy, root};

/// Those that are no crates: what their compilers are needed for is tested beside other tools in their languages.
const SCRIPTS: [&str; 2] = ["javascript", "python"];

fn is_crate(kept: &Value) -> bool {
    !SCRIPTS.contains(&kept["name"].as_str().unwrap())
}

/// All that come with host, in the order of the list.
fn listed() -> Vec<Value> {
    let agent = Agent::scripted("");
    let list = Ran::from(agent.unhurried(&["tools", "list", "--json"]).output().unwrap());
    serde_json::from_str(&list.ok().stdout).unwrap()
}

/// An agent with these components of the shelf, which are built by then.
fn agent(tables: &str, names: &[&str]) -> Agent {
    static BUILT: OnceLock<()> = OnceLock::new();
    let with = |names: &[&str]| {
        names.iter().fold(Agent::scripted("reply = []"), |agent, name| {
            let source = root().join("guest-tools/shelf").join(name);
            agent.table(&format!("[tools.{name}]\nsource = {:?}", source.to_str().unwrap()))
        })
    };
    BUILT.get_or_init(|| {
        let all = members();
        let all = with(&all.iter().map(String::as_str).collect::<Vec<_>>());
        Ran::from(all.unhurried(&["check"]).output().unwrap()).ok();
    });
    with(names).table(tables)
}

/// The crates of the workspace.
fn members() -> Vec<String> {
    let manifest: toml::Table =
        fs::read_to_string(root().join("guest-tools/shelf/Cargo.toml")).unwrap().parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    members.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn call(agent: &Agent, tool: &str, input: &Value) -> Ran {
    agent.host(&["call", ".", tool, &input.to_string()])
}

/// The output of a call.
#[track_caller]
fn output(agent: &Agent, tool: &str, input: &Value) -> Value {
    serde_json::from_str(&call(agent, tool, input).ok().stdout).unwrap()
}

/// A call fails, or its input is refused, and it says this. It does not trap.
#[track_caller]
fn fails(agent: &Agent, tool: &str, input: &Value, says: &str) {
    let ran = call(agent, tool, input);
    ran.says(says);
    assert!(matches!(ran.code, Some(1 | 2)), "{:?}", ran.code);
    assert!(!ran.stderr.contains("trapped"), "{}", ran.stderr);
}

#[test]
fn the_list_has_every_crate_as_it_describes_itself_and_every_tool_of_it() {
    let listed = listed();
    let names: Vec<_> = listed.iter().map(|kept| kept["name"].as_str().unwrap().to_owned()).collect();
    let more = [SCRIPTS.as_slice(), &["fetch"]].concat();
    let all: Vec<_> = members().into_iter().chain(more.into_iter().map(str::to_owned)).collect();
    assert_eq!(names, all);
    let built = agent("", &[]);
    for kept in listed.iter().filter(|kept| is_crate(kept)) {
        let (name, source) = (kept["name"].as_str().unwrap(), root().join(kept["source"].as_str().unwrap()));
        let manifest: toml::Table = fs::read_to_string(source.join("Cargo.toml")).unwrap().parse().unwrap();
        assert_eq!(kept["does"], manifest["package"]["description"].as_str().unwrap(), "{name}");
        let inspected = built.host(&["inspect", source.to_str().unwrap(), "--json"]);
        let inspected: Value = serde_json::from_str(&inspected.ok().stdout).unwrap();
        let tools: Vec<&Value> =
            inspected["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
        assert_eq!(json!(tools), kept["tools"], "{name}");
    }
}

#[test]
fn the_lines_that_are_printed_make_an_agent() {
    let dir = Agent::scripted("");
    for kept in listed().into_iter().filter(is_crate) {
        let name = kept["name"].as_str().unwrap();
        let lines = Ran::from(dir.unhurried(&["tools", "list", name]).output().unwrap()).ok().stdout.clone();
        let lines = lines.replace("\"guest-tools/", &format!("\"{}/", root().join("guest-tools").display()));
        let pasted = agent(&lines, &[]);
        fs::create_dir(pasted.dir.path().join("work")).unwrap();
        pasted.host(&["check"]).ok();
    }
    let unknown = Ran::from(dir.unhurried(&["tools", "list", "abacus"]).output().unwrap());
    unknown.exits(2).says("no tool \"abacus\"").says("calc");
}

/// An agent that may read one directory and write another one.
fn with_files() -> Agent {
    let agent = agent(
        "[tools.files.permissions]\ndirs = [{ path = \"./in\", guest = \"/in\", access = \"read\" },\n\
         { path = \"./out\", guest = \"/out\", access = \"write\" }]",
        &["files"],
    );
    for name in ["in/deep", "out", "secret"] {
        fs::create_dir_all(agent.dir.path().join(name)).unwrap();
    }
    fs::write(agent.dir.path().join("in/deep/a.txt"), "one\ntwo\nthree\n").unwrap();
    fs::write(agent.dir.path().join("secret/key"), "hidden").unwrap();
    agent
}

#[test]
fn files_are_listed_read_searched_and_changed_where_that_is_granted() {
    let agent = with_files();
    let granted = output(&agent, "list_files", &json!({}));
    let paths: Vec<_> = granted["entries"].as_array().unwrap().iter().map(|entry| &entry["path"]).collect();
    assert_eq!(json!(paths), json!(["/in", "/out"]));
    let listed = output(&agent, "list_files", &json!({ "path": "/in", "depth": 5, "glob": "**/*.txt" }));
    assert_eq!(listed["entries"], json!([{ "path": "/in/deep/a.txt", "kind": "file", "bytes": 14 }]));
    let read = output(&agent, "read_file", &json!({ "path": "/in/deep/a.txt", "first_line": 2, "lines": 1 }));
    assert_eq!(read, json!({ "text": "two\n", "lines": 1, "next_line": 3 }));
    let found = output(&agent, "search_files", &json!({ "path": "/in", "pattern": "^t" }));
    assert_eq!(found["matches"][1], json!({ "path": "/in/deep/a.txt", "line": 3, "text": "three" }));
    output(&agent, "write_file", &json!({ "path": "/out/new/b.txt", "text": "a\nb\nb\n" }));
    output(&agent, "edit_file", &json!({ "path": "/out/new/b.txt", "find": "a\nb", "replace_by": "A\nb" }));
    let patch = "--- b\n+++ b\n@@ -2,2 +2,2 @@\n b\n-b\n+c\n";
    output(&agent, "patch_file", &json!({ "path": "/out/new/b.txt", "patch": patch }));
    assert_eq!(fs::read_to_string(agent.dir.path().join("out/new/b.txt")).unwrap(), "A\nb\nc\n");
}

#[test]
fn no_path_leads_out_of_what_is_granted() {
    let agent = with_files();
    let here = agent.dir.path();
    for (link, to) in [("in/key", "../secret/key"), ("in/absolute", "/etc/passwd"), ("out/up", "..")] {
        std::os::unix::fs::symlink(to, here.join(link)).unwrap();
    }
    for path in ["/in/key", "/in/absolute", "/out/up/secret/key"] {
        let ran = call(&agent, "read_file", &json!({ "path": path }));
        ran.exits(1).says("leads out of what it grants");
        assert!(!ran.stderr.contains("hidden"), "{}", ran.stderr);
    }
    for path in ["/etc/passwd", "/in/../secret/key", "../secret/key", "/secret/key"] {
        fails(&agent, "read_file", &json!({ "path": path }), "/in, /out");
    }
    fails(&agent, "write_file", &json!({ "path": "/in/x", "text": "" }), "does not grant this");
    fails(&agent, "write_file", &json!({ "path": "/out/up/x", "text": "" }), "leads out");
    let found = output(&agent, "search_files", &json!({ "path": "/out", "pattern": "hidden" }));
    assert_eq!(found["matches"], json!([]));
}

#[test]
fn huge_and_binary_files_and_hard_patterns_cost_no_more_than_others() {
    let agent = with_files();
    let here = agent.dir.path().join("in");
    File::create(here.join("sparse")).unwrap().set_len(1 << 40).unwrap();
    fs::write(here.join("line"), "x".repeat(20 << 20)).unwrap();
    fails(&agent, "read_file", &json!({ "path": "/in/sparse" }), "binary");
    let line = output(&agent, "read_file", &json!({ "path": "/in/line" }));
    assert_eq!((&line["lines"], &line["cut_lines"]), (&json!(1), &json!([1])));
    let nested = format!("{}t{}", "(".repeat(48), ")".repeat(48));
    let found = output(&agent, "search_files", &json!({ "path": "/in", "pattern": nested }));
    assert_eq!((&found["files_searched"], &found["files_left_out"]), (&json!(1), &json!(2)));
    for pattern in ["(a{1000}){1000}".to_owned(), "(".repeat(4000), "(?=x)".to_owned()] {
        fails(&agent, "search_files", &json!({ "path": "/in", "pattern": pattern }), "cannot be used");
    }
    fails(&agent, "list_files", &json!({ "path": "/in", "glob": "[" }), "no glob");
}

#[test]
fn numbers_are_exact_and_bounded() {
    let agent = agent("", &["calc"]);
    let answer =
        output(&agent, "calculate", &json!({ "expression": "(0.1 + 0.2) * 10 ^ 30 / 7", "places": 2 }));
    assert_eq!(answer["exact"], "300000000000000000000000000000/7");
    assert_eq!(answer["is_rounded"], true);
    let deep = format!("{}1{}", "(".repeat(64), ")".repeat(64));
    assert_eq!(output(&agent, "calculate", &json!({ "expression": deep }))["exact"], "1");
    for (expression, says) in [
        ("9^9^9^9", "9,000 digits"),
        (&"(".repeat(4000), "deep"),
        (&"-".repeat(4000), "deep"),
        ("1/0", "division by zero"),
        ("two", "no variables"),
    ] {
        fails(&agent, "calculate", &json!({ "expression": expression }), says);
    }
}

#[test]
fn json_is_queried_and_an_endless_program_is_stopped() {
    let agent = agent("[tools.json.limits]\ncpu = \"1s\"\nmemory = \"32MiB\"", &["json"]);
    let text = "{\"n\":1}\n{\"n\":12345678901234567890}\n";
    let ran = call(&agent, "query_json", &json!({ "program": ".n", "text": text }));
    assert!(ran.ok().stdout.contains("[1,12345678901234567890]"), "{}", ran.stdout);
    let nested = format!("{}1{}", "[".repeat(64), "]".repeat(64));
    output(&agent, "query_json", &json!({ "program": nested }));
    fails(&agent, "query_json", &json!({ "program": "[".repeat(9000) }), "deep");
    fails(&agent, "query_json", &json!({ "program": ".", "text": "[".repeat(100_000) }), "not JSON");
    let endless = call(&agent, "query_json", &json!({ "program": "def f: f; f" }));
    endless.exits(1).says("cpu");
    let growing = call(&agent, "query_json", &json!({ "program": "[repeat(\"x\" * 100000)]" }));
    growing.exits(1).says("memory");
}

#[test]
fn text_is_searched_times_are_told_and_texts_are_compared() {
    let agent = agent("", &["text", "time", "diff"]);
    let found = output(&agent, "find_text", &json!({ "text": "a1\nb2", "pattern": "[a-z](\\d)" }));
    assert_eq!(found["matches"][1], json!({ "text": "b2", "line": 2, "groups": ["2"] }));
    let text = "a".repeat(100_000);
    assert_eq!(
        output(&agent, "find_text", &json!({ "text": text, "pattern": "^(a+)+$!" }))["matches"],
        json!([])
    );
    fails(&agent, "count_text", &json!({ "text": "", "pattern": "(".repeat(4000) }), "cannot be used");
    let now = output(&agent, "time_now", &json!({ "zone": "Asia/Tokyo" }));
    assert!(now["time"].as_str().unwrap().ends_with("+09:00[Asia/Tokyo]"), "{now}");
    let system = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(now["unix_seconds"].as_u64().unwrap().abs_diff(system) < 600, "{now}");
    fails(&agent, "time_now", &json!({ "zone": "../../etc/passwd" }), "is no zone");
    let diff = output(&agent, "diff_texts", &json!({ "before": "a\nb\n", "after": "a\nc\n" }));
    assert_eq!((&diff["added"], &diff["removed"]), (&json!(1), &json!(1)));
}

/// The example, in a copy of it.
fn example(to: &Path) {
    copy(&root().join("examples/repo-review"), to);
    let toml = fs::read_to_string(to.join("agent.toml")).unwrap();
    let tools = format!("source = \"{}/", root().join("guest-tools").display());
    fs::write(to.join("agent.toml"), toml.replace("source = \"../../guest-tools/", &tools)).unwrap();
}

#[test]
fn the_review_of_a_repository_is_written_and_nothing_else_is_touched() {
    let agent = agent("", &[]);
    let here = agent.dir.path().join("review");
    example(&here);
    let ran = agent.host(&["run", "review"]);
    assert!(ran.ok().stdout.contains("three faults"), "{}", ran.stdout);
    let report = fs::read_to_string(here.join("report/REVIEW.md")).unwrap();
    assert!(report.contains("285.46, not 285.47"), "{report}");
    let replayed = agent.host(&["replay", "last"]);
    assert_eq!(replayed.ok().stdout, ran.stdout);
    agent.host(&["test", "review", "--allow-effects"]).ok();
    for file in ["README.md", "src/prices.py", "src/orders.py"] {
        let (before, after) =
            (root().join("examples/repo-review/shop").join(file), here.join("shop").join(file));
        assert_eq!(fs::read(before).unwrap(), fs::read(after).unwrap(), "{file}");
    }
}
