//! Kills of a process that carries 32 runs out at once, with the real loop, in one journal; and a server as witness
//! that sees every call with its key. `HOST_TEST_KILLS=1000 cargo test --release --test main witness -- --nocapture`
//! is the long form.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use host::agent::Agent;
use host::dispatch::{Dispatcher, ToolRunner};
use host::journal::{JournalError, JournalStore, RunState, RunSummary, RunsDir};
use host::message::{Arguments, ErrorKind, Json, Reply, Retry, Slot, Step, ToolCall, ToolEntry, ToolOutcome};
use host::model::{Model, ModelError, ModelRequest, Models};
use host::session::{Attempt, Conduct, Decisions, Done, Doubt, FanOut, Mode, Reach, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::SMALL;
use super::work::{Random, id};
use crate::attacks::Server;
use crate::interleavings::manifest;
use crate::kills::{CALLS, TURNS, place, testify};

/// What the process is told: the number of its first run among all, the witness's port, and where the journal is.
const WITNESS: &str = "HOST_TEST_WITNESS";

const RUNS: usize = 32;

/// Tells the witness of each call.
struct Telling {
    run: usize,
    port: u16,
}

impl Telling {
    async fn tell(&self, attempt: &Attempt) -> std::io::Result<()> {
        let [Step::Tool { turn, index }] = attempt.slot.steps() else { panic!("{}", attempt.slot) };
        let mut witness = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await?;
        let request = format!(
            "GET /allowed/ok?at={}-{turn}-{index} HTTP/1.1\r\nhost: 127.0.0.1\r\nidempotency-key: {}\r\n\
             connection: close\r\n\r\n",
            self.run, attempt.idempotency_key
        );
        witness.write_all(request.as_bytes()).await?;
        witness.read_to_end(&mut Vec::new()).await.map(drop)
    }
}

impl ToolRunner for Telling {
    fn call<'a>(
        &'a self,
        _tool: &'a ToolEntry,
        input: &'a Json,
        attempt: &'a Attempt,
        _fan_out: Arc<dyn FanOut>,
    ) -> BoxFuture<'a, Done<ToolOutcome>> {
        Box::pin(async move {
            match self.tell(attempt).await {
                Ok(()) => ToolOutcome::Output(input.clone()).into(),
                Err(error) => ToolOutcome::error(ErrorKind::Transient, error.to_string()).into(),
            }
        })
    }

    fn conduct(&self, _tool: &ToolEntry) -> Conduct<'static> {
        let retry = Retry { max_attempts: 9, initial_delay_ms: 1, max_delay_ms: 1, max_asked_ms: 0 };
        Conduct { reach: Reach::Outside, doubt: Doubt::Repeat, retry, room: None }
    }
}

struct Planned;

impl Model for Planned {
    fn ask<'a>(&'a self, request: &'a ModelRequest<'a>) -> BoxFuture<'a, Result<Reply, ModelError>> {
        let turn = usize::try_from(request.turn).unwrap();
        let call = |index: usize| ToolCall {
            id: format!("{turn}-{index}"),
            name: "echo".to_owned(),
            arguments: Arguments::parse(&format!("{{\"n\":{}}}", turn * 10 + index)),
        };
        let calls = if turn < TURNS { (0..CALLS).map(call).collect() } else { Vec::new() };
        Box::pin(async move { Ok(Reply { text: "the end".to_owned(), calls, ..Reply::default() }) })
    }

    fn reaches_outside(&self) -> bool {
        false
    }
}

#[test]
#[ignore = "a process of the test below"]
fn it() {
    let Some(told) = std::env::var_os(WITNESS) else { return };
    let told = told.into_string().unwrap();
    let mut words = told.splitn(3, ' ');
    let first: usize = words.next().unwrap().parse().unwrap();
    let port: u16 = words.next().unwrap().parse().unwrap();
    // Until everything is closed.
    let _failpoints = fail::FailScenario::setup();
    let dir = RunsDir::new(&PathBuf::from(words.next().unwrap()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let carry_out = |run| {
            let dir = dir.clone();
            tokio::spawn(async move { carry_out(&dir, run, Telling { run: first + run, port }).await })
        };
        for run in (0..RUNS).map(carry_out).collect::<Vec<_>>() {
            run.await.unwrap();
        }
    });
}

/// Carries a run out, from what is recorded of it to its end.
async fn carry_out(dir: &RunsDir, run: usize, telling: Telling) {
    let id = id(run);
    if dir.is_sealed(id) {
        return;
    }
    let open = match dir.open(id) {
        Err(JournalError::UnknownRun { .. }) => dir.create(id),
        opened => opened,
    };
    let open = open.unwrap();
    let entries = open.store.read(id).unwrap();
    let manifest = manifest();
    let store = Arc::clone(&open.store) as Arc<dyn JournalStore>;
    let session =
        Session::open(id, Mode::Live(store), entries, &manifest, Decisions::default(), Box::new(|_| {}));
    let session = session.await.unwrap();
    let ending = if let Some(ending) = session.recorded_ending() {
        ending.clone()
    } else {
        let agent = Agent {
            dispatcher: Arc::new(Dispatcher::new(&manifest, Arc::new(telling), 8)),
            manifest: Arc::new(manifest),
            session: Arc::new(session),
            models: Models::only(Arc::new(Planned), Retry::NEVER),
            slot: Slot::RUN,
        };
        agent.run(None).await.unwrap().ending
    };
    let (agent, prompt, state) = ("a".to_owned(), "go".to_owned(), RunState::from(&ending));
    open.seal(&RunSummary {
        run: id,
        agent,
        prompt,
        started_ms: 7,
        state,
        session: None,
        order: None,
        before: None,
        outside: false,
    })
    .unwrap();
}

fn process(state: &Path, first: usize, port: u16) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["shared::witness::it", "--exact", "--ignored", "--nocapture", "--test-threads", "1"]);
    command.env(WITNESS, format!("{first} {port} {}", state.display())).env("FAILPOINTS", SMALL);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn kills_of_a_process_with_32_runs_lose_nothing_and_double_nothing() {
    let kills: usize = std::env::var("HOST_TEST_KILLS").map_or(40, |kills| kills.parse().unwrap());
    let server = Server::start();
    let (mut killed, mut journals, mut random) = (0, 0, Random(5));
    while killed < kills {
        let state = tempfile::tempdir().unwrap();
        loop {
            let mut child = process(state.path(), journals * RUNS, server.port()).spawn().unwrap();
            if killed < kills {
                std::thread::sleep(Duration::from_millis(random.below(250)));
                child.kill().unwrap();
            }
            let ended = child.wait_with_output().unwrap();
            if ended.status.signal() == Some(9) {
                killed += 1;
                continue;
            }
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
            break;
        }
        let dir = RunsDir::new(state.path());
        for run in 0..RUNS {
            assert!(dir.is_sealed(id(run)));
            host::journal::statuses(dir.read(id(run)).unwrap()).unwrap();
        }
        journals += 1;
    }
    let requests = server.requests();
    let mut by_run: BTreeMap<usize, Vec<&String>> = BTreeMap::new();
    for request in &requests {
        by_run.entry(place(request)[0]).or_default().push(request);
    }
    let runs = journals * RUNS;
    let repeated: usize = (0..runs).map(|run| testify(&by_run[&run], run)).sum();
    println!(
        "{killed} kills of a process with {RUNS} runs of {TURNS} turns x {CALLS} calls in one journal, {runs} runs: \
         0 lost, 0 doubled; {repeated} calls in flight were made again with their key"
    );
    assert!(killed > 0);
}
