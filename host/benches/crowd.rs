//! What runs cost that only wait: for a person, or for a service over HTTP. `-- QUICK` measures a tenth of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark may panic, prints, and documents nothing"
)]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use host::config::Config;
use host::engine::{Engine, Front, LoadedAgent, NewRun, Nobody, Outcome, Purpose, Unwatched};
use host::message::Ending;
use host::toolbox::{Compiler, Strangers, serve_compiler_if_asked};
use tokio::task::JoinSet;

use common::{memory, root};

/// What is held by a call to which a server does not answer: the argument by which this program becomes that server.
const SLOW_SERVER: &str = "slow-server";

/// Runs that are started at once, where it does not matter how many are.
const AT_ONCE: usize = 32;

fn main() {
    if serve_compiler_if_asked().is_some() {
        return;
    }
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(SLOW_SERVER) {
        return slow_server(arguments.next().unwrap().parse().unwrap());
    }
    let count = if std::env::args().any(|argument| argument == "QUICK") { 1_000 } else { 10_000 };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(suspended(count));
    runtime.block_on(waiting_for_http(count));
}

/// An engine over a new directory, and an agent whose model makes one call and is done.
async fn engine(
    directory: &tempfile::TempDir,
    instances: u32,
    table: &str,
    input: &str,
) -> (Engine, Arc<LoadedAgent>) {
    let path = directory.path();
    let script = format!("[[reply]]\ncalls = [{input}]\n[[reply]]\ntext = \"done\"");
    std::fs::write(path.join("script.toml"), script).unwrap();
    let toml = format!(
        "version = 1\n[agent]\nname = \"crowd\"\n[model]\nprovider = \"scripted\"\nscript = \"script.toml\"\n{table}"
    );
    let config = Config::parse(&toml, &path.join("agent.toml")).unwrap();
    let compiler = Compiler::new(&std::env::current_exe().unwrap());
    let builder =
        Engine::builder(&path.join("state"), &path.join("cache"), compiler).strangers(Strangers::Allow);
    let engine = builder.instances(instances).build();
    let agent = engine.load(config, Purpose::Run, &Unwatched).await.unwrap();
    (engine, agent)
}

fn front() -> Front {
    Front { watcher: Arc::new(Unwatched), people: Arc::new(Nobody) }
}

/// Runs that wait for a person.
async fn suspended(count: usize) {
    let directory = tempfile::tempdir_in(root().join("target")).unwrap();
    let tool = format!(
        "[tools.weather]\nsource = \"{}\"\n[[approval.ask]]\ntool = \"get_weather\"",
        root().join("guest-tools/weather").display()
    );
    let input = "{ name = \"get_weather\", input = { city = \"Rome\" } }";
    let (engine, agent) = engine(&directory, 128, &tool, input).await;
    let some = |count: usize| {
        let (engine, agent) = (engine.clone(), Arc::clone(&agent));
        async move {
            let mut workers = JoinSet::new();
            for worker in 0..AT_ONCE {
                let (engine, agent) = (engine.clone(), Arc::clone(&agent));
                workers.spawn(async move {
                    for _ in (worker..count).step_by(AT_ONCE) {
                        let run = NewRun::new(Arc::clone(&agent), "What is the weather in Rome?");
                        let mut run = engine.start(run, front()).await.unwrap();
                        let outcome = run.outcome().await;
                        assert!(matches!(outcome, Outcome::Suspended(_)), "{outcome:?}");
                        run.close().await;
                    }
                });
            }
            while let Some(worker) = workers.join_next().await {
                worker.unwrap();
            }
        }
    };
    // What the first runs leave is not what each costs.
    some(AT_ONCE * 4).await;
    let (idle, clock) = (memory(std::process::id()), Instant::now());
    some(count).await;
    let (now, seconds) = (memory(std::process::id()), clock.elapsed().as_secs_f64());
    println!(
        "{count} runs suspended in {seconds:.1} s: {:.1} MB above an idle engine ({:.1} MB), {:.2} kB a run",
        megabytes(now.saturating_sub(idle)),
        megabytes(idle),
        kilobytes(now.saturating_sub(idle)) / f64::from(u32::try_from(count).unwrap())
    );
}

/// Calls that wait for a service, each in its own instance, all at once.
async fn waiting_for_http(count: usize) {
    let directory = tempfile::tempdir_in(root().join("target")).unwrap();
    let server = Slow::start(count);
    let tool = format!(
        "[tools.fetch]\nsource = \"{}\"\nlimits.timeout = \"10m\"\n[[tools.fetch.permissions.network]]\n\
         host = \"http://127.0.0.1:{}\"\nmethods = [\"GET\"]\nallow_private = true",
        root().join("guest-tools/fetch").display(),
        server.port
    );
    let input = format!("{{ name = \"fetch\", input = {{ url = \"http://127.0.0.1:{}/\" }} }}", server.port);
    let (engine, agent) = engine(&directory, u32::try_from(count).unwrap(), &tool, &input).await;
    let (idle, clock) = (memory(std::process::id()), Instant::now());
    let mut runs = JoinSet::new();
    for _ in 0..count {
        let (engine, agent) = (engine.clone(), Arc::clone(&agent));
        runs.spawn(async move {
            let run = NewRun::new(agent, "Fetch it.");
            let mut run = engine.start(run, front()).await.unwrap();
            let outcome = run.outcome().await;
            let Outcome::Ended { ending: Ending::Answer(answer), .. } = &outcome else {
                panic!("{outcome:?}")
            };
            assert_eq!(answer, "done");
            run.close().await;
        });
    }
    let all = tokio::task::spawn_blocking(move || server.all_wait());
    let mut all = std::pin::pin!(all);
    let answering = loop {
        tokio::select! {
            answering = &mut all => break answering.unwrap(),
            // It can only have failed.
            Some(run) = runs.join_next() => run.unwrap(),
        }
    };
    let (now, seconds) = (memory(std::process::id()), clock.elapsed().as_secs_f64());
    let live = engine.places().first().map(|(there, free)| there - free);
    println!(
        "{count} calls wait for HTTP after {seconds:.1} s, {} instances: {:.0} MB above an idle engine, {:.1} kB a call",
        live.unwrap_or_default(),
        megabytes(now.saturating_sub(idle)),
        kilobytes(now.saturating_sub(idle)) / f64::from(u32::try_from(count).unwrap())
    );
    let clock = Instant::now();
    drop(answering);
    while let Some(run) = runs.join_next().await {
        run.unwrap();
    }
    println!("  answered, recorded and ended {:.1} s later", clock.elapsed().as_secs_f64());
}

#[allow(clippy::cast_precision_loss, reason = "shown to four digits")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[allow(clippy::cast_precision_loss, reason = "shown to four digits")]
fn kilobytes(bytes: u64) -> f64 {
    bytes as f64 / 1e3
}

/// A server in a process of its own, which answers when everybody waits.
struct Slow {
    process: Child,
    port: u16,
    said: BufReader<std::process::ChildStdout>,
}

/// A server that answers when this is dropped.
struct Answering {
    process: Child,
    stdin: Option<ChildStdin>,
}

impl Slow {
    fn start(count: usize) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([SLOW_SERVER, &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let mut port = String::new();
        said.read_line(&mut port).unwrap();
        Self { process, port: port.trim().parse().unwrap(), said }
    }

    /// Waits until all of them wait.
    fn all_wait(mut self) -> Answering {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line, "all wait\n");
        let stdin = self.process.stdin.take();
        Answering { process: self.process, stdin }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        drop(self.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

/// Takes so many connections, waits until its stdin is closed, and answers.
fn slow_server(count: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let say = |line: &str| {
        let mut out = std::io::stdout();
        writeln!(out, "{line}").unwrap();
        out.flush().unwrap();
    };
    say(&listener.local_addr().unwrap().port().to_string());
    let connections: Vec<_> = (0..count)
        .map(|_| {
            let (mut connection, _) = listener.accept().unwrap();
            // The whole head: whoever answers before it was read may reset the connection.
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                connection.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            connection
        })
        .collect();
    say("all wait");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    for mut connection in connections {
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").unwrap();
    }
}
