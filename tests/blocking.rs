//! What waits for another process waits alone: a program with one thread for all its runs goes on meanwhile.

use std::fs::File;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use futures::FutureExt as _;
use host::config::Config;
use host::engine::{Engine, Front, LoadedAgent, NewRun, Nobody, Outcome, Purpose, Terms, Unwatched, Word};
use host::message::{Cancelled, Slot};
use host::toolbox::{Compiler, Strangers};
use tokio::runtime::Runtime;

use crate::approval::{ASK_NEW_YORK, asking};
use crate::support::{Agent, PATIENCE, cache};

/// A lock in a state directory, as another process has it.
struct Other {
    release: Sender<()>,
    thread: JoinHandle<bool>,
}

impl Other {
    /// Takes the lock, and has it until it is told to release it. If nobody is able to tell, the test fails.
    fn has_the_lock(agent: &Agent, path: &str) -> Self {
        let lock = File::options().write(true).open(agent.state().join(path)).unwrap();
        lock.lock().unwrap();
        let (release, released) = channel();
        let thread = std::thread::spawn(move || {
            let told = released.recv_timeout(PATIENCE).is_ok();
            drop(lock);
            told
        });
        Self { release, thread }
    }

    fn releases_it(self) {
        let _ = self.release.send(());
        assert!(self.thread.join().unwrap(), "the only thread was held up");
    }
}

/// The lock of the journal, and that of the sessions.
const JOURNAL: &str = "journal/lock";
const SESSIONS: &str = "sessions/.lock";

fn front() -> Front {
    Front { watcher: Arc::new(Unwatched), people: Arc::new(Nobody) }
}

fn one_thread() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn engine(agent: &Agent) -> (Engine, Arc<LoadedAgent>) {
    let compiler = Compiler::new(env!("CARGO_BIN_EXE_host").as_ref());
    let engine = Engine::builder(&agent.state(), &cache(), compiler).strangers(Strangers::Allow).build();
    let config = Config::load(&agent.toml()).unwrap();
    let loaded = engine.load(config, Purpose::Run, &Unwatched).await.unwrap();
    (engine, loaded)
}

#[test]
fn a_claim_that_waits_holds_up_nothing_and_one_that_is_given_up_is_given_back() {
    let agent = asking(ASK_NEW_YORK);
    one_thread().block_on(async {
        let (engine, loaded) = engine(&agent).await;
        let new = || NewRun::new(Arc::clone(&loaded), "go on");
        let mut first = engine.start(new(), front()).await.unwrap();
        assert!(matches!(first.outcome().await, Outcome::Suspended(_)));
        let id = first.id();
        first.close().await;

        let other = Other::has_the_lock(&agent, JOURNAL);
        let mut second = pin!(engine.start(new(), front()));
        assert!(second.as_mut().now_or_never().is_none());
        other.releases_it();
        let mut second = second.await.unwrap();
        assert!(matches!(second.outcome().await, Outcome::Suspended(_)));
        second.close().await;

        let terms = || Terms { agent: Some(Arc::clone(&loaded)), ..Terms::default() };
        let other = Other::has_the_lock(&agent, JOURNAL);
        let mut given_up = Box::pin(engine.resume(id, terms(), front()));
        // Its session is looked up first, and then it waits for the lock.
        for _ in 0..3 {
            assert!(given_up.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        drop(given_up);
        other.releases_it();
        let mut again = engine.resume(id, terms(), front()).await.unwrap();
        assert!(matches!(again.outcome().await, Outcome::Suspended(_)));
        again.close().await;
    });
}

/// Waits for something that waits for another process; the only thread goes on meanwhile.
async fn waits_alone<T>(agent: &Agent, lock: &str, waits: impl Future<Output = T>) -> T {
    let other = Other::has_the_lock(agent, lock);
    let mut waits = pin!(waits);
    let waited = tokio::time::timeout(Duration::from_millis(100), waits.as_mut()).await;
    assert!(waited.is_err(), "it did not wait for {lock}");
    other.releases_it();
    waits.await
}

#[test]
fn whatever_waits_for_another_process_holds_up_nothing() {
    let agent = asking(ASK_NEW_YORK);
    one_thread().block_on(async {
        let (engine, loaded) = engine(&agent).await;
        let ada = "ada".parse().unwrap();
        let new = || NewRun::new(Arc::clone(&loaded), "go on").session(Some("ada".parse().unwrap()));
        let mut run = engine.start(new(), front()).await.unwrap();
        assert!(matches!(run.outcome().await, Outcome::Suspended(_)));
        let id = run.id();
        run.close().await;
        let turn = waits_alone(&agent, SESSIONS, engine.take_turn(&ada, &Unwatched)).await.unwrap();
        drop(turn);
        waits_alone(&agent, JOURNAL, engine.accept(new())).await.unwrap();
        let cancelled = Cancelled { by: None, reason: None };
        waits_alone(&agent, JOURNAL, engine.cancel(id, cancelled)).await.unwrap();
        for lock in [SESSIONS, JOURNAL] {
            let terms = Terms { agent: Some(Arc::clone(&loaded)), again: true, ..Terms::default() };
            let resumed = Box::pin(engine.resume(id, terms, front()));
            let mut again = waits_alone(&agent, lock, resumed).await.unwrap();
            assert!(matches!(again.outcome().await, Outcome::Suspended(_)));
            again.close().await;
            engine.cancel(id, Cancelled { by: None, reason: None }).await.unwrap();
        }
        let mut run = engine.start(new(), front()).await.unwrap();
        assert!(matches!(run.outcome().await, Outcome::Suspended(_)));
        let id = run.id();
        run.close().await;
        let word = vec![(Slot::tool(0, 0), Word::Deny { reason: None })];
        waits_alone(&agent, JOURNAL, engine.decide(id, word, None)).await.unwrap();
    });
}
