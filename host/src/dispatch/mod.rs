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
mod results;
mod room;
mod runner;

pub use agents::{AgentRunner, NoAgents, entry as agent_entry, prompt as agent_prompt};
pub use builtin::{BUILT_IN, answered, entry as builtin_entry, wakes_at};
pub use person::{Person, Spoken, Unattended};
pub use results::Called;
pub use runner::{NoRunner, ToolRunner};

use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::message::{
    Arguments, Builtin, ErrorKind, Json, Manifest, Request, Retry, Rules, SHOWN_BYTES_MAX, Slot, Step,
    Target, ToolAsk, ToolCall, ToolEntry, ToolOutcome, ToolResult, Used,
};
use crate::session::{
    Answered, Attempt, CALL_DEPTH_MAX, Conduct, Done, Doubt, Effect, Execution, Reach, Room as _,
    SessionError, Waiting, Wants,
};
use agents::BELOW;
use approval::{Gate, Passed};
use callable::Callable;
use fan_out::{Caller, Nested};
use results::{Placed, Results};
use room::{CallRoom, Parallel};

/// How a call is carried out that the dispatcher itself answers.
const REFUSED: Conduct<'static> =
    Conduct { reach: Reach::Pure, doubt: Doubt::Repeat, retry: Retry::NEVER, room: None };

/// Runs the calls of one run.
pub struct Dispatcher {
    tools: Vec<Callable>,
    runner: Arc<dyn ToolRunner>,
    /// By how many callers wait for a call: those of one depth never wait for places that their own callers hold.
    permits: [Semaphore; CALL_DEPTH_MAX + 1],
    max_calls_per_turn: u32,
    gate: Gate,
    person: Arc<dyn Person>,
    agents: Arc<dyn AgentRunner>,
}

/// Who carries a call out.
enum By<'a> {
    /// Nobody: it comes to this.
    Nobody(ToolOutcome),
    /// The host itself.
    Host(Builtin),
    /// An agent.
    Agent,
    /// A component, for this tool.
    Component(&'a ToolEntry),
}

impl<'a> By<'a> {
    /// Who carries a call out that may come to something without.
    fn of(callable: Option<&'a Callable>, refusal: Option<ToolOutcome>, call: &ToolCall) -> Self {
        match (refusal, callable) {
            (Some(refusal), _) => Self::Nobody(refusal),
            (None, Some(callable)) => match (callable.entry().builtin, &callable.entry().agent) {
                (Some(builtin), _) => Self::Host(builtin),
                (None, Some(_)) => Self::Agent,
                (None, None) => Self::Component(callable.entry()),
            },
            (None, None) => Self::Nobody(unknown(&call.name)),
        }
    }
}

impl Dispatcher {
    /// A dispatcher of the manifest's tools that runs at most `max_parallel` calls at once.
    #[must_use]
    pub fn new(manifest: &Manifest, runner: Arc<dyn ToolRunner>, max_parallel: u32) -> Self {
        Self {
            tools: Callable::all(&manifest.tools, &*runner),
            runner,
            permits: std::array::from_fn(|_| Semaphore::new(max_parallel as usize)),
            max_calls_per_turn: manifest.max_calls_per_turn,
            gate: Gate::new(&manifest.approvals),
            person: Arc::new(Unattended),
            agents: Arc::new(NoAgents),
        }
    }

    /// The tool of a name.
    fn tool(&self, name: &str) -> Option<&Callable> {
        self.tools.iter().find(|tool| tool.entry().spec.name == name)
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
        session: &Arc<dyn Execution>,
        run: &Slot,
        turn: u32,
        calls: Vec<(ToolCall, Option<ToolOutcome>)>,
    ) -> Result<Vec<Called>, SessionError> {
        let place = |(index, (call, refusal)): (u32, (ToolCall, Option<ToolOutcome>))| {
            let refusal = refusal.or_else(|| self.refuse_model(index, &call));
            Placed { slot: run.tool_of(turn, index), call, client_id: None, refusal }
        };
        self.all(session, None, (0..).zip(calls).map(place).collect()).await
    }

    /// Makes one call of a program outside, at a slot of its own, as [`Self::dispatch`] makes those of a turn.
    pub async fn dispatch_one(
        self: &Arc<Self>,
        session: &Arc<dyn Execution>,
        slot: Slot,
        call: ToolCall,
        client_id: Option<String>,
    ) -> Result<Called, SessionError> {
        let index = match slot.steps().last() {
            Some(Step::Tool { index, .. }) => *index,
            _ => 0,
        };
        let refusal = self.refuse_model(index, &call);
        let mut called =
            self.all(session, None, vec![Placed { slot: slot.clone(), call, client_id, refusal }]).await?;
        called.pop().ok_or(SessionError::Stopped { slot })
    }

    /// Carries a call out once, as in a run, and records nothing; what the tool itself calls is taken from a
    /// recorded session.
    pub async fn call_once(
        self: &Arc<Self>,
        session: &Arc<dyn Execution>,
        call: &ToolCall,
        attempt: Attempt,
    ) -> Result<ToolOutcome, SessionError> {
        let room = self.room(&**session, None);
        let _seat = room.seat().await;
        Ok(self.attempt(session, None, call, &attempt).await?.value)
    }

    /// The room for calls of a run that so many callers wait for.
    fn room<'a>(&'a self, session: &dyn Execution, caller: Option<&Arc<Caller>>) -> CallRoom<'a> {
        let depth = Caller::depth(caller);
        let parallel = Parallel(self.permits.get(depth));
        CallRoom { parallel, runner: &*self.runner, run: session.facts().run, depth }
    }

    /// Runs calls that the model, or a tool, makes together.
    async fn all(
        self: &Arc<Self>,
        session: &Arc<dyn Execution>,
        caller: Option<Arc<Caller>>,
        calls: Vec<Placed>,
    ) -> Result<Vec<Called>, SessionError> {
        // Before the first of them is issued, so that how long this takes has no say in their order.
        let may_ask = calls.iter().map(|placed| self.may_ask_about(placed));
        let may_ask = futures::future::join_all(may_ask).await;
        let mut results = Results::of(calls.len());
        let mut tasks = JoinSet::new();
        for (index, (placed, may_ask)) in calls.into_iter().zip(may_ask).enumerate() {
            let (dispatcher, session, caller) = (Arc::clone(self), Arc::clone(session), caller.clone());
            let call =
                async move { (index, dispatcher.one(&session, caller.as_ref(), placed, may_ask).await) };
            let mut call = Box::pin(call);
            // The first poll issues the first effect of the call: so effects are issued in the order of calls. A result
            // that is recorded is there at once; only the others are worth a task.
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

    /// Whether somebody may have to be asked about a call: nobody is asked about one that would come to nothing.
    async fn may_ask_about(&self, placed: &Placed) -> bool {
        self.gate.may_stop() && placed.refusal.is_none() && self.admit(&placed.call).await.is_ok()
    }

    /// Makes a call. Nothing is waited for before its first effect is issued.
    async fn one(
        self: &Arc<Self>,
        session: &Arc<dyn Execution>,
        caller: Option<&Arc<Caller>>,
        placed: Placed,
        may_ask: bool,
    ) -> Result<Called, SessionError> {
        let Placed { slot, mut call, client_id, mut refusal } = placed;
        let callable = self.tool(&call.name);
        let target = callable.map(|callable| Target {
            component: callable.entry().component,
            grants: callable.entry().grants,
        });
        let (name, arguments) = (call.name.clone(), call.arguments.clone());
        let mut ask = ToolAsk { name, arguments, target, client_id };
        let mut note = None;
        let facts = session.facts();
        if may_ask {
            let _still = Caller::hold(caller);
            match self.gate.pass(&**session, &*self.person, &slot, &ask).await? {
                Passed::Approved(None) => {}
                Passed::Approved(Some(input)) => {
                    note = Some(facts.words().changed_input(&input));
                    call.arguments = Arguments::Json(input);
                    ask.arguments = call.arguments.clone();
                }
                Passed::Refused(outcome) => refusal = Some(outcome),
            }
        }
        let by = By::of(callable, refusal, &call);
        let (outcome, used) = self.carry_out(session, caller, (slot, &call, ask), by).await?;
        let shown_bytes_max = callable.map_or(SHOWN_BYTES_MAX, |callable| callable.entry().shown_bytes_max);
        let ToolCall { id: call_id, name, .. } = call;
        let is_whole = facts.rules.results_are_whole();
        let result = ToolResult { call_id, name, outcome, shown_bytes_max, note, shown: None, is_whole };
        let is_recorded = facts.rules.what_is_told_is_recorded();
        let result = if is_recorded { result.told_in(facts.words()) } else { result };
        Ok(Called { result, used })
    }

    /// What a call comes to, as whoever carries it out has it.
    async fn carry_out(
        self: &Arc<Self>,
        session: &Arc<dyn Execution>,
        caller: Option<&Arc<Caller>>,
        (slot, call, ask): (Slot, &ToolCall, ToolAsk),
        by: By<'_>,
    ) -> Result<(ToolOutcome, Option<Used>), SessionError> {
        let room = self.room(&**session, caller);
        let request = Request::Tool(ask);
        let outcome = match by {
            By::Nobody(refusal) => {
                let refused = |_: Attempt| -> BoxFuture<'_, _> {
                    Box::pin(std::future::ready(Ok(Done::from(refusal.clone()).recorded())))
                };
                session.effect(slot, request, REFUSED, &refused).await?
            }
            By::Host(builtin) => {
                let _still = Caller::hold(caller);
                let rules = session.facts().rules;
                let ask = |attempt: Attempt| -> BoxFuture<'_, _> {
                    Box::pin(async move { self.call_builtin(builtin, call, &attempt, rules).await })
                };
                session.word(slot, request, &ask).await?
            }
            By::Agent => {
                let conduct = Conduct { room: Some(&room.parallel), ..BELOW };
                let run = |attempt: Attempt, child: Arc<dyn Execution>| -> BoxFuture<'_, _> {
                    Box::pin(async move { self.call_agent(&child, call, &attempt).await })
                };
                let ended = Arc::clone(session).child(Effect { slot, request }, conduct, &run).await?;
                return Ok((ended.outcome, ended.used));
            }
            By::Component(entry) => {
                let conduct = Conduct { room: Some(&room), ..self.runner.conduct(entry) };
                let asked = request.clone();
                let attempt = |attempt: Attempt| -> BoxFuture<'_, _> {
                    let asked = &asked;
                    Box::pin(async move {
                        let stopped = |error| stopped(error, conduct.doubt, &attempt, asked);
                        let done = self.attempt(session, caller, call, &attempt).await.map_err(stopped)?;
                        Ok(done.recorded())
                    })
                };
                session.effect(slot, request, conduct, &attempt).await?
            }
        };
        Ok((outcome, None))
    }

    /// One attempt of a call, or what the caller is told because there is nothing to attempt.
    async fn attempt(
        self: &Arc<Self>,
        session: &Arc<dyn Execution>,
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
        let done = self.runner.call(tool.entry(), input, attempt, fan_out).await;
        let value = nested.verdict()?.unwrap_or(done.value);
        let (began, mut usage) = (Instant::now(), done.usage);
        let value = tool.hold(value).await;
        usage.wall_us =
            usage.wall_us.saturating_add(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        Ok(Done { value, usage, trace: done.trace, by: None })
    }

    async fn call_builtin(
        &self,
        builtin: Builtin,
        call: &ToolCall,
        attempt: &Attempt,
        rules: Rules,
    ) -> Answered {
        let now = |outcome: ToolOutcome| Answered::Now(Done::from(outcome).recorded());
        match self.admit(call).await {
            Ok((tool, input)) => match self.person.waits_for_nothing(&attempt.slot, tool.entry(), input) {
                Some(outcome) => now(outcome),
                None => builtin::call(builtin, input, attempt, rules, &*self.person).await,
            },
            Err(refusal) => now(refusal),
        }
    }

    async fn call_agent(
        &self,
        session: &Arc<dyn Execution>,
        call: &ToolCall,
        attempt: &Attempt,
    ) -> Result<Done<ToolOutcome>, SessionError> {
        match self.admit(call).await {
            Ok((agent, input)) => self.agents.call(agent.entry(), input, attempt, session).await,
            Err(refusal) => Ok(refusal.into()),
        }
    }

    /// What a tool is told of a call that only a model may make.
    fn refuse_tool(&self, call: &ToolCall) -> Option<ToolOutcome> {
        let is_agent = self.tool(&call.name).is_some_and(|tool| tool.entry().agent.is_some());
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
        if self.tool(&call.name).is_some_and(|tool| !tool.entry().hidden) {
            return None;
        }
        let offered = self.tools.iter().filter(|tool| !tool.entry().hidden);
        let mut names: Vec<&str> = offered.map(|tool| tool.entry().spec.name.as_str()).collect();
        names.sort_unstable();
        let message = format!("there is no tool `{}`; the tools are: {}", call.name, names.join(", "));
        Some(ToolOutcome::error(ErrorKind::UnknownTool, message))
    }

    /// What is called with what, or what to tell the caller instead.
    async fn admit<'a>(&'a self, call: &'a ToolCall) -> Result<(&'a Callable, &'a Json), ToolOutcome> {
        let Some(callable) = self.tool(&call.name) else {
            return Err(unknown(&call.name));
        };
        let input = callable.admit(call).await?;
        Ok((callable, input))
    }
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
