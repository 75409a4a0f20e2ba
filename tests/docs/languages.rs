//! The tool of the README in another language than Rust.

use super::page::Page;
use crate::languages::{are_there, paths};
use crate::support::{Agent, Ran};

/// In the place of the template's own, and with the words of the README for what is called.
#[test]
fn the_python_tool_of_the_readme_works() {
    let (what, install) = ("the Python tool of the README", "pip install componentize-py");
    if !are_there(&["componentize-py"], what, install) {
        return;
    }
    let readme = Page::read("README.md");
    let script = "[[reply]]\ncalls = [\n{ name = \"count_words\", input = { text = \"to be or not to be\" } },\n\
                  { name = \"count_words\", input = { text = \" \" } },\n]\n\
                  [[reply]]\nexpect = ['\"words\": 6', \"no words\"]\ntext = \"Six.\"";
    let agent = Agent::scripted(script).table("[tools.words]\nsource = \"words\"");
    let console = readme.blocks("console").concat();
    let line = console.lines().find_map(|line| line.strip_prefix("$ host ")).unwrap();
    let words = line.split('#').next().unwrap().split_whitespace().collect::<Vec<_>>();
    let host = |args: &[&str]| Ran::from(agent.unhurried(args).env("PATH", paths()).output().unwrap());
    host(&words).ok();
    std::fs::write(agent.dir.path().join("words/tool.py"), &readme.blocks("python")[0]).unwrap();
    // Compiling Python's interpreter takes long, however fast the machine is.
    host(&["run"]).ok();
}
