//! One endpoint: the task that sends what is due to it.
//!
//! A task for each endpoint, however much is due, so that one that is away holds up no other. Invariants: no more than
//! [`AT_ONCE_MAX`] requests to it are on their way, and one alone while it fails; while it asks for a pause, none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use reqwest::Client;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::book::{Delivery, Horizon, Kind, Next, Record};
use super::notes::Notes;
use super::sending::{self, Answer, Failure};
use super::told::{Told, log};
use super::{Webhook, payload};
use crate::engine::Engine;
use crate::journal::crash_point;
use crate::message::{Moment, RunId};
use crate::server::metrics::Metrics;

/// Requests to one endpoint that are on their way at once.
pub(super) const AT_ONCE_MAX: usize = 4;
/// A pause because the receiver has too much to do ends by itself after so long, if it did not ask for more.
const PAUSE_MAX: Duration = Duration::from_mins(5);
/// How often it is logged that an endpoint still fails.
const LOGGED_EVERY: Duration = Duration::from_mins(1);
/// A delivery is given up at twice the age at which its last attempt is due, and not before this.
const AGE_MIN: Duration = Duration::from_hours(1);

/// What has been seen of an endpoint since the process began.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Seen {
    pub(in super::super) delivered: u64,
    pub(in super::super) failure: Option<SeenFailure>,
    /// How many attempts failed in a row.
    pub(in super::super) failing: u32,
    pub(in super::super) paused_until: Option<Moment>,
}

/// The last attempt that failed.
#[derive(Clone, Debug)]
pub(in super::super) struct SeenFailure {
    pub(in super::super) at: Moment,
    pub(in super::super) run: RunId,
    pub(in super::super) kind: Kind,
    pub(in super::super) attempts: u32,
    pub(in super::super) why: String,
    pub(in super::super) status: Option<u16>,
}

/// What sends to an endpoint.
pub(super) struct Sender {
    pub(super) webhook: Arc<Webhook>,
    pub(super) client: Result<Client, String>,
    pub(super) engine: Engine,
    pub(super) notes: Arc<Notes>,
    pub(super) metrics: Metrics,
    pub(super) seen: Arc<Mutex<Seen>>,
    /// Something is due that was not.
    pub(super) wake: Arc<Notify>,
    /// When it was last logged that the endpoint fails.
    pub(super) logged: Mutex<Option<Instant>>,
}

/// What came of an attempt.
enum Attempt {
    Answered(Answer),
    /// The run is gone, and nobody is to be told of it.
    RunGone,
}

type Sent = (Delivery, u32, Attempt);

impl Sender {
    /// Sends what is due, for as long as the endpoint is configured as it is. A task that did so before has to have ended:
    /// what it was sending is due again.
    pub(super) async fn work(self: Arc<Self>, before: Option<JoinHandle<()>>) {
        if let Some(before) = before {
            before.abort();
            // It was aborted.
            let _ = before.await;
            self.notes.book(|book| book.broke_off(&self.webhook.name));
        }
        let mut sending: FuturesUnordered<BoxFuture<'static, Sent>> = FuturesUnordered::new();
        loop {
            let wake = self.wake.notified();
            let wait = self.fill(&mut sending);
            let due = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((stop, attempts, attempt)) = sending.next() => self.take(stop, attempts, attempt),
                () = wake => {}
                () = due => {}
            }
        }
    }

    /// Begins to send what is due, as far as there is room. Says when more is due, unless something has to happen before.
    fn fill(self: &Arc<Self>, sending: &mut FuturesUnordered<BoxFuture<'static, Sent>>) -> Option<Duration> {
        loop {
            let now = Moment::now();
            let (failing, paused_until) = {
                let seen = self.seen.lock();
                (seen.failing, seen.paused_until)
            };
            let room = if failing > 0 { 1 } else { AT_ONCE_MAX };
            if sending.len() >= room {
                return None;
            }
            if let Some(until) = paused_until.filter(|until| *until > now) {
                return Some(until.since(now));
            }
            let (name, horizon) = (&self.webhook.name, self.horizon());
            match self.notes.book(|book| book.next(name, now.0, horizon)) {
                Next::Send(stop, attempts) => {
                    let sender = Arc::clone(self);
                    sending.push(async move { (stop, attempts, sender.attempt(stop).await) }.boxed());
                }
                Next::Late(stop, attempts) => self.give_up(stop, attempts),
                Next::In(wait_ms) => return Some(Duration::from_millis(wait_ms)),
                Next::Nothing => return None,
            }
        }
    }

    fn horizon(&self) -> Horizon {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let longest = self.webhook.retry.iter().max().copied().unwrap_or_default();
        let total: Duration = self.webhook.retry.iter().sum();
        // A receiver may ask for longer waits than are configured.
        let wait_ms = ms(jittered(longest, u32::MAX).max(sending::RETRY_AFTER_MAX));
        Horizon { wait_ms, age_ms: ms((total * 2).max(AGE_MIN)) }
    }

    async fn attempt(&self, stop: Delivery) -> Attempt {
        let engine = self.engine.clone();
        let body = tokio::task::spawn_blocking(move || payload::of(engine.runs(), stop)).await;
        let failed = |why: String| Attempt::Answered(Answer::Failed(Failure::of(why)));
        match body {
            Ok(Ok(Some(body))) => Attempt::Answered(self.send(&stop.id(), body).await),
            Ok(Ok(None)) => Attempt::RunGone,
            Ok(Err(error)) => failed(format!("the run cannot be read: {error}")),
            Err(error) => failed(format!("the run cannot be read: {error}")),
        }
    }

    /// Sends a body once.
    pub(super) async fn send(&self, id: &str, body: Vec<u8>) -> Answer {
        match &self.client {
            Ok(client) => sending::send(client, &self.webhook, id, body).await,
            Err(why) => Answer::Failed(Failure::of(format!("HTTPS cannot be set up: {why}"))),
        }
    }

    /// Takes in what came of an attempt.
    fn take(&self, stop: Delivery, attempts: u32, attempt: Attempt) {
        match attempt {
            Attempt::Answered(Answer::Taken(_)) => {
                crash_point("webhooks-before-settled");
                self.settle(stop, "delivered");
                self.works();
            }
            Attempt::Answered(Answer::Gone) => {
                let name = &self.webhook.name;
                let pending = self.notes.book(|book| book.pending(name).0);
                log(&Told::Disabled { endpoint: name, pending });
                self.metrics.webhook(name, "disabled");
                // It is no matter when this is written: the endpoint would say it again.
                let _ = self.notes.note(|_| vec![Record::Disabled(name.clone())]);
            }
            Attempt::Answered(Answer::Failed(failure)) => {
                self.failed(stop, attempts.saturating_add(1), failure);
            }
            Attempt::RunGone => self.settle(stop, "removed"),
        }
    }

    fn settle(&self, stop: Delivery, outcome: &'static str) {
        let name = &self.webhook.name;
        self.metrics.webhook(name, outcome);
        // Until it is written, the delivery may be sent once more: its id says that it is the same.
        let _ = self.notes.note(|_| vec![Record::Settled { to: name.clone(), stop }]);
    }

    fn give_up(&self, stop: Delivery, attempts: u32) {
        log(&Told::GivenUp { endpoint: &self.webhook.name, stop, attempts });
        self.settle(stop, "given_up");
    }

    /// Takes in that the endpoint works.
    fn works(&self) {
        let mut seen = self.seen.lock();
        seen.delivered += 1;
        (seen.failing, seen.paused_until) = (0, None);
        drop(seen);
        if self.logged.lock().take().is_some() {
            log(&Told::Takes { endpoint: &self.webhook.name });
        }
    }

    /// Takes in that an attempt failed, which was this one of its delivery.
    fn failed(&self, stop: Delivery, attempts: u32, failure: Failure) {
        let (name, now) = (&self.webhook.name, Moment::now());
        self.metrics.webhook(name, "failed");
        let Failure { why, status, retry_after, slow_down } = failure;
        let wait = self.webhook.wait_after(attempts);
        let mut seen = self.seen.lock();
        seen.failing = seen.failing.saturating_add(1);
        if slow_down || retry_after.is_some() {
            let own = wait.unwrap_or(PAUSE_MAX).min(PAUSE_MAX);
            seen.paused_until = Some(later(now, retry_after.unwrap_or_default().max(own)));
        }
        seen.failure =
            Some(SeenFailure { at: now, run: stop.run, kind: stop.kind, attempts, why: why.clone(), status });
        drop(seen);
        self.log_failure(&why);
        match wait {
            Some(wait) => {
                let wait = jittered(wait.max(retry_after.unwrap_or_default()), random());
                let due_ms = later(now, wait).0;
                // If it is not written, the attempt is made sooner.
                let _ = self.notes.note(|_| vec![Record::Tried { to: name.clone(), stop, attempts, due_ms }]);
            }
            None => self.give_up(stop, attempts),
        }
    }

    fn log_failure(&self, why: &str) {
        let mut logged = self.logged.lock();
        if logged.is_none_or(|at| at.elapsed() >= LOGGED_EVERY) {
            *logged = Some(Instant::now());
            let endpoint = &self.webhook.name;
            let pending = self.notes.book(|book| book.pending(endpoint).0);
            log(&Told::Fails { endpoint, why, pending });
        }
    }
}

fn later(now: Moment, wait: Duration) -> Moment {
    Moment(now.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
}

/// A wait and up to a quarter more, so that what failed at once is not tried at once.
fn jittered(wait: Duration, random: u32) -> Duration {
    wait.saturating_add((wait / 4).mul_f64(f64::from(random) / f64::from(u32::MAX)))
}

fn random() -> u32 {
    // Without random numbers there is no jitter, and everything works.
    getrandom::u32().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_never_shorter_than_is_said_and_at_most_a_quarter_longer() {
        for wait in [Duration::ZERO, Duration::from_millis(3), Duration::from_hours(24)] {
            for random in [0, 1, u32::MAX / 2, u32::MAX] {
                let jittered = jittered(wait, random);
                assert!(jittered >= wait && jittered <= wait + wait / 4, "{wait:?} {random}: {jittered:?}");
            }
        }
    }
}
