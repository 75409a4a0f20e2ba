//! Webhooks: whoever is configured is told, by HTTP, when a run waits, ends or fails. `docs/WEBHOOKS.md` has the promises.
//!
//! What is told is the journal's: a delivery is a run and the number of its last event, its id is made of the two, and its
//! body is made, whenever it is sent, of what is recorded up to that event (`payload`). What the journal does not know is
//! what was told to whom, and that alone is kept here, in one file (`book`: what it says, `notes`: how it is written):
//!
//! - *works*: written before this server has a run begin or go on. The next stop of the run is owed from then on.
//! - *stopped*: written when the run stopped, and before it can go on. It is due to the endpoints that are named.
//! - *tried*, *settled*: what came of an attempt.
//!
//! A process that is killed after a run stopped and before that is written leaves the run owed. The next one looks in the
//! journal how the runs stand that are owed, before any of them goes on (`recover`), and finds the same event. So no stop
//! is lost, and one is told twice at most with the same id: if the process dies after a receiver has answered and before
//! that is written. A list of what was told, kept for every run for as long as the run, would need no *works*; it would
//! grow with the runs, send the past to whoever is configured for the first time, and cost a look at every run at each
//! start. What is owed is no more than the runs that are not finished.
//!
//! Invariants: no run waits for a receiver, or for more than a line to be written; an endpoint costs one task (`endpoint`),
//! however much is due to it; secrets and URLs are in no file, log or answer (`signing`). A write that fails is logged,
//! and everything goes on in memory.

mod book;
mod endpoint;
mod notes;
mod payload;
mod sending;
mod signing;
mod told;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::Url;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::metrics::Metrics;
use super::problem::chain;
use crate::engine::Engine;
use crate::journal::{Seq, crash_point};
use crate::message::{Moment, RunId};
use book::{Book, Delivery, Record};
use endpoint::{Seen, Sender};
use notes::Notes;
use payload::Standstill;
use sending::Answer;
use told::{Told, log};

pub(super) use book::Kind;
pub use notes::NotesError;
pub(super) use payload::Payload;
pub(super) use signing::Key;

/// Deliveries that are pending for one endpoint. Beyond them the oldest is given up: it has had the most attempts.
const PENDING_MAX: usize = 10_000;
/// How often is looked whether everything is delivered when the server ends.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Who is told, as host.toml has it.
#[derive(Clone, PartialEq)]
pub(super) struct Webhook {
    pub(super) name: String,
    pub(super) url: Url,
    /// The first one is in use, and receivers change from the others.
    pub(super) keys: Vec<Key>,
    /// The files that the keys were read from.
    pub(super) files: Vec<PathBuf>,
    pub(super) kinds: Vec<Kind>,
    /// The agents of whose runs it is told; all of them if there is no list.
    pub(super) agents: Option<Vec<String>>,
    /// The waits before each further attempt.
    pub(super) retry: Vec<Duration>,
    pub(super) timeout: Duration,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Webhook {
    fn wants(&self, kind: Kind, agent: &str) -> bool {
        self.kinds.contains(&kind)
            && self.agents.as_ref().is_none_or(|agents| agents.iter().any(|it| it == agent))
    }

    /// How long to wait after so many attempts; `None` if that was the last one.
    fn wait_after(&self, attempts: u32) -> Option<Duration> {
        let index = usize::try_from(attempts).unwrap_or(usize::MAX).checked_sub(1)?;
        self.retry.get(index).copied()
    }

    /// The URL without what may be a secret: its path and its query.
    pub(super) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

/// Tells whoever is configured.
pub(super) struct Webhooks {
    engine: Engine,
    notes: Arc<Notes>,
    metrics: Metrics,
    endpoints: Mutex<BTreeMap<String, Endpoint>>,
}

struct Endpoint {
    sender: Arc<Sender>,
    /// Taken only when another one takes its place.
    task: Option<JoinHandle<()>>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// An endpoint as it stands.
pub(super) struct Standing {
    pub(super) webhook: Arc<Webhook>,
    pub(super) seen: Seen,
    pub(super) pending: usize,
    pub(super) oldest: Option<Moment>,
    pub(super) disabled: bool,
}

impl Webhooks {
    /// Reads what is owed and due below a state directory, sees how the runs stand that are owed, and begins to tell. To
    /// be called before any run goes on.
    pub(super) async fn begin(
        engine: &Engine,
        state: &Path,
        webhooks: Vec<Webhook>,
        metrics: Metrics,
    ) -> Result<Arc<Self>, NotesError> {
        let (engine, state) = (engine.clone(), state.to_owned());
        let notes = tokio::task::spawn_blocking(move || Notes::open(&state)).await;
        let notes = notes.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        let endpoints = Mutex::default();
        let this = Arc::new(Self { engine, notes: Arc::new(notes), metrics, endpoints });
        this.renew(webhooks, Vec::new());
        let recovering = Arc::clone(&this);
        // What goes wrong is logged, and the run stays owed.
        let _ = tokio::task::spawn_blocking(move || recovering.recover()).await;
        Ok(this)
    }

    /// Sees how the runs stand that are owed: the process before may have died before it noted that they stopped.
    fn recover(&self) {
        for run in self.notes.book(|book| book.owed()) {
            match payload::stop_of(self.engine.runs(), run) {
                Ok(Standstill::Stopped(stop, agent)) => drop(self.note_stop(stop, &agent)),
                Ok(Standstill::Gone) => drop(self.notes.note(|_| vec![Record::Rests(run)])),
                Ok(Standstill::GoesOn) => {}
                Err(error) => log(&Told::Unreadable { run, why: &chain(&error) }),
            }
        }
    }

    /// Takes in that this server has a run begin or go on, before it does. Says whether its next stop was not owed before.
    pub(super) async fn works(&self, run: RunId) -> bool {
        if self.endpoints.lock().is_empty() {
            return false;
        }
        let mut is_new = false;
        let ticket = self.notes.note(|book| {
            is_new = !book.is_owed(run);
            if is_new { vec![Record::Works(run)] } else { Vec::new() }
        });
        ticket.written().await;
        is_new
    }

    /// Takes in that a run does not go on after all.
    pub(super) fn rests(&self, run: RunId) {
        let rests = |book: &mut Book| if book.is_owed(run) { vec![Record::Rests(run)] } else { Vec::new() };
        // If it is not written, the next start looks at the run.
        drop(self.notes.note(rests));
    }

    /// Takes in that a run stopped, and that its last event was this one. A run that can go on is not to before this
    /// returns.
    pub(super) async fn stopped(&self, run: RunId, agent: &str, kind: Kind, last: Option<Seq>) {
        if !self.notes.book(|book| book.is_owed(run)) {
            return;
        }
        crash_point("webhooks-before-stopped");
        let (stop, agent) = match last {
            Some(seq) => (Delivery { run, seq, kind }, agent.to_owned()),
            None => match self.look_at(run).await {
                Some(found) => found,
                None => return,
            },
        };
        let ticket = self.note_stop(stop, &agent);
        if kind != Kind::Ended {
            ticket.written().await;
        }
    }

    /// How a run stopped, by what is recorded of it.
    async fn look_at(&self, run: RunId) -> Option<(Delivery, String)> {
        let engine = self.engine.clone();
        let looked = tokio::task::spawn_blocking(move || payload::stop_of(engine.runs(), run)).await.ok()?;
        match looked {
            Ok(Standstill::Stopped(stop, agent)) => Some((stop, agent)),
            // It stays owed.
            Ok(Standstill::GoesOn | Standstill::Gone) => None,
            Err(error) => {
                log(&Told::Unreadable { run, why: &chain(&error) });
                None
            }
        }
    }

    /// Notes that a run stopped, if that is owed, and for whom that is.
    fn note_stop(&self, stop: Delivery, agent: &str) -> notes::Ticket {
        let endpoints = self.endpoints.lock();
        let wanting = endpoints.values().filter(|it| it.sender.webhook.wants(stop.kind, agent));
        let wanting: Vec<&Endpoint> = wanting.collect();
        let at_ms = Moment::now().0;
        let mut dropped = Vec::new();
        let ticket = self.notes.note(|book| {
            if !book.is_owed(stop.run) {
                return Vec::new();
            }
            let names = wanting.iter().map(|it| it.sender.webhook.name.clone());
            let to: Vec<String> = names.filter(|name| !book.is_disabled(name)).collect();
            let stopped = Record::Stopped { stop, at_ms, to: to.clone() };
            let beyond = to.into_iter().filter_map(|to| Some((book.beyond(&to, PENDING_MAX - 1)?, to)));
            dropped = beyond.map(|(stop, to)| Record::Settled { to, stop }).collect();
            dropped.iter().cloned().chain([stopped]).collect()
        });
        for record in &dropped {
            if let Record::Settled { to, stop } = record {
                log(&Told::Dropped { endpoint: to, stop: *stop });
                self.metrics.webhook(to, "dropped");
            }
        }
        for endpoint in wanting {
            endpoint.sender.wake.notify_one();
        }
        ticket
    }

    /// Tells these from now on. What is due to one that stays is still due; what was due to others is forgotten. `working`
    /// are the runs on which the server works: they are owed from now on.
    pub(super) fn renew(&self, webhooks: Vec<Webhook>, working: Vec<RunId>) {
        let mut endpoints = self.endpoints.lock();
        let mut before = std::mem::take(&mut *endpoints);
        for webhook in webhooks {
            let name = webhook.name.clone();
            let endpoint = match before.remove(&name) {
                Some(same) if *same.sender.webhook == webhook => same,
                Some(mut other) => self.endpoint(webhook, other.task.take()),
                None => self.endpoint(webhook, None),
            };
            endpoints.insert(name, endpoint);
        }
        drop(before);
        let ticket = self.notes.note(|book| {
            let removed = book.endpoints().filter(|name| !endpoints.contains_key(*name));
            let removed = removed.map(|name| Record::Removed(name.to_owned()));
            let works = working.into_iter().filter(|run| !endpoints.is_empty() && !book.is_owed(*run));
            removed.chain(works.map(Record::Works)).collect()
        });
        drop(ticket);
    }

    fn endpoint(&self, webhook: Webhook, before: Option<JoinHandle<()>>) -> Endpoint {
        let client = sending::client(&webhook);
        let sender = Arc::new(Sender {
            webhook: Arc::new(webhook),
            client,
            engine: self.engine.clone(),
            notes: Arc::clone(&self.notes),
            metrics: self.metrics.clone(),
            seen: Arc::default(),
            wake: Arc::new(Notify::new()),
            logged: Mutex::default(),
        });
        Endpoint { task: Some(tokio::spawn(Arc::clone(&sender).work(before))), sender }
    }

    /// The files from which secrets were read.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.endpoints.lock().values().flat_map(|it| it.sender.webhook.files.clone()).collect()
    }

    /// How many deliveries are pending, by endpoint.
    pub(super) fn pending(&self) -> Vec<(String, usize)> {
        let names: Vec<String> = self.endpoints.lock().keys().cloned().collect();
        let count = |name: String| self.notes.book(|book| (name.clone(), book.pending(&name).0));
        names.into_iter().map(count).collect()
    }

    /// Every endpoint as it stands.
    pub(super) fn all(&self) -> Vec<Standing> {
        let senders: Vec<Arc<Sender>> =
            self.endpoints.lock().values().map(|it| Arc::clone(&it.sender)).collect();
        senders.iter().map(|sender| self.standing(sender)).collect()
    }

    fn standing(&self, sender: &Sender) -> Standing {
        let name = &sender.webhook.name;
        let ((pending, oldest), disabled) =
            self.notes.book(|book| (book.pending(name), book.is_disabled(name)));
        let (webhook, seen) = (Arc::clone(&sender.webhook), sender.seen.lock().clone());
        Standing { webhook, seen, pending, oldest: oldest.map(Moment), disabled }
    }

    fn sender(&self, name: &str) -> Option<Arc<Sender>> {
        self.endpoints.lock().get(name).map(|it| Arc::clone(&it.sender))
    }

    /// Has an endpoint told at once what is due to it, and again what happens if it was disabled. `None` if there is no
    /// endpoint of that name.
    pub(super) fn retry(&self, name: &str) -> Option<Standing> {
        let sender = self.sender(name)?;
        sender.seen.lock().paused_until = None;
        let now_ms = Moment::now().0;
        drop(self.notes.note(|book| {
            let enabled = book.is_disabled(name).then(|| Record::Enabled(name.to_owned()));
            enabled.into_iter().chain(book.due_now(name, now_ms)).collect()
        }));
        sender.wake.notify_one();
        Some(self.standing(&sender))
    }

    /// Sends an endpoint a test, and says what came of it: the status, or why there was no good one. `None` if there is no
    /// endpoint of that name.
    pub(super) async fn test(&self, name: &str) -> Option<Result<u16, (String, Option<u16>)>> {
        let sender = self.sender(name)?;
        let timestamp = Moment::now().to_the_millisecond();
        let body = serde_json::json!({ "type": "webhook.test", "timestamp": timestamp, "data": {} });
        let answer = sender.send(&format!("test_{}", RunId::new()), body.to_string().into_bytes()).await;
        Some(match answer {
            Answer::Taken(status) => Ok(status),
            Answer::Gone => Err(("it answered 410 Gone".to_owned(), Some(410))),
            Answer::Failed(failure) => Err((failure.why, failure.status)),
        })
    }

    /// Ends: what is due now may still be sent for a time. The rest is due at the next start.
    pub(super) async fn end(&self, grace: Duration) {
        let sent = async {
            while self.is_busy() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        // What is not sent by now is not lost.
        let _ = tokio::time::timeout(grace, sent).await;
        self.endpoints.lock().clear();
        self.notes.close().await;
    }

    /// Whether something could be delivered now, to an endpoint that takes it.
    fn is_busy(&self) -> bool {
        let now_ms = Moment::now().0;
        self.endpoints.lock().iter().any(|(name, endpoint)| {
            endpoint.sender.seen.lock().failing == 0 && self.notes.book(|book| book.is_busy(name, now_ms))
        })
    }
}
