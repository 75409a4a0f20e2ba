//! The work of a process of its own: several runs in one journal, each recorded bit by bit, given back in between,
//! taken up again, and sealed. It says what it was told is durable.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use host::journal::{
    Durability, Entry, Event, Finished, JournalError, JournalStore as _, OpenRun, RunState, RunSummary,
    RunsDir, Seq, Started,
};
use host::message::{
    Arguments, Ending, Json, Outcome, Request, RunId, Slot, ToolAsk, ToolOutcome, Trace, Usage,
};

use crate::interleavings::manifest;

/// What a process of this work is told: where, how many runs, and where its random numbers begin.
const WORK: &str = "HOST_TEST_SHARED";

/// How many events a run has.
pub const EVENTS: usize = 14;

/// A process that works on so many runs until all of them are sealed.
pub fn process(state: &Path, runs: usize, seed: u64) -> Command {
    command(state, &format!("{runs} {seed} all"))
}

/// A process that works on one of them for a moment.
pub fn short_process(state: &Path, runs: usize, seed: u64) -> Command {
    command(state, &format!("{runs} {seed} one"))
}

fn command(state: &Path, work: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["shared::work::it", "--exact", "--ignored", "--nocapture", "--test-threads", "1"]);
    command.env(WORK, format!("{work} {}", state.display())).env_remove("FAILPOINTS");
    command
}

#[test]
#[ignore = "a process of the tests beside it"]
fn it() {
    let Some(work) = std::env::var_os(WORK) else { return };
    // Until everything is closed.
    let _failpoints = fail::FailScenario::setup();
    let work = work.into_string().unwrap();
    let mut words = work.splitn(4, ' ');
    let runs: usize = words.next().unwrap().parse().unwrap();
    let seed: u64 = words.next().unwrap().parse().unwrap();
    let mut random = Random(seed);
    let one = (words.next().unwrap() == "one").then(|| usize::try_from(seed).unwrap() % runs);
    let dir = RunsDir::new(&PathBuf::from(words.next().unwrap()));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        if let Some(run) = one {
            return for_a_moment(&dir, run, &mut random).await;
        }
        let tasks: Vec<_> = (0..runs)
            .map(|run| {
                let (dir, random) = (dir.clone(), Random(random.next()));
                tokio::spawn(async move { to_the_end(&dir, run, random).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// A small generator: what is needed is that one seed gives one order of things.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// The id of a run by its number.
pub fn id(run: usize) -> RunId {
    RunId::from_bytes([u8::try_from(run).unwrap() + 1; 16])
}

/// What stands at a place in a run, in the order in which it is recorded.
pub fn entry(run: usize, n: usize) -> Entry {
    let (attempt, at_ms, usage, trace) = (1, 7, Usage::default(), Trace::default());
    let started = |request: Request| {
        let digest = request.digest();
        Event::Started(Started { attempt, at_ms, digest, request, kept: None, by: None })
    };
    let finished = |outcome| {
        Event::Finished(Finished { attempt, at_ms, outcome, usage, trace, settled: false, by: None })
    };
    let (slot, event) = if n == 0 {
        (Slot::RUN, started(Request::Run(Box::new(manifest()))))
    } else if n == EVENTS - 1 {
        (Slot::RUN, finished(Outcome::Run(Ending::Answer(format!("that of run {run}")))))
    } else {
        let slot = Slot::tool(0, u32::try_from((n - 1) / 2).unwrap());
        let arguments = Arguments::parse("{\"n\":1}");
        let ask = ToolAsk { name: "echo".to_owned(), arguments, target: None, client_id: None };
        // Some fit into a sector, some need more than one chunk.
        let size = if n == 6 { 70_000 } else { (run * 131 + n * 977) % 3000 };
        let output = Json::parse(format!("\"{run} {n} {}\"", "x".repeat(size))).unwrap();
        let event = match n % 2 {
            1 => started(Request::Tool(ask)),
            _ => finished(Outcome::Tool(ToolOutcome::Output(output))),
        };
        (slot, event)
    };
    // Whatever happens to the processes that record it, an event has the number of its place.
    let seq = Some(Seq(n as u64 + 1));
    Entry { seq, ..Entry::new(id(run), slot, event) }
}

/// How many of a run's events these are; each has to be as it was recorded.
pub fn recorded(run: usize, entries: &[Entry]) -> usize {
    let expected: Vec<Entry> = (0..EVENTS).map(|n| entry(run, n)).collect();
    let count = expected.iter().take_while(|entry| entries.contains(entry)).count();
    assert_eq!(count, entries.len(), "what is recorded of run {run} is its beginning");
    count
}

/// How a run stands, as it is noted.
pub fn summary(run: usize, state: RunState) -> RunSummary {
    RunSummary {
        run: id(run),
        agent: "a".to_owned(),
        prompt: "go".to_owned(),
        started_ms: 7,
        state,
        session: None,
        order: None,
        before: None,
        outside: false,
    }
}

async fn to_the_end(dir: &RunsDir, run: usize, mut random: Random) {
    while !dir.is_sealed(id(run)) {
        for_a_moment(dir, run, &mut random).await;
    }
}

async fn for_a_moment(dir: &RunsDir, run: usize, random: &mut Random) {
    if dir.is_sealed(id(run)) {
        return;
    }
    let opened = match dir.open(id(run)) {
        Err(JournalError::UnknownRun { .. }) if !dir.is_sealed(id(run)) => dir.create(id(run)),
        opened => opened,
    };
    match opened {
        Ok(open) => work_on(open, run, random).await,
        // Another process works on it, or it is sealed by now.
        Err(JournalError::Locked { .. } | JournalError::UnknownRun { .. }) => tokio::task::yield_now().await,
        Err(error) => panic!("run {run}: {error}"),
    }
}

/// Records some of what is left of a run, and then gives it back or comes to its end.
async fn work_on(open: OpenRun, run: usize, random: &mut Random) {
    let store = Arc::clone(&open.store);
    let mut next = recorded(run, &store.read(id(run)).unwrap());
    open.write_summary(&summary(run, RunState::Running)).unwrap();
    for _ in 0..=random.below(5) {
        if next == EVENTS {
            break;
        }
        if random.below(2) == 0 && next + 1 < EVENTS {
            drop(store.append(&entry(run, next), Durability::WithNext));
            next += 1;
        }
        store.append(&entry(run, next), Durability::Now).durable().await.unwrap();
        next += 1;
        println!("durable {run} {next}");
        tokio::task::yield_now().await;
    }
    assert_eq!(recorded(run, &store.read(id(run)).unwrap()), next);
    drop(store);
    if next == EVENTS {
        open.seal(&summary(run, RunState::Answered)).unwrap();
        println!("sealed {run}");
    } else {
        open.write_summary(&summary(run, RunState::Suspended)).unwrap();
    }
}
