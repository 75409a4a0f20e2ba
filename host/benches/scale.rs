//! What many runs and long ones cost: recovery, listing, space on disk. Takes a few minutes; `-- QUICK` a tenth.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    reason = "a benchmark may panic, prints, and documents nothing"
)]

mod common;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use host::journal::{
    Durability, Entry, Event, Finished, JournalStore as _, OpenRun, RunFile, RunState, RunSummary, Runs as _,
    RunsDir, SledStore, Started,
};
use host::message::{
    Arguments, Digest, Json, Outcome, Request, RunId, Slot, ToolAsk, ToolOutcome, Trace, Usage,
};

use common::root;

fn main() {
    let quick = std::env::args().any(|argument| argument == "QUICK");
    let scale = if quick { 10 } else { 1 };
    let target = root().join("target");
    recovery(&tempfile::tempdir_in(&target).unwrap(), 1_000_000 / scale);
    ended_runs_behind(&tempfile::tempdir_in(&target).unwrap(), 1_000_000 / scale);
    let state = tempfile::tempdir_in(&target).unwrap();
    let file = small_run(&state);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(listing(&state, &file, 10_000 / scale));
    runtime.block_on(space(&state, &file, 100_000 / scale));
}

/// The command `host`, built now if it is not.
fn binary() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--profile=bench", "--package=host", "--message-format=json"])
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let lines = String::from_utf8(built.stdout).unwrap();
    let executable = lines.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executable.unwrap()
}

/// One call's two events.
fn call(run: RunId, turn: u32, index: u32) -> [Entry; 2] {
    let arguments = Arguments::parse("{\"city\":\"San Francisco\"}");
    let request =
        Request::Tool(ToolAsk { name: "get_weather".to_owned(), arguments, target: None, client_id: None });
    let (slot, digest) = (Slot::tool(turn, index), Digest::of(b"request"));
    let outcome = Json::parse("{\"conditions\":\"foggy\",\"temperature_celsius\":15}".to_owned()).unwrap();
    let (attempt, usage, trace) = (1, Usage::default(), Trace::default());
    let started = Started { attempt, at_ms: 1, digest, request, kept: None, by: None };
    let outcome = Outcome::Tool(ToolOutcome::Output(outcome));
    let finished = Finished { attempt, at_ms: 2, outcome, usage, trace, settled: false, by: None };
    [Event::Started(started), Event::Finished(finished)].map(|event| Entry::new(run, slot.clone(), event))
}

/// A journal whose commits hold ten records each, which is a turn of five calls.
fn recovery(directory: &tempfile::TempDir, records: u32) {
    let (run, store) = (RunId::new(), SledStore::open(directory.path()).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for turn in 0..records / 10 {
        let entries: Vec<Entry> = (0..5).flat_map(|index| call(run, turn, index)).collect();
        let (last, rest) = entries.split_last().unwrap();
        for entry in rest {
            drop(store.append(entry, Durability::WithNext));
        }
        runtime.block_on(store.append(last, Durability::Now).durable()).unwrap();
    }
    drop(store);
    let clock = Instant::now();
    let store = SledStore::open(directory.path()).unwrap();
    let opened = clock.elapsed();
    let read = Arc::new(store).read(run).unwrap().len();
    println!(
        "recovery of a journal with {read} records: opened after {:.2} s, all read after {:.2} s",
        opened.as_secs_f64(),
        clock.elapsed().as_secs_f64()
    );
}

/// How many events a run has that has ended, and how many at a time are recorded of one to see how fast that is.
const RUN_EVENTS: u32 = 1_000;

/// A journal in which runs with so many events have ended, one after the other, beside one that waits.
fn ended_runs_behind(state: &tempfile::TempDir, events: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let directory = RunsDir::new(state.path());
    let waits = directory.create(RunId::new()).unwrap();
    record(&runtime, &waits, 10);
    drop(waits);
    let mut times = Vec::new();
    for _ in 0..events / RUN_EVENTS {
        let run = directory.create(RunId::new()).unwrap();
        let clock = Instant::now();
        record(&runtime, &run, RUN_EVENTS);
        times.push(clock.elapsed().as_secs_f64());
        let (agent, prompt) = ("a".to_owned(), "go".to_owned());
        let summary = RunSummary {
            run: run.id,
            agent,
            prompt,
            started_ms: 1,
            state: RunState::Answered,
            session: None,
            order: None,
            before: None,
            outside: false,
        };
        run.seal(&summary).unwrap();
    }
    drop(directory);
    let clock = Instant::now();
    let directory = RunsDir::new(state.path());
    let waits = directory.open(directory.list().unwrap().runs[0].run);
    drop(waits);
    let run = directory.create(RunId::new()).unwrap();
    let opened = clock.elapsed().as_secs_f64() * 1e3;
    let clock = Instant::now();
    record(&runtime, &run, RUN_EVENTS);
    let after = clock.elapsed().as_secs_f64();
    let rate = |seconds: f64| f64::from(RUN_EVENTS) / seconds;
    let first: f64 = times.iter().take(10).sum::<f64>() / 10.0;
    println!(
        "{events} events of ended runs behind it: listed, opened and begun after {opened:.0} ms; {:.0} events a \
         second, and {:.0} at first",
        rate(after),
        rate(first)
    );
}

/// Records events of a run, ten a commit.
fn record(runtime: &tokio::runtime::Runtime, run: &OpenRun, events: u32) {
    for turn in 0..events / 10 {
        let entries: Vec<Entry> = (0..5).flat_map(|index| call(run.id, turn, index)).collect();
        let (last, rest) = entries.split_last().unwrap();
        for entry in rest {
            drop(run.store.append(entry, Durability::WithNext));
        }
        runtime.block_on(run.store.append(last, Durability::Now).durable()).unwrap();
    }
}

/// The weather example, carried out once.
fn small_run(state: &tempfile::TempDir) -> RunFile {
    let ran = Command::new(binary())
        .args(["run", "examples/weather/agent.toml"])
        .current_dir(root())
        .env("HOST_STATE", state.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(ran.success());
    let runs = RunsDir::new(state.path());
    let id = runs.find("last").unwrap();
    RunFile { summary: runs.summary(id).unwrap().unwrap(), entries: runs.read(id).unwrap() }
}

/// The same run under another id.
fn again(file: &RunFile) -> RunFile {
    let mut file = file.clone();
    file.summary.run = RunId::new();
    file
}

async fn listing(state: &tempfile::TempDir, file: &RunFile, runs: u32) {
    let directory = RunsDir::new(state.path());
    for _ in 1..runs {
        directory.import(&again(file)).await.unwrap();
    }
    let host = binary();
    let mut times: Vec<f64> = (0..5)
        .map(|_| {
            let clock = Instant::now();
            let listed = Command::new(&host).arg("runs").env("HOST_STATE", state.path()).output().unwrap();
            assert_eq!(String::from_utf8(listed.stdout).unwrap().lines().count(), runs as usize);
            clock.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("`host runs` over {runs} runs: {:.0} ms", times[2] * 1e3);
}

async fn space(state: &tempfile::TempDir, file: &RunFile, runs: u32) {
    let directory = RunsDir::new(state.path());
    let there = directory.ids().unwrap().len();
    for _ in there..runs as usize {
        directory.import(&again(file)).await.unwrap();
    }
    let size = |path: &Path| std::fs::metadata(path).unwrap().blocks() * 512;
    let entries = std::fs::read_dir(directory.path()).unwrap().flatten();
    let disk: u64 = entries.map(|entry| size(&entry.path())).sum::<u64>() + size(directory.path());
    let payload: usize =
        file.entries.iter().map(|entry| serde_json::to_vec(&entry.event).unwrap().len()).sum();
    #[allow(clippy::cast_precision_loss, reason = "shown to three digits")]
    let (disk, payload) = (disk as f64 / f64::from(runs), payload as f64);
    println!(
        "{runs} runs of {payload:.0} bytes of events: {disk:.0} bytes of disk each, {:.2} x the payload",
        disk / payload
    );
}
