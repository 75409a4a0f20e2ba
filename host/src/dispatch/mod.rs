//! Calls in parallel, those of a turn and those of a tool: each checked, run and recorded on its own, results in
//! call order.
//!
//! Owns the bound on calls at once and the checks before a call (is there such a tool, is the input JSON,
//! does it fit the schema). Does not know how a tool runs: that is the [`ToolRunner`]. Invariant: n calls
//! give n results, whatever any one of them comes to; dropping the future cancels all of them. It fails
//! only where the session fails.

mod agents;
mod approval;
mod builtin;
mod callable;
mod fan_out;
mod person;
mod room;
mod runner;

pub use agents::{AgentRunner, NoAgents, entry as agent_entry, prompt as agent_prompt};
pub use builtin::{BUILT_IN, answered, entry as builtin_entry, wakes_at};
pub use person::{Person, Spoken, Unattended};
pub use runner::{NoRunner, ToolRunner};

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::message::{
    Arguments, Builtin, ErrorKind, Json, Manifest, Request, Retry, SHOWN_BYTES_MAX, Slot, Target, ToolAsk,
    ToolCall, ToolEntry, ToolOutcome, ToolResult,
};
use crate::session::{
    Attempt, CALL_DEPTH_MAX, Conduct, Done, Doubt, Held, Reach, Room as _, Session, SessionError, Waiting,
    Wants,
};
use agents::BELOW;
use approval::{ASKING, Gate, Passed};
use callable::Callable;
use fan_out::{Caller, Nested};
use room::{CallRoom, Parallel};

/// How a call is carried out that the dispatcher itself answers.
const REFUSED: Conduct<'static> =
    Conduct { reach: Reach::Pure, doubt: Doubt::Repeat, retry: Retry::NEVER, room: None };

/// A call on its way.
struct Placed {
    slot: Slot,
    call: ToolCall,
    /// What it comes to without being made.
    refusal: Option<ToolOutcome>,
}

/// What calls made together came to, so far.
struct Results {
    results: Vec<Option<ToolResult>>,
    waiting: Vec<Waiting>,
}

impl Results {
    fn place(&mut self, index: usize, result: Result<ToolResult, SessionError>) -> Result<(), SessionError> {
        match result {
            Ok(result) => {
                if let Some(place) = self.results.get_mut(index) {
                    *place = Some(result);
                }
            }
            Err(SessionError::Waits(waiting)) => self.waiting.extend(waiting),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn whole(self) -> Result<Vec<ToolResult>, SessionError> {
        let Self { results, mut waiting } = self;
        if waiting.is_empty() {
            return Ok(results.into_iter().flatten().collect());
        }
        waiting.sort_by(|a, b| a.slot.cmp(&b.slot));
        Err(SessionError::Waits(waiting))
    }
}

/// Runs the calls of one run.
pub struct Dispatcher {
    tools: HashMap<String, Callable>,
    runner: Arc<dyn ToolRunner>,
    /// By how many callers wait for a call: those of one depth never wait for places that their own callers hold.
    permits: [Semaphore; CALL_DEPTH_MAX + 1],
    max_calls_per_turn: u32,
    gate: Gate,
    person: Arc<dyn Person>,
    agents: Arc<dyn AgentRunner>,
}

/// Who carries a call out.
enum By {
    /// Nobody: it comes to this.
    Nobody(ToolOutcome),
    /// The host itself.
    Host(Builtin),
    /// An agent.
    Agent,
    /// A component.
    Component,
}

impl By {
    /// Who carries a call out that may come to something without.
    fn of(callable: Option<&Callable>, refusal: Option<ToolOutcome>, call: &ToolCall) -> Self {
        match (refusal, callable) {
            (Some(refusal), _) => Self::Nobody(refusal),
            (None, Some(callable)) => match (callable.entry.builtin, &callable.entry.agent) {
                (Some(builtin), _) => Self::Host(builtin),
                (None, Some(_)) => Self::Agent,
                (None, None) => Self::Component,
            },
            (None, None) => Self::Nobody(unknown(&call.name)),
        }
    }
}

impl Dispatcher {
    /// A dispatcher of the manifest's tools that runs at most `max_parallel` calls at once.
    #[must_use]
    pub fn new(manifest: &Manifest, runner: Arc<dyn ToolRunner>, max_parallel: u32) -> Self {
        let callable = |entry: &ToolEntry| (entry.spec.name.clone(), Callable::new(entry));
        Self {
            tools: manifest.tools.iter().map(callable).collect(),
            runner,
            permits: std::array::from_fn(|_| Semaphore::new(max_parallel as usize)),
            max_calls_per_turn: manifest.max_calls_per_turn,
            gate: Gate::new(&manifest.approvals),
            person: Arc::new(Unattended),
            agents: Arc::new(NoAgents),
        }
    }

    /// Has somebody carry out the runs of the agents among the tools.
    #[must_use]
    pub fn calling(self, agents: Arc<dyn AgentRunner>) -> Self {
        Self { agents, ..self }
    }

    /// Has somebody decide on the calls that agent.toml wants approved.
    #[must_use]
    pub fn attended_by(self, person: Arc<dyn Person>) -> Self {
        Self { person, ..self }
    }

    /// Runs all calls of a turn, of the run at a slot, and returns when each has ended: one result a call, in call
    /// order. A call that comes with an outcome comes to that, and is not made. Calls that wait hold up no other; all
    /// of them are told of together, when the others have ended.
    pub async fn dispatch(
        self: &Arc<Self>,
        session: &Arc<Session>,
        run: &Slot,
        turn: u32,
        calls: Vec<(ToolCall, Option<ToolOutcome>)>,
    ) -> Result<Vec<ToolResult>, SessionError> {
        let place = |(index, (call, refusal)): (u32, (ToolCall, Option<ToolOutcome>))| {
            let refusal = refusal.or_else(|| self.refuse_model(index, &call));
            Placed { slot: run.tool_of(turn, index), call, refusal }
        };
        self.all(session, None, (0..).zip(calls).map(place).collect()).await
    }

    /// Carries a call out once, as in a run, and records nothing; what the tool itself calls is taken from a
    /// recorded session.
    pub async fn call_once(
        self: &Arc<Self>,
        session: &Arc<Session>,
        call: &ToolCall,
        attempt: Attempt,
    ) -> Result<ToolOutcome, SessionError> {
        let room = self.room(session, None);
        let _seat = room.seat().await;
        Ok(self.attempt(session, None, call, &attempt).await?.value)
    }

    /// The room for calls of a run that so many callers wait for.
    fn room<'a>(&'a self, session: &Session, caller: Option<&Arc<Caller>>) -> CallRoom<'a> {
        let depth = Caller::depth(caller);
        let parallel = Parallel(self.permits.get(depth));
        CallRoom { parallel, runner: &*self.runner, run: session.run(), depth }
    }

    /// Runs calls that the model, or a tool, makes together.
    async fn all(
        self: &Arc<Self>,
        session: &Arc<Session>,
        caller: Option<Arc<Caller>>,
        calls: Vec<Placed>,
    ) -> Result<Vec<ToolResult>, SessionError> {
        let mut results = Results { results: calls.iter().map(|_| None).collect(), waiting: vec![] };
        let mut tasks = JoinSet::new();
        for (index, placed) in calls.into_iter().enumerate() {
            let (dispatcher, session, caller) = (Arc::clone(self), Arc::clone(session), caller.clone());
            let call = async move { (index, dispatcher.one(&session, caller.as_ref(), placed).await) };
            let mut call = Box::pin(call);
            // A result that is recorded is there at once; only the others are worth a task.
            match futures::poll!(&mut call) {
                Poll::Ready((index, result)) => results.place(index, result)?,
                Poll::Pending => drop(tasks.spawn(call)),
            }
        }
        while let Some(joined) = tasks.join_next().await {
            match joined {
                Ok((index, result)) => results.place(index, result)?,
                // A panic of the host's own code is passed on; the other calls end with the join set.
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => {}
            }
        }
        results.whole()
    }

    async fn one(
        self: &Arc<Self>,
        session: &Arc<Session>,
        caller: Option<&Arc<Caller>>,
        placed: Placed,
    ) -> Result<ToolResult, SessionError> {
        let Placed { slot, mut call, mut refusal } = placed;
        let callable = self.tools.get(&call.name);
        let target = callable
            .map(|callable| Target { component: callable.entry.component, grants: callable.entry.grants });
        let mut ask = ToolAsk { name: call.name.clone(), arguments: call.arguments.clone(), target };
        let mut note = None;
        // Nobody is asked about a call that would come to nothing.
        if self.gate.may_stop() && refusal.is_none() && self.admit(&call).await.is_ok() {
            let _still = stand_still(session, caller);
            match self.gate.pass(session, &*self.person, &slot, &ask).await? {
                Passed::Approved(None) => {}
                Passed::Approved(Some(input)) => {
                    note = Some(session.words().changed_input(&input));
                    call.arguments = Arguments::Json(input);
                    ask.arguments = call.arguments.clone();
                }
                Passed::Refused(outcome) => refusal = Some(outcome),
            }
        }
        let by = By::of(callable, refusal, &call);
        let room = self.room(session, caller);
        let conduct = match (&by, callable) {
            (By::Component, Some(callable)) => {
                Conduct { room: Some(&room), ..self.runner.conduct(&callable.entry) }
            }
            (By::Agent, _) => Conduct { room: Some(&room.parallel), ..BELOW },
            (By::Host(_), _) => ASKING,
            (By::Nobody(_), _) | (By::Component, None) => REFUSED,
        };
        let request = Request::Tool(ask);
        let carry_out = async |attempt: Attempt| match &by {
            By::Nobody(refusal) => Ok(refusal.clone().into()),
            By::Host(builtin) => {
                let _still = stand_still(session, caller);
                self.call_builtin(session, *builtin, &call, &request, &attempt).await
            }
            By::Agent => self.call_agent(session, &call, &attempt).await,
            By::Component => {
                let stopped = |error| stopped(error, conduct.doubt, &attempt, &request);
                self.attempt(session, caller, &call, &attempt).await.map_err(stopped)
            }
        };
        let outcome = match by {
            By::Agent => session.composite(slot, request.clone(), conduct, carry_out).await?,
            By::Nobody(_) | By::Host(_) | By::Component => {
                session.effect(slot, request.clone(), conduct, carry_out).await?
            }
        };
        let shown_bytes_max = callable.map_or(SHOWN_BYTES_MAX, |callable| callable.entry.shown_bytes_max);
        let (call_id, name) = (call.id.clone(), call.name.clone());
        let is_whole = session.rules().results_are_whole();
        let result = ToolResult { call_id, name, outcome, shown_bytes_max, note, shown: None, is_whole };
        let is_recorded = session.rules().what_is_told_is_recorded();
        Ok(if is_recorded { result.told_in(session.words()) } else { result })
    }

    /// One attempt of a call, or what the caller is told because there is nothing to attempt.
    async fn attempt(
        self: &Arc<Self>,
        session: &Arc<Session>,
        caller: Option<&Arc<Caller>>,
        call: &ToolCall,
        attempt: &Attempt,
    ) -> Result<Done<ToolOutcome>, SessionError> {
        let (tool, input) = match self.admit(call).await {
            Ok(admitted) => admitted,
            Err(refusal) => return Ok(refusal.into()),
        };
        let caller = Caller::new(caller, &call.name, &attempt.slot);
        let nested = Arc::new(Nested::new(Arc::clone(self), Arc::clone(session), caller));
        let fan_out = Arc::clone(&nested);
        let done = self.runner.call(&tool.entry, input, attempt, fan_out).await;
        let value = nested.verdict()?.unwrap_or(done.value);
        let (began, mut usage) = (Instant::now(), done.usage);
        let value = tool.hold(value).await;
        usage.wall_us =
            usage.wall_us.saturating_add(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        Ok(Done { value, usage, trace: done.trace, by: None })
    }

    async fn call_builtin(
        &self,
        session: &Session,
        builtin: Builtin,
        call: &ToolCall,
        request: &Request,
        attempt: &Attempt,
    ) -> Result<Done<ToolOutcome>, SessionError> {
        match self.admit(call).await {
            Ok((tool, input)) => match self.person.waits_for_nothing(&attempt.slot, &tool.entry, input) {
                Some(outcome) => Ok(outcome.into()),
                None => builtin::call(builtin, input, request, attempt, session.rules(), &*self.person).await,
            },
            Err(refusal) => Ok(refusal.into()),
        }
    }

    async fn call_agent(
        &self,
        session: &Arc<Session>,
        call: &ToolCall,
        attempt: &Attempt,
    ) -> Result<Done<ToolOutcome>, SessionError> {
        match self.admit(call).await {
            Ok((agent, input)) => self.agents.call(&agent.entry, input, attempt, session).await,
            Err(refusal) => Ok(refusal.into()),
        }
    }

    /// What a tool is told of a call that only a model may make.
    fn refuse_tool(&self, call: &ToolCall) -> Option<ToolOutcome> {
        let is_agent = self.tools.get(&call.name).is_some_and(|tool| tool.entry.agent.is_some());
        let message = || format!("`{}` is an agent, and no tool can call one", call.name);
        is_agent.then(|| ToolOutcome::error(ErrorKind::NotCalled, message()))
    }

    /// What the model is told of a call that it may not make.
    fn refuse_model(&self, index: u32, call: &ToolCall) -> Option<ToolOutcome> {
        if index >= self.max_calls_per_turn {
            let message = format!(
                "a turn may make {} calls, and this is call {}: make it in a later turn",
                self.max_calls_per_turn,
                index + 1
            );
            return Some(ToolOutcome::error(ErrorKind::TooManyCalls, message));
        }
        if self.tools.get(&call.name).is_some_and(|tool| !tool.entry.hidden) {
            return None;
        }
        let offered = self.tools.values().filter(|tool| !tool.entry.hidden);
        let mut names: Vec<&str> = offered.map(|tool| tool.entry.spec.name.as_str()).collect();
        names.sort_unstable();
        let message = format!("there is no tool `{}`; the tools are: {}", call.name, names.join(", "));
        Some(ToolOutcome::error(ErrorKind::UnknownTool, message))
    }

    /// What is called with what, or what to tell the caller instead.
    async fn admit<'a>(&'a self, call: &'a ToolCall) -> Result<(&'a Callable, &'a Json), ToolOutcome> {
        let Some(callable) = self.tools.get(&call.name) else {
            return Err(unknown(&call.name));
        };
        let input = callable.admit(call).await?;
        Ok((callable, input))
    }
}

/// While a call waits for a person, or a moment, time stands still for the run and for all who wait for the call.
fn stand_still<'a>(session: &'a Session, caller: Option<&'a Arc<Caller>>) -> (Held<'a>, Vec<Held<'a>>) {
    (session.clock().hold(), Caller::hold(caller))
}

/// Why an attempt was stopped. One that is stopped because something below it waits is in doubt itself, if it may have
/// taken effect by then: so a person is told at once of all there is to decide.
fn stopped(error: SessionError, doubt: Doubt, attempt: &Attempt, request: &Request) -> SessionError {
    let SessionError::Waits(mut waiting) = error else { return error };
    if doubt == Doubt::Ask {
        let (slot, request, at_ms) = (attempt.slot.clone(), request.clone(), attempt.at_ms);
        waiting.push(Waiting { slot, request, at_ms, wants: Wants::Settlement });
    }
    SessionError::Waits(waiting)
}

fn unknown(tool: &str) -> ToolOutcome {
    ToolOutcome::error(ErrorKind::UnknownTool, format!("there is no tool `{tool}`"))
}
