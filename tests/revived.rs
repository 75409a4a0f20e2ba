//! Runs that somebody cancelled, and that go on all the same: as they stood, with what was said of them on record.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use futures::StreamExt as _;
use host::engine::{Front, NewRun, Outcome, StartError, Terms, Word};
use host::journal::{JournalStore as _, RunState, Runs as _, RunsDir, Seq, number};
use host::message::{Cancelled, Ending, RunId, Slot};
use serde_json::Value;

use crate::approval::{ASK_NEW_YORK, asking};
use crate::engine::{ada, engine, load, runtime};
use crate::support::{Agent, Ran};

/// A run that waited for a person when it was cancelled.
fn cancelled() -> Agent {
    let agent = asking(ASK_NEW_YORK);
    agent.host(&["run"]).exits(3);
    agent.host(&["cancel", "last", "--reason", "too late"]).ok();
    agent
}

fn state(agent: &Agent) -> String {
    let listed: Value = serde_json::from_str(&agent.host(&["runs", "--json"]).ok().stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    listed[0]["state"].as_str().unwrap().to_owned()
}

fn run_of(agent: &Agent) -> RunId {
    RunsDir::new(&agent.state()).find("last").unwrap()
}

fn revivals(agent: &Agent) -> Vec<Value> {
    let shown = agent.show();
    let run = shown.iter().find(|report| report["slot"] == "run").unwrap();
    run["revivals"].as_array().cloned().unwrap_or_default()
}

/// The run goes on to its end, as one that nobody cancelled.
fn goes_on_to_its_end(agent: &Agent) {
    agent.host(&["approve", "last"]).ok();
    assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "done\n");
    assert_eq!(agent.host(&["replay", "last"]).ok().stdout, "done\n");
    agent.host(&["journal", "verify"]).ok();
    agent.host(&["journal", "compact"]).ok();
    assert_eq!(state(agent), "answered");
    let left: Vec<_> = fs::read_dir(agent.state().join("journal")).unwrap().map(|it| it.unwrap()).collect();
    assert!(left.iter().all(|it| it.file_name() == "lock"), "{left:?}");
}

#[test]
fn a_cancelled_run_goes_on_where_it_stood_and_its_end_stays_recorded() {
    let agent = cancelled();
    let runs = RunsDir::new(&agent.state());
    let run = runs.find("last").unwrap();
    let before = runs.read(run).unwrap();
    agent.host(&["resume", "last"]).exits(1).says("cancelled by");
    for times in 1..3 {
        assert_eq!(state(&agent), "cancelled");
        agent.host(&["resume", "last", "--again"]).exits(3).says("waits for approval");
        assert_eq!(state(&agent), "suspended");
        agent.host(&["resume", "last", "--again"]).exits(2).says("was not cancelled");
        assert_eq!(revivals(&agent).len(), times);
        if times == 1 {
            agent.host(&["cancel", "last"]).ok();
        }
    }
    let shown = agent.host(&["runs", "show", "last"]).ok().stdout.clone();
    assert!(shown.contains("(terminal): too late") && shown.contains("revived by"), "{shown}");
    let first = &revivals(&agent)[0];
    assert_eq!(first["cancelled"]["reason"], "too late");
    assert_eq!(
        (&first["by"]["through"], &first["cancelled"]["by"]["through"]),
        (&"terminal".into(), &"terminal".into())
    );
    assert!(first["at_ms"].as_u64() >= first["cancelled_ms"].as_u64());
    goes_on_to_its_end(&agent);
    agent.host(&["resume", "last", "--again"]).exits(2).says("was not cancelled");
    let after = runs.read(run).unwrap();
    assert!(before.iter().all(|entry| after.contains(entry)), "no event has changed, nor its number");

    let file = agent.dir.path().join("run.jsonl");
    agent.host(&["journal", "export", "last", "-o", file.to_str().unwrap()]).ok();
    let elsewhere = Agent::raw("version = 1");
    elsewhere.host(&["journal", "import", file.to_str().unwrap()]).ok();
    assert_eq!(elsewhere.host(&["replay", "last"]).ok().stdout, "done\n");
    assert_eq!(revivals(&elsewhere).len(), 2);
}

/// So small that each commit begins another segment, and few of them stay.
const SMALLEST: &str = "journal-segment-bytes=return(1);journal-small-segments=return(1)";

/// Until the file of the run goes, the journal can do without the run, but for who revives it.
#[test]
fn a_run_is_revived_whose_segments_end_meanwhile() {
    let agent = cancelled();
    let before = RunsDir::new(&agent.state()).read(run_of(&agent)).unwrap();
    for _ in 0..2 {
        let mut again = agent.command(&["resume", "last", "--again"]);
        let ran = Ran::from(again.env("FAILPOINTS", SMALLEST).output().unwrap());
        ran.exits(3).says("waits for approval");
        agent.host(&["journal", "verify"]).ok();
        agent.host(&["cancel", "last"]).ok();
    }
    agent.host(&["resume", "last", "--again"]).exits(3);
    goes_on_to_its_end(&agent);
    let after = RunsDir::new(&agent.state()).read(run_of(&agent)).unwrap();
    assert!(before.iter().all(|entry| after.contains(entry)));
}

/// Where a process finds the state directory in which it revives the last run.
const REVIVES: &str = "HOST_TEST_REVIVES";

#[test]
#[ignore = "a process of the test beside it"]
fn reviver() {
    let Some(state) = std::env::var_os(REVIVES) else { return };
    let _failpoints = fail::FailScenario::setup();
    runtime().block_on(async {
        let runs = RunsDir::new(Path::new(&state));
        let open = runs.reopen(runs.find("last").unwrap()).await.unwrap();
        // With this commit the segment ends in which the run stands.
        let beside = runs.create(RunId::new()).unwrap();
        println!("\nreopened");
        std::io::stdin().read_line(&mut String::new()).unwrap();
        open.unseal().await.unwrap();
        open.leave().await;
        beside.leave().await;
    });
}

/// While one process has a run go on once more, another one clears away what nobody needs.
#[test]
fn what_a_run_needs_stays_while_another_process_revives_it() {
    let agent = cancelled();
    let run = run_of(&agent);
    let before = RunsDir::new(&agent.state()).read(run).unwrap();
    let mut reviver = Command::new(std::env::current_exe().unwrap())
        .args(["revived::reviver", "--exact", "--ignored", "--nocapture", "--test-threads", "1"])
        .env(REVIVES, agent.state())
        .env("FAILPOINTS", SMALLEST)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(reviver.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "reopened"));
    assert_eq!(state(&agent), "cancelled");
    agent.host(&["resume", &run.to_string(), "--again"]).exits(1).says("is in use by process");
    agent.host(&["journal", "compact"]).ok();
    writeln!(reviver.stdin.take().unwrap()).unwrap();
    assert!(reviver.wait().unwrap().success(), "{:?}", lines.collect::<Vec<_>>());
    let runs = RunsDir::new(&agent.state());
    assert!(!runs.is_sealed(run));
    assert_eq!(runs.read(run).unwrap(), before);
    agent.host(&["journal", "verify"]).ok();
    agent.host(&["resume", &run.to_string(), "--again"]).exits(3);
    assert_eq!(state(&agent), "suspended");
}

/// The segment that an engine writes still has what a run was before another process ended it; of the run that it
/// revives, that does not count.
#[test]
fn an_engine_revives_a_run_that_it_gave_back_and_another_process_cancelled() {
    let agent = asking(ASK_NEW_YORK);
    runtime().block_on(async {
        let engine = engine(&agent);
        let loaded = load(&engine, &agent).await;
        let terms = |again| Terms { agent: Some(loaded.clone()), again, ..Terms::default() };
        let start = || {
            let new = NewRun::new(loaded.clone(), "go on").session(Some("ada".parse().unwrap()));
            engine.start(new, Front::default())
        };
        let approve = || vec![(Slot::tool(0, 0), Word::Approve { input: None, always: false })];
        let suspended = async || {
            let mut run = start().await.unwrap();
            assert!(matches!(run.outcome().await, Outcome::Suspended(_)));
            let id = run.id();
            run.close().await;
            id
        };
        for _ in 0..2 {
            let run = suspended().await;
            engine.decide(run, approve(), None).await.unwrap();
            let mut ended = engine.resume(run, terms(false), Front::default()).await.unwrap();
            assert!(matches!(ended.outcome().await, Outcome::Ended { ending: Ending::Answer(_), .. }));
            ended.close().await;
        }
        // What was said before this one is recorded with the runs before, and when it is revived with the run itself.
        let run = suspended().await;
        let before = engine.runs().read(run).unwrap();
        assert!(host::journal::manifest(&before).unwrap().before.is_some());
        for _ in 0..2 {
            tokio::task::block_in_place(|| {
                agent.host(&["cancel", &run.to_string()]).ok();
            });
            let before = engine.runs().read(run).unwrap();
            let mut again = engine.resume(run, terms(true), Front::default()).await.unwrap();
            assert!(matches!(again.outcome().await, Outcome::Suspended(_)));
            again.close().await;
            let after = engine.runs().read(run).unwrap();
            assert_eq!(after.len(), before.len() + 1, "it went on once more");
        }
        engine.decide(run, approve(), None).await.unwrap();
        let mut ended = engine.resume(run, terms(false), Front::default()).await.unwrap();
        assert!(matches!(ended.outcome().await, Outcome::Ended { ending: Ending::Answer(_), .. }));
    });
    agent.host(&["replay", "last"]).ok();
    agent.host(&["journal", "verify"]).ok();
}

/// A kill at every write, and on both sides of the moment from which on the journal counts: the run is cancelled, or it
/// goes on, and it was revived once. Where each commit begins another segment, too.
#[test]
fn a_kill_while_a_run_is_revived_leaves_it_cancelled_or_going_on() {
    let points = [
        ("journal-before-write", ""),
        ("journal-before-sync", ""),
        ("journal-before-ack", ""),
        ("journal-after-hold", ""),
        ("journal-before-unseal", ""),
        ("journal-after-unseal", ""),
        ("journal-before-write", SMALLEST),
        ("journal-before-unseal", SMALLEST),
    ];
    for (point, segments) in points {
        let kills = (0..20).take_while(|nth| {
            let agent = cancelled();
            let failpoint = format!("{segments};{point}={nth}*off->1*return");
            let mut again = agent.command(&["resume", "last", "--again"]);
            let killed = again.env("FAILPOINTS", failpoint).output().unwrap();
            if killed.status.code().is_some() {
                return false;
            }
            let goes_on = state(&agent) != "cancelled";
            assert!(!goes_on || point != "journal-before-unseal", "its file counts until it is gone");
            assert!(goes_on || point != "journal-after-unseal");
            if goes_on {
                agent.host(&["resume", "last"]).exits(3);
            } else {
                agent.host(&["resume", "last"]).exits(1).says("cancelled by");
                if nth % 2 == 0 {
                    agent.host(&["journal", "compact"]).ok();
                    assert_eq!(state(&agent), "cancelled");
                }
                agent.host(&["resume", "last", "--again"]).exits(3);
            }
            assert_eq!(revivals(&agent).len(), 1, "{point} at {nth}");
            goes_on_to_its_end(&agent);
            true
        });
        assert!(kills.count() >= 1, "{point}");
    }
}

#[test]
fn a_revival_that_is_refused_leaves_the_run_cancelled() {
    let agent = cancelled();
    let file = RunsDir::new(&agent.state());
    let before = file.read(file.find("last").unwrap()).unwrap();
    let toml = fs::read_to_string(agent.toml()).unwrap();
    fs::write(
        agent.toml(),
        toml.replace("go on", "go on, but elsewhere").replace("[agent]", "[agent]\ninstructions = \"New.\""),
    )
    .unwrap();
    agent.host(&["resume", "last", "--again"]).exits(6);
    assert_eq!(state(&agent), "cancelled");
    agent.host(&["journal", "compact"]).ok();
    agent.host(&["journal", "verify"]).ok();
    assert_eq!(file.read(file.find("last").unwrap()).unwrap(), before);
    agent.host(&["resume", "last", "--again", "--accept-changes"]).exits(3);
    assert_eq!(state(&agent), "suspended");
}

/// All of it in one engine, whose own segment holds what the run was before, and with other runs beside it.
#[test]
fn one_engine_cancels_a_run_and_revives_it() {
    let agent = asking(ASK_NEW_YORK);
    runtime().block_on(async {
        let engine = engine(&agent);
        let loaded = load(&engine, &agent).await;
        let begin = || engine.start(NewRun::new(loaded.clone(), "go on"), Front::default());
        let mut beside = begin().await.unwrap();
        assert!(matches!(beside.outcome().await, Outcome::Suspended(_)));
        let mut run = begin().await.unwrap();
        let id = run.id();
        assert!(matches!(run.outcome().await, Outcome::Suspended(_)));
        run.close().await;
        let terms = |again| Terms { agent: Some(loaded.clone()), by: Some(ada()), again, ..Terms::default() };
        let refused = engine.resume(id, terms(true), Front::default()).await;
        assert!(matches!(refused.err(), Some(StartError::NotCancelled { run }) if run == id));
        for _ in 0..3 {
            engine.cancel(id, Cancelled { by: Some(ada()), reason: None }).await.unwrap();
            assert!(engine.runs().is_sealed(id));
            let mut ended = engine.resume(id, terms(false), Front::default()).await.unwrap();
            assert!(matches!(ended.outcome().await, Outcome::Ended { ending: Ending::Cancelled(_), .. }));
            let mut run = engine.resume(id, terms(true), Front::default()).await.unwrap();
            assert!(matches!(run.outcome().await, Outcome::Suspended(_)));
            run.close().await;
            assert!(!engine.runs().is_sealed(id));
            assert_eq!(engine.runs().summary(id).unwrap().unwrap().state, RunState::Suspended);
        }
        let events = engine.attach(id, Seq::default());
        let word = Word::Approve { input: None, always: false };
        engine.decide(id, vec![(Slot::tool(0, 0), word)], Some(ada())).await.unwrap();
        let mut run = engine.resume(id, terms(false), Front::default()).await.unwrap();
        assert!(matches!(run.outcome().await, Outcome::Ended { ending: Ending::Answer(_), .. }));
        let told: Vec<_> = events.map(Result::unwrap).collect().await;
        let numbers: Vec<u64> = told.iter().filter_map(|event| event.seq).map(|seq| seq.0).collect();
        let mut whole = engine.runs().read(id).unwrap();
        assert_eq!(numbers, (1..=whole.len() as u64).collect::<Vec<_>>());
        let numbered = whole.clone();
        number(&mut whole);
        assert_eq!(whole, numbered);
        assert!(engine.runs().open(beside.id()).unwrap().store.read(beside.id()).unwrap().len() > 4);
    });
    agent.host(&["journal", "verify"]).ok();
}
