//! The README, followed: its commands, one after the other, in a copy of what they are about.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::support::{Agent, cache, root};

/// What is no command of `host`, or takes a checkout of its own: `.ci/run` and other tests run those.
const ELSEWHERE: [&str; 4] = ["cargo test", "cargo bench", "cargo install", "docker"];

/// The lines of the blocks that are meant to be typed.
fn commands(readme: &str) -> Vec<String> {
    let blocks = readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines = blocks.flat_map(str::lines).filter(|line| !line.is_empty());
    lines.filter(|line| !ELSEWHERE.iter().any(|other| line.starts_with(other))).map(str::to_owned).collect()
}

/// The exit code that a line's comment tells; 0 if it tells none.
fn exit_code(line: &str) -> i32 {
    let told =
        line.split("exit code ").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    told.map_or(0, |code| code.parse().unwrap())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn its_commands_work_as_they_are_written() {
    let agent = Agent::scripted("");
    let here = agent.dir.path();
    copy(&root().join("examples"), &here.join("examples"));
    symlink(root().join("guest-tools"), here.join("guest-tools")).unwrap();
    let bin = here.join("bin");
    std::fs::create_dir(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_host"), bin.join("host")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let commands = commands(&std::fs::read_to_string(root().join("README.md")).unwrap());
    assert!(commands.len() > 30, "{commands:#?}");
    for line in commands {
        let ran = Command::new("sh")
            .args(["-c", &line.replace("cargo run --release -- ", "host ")])
            .current_dir(here)
            .env("PATH", &path)
            .env("HOST_STATE", agent.state())
            .env("HOST_CACHE", cache())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(exit_code(&line)), "{line}\n{said}");
    }
}

#[test]
fn every_example_has_a_place_in_it() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for example in std::fs::read_dir(root().join("examples")).unwrap().map(Result::unwrap) {
        if example.file_type().unwrap().is_dir() {
            let name = example.file_name().into_string().unwrap();
            assert!(readme.contains(&format!("examples/{name}/agent.toml")), "{name}");
        }
    }
}
