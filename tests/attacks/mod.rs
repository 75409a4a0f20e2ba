//! Every attack against the real binary, with a well-behaved neighbour in the same turn, and a table of what
//! stopped each: `cargo test --release --test main attacks -- --nocapture`.

mod guests;
mod network;
mod server;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use serde_json::{Value, json};

pub use server::Server;

use crate::support::{Agent, Ran, outcome, root};

/// One attack: a component, what it is granted, what it is called with, and what has to stop it.
pub struct Attack {
    pub name: &'static str,
    pub component: PathBuf,
    /// Below `[tools.attack]`.
    pub grants: String,
    pub limits: String,
    /// Other tables, and the environment.
    pub tables: String,
    pub env: Vec<(&'static str, String)>,
    pub input: Value,
    pub stopped: Stopped,
    /// What else has to hold afterwards, such as that nothing reached a server.
    pub after: After,
}

type After = Box<dyn Fn(&Scene) -> Result<(), String>>;

/// How an attack ends.
pub enum Stopped {
    /// The call fails with this kind of error, which says this.
    Error(&'static str, &'static str),
    /// The call fails with the error it was given, and the person reads this of the denial.
    Denied(&'static str),
    /// The call ends well, and did no harm.
    Harmless(&'static str),
    /// The component is not even loaded, and this is said.
    Load(&'static str),
}

/// What there is to look at when an attack has ended.
pub struct Scene {
    pub agent: Agent,
    pub ran: Ran,
    pub shown: Vec<Value>,
}

/// One line of the table.
struct Row {
    name: &'static str,
    stopped: String,
    ms: f64,
    neighbour_ms: f64,
}

/// An attack with nothing granted and no input.
pub fn attack(name: &'static str, component: PathBuf, stopped: Stopped) -> Attack {
    let (grants, limits, tables) = (String::new(), String::new(), String::new());
    let after = Box::new(|_: &Scene| Ok(()));
    Attack { name, component, grants, limits, tables, env: Vec::new(), input: json!({}), stopped, after }
}

impl Attack {
    pub fn grants(mut self, toml: &str) -> Self {
        let _ = writeln!(self.grants, "{toml}");
        self
    }

    pub fn limits(self, toml: &str) -> Self {
        Self { limits: format!("limits = {{ {toml} }}\n"), ..self }
    }

    pub fn table(mut self, toml: &str) -> Self {
        let _ = writeln!(self.tables, "{toml}");
        self
    }

    pub fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    pub fn input(self, input: Value) -> Self {
        Self { input, ..self }
    }

    pub fn after(self, after: impl Fn(&Scene) -> Result<(), String> + 'static) -> Self {
        Self { after: Box::new(after), ..self }
    }

    /// Runs it beside its neighbour, and says what went wrong if something did.
    fn run(&self) -> Result<Row, String> {
        match &self.stopped {
            Stopped::Load(said) => self.run_at_load(said),
            Stopped::Error(..) | Stopped::Denied(_) | Stopped::Harmless(_) => self.run_in_a_turn(),
        }
    }

    fn agent(&self) -> Agent {
        let script = format!(
            "[[reply]]\ncalls = [{NEIGHBOUR}, {{ name = \"attack\", input_text = {} }}]\n[[reply]]\ntext = \"done\"",
            json!(json!(self.input).to_string())
        );
        let source = self.component.to_str().unwrap();
        Agent::scripted(&script)
            .table(&format!(
                "[tools.neighbour]\nsource = \"{}\"\nlimits = {{ timeout = \"1s\" }}",
                weather().display()
            ))
            .table(&format!("[tools.attack]\nsource = {source:?}\n{}{}", self.limits, self.grants))
            .table(&self.tables)
    }

    fn host(&self, agent: &Agent, args: &[&str]) -> Ran {
        agent.command(args).envs(self.env.iter().map(|(name, value)| (name, value))).output().unwrap().into()
    }

    fn run_in_a_turn(&self) -> Result<Row, String> {
        let agent = self.agent();
        prepare_files(&agent);
        let ran = self.host(&agent, &["run"]);
        if ran.code != Some(0) {
            return Err(format!("the run ended with {:?}:\n{}", ran.code, ran.stderr));
        }
        let shown = agent.show();
        let (neighbour, attacked) = (report(&shown, "tool(0,0)"), report(&shown, "tool(0,1)"));
        if outcome(&shown, "tool(0,0)")["tool"]["output"]["city"] != "Oslo" {
            return Err(format!("the neighbour failed: {:#}", outcome(&shown, "tool(0,0)")));
        }
        let row = Row {
            name: self.name,
            stopped: self.check(attacked)?,
            ms: wall_ms(attacked),
            neighbour_ms: wall_ms(neighbour),
        };
        if attacked.to_string().contains("BREACH") {
            return Err(format!("it got what it wanted: {attacked:#}"));
        }
        (self.after)(&Scene { agent, ran, shown })?;
        Ok(row)
    }

    /// What stopped it, if that is what should have.
    fn check(&self, attacked: &Value) -> Result<String, String> {
        let finished = &attacked["finished"];
        let error = &finished["outcome"]["tool"]["error"];
        let (kind, message) = (error["kind"].as_str(), error["message"].as_str().unwrap_or_default());
        let denials = finished["trace"]["denials"].as_array().cloned().unwrap_or_default();
        let wrong = || Err(format!("it was not stopped as expected: {finished:#}"));
        match &self.stopped {
            Stopped::Error(expected, said) if kind == Some(expected) && message.contains(said) => {
                let limit = message.split_once("(limits.").and_then(|(_, rest)| rest.split_once(')'));
                Ok(limit.map_or(format!("{expected}: {said}"), |(limit, _)| format!("limits.{limit}")))
            }
            Stopped::Denied(said) => {
                let denied =
                    denials.iter().find(|it| it["what"].as_str().is_some_and(|what| what.contains(said)));
                match denied {
                    Some(_) if kind == Some("failed") => Ok(format!("denied: {said}")),
                    Some(_) | None => wrong(),
                }
            }
            Stopped::Harmless(why) if kind.is_none() => Ok((*why).to_owned()),
            Stopped::Error(..) | Stopped::Harmless(_) => wrong(),
            Stopped::Load(_) => unreachable!(),
        }
    }

    /// A component that is refused starts no run, so its neighbour runs in a process beside it.
    fn run_at_load(&self, said: &str) -> Result<Row, String> {
        let neighbour =
            Agent::scripted(&format!("[[reply]]\ncalls = [{NEIGHBOUR}]\n[[reply]]\ntext = \"done\""))
                .table(&format!("[tools.neighbour]\nsource = \"{}\"", weather().display()));
        let beside =
            neighbour.command(&["run"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let agent = self.agent();
        let clock = Instant::now();
        let ran = self.host(&agent, &["run"]);
        let ms = clock.elapsed().as_secs_f64() * 1000.0;
        let beside = beside.wait_with_output().unwrap();
        if !beside.status.success() {
            return Err(format!("the neighbour failed: {beside:?}"));
        }
        let neighbour_ms = wall_ms(report(&neighbour.show(), "tool(0,0)"));
        if ran.code != Some(2) || !ran.stderr.contains(said) {
            return Err(format!("it was not refused with {said:?}: {:?}\n{}", ran.code, ran.stderr));
        }
        if ran.stderr.contains('\u{1b}') || ran.stderr.contains('\u{202e}') {
            return Err(format!("it steers the terminal: {:?}", ran.stderr));
        }
        (self.after)(&Scene { agent, ran, shown: Vec::new() })?;
        Ok(Row { name: self.name, stopped: format!("not loaded: {said}"), ms, neighbour_ms })
    }
}

const NEIGHBOUR: &str = "{ name = \"get_weather\", input = { city = \"Oslo\" } }";

/// A directory to grant, something beside it, and a link that leads out of it.
fn prepare_files(agent: &Agent) {
    let dir = agent.dir.path();
    std::fs::create_dir_all(dir.join("work")).unwrap();
    std::fs::write(dir.join("work/file.txt"), "inside").unwrap();
    std::fs::write(dir.join("outside.txt"), "outside").unwrap();
    std::os::unix::fs::symlink("../outside.txt", dir.join("work/planted")).unwrap();
    std::os::unix::fs::symlink("..", dir.join("work/up")).unwrap();
}

fn report<'a>(shown: &'a [Value], slot: &str) -> &'a Value {
    shown.iter().find(|report| report["slot"] == slot).unwrap_or_else(|| panic!("{slot} is recorded"))
}

fn wall_ms(report: &Value) -> f64 {
    report["finished"]["usage"]["wall_us"].as_f64().unwrap_or_default() / 1000.0
}

fn weather() -> PathBuf {
    root().join("guest-tools/weather")
}

/// The component of an attack in `guest-tools/hostile/attack/examples`; all are built at once.
pub fn hostile(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let guests = root().join("guest-tools");
        ensure_target(&guests);
        let built = Command::new(env!("CARGO"))
            .args(["build", "--release", "--target", "wasm32-wasip2", "-p", "attack", "--examples"])
            .current_dir(&guests)
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        guests.join("target/wasm32-wasip2/release/examples")
    });
    built.join(format!("{name}.wasm"))
}

/// The host installs the target when it builds a tool.
fn ensure_target(guests: &Path) {
    let built = Command::new(env!("CARGO_BIN_EXE_host"))
        .args(["build", "weather"])
        .current_dir(guests)
        .env("HOST_CACHE", crate::support::cache())
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

#[test]
fn every_attack_is_stopped_and_the_neighbour_unharmed() {
    let attacks: Vec<Attack> = guests::attacks().into_iter().chain(network::attacks()).collect();
    let mut names: Vec<&str> = attacks.iter().map(|attack| attack.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), attacks.len(), "each attack has a name of its own");
    assert!(attacks.len() >= 45, "{}", attacks.len());
    let (mut table, mut failed) = (String::new(), String::new());
    for attack in &attacks {
        match attack.run() {
            Ok(Row { name, stopped, ms, neighbour_ms }) => {
                let _ = writeln!(table, "| {name} | {stopped} | {ms:.1} | {neighbour_ms:.1} |");
            }
            Err(why) => {
                let _ = writeln!(failed, "{}: {why}\n", attack.name);
            }
        }
    }
    println!("\n| attack | what stopped it | ms | neighbour's ms |\n| --- | --- | ---: | ---: |\n{table}");
    println!("{} attacks", attacks.len());
    assert!(failed.is_empty(), "{failed}");
}
