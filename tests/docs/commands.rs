//! What the pages have one type, typed: one command after the other, in a copy of what they are about.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use super::page::Page;
use crate::support::{Agent, cache, root};

/// What is no command of `host`, or takes a checkout of its own: `.ci/run` and other tests run those.
const ELSEWHERE: [&str; 6] =
    ["cargo test", "cargo bench", "cargo fuzz", "cargo install", "docker", "HOST_DOCS=write cargo test"];

/// The README sleeps until the run waits for its provider. Here that takes as long as it takes.
const SLEEP: &str = "#!/bin/sh
for _ in $(seq 3000); do
  host runs show last 2>/dev/null | grep -q 'HTTP 503' && exit 0
  /bin/sleep 0.02
done
exit 1
";

/// The lines of the blocks that are meant to be typed.
fn commands(page: &Page) -> Vec<String> {
    let blocks = page.blocks("sh");
    let lines = blocks.iter().flat_map(|block| block.lines()).filter(|line| !line.trim().is_empty());
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

/// A directory with what a checkout has for its users, and `host` as a command.
fn checkout(agent: &Agent) {
    let here = agent.dir.path();
    copy(&root().join("examples"), &here.join("examples"));
    symlink(root().join("guest-tools"), here.join("guest-tools")).unwrap();
    let bin = here.join("bin");
    std::fs::create_dir(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_host"), bin.join("host")).unwrap();
    let sleep = bin.join("sleep");
    std::fs::write(&sleep, SLEEP).unwrap();
    std::fs::set_permissions(&sleep, PermissionsExt::from_mode(0o755)).unwrap();
}

fn run(page: &Page, lines: &[String]) {
    let agent = Agent::scripted("");
    checkout(&agent);
    let here = agent.dir.path();
    let path = format!("{}:{}", here.join("bin").display(), std::env::var("PATH").unwrap());
    for line in lines {
        let ran = Command::new("sh")
            .args(["-c", &line.replace("cargo run --release -- ", "host ")])
            .current_dir(here)
            .env("PATH", &path)
            .env("HOST_STATE", agent.state())
            .env("HOST_CACHE", cache())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(exit_code(line)), "{}: {line}\n{said}", page.path.display());
    }
}

/// Each page in a copy of its own. How many commands there were.
fn run_all(pages: &[Page]) -> usize {
    let run_all_of = |page| {
        let lines = commands(page);
        if !lines.is_empty() {
            run(page, &lines);
        }
        lines.len()
    };
    pages.iter().map(run_all_of).sum()
}

#[test]
fn those_of_the_readme_work_as_they_are_written() {
    let count = run_all(&[Page::read("README.md")]);
    assert!(count >= 8, "the README has {count} commands");
}

#[test]
fn those_of_the_book_work_as_they_are_written() {
    let count = run_all(&Page::book());
    assert!(count > 40, "the book has {count} commands");
}
