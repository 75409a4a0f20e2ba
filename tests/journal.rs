//! What is written to a journal comes back, and is what is asked for again.

use std::sync::Arc;

use host::journal::{
    Durability, Entry, Event, Finished, JournalStore, MemoryStore, RunFile, Runs as _, RunsDir, SledStore,
    Started,
};
use host::message::{Json, Outcome, Request, RunId, Slot, ToolAsk, ToolOutcome, Trace, Usage};

use crate::kills::SCRIPT;
use crate::support::{Agent, Ran, tool_output};

fn entries(run: RunId, output: &str) -> Vec<Entry> {
    let request = Request::Tool(ToolAsk {
        name: "echo".to_owned(),
        arguments: host::message::Arguments::Json(Json::empty_object()),
        target: None,
        client_id: None,
    });
    let (slot, digest) = (Slot::tool(0, 0), request.digest());
    let outcome = Outcome::Tool(ToolOutcome::Output(Json::parse(output.to_owned()).unwrap()));
    let finished = Finished {
        attempt: 1,
        at_ms: 2,
        outcome,
        usage: Usage::default(),
        trace: Trace::default(),
        settled: false,
        by: None,
    };
    vec![
        Entry::new(
            run,
            slot.clone(),
            Event::Started(Started { attempt: 1, at_ms: 1, digest, request, kept: None, by: None }),
        ),
        Entry::new(run, slot, Event::Finished(finished)),
    ]
}

async fn round_trip(store: &dyn JournalStore, output: &str) {
    let (one, other) = (RunId::new(), RunId::new());
    let (first, second) = (entries(one, output), entries(other, "true"));
    for entry in first.iter().chain(&second) {
        store.append(entry, Durability::Now).durable().await.unwrap();
    }
    assert_eq!(store.read(one).unwrap(), first);
    assert_eq!(store.read(other).unwrap(), second);
    let mut runs = [one, other];
    runs.sort();
    let stored = store.runs().unwrap();
    assert!(runs.iter().all(|run| stored.contains(run)));
}

#[tokio::test]
async fn records_of_every_size_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let sled = SledStore::open(dir.path()).unwrap();
    let memory = MemoryStore::default();
    for size in [0, 1, 65_000, 65_536, 200_000, 5_000_000] {
        let output = format!("\"{}\"", "x".repeat(size));
        round_trip(&sled, &output).await;
        round_trip(&memory, &output).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_are_all_acknowledged_and_all_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SledStore::open(dir.path()).unwrap());
    let writers = (0..64).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let run = RunId::new();
            for entry in entries(run, "[1,2,3]") {
                store.append(&entry, Durability::Now).durable().await.unwrap();
            }
            run
        })
    });
    let mut runs = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        runs.push(writer.await.unwrap());
    }
    drop(store);
    let store = SledStore::open(dir.path()).unwrap();
    for run in runs {
        assert_eq!(store.read(run).unwrap(), entries(run, "[1,2,3]"));
    }
}

/// What the agent's only run recorded, to be altered.
fn recorded(agent: &Agent) -> RunFile {
    let runs = RunsDir::new(&agent.state());
    let id = runs.find("last").unwrap();
    RunFile { summary: runs.summary(id).unwrap().unwrap(), entries: runs.read(id).unwrap() }
}

/// Replays a run from a file.
fn replay(agent: &Agent, run: &RunFile) -> Ran {
    let path = agent.dir.path().join("altered.jsonl");
    run.write(&mut std::fs::File::create(&path).unwrap()).unwrap();
    agent.host(&["replay", path.to_str().unwrap()])
}

#[test]
fn a_recorded_request_that_was_altered_is_a_divergence() {
    let agent = Agent::scripted(SCRIPT).guest("hostile");
    agent.host(&["run"]).ok();
    let mut run = recorded(&agent);
    let altered = run.entries.iter_mut().find(|entry| entry.slot == Slot::tool(0, 1)).unwrap();
    if let Event::Started(started) = &mut altered.event
        && let Request::Tool(ask) = &mut started.request
    {
        ask.arguments = host::message::Arguments::parse("{\"value\":20}");
        started.digest = started.request.digest();
    }
    replay(&agent, &run)
        .exits(6)
        .says("diverged at tool(0,1)")
        .says("-        \"value\": 20\n+        \"value\": 2\n");
    assert_eq!(tool_output(&agent.show(), "tool(0,1)"), 2);
}

#[test]
fn a_slot_nobody_asks_for_is_a_divergence() {
    let agent = Agent::scripted(SCRIPT).guest("hostile");
    agent.host(&["run"]).ok();
    let mut run = recorded(&agent);
    let extra =
        entries(run.summary.run, "1").into_iter().map(|entry| Entry { slot: Slot::tool(7, 0), ..entry });
    run.entries.extend(extra);
    replay(&agent, &run).exits(6).says("1 recorded slots were not asked for").says("tool(7,0)");
}

/// Runs that ended without being sealed: their process was killed at that.
#[test]
fn a_run_that_cannot_be_sealed_keeps_no_other_from_it() {
    let agent = Agent::scripted(SCRIPT).guest("hostile");
    for _ in 0..3 {
        let killed =
            agent.command(&["run"]).env("FAILPOINTS", "journal-before-seal=1*return").output().unwrap();
        assert!(killed.status.code().is_none());
    }
    let runs = RunsDir::new(&agent.state());
    let ids = runs.ids().unwrap();
    let in_the_way = runs.path().join(format!("{}.jsonl.gz", ids[1]));
    std::fs::create_dir(&in_the_way).unwrap();
    let compacted = agent.host(&["journal", "compact"]);
    compacted.exits(1).says("2 runs sealed").says(&format!("run {} stays as it is", ids[1]));
    assert_eq!(ids.iter().map(|id| runs.is_sealed(*id)).collect::<Vec<_>>(), [true, false, true]);
    std::fs::remove_dir(&in_the_way).unwrap();
    agent.host(&["journal", "compact"]).ok().says("1 run sealed");
    for id in ids {
        agent.host(&["replay", &id.to_string()]).ok();
    }
}
