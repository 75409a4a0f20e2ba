//! Where a program's requests and calls arrive: each is found again in what is recorded, or carried out and recorded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use regex::Regex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::book::Book;
use super::flight::{CallFlight, Flight};
use super::provider::Provider;
use super::refused::Refused;
use super::start::Start;
use crate::agent::{Ended, RunError, Spending};
use crate::config::Gateway;
use crate::dispatch::Dispatcher;
use crate::journal::{Entry, JournalError, Status};
use crate::message::{By, Ending, Manifest, Outcome, RunId, Slot, Used};
use crate::session::{End, Execution as _, Session, SessionError, Settlement};

/// How long a run is kept open for a program that asks for nothing.
const IDLE: Duration = Duration::from_mins(1);

/// Reads what is recorded of the run, once every word that is being said is recorded.
pub type Reread = Box<dyn Fn() -> BoxFuture<'static, Result<Vec<Entry>, JournalError>> + Send + Sync>;

/// A run that is open.
pub struct Stage {
    /// What the run is.
    pub manifest: Arc<Manifest>,
    /// Where what happens is recorded: every effect of it may be [asked for again](Session::asked_again).
    pub session: Arc<Session>,
    /// Who makes the calls.
    pub dispatcher: Arc<Dispatcher>,
    /// What somebody else recorded meanwhile.
    pub reread: Reread,
}

/// How a run was left.
#[derive(Debug)]
pub enum Left {
    /// It ended.
    Ended(Ended),
    /// Nobody asked for anything for a while.
    Idle,
}

/// The desk of a run.
pub struct Desk {
    pub(super) run: RunId,
    pub(super) rules: Gateway,
    pub(super) ignored: Vec<Regex>,
    /// `None` if the program asks no model through this host.
    pub(super) provider: Option<Arc<Provider>>,
    /// What `[model]` is called, which programs may ask for.
    pub(super) model: Option<String>,
    state: Mutex<State>,
    open: watch::Sender<Option<Arc<Opened>>>,
    /// Told whenever something changed that somebody may wait for.
    pub(super) changed: watch::Sender<()>,
    /// Counts what is said of calls in doubt.
    pub(super) words: watch::Sender<u64>,
    ended: Notify,
}

/// An open run, and what is done for it.
pub(super) struct Opened {
    pub(super) stage: Stage,
    tasks: mpsc::UnboundedSender<BoxFuture<'static, ()>>,
}

/// What the desk knows.
#[derive(Default)]
pub(super) struct State {
    pub(super) book: Book,
    starts: HashMap<Option<u32>, Start>,
    /// The last start that was told from others.
    pub(super) current: Option<u32>,
    /// The starts that began in this process.
    begun: HashSet<u32>,
    pub(super) flights: HashMap<Slot, Arc<Flight>>,
    pub(super) calls: HashMap<Slot, Arc<CallFlight>>,
    /// The tools that the program may call.
    pub(super) tools: Arc<HashSet<String>>,
    pub(super) spending: Option<Spending>,
    pub(super) counted: HashSet<Slot>,
    /// Why the run may use no more, if it may not.
    pub(super) over: Option<String>,
    /// How many connections wait for something.
    pub(super) waiting: u32,
    ending: Option<Ending>,
}

impl State {
    /// What is known of a start of the program.
    pub(super) fn start(&mut self, number: Option<u32>) -> (&mut Start, &Book) {
        let is_new = number.is_some_and(|number| self.begun.contains(&number));
        let book = &self.book;
        let start = self.starts.entry(number).or_insert_with(|| {
            let mut start = Start::new(number.is_some());
            if !is_new {
                // An earlier process of the host may have given it something.
                start.serve_what_may_be(book);
            }
            start
        });
        (start, book)
    }

    /// Counts a reply, once.
    pub(super) fn count(&mut self, slot: &Slot, reply: &crate::message::Reply) {
        if !self.counted.insert(slot.clone()) {
            return;
        }
        if let Some(spending) = &mut self.spending {
            spending.count(reply);
            let limit = spending.judge(reply);
            if let Some(Ending::Limit(why)) = limit {
                self.over = Some(why);
            }
        }
    }
}

impl Desk {
    /// The desk of a run, by the rules of its agent.
    #[must_use]
    pub fn new(
        run: RunId,
        rules: Gateway,
        provider: Option<Arc<Provider>>,
        model: Option<String>,
    ) -> Arc<Self> {
        // Which of them are none was said when agent.toml was read.
        let ignored = rules.ignore.iter().filter_map(|pattern| Regex::new(pattern).ok()).collect();
        let (state, open, changed) = (Mutex::default(), watch::channel(None).0, watch::channel(()).0);
        let (words, ended) = (watch::channel(0).0, Notify::new());
        Arc::new(Self { run, rules, ignored, provider, model, state, open, changed, words, ended })
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Tells whoever waits that something changed.
    pub(super) fn change(&self) {
        self.changed.send_replace(());
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The run, open; an error if it is not, and is not going to be.
    pub(super) fn opened(&self) -> Result<Arc<Opened>, Refused> {
        let open = self.open.borrow().clone();
        open.ok_or(Refused::Closed)
    }

    /// Whether the run is open.
    #[must_use]
    pub fn is_open_now(&self) -> bool {
        self.open.borrow().is_some()
    }

    /// Waits until the run is not open any more.
    pub async fn is_closed(&self) {
        // The sender lives as long as this.
        let _ = self.open.subscribe().wait_for(Option::is_none).await;
    }

    /// Waits until the run is open, or until whoever opens it has given up.
    pub async fn is_open(&self, gave_up: impl Future<Output = ()>) -> bool {
        let mut open = self.open.subscribe();
        tokio::select! {
            opened = open.wait_for(Option::is_some) => opened.is_ok(),
            () = gave_up => false,
        }
    }

    /// Carries a run out for its program: until somebody ends it, or nobody asks for anything any more. Dropping the future
    /// stops what is under way.
    pub async fn conduct(self: &Arc<Self>, stage: Stage) -> Result<Left, RunError> {
        let (tasks, mut new) = mpsc::unbounded_channel::<BoxFuture<'static, ()>>();
        self.read(&stage);
        let session = Arc::clone(&stage.session);
        self.open.send_replace(Some(Arc::new(Opened { stage, tasks })));
        let _closed = Closing(self);
        let mut working = JoinSet::new();
        loop {
            let mut changed = self.changed.subscribe();
            let ending = self.state().ending.take();
            if let Some(ending) = ending {
                let used = self.used();
                let ending = session.end(&Slot::RUN, End::Stopped, ending, used).await?;
                return Ok(Left::Ended(Ended { ending, used }));
            }
            let is_idle = working.is_empty() && self.state().waiting == 0;
            tokio::select! {
                task = new.recv() => drop(task.map(|task| working.spawn(task))),
                Some(_) = working.join_next() => {}
                () = self.ended.notified() => {}
                _ = changed.changed(), if !is_idle => {}
                () = tokio::time::sleep(IDLE), if is_idle => return Ok(Left::Idle),
            }
        }
    }

    /// Takes in what is recorded.
    fn read(&self, run: &Stage) {
        let mut book = Book::default();
        let mut replies = Vec::new();
        run.session.recorded(|slot, status| {
            book.read(slot, status);
            if let (Status::Finished { finished, .. }, false) = (status, slot.is_nested())
                && let Outcome::Model(reply) = &finished.outcome
            {
                replies.push((slot.clone(), reply.clone()));
            }
        });
        book.read_conversations();
        let mut state = self.state();
        state.book = book;
        let offered = run.manifest.tools.iter().filter(|tool| !tool.hidden);
        state.tools = Arc::new(offered.map(|tool| tool.spec.name.clone()).collect());
        state.spending = Some(Spending::new(&run.manifest, run.session.facts().rules));
        (state.counted, state.over) = (HashSet::new(), None);
        for (slot, reply) in &replies {
            state.count(slot, reply);
        }
    }

    /// Has something done for the run, as long as it is open.
    pub(super) fn spawn(opened: &Opened, task: impl Future<Output = ()> + Send + 'static) {
        // Whoever waits for it is told by its end, which comes when it is dropped, too.
        let _ = opened.tasks.send(Box::pin(task));
    }

    /// Begins another start of the program, and says its number. Earlier starts are taken no more.
    pub async fn begin(&self, by: By) -> Result<u32, BeginError> {
        let opened = self.opened()?;
        let begun = opened.stage.session.go_on_anew(&opened.stage.manifest, by).await?;
        let number = begun.ok_or(BeginError::Refused(Refused::Ended))?;
        let mut state = self.state();
        state.begun.insert(number);
        state.current = state.current.max(Some(number));
        drop(state);
        self.change();
        Ok(number)
    }

    /// Takes in which start of the program is the last one that is recorded.
    pub fn began(&self, number: Option<u32>) {
        let mut state = self.state();
        state.current = state.current.max(number);
    }

    /// Ends the run.
    pub fn end(&self, ending: Ending) {
        self.state().ending = Some(ending);
        self.ended.notify_one();
    }

    /// Takes in what a person says of a call that is in doubt.
    pub async fn settle(self: &Arc<Self>, slot: Slot, settlement: Settlement) -> Result<(), Refused> {
        let opened = self.opened()?;
        opened.stage.session.take_word(slot.clone(), settlement);
        self.words.send_modify(|count| *count += 1);
        // Nobody may be waiting for the call at this moment: the word is recorded all the same.
        if let Some(mut ended) = self.go_on(&opened, &slot) {
            let _ = ended.wait_for(Option::is_some).await;
        }
        Ok(())
    }

    /// What the run has used.
    #[must_use]
    pub fn used(&self) -> Used {
        self.state().spending.as_ref().map(Spending::used).unwrap_or_default()
    }

    /// An error if a start of the program is over.
    pub(super) fn admit(&self, start: Option<u32>) -> Result<(), Refused> {
        match (start, self.state().current) {
            (Some(start), Some(current)) if start < current => Err(Refused::Fenced { start, current }),
            _ => Ok(()),
        }
    }
}

/// Closes the desk however the work ends.
struct Closing<'a>(&'a Desk);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.open.send_replace(None);
        let mut state = self.0.state();
        // Those who wait for them are told by the ends of the tasks.
        (state.flights, state.calls) = (HashMap::new(), HashMap::new());
        drop(state);
        self.0.change();
    }
}

/// Why a program cannot be started again.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The run takes none.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It cannot be recorded.
    #[error(transparent)]
    Session(#[from] SessionError),
}
