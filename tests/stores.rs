//! The places where an engine keeps what it records: everything that an engine can do, it does over each of them.

use std::sync::Arc;

use futures::future::BoxFuture;
use host::config::Config;
use host::dispatch::{Person, Unattended};
use host::engine::{
    Engine, Front, LoadedAgent, NewFork, NewRun, Nobody, Outcome, People, Purpose, Query, Rerun, RunHandle,
    Secrets, Terms, Told, Unwatched, Watcher, Word,
};
use host::journal::{JournalError, JournalStore as _, RunFile, RunState, RunSummary, RunsDir};
use host::message::{Cancelled, Ending, Manifest, Reply, Retry, RunId, SessionKey, Slot};
use host::model::{Model, ModelError, ModelRequest, Models};
use host::toolbox::{Compiler, Strangers};
use tokio::sync::{Notify, Semaphore};

use crate::approval::{ASK_NEW_YORK, asking};
use crate::support::{Agent, cache};

/// Where an engine keeps what it records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    Memory,
}

pub const KINDS: [Kind; 2] = [Kind::Directory, Kind::Memory];

impl Kind {
    pub fn engine(self, agent: &Agent) -> Engine {
        let compiler = Compiler::new(env!("CARGO_BIN_EXE_host").as_ref());
        match self {
            Self::Directory => {
                Engine::builder(&agent.state(), &cache(), compiler).strangers(Strangers::Allow).build()
            }
            Self::Memory => Engine::in_memory(&cache(), compiler).strangers(Strangers::Allow).build(),
        }
    }

    /// Has the binary find in the agent's state directory what an engine has recorded, wherever that is.
    pub async fn hand_over(self, engine: &Engine, agent: &Agent) {
        match self {
            Self::Directory => {}
            Self::Memory => {
                assert!(!agent.state().exists(), "an engine in memory writes nothing of a run to disk");
                let runs = RunsDir::new(&agent.state());
                for id in engine.runs().ids().unwrap() {
                    // One that was given up before it began is nothing to be carried.
                    if engine.runs().summary(id).unwrap().is_some() {
                        runs.import(&exported(engine, id)).await.unwrap();
                    }
                }
            }
        }
    }
}

/// A run as it is carried elsewhere: read back from the bytes that it is written as.
fn exported(engine: &Engine, id: RunId) -> RunFile {
    let summary = engine.runs().summary(id).unwrap().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    RunFile::new(&summary, engine.runs().read(id).unwrap()).write(&mut file.as_file()).unwrap();
    RunFile::read(file.path()).unwrap()
}

async fn load(engine: &Engine, agent: &Agent) -> Arc<LoadedAgent> {
    engine.load(Config::load(&agent.toml()).unwrap(), Purpose::Run, &Unwatched).await.unwrap()
}

async fn started(engine: &Engine, agent: &Arc<LoadedAgent>) -> (RunId, Outcome) {
    let mut run = engine.start(NewRun::new(Arc::clone(agent), "go on"), Front::default()).await.unwrap();
    let (id, outcome) = (run.id(), run.outcome().await);
    run.close().await;
    (id, outcome)
}

async fn resumed(engine: &Engine, run: RunId, agent: &Arc<LoadedAgent>) -> Outcome {
    let terms = Terms { agent: Some(Arc::clone(agent)), ..Terms::default() };
    engine.resume(run, terms, Front::default()).await.unwrap().outcome().await
}

fn approval(always: bool) -> Vec<(Slot, Word)> {
    vec![(Slot::tool(0, 0), Word::Approve { input: None, always })]
}

#[track_caller]
fn answer(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Ended { ending: Ending::Answer(answer), .. } => answer,
        other => panic!("{other:?}"),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn what_was_approved_always_is_not_asked_again_until_it_is_revoked() {
    for kind in KINDS {
        let agent = asking(ASK_NEW_YORK);
        runtime().block_on(async {
            let engine = kind.engine(&agent);
            let loaded = load(&engine, &agent).await;
            let (run, outcome) = started(&engine, &loaded).await;
            assert!(matches!(outcome, Outcome::Suspended(_)), "{outcome:?}");
            engine.decide(run, approval(true), None).await.unwrap();
            assert_eq!(answer(&resumed(&engine, run, &loaded).await), "done");
            assert_eq!(answer(&started(&engine, &loaded).await.1), "done");
            let mut always = engine.approvals().always();
            assert_eq!(always.len(), 1);
            engine.approvals().revoke(always.remove(0)).unwrap();
            assert!(matches!(started(&engine, &loaded).await.1, Outcome::Suspended(_)));
            kind.hand_over(&engine, &agent).await;
        });
        let listed = agent.host(&["runs"]).ok().stdout.clone();
        assert_eq!((listed.matches("answered").count(), listed.matches("suspended").count()), (2, 1));
    }
}

#[test]
fn runs_are_listed_by_how_they_stand_and_found_by_their_names() {
    for kind in KINDS {
        let agent = asking(ASK_NEW_YORK);
        runtime().block_on(async {
            let engine = kind.engine(&agent);
            let loaded = load(&engine, &agent).await;
            let mut runs = Vec::new();
            for _ in 0..4 {
                runs.push(started(&engine, &loaded).await.0);
            }
            engine.decide(runs[1], approval(false), None).await.unwrap();
            resumed(&engine, runs[1], &loaded).await;
            engine.cancel(runs[2], Cancelled { by: None, reason: None }).await.unwrap();

            let ids = async |query: &Query| {
                let page = engine.list(query).await.unwrap();
                assert!(page.unreadable.is_empty());
                (page.items.iter().map(|run| run.run).collect::<Vec<_>>(), page.next)
            };
            assert_eq!(ids(&Query::default()).await, (vec![runs[3], runs[2], runs[1], runs[0]], None));
            let two = Query { limit: Some(2), ..Query::default() };
            assert_eq!(ids(&two).await, (vec![runs[3], runs[2]], Some(runs[2])));
            let next = Query { before: Some(runs[2]), ..two };
            assert_eq!(ids(&next).await, (vec![runs[1], runs[0]], None));
            for (state, expected) in [
                (RunState::Answered, vec![runs[1]]),
                (RunState::Cancelled, vec![runs[2]]),
                (RunState::Suspended, vec![runs[3], runs[0]]),
                (RunState::Running, vec![]),
            ] {
                let query = Query { state: Some(state), ..Query::default() };
                assert_eq!(ids(&query).await, (expected, None), "{state:?}");
            }
            let waiting = engine.waiting(&Query { limit: Some(1), ..Query::default() }).await.unwrap();
            assert_eq!(waiting.items.len(), 1);
            assert_eq!((waiting.items[0].run.run, waiting.next), (runs[3], Some(runs[3])));
            assert_eq!(waiting.items[0].waiting[0].slot, Slot::tool(0, 0).approval());

            let find = |name: &str| engine.runs().find(name);
            assert_eq!(find("last").unwrap(), runs[3]);
            assert_eq!(find(&runs[1].to_string().to_lowercase()).unwrap(), runs[1]);
            assert!(matches!(find("0"), Err(JournalError::AmbiguousRun { count: 4, .. })));
            assert!(matches!(find("7"), Err(JournalError::UnknownRun { .. })));
        });
    }
}

#[test]
fn a_run_is_forked_and_its_calls_are_made_again() {
    for kind in KINDS {
        let agent = asking("");
        runtime().block_on(async {
            let engine = kind.engine(&agent);
            let (run, _) = started(&engine, &load(&engine, &agent).await).await;
            let entries = engine.runs().read(run).unwrap();
            let fork = NewFork { turn: Some(1), ..NewFork::default() };
            let mut forked = engine.fork(run, entries.clone(), fork, Front::default()).await.unwrap();
            assert_eq!(answer(&forked.outcome().await), "done");
            let of_fork = engine.runs().read(forked.id()).unwrap();
            let shared = |entries: &[host::journal::Entry]| {
                let of_turn =
                    entries.iter().filter(|entry| entry.slot < Slot::model(1) && entry.slot != Slot::RUN);
                of_turn.map(|entry| entry.event.clone()).collect::<Vec<_>>()
            };
            assert_eq!(shared(&of_fork), shared(&entries));

            let rerun = Rerun { tool: "get_weather".to_owned(), ..Rerun::default() };
            let again = engine.reruns(rerun, &Unwatched).again(run, entries).await.unwrap().unwrap();
            assert_eq!((again.same, again.different.len()), (2, 0));
        });
    }
}

/// A model that answers, each time it is let, with how much was said by then.
struct Counting(Semaphore);

impl Model for Counting {
    fn ask<'a>(&'a self, request: &'a ModelRequest<'a>) -> BoxFuture<'a, Result<Reply, ModelError>> {
        Box::pin(async {
            self.0.acquire().await.unwrap().forget();
            Ok(Reply { text: request.messages.len().to_string(), ..Reply::default() })
        })
    }

    fn reaches_outside(&self) -> bool {
        false
    }
}

/// Learns that a run waits for its turn.
#[derive(Default)]
struct Queued(Notify);

impl Watcher for Queued {
    fn tell(&self, told: Told<'_>) {
        if let Told::Queued(_) = told {
            self.0.notify_one();
        }
    }
}

#[test]
fn runs_of_a_session_take_turns_in_the_order_in_which_they_came() {
    // On one thread, who was told to wait has come to its place in the queue when the next one is started.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for kind in KINDS {
        let agent = Agent::scripted("[[reply]]\ntext = \"never asked\"");
        runtime.block_on(async {
            let engine = kind.engine(&agent);
            let config = Config::load(&agent.toml()).unwrap();
            let loaded = engine.load(config, Purpose::Tools(Secrets::Needed), &Unwatched).await.unwrap();
            let model = Arc::new(Counting(Semaphore::new(0)));
            let loaded = loaded.replied_by(Models::only(Arc::clone(&model) as _, Retry::NEVER));
            let key: SessionKey = "ada".parse().unwrap();
            let mut runs: Vec<tokio::task::JoinHandle<RunHandle>> = Vec::new();
            for number in 0..4 {
                let new = NewRun::new(Arc::clone(&loaded), "go on").session(Some(key.clone()));
                let queued = Arc::new(Queued::default());
                let front = Front { watcher: Arc::clone(&queued) as _, people: Arc::new(Nobody) };
                let engine = engine.clone();
                let start = async move { engine.start(new, front).await.unwrap() };
                if number == 0 {
                    let first = start.await;
                    runs.push(tokio::spawn(async { first }));
                } else {
                    runs.push(tokio::spawn(start));
                    queued.0.notified().await;
                }
            }
            model.0.add_permits(4);
            let (mut ids, mut answers) = (Vec::new(), Vec::new());
            for run in runs {
                let mut run = run.await.unwrap();
                ids.push(run.id());
                answers.push(answer(&run.outcome().await).to_owned());
                run.close().await;
            }
            assert_eq!(answers, ["1", "3", "5", "7"], "{kind:?}");
            assert_eq!(engine.sessions().runs(&key).unwrap(), ids);
            assert_eq!(engine.sessions().keys().unwrap(), std::slice::from_ref(&key));

            kind.hand_over(&engine, &agent).await;
        });
        agent.host(&["journal", "verify"]).ok();
    }
}

#[test]
fn a_run_goes_on_where_it_is_carried_to() {
    for from in KINDS {
        for to in KINDS {
            let (agent, other) = (asking(ASK_NEW_YORK), asking(ASK_NEW_YORK));
            runtime().block_on(async {
                let (engine, elsewhere) = (from.engine(&agent), to.engine(&other));
                let loaded = load(&engine, &agent).await;
                let (run, _) = started(&engine, &loaded).await;
                engine.decide(run, approval(false), None).await.unwrap();
                elsewhere.runs().import(&exported(&engine, run)).await.unwrap();
                let again = elsewhere.runs().import(&exported(&engine, run)).await;
                assert!(matches!(again, Err(JournalError::Exists { .. })), "{again:?}");
                assert_eq!(elsewhere.runs().read(run).unwrap(), engine.runs().read(run).unwrap());
                assert_eq!(answer(&resumed(&elsewhere, run, &loaded).await), "done");
                assert!(elsewhere.runs().is_sealed(run) && !engine.runs().is_sealed(run));

                // And back, as one that has ended.
                engine.runs().remove(run).unwrap();
                assert!(matches!(engine.runs().read(run), Err(JournalError::UnknownRun { .. })));
                engine.runs().import(&exported(&elsewhere, run)).await.unwrap();
                assert!(engine.runs().is_sealed(run));
                assert_eq!(answer(&resumed(&engine, run, &loaded).await), "done");
            });
        }
    }
}

/// Whoever is asked is there only from the second time on.
struct Later(std::sync::atomic::AtomicBool);

impl People for Later {
    fn attend(&self, _agent: &LoadedAgent, _manifest: &Manifest) -> Arc<dyn Person> {
        assert!(self.0.swap(true, std::sync::atomic::Ordering::Relaxed), "nobody can be asked");
        Arc::new(Unattended)
    }
}

#[test]
fn nobody_else_works_on_a_run_that_is_open() {
    for kind in KINDS {
        let agent = asking("");
        runtime().block_on(async {
            let engine = kind.engine(&agent);
            let loaded = load(&engine, &agent).await;
            let runs = engine.runs();
            let id = RunId::new();
            assert!(matches!(runs.open(id), Err(JournalError::UnknownRun { .. })));
            let open = runs.create(id).unwrap();
            assert!(matches!(runs.open(id), Err(JournalError::Locked { .. })));
            assert!(matches!(runs.remove(id), Err(JournalError::Locked { .. })));
            assert_eq!(runs.ids().unwrap(), [id]);
            assert!(runs.read(id).unwrap().is_empty() && runs.summary(id).unwrap().is_none());
            open.leave().await;
            runs.remove(id).unwrap();
            assert!(runs.ids().unwrap().is_empty());

            // One that was left in the middle of things can be told from one that goes on.
            let front = Front { watcher: Arc::new(Unwatched), people: Arc::new(Later(false.into())) };
            let mut run = engine.start(NewRun::new(Arc::clone(&loaded), "go on"), front).await.unwrap();
            let id = run.id();
            assert!(tokio::spawn(async move { run.outcome().await }).await.is_err());
            let state = |id| runs.summary(id).unwrap().map(|summary: RunSummary| summary.state);
            let open = runs.open(id).unwrap();
            assert_eq!((open.left(), state(id)), (Some(RunState::Running), Some(RunState::Running)));
            assert_eq!(open.store.read(id).unwrap().len(), 1);
            open.leave().await;
            assert_eq!(state(id), Some(RunState::Interrupted));
            assert_eq!(answer(&resumed(&engine, id, &loaded).await), "done");
            assert!(matches!(runs.open(id), Err(JournalError::UnknownRun { .. })));
            assert_eq!(state(id), Some(RunState::Answered));
        });
    }
}
