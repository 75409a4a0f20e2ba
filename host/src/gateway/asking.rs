//! Requests for replies.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;

use super::body::{Round, rounds};
use super::desk::{Desk, Opened, State};
use super::flight::{End, Failed, Flight, Next};
use super::key::key;
use super::provider::Passing;
use super::refused::Refused;
use super::told::holds;
use crate::blocking::blocking;
use crate::config::{OnDivergence, ProgramResults};
use crate::message::{ApiAsk, Dialect, Digest, Json, ModelFailure, Outcome, Reply, Request, Retry, Slot};
use crate::model::{ModelError, NotPassed, Passed};
use crate::session::{Attempt, Conduct, Done, Doubt, Execution, Reach, SessionError, diff};

/// How long a request that is not recorded waits for those that are, and that the program has not sent again yet: in a
/// program that asks for several replies at once they may come in another order.
const OTHERS_TIME: Duration = Duration::from_secs(2);

/// A body that is larger is not gone through between other requests.
const SMALL: usize = 64 << 10;

/// A request for a reply, as a program sends it.
#[derive(Debug)]
pub struct Asked {
    /// By which interface.
    pub dialect: Dialect,
    /// The model.
    pub model: String,
    /// Whether the reply is to come in pieces.
    pub stream: bool,
    /// Where it goes at the provider.
    pub path: String,
    /// What follows the path.
    pub query: Option<String>,
    /// The headers that go along.
    pub headers: Vec<(String, String)>,
    /// The body, as it was sent.
    pub text: String,
    /// The same, read.
    pub body: Value,
}

/// A request that is waited for.
pub struct Asking {
    desk: Arc<Desk>,
    start: Option<u32>,
    key: Digest,
    occurrence: u32,
    flight: Arc<Flight>,
    headed: bool,
    heard: usize,
    done: bool,
}

/// A place that a request has among its equals, until it is known what it waits for.
struct Placed<'a> {
    desk: &'a Desk,
    start: Option<u32>,
    key: Digest,
    occurrence: u32,
    kept: bool,
}

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        if !self.kept {
            leave(self.desk, self.start, self.key, self.occurrence, false);
        }
    }
}

fn leave(desk: &Desk, start: Option<u32>, key: Digest, occurrence: u32, done: bool) {
    let mut state = desk.state();
    state.waiting = state.waiting.saturating_sub(1);
    state.start(start).0.asked(key, occurrence, done);
    drop(state);
    desk.change();
}

impl Desk {
    /// Takes a request of a start of the program.
    pub async fn ask(self: &Arc<Self>, start: Option<u32>, asked: Arc<Asked>) -> Result<Asking, Refused> {
        self.admit(start)?;
        self.allows(&asked)?;
        let (key, rounds) = self.known_by(&asked).await;
        let opened = self.opened()?;
        let occurrence = {
            let mut state = self.state();
            state.waiting += 1;
            state.start(start).0.ask(key)
        };
        let mut placed = Placed { desk: self, start, key, occurrence, kept: false };
        let known = (key, occurrence);
        let recorded = self.recorded(&mut self.state(), &opened, start, &asked, known, &rounds);
        let flight = match recorded {
            Some(flight) => flight,
            None => self.new_request(&opened, start, &asked, (key, occurrence), &rounds).await?,
        };
        placed.kept = true;
        let (headed, heard, done) = (false, 0, false);
        Ok(Asking { desk: Arc::clone(self), start, key, occurrence, flight, headed, heard, done })
    }

    fn allows(&self, asked: &Asked) -> Result<(), Refused> {
        if self.provider.as_ref().is_none_or(|provider| !provider.takes(asked.dialect)) {
            return Err(Refused::Dialect(asked.dialect));
        }
        // A script is whatever model is asked for.
        let Some(own) = &self.model else { return Ok(()) };
        let allowed = || std::iter::once(own).chain(&self.rules.models);
        if allowed().any(|model| model == "*" || *model == asked.model) {
            return Ok(());
        }
        Err(Refused::Model { asked: asked.model.clone(), allowed: allowed().cloned().collect() })
    }

    async fn known_by(&self, asked: &Arc<Asked>) -> (Digest, Vec<Round>) {
        let known_by = |asked: &Asked, ignored: &[regex::Regex]| {
            let Asked { dialect, model, stream, body, .. } = asked;
            (key(*dialect, model, *stream, body, ignored), rounds(*dialect, body))
        };
        if asked.text.len() <= SMALL {
            return known_by(asked, &self.ignored);
        }
        let (asked, ignored) = (Arc::clone(asked), self.ignored.clone());
        blocking(move || known_by(&asked, &ignored)).await
    }

    /// What is under way, or recorded, of a request that was sent before.
    fn recorded(
        self: &Arc<Self>,
        state: &mut State,
        opened: &Arc<Opened>,
        start: Option<u32>,
        asked: &Arc<Asked>,
        (key, occurrence): (Digest, u32),
        rounds: &[Round],
    ) -> Option<Arc<Flight>> {
        let slot = state.book.slot_of(key, occurrence)?.clone();
        let (known, book) = state.start(start);
        known.serve_told_back(book, rounds);
        known.deliver(rounds);
        if let Some(flight) = state.flights.get(&slot) {
            flight.join(start);
            return Some(Arc::clone(flight));
        }
        let ask = state.book.ask_at(&slot)?.clone();
        Some(self.take_off(state, opened, start, asked, slot, ask))
    }

    /// A request that was not sent before.
    async fn new_request(
        self: &Arc<Self>,
        opened: &Arc<Opened>,
        start: Option<u32>,
        asked: &Arc<Asked>,
        (key, occurrence): (Digest, u32),
        rounds: &[Round],
    ) -> Result<Arc<Flight>, Refused> {
        let until = tokio::time::Instant::now() + OTHERS_TIME;
        loop {
            let mut changed = self.changed.subscribe();
            let unserved = {
                let mut state = self.state();
                let (known, book) = state.start(start);
                known.serve_told_back(book, rounds);
                let skips = !known.is_told || known.diverged;
                known.unserved(book).filter(|_| !skips)
            };
            let Some(slot) = unserved else { break };
            if tokio::time::timeout_at(until, changed.changed()).await.is_ok() {
                continue;
            }
            if self.rules.on_divergence == OnDivergence::Continue {
                self.state().start(start).0.diverged = true;
                break;
            }
            let recorded = self.state().book.body_at(&slot).unwrap_or_default();
            let attempted = asked.body.clone();
            let diff = blocking(move || diff(["recorded", "attempted"], &recorded, &attempted)).await;
            return Err(Refused::Diverged { slot, diff });
        }
        self.admit(start)?;
        self.were_given(start, rounds)?;
        let mut state = self.state();
        // An equal one may have been quicker.
        let known = (key, occurrence);
        if let Some(flight) = self.recorded(&mut state, opened, start, asked, known, rounds) {
            return Ok(flight);
        }
        if let Some(limit) = &state.over {
            return Err(Refused::Limit(limit.clone()));
        }
        let max_turns = opened.stage.manifest.max_turns;
        if state.book.requests() >= max_turns as usize {
            return Err(Refused::Limit(format!("the run asked for max_turns = {max_turns} replies")));
        }
        state.start(start).0.deliver(rounds);
        let Asked { dialect, ref model, stream, ref body, .. } = **asked;
        let model = model.clone();
        let ask = ApiAsk { dialect, model, stream, key, occurrence, after: None, body: Json::empty_object() };
        let (slot, ask) = state.book.begin(body, ask);
        Ok(self.take_off(&mut state, opened, start, asked, slot, ask))
    }

    /// An error if the program tells the model of a result that it was not given: its call broke off, and it goes on as if
    /// that was what the call came to.
    fn were_given(&self, start: Option<u32>, rounds: &[Round]) -> Result<(), Refused> {
        if self.rules.results == ProgramResults::Any {
            return Ok(());
        }
        let mut state = self.state();
        let tools = Arc::clone(&state.tools);
        let (known, book) = state.start(start);
        let Some(round) = rounds.last() else { return Ok(()) };
        for (place, slot, delivered) in known.results_of(round) {
            let is_tool = || {
                let call = round.results.get(place).and_then(|result| round.calls.get(result.call?));
                call.is_some_and(|call| tools.contains(&call.name))
            };
            if delivered || !is_tool() {
                continue;
            }
            let text = round.results.get(place).map_or("", |result| &result.text);
            let why = match book.call_at(&slot).map(|called| &called.outcome) {
                None => "the call was never made",
                Some(None) => "the call still goes on",
                Some(Some(outcome)) if holds(text, outcome) => continue,
                Some(Some(_)) => "the call came to something else",
            };
            return Err(Refused::NotGiven { slot, why: why.to_owned() });
        }
        Ok(())
    }

    fn take_off(
        self: &Arc<Self>,
        state: &mut State,
        opened: &Arc<Opened>,
        start: Option<u32>,
        asked: &Arc<Asked>,
        slot: Slot,
        ask: ApiAsk,
    ) -> Arc<Flight> {
        let flight = Flight::new(asked.dialect);
        flight.join(start);
        state.flights.insert(slot.clone(), Arc::clone(&flight));
        let landing = Landing { desk: Arc::clone(self), slot, flight: Arc::clone(&flight) };
        Self::spawn(opened, landing.fly(Arc::clone(opened), Arc::clone(asked), ask));
        flight
    }

    async fn attempt(
        &self,
        asked: &Asked,
        flight: &Flight,
        refused: &parking_lot::Mutex<Option<End>>,
        attempt: Attempt,
    ) -> Result<Done<Outcome>, SessionError> {
        let id = format!("{}{}", &attempt.idempotency_key.to_string()[..12], attempt.number);
        let Asked { dialect, ref model, stream, ref path, ref query, ref headers, ref text, ref body } =
            *asked;
        let (query, span) = (query.as_deref(), attempt.span.as_ref());
        let sent = Passed { path, query, headers, body: Some(text), span };
        let passing = Passing { dialect, model, stream, body, sent, attempt: attempt.number, id: &id };
        let reply = match &self.provider {
            Some(provider) => provider.pass(passing, &|heard| flight.hear(heard)).await,
            None => Err(ModelError::Setup("there is no provider".to_owned()).into()),
        };
        let reply: Result<Reply, ModelFailure> = reply.map_err(|NotPassed { answer, error }| {
            let failure = ModelFailure::from(error);
            *refused.lock() = Some(match answer {
                Some(wire) => End::Refused(Arc::new(wire)),
                None => End::Failed(Failed { why: failure.to_string(), may_pass: failure.may_pass }),
            });
            // The program asks again, as it would ask its provider.
            ModelFailure { shortens: false, fall_back: false, ..failure }
        });
        Ok(Done::from(reply).recorded())
    }
}

/// A request that is carried out; however that ends, whoever waits for it is told.
struct Landing {
    desk: Arc<Desk>,
    slot: Slot,
    flight: Arc<Flight>,
}

impl Landing {
    async fn fly(self, opened: Arc<Opened>, asked: Arc<Asked>, ask: ApiAsk) {
        let refused = parking_lot::Mutex::new(None);
        let reach = if self.desk.provider.as_ref().is_some_and(|it| it.reaches_outside()) {
            Reach::Outside
        } else {
            Reach::Pure
        };
        let conduct = Conduct { reach, doubt: Doubt::Repeat, retry: Retry::NEVER, room: None };
        let session: Arc<dyn Execution> = Arc::clone(&opened.stage.session) as _;
        let carry_out = |attempt| -> BoxFuture<'_, _> {
            Box::pin(self.desk.attempt(&asked, &self.flight, &refused, attempt))
        };
        let request = Request::Api(Box::new(ask));
        let reply: Result<Result<Reply, ModelFailure>, _> =
            session.effect(self.slot.clone(), request, conduct, &carry_out).await;
        opened.stage.session.release(&self.slot);
        let end = match reply {
            Ok(Ok(reply)) => {
                let mut state = self.desk.state();
                state.count(&self.slot, &reply);
                state.book.replied(&self.slot, &reply);
                // Before anybody is told, so that a call finds its place however fast it comes.
                for start in self.flight.starts() {
                    let wanted = state.book.wanted_at(&self.slot).unwrap_or_default().to_vec();
                    state.start(start).0.serve(&self.slot, &wanted);
                }
                drop(state);
                let gone = || Failed { why: "the recorded reply has no body".to_owned(), may_pass: false };
                reply.wire.map_or_else(|| End::Failed(gone()), End::Replied)
            }
            Ok(Err(failure)) => {
                let Failed { why, may_pass } =
                    Failed { why: failure.to_string(), may_pass: failure.may_pass };
                refused.into_inner().unwrap_or(End::Failed(Failed { why, may_pass }))
            }
            Err(SessionError::Unfinished { .. }) => End::Over,
            Err(error) => End::Failed(Failed { why: error.to_string(), may_pass: false }),
        };
        self.desk.state().flights.remove(&self.slot);
        self.flight.end(end);
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        // What has ended is not ended again.
        let why = "the host stopped working on the run; it goes on when it is asked again".to_owned();
        self.flight.end(End::Failed(Failed { why, may_pass: true }));
        self.desk.change();
    }
}

impl Asking {
    /// What comes next.
    pub async fn next(&mut self) -> Next {
        let next = self.flight.next(self.headed, self.heard).await;
        match &next {
            Next::Head(..) => self.headed = true,
            Next::Piece(_) => self.heard += 1,
            Next::End(End::Replied(_)) => self.done = true,
            Next::End(End::Refused(_) | End::Failed(_) | End::Over) => {}
        }
        next
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        leave(&self.desk, self.start, self.key, self.occurrence, self.done);
    }
}
