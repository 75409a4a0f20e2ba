//! Calls of tools.

use std::sync::Arc;

use tokio::sync::watch;

use super::book::Called;
use super::desk::{Desk, Opened, State};
use super::flight::{CallFlight, Failed};
use super::refused::Refused;
use crate::config::ProgramCalls;
use crate::message::{Arguments, Moment, Slot, ToolCall, ToolResult};
use crate::session::{Execution, SessionError, Waiting, Wants};

/// Where what a call comes to is told.
type Ended = watch::Receiver<Option<Result<ToolResult, Failed>>>;

/// A call that is waited for.
pub struct Calling {
    desk: Arc<Desk>,
    start: Option<u32>,
    slot: Slot,
    ended: Ended,
    delivered: bool,
}

impl Desk {
    /// Takes a call of a start of the program.
    pub async fn call(
        self: &Arc<Self>,
        start: Option<u32>,
        name: &str,
        arguments: Arguments,
        client_id: Option<String>,
    ) -> Result<Calling, Refused> {
        self.admit(start)?;
        let opened = self.opened()?;
        let input = arguments.as_written().to_owned();
        loop {
            let mut changed = self.changed.subscribe();
            {
                let mut state = self.state();
                let (known, book) = state.start(start);
                let mut slot = known.call(book, name, &input, client_id.as_deref());
                // A reply that is on its way may ask for it: some programs make calls before they have read all of it.
                if slot.is_none() && state.flights.is_empty() {
                    if self.rules.calls == ProgramCalls::Asked {
                        return Err(Refused::Uncalled(name.to_owned()));
                    }
                    let free = state.book.free_slot();
                    state.start(start).0.open_free(free.clone(), name, &input);
                    slot = Some(free);
                }
                if let Some(slot) = slot {
                    state.waiting += 1;
                    return Ok(self.attend(&mut state, &opened, start, slot, (name, arguments, client_id)));
                }
            }
            // The desk is there as long as this.
            let _ = changed.changed().await;
            self.admit(start)?;
        }
    }

    fn attend(
        self: &Arc<Self>,
        state: &mut State,
        opened: &Arc<Opened>,
        start: Option<u32>,
        slot: Slot,
        (name, arguments, client_id): (&str, Arguments, Option<String>),
    ) -> Calling {
        let ended = if let Some(flight) = state.calls.get(&slot) {
            flight.subscribe()
        } else {
            let recorded = state.book.call_at(&slot);
            // What is recorded is what was called, under the id that it was called by.
            let client_id = recorded.map_or(client_id, |called| called.client_id.clone());
            let (owned, input) = (name.to_owned(), arguments.as_written().to_owned());
            let called = Called { name: owned, input, client_id: client_id.clone(), outcome: None };
            state.book.call(slot.clone(), called);
            let id = client_id.clone().unwrap_or_default();
            let call = ToolCall { id, name: name.to_owned(), arguments };
            self.make(state, opened, &slot, call, client_id)
        };
        Calling { desk: Arc::clone(self), start, slot, ended, delivered: false }
    }

    /// Has a call made, and says where what it comes to is told.
    fn make(
        self: &Arc<Self>,
        state: &mut State,
        opened: &Arc<Opened>,
        slot: &Slot,
        call: ToolCall,
        client_id: Option<String>,
    ) -> Ended {
        let flight: Arc<CallFlight> = Arc::new(watch::channel(None).0);
        state.calls.insert(slot.clone(), Arc::clone(&flight));
        let ended = flight.subscribe();
        let making = Making { desk: Arc::clone(self), slot: slot.clone(), flight };
        Self::spawn(opened, making.make(Arc::clone(opened), call, client_id));
        ended
    }

    /// Has a call go on that is recorded and has not ended; `None` if there is no such call.
    pub(super) fn go_on(self: &Arc<Self>, opened: &Arc<Opened>, slot: &Slot) -> Option<Ended> {
        let mut state = self.state();
        if let Some(flight) = state.calls.get(slot) {
            return Some(flight.subscribe());
        }
        let Called { name, input, client_id, outcome } = state.book.call_at(slot)?.clone();
        if outcome.is_some() {
            return None;
        }
        let id = client_id.clone().unwrap_or_default();
        let call = ToolCall { id, name, arguments: Arguments::parse(&input) };
        Some(self.make(&mut state, opened, slot, call, client_id))
    }

    /// Waits until something may have been said of what a call waits for.
    async fn wait(&self, waiting: &[Waiting], words: &mut watch::Receiver<u64>) {
        let moments = waiting.iter().filter_map(|waiting| match waiting.wants {
            Wants::Moment(moment_ms) => Some(Moment(moment_ms)),
            Wants::Settlement | Wants::Approval | Wants::Answer => None,
        });
        // Whoever was asked has been told that somebody else decides.
        let decided = waiting.iter().any(|it| matches!(it.wants, Wants::Approval | Wants::Answer));
        let moment = moments.min().map(|moment| moment.since(Moment::now()));
        match moment {
            _ if decided => {}
            Some(left) => tokio::time::sleep(left).await,
            // The desk is there as long as this.
            None => drop(words.changed().await),
        }
    }
}

/// A call that is made; however that ends, whoever waits for it is told.
struct Making {
    desk: Arc<Desk>,
    slot: Slot,
    flight: Arc<CallFlight>,
}

impl Making {
    async fn make(self, opened: Arc<Opened>, call: ToolCall, client_id: Option<String>) {
        let run = &opened.stage;
        let session: Arc<dyn Execution> = Arc::clone(&run.session) as _;
        let made = loop {
            let mut words = self.desk.words.subscribe();
            let made =
                run.dispatcher.dispatch_one(&session, self.slot.clone(), call.clone(), client_id.clone());
            match made.await {
                Err(SessionError::Waits(waiting)) => {
                    self.desk.wait(&waiting, &mut words).await;
                    let taken_in = async {
                        let entries = (run.reread)().await?;
                        run.session.take_in(&self.slot, entries.clone())?;
                        waiting.iter().try_for_each(|it| run.session.take_in(&it.slot, entries.clone()))
                    };
                    if let Err(error) = taken_in.await {
                        break Err(error);
                    }
                }
                made => break made,
            }
        };
        run.session.release(&self.slot);
        run.session.release(&self.slot.approval());
        let ended = match made {
            Ok(called) => {
                let mut state = self.desk.state();
                state.book.called(&self.slot, &called.result.outcome);
                if let (Some(used), Some(spending)) = (called.used, &mut state.spending) {
                    spending.count_called([used]);
                }
                Ok(called.result)
            }
            Err(error) => Err(Failed { why: error.to_string(), may_pass: false }),
        };
        self.desk.state().calls.remove(&self.slot);
        self.flight.send_replace(Some(ended));
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.flight.send_if_modified(|ended| {
            let is_open = ended.is_none();
            let why = "the host stopped working on the run; it goes on when it is asked again".to_owned();
            ended.get_or_insert(Err(Failed { why, may_pass: true }));
            is_open
        });
        self.desk.change();
    }
}

impl Calling {
    /// Where the call is recorded.
    #[must_use]
    pub fn slot(&self) -> &Slot {
        &self.slot
    }

    /// What the call comes to.
    pub async fn result(&mut self) -> Result<ToolResult, Failed> {
        // The sender has told something before it is dropped.
        let ended = self.ended.wait_for(Option::is_some).await;
        ended
            .ok()
            .and_then(|ended| ended.clone())
            .unwrap_or_else(|| Err(Failed { why: "the call was given up".to_owned(), may_pass: true }))
    }

    /// Takes in that the result is on its way to the program.
    pub fn delivered(&mut self) {
        self.delivered = true;
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        let mut state = self.desk.state();
        state.waiting = state.waiting.saturating_sub(1);
        state.start(self.start).0.called(&self.slot, self.delivered);
        drop(state);
        self.desk.change();
    }
}
