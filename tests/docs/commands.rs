//! What the pages have one type, typed: one command after the other, in a copy of what they are about.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command, Stdio};

use regex::{Captures, Regex};

use super::page::Page;
use crate::support::{Agent, cache, copy, root};

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

/// A block that is meant to be typed, and what the page shows of the output of its last line.
struct Step {
    lines: Vec<String>,
    shown: String,
}

fn steps(page: &Page) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (info, text) in page.code() {
        match info.as_str() {
            "sh" => {
                let lines = text.lines().filter(|line| !line.trim().is_empty());
                let lines = lines.filter(|line| !ELSEWHERE.iter().any(|other| line.starts_with(other)));
                steps.push(Step { lines: lines.map(str::to_owned).collect(), shown: String::new() });
            }
            "text,output" => steps.last_mut().unwrap().shown = text,
            _ => {}
        }
    }
    steps
}

/// The lines of a shown output that were not said. `…` stands for anything, and ids and times differ from run to run.
fn missing<'a>(shown: &'a str, said: &str) -> Vec<&'a str> {
    let other_each_time = Regex::new(r"\b01[0-9A-Z]{24}\b|\b[0-9]+(\\?\.[0-9]+)? ?(µs|ms|s)\b").unwrap();
    let was_said = |line: &&str| {
        let pieces = line.trim().split('…').map(|piece| {
            let piece = regex::escape(piece);
            other_each_time
                .replace_all(&piece, |found: &Captures<'_>| {
                    if found[0].starts_with("01") { "01[0-9A-Z]{24}" } else { "[0-9.]+ ?(µs|ms|s)" }
                })
                .into_owned()
        });
        Regex::new(&pieces.collect::<Vec<_>>().join(".*")).unwrap().is_match(said)
    };
    shown.lines().filter(|line| !was_said(line)).collect()
}

/// The exit code that a line's comment tells; 0 if it tells none.
fn exit_code(line: &str) -> i32 {
    let told =
        line.split("exit code ").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    told.map_or(0, |code| code.parse().unwrap())
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

/// A server that a page starts, in what would be a terminal of its own.
struct Terminal(Child);

impl Terminal {
    /// Waits until the server serves.
    fn open(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let (mut line, mut said) = (String::new(), String::new());
        while !line.starts_with("serving ") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the server ended:\n{said}");
            said.push_str(&line);
        }
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self(child)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(page: &Page, steps: &[Step]) {
    let agent = Agent::scripted("");
    checkout(&agent);
    let here = agent.dir.path();
    let path = format!("{}:{}", here.join("bin").display(), std::env::var("PATH").unwrap());
    let mut terminals = Vec::new();
    for Step { lines, shown } in steps {
        let mut said = String::new();
        for line in lines {
            let mut typed = Command::new("sh");
            let runs = if line.starts_with("host serve ") { "exec " } else { "" };
            typed
                .args(["-c", &format!("{runs}{}", line.replace("cargo run --release -- ", "host "))])
                .current_dir(here)
                .env("PATH", &path)
                .env("HOST_STATE", agent.state())
                .env("HOST_CACHE", cache())
                // The tools of the repository are links here.
                .env("HOST_TRUST_BUILD", "1")
                .stdin(Stdio::null());
            if line.starts_with("host serve ") {
                terminals.push(Terminal::open(typed));
                continue;
            }
            let ran = typed.output().unwrap();
            said =
                format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
            assert_eq!(ran.status.code(), Some(exit_code(line)), "{}: {line}\n{said}", page.path.display());
        }
        let missing = missing(shown, &said);
        assert!(missing.is_empty(), "{} shows {missing:#?}, and this was said:\n{said}", page.path.display());
    }
}

/// Each page in a copy of its own. How many commands there were.
fn run_all(pages: &[Page]) -> usize {
    let run_all_of = |page: &Page| {
        let steps = steps(page);
        let count: usize = steps.iter().map(|step| step.lines.len()).sum();
        if count > 0 {
            run(page, &steps);
        }
        count
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

#[test]
fn an_output_that_is_not_said_is_found() {
    let said = "run 01M8D0NWFHVZ764S1AW51SPBAC  agent busy\n  = tool(0,0) get_weather {\"a\":1} → {\"b\":2}  12.5 ms\n";
    for (shown, fits) in [
        ("run 01JD5Q0Z3N8B1M4W6V2YT7XK9C  agent busy", true),
        ("run 01JD5Q0Z3N8B1M4W6V2YT7XK9C  agent lazy", false),
        ("  = tool(0,0) get_weather {…} → {…  0.1 ms", true),
        ("  = tool(0,0) get_weather {…} → {…  7 s", true),
        ("  ✓ tool(0,0) get_weather {…} → {…  0.1 ms", false),
        ("tool(0,0) get_weather {\"a\":.} →", false),
    ] {
        assert_eq!(missing(shown, said).is_empty(), fits, "{shown}");
    }
}
