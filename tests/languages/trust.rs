//! A source outside of the agent's project is built when a person says so, once.

use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use crate::support::{Agent, Ran};
use crate::terminal::{Does, Terminal, USUAL, at};

/// A crate that makes a component with one tool, and leaves a trace when its build script runs.
fn theirs(at: &Path) {
    fs::create_dir_all(at.join("src")).unwrap();
    let manifest = "[package]\nname = \"theirs\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
                    [lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
    fs::write(at.join("Cargo.toml"), manifest).unwrap();
    fs::write(at.join("src/lib.rs"), "").unwrap();
    // It runs in its own directory.
    fs::write(at.join("build.rs"), "fn main() { std::fs::write(\"trace\", \"\").unwrap(); }\n").unwrap();
}

/// A directory with the agent of a project, `mine`, and somebody else's crate beside it.
struct Place {
    agent: Agent,
}

impl Place {
    fn new() -> Self {
        let agent = Agent::scripted("");
        let mine = agent.dir.path().join("mine/agents");
        fs::create_dir_all(&mine).unwrap();
        fs::create_dir(agent.dir.path().join("mine/.git")).unwrap();
        let toml = fs::read_to_string(agent.toml()).unwrap();
        let tables = format!("{toml}\n[tools.theirs]\nsource = \"../../theirs\"\n");
        fs::write(mine.join("agent.toml"), tables).unwrap();
        fs::write(mine.join("script.toml"), "[[reply]]\ntext = \"done\"\n").unwrap();
        theirs(&agent.dir.path().join("theirs"));
        Self { agent }
    }

    fn host(&self, args: &[&str]) -> Ran {
        let mut command = self.agent.unhurried(args);
        command.env("HOST_CACHE", self.agent.dir.path().join("cache")).env_remove("HOST_TRUST_BUILD");
        command.output().unwrap().into()
    }

    /// Whether anything of theirs has run since this was asked last.
    fn ran(&self) -> bool {
        fs::remove_file(self.agent.dir.path().join("theirs/trace")).is_ok()
    }

    fn change(&self) {
        let source = self.agent.dir.path().join("theirs/build.rs");
        File::options().write(true).open(source).unwrap().set_modified(SystemTime::now()).unwrap();
    }
}

#[test]
fn an_untrusted_source_is_refused_and_then_remembered() {
    let place = Place::new();
    let real = place.agent.dir.path().canonicalize().unwrap();
    for command in ["check", "build", "run"] {
        let refused = place.host(&[command, "mine/agents/agent.toml"]);
        refused
            .exits(2)
            .says("theirs is outside of the agent's project")
            .says("runs its code with your rights");
        refused.says(&format!("host build {}", real.join("theirs").display())).says("--trust-build");
        assert!(!place.ran(), "{command}");
    }
    // The command that the message has allows it.
    place.host(&["build", real.join("theirs").to_str().unwrap()]).ok();
    assert!(place.ran());
    place.change();
    place.host(&["build", "mine/agents"]).ok().says("built theirs");
    assert!(place.ran(), "it is not asked about again when it changes");
    // Another directory that takes its place is another source.
    fs::rename(real.join("theirs"), real.join("old")).unwrap();
    theirs(&real.join("theirs"));
    place.host(&["build", "mine/agents"]).exits(2).says("outside of the agent's project");
    assert!(!place.ran());
    place.host(&["build", "mine/agents", "--trust-build"]).ok();
    assert!(place.ran());
    place.change();
    place.host(&["build", "mine/agents"]).ok().says("built theirs");
}

#[test]
fn a_source_of_the_project_is_built_without_asking_and_a_repository_within_it_is_not() {
    let place = Place::new();
    let real = place.agent.dir.path().canonicalize().unwrap();
    fs::create_dir(real.join("mine/vendor")).unwrap();
    fs::rename(real.join("theirs"), real.join("mine/vendor/theirs")).unwrap();
    let toml = real.join("mine/agents/agent.toml");
    let text = fs::read_to_string(&toml).unwrap().replace("../../theirs", "../vendor/theirs");
    fs::write(&toml, text).unwrap();
    fs::create_dir(real.join("mine/vendor/theirs/.git")).unwrap();
    place.host(&["build", "mine/agents"]).exits(2).says("outside of the agent's project");
    fs::remove_dir(real.join("mine/vendor/theirs/.git")).unwrap();
    place.host(&["build", "mine/agents"]).ok();
    // A link leads out of the project.
    fs::rename(real.join("mine/vendor/theirs"), real.join("theirs")).unwrap();
    std::os::unix::fs::symlink("../../theirs", real.join("mine/vendor/theirs")).unwrap();
    place.host(&["build", "mine/agents"]).exits(2).says("outside of the agent's project");
}

#[test]
fn an_agent_that_another_one_calls_brings_no_trust_with_it() {
    let place = Place::new();
    let real = place.agent.dir.path().canonicalize().unwrap();
    let called = real.join("called");
    fs::create_dir_all(called.join(".git")).unwrap();
    fs::rename(real.join("theirs"), called.join("theirs")).unwrap();
    let toml = fs::read_to_string(place.agent.toml()).unwrap();
    let described = toml.replace("[agent]", "[agent]\ndescription = \"Does it.\"");
    fs::write(called.join("agent.toml"), format!("{described}\n[tools.theirs]\nsource = \"theirs\"\n"))
        .unwrap();
    fs::write(called.join("script.toml"), "[[reply]]\ntext = \"done\"\n").unwrap();
    let other = real.join("mine/agents/agent.toml");
    let table = "\n[tools.called]\nagent = \"../../called/agent.toml\"\n";
    fs::write(&other, format!("{toml}{table}")).unwrap();
    place.host(&["check", "mine/agents"]).exits(2).says("outside of the agent's project");
    assert!(!called.join("theirs/trace").exists());
    place.host(&["build", "called"]).ok();
    assert!(called.join("theirs/trace").exists(), "it is of its own agent's project");
}

#[test]
fn a_person_at_a_terminal_is_asked_once() {
    let place = Place::new();
    let asked = "Build it? [y/N] ";
    let cache = place.agent.dir.path().join("cache");
    let cache = cache.to_str().unwrap();
    let args = ["build", "mine/agents", "--cache", cache];
    // As empty as if it were not set.
    let terminal = Terminal { env: &[("HOST_TRUST_BUILD", "")], ..USUAL };
    let (code, screen) = at(terminal, &place.agent, &args, &[(asked, Does::Types(""))]);
    assert_eq!(code, Some(2), "{screen}");
    assert!(!place.ran());
    let (code, screen) = at(terminal, &place.agent, &args, &[(asked, Does::Types("y"))]);
    assert_eq!(code, Some(0), "{screen}");
    assert!(place.ran());
    place.change();
    let (code, screen) = at(terminal, &place.agent, &args, &[]);
    assert!(code == Some(0) && !screen.contains(asked), "{screen}");
    assert!(place.ran());
}
