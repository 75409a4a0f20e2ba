//! Runs that are accepted now and begin later.

use host::engine::{Front, NewRun, Outcome, Terms};
use host::journal::{RunState, manifest};
use host::message::{Cancelled, Digest, Ending, Order, OrderKey, RunId, SessionKey};

use crate::approval::asking;
use crate::engine::{load, runtime};
use crate::stores::Kind;
use crate::support::Agent;

/// It is on disk at once, begins in whichever process resumes it, and is told then what its session said meanwhile.
#[test]
fn a_run_that_is_accepted_begins_when_it_is_resumed() {
    let agent = asking("");
    let ada: SessionKey = "ada".parse().unwrap();
    let order =
        Order { due_ms: Some(7), key: Some(OrderKey { key: Digest::of(b"k"), body: Digest::of(b"b") }) };
    runtime().block_on(async {
        let first = Kind::Directory.engine(&agent);
        let loaded = load(&first, &agent).await;
        let later = NewRun::new(loaded.clone(), "later").session(Some(ada.clone())).ordered(order);
        let id = later.id();
        first.accept(later).await.unwrap();
        let mut sooner = first
            .start(NewRun::new(loaded, "sooner").session(Some(ada.clone())), Front::default())
            .await
            .unwrap();
        assert!(matches!(sooner.outcome().await, Outcome::Ended { .. }));
        drop(first);
        let second = Kind::Directory.engine(&agent);
        let summary = second.runs().summary(id).unwrap().unwrap();
        assert_eq!(
            (summary.state, summary.session, summary.order),
            (RunState::Queued, Some(ada.clone()), Some(order))
        );
        let terms = Terms { agent: Some(load(&second, &agent).await), ..Terms::default() };
        let mut run = second.resume(id, terms, Front::default()).await.unwrap();
        assert!(matches!(run.outcome().await, Outcome::Ended { ending: Ending::Answer(_), .. }));
        let entries = second.runs().read(id).unwrap();
        let earlier = manifest(&entries).unwrap().earlier.len();
        assert!(earlier > 0, "it is told what was said");
        assert_eq!(second.sessions().runs(&ada).unwrap(), [sooner.id(), id]);
        assert_eq!(second.runs().summary(id).unwrap().unwrap().order, Some(order), "its key is kept");
    });
    agent.host(&["replay", "last"]).ok();
}

/// A run of a session that was accepted, and has not begun.
pub fn accepted(agent: &Agent, prompt: &str, session: &str) -> RunId {
    runtime().block_on(async {
        let engine = Kind::Directory.engine(agent);
        let run = NewRun::new(load(&engine, agent).await, prompt).session(Some(session.parse().unwrap()));
        let id = run.id();
        engine.accept(run).await.unwrap();
        id
    })
}

/// The same, cancelled before it began.
pub fn accepted_and_cancelled(agent: &Agent, prompt: &str, session: &str) -> RunId {
    let id = accepted(agent, prompt, session);
    agent.host(&["cancel", &id.to_string()]).ok();
    id
}

#[test]
fn a_run_that_is_accepted_can_be_cancelled_and_listed() {
    let agent = asking("");
    let id = runtime().block_on(async {
        let engine = Kind::Directory.engine(&agent);
        let run = NewRun::new(load(&engine, &agent).await, "never");
        let id = run.id();
        engine.accept(run).await.unwrap();
        id
    });
    assert!(agent.host(&["runs"]).ok().stdout.contains("queued"));
    agent.host(&["runs", "show", "last"]).ok();
    agent.host(&["journal", "compact"]).ok();
    assert!(agent.host(&["runs"]).ok().stdout.contains("queued"), "nothing recorded is cleared away");
    runtime().block_on(async {
        let engine = Kind::Directory.engine(&agent);
        engine.cancel(id, Cancelled { by: None, reason: None }).await.unwrap();
        assert_eq!(engine.runs().summary(id).unwrap().unwrap().state, RunState::Cancelled);
    });
}
