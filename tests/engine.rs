//! The engine as a program uses it that embeds it: runs beside each other, a person's word while a run goes on, and
//! runs that are cancelled.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures::future::BoxFuture;
use host::config::Config;
use host::dispatch::{Dispatcher, Person, Spoken, ToolRunner};
use host::engine::{
    CancelError, DecideError, Engine, Front, LoadedAgent, NewRun, Nobody, Outcome, People, Purpose, Query,
    RunHandle, Task, Terms, Told, Unwatched, Watcher, Word,
};
use host::journal::{JournalStore as _, MemoryStore, RunState};
use host::message::{
    Arguments, By, Cancelled, Decision, Ending, Json, Manifest, Retry, RunId, Slot, ToolAsk, ToolCall,
    ToolEntry, ToolOutcome,
};
use host::session::{
    Attempt, Conduct, Decisions, Done, Doubt, Execution, FanOut, Mode, Notice, Reach, Seat, Session,
};
use serde_json::json;
use tokio::sync::Notify;

use crate::approval::{ASK_NEW_YORK, TWO, asking};
use crate::stores::{KINDS, Kind};
use crate::support::{Agent, Ran, outcome};

pub fn engine(agent: &Agent) -> Engine {
    Kind::Directory.engine(agent)
}

pub async fn load(engine: &Engine, agent: &Agent) -> Arc<LoadedAgent> {
    engine.load(Config::load(&agent.toml()).unwrap(), Purpose::Run, &Unwatched).await.unwrap()
}

/// Somebody who is asked, and never answers.
#[derive(Clone, Default)]
struct Silent(Arc<Notify>);

impl Person for Silent {
    fn decide<'a>(&'a self, _slot: &'a Slot, _ask: &'a ToolAsk) -> BoxFuture<'a, Option<Spoken<Decision>>> {
        self.0.notify_one();
        Box::pin(std::future::pending())
    }

    fn answer<'a>(&'a self, _slot: &'a Slot, _question: &'a str) -> BoxFuture<'a, Option<Spoken<String>>> {
        self.0.notify_one();
        Box::pin(std::future::pending())
    }
}

impl People for Silent {
    fn attend(&self, _agent: &LoadedAgent, _manifest: &Manifest) -> Arc<dyn Person> {
        Arc::new(self.clone())
    }
}

/// Starts a run, and waits until somebody is asked in it who never answers.
pub async fn start_and_be_asked(engine: &Engine, agent: &Agent) -> RunHandle {
    let silent = Silent::default();
    let front = Front { watcher: Arc::new(Unwatched), people: Arc::new(silent.clone()) };
    let run = engine.start(NewRun::new(load(engine, agent).await, "go on"), front).await.unwrap();
    silent.0.notified().await;
    run
}

/// What was told, by run where it names one.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Watcher for Log {
    fn tell(&self, told: Told<'_>) {
        let line = match told {
            Told::Began { run, .. } => format!("began {run}"),
            Told::Effect(Notice::Finished { slot, .. }) => format!("finished {slot}"),
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

pub fn ada() -> By {
    By { name: "ada".to_owned(), through: "a test".to_owned() }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn one_agent_is_loaded_once_and_runs_many_times_at_once() {
    for kind in KINDS {
        let agent = asking("");
        runtime().block_on(async {
            let engine = kind.engine(&agent);
            let loaded = load(&engine, &agent).await;
            let mut runs = Vec::new();
            for _ in 0..16 {
                let log = Arc::new(Log::default());
                let front = Front { watcher: Arc::clone(&log) as _, people: Arc::new(Nobody) };
                let run = engine.start(NewRun::new(Arc::clone(&loaded), "go on"), front).await.unwrap();
                runs.push((run, log));
            }
            for (mut run, log) in runs {
                let ended = run.outcome().await;
                let Outcome::Ended { ending: Ending::Answer(answer), used: Some(used) } = ended else {
                    panic!("{ended:?}");
                };
                assert_eq!((answer.as_str(), used.tool_calls), ("done", 2));
                let told = log.0.lock().unwrap().clone();
                assert_eq!(told[0], format!("began {}", run.id()));
                assert_eq!(
                    told.iter().filter(|line| line.starts_with("finished tool(0,")).count(),
                    2,
                    "{told:?}"
                );
                assert!(engine.runs().is_sealed(run.id()));
                run.close().await;
            }
            kind.hand_over(&engine, &agent).await;
        });
        let ids = agent.host(&["runs", "--json"]).ok().stdout.matches("\"answered\"").count();
        assert_eq!(ids, 16);
    }
}

#[test]
fn a_word_from_elsewhere_counts_while_somebody_is_asked() {
    for kind in KINDS {
        let agent = asking(ASK_NEW_YORK);
        let run = runtime().block_on(async {
            let engine = kind.engine(&agent);
            let mut run = start_and_be_asked(&engine, &agent).await;
            let slot = Slot::tool(0, 0);
            let pending = engine.pending(run.id()).await.unwrap();
            assert_eq!(pending.keys().collect::<Vec<_>>(), [&slot]);
            let word = |slot: &Slot, word| vec![(slot.clone(), word)];
            let approve = || Word::Approve { input: None, always: false };
            for (slot, wrong) in [(&Slot::tool(0, 1), approve()), (&slot, Word::Answer("42".to_owned()))] {
                let refused = engine.decide(run.id(), word(slot, wrong), None).await;
                assert!(matches!(refused, Err(DecideError::NotWaiting { .. })), "{refused:?}");
            }
            engine.decide(run.id(), word(&slot, approve()), Some(ada())).await.unwrap();
            let again = engine.decide(run.id(), word(&slot, Word::Deny { reason: None }), None).await;
            assert!(
                matches!(again, Err(DecideError::NotWaiting { .. } | DecideError::Ended { .. })),
                "{again:?}"
            );
            let ended = run.outcome().await;
            assert!(
                matches!(&ended, Outcome::Ended { ending: Ending::Answer(answer), .. } if answer == "done"),
                "{ended:?}"
            );
            kind.hand_over(&engine, &agent).await;
            run.id()
        });
        let shown = agent.show();
        let decided = shown.iter().find(|report| report["slot"] == "tool(0,0)/approval").unwrap();
        assert_eq!(decided["finished"]["by"], json!({"name": "ada", "through": "a test"}));
        assert!(agent.host(&["runs", "show", "last"]).ok().stdout.contains("(settled by ada (a test))"));
        agent.host(&["replay", &run.to_string()]).ok();
        agent.host(&["journal", "verify", "last"]).ok();
    }
}

#[test]
fn a_run_that_goes_on_is_cancelled_for_good() {
    for kind in KINDS {
        let agent = asking(ASK_NEW_YORK);
        runtime().block_on(async {
            let engine = kind.engine(&agent);
            let mut run = start_and_be_asked(&engine, &agent).await;
            let cancelled = Cancelled { by: Some(ada()), reason: Some("not needed any more".to_owned()) };
            engine.cancel(run.id(), cancelled.clone()).await.unwrap();
            let ended = run.outcome().await;
            assert!(
                matches!(&ended, Outcome::Ended { ending: Ending::Cancelled(it), .. } if *it == cancelled),
                "{ended:?}"
            );
            assert!(matches!(engine.cancel(run.id(), cancelled).await, Err(CancelError::Ended { .. })));
            assert_eq!(engine.runs().summary(run.id()).unwrap().unwrap().state, RunState::Cancelled);
            kind.hand_over(&engine, &agent).await;
        });
        let said = "cancelled by ada (a test): not needed any more";
        agent.host(&["resume", "last"]).exits(1).says(said);
        agent.host(&["replay", "last"]).exits(1).says(said);
        agent.host(&["journal", "verify", "last"]).ok();
        agent.host(&["approve", "last"]).exits(2).says("has ended");
        // Another run goes on from it.
        agent.host(&["fork", "last", "--at", "0"]).exits(3);
    }
}

#[test]
fn whoever_waits_or_was_killed_can_be_cancelled_from_the_command_line() {
    let agent = asking(ASK_NEW_YORK);
    agent.host(&["run", "--session", "ada"]).exits(3);
    agent.host(&["cancel", "last", "--reason", "too\u{1b}[2J late"]).ok().says("cancelled run");
    agent.host(&["cancel", "last"]).exits(2).says("has ended");
    agent.host(&["resume", "last"]).exits(1).says("(terminal): too[2J late");
    assert!(agent.host(&["runs"]).ok().stdout.contains("✗ cancelled"));
    assert!(agent.host(&["sessions", "show", "ada"]).ok().stdout.contains("(cancelled by "));
    // The session goes on: its last run has ended.
    agent.host(&["run", "--session", "ada"]).exits(3);

    let killed =
        agent.command(&["run"]).env("FAILPOINTS", "journal-before-ack=3*off->1*return").output().unwrap();
    assert!(!killed.status.success());
    agent.host(&["cancel", "last"]).ok();
    let shown = agent.show();
    assert!(outcome(&shown, "run")["run"]["cancelled"]["by"]["name"].is_string());
    agent.host(&["replay", "last"]).exits(1);
    agent.host(&["cancel", "01JD5Q0Z3N8B1M4W6V2YT7XK9C"]).exits(2).says("no run");
}

/// Whoever is asked breaks: the run is given back, and goes on elsewhere.
struct Broken;

impl People for Broken {
    fn attend(&self, _agent: &LoadedAgent, _manifest: &Manifest) -> Arc<dyn Person> {
        panic!("nobody can be asked")
    }
}

#[test]
fn a_run_whose_work_breaks_is_given_back() {
    for kind in KINDS {
        let agent = asking(ASK_NEW_YORK);
        runtime().block_on(async {
            let engine = kind.engine(&agent);
            let loaded = load(&engine, &agent).await;
            let front = Front { watcher: Arc::new(Unwatched), people: Arc::new(Broken) };
            let mut run = engine.start(NewRun::new(Arc::clone(&loaded), "go on"), front).await.unwrap();
            let id = run.id();
            let broke = tokio::spawn(async move { run.outcome().await }).await;
            assert!(broke.is_err_and(|error| error.is_panic()));
            let terms = Terms { agent: Some(loaded), ..Terms::default() };
            let mut run = engine.resume(id, terms, Front::default()).await.unwrap();
            assert!(matches!(run.outcome().await, Outcome::Suspended(_)));
            let state = engine.runs().summary(id).unwrap().unwrap().state;
            assert_eq!(state, RunState::Suspended, "who knows the outcome sees how the run stands");
            run.close().await;
            engine.cancel(id, Cancelled { by: None, reason: None }).await.unwrap();
            kind.hand_over(&engine, &agent).await;
        });
    }
}

/// A start that is given up on the way leaves a run that can be resumed, or none.
#[test]
fn a_start_that_is_given_up_holds_no_run() {
    for kind in KINDS {
        let agent = Agent::scripted(TWO).guest("weather");
        runtime().block_on(async {
            let engine = kind.engine(&agent);
            let loaded = load(&engine, &agent).await;
            for polls in 1..40 {
                let mut start =
                    Box::pin(engine.start(NewRun::new(Arc::clone(&loaded), "go on"), Front::default()));
                for _ in 0..polls {
                    if let Poll::Ready(started) = futures::poll!(&mut start) {
                        started.unwrap().outcome().await;
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            let runs = engine.list(&Query::default()).await.unwrap();
            assert!(runs.unreadable.is_empty());
            for run in runs.items {
                let terms = Terms { agent: Some(Arc::clone(&loaded)), ..Terms::default() };
                let mut run = engine.resume(run.run, terms, Front::default()).await.unwrap();
                assert!(matches!(run.outcome().await, Outcome::Ended { .. }));
            }
            kind.hand_over(&engine, &agent).await;
        });
    }
}

/// Several processes go on with a run that has just been decided: each says how it ended, or that another one has it.
#[test]
fn whoever_resumes_a_run_that_ends_meanwhile_is_told_how() {
    let agent = asking(ASK_NEW_YORK);
    for _ in 0..4 {
        agent.host(&["run"]).exits(3);
        agent.host(&["approve", "last"]).ok();
        let resumes: Vec<_> = (0..4)
            .map(|_| agent.command(&["resume", "last"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn())
            .collect();
        for resume in resumes {
            let ended = Ran::from(resume.unwrap().wait_with_output().unwrap());
            assert!(
                ended.stdout == "done\n" || ended.stderr.contains("is in use by"),
                "{:?} {}",
                ended.code,
                ended.stderr
            );
        }
    }
}

/// A kill at every write of a cancellation: the run has ended, or it can be cancelled again.
#[test]
fn a_kill_in_a_cancellation_loses_nothing() {
    for point in
        ["journal-before-write", "journal-before-ack", "journal-before-seal", "journal-before-remove"]
    {
        let kills = (0..20).take_while(|nth| {
            let agent = asking(ASK_NEW_YORK);
            agent.host(&["run"]).exits(3);
            let failpoint = format!("{point}={nth}*off->1*return");
            let killed = agent.command(&["cancel", "last"]).env("FAILPOINTS", failpoint).output().unwrap();
            if killed.status.success() {
                return false;
            }
            if point == "journal-before-seal" || point == "journal-before-remove" {
                agent.host(&["approve", "last"]).exits(2).says("has ended");
            }
            let again = agent.host(&["cancel", "last"]);
            assert!(
                again.stderr.contains("cancelled run") || again.stderr.contains("has ended"),
                "{}",
                again.stderr
            );
            agent.host(&["resume", "last"]).exits(1).says("cancelled by");
            agent.host(&["journal", "verify", "last"]).ok();
            true
        });
        assert!(kills.count() >= 1, "{point}");
    }
}

#[test]
fn ids_of_runs_are_in_the_order_in_which_they_were_made() {
    let ids: Vec<RunId> = (0..10_000).map(|_| RunId::new()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
}

/// A tool whose calls wait for a place for ever.
struct Full {
    asked: Notify,
}

impl ToolRunner for Full {
    fn call<'a>(
        &'a self,
        _tool: &'a ToolEntry,
        _input: &'a Json,
        _attempt: &'a Attempt,
        _fan_out: Arc<dyn FanOut>,
    ) -> BoxFuture<'a, Done<ToolOutcome>> {
        unreachable!("it has no place")
    }

    fn seat(&self, _run: RunId, _depth: usize) -> BoxFuture<'_, Seat<'_>> {
        self.asked.notify_one();
        Box::pin(std::future::pending())
    }

    fn conduct(&self, _tool: &ToolEntry) -> Conduct<'static> {
        Conduct { reach: Reach::Outside, doubt: Doubt::Ask, retry: Retry::NEVER, room: None }
    }
}

/// A crash leaves no call in doubt that was only queued.
#[test]
fn a_call_that_waits_for_its_place_has_not_begun() {
    let agent = Agent::scripted(TWO).guest("weather");
    let entries = runtime().block_on(async {
        let loaded = load(&Kind::Memory.engine(&agent), &agent).await;
        let task = Task::new("go on".to_owned(), BTreeMap::new(), 1);
        let manifest = host::engine::manifest(&loaded, task).unwrap();
        let (run, store) = (RunId::new(), Arc::new(MemoryStore::default()));
        let mode = Mode::Live(Arc::clone(&store) as _);
        let unwatched = Box::new(|_: &Notice<'_>| {});
        let session = Session::open(run, mode, vec![], &manifest, Decisions::default(), unwatched).await;
        let session: Arc<dyn Execution> = Arc::new(session.unwrap());
        let full = Arc::new(Full { asked: Notify::new() });
        let dispatcher = Arc::new(Dispatcher::new(&manifest, Arc::clone(&full) as _, 8));
        let call = |id: &str| ToolCall {
            id: id.to_owned(),
            name: "get_weather".to_owned(),
            arguments: Arguments::parse(r#"{"city":"Paris"}"#),
        };
        let calls = vec![(call("one"), None), (call("two"), None)];
        let top = Slot::RUN;
        tokio::select! {
            ended = dispatcher.dispatch(&session, &top, 0, calls) => panic!("{ended:?}"),
            () = async { full.asked.notified().await } => {}
        }
        store.read(run).unwrap()
    });
    let slots: Vec<_> = entries.iter().map(|entry| &entry.slot).collect();
    assert_eq!(slots, [&Slot::RUN]);
}
