//! What a model writes in JavaScript or Python, run by the tools that come with host.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::{NPM, are_there, paths};
use crate::support::{Agent, Ran, root};

/// A tool of the shelf that runs programs.
struct Runner {
    agent: Agent,
    name: &'static str,
}

impl Runner {
    /// An agent with the tool, by the lines that host prints for it.
    fn new(name: &'static str) -> Self {
        let agent = Agent::scripted("reply = []");
        let lines = agent.host(&["tools", "list", name]).ok().stdout.clone();
        let guests = root().join("guest-tools");
        let agent = agent.table(&lines.replace("guest-tools", guests.to_str().unwrap()));
        let checked = agent.unhurried(&["check"]).env("PATH", paths()).output().unwrap();
        Ran::from(checked).ok();
        Self { agent, name }
    }

    fn call(&self, code: &str, input: Option<&Value>) -> Ran {
        let input = json!({ "code": code, "input": input });
        let tool = format!("run_{}", self.name);
        let mut command = self.agent.unhurried(&["call", ".", &tool, &input.to_string()]);
        command.env("PATH", paths()).output().unwrap().into()
    }

    #[track_caller]
    fn gives(&self, code: &str, input: Option<&Value>) -> Value {
        serde_json::from_str(&self.call(code, input).ok().stdout).unwrap()
    }

    /// The tests of its own, which run on this machine.
    fn tests_itself(&self, command: &str) {
        let directory = root().join("guest-tools/shelf").join(self.name);
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(directory).env("PATH", paths());
        Ran::from(shell.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap()).ok();
    }
}

#[test]
fn javascript_of_a_model_is_run_and_reaches_nothing() {
    if !are_there(&["node", "esbuild", "componentize-qjs"], "the tool that runs JavaScript", NPM) {
        return;
    }
    let tool = Runner::new("javascript");
    tool.tests_itself("node --test");
    let given = tool.gives("console.log('sum'); input.reduce((a, b) => a + b)", Some(&json!([1, 2, 3])));
    assert_eq!(given, json!({ "value": 6, "log": ["sum"], "is_log_cut": false }));
    // What one call leaves is gone for the next.
    tool.gives("globalThis.left = 1", None);
    assert_eq!(tool.gives("typeof left", None)["value"], "undefined");
    let reach = "[typeof require, typeof process, typeof fetch, typeof tools, typeof run].join()";
    assert_eq!(tool.gives(reach, None)["value"], ["undefined"; 5].join(","));
    // The model reads what it did wrong, and where.
    tool.call("let a = 1;\nb + a", None).exits(2).says("ReferenceError: b is not defined").says("<input>:2");
    tool.call("import('fs')", None).exits(2);
    tool.call("const all = []; for (;;) all.push('x'.repeat(1e6))", None).exits(2).says("out of memory");
    tool.call("for (;;) {}", None).exits(1).says("limits.cpu");
    tool.call("(function f() { f() })()", None).exits(1).says("out of stack");
}

#[test]
fn python_of_a_model_is_run_and_reaches_nothing() {
    if !are_there(&["componentize-py"], "the tool that runs Python", "pip install componentize-py") {
        return;
    }
    let tool = Runner::new("python");
    tool.tests_itself("python3 -m unittest");
    let given = tool.gives("print('sum')\nsum(input)", Some(&json!([1, 2, 3])));
    assert_eq!(given, json!({ "value": 6, "printed": "sum\n", "is_printed_cut": false }));
    tool.gives("import math\nmath.left = 1", None);
    assert_eq!(tool.gives("import math\nhasattr(math, 'left')", None)["value"], false);
    let dice = || tool.gives("import random\nrandom.random()", None)["value"].clone();
    assert_ne!(dice(), dice());
    tool.call("a = 1\nb + a", None).exits(2).says("NameError: name 'b' is not defined").says("in line 2");
    for (code, why) in [
        ("open('/etc/passwd').read()", "FileNotFoundError"),
        ("import os\nos.listdir('/')", "FileNotFoundError"),
        ("import socket", "ModuleNotFoundError"),
        ("import subprocess", "ModuleNotFoundError"),
        ("import threading", "ModuleNotFoundError"),
        ("[0] * 10 ** 9", "MemoryError"),
        ("def f(): f()\nf()", "RecursionError"),
    ] {
        tool.call(code, None).exits(2).says(why);
    }
    tool.call("while True: pass", None).exits(1).says("limits.cpu");
}

#[test]
fn the_kits_of_the_shelf_are_those_of_the_templates() {
    for (kept, template) in [
        ("javascript/tool-sdk.js", "js/tool-sdk.js"),
        ("python/tool_sdk.py", "python/tool_sdk.py"),
        ("javascript/package.json", "js/package.json"),
    ] {
        let read = |path: PathBuf| fs::read_to_string(path).unwrap();
        let kept = read(root().join("guest-tools/shelf").join(kept));
        // Beside the template's own lines it describes itself.
        let kept: Vec<&str> = kept.lines().filter(|line| !line.contains("\"description\": \"Runs")).collect();
        let template = read(root().join("host/src/cli/template").join(template));
        assert_eq!(kept, template.lines().collect::<Vec<_>>());
    }
}
