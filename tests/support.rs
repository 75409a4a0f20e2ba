//! The one builder behind the tests: an agent in a directory of its own, run by the real binary.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use wiremock::{Request, Respond, ResponseTemplate};

use host::toolbox::{Compiler, ComponentCache, Strangers};

/// The repository, where the guest crates and examples are.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Compiled components are shared between tests, so that each guest is compiled once.
pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

/// The same, for tests that load tools in this process.
pub fn component_cache() -> ComponentCache {
    let cache = ComponentCache::open(&cache(), Compiler::new(Path::new(env!("CARGO_BIN_EXE_host")))).unwrap();
    cache.with_strangers(Strangers::Allow)
}

/// How long the binary may take for anything a test has it do, on however busy a machine: what takes a compiler is done
/// before. One that waits for what never comes is killed by then, and the test fails instead of holding up all the others.
pub const PATIENCE: Duration = Duration::from_mins(10);

/// Has every guest of the repository built and compiled, once, before the first clock starts: that takes as long as it
/// takes, and no test is about it.
fn guests_are_built() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let guests =
            ["claims", "fetch", "hostile", "orchestrate", "program", "refunds", "service", "weather"];
        let tables = guests.map(|name| {
            let source = root().join("guest-tools").join(name);
            format!("[tools.{name}]\nsource = {:?}\nprefix = \"{name}_\"\n", source.to_str().unwrap())
        });
        let dir = tempfile::tempdir().unwrap();
        let model = "version = 1\n[model]\nprovider = \"scripted\"\nscript = \"script.toml\"\n";
        std::fs::write(dir.path().join("script.toml"), "[[reply]]\ntext = \"\"").unwrap();
        std::fs::write(dir.path().join("agent.toml"), format!("{model}{}", tables.concat())).unwrap();
        let checked = Command::new(env!("CARGO_BIN_EXE_host"))
            .arg("check")
            .current_dir(dir.path())
            .env("HOST_STATE", dir.path().join("state"))
            .env("HOST_CACHE", cache())
            .env("HOST_TRUST_BUILD", "1")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    });
}

/// Waits until something has happened.
pub fn until<T>(what: &str, happened: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(it) = happened() {
            return it;
        }
        assert!(started.elapsed() < PATIENCE, "it never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A directory with an agent.toml, a script, and runs.
pub struct Agent {
    pub dir: TempDir,
    tables: Vec<String>,
}

/// What the binary did.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Agent {
    /// An agent that replies by a script.
    pub fn scripted(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("script.toml"), script).unwrap();
        let model = "[model]\nprovider = \"scripted\"\nscript = \"script.toml\"".to_owned();
        Self { dir, tables: vec![model] }.prompt("go on")
    }

    /// An agent whose whole agent.toml is given.
    pub fn raw(toml: &str) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), tables: vec![toml.to_owned()] }.write()
    }

    fn prompt(self, prompt: &str) -> Self {
        self.table(&format!("[agent]\nprompt = {prompt:?}"))
    }

    /// One more table of agent.toml.
    pub fn table(mut self, toml: &str) -> Self {
        self.tables.push(toml.to_owned());
        self.write()
    }

    /// Tools of the host itself.
    pub fn builtins(mut self, names: &[&str]) -> Self {
        self.tables[1] = format!("{}\nbuiltins = {names:?}", self.tables[1]);
        self.write()
    }

    /// A tool crate of this repository.
    pub fn guest(self, name: &str) -> Self {
        let source = root().join("guest-tools").join(name);
        self.table(&format!("[tools.{name}]\nsource = {:?}", source.to_str().unwrap()))
    }

    fn write(self) -> Self {
        let version = if self.tables[0].starts_with("version") { "" } else { "version = 1\n" };
        std::fs::write(self.toml(), format!("{version}{}\n", self.tables.join("\n\n"))).unwrap();
        self
    }

    pub fn toml(&self) -> PathBuf {
        self.dir.path().join("agent.toml")
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The binary, set to this agent's directories, and to end after [`PATIENCE`].
    #[allow(unsafe_code, reason = "a clock that goes on after exec can only be set between fork and exec")]
    pub fn command(&self, args: &[&str]) -> Command {
        guests_are_built();
        let mut command = self.unhurried(args);
        // SAFETY: alarm is async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::alarm(PATIENCE.as_secs().try_into().unwrap_or(u32::MAX));
                Ok(())
            });
        }
        command
    }

    /// The same without a clock, for what has a crate built that is not one of the repository's.
    pub fn unhurried(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_host"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("HOST_STATE", self.state())
            .env("HOST_CACHE", cache())
            // An agent of a test has a directory of its own, and tools of the repository.
            .env("HOST_TRUST_BUILD", "1")
            .env_remove("FAILPOINTS")
            .env_remove("HOST_SERVER")
            .env_remove("HOST_TOKEN")
            .env_remove("TRACEPARENT")
            .env_remove("TRACESTATE")
            .stdin(Stdio::null());
        command
    }

    /// Has the crates of an agent built.
    pub fn build(&self, agent: &str) {
        let built = Ran::from(self.unhurried(&["build", agent]).output().unwrap());
        built.ok();
    }

    pub fn host(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    /// Runs the agent and gives what it recorded, slot by slot.
    pub fn run_and_show(&self) -> (Ran, Vec<Value>) {
        let ran = self.host(&["run"]);
        let shown = self.show();
        (ran, shown)
    }

    /// Runs the agent, and kills it once something has happened.
    pub fn run_until_killed(&self, happened: impl Fn() -> bool) {
        let mut child = self.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("what the run is to be killed after", || happened().then_some(()));
        // What goes on beside it takes microseconds, and its end a sync.
        std::thread::sleep(Duration::from_millis(200));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Runs the agent until it is killed at the first commit after which this holds of what is recorded. How many
    /// events a commit takes up depends on the machine, so that the commits cannot be counted beforehand.
    pub fn run_killed_once(&self, holds: impl Fn(&[Value]) -> bool) {
        let before = tempfile::tempdir().unwrap();
        if self.state().is_dir() {
            copy(&self.state(), &before.path().join("state"));
        }
        for commit in 0..100 {
            let failpoint = format!("journal-before-ack={}*off->1*return", commit % 20);
            let killed = self.command(&["run"]).env("FAILPOINTS", failpoint).output().unwrap();
            if !killed.status.success() && holds(&self.shown_so_far()) {
                return;
            }
            std::fs::remove_dir_all(self.state()).unwrap();
            if before.path().join("state").is_dir() {
                copy(&before.path().join("state"), &self.state());
            }
        }
        panic!("it never held at a commit");
    }

    /// What the last run has recorded so far, slot by slot: nothing, if it has not begun.
    pub fn shown_so_far(&self) -> Vec<Value> {
        let shown = self.host(&["runs", "show", "last", "--json"]);
        if shown.code == Some(0) { serde_json::from_str(&shown.stdout).unwrap() } else { Vec::new() }
    }

    /// What the last run recorded, slot by slot.
    pub fn show(&self) -> Vec<Value> {
        let shown = self.host(&["runs", "show", "last", "--json"]);
        shown.ok();
        serde_json::from_str(&shown.stdout).unwrap()
    }
}

/// Whether the effect at a slot has ended.
pub fn has_ended(shown: &[Value], slot: &str) -> bool {
    shown.iter().any(|report| report["slot"] == slot && !report["finished"].is_null())
}

/// The result recorded at a slot.
pub fn outcome<'a>(shown: &'a [Value], slot: &str) -> &'a Value {
    let found = shown.iter().find(|report| report["slot"] == slot);
    &found.unwrap_or_else(|| panic!("{slot} is recorded"))["finished"]["outcome"]
}

/// The error recorded at a slot: its kind and message.
pub fn tool_error<'a>(shown: &'a [Value], slot: &str) -> (&'a str, &'a str) {
    let error = &outcome(shown, slot)["tool"]["error"];
    let text = |key: &str| error[key].as_str().unwrap_or_else(|| panic!("{slot} failed: {shown:#?}"));
    (text("kind"), text("message"))
}

/// The output recorded at a slot.
pub fn tool_output<'a>(shown: &'a [Value], slot: &str) -> &'a Value {
    let output = &outcome(shown, slot)["tool"]["output"];
    assert!(!output.is_null(), "{slot} gave an output: {:#}", outcome(shown, slot));
    output
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// It exited with 0.
    #[track_caller]
    pub fn ok(&self) -> &Self {
        self.exits(0)
    }

    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// stderr says this.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "{text:?} is said in:\n{}", self.stderr);
        self
    }
}

/// Answers a server's requests one after the other, the last answer again and again.
pub struct InTurn {
    answers: Vec<ResponseTemplate>,
    asked: AtomicUsize,
}

impl InTurn {
    pub fn new(answers: Vec<ResponseTemplate>) -> Self {
        Self { answers, asked: AtomicUsize::new(0) }
    }
}

impl Respond for InTurn {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        self.answers[asked.min(self.answers.len() - 1)].clone()
    }
}

/// Copies a directory with all that is in it, but for what cargo built there.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (name, to) = (entry.file_name(), to.join(entry.file_name()));
        if !entry.path().is_dir() {
            std::fs::copy(entry.path(), to).unwrap();
        } else if name != "target" {
            copy(&entry.path(), &to);
        }
    }
}
