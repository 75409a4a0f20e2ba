//! The events of runs: their numbers, and following a run from any of them on.

use std::collections::BTreeMap;
use std::pin::pin;

use futures::{Stream, StreamExt as _};
use host::engine::{EventKind, Front, NewRun, Outcome, RunEvent, Standing, Terms, Word};
use host::journal::{Entry, JournalError, RunFile, RunState, Runs as _, RunsDir, Seq};
use host::message::{Cancelled, Ending, RunId, Slot};
use host::session::Wants;

use crate::approval::{ASK_NEW_YORK, asking};
use crate::engine::{ada, engine, load, runtime, start_and_be_asked};
use crate::recorded::{INTERRUPTED, fixtures};
use crate::support::{Agent, PATIENCE, copy};

/// The events of a run in the order of their numbers, which have no gap.
fn numbered(entries: &[Entry]) -> Vec<Entry> {
    let mut entries = entries.to_vec();
    entries.sort_by_key(|entry| entry.seq);
    let numbers: Vec<u64> = entries.iter().map(|entry| entry.seq.unwrap().0).collect();
    assert_eq!(numbers, (1..=entries.len() as u64).collect::<Vec<_>>());
    entries
}

fn read(agent: &Agent, run: RunId) -> Vec<RunEvent> {
    let entries = RunsDir::new(&agent.state()).read(run).unwrap();
    numbered(&entries).into_iter().map(RunEvent::from).collect()
}

/// The next event that `wanted` wants.
async fn next<T>(
    events: &mut (impl Stream<Item = Result<RunEvent, JournalError>> + Unpin),
    wanted: impl Fn(&RunEvent) -> Option<T>,
) -> T {
    let found = async {
        loop {
            let event = events.next().await.unwrap().unwrap();
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap()
}

/// Everything that is told of a run to its end.
async fn all(events: impl Stream<Item = Result<RunEvent, JournalError>>) -> Vec<RunEvent> {
    let all = events.map(Result::unwrap).collect::<Vec<_>>();
    tokio::time::timeout(PATIENCE, all).await.unwrap()
}

fn recorded(events: &[RunEvent]) -> Vec<RunEvent> {
    events.iter().filter(|event| event.seq.is_some()).cloned().collect()
}

fn standing(event: &RunEvent) -> Option<Standing> {
    match &event.kind {
        EventKind::Stands(standing) => Some(standing.clone()),
        _ => None,
    }
}

fn in_state(state: RunState) -> impl Fn(&RunEvent) -> Option<Standing> {
    move |event| standing(event).filter(|standing| standing.state == state)
}

/// A thousand calls in one turn.
fn thousand() -> Agent {
    let calls = "{ name = \"echo\", input = { value = 1 } }, ".repeat(1000);
    let script = format!("[[reply]]\ncalls = [{calls}]\n[[reply]]\ntext = \"done\"\n");
    Agent::scripted(&script).guest("hostile")
}

#[test]
fn a_run_is_followed_from_any_of_its_events_on() {
    let agent = asking("");
    agent.host(&["run"]).ok();
    runtime().block_on(async {
        let engine = engine(&agent);
        let run = engine.runs().find("last").unwrap();
        let whole = read(&agent, run);
        assert_eq!(whole.len(), 10, "the run, 2 replies, 2 calls");
        assert_eq!((&whole[0].slot, &whole[9].slot), (&Slot::RUN, &Slot::RUN));
        assert!(matches!((&whole[0].kind, &whole[9].kind), (EventKind::Started(_), EventKind::Finished(_))));
        for after in 0..=whole.len() {
            let told = all(engine.attach(run, Seq(after as u64))).await;
            assert_eq!(told, whole[after..], "after {after}");
        }
        assert_eq!(all(engine.attach(run, Seq(u64::MAX))).await, []);
        let unknown = engine.attach(RunId::new(), Seq::default()).collect::<Vec<_>>().await;
        assert!(matches!(unknown.as_slice(), [Err(JournalError::UnknownRun { .. })]), "{unknown:?}");
    });
}

/// Two who follow the run here, and one who follows it by what is on disk, as another process does, are told the same,
/// from the middle of the run over its suspension to its end.
#[test]
fn a_run_is_followed_while_it_waits_and_when_it_goes_on() {
    let agent = asking(ASK_NEW_YORK);
    runtime().block_on(async {
        let engine = engine(&agent);
        let loaded = load(&engine, &agent).await;
        let mut run = engine.start(NewRun::new(loaded.clone(), "go on"), Front::default()).await.unwrap();
        let id = run.id();
        let mut first = Box::pin(engine.attach(id, Seq::default()));
        let elsewhere = crate::engine::engine(&agent);
        let mut other = Box::pin(elsewhere.attach(id, Seq(2)));
        assert!(matches!(run.outcome().await, Outcome::Suspended(_)));
        run.close().await;
        let suspended = in_state(RunState::Suspended);
        for waits in [next(&mut first, &suspended).await, next(&mut other, &suspended).await] {
            let slots: Vec<_> = waits.waiting.iter().map(|it| (it.slot.clone(), it.wants)).collect();
            assert_eq!(slots, [(Slot::tool(0, 0).approval(), Wants::Approval)]);
        }
        let before = read(&agent, id).len();
        let second = engine.attach(id, Seq(before as u64));
        let word = Word::Approve { input: None, always: false };
        engine.decide(id, vec![(Slot::tool(0, 0), word)], Some(ada())).await.unwrap();
        let terms = Terms { agent: Some(loaded), ..Terms::default() };
        let mut run = engine.resume(id, terms, Front::default()).await.unwrap();
        assert!(matches!(run.outcome().await, Outcome::Ended { .. }));
        let whole = read(&agent, id);
        assert_eq!(recorded(&all(first).await), whole[before..], "it had been told the rest");
        assert_eq!(recorded(&all(second).await), whole[before..]);
        let told = all(other).await;
        assert_eq!(told.last(), whole.last());
        assert_eq!(recorded(&told), whole[before..]);
        assert_eq!(all(engine.attach(id, Seq::default())).await, whole);
    });
}

/// What is not recorded is told as well, and what somebody is asked while the run goes on.
#[test]
fn a_run_of_this_engine_tells_what_is_not_recorded() {
    let agent = asking(ASK_NEW_YORK);
    runtime().block_on(async {
        let engine = engine(&agent);
        let mut run = start_and_be_asked(&engine, &agent).await;
        let mut events = Box::pin(engine.attach(run.id(), Seq::default()));
        let asks = |event: &RunEvent| standing(event).filter(|standing| !standing.waiting.is_empty());
        let asked = next(&mut events, asks).await;
        assert_eq!((asked.state, asked.waiting[0].wants), (RunState::Running, Wants::Approval));
        let word = Word::Approve { input: None, always: false };
        engine.decide(run.id(), vec![(Slot::tool(0, 0), word)], Some(ada())).await.unwrap();
        assert!(matches!(run.outcome().await, Outcome::Ended { .. }));
        let rest = all(events).await;
        let begun = |event: &RunEvent| match &event.kind {
            EventKind::LiveStarted { attempt, .. } => Some((event.slot.clone(), *attempt)),
            _ => None,
        };
        let begun: Vec<_> = rest.iter().filter_map(begun).collect();
        assert!(begun.contains(&(Slot::tool(0, 0), 1)) && begun.contains(&(Slot::model(1), 1)), "{begun:?}");
        assert!(matches!(rest.last().unwrap().kind, EventKind::Finished(_)), "the last event is the end");
    });
}

#[test]
fn a_thousand_calls_are_numbered_and_a_reader_that_never_reads_holds_nothing_up() {
    let agent = thousand();
    runtime().block_on(async {
        let engine = engine(&agent);
        let new = NewRun::new(load(&engine, &agent).await, "go on");
        let mut run = engine.start(new, Front::default()).await.unwrap();
        let mut idle = Box::pin(engine.attach(run.id(), Seq::default()));
        let first = idle.next().await.unwrap().unwrap();
        let follower = tokio::spawn(all(engine.attach(run.id(), Seq::default())));
        let ended = run.outcome().await;
        assert!(
            matches!(&ended, Outcome::Ended { ending: Ending::Answer(answer), .. } if answer == "done"),
            "{ended:?}"
        );
        let whole = read(&agent, run.id());
        assert_eq!(whole.len(), 2 + 2 * 2 + 2 * 1000);
        assert_eq!(recorded(&follower.await.unwrap()), whole);
        // Who reads on after all is told the rest.
        let rest: Vec<RunEvent> = std::iter::once(first).chain(all(idle).await).collect();
        assert_eq!(recorded(&rest), whole);
    });
}

/// The numbers by event, whatever else there is.
fn by_event(entries: &[Entry]) -> BTreeMap<(Slot, u32), Seq> {
    entries.iter().map(|entry| ((entry.slot.clone(), entry.event.ordinal()), entry.seq.unwrap())).collect()
}

/// At whatever commit the process is killed: what was recorded keeps its number when the run goes on, in another process
/// and until it is sealed; and whoever follows it all the time is told each event once.
#[test]
fn an_event_has_the_same_number_after_a_crash() {
    let mut killed = 0;
    for (point, nth) in (1..9).flat_map(|nth| [("journal-before-ack", nth), ("journal-before-sync", nth)]) {
        let agent = asking("");
        let failpoint = format!("{point}={nth}*off->1*return");
        let ran = agent.command(&["run"]).env("FAILPOINTS", failpoint).output().unwrap();
        if ran.status.success() {
            continue;
        }
        killed += 1;
        let runs = RunsDir::new(&agent.state());
        let Ok(run) = runs.find("last") else { continue };
        let before = runs.read(run).unwrap();
        numbered(&before);
        if before.is_empty() {
            continue;
        }
        runtime().block_on(async {
            let engine = engine(&agent);
            let mut events = pin!(engine.attach(run, Seq::default()));
            let mut told = Vec::new();
            while told.len() < before.len() {
                told.push(next(&mut events, |event| event.seq.map(|_| event.clone())).await);
            }
            tokio::task::block_in_place(|| assert_eq!(agent.host(&["resume", "last"]).ok().stdout, "done\n"));
            told.extend(recorded(&all(events).await));
            let after = runs.read(run).unwrap();
            assert!(runs.is_sealed(run));
            assert_eq!(told, read(&agent, run), "{point} at commit {nth}");
            let (before, after) = (by_event(&before), by_event(&after));
            assert!(before.iter().all(|(event, seq)| after[event] == *seq), "{point} at commit {nth}");
        });
    }
    assert!(killed >= 8, "killed at {killed} commits");
}

#[test]
fn a_run_that_is_carried_elsewhere_keeps_its_numbers_and_a_fork_has_its_own() {
    let agent = asking(ASK_NEW_YORK);
    agent.host(&["run"]).exits(3);
    let file = agent.dir.path().join("run.jsonl");
    agent.host(&["journal", "export", "last", "-o", file.to_str().unwrap()]).ok();
    let run = RunFile::read(&file).unwrap();
    let before = numbered(&run.entries);
    let elsewhere = asking(ASK_NEW_YORK);
    elsewhere.host(&["journal", "import", file.to_str().unwrap()]).ok();
    assert_eq!(numbered(&RunsDir::new(&elsewhere.state()).read(run.summary.run).unwrap()), before);
    // Whatever a file says, the numbers are those of a run.
    for seq in [Some(Seq(0)), before[1].seq, Some(Seq(100))] {
        let mut wrong = run.clone();
        wrong.entries[0].seq = seq;
        wrong.write(&mut std::fs::File::create(&file).unwrap()).unwrap();
        let elsewhere = Agent::raw("version = 1");
        elsewhere.host(&["journal", "import", file.to_str().unwrap()]).ok();
        numbered(&RunsDir::new(&elsewhere.state()).read(run.summary.run).unwrap());
    }
    agent.host(&["approve", "last"]).ok();
    agent.host(&["resume", "last"]).ok();
    agent.host(&["fork", "last", "--at", "1"]).ok();
    let runs = RunsDir::new(&agent.state());
    let fork = numbered(&runs.read(runs.find("last").unwrap()).unwrap());
    let of = |entry: &Entry| (entry.slot.clone(), entry.event.ordinal());
    let shared: Vec<_> = numbered(&runs.read(run.summary.run).unwrap()).iter().skip(1).map(of).collect();
    let inherited: Vec<_> = fork.iter().map(of).filter(|it| it.0 != Slot::RUN).collect();
    assert_eq!(fork[0].slot, Slot::RUN);
    let common = shared.iter().filter(|it| it.0 < Slot::model(1) && it.0 != Slot::RUN);
    assert!(common.eq(inherited.iter().filter(|it| it.0 < Slot::model(1))), "{inherited:?}");
}

/// Runs that were recorded before events had numbers have them all the same: always the same ones, also when such a run
/// goes on.
#[test]
fn what_older_hosts_recorded_is_numbered_by_time() {
    let agent = Agent::raw("version = 1");
    let run: RunId = INTERRUPTED.parse().unwrap();
    copy(&fixtures("v1").join("interrupted"), &agent.state().join("runs").join(INTERRUPTED));
    let runs = RunsDir::new(&agent.state());
    let before = runs.read(run).unwrap();
    let order: Vec<String> = numbered(&before).iter().map(|entry| entry.slot.to_string()).collect();
    assert_eq!(order[..3], ["run", "model(0)", "model(0)"]);
    assert_eq!(RunsDir::new(&agent.state()).read(run).unwrap(), before);
    runtime().block_on(async {
        // The run is taken over into the journal.
        let engine = engine(&agent);
        engine.cancel(run, Cancelled { by: Some(ada()), reason: None }).await.unwrap();
        let after = engine.runs().read(run).unwrap();
        let (old, new) = (by_event(&before), by_event(&after));
        assert!(old.iter().all(|(event, seq)| new[event] == *seq));
        assert_eq!(numbered(&after).last().unwrap().slot, Slot::RUN);
    });
    for fixture in ["v1/ended.jsonl.gz", "rules2/ended.jsonl.gz", "rules3/ended.jsonl", "rules4/ended.jsonl"]
    {
        let path = fixtures(fixture);
        let agent = Agent::raw("version = 1");
        agent.host(&["journal", "import", path.to_str().unwrap()]).ok();
        let runs = RunsDir::new(&agent.state());
        let entries = numbered(&runs.read(runs.find("last").unwrap()).unwrap());
        assert!(RunFile::read(&path).unwrap().entries.iter().all(|entry| entry.seq.is_none()));
        assert_eq!(
            (&entries[0].slot, &entries[entries.len() - 1].slot),
            (&Slot::RUN, &Slot::RUN),
            "{fixture}"
        );
        let times: Vec<u64> = entries.iter().map(|entry| entry.event.at_ms()).collect();
        assert!(times.is_sorted(), "{fixture}");
    }
}
