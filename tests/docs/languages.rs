//! The tool of the README in another language than Rust.

use std::env;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::Command;

use super::page::Page;
use crate::support::{Agent, Ran, root};

/// The directories in which a program is looked for: the usual ones, and the one into which `.ci/run` installs.
fn paths() -> OsString {
    let usual = env::var_os("PATH").unwrap_or_default();
    let own = root().join("target/venv/bin");
    env::join_paths(std::iter::once(own).chain(env::split_paths(&usual))).unwrap()
}

/// With the command that the README has one install.
#[test]
fn the_python_tool_of_the_readme_works() {
    let paths = paths();
    if !env::split_paths(&paths).any(|path| path.join("componentize-py").is_file()) {
        assert!(env::var_os("HOST_CI").is_none(), "componentize-py has to be there where HOST_CI is set");
        // Past the test harness, which shows nothing of a test that passes.
        let why = "skipped the Python tool of the README: there is no componentize-py (pip install componentize-py)";
        writeln!(std::io::stderr(), "{why}").unwrap();
        return;
    }
    let readme = Page::read("README.md");
    let script = "[[reply]]\ncalls = [\n{ name = \"count_words\", input = { text = \"to be or not to be\" } },\n\
                  { name = \"count_words\", input = { text = \" \" } },\n]\n\
                  [[reply]]\nexpect = ['\"words\": 6', \"no words\"]\ntext = \"Six.\"";
    let agent = Agent::scripted(script).table("[tools.words]\nsource = \"words.wasm\"");
    let here = agent.dir.path();
    std::fs::write(here.join("words.py"), &readme.blocks("python")[0]).unwrap();
    std::fs::create_dir(here.join("wit")).unwrap();
    std::fs::copy(root().join("wit/tool.wit"), here.join("wit/tool.wit")).unwrap();
    let console = readme.blocks("console").concat();
    let command = console.lines().find_map(|line| line.strip_prefix("$ componentize-py ")).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("componentize-py {command}")]).env("PATH", &paths).current_dir(here);
    let built = shell.output();
    assert!(built.as_ref().is_ok_and(|built| built.status.success()), "{built:?}");
    // Compiling Python's interpreter takes long, however fast the machine is.
    Ran::from(agent.unhurried(&["run"]).output().unwrap()).ok();
}
