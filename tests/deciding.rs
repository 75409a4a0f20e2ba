//! What is said to a run while it changes hands: while it is taken up, while it is left, and several words at once.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use host::dispatch::{Person, Spoken};
use host::engine::{
    DecideError, Engine, EventKind, Front, LoadedAgent, NewRun, Nobody, Outcome, People, Terms, Told,
    Unwatched, Watcher, Word,
};
use host::journal::Seq;
use host::message::{Cancelled, Decision, Ending, Manifest, RunId, Slot, ToolAsk};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use crate::approval::{ASK_NEW_YORK, asking};
use crate::engine::{ada, load, runtime};
use crate::stores::KINDS;

fn approve(slot: Slot, always: bool) -> (Slot, Word) {
    (slot, Word::Approve { input: None, always })
}

async fn suspended(engine: &Engine, agent: &Arc<LoadedAgent>) -> RunId {
    let mut run = engine.start(NewRun::new(Arc::clone(agent), "go on"), Front::default()).await.unwrap();
    assert!(matches!(run.outcome().await, Outcome::Suspended(_)));
    let id = run.id();
    run.close().await;
    id
}

/// Stops who takes a run up, between the claim and the work, until it is told to go on.
struct Halts {
    reached: Arc<Notify>,
    go: Mutex<mpsc::Receiver<()>>,
}

impl Watcher for Halts {
    fn tell(&self, told: Told<'_>) {
        if let Told::Changed(_) = told {
            self.reached.notify_one();
            self.go.lock().recv().unwrap();
        }
    }
}

#[test]
fn what_is_said_while_a_run_is_taken_up_is_heard() {
    for (kind, cancels) in KINDS.into_iter().flat_map(|kind| [(kind, true), (kind, false)]) {
        let agent = asking(ASK_NEW_YORK);
        runtime().block_on(async {
            let engine = kind.engine(&agent);
            let run = suspended(&engine, &load(&engine, &agent).await).await;
            let toml = std::fs::read_to_string(agent.toml()).unwrap();
            std::fs::write(agent.toml(), toml.replace("[agent]", "[agent]\ninstructions = \"New.\""))
                .unwrap();
            let agent = Some(load(&engine, &agent).await);
            let terms = || Terms { agent: agent.clone(), accept_changes: true, ..Terms::default() };
            let (go, told) = mpsc::channel();
            let reached = Arc::new(Notify::new());
            let watcher = Arc::new(Halts { reached: Arc::clone(&reached), go: Mutex::new(told) });
            let resumed = tokio::spawn({
                let (engine, terms) = (engine.clone(), terms());
                async move { engine.resume(run, terms, Front { watcher, people: Arc::new(Nobody) }).await }
            });
            reached.notified().await;
            let said = tokio::spawn({
                let engine = engine.clone();
                async move {
                    if cancels {
                        engine.cancel(run, Cancelled { by: Some(ada()), reason: None }).await.unwrap();
                    } else {
                        engine.decide(run, vec![approve(Slot::tool(0, 0), false)], None).await.unwrap();
                    }
                }
            });
            // Who does not wait has been refused by then.
            tokio::time::sleep(Duration::from_millis(100)).await;
            go.send(()).unwrap();
            said.await.unwrap();
            let mut outcome = resumed.await.unwrap().unwrap().outcome().await;
            if let Outcome::Suspended(_) = outcome {
                // The word came when the run was just being left.
                let mut again = engine.resume(run, terms(), Front::default()).await.unwrap();
                outcome = again.outcome().await;
            }
            let Outcome::Ended { ending, .. } = outcome else { panic!("{outcome:?}") };
            assert_eq!(matches!(ending, Ending::Cancelled(_)), cancels, "{ending:?}");
        });
    }
}

#[test]
fn what_is_said_while_a_run_is_left_is_heard() {
    for kind in KINDS {
        let agent = asking(ASK_NEW_YORK);
        runtime().block_on(async {
            let engine = kind.engine(&agent);
            let loaded = load(&engine, &agent).await;
            for nth in 0..20 {
                let new = NewRun::new(Arc::clone(&loaded), "go on");
                let mut events = Box::pin(engine.attach(new.id(), Seq::default()));
                let mut run = engine.start(new, Front::default()).await.unwrap();
                let (id, slot) = (run.id(), Slot::tool(0, 0));
                let asks = |kind: &EventKind| matches!(kind, EventKind::Started(_));
                while let Some(event) = events.next().await {
                    let event = event.unwrap();
                    if event.slot == slot.approval() && asks(&event.kind) {
                        break;
                    }
                }
                for _ in 0..nth {
                    tokio::task::yield_now().await;
                }
                engine.decide(id, vec![approve(slot, false)], None).await.unwrap();
                let mut outcome = run.outcome().await;
                if let Outcome::Suspended(_) = outcome {
                    let terms = Terms { agent: Some(Arc::clone(&loaded)), ..Terms::default() };
                    outcome = engine.resume(id, terms, Front::default()).await.unwrap().outcome().await;
                }
                assert!(matches!(outcome, Outcome::Ended { ending: Ending::Answer(_), .. }), "{outcome:?}");
            }
        });
    }
}

/// Is asked about two calls. When the first question is taken back, the second one is answered.
#[derive(Clone)]
struct Second {
    /// That it was asked about a call.
    asked: Arc<Semaphore>,
    /// That the question about the first call is taken back.
    taken_back: Arc<Notify>,
}

impl Default for Second {
    fn default() -> Self {
        Self { asked: Arc::new(Semaphore::new(0)), taken_back: Arc::default() }
    }
}

/// Tells when it is dropped.
struct TakenBack(Arc<Notify>);

impl Drop for TakenBack {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Person for Second {
    fn decide<'a>(&'a self, slot: &'a Slot, _ask: &'a ToolAsk) -> BoxFuture<'a, Option<Spoken<Decision>>> {
        Box::pin(async move {
            self.asked.add_permits(1);
            if *slot == Slot::tool(0, 0) {
                let _taken_back = TakenBack(Arc::clone(&self.taken_back));
                std::future::pending::<()>().await;
            }
            self.taken_back.notified().await;
            Some(Decision::Approved { input: None }.into())
        })
    }

    fn answer<'a>(&'a self, _slot: &'a Slot, _question: &'a str) -> BoxFuture<'a, Option<Spoken<String>>> {
        Box::pin(std::future::ready(None))
    }
}

impl People for Second {
    fn attend(&self, _agent: &LoadedAgent, _manifest: &Manifest) -> Arc<dyn Person> {
        Arc::new(self.clone())
    }
}

/// The run goes on with the word that was recorded, and what was to go for later runs goes for none.
#[test]
fn of_two_words_the_first_is_heard_although_the_second_comes_too_late() {
    for kind in KINDS {
        let agent = asking("[[approval.ask]]\ntool = \"get_*\"");
        runtime().block_on(async {
            // How often the person is quicker than the second word is not for the test to say.
            let mut tries = 0..200;
            loop {
                assert!(tries.next().is_some(), "the second word was always in time");
                let engine = kind.engine(&agent);
                let new = NewRun::new(load(&engine, &agent).await, "go on");
                let person = Second::default();
                let front = Front { watcher: Arc::new(Unwatched), people: Arc::new(person.clone()) };
                let mut run = engine.start(new, front).await.unwrap();
                drop(person.asked.acquire_many(2).await.unwrap());
                let words = vec![approve(Slot::tool(0, 0), false), approve(Slot::tool(0, 1), true)];
                let said = engine.decide(run.id(), words, Some(ada())).await;
                let outcome = run.outcome().await;
                assert!(matches!(outcome, Outcome::Ended { ending: Ending::Answer(_), .. }), "{outcome:?}");
                match said {
                    Ok(()) => {
                        let always = engine.approvals().always();
                        assert_eq!(always.len(), 1);
                        engine.approvals().revoke(always[0].clone()).unwrap();
                    }
                    Err(DecideError::NoLonger { slot }) => {
                        assert_eq!(slot.approved().unwrap_or(slot), Slot::tool(0, 1));
                        assert!(engine.approvals().always().is_empty());
                        break;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
}
