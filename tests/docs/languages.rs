//! The tool of the README in another language than Rust.

use std::process::Command;

use super::page::Page;
use crate::support::{Agent, root};

/// With the command that the README has one install. It takes the tool chain of another language, and half a minute.
#[test]
#[ignore = "needs componentize-py"]
fn the_python_tool_of_the_readme_works() {
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
    let built =
        Command::new("sh").args(["-c", &format!("componentize-py {command}")]).current_dir(here).output();
    assert!(built.as_ref().is_ok_and(|built| built.status.success()), "{built:?}");
    agent.host(&["run"]).ok();
}
