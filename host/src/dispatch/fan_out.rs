//! The calls that tools make.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::{Dispatcher, Placed};
use crate::message::{ErrorKind, Moment, Rules, Slot, ToolCall, ToolOutcome};
use crate::session::{CALL_DEPTH_MAX, CalledAll, Clock, Execution, FanOut, Held, SessionError, Stopped};

/// The calls that one call of the model may lead to, all depths together. Each is recorded, so a tool that calls
/// without end would fill the disk.
const CALLS_BELOW_MAX: u32 = 10_000;

/// A tool that is being called, and who waits for it.
pub(super) struct Caller {
    tool: String,
    slot: Slot,
    waiting: Option<Arc<Caller>>,
    clock: Clock,
    /// How many calls were made below the model's call, shared by all callers there.
    calls_below: Arc<AtomicU32>,
}

impl Caller {
    pub(super) fn new(caller: Option<&Arc<Self>>, tool: &str, slot: &Slot) -> Self {
        let calls_below = caller.map_or_else(Arc::default, |caller| Arc::clone(&caller.calls_below));
        let (tool, slot, waiting) = (tool.to_owned(), slot.clone(), caller.cloned());
        Self { tool, slot, waiting, clock: Clock::default(), calls_below }
    }

    /// How many callers wait for what this one calls.
    pub(super) fn depth(caller: Option<&Arc<Self>>) -> usize {
        caller.map_or(0, |caller| 1 + Self::depth(caller.waiting.as_ref()))
    }

    /// Lets the clocks of all these callers stand still.
    pub(super) fn hold(caller: Option<&Arc<Self>>) -> Vec<Held<'_>> {
        let callers = std::iter::successors(caller, |caller| caller.waiting.as_ref());
        callers.map(|caller| caller.clock.hold()).collect()
    }

    /// The tools that are being called, the model's call first.
    fn chain(&self) -> Vec<&str> {
        let mut chain = self.waiting.as_ref().map_or_else(Vec::new, |caller| caller.chain());
        chain.push(&self.tool);
        chain
    }

    /// Why this tool may not make a call, whatever it is granted.
    fn refuse(self: &Arc<Self>, call: &ToolCall) -> Option<ToolOutcome> {
        let chain = self.chain();
        let refused = |message| Some(ToolOutcome::error(ErrorKind::NotCalled, message));
        if chain.contains(&call.name.as_str()) {
            return refused(format!(
                "tools cannot call each other in a cycle: {} > {}",
                chain.join(" > "),
                call.name
            ));
        }
        if Self::depth(Some(self)) > CALL_DEPTH_MAX {
            return refused(format!(
                "tools call each other at most {CALL_DEPTH_MAX} deep: {} > {}",
                chain.join(" > "),
                call.name
            ));
        }
        None
    }
}

/// The calls of one attempt of a tool.
pub(super) struct Nested {
    dispatcher: Arc<Dispatcher>,
    session: Arc<dyn Execution>,
    caller: Arc<Caller>,
    /// The place of the next call among all calls of this attempt.
    next: AtomicU32,
    stop: Mutex<Option<Stop>>,
}

/// Why the caller was stopped.
enum Stop {
    /// The run cannot go on.
    Run(SessionError),
    /// The caller did what no tool may.
    Caller(ToolOutcome),
}

impl Nested {
    pub(super) fn new(dispatcher: Arc<Dispatcher>, session: Arc<dyn Execution>, caller: Caller) -> Self {
        let (caller, next, stop) = (Arc::new(caller), AtomicU32::new(0), Mutex::default());
        Self { dispatcher, session, caller, next, stop }
    }

    /// What the caller comes to because of its calls, whatever it says itself.
    pub(super) fn verdict(&self) -> Result<Option<ToolOutcome>, SessionError> {
        match self.stop.lock().take() {
            Some(Stop::Run(error)) => Err(error),
            Some(Stop::Caller(outcome)) => Ok(Some(outcome)),
            None => Ok(None),
        }
    }

    async fn make(&self, calls: Vec<ToolCall>) -> Result<CalledAll, Stop> {
        let count = u32::try_from(calls.len()).unwrap_or(u32::MAX);
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let below = self.caller.calls_below.fetch_add(count, Ordering::Relaxed);
        if below.saturating_add(count) > CALLS_BELOW_MAX {
            let message =
                format!("one call may lead to {CALLS_BELOW_MAX} calls of tools by tools, and no more");
            return Err(Stop::Caller(ToolOutcome::error(ErrorKind::TooManyCalls, message)));
        }
        let place = |(index, call)| {
            let refusal = self.caller.refuse(&call).or_else(|| self.dispatcher.refuse_tool(&call));
            Placed { slot: self.caller.slot.call(index), call, client_id: None, refusal }
        };
        let placed: Vec<Placed> = (first..).zip(calls).map(place).collect();
        let slots: Vec<Slot> = placed.iter().map(|placed| placed.slot.clone()).collect();
        match self.dispatcher.all(&self.session, Some(Arc::clone(&self.caller)), placed).await {
            Ok(results) => {
                let outcomes = results.into_iter().map(|called| called.result.outcome).collect();
                // Where nothing of it is recorded, it is over now.
                let end = |slot| self.session.end_of(slot).unwrap_or_else(Moment::now);
                Ok(CalledAll { outcomes, ended: slots.iter().map(end).max() })
            }
            // A tool that asks for something else when it is called again is no reason to give the run up.
            Err(error @ (SessionError::Diverged(_) | SessionError::Unfinished { .. })) => {
                let message = format!(
                    "the tool made other calls than in an attempt before, so that what is recorded does not fit: {error}"
                );
                Err(Stop::Caller(ToolOutcome::error(ErrorKind::Diverged, message)))
            }
            Err(error) => Err(Stop::Run(error)),
        }
    }
}

impl FanOut for Nested {
    fn call_all(&self, calls: Vec<ToolCall>) -> BoxFuture<'_, Result<CalledAll, Stopped>> {
        Box::pin(async move {
            self.make(calls).await.map_err(|stop| {
                self.stop.lock().get_or_insert(stop);
                Stopped
            })
        })
    }

    fn has_tool(&self, name: &str) -> bool {
        self.dispatcher.tool(name).is_some_and(|tool| tool.entry().agent.is_none())
    }

    fn rules(&self) -> Rules {
        self.session.facts().rules
    }

    fn clock(&self) -> &Clock {
        &self.caller.clock
    }
}
