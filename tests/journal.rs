//! Nothing acknowledged is lost and nothing finished runs twice, whenever the process dies.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::Value;

use host::journal::{
    Durability, Entry, Event, Finished, JournalStore, MemoryStore, RunFile, RunsDir, SledStore, Started,
};
use host::message::{Json, Outcome, Request, RunId, Slot, ToolAsk, ToolOutcome, Trace, Usage};

use crate::support::{Agent, Ran, tool_output};

const SCRIPT: &str = r#"
[[reply]]
calls = [{ name = "echo", input = { value = 1 } }, { name = "echo", input = { value = 2 } }, { name = "counter" }]

[[reply]]
expect = ["echo: 2"]
calls = [{ name = "echo", input = { value = 3 } }]

[[reply]]
expect = ["echo: 3"]
text = "the end"
"#;

/// What is recorded of each slot: its attempts, and its end if it has one.
fn slots(agent: &Agent) -> BTreeMap<String, (u64, Value)> {
    let report = |report: Value| {
        let slot = report["slot"].as_str().unwrap().to_owned();
        (slot, (report["attempt"].as_u64().unwrap(), report["finished"].clone()))
    };
    agent.show().into_iter().map(report).collect()
}

/// Kills a run at the n-th commit, at one of the points of a commit, and resumes it. Says whether the run
/// was killed at all.
fn kill_and_resume(point: &str, nth: usize) -> bool {
    let agent = Agent::scripted(SCRIPT).guest("hostile");
    let failpoint = format!("{point}={nth}*off->1*return");
    let killed = agent.command(&["run"]).env("FAILPOINTS", failpoint).output().unwrap();
    if killed.status.success() {
        return false;
    }
    assert_eq!(killed.status.signal(), Some(9), "{}", String::from_utf8_lossy(&killed.stderr));
    let listed: Value = serde_json::from_str(&agent.host(&["runs", "--json"]).ok().stdout).unwrap();
    let sealing = matches!(point, "journal-before-seal" | "journal-before-remove");
    let before = slots(&agent);
    if !before.is_empty() {
        assert_eq!(listed[0]["state"], if sealing { "answered" } else { "interrupted" });
    }
    let resumed = agent.host(&["resume", "last"]);
    if before.is_empty() {
        // Killed before the manifest was durable: nothing was begun, and the message says so.
        resumed.exits(2).says("interrupted before it began");
        return true;
    }
    assert_eq!(resumed.ok().stdout, "the end\n", "{point} at commit {nth}");
    let after = slots(&agent);
    for (slot, (attempts, finished)) in before.iter().filter(|(_, (_, finished))| !finished.is_null()) {
        assert_eq!(&after[slot], &(*attempts, finished.clone()), "{slot} had ended and is as it was");
    }
    assert_eq!(after.len(), 8, "the run, 3 replies, 4 calls");
    agent.host(&["replay", "last"]).ok();
    sealed(&agent);
    true
}

/// All that is left of an agent's only run is one file.
fn sealed(agent: &Agent) {
    agent.host(&["journal", "compact"]).ok();
    let names = std::fs::read_dir(agent.state().join("runs")).unwrap().map(|it| it.unwrap().file_name());
    let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    assert!(matches!(names.as_slice(), [name] if name.ends_with(".jsonl.gz")), "{names:?}");
}

#[test]
fn a_kill_at_every_write_loses_nothing_and_repeats_nothing() {
    for point in
        ["journal-before-write", "journal-before-sync", "journal-before-insert", "journal-before-ack"]
    {
        let kills = (0..100).take_while(|nth| kill_and_resume(point, *nth)).count();
        // Begin, 3 replies, the end, and the two turns' calls, which share commits as they fall.
        assert!((7..=9).contains(&kills), "{point}: killed at {kills} commits");
    }
}

#[test]
fn a_kill_while_a_run_is_opened_or_sealed_loses_nothing() {
    for point in ["journal-before-index", "journal-before-seal", "journal-before-remove"] {
        assert_eq!((0..9).take_while(|nth| kill_and_resume(point, *nth)).count(), 1, "{point}");
    }
}

#[test]
fn a_kill_at_every_write_of_a_recovery_loses_nothing_either() {
    let points = [
        "journal-before-write",
        "journal-before-sync",
        "journal-before-insert",
        "journal-before-ack",
        "journal-before-index",
    ];
    for (point, first) in points.into_iter().zip([3, 4, 2, 3, 4]) {
        let agent = Agent::scripted(SCRIPT).guest("hostile");
        let kill = |command: &str, point: &str, nth: usize| {
            let mut command = agent.command(&[command]);
            let command =
                if command.get_args().any(|it| it == "resume") { command.arg("last") } else { &mut command };
            let killed = command.env("FAILPOINTS", format!("{point}={nth}*off->1*return")).output().unwrap();
            killed.status.signal() == Some(9)
        };
        assert!(kill("run", "journal-before-ack", first));
        let before = slots(&agent);
        // Every recovery is killed, one commit later each time, until one gets through.
        let kills = (0..20).take_while(|nth| kill("resume", point, *nth)).count();
        assert!(kills >= 1, "{point}");
        let after = slots(&agent);
        for (slot, (attempts, finished)) in before.iter().filter(|(_, (_, finished))| !finished.is_null()) {
            assert_eq!(&after[slot], &(*attempts, finished.clone()), "{slot} had ended and is as it was");
        }
        assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "the end\n");
        sealed(&agent);
    }
}

#[test]
fn the_index_may_be_anything_when_a_run_is_resumed() {
    let agent = Agent::scripted(SCRIPT).guest("hostile");
    let failpoint = "journal-before-ack=4*off->1*return";
    assert!(!agent.command(&["run"]).env("FAILPOINTS", failpoint).output().unwrap().status.success());
    let run = std::fs::read_dir(agent.state().join("runs")).unwrap().next().unwrap().unwrap().path();
    let index = run.join("journal/index");
    for file in ["db", "conf", "snap.0000000000000000"] {
        std::fs::write(index.join(file), vec![0xa5; 100_000]).unwrap();
    }
    assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "the end\n");
    agent.host(&["replay", "last"]).ok();
}

#[test]
fn a_full_disk_stops_the_run_and_loses_nothing() {
    // Each result is large, so the file meets the limit in the middle of the run. A limit on file size
    // fails a write as a full disk does, and needs no disk.
    let reply = "[[reply]]\ncalls = [{ name = \"big_output\", input = { bytes = 300000 } }]\n";
    let script = format!("{}\n[[reply]]\ntext = \"the end\"", reply.repeat(6));
    let agent = Agent::scripted(&script).guest("hostile");
    agent.host(&["check"]).ok();
    let run = agent.command(&["run"]);
    let mut limited = Command::new("bash");
    let program = format!("trap '' XFSZ; ulimit -f 1400; exec {:?} run", run.get_program());
    limited.args(["-c", &program]).current_dir(agent.dir.path()).stdin(Stdio::null());
    for (key, value) in run.get_envs() {
        if let Some(value) = value {
            limited.env(key, value);
        }
    }
    let full: Ran = limited.output().unwrap().into();
    full.exits(1).says("the journal stopped: ").says("host resume");
    let before = slots(&agent);
    let ended = before.values().filter(|(_, finished)| !finished.is_null()).count();
    assert!(ended >= 2, "some results were acknowledged before the disk was full: {ended}");
    assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "the end\n");
    let after = slots(&agent);
    for (slot, (attempts, finished)) in before.iter().filter(|(_, (_, finished))| !finished.is_null()) {
        assert_eq!(&after[slot], &(*attempts, finished.clone()), "{slot}");
    }
}

#[test]
fn after_a_write_or_a_sync_that_failed_nothing_more_is_acknowledged() {
    for fault in ["journal-write-fails", "journal-sync-fails"] {
        for nth in 0..7 {
            let agent = Agent::scripted(SCRIPT).guest("hostile");
            // It fails once; whatever is tried after that would succeed.
            let failed = agent
                .command(&["run"])
                .env("FAILPOINTS", format!("{fault}={nth}*off->1*return"))
                .output()
                .unwrap();
            let failed = Ran::from(failed);
            failed.exits(1).says("the journal stopped: Input/output error");
            let before = slots(&agent);
            if before.is_empty() {
                continue;
            }
            assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "the end\n", "{fault} at {nth}");
            let after = slots(&agent);
            for (slot, (attempts, finished)) in before.iter().filter(|(_, (_, finished))| !finished.is_null())
            {
                assert_eq!(&after[slot], &(*attempts, finished.clone()), "{slot} had ended and is as it was");
            }
            agent.host(&["replay", "last"]).ok();
        }
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let agent = Agent::scripted(SCRIPT).guest("hostile");
    std::fs::write(agent.dir.path().join("file"), "").unwrap();
    let run = agent.command(&["run"]).env("HOST_STATE", agent.dir.path().join("file")).output().unwrap();
    Ran::from(run).exits(1).says("cannot write the journal in ").says("choose another with --state DIR");
}

#[test]
fn one_process_has_a_run_at_a_time() {
    let script =
        "[[reply]]\ncalls = [{ name = \"slow\", input = { spin_ms = 4000 } }]\n[[reply]]\ntext = \"ok\"";
    let agent = Agent::scripted(script).guest("hostile");
    agent.host(&["check"]).ok();
    let mut child = agent.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let in_use = format!("is in use by process {}", child.id());
    agent.host(&["resume", "last"]).exits(1).says(&in_use);
    agent.host(&["replay", "last"]).exits(1).says("the recording ends at tool(0,0)");
    let listed: Value = serde_json::from_str(&agent.host(&["runs", "--json"]).ok().stdout).unwrap();
    assert_eq!(listed[0]["state"], "running");
    assert!(child.wait().unwrap().success());
}

fn entries(run: RunId, output: &str) -> Vec<Entry> {
    let request = Request::Tool(ToolAsk {
        name: "echo".to_owned(),
        arguments: host::message::Arguments::Json(Json::empty_object()),
        target: None,
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
    };
    vec![
        Entry {
            run,
            slot: slot.clone(),
            event: Event::Started(Started { attempt: 1, at_ms: 1, digest, request, kept: None }),
        },
        Entry { run, slot, event: Event::Finished(finished) },
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
