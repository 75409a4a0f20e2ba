//! The runs that this process works on, and what is said to them meanwhile.
//!
//! A run can be told to stop, and a person's word can come in while it goes on. Invariant: of the word of whoever was
//! asked while the run went on and the word of somebody else, one counts and the other is refused. Who takes a run up, or
//! has something to record of it, has its door meanwhile: behind it a run goes on here, or nobody of this engine has it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, broadcast, oneshot, watch};

use super::events::RunEvent;
use super::locks::Locks;
use super::{Engine, PastApprovals};
use crate::blocking::blocking;
use crate::dispatch::{Person, Spoken};
use crate::journal::RunStore;
use crate::message::{Cancelled, Decision, Json, RunId, Slot, ToolAsk, ToolEntry, ToolOutcome};
use crate::session::Notice;

/// So many events that are not recorded are kept for who follows a run: more than a model says between two looks, and
/// little beside what the run itself takes.
const LIVE_EVENTS_MAX: usize = 256;

/// The runs of an engine that go on.
#[derive(Default)]
pub(super) struct LiveRuns {
    runs: Mutex<HashMap<RunId, Arc<Live>>>,
    doors: Locks<RunId>,
}

/// That nobody else of this engine takes a run up or gives it a word, until this is dropped.
#[must_use = "the door is open again when this is dropped"]
pub(super) struct Door {
    _locked: OwnedMutexGuard<()>,
}

/// A run that goes on.
pub(super) struct Live {
    /// `None` once the run is left.
    store: Mutex<Option<Arc<RunStore>>>,
    stop: watch::Sender<Stop>,
    left: watch::Sender<bool>,
    /// Who follows the run, from when somebody first does: what is not recorded is told them.
    followers: OnceLock<broadcast::Sender<Arc<RunEvent>>>,
    questions: Mutex<HashMap<Slot, Question>>,
    /// Held while a word is recorded, and while the run is left. Whether a word came in since the run last looked.
    pub(super) words: tokio::sync::Mutex<Words>,
}

/// What becomes of a question.
enum Question {
    /// Somebody is asked at this moment. This takes the question back.
    Asked(oneshot::Sender<()>),
    /// Whoever was asked has answered.
    Answered,
    /// It was decided elsewhere.
    Decided,
}

/// What was said to a run.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// Whether something was said since the run last looked.
    pub(super) came_in: bool,
    /// Whether nothing more is heard: the run is left.
    pub(super) is_over: bool,
}

/// Whether a run is to stop.
#[derive(Clone, Debug, Default)]
pub(super) enum Stop {
    /// It goes on.
    #[default]
    Not,
    /// It stops where it is, and can be resumed.
    Interrupt,
    /// It ends.
    Cancel(Cancelled),
}

impl LiveRuns {
    pub(super) fn add(&self, run: RunId, store: Arc<RunStore>) -> Arc<Live> {
        let (stop, left) = (watch::channel(Stop::Not).0, watch::channel(false).0);
        let store = Mutex::new(Some(store));
        let (questions, words) = (Mutex::default(), tokio::sync::Mutex::default());
        let followers = OnceLock::new();
        let live = Arc::new(Live { store, stop, left, followers, questions, words });
        self.runs.lock().insert(run, Arc::clone(&live));
        live
    }

    pub(super) fn get(&self, run: RunId) -> Option<Arc<Live>> {
        self.runs.lock().get(&run).cloned()
    }

    /// Waits until nobody else has the door of a run. Who works on it does not have it any more.
    pub(super) async fn door(&self, run: RunId) -> Door {
        Door { _locked: self.doors.lock(&run, || ()).await }
    }

    fn remove(&self, run: RunId, live: &Arc<Live>) {
        let mut runs = self.runs.lock();
        // Somebody else may work on the run by now.
        if runs.get(&run).is_some_and(|other| Arc::ptr_eq(other, live)) {
            runs.remove(&run);
        }
    }
}

/// Notes for as long as it lives that an engine works on a run. However the work ends, the run is given back.
pub(super) struct Working {
    engine: Engine,
    run: RunId,
    pub(super) live: Arc<Live>,
}

impl Working {
    pub(super) fn on(engine: &Engine, run: RunId, store: Arc<RunStore>) -> Self {
        Self { engine: engine.clone(), run, live: engine.0.live.add(run, store) }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.live.close();
        self.engine.0.live.remove(self.run, &self.live);
        self.live.left.send_replace(true);
    }
}

impl Live {
    /// Where the run is recorded, unless it is left.
    pub(super) fn store(&self) -> Option<Arc<RunStore>> {
        self.store.lock().clone()
    }

    /// Notes that nothing more is recorded of the run.
    pub(super) fn close(&self) {
        self.store.lock().take();
    }

    /// What is told from now on of the run that is not recorded.
    pub(super) fn listen(&self) -> broadcast::Receiver<Arc<RunEvent>> {
        self.followers.get_or_init(|| broadcast::channel(LIVE_EVENTS_MAX).0).subscribe()
    }

    /// Tells whoever follows the run what is not recorded.
    pub(super) fn tell(&self, run: RunId, notice: &Notice<'_>) {
        let Some(followers) = self.followers.get().filter(|it| it.receiver_count() > 0) else { return };
        if let Some(event) = RunEvent::live(run, notice) {
            // They may have gone away.
            let _ = followers.send(Arc::new(event));
        }
    }

    /// Whether nothing more is heard or recorded: the run is being left, or is.
    pub(super) async fn is_over(&self) -> bool {
        self.store().is_none() || self.words.lock().await.is_over
    }

    /// Waits until the run is left.
    pub(super) async fn left(&self) {
        // The sender lives as long as this.
        let _ = self.left.subscribe().wait_for(|left| *left).await;
    }

    /// Tells the run to stop. Who was first is heard.
    pub(super) fn stop(&self, stop: Stop) {
        self.stop.send_if_modified(|before| {
            let goes_on = matches!(before, Stop::Not);
            if goes_on {
                *before = stop;
            }
            goes_on
        });
    }

    /// Waits until the run is told to stop where it is.
    pub(super) async fn interrupted(&self) {
        self.told(|stop| matches!(stop, Stop::Interrupt).then_some(())).await;
    }

    /// Waits until the run is told to end.
    pub(super) async fn cancelled(&self) -> Cancelled {
        self.told(|stop| match stop {
            Stop::Cancel(cancelled) => Some(cancelled.clone()),
            Stop::Not | Stop::Interrupt => None,
        })
        .await
    }

    async fn told<T>(&self, is_it: impl Fn(&Stop) -> Option<T>) -> T {
        let mut stop = self.stop.subscribe();
        loop {
            if let Some(told) = is_it(&stop.borrow_and_update()) {
                return told;
            }
            if stop.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Notes that a question is decided elsewhere, and takes it back if somebody is asked at this moment. False if they
    /// were quicker.
    #[must_use]
    pub(super) fn decide(&self, slot: &Slot) -> bool {
        let mut questions = self.questions.lock();
        match questions.insert(slot.clone(), Question::Decided) {
            Some(Question::Answered) => {
                questions.insert(slot.clone(), Question::Answered);
                false
            }
            Some(Question::Asked(taken_back)) => {
                // Whoever is asked may have gone away.
                let _ = taken_back.send(());
                true
            }
            Some(Question::Decided) | None => true,
        }
    }

    /// Notes that what was to be decided elsewhere is not: the question is asked again.
    pub(super) fn is_undecided(&self, slot: &Slot) {
        self.questions.lock().remove(slot);
    }

    /// Asks somebody, unless the question is decided elsewhere: then their word does not count.
    async fn ask<T>(&self, slot: &Slot, word: impl Future<Output = Option<T>>) -> Option<T> {
        let (withdraw, withdrawn) = oneshot::channel();
        {
            let mut questions = self.questions.lock();
            if let Some(Question::Decided) = questions.get(slot) {
                return None;
            }
            questions.insert(slot.clone(), Question::Asked(withdraw));
        }
        let said = tokio::select! {
            biased;
            _ = withdrawn => None,
            said = word => said,
        };
        let mut questions = self.questions.lock();
        match (questions.remove(slot), &said) {
            (Some(Question::Asked(_)), Some(_)) => drop(questions.insert(slot.clone(), Question::Answered)),
            (Some(Question::Asked(_)) | None, _) => {}
            (Some(other @ (Question::Answered | Question::Decided)), _) => {
                questions.insert(slot.clone(), other);
                return None;
            }
        }
        said
    }
}

/// Whoever is asked about the calls of an agent, beside what was approved always and what is said elsewhere.
pub(super) struct Asked {
    pub(super) person: Arc<dyn Person>,
    pub(super) live: Arc<Live>,
    pub(super) approvals: PastApprovals,
    /// The agent.toml.
    pub(super) config: String,
}

impl Person for Asked {
    fn decide<'a>(&'a self, slot: &'a Slot, ask: &'a ToolAsk) -> BoxFuture<'a, Option<Spoken<Decision>>> {
        let decision = async move {
            let (approvals, config, call) = (self.approvals.clone(), self.config.clone(), ask.clone());
            if blocking(move || approvals.is_always(&config, &call)).await {
                return Some(Decision::Approved { input: None }.into());
            }
            self.person.decide(slot, ask).await
        };
        Box::pin(async move { self.live.ask(&slot.approval(), decision).await })
    }

    fn answer<'a>(&'a self, slot: &'a Slot, question: &'a str) -> BoxFuture<'a, Option<Spoken<String>>> {
        Box::pin(self.live.ask(slot, self.person.answer(slot, question)))
    }

    fn waits_for_nothing(&self, slot: &Slot, tool: &ToolEntry, input: &Json) -> Option<ToolOutcome> {
        self.person.waits_for_nothing(slot, tool, input)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use futures::FutureExt as _;

    use super::*;

    fn live() -> Live {
        Live {
            store: Mutex::default(),
            stop: watch::channel(Stop::Not).0,
            left: watch::channel(false).0,
            followers: OnceLock::new(),
            questions: Mutex::default(),
            words: tokio::sync::Mutex::default(),
        }
    }

    #[test]
    fn of_two_words_the_first_counts() {
        let (live, slot) = (live(), Slot::tool(0, 0));
        assert!(live.decide(&slot), "before anybody is asked");
        assert_eq!(live.ask(&slot, async { Some(1) }).now_or_never().unwrap(), None);

        let slot = Slot::tool(0, 1);
        let mut asked = Box::pin(live.ask(&slot, std::future::pending::<Option<i32>>()));
        assert!((&mut asked).now_or_never().is_none());
        assert!(live.decide(&slot), "while somebody is asked");
        assert_eq!(asked.now_or_never().unwrap(), None);

        let slot = Slot::tool(0, 2);
        assert_eq!(live.ask(&slot, async { Some(3) }).now_or_never().unwrap(), Some(3));
        assert!(!live.decide(&slot), "after somebody answered");
        assert!(!live.decide(&slot));

        let slot = Slot::tool(0, 3);
        assert_eq!(live.ask(&slot, async { None::<i32> }).now_or_never().unwrap(), None);
        assert!(live.decide(&slot), "after nobody was there");
        live.is_undecided(&slot);
        assert_eq!(live.ask(&slot, async { Some(4) }).now_or_never().unwrap(), Some(4), "it is asked again");
    }

    #[test]
    fn who_stops_a_run_first_is_heard() {
        let live = live();
        assert!(live.interrupted().now_or_never().is_none());
        let cancelled = Cancelled { by: None, reason: None };
        live.stop(Stop::Cancel(cancelled.clone()));
        live.stop(Stop::Interrupt);
        assert!(live.interrupted().now_or_never().is_none());
        assert_eq!(live.cancelled().now_or_never(), Some(cancelled));
    }
}
